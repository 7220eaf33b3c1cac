package rules_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/gatewaypod"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
)

// gatewayWorkload is a Deployment in the namespace edge that needs nothing, changed by edit.
func gatewayWorkload(edit func(o *resource.Workload)) *resource.Workload {
	o := &resource.Workload{
		Meta: resource.Meta{Namespace: "edge", Name: "edge-gateway"},
		Kind: resource.KindDeployment,
		Pod: resource.PodTemplate{
			Labels:      map[string]string{"app": "edge", gatewaypod.InjectLabel: "true"},
			Annotations: map[string]string{gatewaypod.TemplatesAnnotation: gatewaypod.GatewayTemplate},
			Sysctls:     []resource.Sysctl{{Name: gatewaypod.PortSysctl, Value: gatewaypod.PortSysctlValue}},
			Containers:  []resource.Container{{Name: gatewaypod.ProxyContainer, Image: gatewaypod.AutoImage}},
		},
	}
	if edit != nil {
		edit(o)
	}
	return o
}

// decideGatewayWorkload creates an object, or updates old to it, under one rule.
func decideGatewayWorkload(t *testing.T, id string, before []resource.Object, old, o *resource.Workload) []policy.Finding {
	t.Helper()
	r := rules.Find(id)
	require.NotNil(t, r)
	w := state.NewWriter()
	w.Apply(before...)
	c := policy.Change{Operation: policy.Create, New: o}
	if old != nil {
		w.Apply(old)
		c.Operation, c.Old = policy.Update, old
	}
	return policy.NewEngine(deploykf.Default(), []*policy.Rule{r}).Decide(w.Snapshot(), c).Findings
}

// customisedSidecar turns a gateway into an application that customises its sidecar.
func customisedSidecar(o *resource.Workload) {
	delete(o.Pod.Annotations, gatewaypod.TemplatesAnnotation)
	o.Pod.Containers = append(o.Pod.Containers, resource.Container{Name: "web", Image: "registry.example.com/web:1"})
}
