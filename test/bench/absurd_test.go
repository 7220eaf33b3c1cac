package main

import (
	"fmt"
	"testing"

	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/test/worlds"
)

// Objects that nobody writes by hand, and that Istio's API accepts: none may take long, for
// whoever sends them shares the webhook with everybody.
func BenchmarkAbsurd(b *testing.B) {
	g := deploykf.Default().GuardedGateways[0]
	meta := func(ns string) resource.Meta { return resource.Meta{Namespace: ns, Name: "new"} }
	hosts := make([]string, 10_000)
	for i := range hosts {
		hosts[i] = fmt.Sprintf("h%d.example.org", i)
	}
	routes := worlds.Route(meta("team-a"), "*", g.Namespace+"/deploykf-gateway", "/")
	routes.HTTP[0].Matches = nil
	for i := range 10_000 {
		routes.HTTP[0].Matches = append(routes.HTTP[0].Matches, resource.HTTPMatch{
			URI: resource.StringMatch{Type: resource.MatchRegex, Value: fmt.Sprintf("/(a|b)*/%d/.*", i)},
		})
	}
	// Ten thousand routes that have ten thousand others behind them, and as many names.
	root, part := worlds.Route(meta("team-a"), "*", g.Namespace+"/deploykf-gateway", "/"), &resource.VirtualService{Meta: resource.Meta{Namespace: "team-a", Name: "part"}}
	names := &resource.ServiceEntry{Meta: meta("team-b"), Hosts: hosts, ResolvesDNS: true}
	root.HTTP = nil
	for i, h := range hosts {
		root.HTTP = append(root.HTTP, resource.HTTPRoute{Name: h, Delegate: "team-a/part"})
		part.HTTP = append(part.HTTP, resource.HTTPRoute{Name: h, Destinations: []resource.Destination{{Host: h}}})
		names.Endpoints = append(names.Endpoints, fmt.Sprintf("h%d.team-b.svc.cluster.local", i))
	}
	many := worlds.Route(meta("team-a"), "*", g.Namespace+"/deploykf-gateway", "/")
	many.HTTP = part.HTTP
	for name, c := range map[string]struct {
		world  []resource.Object
		object resource.Object
	}{
		"virtualservice-10000-routes-each-to-10000": {[]resource.Object{part}, root},
		"virtualservice-10000-destinations-by-name": {[]resource.Object{names}, many},
		"serviceentry-10000-names-of-destinations":  {[]resource.Object{many}, names},
		"gateway-10000-hosts-twice": {
			[]resource.Object{worlds.HTTPSGateway(meta("team-b"), g.PodLabels, hosts...)},
			worlds.HTTPSGateway(meta("team-a"), g.PodLabels, hosts...),
		},
		"virtualservice-10000-expressions": {nil, routes},
	} {
		s := worlds.Snapshot(worlds.Base(), c.world)
		e := policy.NewEngine(deploykf.Default(), rules.All())
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				e.Decide(s, policy.Change{Operation: policy.Create, New: c.object})
			}
		})
	}
}
