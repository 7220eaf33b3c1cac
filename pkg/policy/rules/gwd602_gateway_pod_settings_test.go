package rules_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/gatewaypod"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestGatewayPodSettings(t *testing.T) {
	const (
		label      = "spec.template.metadata.labels[sidecar.istio.io/inject]"
		annotation = "spec.template.metadata.annotations[inject.istio.io/templates]"
		sysctls    = "spec.template.spec.securityContext.sysctls"
	)
	bare := func(o *resource.Workload) {
		o.Pod.Labels, o.Pod.Annotations, o.Pod.Sysctls = nil, nil, nil
	}
	tests := []struct {
		name   string
		edit   func(*resource.Workload)
		fields []string
	}{
		{"nothing is missing", nil, nil},
		{"everything is missing", bare, []string{label, annotation, sysctls}},
		{"the label", func(o *resource.Workload) { delete(o.Pod.Labels, gatewaypod.InjectLabel) }, []string{label}},
		{"the annotation", func(o *resource.Workload) { o.Pod.Annotations = nil }, []string{annotation}},
		{"the sysctl", func(o *resource.Workload) { o.Pod.Sysctls = nil }, []string{sysctls}},
		{"a bound that is too high", func(o *resource.Workload) { o.Pod.Sysctls[0].Value = "1024" }, []string{sysctls}},
		{"a bound that is low enough", func(o *resource.Workload) { o.Pod.Sysctls[0].Value = "80" }, nil},
		{"opted out of the sysctl", func(o *resource.Workload) {
			o.Pod.Sysctls = nil
			o.Annotations = map[string]string{gatewaypod.SysctlAnnotation: gatewaypod.SysctlDisabled}
		}, nil},
		{"an application", func(o *resource.Workload) {
			customisedSidecar(o)
			bare(o)
		}, nil},
		{"a StatefulSet", func(o *resource.Workload) {
			o.Kind = resource.KindStatefulSet
			bare(o)
		}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var fields []string
			for _, f := range decideGatewayWorkload(t, "GWD602", nil, nil, gatewayWorkload(tt.edit)) {
				fields = append(fields, f.Field)
				assert.Equal(t, policy.Note, f.Effect)
			}
			assert.Equal(t, tt.fields, fields)
		})
	}
}

func TestGatewayPodSettingsNamesPorts(t *testing.T) {
	lacks := func(o *resource.Workload) { o.Pod.Sysctls = nil }
	gateway := func(ports ...uint32) []resource.Object {
		gw := &resource.Gateway{
			Meta:     resource.Meta{Namespace: "edge", Name: "edge"},
			Selector: map[string]string{"app": "edge"},
		}
		for _, p := range ports {
			gw.Servers = append(gw.Servers, resource.Server{Port: p, Protocol: "HTTP", Hosts: []string{"edge.example.org"}})
		}
		return []resource.Object{gw}
	}
	for want, before := range map[string][]resource.Object{
		"is refused port 443.":                   gateway(443, 8443),
		"is refused the ports 80, 443 and 1023.": gateway(443, 80, 1023, 1024),
		"is refused every port below 1024.":      nil,
	} {
		f := decideGatewayWorkload(t, "GWD602", before, nil, gatewayWorkload(lacks))
		require.Len(t, f, 1)
		assert.Contains(t, f[0].Message, want)
	}
}
