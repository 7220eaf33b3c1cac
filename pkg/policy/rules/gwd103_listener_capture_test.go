package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestListenerCapture(t *testing.T) {
	running := []resource.Object{pod("deploykf-istio-gateway/gateway-1", podLabels, "10.1.2.3", "fd00::3")}
	check(t, "GWD103",
		verdict{name: "the address of a pod", world: running, change: create(gw("team-a/x", "443 HTTPS a.org bind=10.1.2.3")), want: policy.Deny, field: "spec.servers[0].bind"},
		verdict{name: "its other address", world: running, change: create(gw("team-a/x", "80 HTTP a.org bind=fd00::3")), want: policy.Deny},
		verdict{name: "on a port that nobody guards", world: running, change: create(gw("team-a/x", "9443 HTTPS a.org bind=10.1.2.3")), want: silent},
		verdict{name: "on a neighbour's port", world: append(running, gw("team-b/y", "9443 HTTPS b.org")), change: create(gw("team-a/x", "9443 HTTPS a.org bind=10.1.2.3")), want: policy.Deny},
		verdict{name: "on a port of its own namespace", world: append(running, gw("team-a/y", "9443 HTTPS b.org")), change: create(gw("team-a/x", "9443 HTTPS a.org bind=10.1.2.3")), want: silent},
		verdict{name: "beside a neighbour's own address", world: append(running, gw("team-b/y", "9443 HTTPS b.org bind=127.0.0.1")), change: create(gw("team-a/x", "9443 HTTPS a.org bind=10.1.2.3")), want: silent},
		verdict{name: "the address of nobody", world: running, change: create(gw("team-a/x", "443 HTTPS a.org bind=10.9.9.9")), want: silent},
		verdict{name: "loopback", world: running, change: create(gw("team-a/x", "443 HTTPS a.org bind=127.0.0.1")), want: silent},
	)
}
