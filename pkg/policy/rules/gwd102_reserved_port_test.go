package rules

import (
	"fmt"
	"testing"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestReservedPort(t *testing.T) {
	for p := range reservedPorts {
		check(t, "GWD102", verdict{name: fmt.Sprint(p), change: create(gw("team-a/x", fmt.Sprintf("%d HTTP *", p))), want: policy.Deny, field: "spec.servers[0].port.number"})
	}
	check(t, "GWD102",
		verdict{name: "through a Service", world: []resource.Object{&resource.Service{
			Meta: meta("deploykf-istio-gateway/front"), Selector: podLabels, Ports: []resource.ServicePort{{Port: 9443, TargetPort: 15021}},
		}}, change: create(gw("team-a/x", "9443 HTTP *")), want: policy.Deny},
		verdict{name: "the port of an east-west gateway", change: create(gw("team-a/x", "15443 TLS * AUTO_PASSTHROUGH")), want: silent},
		verdict{name: "on other pods", change: create(with(gw("team-a/x", "15021 HTTP *"), func(g *resource.Gateway) { g.Selector = map[string]string{"a": "b"} })), want: silent},
	)
}
