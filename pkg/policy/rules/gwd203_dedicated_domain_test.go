package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestDedicatedDomain(t *testing.T) {
	check(t, "GWD203",
		verdict{name: "below the domain", change: create(gw("team-a/x", "443 HTTPS new."+h)), want: policy.Deny, field: "spec.servers[0].hosts[0]"},
		verdict{name: "a wildcard below the domain", change: create(gw("team-a/x", "443 HTTPS *."+h)), want: policy.Deny},
		verdict{name: "in plain text", change: create(gw("team-a/x", "80 HTTP new."+h)), want: policy.Deny},
		verdict{name: "on a port that nobody guards", change: create(gw("team-a/x", "9443 HTTPS new."+h)), want: policy.Warn},
		verdict{name: "the domain itself on such a port", change: create(gw("team-a/x", "9443 HTTPS "+h)), want: policy.Warn},
		verdict{name: "on an address of its own", change: create(gw("team-a/x", "443 HTTPS "+h+" bind=127.0.0.1")), want: policy.Warn},
		verdict{name: "host-conflict says it better", change: create(gw("team-a/x", "443 HTTPS "+h)), want: silent},
		verdict{name: "a name that only ends alike", change: create(gw("team-a/x", "443 HTTPS my"+h)), want: silent},
		verdict{name: "around the domain", change: create(gw("team-a/x", "443 HTTPS *.example.com")), want: silent},
		verdict{name: "on another gateway", change: create(with(gw("team-a/x", "443 HTTPS new."+h), func(g *resource.Gateway) { g.Selector = map[string]string{"a": "b"} })), want: silent},
		verdict{name: "from a port that nobody guards to one that is", change: update(gw("team-a/x", "9443 HTTPS new."+h), gw("team-a/x", "443 HTTPS new."+h)), want: policy.Deny},
	)
}
