package main

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
	"github.com/gatewarden/gatewarden/test/worlds"
)

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

// budgets are how much each change may allocate: a fifth more than it does.
var budgets = map[string]float64{
	"authorization-deny": 57, "destinationrule-deny": 34, "externalname-allow": 20, "gateway-allow": 64, "gateway-deny": 236,
	"gateway-elsewhere": 14, "peerauth-allow": 102, "peerauth-deny": 46, "service-allow": 161, "service-deny": 197,
	"serviceentry-deny": 40, "sidecar-bypass": 57, "virtualservice-allow": 66, "virtualservice-backend-deny": 101, "virtualservice-deny": 107,
}

// The work of a decision is counted in allocations, which do not depend on the machine: the
// same change allocates as much in a hundred times the cluster.
func TestDecisionDoesNotGrowWithTheCluster(t *testing.T) {
	small := worlds.Snapshot(worlds.Base(), worlds.Shape{Objects: 100, Seed: seed}.Decoded())
	large := worlds.Snapshot(worlds.Base(), worlds.Shape{Objects: 10_000, Seed: seed}.Decoded())
	allocs := func(s *state.Snapshot, c policy.Change) float64 {
		e := policy.NewEngine(deploykf.Default(), rules.All())
		return testing.AllocsPerRun(10, func() { e.Decide(s, c) })
	}
	for name, c := range changes() {
		few, many := allocs(small, c), allocs(large, c)
		assert.LessOrEqual(t, many, few+5, "%s: %v allocations at 100 objects, %v at 10,000", name, few, many)
		assert.LessOrEqual(t, many, budgets[name], name)
	}
	assert.Len(t, budgets, len(changes()))
}

// A host of a Gateway costs the same however many there are, and however many Gateways.
func TestHardCasesDoNotGrow(t *testing.T) {
	small, large := hardCases(100), hardCases(3000)
	for i, h := range small {
		allocs := func(world []resource.Object) float64 {
			s := worlds.Snapshot(worlds.Base(), world)
			e := policy.NewEngine(deploykf.Default(), rules.All())
			return testing.AllocsPerRun(3, func() { e.Decide(s, policy.Change{Operation: policy.Create, New: h.new}) })
		}
		few, many := allocs(h.world), allocs(large[i].world)
		assert.LessOrEqual(t, many, few*1.05+5, "%s: %v allocations at 100 objects, %v at 3,000", h.name, few, many)
	}
}

// An event costs the depth of the trees, and not their size.
func TestEventDoesNotGrowWithTheCluster(t *testing.T) {
	allocs := func(n int) float64 {
		objects := worlds.Shape{Objects: n, Seed: seed}.Decoded()
		w := state.NewWriter()
		w.Apply(objects...)
		i := 0
		return testing.AllocsPerRun(100, func() { i++; w.Apply(objects[i]) })
	}
	few, many := allocs(200), allocs(20_000)
	assert.LessOrEqual(t, many, 2*few, "%v allocations at 200 objects, %v at 20,000", few, many)
	assert.LessOrEqual(t, many, 170.0)
}
