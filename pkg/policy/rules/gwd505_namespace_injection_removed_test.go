package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestNamespaceInjectionRemoved(t *testing.T) {
	const gateway = "deploykf-istio-gateway"
	ns := func(labels ...string) *resource.Namespace {
		l := map[string]string{}
		for i := 0; i < len(labels); i += 2 {
			l[labels[i]] = labels[i+1]
		}
		return namespace("kubeflow", l)
	}
	profile := func(labels map[string]string) *resource.Namespace { return namespace("team-1", labels) }
	const part, enabled = "app.kubernetes.io/part-of", "istio-injection"
	on := ns(enabled, "enabled")
	strict := []resource.Object{pa("kubeflow/default", resource.ModeStrict, nil), deployment("kubeflow/app", dashboard)}
	team := []resource.Object{pa("team-1/default", resource.ModeStrict, nil), pod("team-1/nb-0", dashboard)}
	guarded := func(labels map[string]string) *resource.Workload {
		return with(deployment(gateway+"/deploykf-gateway", podLabels, annotated("inject.istio.io/templates", "gateway")), func(o *resource.Workload) {
			o.Pod.Containers = []resource.Container{{Name: "istio-proxy", Image: "auto"}}
			for k, v := range labels {
				labelled(k, v)(&o.Pod)
			}
		})
	}
	gatewayNamespace := func(labels map[string]string) *resource.Namespace { return namespace(gateway, labels) }
	check(t, "GWD505",
		verdict{name: "the label is gone", world: strict, change: update(on, ns()), want: policy.Deny, field: "metadata.labels[istio-injection]"},
		verdict{name: "disabled", world: strict, change: update(on, ns(enabled, "disabled")), want: policy.Deny},
		verdict{name: "disabled beside a revision", world: strict, change: update(ns(rev, "1-30"), ns(rev, "1-30", enabled, "disabled")), want: policy.Deny},
		verdict{name: "the revision is gone", world: strict, change: update(ns(rev, "1-30"), ns()), want: policy.Deny, field: "metadata.labels[istio.io/rev]"},
		verdict{name: "disabled, where the template asks itself", world: []resource.Object{strict[0], deployment("kubeflow/app", dashboard, labelled(inject, "true"))}, change: update(ns(), ns(enabled, "disabled")), want: policy.Deny},
		verdict{name: "a profile's", world: team, change: update(profile(map[string]string{part: "kubeflow-profile", enabled: "enabled"}), profile(map[string]string{part: "kubeflow-profile"})), want: policy.Deny},
		verdict{name: "a profile is no longer one", world: team, change: update(profile(map[string]string{part: "kubeflow-profile"}), profile(nil)), want: policy.Deny, field: "metadata.labels"},
		verdict{name: "the gateway's pods, disabled", world: []resource.Object{guarded(map[string]string{inject: "true"})}, change: update(gatewayNamespace(map[string]string{enabled: "enabled"}), gatewayNamespace(map[string]string{enabled: "disabled"})), want: policy.Deny},

		verdict{name: "to a revision that is not there", world: append(strict, injectors("1-30")), change: update(ns(rev, "1-30"), ns(rev, "1-31")), want: policy.Deny, field: "metadata.labels[istio.io/rev]"},
		verdict{name: "to the label that only the default revision knows", world: append(strict, injectors("1-30")), change: update(ns(rev, "1-30"), on), want: policy.Deny, field: "metadata.labels[istio-injection]"},
		verdict{name: "nothing is STRICT, and the revision is not there", world: []resource.Object{injectors("1-30")}, change: update(ns(rev, "1-30"), ns(rev, "r12345678901234567890123456789012345678901234567890123456789012")), want: policy.Warn},
		verdict{name: "nothing is STRICT", world: []resource.Object{deployment("kubeflow/app", dashboard)}, change: update(on, ns()), want: policy.Warn},
		verdict{name: "no workload is known", change: update(on, ns()), want: policy.Warn},
		verdict{name: "only workloads without a sidecar", world: []resource.Object{strict[0], deployment("kubeflow/app", dashboard, labelled(inject, "false"))}, change: update(on, ns()), want: policy.Warn},
		verdict{name: "workloads that ask themselves", world: []resource.Object{strict[0], deployment("kubeflow/app", dashboard, labelled(inject, "true"))}, change: update(on, ns()), want: policy.Warn},
		verdict{name: "to ambient mode", world: strict, change: update(on, ns("istio.io/dataplane-mode", "ambient")), want: policy.Warn},
		verdict{name: "a profile without STRICT is no longer one", change: update(profile(map[string]string{part: "kubeflow-profile"}), profile(nil)), want: policy.Warn},
		verdict{name: "the gateway's pods ask themselves", world: []resource.Object{guarded(map[string]string{inject: "true"})}, change: update(gatewayNamespace(map[string]string{enabled: "enabled"}), gatewayNamespace(nil)), want: policy.Warn},

		verdict{name: "to a revision", world: strict, change: update(on, ns(rev, "1-31")), want: silent},
		verdict{name: "to another revision", world: strict, change: update(ns(rev, "1-30"), ns(rev, "1-31")), want: silent},
		verdict{name: "to a revision that is there", world: append(strict, injectors("1-30"), injectors("1-31")), change: update(ns(rev, "1-30"), ns(rev, "1-31")), want: silent},
		verdict{name: "from a revision that is not there", world: append(strict, injectors("1-31")), change: update(ns(rev, "1-30"), ns()), want: silent},
		verdict{name: "another label", world: strict, change: update(on, ns(enabled, "enabled", "team", "x")), want: silent},
		verdict{name: "it is enabled", world: strict, change: update(ns(), on), want: silent},
		verdict{name: "it was disabled", world: strict, change: update(ns(enabled, "disabled"), ns()), want: silent},
		verdict{name: "it goes", world: strict, change: update(on, with(ns(), func(n *resource.Namespace) { n.Terminating = true })), want: silent},
		verdict{name: "another namespace", world: strict, change: update(namespace("team-a", map[string]string{enabled: "enabled"}), namespace("team-a", nil)), want: silent},
		verdict{name: "protected by name too", world: team, config: func(c *config.Configuration) {
			c.ProtectedNamespaces.Names = append(c.ProtectedNamespaces.Names, "team-1")
		}, change: update(profile(map[string]string{part: "kubeflow-profile"}), profile(nil)), want: silent},
	)
}
