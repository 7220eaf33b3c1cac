package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestDedicatedGateway(t *testing.T) {
	dedicated := sharing(config.Dedicated)
	others := func(key string, servers ...string) *resource.Gateway {
		return with(gw(key, servers...), func(g *resource.Gateway) { g.Selector = map[string]string{"istio": "other"} })
	}
	check(t, "GWD107",
		verdict{name: "a port and a host of its own", config: dedicated, change: create(gw("team-a/x", "9443 HTTPS a.org")), want: policy.Deny, field: "spec.selector"},
		verdict{name: "some of the labels", config: dedicated, change: create(with(gw("team-a/x", "9443 HTTPS a.org"), func(g *resource.Gateway) {
			g.Selector = map[string]string{"istio": "deploykf-gateway"}
		})), want: policy.Deny},
		verdict{name: "no selector is every gateway", config: dedicated, change: create(with(gw("team-a/x", "9443 HTTPS a.org"), func(g *resource.Gateway) { g.Selector = nil })), want: policy.Deny},
		verdict{name: "in the owner's namespace", config: dedicated, change: create(gw("deploykf-istio-gateway/x", "9443 HTTPS a.org")), want: policy.Deny},
		verdict{name: "before any object of the owner exists", config: dedicated, bare: true, change: create(gw("team-a/x", "9443 HTTPS a.org")), want: policy.Deny},
		verdict{name: "moved onto the pods", config: dedicated, change: update(others("team-a/x", "9443 HTTPS a.org"), gw("team-a/x", "9443 HTTPS a.org")), want: policy.Deny},
		verdict{name: "other pods", config: dedicated, change: create(others("team-a/x", "443 HTTPS a.org")), want: silent},
		verdict{name: "moved off the pods", config: dedicated, change: update(gw("team-a/x", "9443 HTTPS a.org"), others("team-a/x", "9443 HTTPS a.org")), want: silent},
		verdict{name: "Gateways are scoped to their namespace", config: func(c *config.Configuration) {
			dedicated(c)
			c.Mesh.ScopeGatewayToNamespace = true
		}, change: create(gw("team-a/x", "9443 HTTPS a.org")), want: silent},
		verdict{name: "the owner himself", config: dedicated, change: create(gw(guarded, "9443 HTTPS a.org")), want: silent},
		verdict{name: "it was so before", config: dedicated, change: update(gw("team-a/x", "9443 HTTPS a.org"), gw("team-a/x", "9444 HTTPS b.org")), want: policy.Warn},
		verdict{name: "pods are shared", change: create(gw("team-a/x", "9443 HTTPS a.org")), want: silent},
		verdict{name: "only ports are not shared", config: sharing(config.ExclusivePort), change: create(gw("team-a/x", "9443 HTTPS a.org")), want: silent},
	)
}
