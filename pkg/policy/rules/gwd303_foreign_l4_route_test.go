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
		verdict{name: "another server name", world: passthrough, change: create(tls("app.example.org")), want: silent},
		verdict{name: "TCP connections to another port", world: tcp, change: create(ported(9001)), want: silent},
		verdict{name: "the owner terminates TLS", change: create(tls(h)), want: silent},
		verdict{name: "the owner's own", world: passthrough, change: create(with(tls(h), func(v *resource.VirtualService) { v.Meta = meta("deploykf-auth/dex") })), want: silent},
	)
}
