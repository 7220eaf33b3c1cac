package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestTenantHostConflict(t *testing.T) {
	other := []resource.Object{gw("team-b/y", "443 HTTPS app.example.org,*.b.org")}
	check(t, "GWD206",
		verdict{name: "another team's host", world: other, change: create(gw("team-a/x", "443 TLS app.example.org PASSTHROUGH")), want: policy.Deny, field: "spec.servers[0].hosts[0]"},
		verdict{name: "its own namespace's host", world: other, change: create(gw("team-b/x", "443 HTTPS app.example.org")), want: policy.Warn},
		verdict{name: "its own host in two servers", change: create(gw("team-a/x", "443 HTTPS a.org", "443 HTTPS a.org,b.org")), want: policy.Warn, field: "spec.servers[1].hosts[0]"},
		verdict{name: "below another team's wildcard", world: other, change: create(gw("team-a/x", "443 HTTPS a.b.org")), want: silent},
		verdict{name: "on another port", world: other, change: create(gw("team-a/x", "9443 HTTPS app.example.org")), want: silent},
		verdict{name: "in plain text with a tls block", world: []resource.Object{gw("team-b/y", "80 HTTP a.org PASSTHROUGH")}, change: create(gw("team-a/x", "80 HTTP a.org PASSTHROUGH")), want: policy.Deny},
		verdict{name: "in plain text with a tls block, for another namespace's routes", world: []resource.Object{gw("team-b/y", "80 HTTP a.org PASSTHROUGH")}, change: create(gw("team-a/x", "80 HTTP ./a.org PASSTHROUGH")), want: silent},
		verdict{name: "passed through, for another namespace's routes", world: []resource.Object{gw("team-b/y", "443 TLS a.org PASSTHROUGH")}, change: create(gw("team-a/x", "443 TLS ./a.org PASSTHROUGH")), want: policy.Deny},
		verdict{name: "two redirects", world: []resource.Object{redirecting(gw("team-b/y", "80 HTTP * PASSTHROUGH"))}, change: create(redirecting(gw("team-a/x", "80 HTTP * PASSTHROUGH"))), want: silent},
		verdict{name: "two redirects, one for more hosts", world: []resource.Object{redirecting(gw("team-b/y", "80 HTTP a.org PASSTHROUGH"))}, change: create(redirecting(gw("team-a/x", "80 HTTP a.org,b.org PASSTHROUGH"))), want: policy.Deny},
		verdict{name: "a redirect and one that serves", world: []resource.Object{gw("team-b/y", "80 HTTP * PASSTHROUGH")}, change: create(redirecting(gw("team-a/x", "80 HTTP * PASSTHROUGH"))), want: policy.Deny},
		verdict{name: "the owner finds a tenant's server", world: []resource.Object{gw("team-b/y", "443 HTTPS new."+h)}, change: create(gw(guarded, "443 HTTPS new."+h)), want: policy.Warn},
		verdict{name: "in plain text", world: other, change: create(gw("team-a/x", "80 HTTP app.example.org")), want: silent},
		verdict{name: "its own, again", world: other, change: update(other[0], other[0]), want: silent},
	)
}

func redirecting(g *resource.Gateway) *resource.Gateway {
	g.Servers[0].TLS.HTTPSRedirect = true
	return g
}
