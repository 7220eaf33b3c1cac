// Package bench measures what a decision costs, and how that grows with the cluster.
package bench

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/test/worlds"
)

func changes() map[string]policy.Change {
	g := deploykf.Default().GuardedGateways[0]
	meta := resource.Meta{Namespace: "team-a", Name: "new"}
	create := func(o resource.Object) policy.Change { return policy.Change{Operation: policy.Create, New: o} }
	return map[string]policy.Change{
		"gateway-allow":        create(worlds.HTTPSGateway(meta, g.PodLabels, "new.example.org")),
		"gateway-deny":         create(worlds.HTTPSGateway(meta, g.PodLabels, deploykf.DefaultHostname)),
		"gateway-elsewhere":    create(worlds.HTTPSGateway(meta, map[string]string{"istio": "other"}, deploykf.DefaultHostname)),
		"virtualservice-allow": create(worlds.Route(meta, "*", g.Namespace+"/deploykf-gateway", "/notebook/team-a/nb/")),
		"virtualservice-deny":  create(worlds.Route(meta, "*", g.Namespace+"/deploykf-gateway", "/dex/")),
		"virtualservice-backend-deny": create(&resource.VirtualService{
			Meta: meta, Hosts: []string{"*"}, Gateways: []string{g.Namespace + "/deploykf-gateway"}, HTTP: []resource.HTTPRoute{{
				Matches:      []resource.HTTPMatch{{URI: resource.StringMatch{Type: resource.MatchPrefix, Value: "/notebook/team-a/nb/"}}},
				Destinations: []resource.Destination{{Host: "ml-pipeline-ui.kubeflow.svc.cluster.local"}},
			}},
		}),
		"externalname-allow": create(&resource.Service{Meta: meta, ExternalName: "ml-pipeline-ui.kubeflow.svc.cluster.local"}),
		"serviceentry-deny": create(&resource.ServiceEntry{
			Meta: meta, Hosts: []string{"ml-pipeline-ui.kubeflow.svc.cluster.local"},
		}),
		"service-deny": create(&resource.Service{
			Meta: resource.Meta{Namespace: g.Namespace, Name: "new"}, Selector: g.PodLabels,
			Ports: []resource.ServicePort{{Port: 443, TargetPort: 9443}},
		}),
		"service-allow": create(&resource.Service{
			Meta: resource.Meta{Namespace: g.Namespace, Name: "new"}, Selector: g.PodLabels,
			Ports: []resource.ServicePort{{Port: 9443, TargetPort: 10443}},
		}),
		"authorization-deny": create(&resource.AuthorizationPolicy{
			Meta: resource.Meta{Namespace: g.Namespace, Name: "new"}, Action: "DENY", Rules: []resource.AuthorizationRule{{}},
		}),
		"destinationrule-deny": create(&resource.DestinationRule{
			Meta: resource.Meta{Namespace: "kubeflow", Name: "new"}, Host: "ml-pipeline", Policy: resource.TrafficPolicy{TLS: "DISABLE"},
		}),
		"sidecar-bypass": create(&resource.Workload{
			Meta: resource.Meta{Namespace: "kubeflow", Name: "new"}, Kind: resource.KindDeployment, Pod: resource.PodTemplate{HostNetwork: true},
		}),
		"peerauth-allow": create(&resource.PeerAuthentication{
			Meta: resource.Meta{Namespace: "kubeflow", Name: "new"}, Mode: resource.ModeStrict,
		}),
		"peerauth-deny": create(&resource.PeerAuthentication{
			Meta: resource.Meta{Namespace: "kubeflow", Name: "new"}, Mode: resource.ModePermissive,
		}),
	}
}

// BenchmarkDecision shows a decision at three sizes of the cluster, with objects on other
// hosts of the same listener among them: the cost must not grow.
func BenchmarkDecision(b *testing.B) {
	for _, n := range []int{100, 1_000, 10_000} {
		s := worlds.Snapshot(worlds.Base(), worlds.Shape{Objects: n, Seed: 1}.Decoded())
		e := policy.NewEngine(deploykf.Default(), rules.All())
		for name, c := range changes() {
			b.Run(fmt.Sprintf("%s/objects=%d", name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					e.Decide(s, c)
				}
			})
		}
	}
}

// BenchmarkProtectedNamespace shows the dearest honest decision about mutual TLS: pods and
// policies by the thousand in one protected namespace, and a change that concerns all of them.
func BenchmarkProtectedNamespace(b *testing.B) {
	for _, n := range []int{100, 1_000, 10_000} {
		s := worlds.Snapshot(worlds.Protected("kubeflow", n, n/10))
		e := policy.NewEngine(deploykf.Default(), rules.All())
		whole := &resource.PeerAuthentication{Meta: resource.Meta{Namespace: "kubeflow", Name: "whole"}, Mode: resource.ModeStrict}
		b.Run(fmt.Sprintf("pods=%d/policies=%d", n, n/10), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				e.Decide(s, policy.Change{Operation: policy.Delete, Old: whole})
			}
		})
	}
}

// BenchmarkEvent shows what it costs to take in one watch event and to judge the first
// change after it, when nothing is remembered about the snapshot.
func BenchmarkEvent(b *testing.B) {
	for _, n := range []int{100, 1_000, 10_000} {
		b.Run(fmt.Sprintf("objects=%d", n), func(b *testing.B) {
			s := worlds.Snapshot(worlds.Base(), worlds.Shape{Objects: n, Seed: 1}.Decoded())
			e := policy.NewEngine(deploykf.Default(), rules.All())
			c := changes()["virtualservice-allow"]
			b.ReportAllocs()
			for b.Loop() {
				e.Decide(s.With(c.New), c)
			}
		})
	}
}

// The work of a decision is counted in allocations, which do not depend on the machine: the
// same change allocates as much in a hundred times the cluster, but for the depth of the
// trees.
func TestDecisionDoesNotGrowWithTheCluster(t *testing.T) {
	allocs := func(n int, c policy.Change) float64 {
		s := worlds.Snapshot(worlds.Base(), worlds.Shape{Objects: n, Seed: 1}.Decoded())
		e := policy.NewEngine(deploykf.Default(), rules.All())
		return testing.AllocsPerRun(10, func() { e.Decide(s, c) })
	}
	for name, c := range changes() {
		small, large := allocs(100, c), allocs(10_000, c)
		require.LessOrEqual(t, large, small+5, "%s: %v allocations at 100 objects, %v at 10,000", name, small, large)
	}
}

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
