package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestTenantRouteConflict(t *testing.T) {
	tls, plain := gw("team-b/web", "443 HTTPS app.example.org,*.b.org"), gw("team-b/web", "80 HTTP app.example.org")
	mine := gw("team-a/own", "80 HTTP *")
	theirs := func(matches ...string) *resource.VirtualService {
		return vs("team-b/y", "web", "app.example.org", matches...)
	}
	my := func(matches ...string) policy.Change {
		return create(vs("team-a/x", "team-b/web", "app.example.org", matches...))
	}
	world := func(o ...resource.Object) []resource.Object { return o }
	any := gw("team-b/any", "443 HTTPS *")
	check(t, "GWD307",
		verdict{name: "the same path", world: world(tls, theirs("prefix /api/")), change: my("prefix /api/"), want: policy.Deny, field: "spec.http[0].match[0]"},
		verdict{name: "out of a catch-all", world: world(tls, theirs("prefix /")), change: my("prefix /api/"), want: policy.Deny},
		verdict{name: "above another path", world: world(tls, theirs("prefix /api/v1/")), change: my("prefix /api/"), want: policy.Deny},
		verdict{name: "below another path", world: world(tls, theirs("prefix /api/")), change: my("exact /api/v1"), want: policy.Deny},
		verdict{name: "two catch-alls", world: world(tls, theirs("all")), change: my("regex .*"), want: policy.Deny},
		verdict{name: "a catch-all that Istio does not know for one", world: world(tls, theirs("prefix /api/")), change: my("regex /.*"), want: policy.Deny},
		verdict{name: "by a wildcard that binds alike", world: world(tls, vs("team-b/y", "web", "*", "prefix /api/")), change: my("prefix /api/"), want: policy.Deny},
		verdict{name: "in plain text through another Gateway", world: world(plain, mine, theirs("prefix /api/")), change: create(vs("team-a/x", "own", "app.example.org", "prefix /api/")), want: policy.Deny},
		verdict{name: "when the Gateway comes last", world: world(plain, theirs("prefix /api/"), vs("team-a/x", "own", "app.example.org", "prefix /api/")), change: create(mine), want: policy.Deny, field: "spec.servers"},
		verdict{name: "the same path in one namespace", world: world(tls, theirs("prefix /api/")), change: create(vs("team-b/x", "web", "app.example.org", "prefix /api/")), want: policy.Warn},

		verdict{name: "a host out of another team's wildcard", world: world(any, vs("team-b/y", "any", "*.example.org", "all")), change: create(vs("team-a/x", "team-b/any", "app.example.org", "prefix /api/")), want: policy.Deny, field: "spec.hosts"},
		verdict{name: "in plain text through another Gateway, out of a wildcard", world: world(plain, mine, vs("team-b/y", "web", "*.example.org", "all")), change: create(vs("team-a/x", "own", "app.example.org", "all")), want: policy.Deny},
		verdict{name: "a host that was taken out of the wildcard before", world: world(any, vs("team-b/y", "any", "*.example.org", "all"), vs("team-c/z", "team-b/any", "app.example.org", "prefix /z/")),
			change: create(vs("team-a/x", "team-b/any", "app.example.org", "prefix /api/")), want: silent},
		verdict{name: "the wildcard comes second", world: world(any, vs("team-a/x", "team-b/any", "app.example.org", "all")), change: create(vs("team-b/y", "any", "*.example.org", "all")), want: silent},
		verdict{name: "a host out of its own wildcard", world: world(any, vs("team-b/y", "any", "*.example.org", "all")), change: create(vs("team-b/x", "any", "app.example.org", "all")), want: silent},
		verdict{name: "a host out of everything", world: world(any, vs("team-b/y", "any", "*", "all")), change: create(vs("team-a/x", "team-b/any", "app.example.org", "all")), want: silent},
		verdict{name: "behind its own catch-all", world: world(tls, theirs("prefix /api/")), change: my("prefix /", "prefix /api/"), want: silent},
		verdict{name: "before its own catch-all", world: world(tls, theirs("prefix /api/")), change: my("prefix /api/", "prefix /"), want: policy.Deny},
		verdict{name: "what is behind a catch-all takes no part", world: world(tls, theirs("all", "prefix /api/")), change: my("prefix /"), want: policy.Deny},
		verdict{name: "another path", world: world(tls, theirs("prefix /api/")), change: my("prefix /docs/"), want: silent},
		verdict{name: "a catch-all behind other paths", world: world(tls, theirs("prefix /api/", "exact /x")), change: my("prefix /"), want: silent},
		verdict{name: "another regex", world: world(tls, theirs("prefix /api/")), change: my("regex /docs/[0-9]+"), want: silent},
		verdict{name: "a host of its own out of a wildcard server", world: world(tls, vs("team-b/y", "web", "one.b.org", "all")), change: create(vs("team-a/x", "team-b/web", "two.b.org", "all")), want: silent},
		verdict{name: "in plain text, other hosts", world: world(plain, mine, theirs("all")), change: create(vs("team-a/x", "own", "other.example.org", "all")), want: silent},
		verdict{name: "TLS servers have virtual hosts of their own", world: world(tls, gw("team-a/own", "443 HTTPS *"), theirs("all")), change: create(vs("team-a/x", "own", "app.example.org", "all")), want: silent},
		verdict{name: "other paths in one namespace", world: world(tls, theirs("all")), change: create(vs("team-b/x", "web", "app.example.org", "prefix /api/")), want: silent},
		verdict{name: "on other pods", world: world(with(tls, func(g *resource.Gateway) { g.Selector = map[string]string{"a": "b"} }), theirs("all")), change: my("prefix /api/"), want: silent},
		verdict{name: "notebooks of two tenants", world: world(vs("team-b/nb", guarded, "*", "prefix /notebook/team-b/nb/")), change: create(vs("team-a/nb", guarded, "*", "prefix /notebook/team-a/nb/")), want: silent},
	)
}
