package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func matching(o *resource.VirtualService, change func(*resource.HTTPMatch)) *resource.VirtualService {
	change(&o.HTTP[0].Matches[0])
	return o
}

func TestForeignRoute(t *testing.T) {
	nosni := []resource.Object{server443("*")}
	own := gw("team-a/own", "80 HTTP *")
	check(t, "GWD301",
		verdict{name: "a taken path", change: create(vs("team-a/x", guarded, h, "prefix /pipeline")), want: policy.Deny, field: "spec.http[0].match[0].uri"},
		verdict{name: "a path that is free", change: create(vs("team-a/x", guarded, h, "prefix /free/")), want: policy.Deny},
		verdict{name: "every path", change: create(vs("team-a/x", guarded, h, "prefix /")), want: policy.Deny},
		verdict{name: "no match", change: create(vs("team-a/x", guarded, h, "all")), want: policy.Deny, field: "spec.http[0]"},
		verdict{name: "a match without a path", change: create(vs("team-a/x", guarded, h, "any")), want: policy.Deny, field: "spec.http[0].match[0]"},
		verdict{name: "the root alone", change: create(vs("team-a/x", guarded, h, "exact /")), want: policy.Deny},
		verdict{name: "every path by regex", change: create(vs("team-a/x", guarded, h, "regex /.+")), want: policy.Deny},
		verdict{name: "a regex with a way out of the tenant's path", change: create(vs("team-a/x", guarded, h, "regex /notebook/team-a/.*|/dex/.*")), want: policy.Deny},
		verdict{name: "a regex that is none", change: create(vs("team-a/x", guarded, h, "regex /notebook/team-a/(")), want: policy.Deny},
		verdict{name: "second of its routes", change: create(vs("team-a/x", guarded, h, "prefix /notebook/team-a/", "prefix /dex/")), want: policy.Deny, field: "spec.http[1].match[0].uri"},
		verdict{name: "every host", change: create(vs("team-a/x", guarded, "*", "prefix /pipeline/")), want: policy.Deny},
		verdict{name: "a wildcard around the host", change: create(vs("team-a/x", guarded, "*.example.com", "prefix /pipeline/")), want: policy.Deny},
		verdict{name: "the legacy name of the Gateway", change: create(vs("team-a/x", "deploykf-gateway.deploykf-istio-gateway", h, "prefix /x")), want: policy.Deny},
		verdict{name: "the longer legacy name", change: create(vs("team-a/x", "deploykf-gateway.deploykf-istio-gateway.svc.cluster.local", h, "prefix /x")), want: policy.Deny},
		verdict{name: "the short name in the Gateway's namespace", change: create(vs("deploykf-istio-gateway/x", "deploykf-gateway", h, "prefix /x")), want: policy.Deny},
		verdict{name: "beside a Gateway of its own", change: create(vs("team-a/x", "team-a/own,"+guarded, h, "prefix /x")), want: policy.Deny},
		verdict{name: "before the Gateways exist", bare: true, change: create(vs("team-a/x", guarded, h, "prefix /x")), want: policy.Deny},
		verdict{name: "in another case, where every host is served", world: nosni, change: create(vs("team-a/x", guarded, "DeployKF.example.com", "prefix /x")), want: policy.Deny},
		verdict{name: "every host where every host is served", world: nosni, change: create(vs("team-a/x", guarded, "*", "prefix /")), want: policy.Deny},
		verdict{name: "another spelling of the tenant's path", change: create(matching(vs("team-a/x", guarded, h, "prefix /notebook/team-a/"), func(m *resource.HTTPMatch) { m.IgnoreURICase = true })), want: policy.Deny},
		verdict{name: "private to the gateway's namespace", change: create(with(vs("deploykf-istio-gateway/x", guarded, h, "prefix /x"), func(v *resource.VirtualService) { v.ExportTo = []string{"."} })), want: policy.Deny},
		verdict{name: "exported to the gateway's namespace", change: create(with(vs("team-a/x", guarded, h, "prefix /x"), func(v *resource.VirtualService) { v.ExportTo = []string{"deploykf-istio-gateway"} })), want: policy.Deny},
		verdict{name: "for the port of the Gateway", change: create(matching(vs("team-a/x", guarded, h, "prefix /x"), func(m *resource.HTTPMatch) { m.Port = 443 })), want: policy.Deny},
		verdict{name: "for the Gateway among others", change: create(matching(vs("team-a/x", "own,"+guarded, h, "prefix /x"), func(m *resource.HTTPMatch) { m.Gateways = []string{"deploykf-gateway.deploykf-istio-gateway"} })), want: policy.Deny},
		verdict{name: "through its own Gateway in plain text", world: []resource.Object{own}, change: create(vs("team-a/x", "own", h, "prefix /dex/")), want: policy.Deny},
		verdict{name: "a tenant's path through its own Gateway in plain text", world: []resource.Object{own}, change: create(vs("team-a/x", "own", h, "prefix /notebook/team-a/")), want: policy.Deny},
		verdict{name: "its own Gateway, when the route is there already", world: []resource.Object{vs("team-a/x", "own", h, "prefix /dex/")}, change: create(own), want: policy.Deny, field: "spec.servers"},
		verdict{name: "it was there before", change: update(vs("team-a/x", guarded, h, "prefix /x"), vs("team-a/x", guarded, h, "prefix /x", "prefix /notebook/team-a/")), want: policy.Warn},
		verdict{name: "half of a repair", change: update(vs("team-a/x", guarded, h, "prefix /x/"), vs("team-a/x", guarded, h, "exact /x/y")), want: policy.Warn},
		verdict{name: "no longer a catch-all, which is asked last", change: update(vs("team-a/x", guarded, h, "prefix /"), vs("team-a/x", guarded, h, "prefix /x")), want: policy.Deny},
		verdict{name: "its condition is taken away", change: update(matching(vs("team-a/x", guarded, h, "prefix /x"), func(m *resource.HTTPMatch) { m.Conditioned = true }), vs("team-a/x", guarded, h, "prefix /x")), want: policy.Deny},
		verdict{name: "it is exported to the front", change: update(vs("team-a/x", guarded, h, "prefix /x"), with(vs("team-a/x", guarded, h, "prefix /x"), func(v *resource.VirtualService) { v.ExportTo = []string{"deploykf-istio-gateway"} })), want: policy.Deny},
		verdict{name: "one more is added", change: update(vs("team-a/x", guarded, h, "prefix /x"), vs("team-a/x", guarded, h, "prefix /x", "prefix /y")), want: policy.Deny},

		verdict{name: "an ACME challenge from the pods' namespace", change: create(vs("deploykf-istio-gateway/x", guarded, h, "exact /.well-known/acme-challenge/token")), want: policy.Warn},
		verdict{name: "an ACME challenge from elsewhere", change: create(vs("team-a/x", guarded, h, "exact /.well-known/acme-challenge/token")), want: policy.Deny},
		verdict{name: "a notebook", change: create(vs("team-a/x", guarded, "*", "prefix /notebook/team-a/nb/")), want: silent},
		verdict{name: "a tensorboard", change: create(vs("team-a/x", guarded, h, "prefix /tensorboard/team-a/tb/")), want: silent},
		verdict{name: "a regex below the tenant's path", change: create(vs("team-a/x", guarded, h, "regex ^/notebook/team-a/[a-z]+/.*")), want: silent},
		verdict{name: "a path that the configuration adds", config: adds("/apps/{namespace}/"), change: create(vs("team-a/x", guarded, h, "prefix /apps/team-a/")), want: silent},
		verdict{name: "the owner's own", change: create(vs("deploykf-auth/dex", guarded, h, "prefix /dex/")), want: silent},
		verdict{name: "another host", change: create(vs("team-a/x", guarded, "app.example.org", "all")), want: silent},
		verdict{name: "a host that the Gateway keeps to one namespace", change: create(vs("team-a/x", guarded, "argo-server."+h, "all")), want: silent},
		verdict{name: "a Gateway that admits only its own namespace", change: create(vs("team-a/x", redirect, h, "all")), want: silent},
		verdict{name: "another case of an exact host binds to nothing", change: create(vs("team-a/x", guarded, "DeployKF.example.com", "all")), want: silent},
		verdict{name: "a Gateway of that name in its own namespace", change: create(vs("team-a/x", "./deploykf-gateway", h, "all")), want: silent},
		verdict{name: "the short name in its own namespace", change: create(vs("team-a/x", "deploykf-gateway", h, "all")), want: silent},
		verdict{name: "the mesh", change: create(vs("team-a/x", "mesh", h, "all")), want: silent},
		verdict{name: "not exported", change: create(with(vs("team-a/x", guarded, h, "all"), func(v *resource.VirtualService) { v.ExportTo = []string{"."} })), want: silent},
		verdict{name: "for another port", change: create(matching(vs("team-a/x", guarded, h, "prefix /x"), func(m *resource.HTTPMatch) { m.Port = 8080 })), want: silent},
		verdict{name: "for another Gateway only", change: create(matching(vs("team-a/x", "own,"+guarded, h, "prefix /x"), func(m *resource.HTTPMatch) { m.Gateways = []string{"own"} })), want: silent},
		verdict{name: "every host through its own Gateway in plain text", world: []resource.Object{own}, change: create(vs("team-a/x", "own", "*", "all")), want: silent},
		verdict{name: "through its own Gateway on another port", world: []resource.Object{gw("team-a/own", "8080 HTTP *")}, change: create(vs("team-a/x", "own", h, "all")), want: silent},
	)
}

func adds(path string) func(*config.Configuration) {
	return func(c *config.Configuration) {
		c.GuardedGateways[0].TenantPaths = append(c.GuardedGateways[0].TenantPaths, path)
	}
}
