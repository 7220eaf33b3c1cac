package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestStrictMerging(t *testing.T) {
	managed := func(key string, annotations ...string) *resource.Gateway {
		return with(gw(key, "9443 HTTPS new.example.org"), func(g *resource.Gateway) {
			g.Annotations = map[string]string{resource.GatewaySemantics: "gateway", resource.ServiceAccount: "x"}
			for _, a := range annotations {
				delete(g.Annotations, a)
			}
		})
	}
	kubernetes := func(key string, override string, addresses ...resource.GatewayAddress) *resource.KubernetesGateway {
		g := &resource.KubernetesGateway{Meta: meta(key), Class: "istio", Addresses: addresses, Listeners: []resource.Listener{
			{Name: "web", Hostname: "new.example.org", Port: 9080, Protocol: "HTTP"},
		}}
		if override != "" {
			g.Annotations = map[string]string{"gateway.istio.io/name-override": override}
		}
		return g
	}
	service := &resource.Service{Meta: meta("deploykf-istio-gateway/deploykf-gateway"), Selector: podLabels, Ports: []resource.ServicePort{{Port: 443, TargetPort: 443}}}
	tenant := gw("team-b/y", "9443 HTTPS app.example.org")
	check(t, "GWD108",
		verdict{name: "a tenant's, by annotations", change: create(managed("team-a/x")), want: policy.Deny, field: "metadata.annotations[" + resource.ServiceAccount + "]"},
		verdict{name: "before the owner's exist", bare: true, change: create(managed("team-a/x")), want: policy.Deny},
		verdict{name: "the annotations are added", change: update(gw("team-a/x", "9443 HTTPS new.example.org"), managed("team-a/x")), want: policy.Deny},
		verdict{name: "they were there before", change: update(managed("team-a/x"), with(managed("team-a/x"), func(g *resource.Gateway) { g.Servers[0].Port = 9444 })), want: policy.Warn},
		verdict{name: "they are taken away", change: update(managed("team-a/x"), gw("team-a/x", "9443 HTTPS new.example.org")), want: silent},
		verdict{name: "without a service account", change: create(managed("team-a/x", resource.ServiceAccount)), want: silent},
		verdict{name: "with nothing but a service account", change: create(managed("team-a/x", resource.GatewaySemantics)), want: silent},
		verdict{name: "on other pods", change: create(with(managed("team-a/x"), func(g *resource.Gateway) { g.Selector = map[string]string{"istio": "other"} })), want: silent},
		verdict{name: "in the owner's namespace, with nobody else", change: create(managed("deploykf-istio-gateway/x")), want: silent},
		verdict{name: "in the owner's namespace, beside a tenant", world: []resource.Object{tenant}, change: create(managed("deploykf-istio-gateway/x")), want: policy.Deny},
		verdict{name: "the owner's own, beside a tenant", world: []resource.Object{tenant}, change: create(managed(guarded)), want: policy.Warn},
		verdict{name: "by name-override", world: []resource.Object{service, tenant}, change: create(kubernetes("deploykf-istio-gateway/front", "deploykf-gateway")), want: policy.Deny, field: "spec"},
		verdict{name: "by name-override of another Service", world: []resource.Object{service, tenant}, change: create(kubernetes("deploykf-istio-gateway/front", "front")), want: silent},
		verdict{name: "by address, which is not managed", world: []resource.Object{service, tenant}, change: create(kubernetes("deploykf-istio-gateway/front", "", resource.GatewayAddress{Type: "Hostname", Value: "deploykf-gateway"})), want: silent},
		verdict{name: "a tenant where there is one already", world: []resource.Object{managed("deploykf-istio-gateway/x")}, change: create(gw("team-b/y", "9444 HTTPS a.org")), want: policy.Warn},
		verdict{name: "a tenant of that namespace", world: []resource.Object{managed("team-a/x")}, change: create(gw("team-a/y", "9444 HTTPS a.org")), want: silent},
		verdict{name: "a second one in a third namespace takes nothing more from the owner", world: []resource.Object{managed("team-a/x")}, change: create(managed("team-b/x")), want: silent},
	)
}
