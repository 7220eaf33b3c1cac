package rules_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestNamespaceInjectionDisabled(t *testing.T) {
	ns := func(name string, labels map[string]string) []resource.Object {
		return []resource.Object{&resource.Namespace{Meta: resource.Meta{Name: name, Labels: labels}}}
	}
	disabled := map[string]string{"istio-injection": "disabled"}
	tests := []struct {
		name   string
		before []resource.Object
		edit   func(*resource.Workload)
		fires  bool
	}{
		{"disabled", ns("edge", disabled), nil, true},
		{"enabled", ns("edge", map[string]string{"istio-injection": "enabled"}), nil, false},
		{"no label", ns("edge", nil), nil, false},
		{"unknown", nil, nil, false},
		{"another namespace is disabled", ns("other", disabled), nil, false},
		{"a word that is not enabled", ns("edge", map[string]string{"istio-injection": "true"}), nil, true},
		{"disabled, with an image of its own", ns("edge", disabled), func(o *resource.Workload) {
			o.Pod.Containers[0].Image = "docker.io/istio/proxyv2:1.30.4"
		}, false},
		{"disabled, an application", ns("edge", disabled), customisedSidecar, false},
		{"a namespace that is never injected", nil, func(o *resource.Workload) { o.Namespace = "kube-system" }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := decideGatewayWorkload(t, "GWD603", tt.before, nil, gatewayWorkload(tt.edit))
			if !tt.fires {
				assert.Empty(t, f)
				return
			}
			require.Len(t, f, 1)
			assert.Equal(t, policy.Warn, f[0].Effect)
			assert.Less(t, len(f[0].String()), warningBudget, "%s", f[0])
			if tt.before != nil {
				assert.Equal(t, []resource.Key{{Kind: resource.KindNamespace, Name: "edge"}}, f[0].Related)
			}
		})
	}
}

// Nothing that people read is cut for a namespace with a name of ordinary length.
func TestNamespaceInjectionDisabledFitsAWarning(t *testing.T) {
	name := strings.Repeat("n", 40)
	f := decideGatewayWorkload(t, "GWD603",
		[]resource.Object{&resource.Namespace{Meta: resource.Meta{Name: name, Labels: map[string]string{"istio-injection": "disabled"}}}},
		nil, gatewayWorkload(func(o *resource.Workload) { o.Namespace = name }))
	require.Len(t, f, 1)
	assert.Less(t, len(f[0].String()), warningBudget, "%s", f[0])
}
