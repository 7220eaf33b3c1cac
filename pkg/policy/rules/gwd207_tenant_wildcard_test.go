package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestTenantWildcard(t *testing.T) {
	other := []resource.Object{gw("team-b/y", "443 HTTPS *.example.org", "443 TLS *")}
	through := func(host string) []resource.Object {
		return []resource.Object{gw("team-b/any", "443 HTTPS *", "80 HTTP *"), vs("team-c/x", "team-b/any", host, "all")}
	}
	check(t, "GWD207",
		verdict{name: "out of another team's wildcard", world: other, change: create(gw("team-a/x", "443 HTTPS app.example.org")), want: policy.Deny, field: "spec.servers[0].hosts[0]"},
		verdict{name: "a deeper wildcard", world: other, change: create(gw("team-a/x", "443 TLS ./*.app.example.org PASSTHROUGH")), want: policy.Deny},
		verdict{name: "out of its own namespace's wildcard", world: other, change: create(gw("team-b/x", "443 HTTPS app.example.org")), want: silent},
		verdict{name: "out of everything", world: other, change: create(gw("team-a/x", "443 HTTPS app.example.net")), want: silent},
		verdict{name: "the wildcard comes second", world: []resource.Object{gw("team-b/y", "443 HTTPS app.example.org")}, change: create(gw("team-a/x", "443 HTTPS *.example.org")), want: silent},
		verdict{name: "what a route serves through a server for every name", world: through("app.example.org"), change: create(gw("team-a/x", "443 HTTPS app.example.org")), want: policy.Deny, field: "spec.servers[0].hosts[0]"},
		verdict{name: "a wildcard around what a route serves", world: through("app.example.org"), change: create(gw("team-a/x", "443 TLS *.example.org PASSTHROUGH")), want: policy.Deny},
		verdict{name: "out of a wildcard that a route serves", world: through("*.example.org"), change: create(gw("team-a/x", "443 HTTPS app.example.org")), want: policy.Deny},
		verdict{name: "what its own route serves", world: through("app.example.org"), change: create(gw("team-c/x", "443 HTTPS app.example.org")), want: silent},
		verdict{name: "beside what a route serves", world: through("app.example.org"), change: create(gw("team-a/x", "443 HTTPS api.example.org")), want: silent},
		verdict{name: "what a route serves in plain text", world: through("app.example.org"), change: create(gw("team-a/x", "80 HTTP app.example.org")), want: silent},
		verdict{name: "a route for every host", world: through("*"), change: create(gw("team-a/x", "443 HTTPS app.example.org")), want: silent},
		verdict{name: "beside every name in one server", world: []resource.Object{gw("team-b/y", "443 HTTPS *.example.org")}, change: create(gw("team-a/x", "443 HTTPS *,app.example.org")), want: silent},
		verdict{name: "on another port", world: other, change: create(gw("team-a/x", "9443 HTTPS app.example.org")), want: silent},
		verdict{name: "it was so before", world: other, change: update(gw("team-a/x", "443 HTTPS app.example.org"), gw("team-a/x", "443 HTTPS app.example.org")), want: policy.Warn},
	)
}
