package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestTenantL4Conflict(t *testing.T) {
	tls := func(key, sni string) *resource.VirtualService {
		return with(vs(key, "team-b/web", "*.b.org"), func(v *resource.VirtualService) {
			v.TLS = []resource.L4Route{{Matches: []resource.L4Match{{SNIHosts: []string{sni}}}}}
		})
	}
	tcp := func(key string, port uint32) *resource.VirtualService {
		return with(vs(key, "team-b/web", "*"), func(v *resource.VirtualService) {
			v.TCP = []resource.L4Route{{Matches: []resource.L4Match{{Port: port}}}}
		})
	}
	passthrough, plain := gw("team-b/web", "9443 TLS *.b.org PASSTHROUGH"), gw("team-b/web", "9000 TCP *")
	world := func(o ...resource.Object) []resource.Object { return o }
	check(t, "GWD308",
		verdict{name: "the same server name", world: world(passthrough, tls("team-b/y", "app.b.org")), change: create(tls("team-a/x", "App.b.org")), want: policy.Deny, field: "spec.tls[0].match[0].sniHosts[0]"},
		verdict{name: "the same port", world: world(plain, tcp("team-b/y", 0)), change: create(tcp("team-a/x", 9000)), want: policy.Deny, field: "spec.tcp[0].match[0]"},
		verdict{name: "another server name", world: world(passthrough, tls("team-b/y", "app.b.org")), change: create(tls("team-a/x", "other.b.org")), want: silent},
		verdict{name: "another port", world: world(plain, tcp("team-b/y", 0)), change: create(tcp("team-a/x", 9001)), want: silent},
		verdict{name: "its own namespace's", world: world(plain, tcp("team-b/y", 0)), change: create(tcp("team-b/x", 0)), want: silent},
		verdict{name: "the server routes by itself", world: world(gw("team-b/web", "9443 TLS *.b.org AUTO_PASSTHROUGH"), tls("team-b/y", "app.b.org")), change: create(tls("team-a/x", "app.b.org")), want: silent},
		verdict{name: "the server terminates TLS", world: world(gw("team-b/web", "9443 HTTPS *.b.org"), tls("team-b/y", "app.b.org")), change: create(tls("team-a/x", "app.b.org")), want: silent},
	)
}
