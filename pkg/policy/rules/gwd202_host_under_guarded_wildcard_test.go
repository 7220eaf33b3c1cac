package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestHostUnderGuardedWildcard(t *testing.T) {
	wildcard, nosni := []resource.Object{server443("*.example.net")}, []resource.Object{server443("*")}
	plain := []resource.Object{gw(redirect, "80 HTTP deploykf-istio-gateway/*."+h)}
	check(t, "GWD202",
		verdict{name: "a name", world: wildcard, change: create(gw("team-a/x", "443 HTTPS app.example.net")), want: policy.Deny},
		verdict{name: "a deeper wildcard", world: wildcard, change: create(gw("team-a/x", "443 HTTPS *.app.example.net")), want: policy.Deny},
		verdict{name: "in plain text", world: plain, change: create(gw("team-a/x", "80 HTTP app."+h)), want: policy.Deny},
		verdict{name: "the wildcard's own domain is not below it", world: wildcard, change: create(gw("team-a/x", "443 HTTPS example.net")), want: silent},
		verdict{name: "a name that deployKF uses, where it serves every host", world: nosni, change: create(gw("team-a/x", "443 HTTPS "+h)), want: policy.Deny},
		verdict{name: "below its domain", world: nosni, change: create(gw("team-a/x", "443 HTTPS new."+h)), want: policy.Deny},
		verdict{name: "around its domain", world: nosni, change: create(gw("team-a/x", "443 HTTPS *.example.com")), want: policy.Deny},
		verdict{name: "a host of the owner's own route", world: append([]resource.Object{
			vs("deploykf-auth/dex", guarded, "login.example.net", "prefix /dex/"),
		}, nosni...), change: create(gw("team-a/x", "443 HTTPS login.example.net")), want: policy.Deny},
		verdict{name: "a host of somebody's route", world: append([]resource.Object{
			vs("team-b/y", guarded, "login.example.net", "prefix /x/"),
		}, nosni...), change: create(gw("team-a/x", "443 HTTPS login.example.net")), want: silent},
		verdict{name: "a name that deployKF does not use", world: nosni, change: create(gw("team-a/x", "443 HTTPS app.example.org")), want: silent},
		verdict{name: "another port", world: wildcard, change: create(gw("team-a/x", "9443 HTTPS app.example.net")), want: silent},
	)
}
