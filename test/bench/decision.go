package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
	"github.com/gatewarden/gatewarden/test/worlds"
)

// decisionCost is what one decision costs in a world of so many objects.
type decisionCost struct {
	Objects     int           `json:"objects"`
	Time        time.Duration `json:"time"`
	Allocations int64         `json:"allocations"`
	Bytes       int64         `json:"bytes"`
}

// decisionRow is one change in worlds of several sizes.
type decisionRow struct {
	Kind    string         `json:"kind"`
	Change  string         `json:"change"`
	Verdict string         `json:"verdict"`
	Costs   []decisionCost `json:"costs"`
}

// growth is the time in the largest world by that in the smallest.
func (r decisionRow) growth() float64 {
	return ratio(r.Costs[len(r.Costs)-1].Time, r.Costs[0].Time)
}

// changes are one of each kind and verdict.
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

func verdict(d policy.Decision) string {
	switch {
	case d.Denied():
		return "deny"
	case len(d.Of(policy.Warn)) > 0:
		return "warn"
	}
	return "allow"
}

// measureDecisions judges each change in worlds of the sizes.
func measureDecisions(sizes []int, slice time.Duration) []decisionRow {
	var snapshots []*state.Snapshot
	for _, n := range sizes {
		snapshots = append(snapshots, worlds.Snapshot(worlds.Base(), worlds.Shape{Objects: n, Seed: seed}.Decoded()))
	}
	var out []decisionRow
	for name, c := range changes() {
		out = append(out, measureDecision(name, c, sizes, snapshots, slice))
	}
	slices.SortFunc(out, func(a, b decisionRow) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Change, b.Change))
	})
	return out
}

// measureDecision judges one change in several snapshots, in turns.
func measureDecision(name string, c policy.Change, sizes []int, snapshots []*state.Snapshot, slice time.Duration) decisionRow {
	row := decisionRow{Kind: string(c.Object().Key().Kind), Change: name}
	var decide []func()
	for i, s := range snapshots {
		e := policy.NewEngine(deploykf.Default(), rules.All()) // each keeps the world of its snapshot
		row.Verdict = verdict(e.Decide(s, c))
		decide = append(decide, func() { e.Decide(s, c) })
		cost := decisionCost{Objects: sizes[i]}
		cost.Allocations, cost.Bytes = allocated(decide[i])
		row.Costs = append(row.Costs, cost)
	}
	for i, took := range fastest(slice, decide...) {
		row.Costs[i].Time = took
	}
	return row
}

// hard is a world and a change that are dear, though somebody may have them.
type hard struct {
	name  string
	world []resource.Object
	new   resource.Object
}

// hardCases are the worst honest ones, in worlds of n objects.
func hardCases(n int) []hard {
	g := deploykf.Default().GuardedGateways[0]
	guarded := g.Namespace + "/deploykf-gateway"
	meta := resource.Meta{Namespace: "team-a", Name: "new"}
	var gateways, routes, wildcards []resource.Object
	for i := range n {
		m := resource.Meta{Namespace: fmt.Sprintf("profile-%d", i%600), Name: fmt.Sprintf("o%d", i)}
		gateways = append(gateways, worlds.HTTPSGateway(m, g.PodLabels, fmt.Sprintf("app%d.example.org", i)))
		routes = append(routes, worlds.Route(m, "*", guarded, fmt.Sprintf("/notebook/%s/nb%d/", m.Namespace, i)))
		wildcards = append(wildcards, worlds.HTTPSGateway(m, g.PodLabels, fmt.Sprintf("*.zone%d.example.org", i)))
	}
	hosts := make([]string, 1000)
	for i := range hosts {
		hosts[i] = fmt.Sprintf("new%d.example.net", i)
	}
	return []hard{
		{"Gateway, all objects are Gateways on its port", gateways, worlds.HTTPSGateway(meta, g.PodLabels, "new.example.net")},
		{"VirtualService, all objects are routes of its host", routes, worlds.Route(meta, "*", guarded, "/notebook/team-a/nb/")},
		{"Gateway with a wildcard over every host", gateways, worlds.HTTPSGateway(meta, g.PodLabels, "*.example.org")},
		{"VirtualService with a path over every route", routes, worlds.Route(meta, "*", guarded, "/")},
		{"Gateway below one of all wildcards", wildcards, worlds.HTTPSGateway(meta, g.PodLabels, "new.zone7.example.org")},
		{"Gateway with 1,000 hosts", gateways, worlds.HTTPSGateway(meta, g.PodLabels, hosts...)},
	}
}

// measureHard judges the worst honest changes in worlds of the sizes.
func measureHard(sizes []int, slice time.Duration) []decisionRow {
	cases := make([][]hard, len(sizes))
	for i, n := range sizes {
		cases[i] = hardCases(n)
	}
	var out []decisionRow
	for i, h := range cases[0] {
		var snapshots []*state.Snapshot
		for _, c := range cases {
			snapshots = append(snapshots, worlds.Snapshot(worlds.Base(), c[i].world))
		}
		out = append(out, measureDecision(h.name, policy.Change{Operation: policy.Create, New: h.new}, sizes, snapshots, slice))
	}
	return out
}
