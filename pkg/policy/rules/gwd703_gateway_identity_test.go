package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestGatewayIdentity(t *testing.T) {
	const trusted = "cluster.local/ns/deploykf-istio-gateway/sa/deploykf-gateway"
	account := func(name string) func(*resource.Workload) {
		return func(o *resource.Workload) { o.Pod.ServiceAccount = name }
	}
	trusts := func(key string, principals ...string) *resource.AuthorizationPolicy {
		return &resource.AuthorizationPolicy{
			Meta: meta(key), Target: resource.Target{Selector: dashboard}, Action: "ALLOW",
			Rules: []resource.AuthorizationRule{{Conditioned: true, Principals: principals}},
		}
	}
	domain := func(d string) *resource.ConfigMap {
		return mesh("", func(m *resource.MeshConfig) { m.TrustDomain = d })
	}
	const dash = "deploykf-dashboard/dashboard"
	there := &resource.Namespace{Meta: resource.Meta{Name: "deploykf-dashboard"}}
	world := func(o ...resource.Object) []resource.Object { return append(o, there) }
	ours := proxy(resource.KindDeployment, gatewayNS, "deploykf-gateway", account("deploykf-gateway"))
	other := proxy(resource.KindDeployment, gatewayNS, "deploykf-gateway", account("shared"))
	denies := with(trusts(dash, trusted), func(a *resource.AuthorizationPolicy) { a.Action = "DENY" })
	open := trusts("deploykf-dashboard/open")
	elsewhere := with(open, func(a *resource.AuthorizationPolicy) { a.Selector = map[string]string{"app": "else"} })
	checkInstalled(t, "GWD703",
		installed{name: "another account", world: world(other, trusts(dash, trusted)), want: policy.Warn, on: theDeployment.String(), says: "is shared, and not deploykf-gateway"},
		installed{name: "no account", world: world(trusts(dash, trusted)), want: policy.Warn, says: "is default"},
		installed{name: "a pod of another account", gone: []resource.Key{theDeployment}, world: world(proxy(resource.KindPod, gatewayNS, "p", account("shared")), trusts(dash, trusted)), want: policy.Warn},
		installed{name: "a second workload of another account", world: world(ours, proxy(resource.KindDaemonSet, gatewayNS, "two", account("two")), trusts(dash, trusted)), want: policy.Warn, on: "DaemonSet deploykf-istio-gateway/two"},
		installed{name: "another policy of other pods lets it through", world: world(other, trusts(dash, trusted), elsewhere), want: policy.Warn},
		installed{name: "not all is given", world: world(other, trusts(dash, trusted)), given: true, want: policy.Note, says: "as far as the given objects tell"},
		installed{name: "another trust domain", world: world(ours, trusts(dash, "td/ns/deploykf-istio-gateway/sa/deploykf-gateway"), mesh("")), want: policy.Warn, on: meshName, field: "data.mesh.trustDomain", says: `and not "td"`},
		installed{name: "a trust domain of its own", world: world(ours, trusts(dash, trusted), domain("td")), want: policy.Note, on: meshName},

		installed{name: "the mesh's trust domain", world: world(ours, trusts(dash, "td/ns/deploykf-istio-gateway/sa/deploykf-gateway"), with(domain("x"), func(c *resource.ConfigMap) {
			c.Mesh = &resource.MeshConfig{TrustDomain: "cluster.local", TrustDomainAliases: []string{"td"}}
		})), want: silent},
		installed{name: "the account", world: world(ours, trusts(dash, trusted)), want: silent},
		installed{name: "in another trust domain", world: world(ours, trusts(dash, "td/ns/deploykf-istio-gateway/sa/deploykf-gateway")), want: silent},
		installed{name: "one of several", world: world(other, trusts(dash, trusted, "cluster.local/ns/deploykf-istio-gateway/sa/shared")), want: silent},
		installed{name: "a pattern", world: world(other, trusts(dash, "*/ns/deploykf-istio-gateway/sa/*")), want: silent},
		installed{name: "nobody of this namespace", world: world(other, trusts(dash, "cluster.local/ns/kubeflow/sa/ml-pipeline")), want: silent},
		installed{name: "everybody", world: world(other, trusts(dash)), want: silent},
		installed{name: "another policy lets it through", world: world(other, trusts(dash, trusted), open), want: silent},
		installed{name: "a policy that denies", world: world(other, denies), want: silent},
		installed{name: "an unprotected namespace", world: world(other, trusts("team-a/x", trusted)), want: silent},
		installed{name: "an application among the pods", world: world(ours, trusts(dash, trusted), pod(gatewayNS+"/app", podLabels)), want: silent},
	)
}
