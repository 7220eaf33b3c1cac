package rules_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// revisionWebhooks are the webhooks of one revision of Istio.
func revisionWebhooks(revision string) *resource.Injectors {
	selector := func(key, operator string, values ...string) resource.LabelSelector {
		return resource.LabelSelector{Expressions: []resource.LabelExpression{{Key: key, Operator: operator, Values: values}}}
	}
	const rev = "istio.io/rev"
	return &resource.Injectors{Meta: resource.Meta{Name: "istio-sidecar-injector-" + revision}, Webhooks: []resource.Injector{
		{Namespaces: selector(rev, "In", revision)},
		{Namespaces: selector(rev, "DoesNotExist"), Pods: selector(rev, "In", revision)},
	}}
}

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
		{"a revision that is not there", append(ns("edge", map[string]string{"istio.io/rev": "1-30"}), revisionWebhooks("1-31")), nil, true},
		{"a revision that is there", append(ns("edge", map[string]string{"istio.io/rev": "1-31"}), revisionWebhooks("1-31")), nil, false},
		{"the template's revision is not there", append(ns("edge", nil), revisionWebhooks("1-31")), func(o *resource.Workload) {
			o.Pod.Labels = map[string]string{"istio.io/rev": "1-30"}
		}, true},
		{"the template's revision is there", append(ns("edge", nil), revisionWebhooks("1-31")), func(o *resource.Workload) {
			o.Pod.Labels = map[string]string{"istio.io/rev": "1-31"}
		}, false},
		{"a revision, and no webhook is known", ns("edge", map[string]string{"istio.io/rev": "1-30"}), nil, false},
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
