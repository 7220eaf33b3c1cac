package rules_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/gatewaypod"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// A warning's budget: one line, below which the API server does not cut it.
const warningBudget = 256

func TestInjectionOptOut(t *testing.T) {
	const (
		label      = "spec.template.metadata.labels[sidecar.istio.io/inject]"
		annotation = "spec.template.metadata.annotations[sidecar.istio.io/inject]"
		network    = "spec.template.spec.hostNetwork"
	)
	tests := []struct {
		name   string
		edit   func(*resource.Workload)
		fields []string
		effect policy.Effect
	}{
		{"asks for injection", nil, nil, 0},
		{"label false", func(o *resource.Workload) { o.Pod.Labels[gatewaypod.InjectLabel] = "false" }, []string{label}, policy.Deny},
		{"label false in a DaemonSet", func(o *resource.Workload) {
			o.Kind = resource.KindDaemonSet
			o.Pod.Labels[gatewaypod.InjectLabel] = "false"
		}, []string{label}, policy.Deny},
		{"label false with an image of its own", func(o *resource.Workload) {
			o.Pod.Labels[gatewaypod.InjectLabel] = "false"
			o.Pod.Containers[0].Image = "docker.io/istio/proxyv2:1.30.4"
		}, nil, 0},
		{"label false in an application", func(o *resource.Workload) {
			o.Pod.Labels[gatewaypod.InjectLabel] = "false"
			customisedSidecar(o)
		}, nil, 0},
		{"no label", func(o *resource.Workload) { delete(o.Pod.Labels, gatewaypod.InjectLabel) }, nil, 0},
		{"annotation false", func(o *resource.Workload) {
			delete(o.Pod.Labels, gatewaypod.InjectLabel)
			o.Pod.Annotations[gatewaypod.InjectAnnotation] = "false"
		}, []string{annotation}, policy.Deny},
		{"annotation false, overridden by the label", func(o *resource.Workload) {
			o.Pod.Annotations[gatewaypod.InjectAnnotation] = "false"
		}, nil, 0},
		{"host network", func(o *resource.Workload) { o.Pod.HostNetwork = true }, []string{network}, policy.Deny},
		{"host network with an image of its own", func(o *resource.Workload) {
			o.Pod.HostNetwork = true
			o.Pod.Containers[0].Image = "docker.io/istio/proxyv2:1.30.4"
		}, nil, 0},
		{"host network and label false", func(o *resource.Workload) {
			o.Pod.HostNetwork = true
			o.Pod.Labels[gatewaypod.InjectLabel] = "false"
		}, []string{label, network}, policy.Deny},
		{"a label that is neither", func(o *resource.Workload) {
			o.Pod.Labels[gatewaypod.InjectLabel] = "a-value-of-sixty-three-characters-which-is-the-most-for-a-label-"
		}, []string{label}, policy.Warn},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := gatewayWorkload(tt.edit)
			var fields []string
			for _, f := range decideGatewayWorkload(t, "GWD601", nil, nil, o) {
				fields = append(fields, f.Field)
				assert.Equal(t, tt.effect, f.Effect)
				assert.Less(t, len(f.String()), warningBudget, "%s", f)
			}
			assert.Equal(t, tt.fields, fields)
		})
	}
}

func TestInjectionOptOutRatchet(t *testing.T) {
	refuses := func(o *resource.Workload) { o.Pod.Labels[gatewaypod.InjectLabel] = "false" }
	old := gatewayWorkload(refuses)

	f := decideGatewayWorkload(t, "GWD601", nil, old, gatewayWorkload(func(o *resource.Workload) {
		refuses(o)
		o.Pod.Annotations["restarted"] = "today"
	}))
	require.Len(t, f, 1)
	assert.True(t, f[0].Carried)
	assert.Equal(t, policy.Warn, f[0].Effect)

	f = decideGatewayWorkload(t, "GWD601", nil, gatewayWorkload(nil), old)
	require.Len(t, f, 1)
	assert.Equal(t, policy.Deny, f[0].Effect, "new")

	assert.Empty(t, decideGatewayWorkload(t, "GWD601", nil, old, gatewayWorkload(nil)), "repaired")
}
