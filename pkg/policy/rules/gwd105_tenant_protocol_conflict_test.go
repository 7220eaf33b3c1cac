package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestTenantProtocolConflict(t *testing.T) {
	tls, tcp := []resource.Object{gw("team-b/y", "9443 HTTPS b.org")}, []resource.Object{gw("team-b/y", "9000 TCP *")}
	translating := &resource.Service{
		Meta: meta("deploykf-istio-gateway/front"), Selector: podLabels, Ports: []resource.ServicePort{{Port: 443, TargetPort: 443}, {Port: 8443, TargetPort: 9443}},
	}
	check(t, "GWD105",
		verdict{name: "plain text beside TLS", world: tls, change: create(gw("team-a/x", "9443 HTTP a.org")), want: policy.Deny, field: "spec.servers[0].port"},
		verdict{name: "TCP beside TCP", world: tcp, change: create(gw("team-a/x", "9000 TCP a.org")), want: policy.Deny},
		verdict{name: "HTTP beside TCP", world: tcp, change: create(gw("team-a/x", "9000 HTTP a.org")), want: policy.Deny},
		verdict{name: "through a Service that translates", world: append([]resource.Object{translating}, tls...), change: create(gw("team-a/x", "8443 HTTP a.org")), want: policy.Deny},
		verdict{name: "in one namespace", world: tls, change: create(gw("team-b/x", "9443 HTTP a.org")), want: policy.Warn},
		verdict{name: "the owner comes to a tenant's port", world: tls, change: create(gw(guarded, "9443 HTTP "+h)), want: policy.Warn},
		verdict{name: "TLS beside TLS", world: tls, change: create(gw("team-a/x", "9443 TLS a.org PASSTHROUGH")), want: silent},
		verdict{name: "on another port", world: tls, change: create(gw("team-a/x", "9444 HTTP a.org")), want: silent},
		verdict{name: "on another address", world: tls, change: create(gw("team-a/x", "9443 HTTP a.org bind=127.0.0.1")), want: silent},
		verdict{name: "on other pods", world: []resource.Object{with(gw("team-b/y", "9443 HTTPS b.org"), func(g *resource.Gateway) { g.Selector = map[string]string{"a": "b"} })}, change: create(gw("team-a/x", "9443 HTTP a.org")), want: silent},
		verdict{name: "protocol-conflict says it of the owner's", change: create(gw("team-a/x", "443 HTTP a.org")), want: silent},
		verdict{name: "it was so before", world: tls, change: update(gw("team-a/x", "9443 HTTP a.org"), gw("team-a/x", "9443 HTTP b.org")), want: policy.Warn},
	)
}
