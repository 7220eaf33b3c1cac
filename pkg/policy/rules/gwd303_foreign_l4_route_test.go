package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestForeignL4Route(t *testing.T) {
	passthrough := []resource.Object{gw(guarded, "443 TLS *.example.com PASSTHROUGH")}
	tcp := []resource.Object{gw(guarded, "9000 TCP *")}
	tls := func(sni ...string) *resource.VirtualService {
		v := vs("team-a/x", guarded, h)
		v.TLS = []resource.L4Route{{Matches: []resource.L4Match{{SNIHosts: sni, Port: 443}}}}
		return v
	}
	any := vs("team-a/x", guarded, "*")
	any.TCP = []resource.L4Route{{}}
	ported := func(port uint32) *resource.VirtualService {
		v := vs("team-a/x", guarded, "*")
		v.TCP = []resource.L4Route{{Matches: []resource.L4Match{{Port: port}}}}
		return v
	}
	check(t, "GWD303",
		verdict{name: "a guarded server name", world: passthrough, change: create(tls(h)), want: policy.Deny, field: "spec.tls[0].match[0].sniHosts"},
		verdict{name: "a wildcard around it", world: passthrough, change: create(tls("*.example.com")), want: policy.Deny},
		verdict{name: "every TCP connection", world: tcp, change: create(any), want: policy.Deny, field: "spec.tcp[0]"},
		verdict{name: "TCP connections to the port", world: tcp, change: create(ported(9000)), want: policy.Deny},
		verdict{name: "a guarded server name through its own Gateway", world: []resource.Object{gw("team-a/own", "443 TLS *.team.org PASSTHROUGH")}, change: create(through(tls(h))), want: policy.Deny, field: "spec.tls[0].match[0].sniHosts[0]"},
		verdict{name: "below the domain through its own Gateway", world: []resource.Object{gw("team-a/own", "443 TLS *.team.org PASSTHROUGH")}, change: create(through(tls("new." + h))), want: policy.Deny},
		verdict{name: "out of the owner's wildcard", world: []resource.Object{gw("team-a/own", "443 TLS *.team.org PASSTHROUGH"), server443("*")}, change: create(through(tls(h))), want: policy.Deny},
		verdict{name: "on a port that nobody guards", world: []resource.Object{gw("team-a/own", "9443 TLS *.team.org PASSTHROUGH")}, change: create(with(through(tls(h)), func(v *resource.VirtualService) { v.TLS[0].Matches[0].Port = 0 })), want: policy.Warn},
		verdict{name: "another tenant's server name", world: []resource.Object{gw("team-a/own", "443 TLS *.team.org PASSTHROUGH"), gw("team-b/y", "443 HTTPS app.b.org")}, change: create(through(tls("app.b.org"))), want: policy.Deny},
		verdict{name: "the Gateway comes last", world: []resource.Object{through(tls(h))}, change: create(gw("team-a/own", "443 TLS *.team.org PASSTHROUGH")), want: policy.Deny, field: "spec.servers"},
		verdict{name: "through a Gateway that routes by itself", world: []resource.Object{gw("team-a/own", "443 TLS *.team.org AUTO_PASSTHROUGH")}, change: create(through(tls(h))), want: silent},
		verdict{name: "its own server name", world: []resource.Object{gw("team-a/own", "443 TLS *.team.org PASSTHROUGH")}, change: create(through(tls("x.team.org"))), want: silent},
		verdict{name: "another server name", world: passthrough, change: create(tls("app.example.org")), want: silent},
		verdict{name: "TCP connections to another port", world: tcp, change: create(ported(9001)), want: silent},
		verdict{name: "the owner terminates TLS", change: create(tls(h)), want: silent},
		verdict{name: "the owner's own", world: passthrough, change: create(with(tls(h), func(v *resource.VirtualService) { v.Meta = meta("deploykf-auth/dex") })), want: silent},
	)
}

// through binds a VirtualService to its own Gateway, by a host of that Gateway.
func through(v *resource.VirtualService) *resource.VirtualService {
	return with(v, func(v *resource.VirtualService) {
		v.Gateways, v.Hosts = []string{"team-a/own"}, append([]string{"x.team.org"}, v.Hosts...)
	})
}
