package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestRequestAuthentication(t *testing.T) {
	ra := func(key string, rules ...resource.JWTRule) *resource.RequestAuthentication {
		return &resource.RequestAuthentication{Meta: meta(key), Target: selected, Rules: rules}
	}
	x := gatewayNS + "/x"
	check(t, "GWD404",
		verdict{name: "takes tokens from where they usually are", change: create(ra(x, resource.JWTRule{Issuer: "team-a"})), want: policy.Deny, field: "spec.jwtRules[0]"},
		verdict{name: "takes tokens from Authorization", change: create(ra(x, resource.JWTRule{Issuer: "team-a", Headers: []string{"x-team-a", "authorization"}})), want: policy.Deny},
		verdict{name: "sets a header", change: create(ra(x, resource.JWTRule{Issuer: "team-a", Headers: []string{"x-team-a"}, Outputs: []string{"kubeflow-userid"}})), want: policy.Deny},
		verdict{name: "in the root namespace", change: create(ra("istio-system/x", resource.JWTRule{Issuer: "team-a"})), want: policy.Deny},
		verdict{name: "takes tokens from a header of its own", change: create(ra(x, resource.JWTRule{Issuer: "team-a", Headers: []string{"x-team-a"}})), want: policy.Warn},
		verdict{name: "takes tokens from a cookie", change: create(ra(x, resource.JWTRule{Issuer: "team-a", Elsewhere: true})), want: policy.Warn},

		verdict{name: "without rules", change: create(ra(x)), want: silent},
		verdict{name: "on other pods", change: create(with(ra(x, resource.JWTRule{}), func(a *resource.RequestAuthentication) { a.Selector = dashboard })), want: silent},
		verdict{name: "in another namespace", change: create(ra("team-a/x", resource.JWTRule{})), want: silent},
		verdict{name: "where only connections count", bare: true, config: func(c *config.Configuration) { c.GuardedGateways[0].Servers = nil }, world: []resource.Object{gw(guarded, "443 TLS "+h+" PASSTHROUGH")}, change: create(ra(x, resource.JWTRule{})), want: silent},
	)
}
