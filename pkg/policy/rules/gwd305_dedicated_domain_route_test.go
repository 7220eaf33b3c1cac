package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestDedicatedDomainRoute(t *testing.T) {
	tls, plain, aside := gw("team-a/own", "443 HTTPS *"), gw("team-a/own", "80 HTTP *"), gw("team-a/own", "9443 HTTPS *")
	route := vs("team-a/x", "own", "new."+h, "all")
	check(t, "GWD305",
		verdict{name: "below the domain", world: []resource.Object{tls}, change: create(route), want: policy.Deny, field: "spec.hosts"},
		verdict{name: "in plain text", world: []resource.Object{plain}, change: create(route), want: policy.Deny},
		verdict{name: "on a port that nobody guards", world: []resource.Object{aside}, change: create(route), want: policy.Warn},
		verdict{name: "when the Gateway comes second", world: []resource.Object{route}, change: create(tls), want: policy.Deny, field: "spec.servers"},
		verdict{name: "through a Gateway that has no use for HTTP routes", world: []resource.Object{gw("team-a/own", "443 HTTPS * PASSTHROUGH")}, change: create(route), want: silent},
		verdict{name: "when the Gateway comes to have one", world: []resource.Object{gw("team-a/own", "443 HTTPS * PASSTHROUGH"), route},
			change: update(gw("team-a/own", "443 HTTPS * PASSTHROUGH"), tls), want: policy.Deny, field: "spec.servers"},
		verdict{name: "another domain", world: []resource.Object{tls}, change: create(vs("team-a/x", "own", "app.example.org", "all")), want: silent},
		verdict{name: "the Gateway is on other pods", world: []resource.Object{with(tls, func(g *resource.Gateway) { g.Selector = map[string]string{"a": "b"} })}, change: create(route), want: silent},
	)
}
