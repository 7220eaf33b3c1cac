package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestNeighbourRedirect(t *testing.T) {
	other := []resource.Object{gw("team-b/y", "80 HTTP app.b.org")}
	redirect := func(key, host string) *resource.Gateway { return redirecting(gw(key, "80 HTTP "+host+" PASSTHROUGH")) }
	check(t, "GWD209",
		verdict{name: "another team's host", world: other, change: create(redirect("team-a/x", "app.b.org")), want: policy.Deny, field: "spec.servers[0].hosts[0]"},
		verdict{name: "for its own namespace, in another case", world: other, change: create(redirect("team-a/x", "./App.b.org")), want: policy.Deny},
		verdict{name: "its own namespace's host", world: other, change: create(redirect("team-b/x", "app.b.org")), want: silent},
		verdict{name: "another host", world: other, change: create(redirect("team-a/x", "app.a.org")), want: silent},
		verdict{name: "every host, which is another virtual host", world: other, change: create(redirect("team-a/x", "*")), want: silent},
		verdict{name: "no redirect", world: other, change: create(gw("team-a/x", "80 HTTP app.b.org")), want: silent},
		verdict{name: "the other redirects as well", world: []resource.Object{redirect("team-b/y", "app.b.org")}, change: create(redirect("team-a/x", "app.b.org")), want: silent},
		verdict{name: "on another port", world: other, change: create(redirecting(gw("team-a/x", "8080 HTTP app.b.org PASSTHROUGH"))), want: silent},
	)
}
