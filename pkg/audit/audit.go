// Package audit judges everything that is there, by the rules that judge changes, and tells
// what is new and what is resolved since an earlier audit.
//
// An audit is as pure as the engine: where the snapshot comes from, and where the findings go, is
// for others to know. A Runner repeats it for as long as a server runs.
package audit

import (
	"cmp"
	"slices"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
)

// Finding is one thing that is wrong with an object.
type Finding struct {
	policy.ObjectFinding
	// Source is the place that the object was read from, as resource.Meta has it.
	Source string
	// UID is that of the object, empty if it does not exist or comes from a file.
	UID string
}

// ID identifies a finding across audits. The message is no part of it: it may be worded anew,
// or name more objects.
type ID struct {
	Rule    string
	Key     resource.Key
	Subject string
}

// ID returns the identity of the finding.
func (f Finding) ID() ID { return ID{f.Rule, f.Key, f.Subject} }

// Namespace returns the namespace that the finding is about, or "".
func (f Finding) Namespace() string {
	if f.Key.Kind == resource.KindNamespace {
		return f.Key.Name
	}
	return f.Key.Namespace
}

// Result is what an audit found.
type Result struct {
	// Findings are one for each identity, sorted by object, and for each object by effect, the
	// worst first.
	Findings []Finding
	// Judged is the number of objects that were judged.
	Judged int
}

// Count returns the number of findings with an effect.
func (r Result) Count(e policy.Effect) int {
	n := 0
	for _, f := range r.Findings {
		if f.Effect == e {
			n++
		}
	}
	return n
}

// Run judges every object of a snapshot, and the installation as a whole.
func Run(e *policy.Engine, s *state.Snapshot) Result { return RunTelling(e, s, func(int, int) {}) }

// RunTelling is Run, and tells after each object how many of how many were judged.
func RunTelling(e *policy.Engine, s *state.Snapshot, tell func(judged, of int)) Result {
	done, of := 0, 0
	for _, kind := range judged(e.Rules()) {
		s.Each(kind, "", func(resource.Object) bool { of++; return true })
	}
	r, _ := run(e, s, func() bool {
		done++
		tell(done, of)
		return true
	})
	return r
}

// run asks after each object whether to go on, and reports whether it came to the end.
func run(e *policy.Engine, s *state.Snapshot, goOn func() bool) (r Result, done bool) {
	c := collection{found: map[ID]int{}, against: map[pair]policy.Effect{}, snapshot: s}
	done = true
	for _, kind := range judged(e.Rules()) {
		s.Each(kind, "", func(o resource.Object) bool {
			r.Judged++
			for _, f := range e.Object(s, o) {
				c.add(policy.ObjectFinding{Key: o.Key(), Finding: f})
			}
			done = goOn()
			return done
		})
		if !done {
			return Result{}, false
		}
	}
	for _, f := range e.Standing(s) {
		c.add(f)
	}
	r.Findings = c.sides()
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(a.Key.Compare(b.Key), cmp.Compare(b.Effect, a.Effect), cmp.Compare(a.Rule, b.Rule))
	})
	return r, true
}

// judged returns the kinds that any rule judges, in the order of resource.APIs.
func judged(rules []*policy.Rule) []resource.Kind {
	var out []resource.Kind
	for _, api := range resource.APIs {
		if slices.ContainsFunc(rules, func(r *policy.Rule) bool { return r.Object != nil && slices.Contains(r.Kinds, api.Kind) }) {
			out = append(out, api.Kind)
		}
	}
	return out
}

// collection gathers the findings of an audit.
type collection struct {
	snapshot *state.Snapshot
	list     []Finding
	found    map[ID]int // to its index in list
	against  map[pair]policy.Effect
}

// pair is an object with a fault, and one that takes part in it.
type pair struct{ on, with resource.Key }

// add adds a finding, unless it is there already: an Ingress may have one fault in several
// fields. The strongest effect counts.
func (c *collection) add(f policy.ObjectFinding) {
	for _, with := range f.Related {
		p := pair{f.Key, with}
		c.against[p] = max(c.against[p], f.Effect)
	}
	out := Finding{ObjectFinding: f}
	if o := c.snapshot.Get(f.Key); o != nil {
		out.Source, out.UID = o.GetMeta().Source, o.GetMeta().UID
	}
	i, again := c.found[out.ID()]
	switch {
	case !again:
		c.found[out.ID()] = len(c.list)
		c.list = append(c.list, out)
	case f.Effect > c.list[i].Effect:
		c.list[i] = out
	}
}

// sides returns the findings, and of each clash of two objects with equal rights one side: that
// for which it is worse, else the younger one, as who was there first has the claim. A clash
// that only the older one takes something by is noted on it: it may have come to do so later,
// but nothing tells.
func (c *collection) sides() []Finding {
	out := c.list[:0]
	for _, f := range c.list {
		if f.Rival != (resource.Key{}) {
			theirs, mutual := c.against[pair{f.Rival, f.Key}]
			switch older := c.older(f.Key, f.Rival); {
			case mutual && (theirs > f.Effect || theirs == f.Effect && older):
				continue
			case !mutual && older:
				f.Effect = min(f.Effect, policy.Note)
			}
		}
		out = append(out, f)
	}
	return out
}

// older reports whether the first of two objects was there before the second.
func (c *collection) older(a, b resource.Key) bool {
	first, second := c.snapshot.Get(a), c.snapshot.Get(b)
	return first != nil && second != nil && resource.ByAge(first.GetMeta(), second.GetMeta()) < 0
}
