package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestMeshInjection(t *testing.T) {
	is := func(key, operator string, values ...string) resource.LabelExpression {
		return resource.LabelExpression{Key: key, Operator: operator, Values: values}
	}
	selects := func(e ...resource.LabelExpression) resource.LabelSelector {
		return resource.LabelSelector{Expressions: e}
	}
	const rev, injection, inject = "istio.io/rev", "istio-injection", "sidecar.istio.io/inject"
	standard := &resource.Injectors{Meta: resource.Meta{Name: "istio-sidecar-injector"}, Webhooks: []resource.Injector{
		{Namespaces: selects(is(rev, "In", "default"), is(injection, "DoesNotExist")), Pods: selects(is(inject, "NotIn", "false"))},
		{Namespaces: selects(is(injection, "In", "enabled")), Pods: selects(is(inject, "NotIn", "false"))},
		{Namespaces: selects(is(injection, "DoesNotExist"), is(rev, "DoesNotExist")), Pods: selects(is(inject, "In", "true"))},
	}}
	all := with(standard, func(o *resource.Injectors) {
		o.Webhooks = append(o.Webhooks[:3:3], resource.Injector{
			Namespaces: selects(is(injection, "DoesNotExist"), is(rev, "DoesNotExist")), Pods: selects(is(inject, "DoesNotExist")),
		})
	})
	of := func(name string, pairs ...string) *resource.Namespace {
		l := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			l[pairs[i]] = pairs[i+1]
		}
		return nsLabels(name, l)
	}
	world := func(o ...resource.Object) []resource.Object { return append([]resource.Object{standard}, o...) }
	asks := proxy(resource.KindDeployment, gatewayNS, "deploykf-gateway", func(o *resource.Workload) {
		o.Pod.Labels = map[string]string{"app": "deploykf-gateway", "istio": "deploykf-gateway", inject: "true"}
	})
	valuesSay := values(func(v *resource.InjectionValues) { v.EnableNamespacesByDefault = true })
	unasked := func(c *config.Configuration) { c.GuardedGateways[0].Requires.InjectionOptIn = false }
	checkInstalled(t, "GWD704",
		installed{name: "no label", world: world(of("deploykf-auth")), want: policy.Warn, on: "Namespace deploykf-auth", field: "metadata.labels", says: "istio-injection=enabled"},
		installed{name: "no label, no webhook known", world: []resource.Object{of("deploykf-auth")}, want: policy.Warn},
		installed{name: "disabled", world: world(of("deploykf-auth", injection, "disabled")), want: policy.Warn, says: "istio-injection=disabled"},
		installed{name: "a revision that is not there", world: world(of("deploykf-auth", rev, "1-19")), want: policy.Warn, says: "1-19"},
		installed{name: "a profile", world: world(of("team-1", "app.kubernetes.io/part-of", "kubeflow-profile")), want: policy.Warn, on: "Namespace team-1"},
		installed{name: "the gateway's, whose pods do not ask", world: world(of(gatewayNS)), want: policy.Warn},
		installed{name: "a revision that was not given", world: world(of("deploykf-auth", rev, "1-19")), given: true, want: policy.Note},
		installed{name: "everybody", world: []resource.Object{all}, want: policy.Warn, on: "MutatingWebhookConfiguration istio-sidecar-injector", says: "enableNamespacesByDefault"},
		installed{name: "everybody, by the values", world: []resource.Object{valuesSay}, want: policy.Warn, on: "ConfigMap istio-system/istio-sidecar-injector"},

		installed{name: "enabled", world: world(of("deploykf-auth", injection, "enabled")), want: silent},
		installed{name: "a revision", world: world(of("deploykf-auth", rev, "default")), want: silent},
		installed{name: "an unprotected namespace", world: world(of("team-a")), want: silent},
		installed{name: "the gateway's, whose pods ask", world: world(of(gatewayNS), asks), want: silent},
		installed{name: "ambient", world: world(of("deploykf-auth", "istio.io/dataplane-mode", "ambient")), want: silent},
		installed{name: "on its way out", world: world(with(of("deploykf-auth"), func(n *resource.Namespace) { n.Terminating = true })), want: silent},
		installed{name: "a namespace that is not known", world: world(), want: silent},
		installed{name: "values that no webhook follows", world: world(valuesSay), want: silent},
		installed{name: "everybody, as it is meant", world: []resource.Object{all, of("deploykf-auth")}, config: unasked, want: silent},
	)
}
