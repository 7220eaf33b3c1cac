package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestNeighbourCutOff(t *testing.T) {
	allows := func(key string, o ...resource.AuthorizedOperation) *resource.AuthorizationPolicy {
		return &resource.AuthorizationPolicy{
			Meta: meta(key), Target: resource.Target{Selector: podLabels}, Action: "ALLOW",
			Rules: []resource.AuthorizationRule{{To: o}},
		}
	}
	ports := func(p ...string) resource.AuthorizedOperation { return resource.AuthorizedOperation{Ports: p} }
	owners := allows(gatewayNS+"/deploykf-istio-gateway--allow", ports("80", "443"))
	neighbour := gw("team-a/web", "443 HTTPS app.example.org", "9443 HTTPS app.example.org")
	world := func(o ...resource.Object) []resource.Object { return append(o, neighbour) }
	mesh := with(allows("istio-system/all"), func(a *resource.AuthorizationPolicy) { a.Selector = nil })
	dry := with(owners, func(a *resource.AuthorizationPolicy) { a.Annotations = map[string]string{"istio.io/dry-run": "true"} })
	leads := &resource.Service{Meta: meta(gatewayNS + "/more"), Selector: podLabels, Ports: []resource.ServicePort{{Port: 9443, TargetPort: 443}}}
	checkInstalled(t, "GWD710",
		installed{name: "another port", world: world(owners), want: policy.Warn, on: "Gateway team-a/web", field: "spec.servers[1].port.number", says: "9443"},
		installed{name: "a policy for a third port", world: world(owners, allows(gatewayNS+"/x", ports("7443"))), want: policy.Warn},
		installed{name: "a policy without the port", world: world(owners, allows(gatewayNS+"/x", resource.AuthorizedOperation{NotPorts: []string{"9443"}})), want: policy.Warn},
		installed{name: "a policy of other pods", world: world(owners, with(allows(gatewayNS+"/x"), func(a *resource.AuthorizationPolicy) { a.Selector = dashboard })), want: policy.Warn},
		installed{name: "not all is given", world: world(owners), given: true, want: policy.Note},

		installed{name: "no policy", world: world(), want: silent},
		installed{name: "a dry run", world: world(dry), want: silent},
		installed{name: "a policy for the port", world: world(owners, allows(gatewayNS+"/x", ports("9443"))), want: silent},
		installed{name: "a policy for all", world: world(owners, mesh), want: silent},
		installed{name: "the port leads to an open one", world: world(owners, leads), want: silent},
		installed{name: "on other pods", world: []resource.Object{owners, with(neighbour, func(g *resource.Gateway) { g.Selector = dashboard })}, want: silent},
		installed{name: "the owner's own", world: []resource.Object{owners, gw(guarded, "443 HTTPS *", "9443 HTTPS *")}, want: silent},
	)
}
