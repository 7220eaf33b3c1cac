package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestListenerRefused(t *testing.T) {
	other := []resource.Object{gw("team-b/y", "443 HTTPS app.example.org")}
	// A route for more names than its Gateway has.
	routed := func(sni string) []resource.Object {
		return []resource.Object{gw("team-b/y", "443 TLS api.example.org PASSTHROUGH"), with(vs("team-b/y", "y", "*.example.org"), func(v *resource.VirtualService) {
			v.TLS = []resource.L4Route{{Matches: []resource.L4Match{{SNIHosts: []string{sni}}}}}
		})}
	}
	check(t, "GWD104",
		verdict{name: "a partial wildcard", change: create(gw("team-a/x", "443 HTTPS *-app.example.org")), want: policy.Deny, field: "spec.servers[0].hosts[0]"},
		verdict{name: "a partial wildcard in plain text", change: create(gw("team-a/x", "80 HTTP *-app.example.org")), want: silent},
		verdict{name: "a partial wildcard on a port of its own", change: create(gw("team-a/x", "9443 HTTPS *-app.example.org")), want: silent},
		verdict{name: "another team's name with a namespace", world: other, change: create(gw("team-a/x", "443 HTTPS ./app.example.org")), want: policy.Deny},
		verdict{name: "another team's name in another case", world: other, change: create(gw("team-a/x", "443 HTTPS APP.example.org")), want: policy.Deny},
		verdict{name: "another team's name with a bind", world: other, change: create(gw("team-a/x", "443 HTTPS app.example.org bind=0.0.0.0")), want: policy.Deny},
		verdict{name: "its own name in another case", change: create(gw("team-a/x", "443 HTTPS a.example.org", "443 HTTPS A.example.org")), want: policy.Deny, field: "spec.servers[1].hosts[0]"},
		verdict{name: "its own name in its own namespace", change: create(gw("team-a/x", "443 HTTPS a.example.org", "443 TLS ./a.example.org")), want: policy.Deny},
		verdict{name: "two letter cases in one server", change: create(gw("team-a/x", "443 HTTPS a.example.org,A.example.org")), want: policy.Deny, field: "spec.servers[0].hosts[1]"},
		verdict{name: "the owner, beside a tenant's name", world: []resource.Object{gw("team-b/y", "443 HTTPS new.example.org")}, change: create(gw(guarded, "443 HTTPS team-b/new.example.org")), want: policy.Deny},
		verdict{name: "the owner's partial wildcard", change: create(gw(guarded, "443 HTTPS *-x.example.org")), want: policy.Deny},
		verdict{name: "another team's name on a port that nobody guards", world: []resource.Object{gw("team-b/y", "9443 HTTPS b.org")}, change: create(gw("team-a/x", "9443 HTTPS team-a/b.org")), want: policy.Deny},
		verdict{name: "its own name on a port of its own", change: create(gw("team-a/x", "9443 HTTPS a.org", "9443 HTTPS A.org")), want: silent},
		verdict{name: "the same spelling is only dropped", world: other, change: create(gw("team-a/x", "443 HTTPS */app.example.org")), want: silent},
		verdict{name: "twice in one server is one chain", change: create(gw("team-a/x", "443 HTTPS a.example.org,./a.example.org")), want: silent},
		verdict{name: "its own name in another case beside a server for every name", change: create(gw("team-a/x", "443 HTTPS a.example.org", "443 HTTPS *,A.example.org")), want: silent},
		verdict{name: "a partial wildcard in a server for every name", change: create(gw("team-a/x", "443 HTTPS *,*-app.example.org")), want: silent},
		verdict{name: "its own name with a namespace, both passed through", world: []resource.Object{gw("team-a/y", "443 TLS ./a.example.org PASSTHROUGH")}, change: create(gw("team-a/x", "443 TLS a.example.org PASSTHROUGH")), want: silent},
		verdict{name: "its own name in another case, both passed through", world: []resource.Object{gw("team-a/y", "443 TLS A.example.org PASSTHROUGH")}, change: create(gw("team-a/x", "443 TLS a.example.org PASSTHROUGH")), want: policy.Deny},
		verdict{name: "a server name of another team's route", world: routed("*.example.org"), change: create(gw("team-a/x", "443 HTTPS *.example.org")), want: policy.Deny, field: "spec.servers[0].hosts[0]"},
		verdict{name: "no server name of another team's route", world: routed("api.example.org"), change: create(gw("team-a/x", "443 HTTPS app.example.org")), want: silent},
		verdict{name: "a server name of another team's route on another port", world: routed("*.example.org"), change: create(gw("team-a/x", "9443 HTTPS *.example.org")), want: silent},
		verdict{name: "plain text with the owner's address in another spelling", change: create(gw("team-a/x", "80 HTTP app.example.org bind=0.0.0.0")), want: policy.Deny, field: "spec.servers[0].bind"},
		verdict{name: "plain text on an address of its own", change: create(gw("team-a/x", "80 HTTP app.example.org bind=127.0.0.1")), want: silent},
		verdict{name: "plain text in two spellings on a port of its own", change: create(gw("team-a/x", "8080 HTTP a.example.org", "8080 HTTP b.example.org bind=0.0.0.0")), want: silent},
		verdict{name: "plain text beside a tenant's in another spelling", world: []resource.Object{gw("team-b/y", "8080 HTTP b.example.org bind=0.0.0.0")}, change: create(gw("team-a/x", "8080 GRPC a.example.org")), want: policy.Deny, field: "spec.servers[0].bind"},
		verdict{name: "plain text beside another spelling on other pods", world: []resource.Object{with(gw("team-b/y", "8080 HTTP b.example.org bind=0.0.0.0"), func(g *resource.Gateway) {
			g.Selector = map[string]string{"a": "b"}
		})}, change: create(gw("team-a/x", "8080 HTTP a.example.org")), want: silent},
		verdict{name: "HTTP's kin beside the owner's", change: create(gw("team-a/x", "80 GRPC app.example.org")), want: silent},
		verdict{name: "HTTP's kin beside the owner's, with a bind between them", world: []resource.Object{gw("team-b/y", "80 HTTP b.example.org bind=127.0.0.1")}, change: create(gw("team-a/x", "80 GRPC app.example.org")), want: policy.Deny, field: "spec.servers[0].port.protocol"},
		verdict{name: "a bind between HTTP's kin", world: []resource.Object{gw("team-b/y", "80 GRPC b.example.org")}, change: create(gw("team-a/x", "80 HTTP app.example.org bind=127.0.0.1")), want: policy.Deny, field: "spec.servers[0].bind"},
		verdict{name: "both by itself", change: create(gw("team-a/x", "80 HTTP a.example.org bind=127.0.0.1", "80 GRPC app.example.org")), want: policy.Deny},
		verdict{name: "the owner, beside another spelling", world: []resource.Object{gw("team-b/y", "80 HTTP b.example.org bind=0.0.0.0")}, change: create(gw(redirect, "80 HTTP deploykf-istio-gateway/"+h)), want: policy.Deny},
		verdict{name: "the other name is on other pods", world: []resource.Object{with(gw("team-b/y", "443 HTTPS app.example.org"), func(g *resource.Gateway) {
			g.Selector = map[string]string{"a": "b"}
		})}, change: create(gw("team-a/x", "443 HTTPS ./app.example.org")), want: silent},
	)
}
