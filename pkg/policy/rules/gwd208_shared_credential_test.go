package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestSharedCredential(t *testing.T) {
	certified := func(g *resource.Gateway, credential string) *resource.Gateway {
		g.Servers[0].TLS.CredentialName = credential
		return g
	}
	owner := []resource.Object{certified(server443(h), "cert")}
	check(t, "GWD208",
		verdict{name: "the owner's", world: owner, change: create(certified(gw("team-a/x", "443 HTTPS app.example.org"), "cert")), want: policy.Warn, field: "spec.servers[0].tls.credentialName"},
		verdict{name: "its own", world: owner, change: create(certified(gw("team-a/x", "443 HTTPS app.example.org"), "mine")), want: silent},
		verdict{name: "none", world: owner, change: create(gw("team-a/x", "443 TLS app.example.org PASSTHROUGH")), want: silent},
		verdict{name: "on another port", world: owner, change: create(certified(gw("team-a/x", "9443 HTTPS app.example.org"), "cert")), want: silent},
	)
}
