package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/policy"
)

func TestBroaderWildcard(t *testing.T) {
	check(t, "GWD204",
		verdict{name: "every host", change: create(gw("team-a/x", "443 HTTPS *")), want: policy.Warn, field: "spec.servers[0].hosts[0]"},
		verdict{name: "the domain above", change: create(gw("team-a/x", "443 TLS *.example.com PASSTHROUGH")), want: policy.Warn},
		verdict{name: "another domain", change: create(gw("team-a/x", "443 HTTPS *.example.org")), want: silent},
		verdict{name: "for Services of other clusters", change: create(gw("team-a/x", "443 TLS * AUTO_PASSTHROUGH")), want: silent},
		verdict{name: "in plain text", change: create(gw("team-a/x", "80 HTTP *")), want: silent},
		verdict{name: "on another port", change: create(gw("team-a/x", "9443 HTTPS *")), want: silent},
	)
}
