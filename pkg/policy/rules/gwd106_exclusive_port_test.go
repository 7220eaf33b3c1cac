package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func sharing(mode config.Sharing) func(*config.Configuration) {
	return func(c *config.Configuration) { c.GuardedGateways[0].Sharing = mode }
}

func TestExclusivePort(t *testing.T) {
	exclusive := sharing(config.ExclusivePort)
	translating := &resource.Service{
		Meta: meta("deploykf-istio-gateway/front"), Selector: podLabels,
		Ports: []resource.ServicePort{{Port: 8443, TargetPort: 443}},
	}
	check(t, "GWD106",
		verdict{name: "a host of its own on the owner's port", config: exclusive, change: create(gw("team-a/x", "443 HTTPS a.org")), want: policy.Deny, field: "spec.servers[0].port"},
		verdict{name: "the second server", config: exclusive, change: create(gw("team-a/x", "8443 HTTPS a.org", "80 HTTP a.org")), want: policy.Deny, field: "spec.servers[1].port"},
		verdict{name: "another protocol", config: exclusive, change: create(gw("team-a/x", "443 TCP *")), want: policy.Deny},
		verdict{name: "another address", config: exclusive, change: create(gw("team-a/x", "443 HTTPS a.org bind=127.0.0.1")), want: policy.Deny},
		verdict{name: "through a Service that translates", config: exclusive, world: []resource.Object{translating}, change: create(gw("team-a/x", "8443 HTTPS a.org")), want: policy.Deny},
		verdict{name: "before any object of the owner exists", config: exclusive, bare: true, change: create(gw("team-a/x", "443 HTTPS a.org")), want: policy.Deny},
		verdict{name: "in the owner's namespace", config: exclusive, change: create(gw("deploykf-istio-gateway/x", "443 HTTPS a.org")), want: policy.Deny},
		verdict{name: "a port of its own", config: exclusive, change: create(gw("team-a/x", "8443 HTTPS a.org")), want: silent},
		verdict{name: "the owner himself", config: exclusive, change: create(gw(guarded, "80 HTTP a.org")), want: silent},
		verdict{name: "other pods", config: exclusive, change: create(with(gw("team-a/x", "443 HTTPS a.org"), func(g *resource.Gateway) {
			g.Selector = map[string]string{"istio": "other"}
		})), want: silent},
		verdict{name: "it was so before", config: exclusive, change: update(gw("team-a/x", "443 HTTPS a.org"), gw("team-a/x", "443 HTTPS b.org")), want: policy.Warn},
		verdict{name: "it was on one of the ports before", config: exclusive, change: update(gw("team-a/x", "443 HTTPS a.org"), gw("team-a/x", "80 HTTP a.org")), want: policy.Deny},
		verdict{name: "ports are shared", change: create(gw("team-a/x", "443 HTTPS a.org")), want: silent},
		verdict{name: "nothing is shared, which another rule tells", config: sharing(config.Dedicated), change: create(gw("team-a/x", "443 HTTPS a.org")), want: silent},
	)
}
