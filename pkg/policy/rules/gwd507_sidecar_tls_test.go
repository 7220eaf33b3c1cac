package rules

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/test/worlds"
)

func sidecar(key string, selector map[string]string, mode string) *resource.Sidecar {
	return &resource.Sidecar{Meta: meta(key), WorkloadSelector: selector, Ingress: []resource.IngressListener{{Port: 9080}, {Port: 8082, TLS: mode}}}
}

func TestSidecarTLS(t *testing.T) {
	check(t, "GWD507",
		verdict{name: "a TLS of its own", change: create(sidecar("kubeflow/x", dashboard, "SIMPLE")), want: policy.Warn, field: "spec.ingress[1].tls"},
		verdict{name: "for the namespace", change: create(sidecar("kubeflow/x", nil, "MUTUAL")), want: policy.Warn},
		verdict{name: "where it counts", world: []resource.Object{pa("kubeflow/x", resource.ModeDisable, nil)}, change: create(sidecar("kubeflow/x", nil, "MUTUAL")), want: policy.Warn},
		verdict{name: "no TLS", change: create(sidecar("kubeflow/x", nil, "")), want: silent},
		verdict{name: "a namespace that is not protected", change: create(sidecar("team-a/x", nil, "SIMPLE")), want: silent},
	)
}

// The message tells a block that is inert from one that counts.
func TestSidecarTLSWhereItCounts(t *testing.T) {
	app := deployment("kubeflow/app", dashboard)
	for name, c := range map[string]struct {
		world  []resource.Object
		counts bool
	}{
		"the namespace":              {[]resource.Object{pa("kubeflow/p", resource.ModeDisable, nil)}, true},
		"the port of a workload":     {[]resource.Object{app, ported("kubeflow/p", resource.ModeDisable, dashboard)}, true},
		"the port of other pods":     {[]resource.Object{app, ported("kubeflow/p", resource.ModeDisable, map[string]string{"app": "x"})}, false},
		"permissive":                 {[]resource.Object{app, pa("kubeflow/p", resource.ModePermissive, nil)}, false},
		"nothing is said":            {nil, false},
		"a workload without sidecar": {[]resource.Object{deployment("kubeflow/app", dashboard, hostNetwork), ported("kubeflow/p", resource.ModeDisable, dashboard)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := policy.NewEngine(deploykf.Default(), All()).Decide(worlds.Snapshot(worlds.Base(), c.world), create(sidecar("kubeflow/x", nil, "SIMPLE")))
			require.Len(t, d.Findings, 1)
			assert.Equal(t, c.counts, !strings.HasPrefix(d.Findings[0].Message, "has no effect"), d.Findings[0].Message)
		})
	}
}
