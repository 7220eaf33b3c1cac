package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestProtocolConflict(t *testing.T) {
	tcpOwner := gw(guarded, "9000 TCP *")
	translating := &resource.Service{
		Meta: meta("deploykf-istio-gateway/front"), Selector: podLabels,
		Ports: []resource.ServicePort{{Port: 8443, TargetPort: 443}},
	}
	check(t, "GWD101",
		verdict{name: "HTTP where TLS is served", change: create(gw("team-a/x", "443 HTTP app.example.org")), want: policy.Deny, field: "spec.servers[0].port"},
		verdict{name: "TCP where TLS is served", change: create(gw("team-a/x", "443 TCP *")), want: policy.Deny},
		verdict{name: "an unknown protocol where TLS is served", change: create(gw("team-a/x", "443 QUIC *")), want: policy.Deny},
		verdict{name: "HTTP with a tls block is plain text", change: create(gw("team-a/x", "443 HTTP a.org PASSTHROUGH")), want: policy.Deny},
		verdict{name: "TLS where HTTP is served", change: create(gw("team-a/x", "80 TLS a.org")), want: policy.Deny},
		verdict{name: "TCP where HTTP is served", change: create(gw("team-a/x", "80 mongo a.org")), want: policy.Deny},
		verdict{name: "TCP beside TCP", world: []resource.Object{tcpOwner}, change: create(gw("team-a/x", "9000 TCP a.org")), want: policy.Deny},
		verdict{name: "any spelling of all addresses", change: create(gw("team-a/x", "443 HTTP a.org bind=::")), want: policy.Deny},
		verdict{name: "through a Service that translates", world: []resource.Object{translating}, change: create(gw("team-a/x", "8443 HTTP a.org")), want: policy.Deny},
		verdict{name: "the Service opts out of translation, whatever the value", world: []resource.Object{with(translating, func(s *resource.Service) {
			s.Labels = map[string]string{"experimental.istio.io/disable-gateway-port-translation": "false"}
		})}, change: create(gw("team-a/x", "8443 HTTP a.org")), want: silent},
		verdict{name: "GRPC beside HTTP", change: create(gw("team-a/x", "80 grpc a.org")), want: silent},
		verdict{name: "TLS passthrough beside HTTPS", change: create(gw("team-a/x", "443 TLS a.org PASSTHROUGH")), want: silent},
		verdict{name: "another port", change: create(gw("team-a/x", "8080 HTTP a.org")), want: silent},
		verdict{name: "a loopback address", change: create(gw("team-a/x", "443 HTTP a.org bind=127.0.0.1")), want: silent},
		verdict{name: "another gateway", change: create(with(gw("team-a/x", "443 HTTP a.org"), func(g *resource.Gateway) {
			g.Selector = map[string]string{"istio": "other"}
		})), want: silent},
		verdict{name: "no selector is every gateway", change: create(with(gw("team-a/x", "443 HTTP a.org"), func(g *resource.Gateway) { g.Selector = nil })), want: policy.Deny},
		verdict{name: "before any object of the owner exists", bare: true, change: create(gw("team-a/x", "443 HTTP a.org")), want: policy.Deny},
		verdict{name: "the owner himself", change: create(gw(guarded, "443 HTTP a.org")), want: silent},
		verdict{name: "it was so before", change: update(gw("team-a/x", "443 HTTP a.org"), gw("team-a/x", "443 HTTP b.org")), want: policy.Warn},
		verdict{name: "it was on another port before", change: update(gw("team-a/x", "8080 HTTP a.org"), gw("team-a/x", "443 HTTP a.org")), want: policy.Deny},
	)
}
