package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestAnyHostBesideOthers(t *testing.T) {
	check(t, "GWD205",
		verdict{name: "beside another", change: create(gw("team-a/x", "9443 HTTPS a.org,*/*")), want: policy.Deny, field: "spec.servers[0].hosts[1]"},
		verdict{name: "on any pods", change: create(with(gw("team-a/x", "80 HTTP */*,a.org"), func(g *resource.Gateway) { g.Selector = map[string]string{"a": "b"} })), want: policy.Deny},
		verdict{name: "alone", change: create(gw("team-a/x", "9443 HTTPS */*")), want: silent},
		verdict{name: "a star beside another", change: create(gw("team-a/x", "9443 HTTPS *,a.org")), want: silent},
	)
}
