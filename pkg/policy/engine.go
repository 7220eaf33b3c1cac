package policy

import (
	"slices"
	"strings"
	"sync/atomic"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
)

// Engine decides changes by a configuration and a set of rules. It is safe for concurrent
// use.
type Engine struct {
	cfg   *config.Configuration
	rules []*Rule
	// last is the world of the snapshot that was judged last. A world is a function of an
	// immutable snapshot, so keeping it can not make a verdict stale.
	last atomic.Pointer[World]
}

// NewEngine returns an engine with the rules, which are asked in the order given.
func NewEngine(cfg *config.Configuration, rules []*Rule) *Engine {
	return &Engine{cfg: cfg, rules: rules}
}

// Config returns the configuration.
func (e *Engine) Config() *config.Configuration { return e.cfg }

// Rules returns the rules.
func (e *Engine) Rules() []*Rule { return e.rules }

// World returns the world of a snapshot.
func (e *Engine) World(s *state.Snapshot) *World {
	if w := e.last.Load(); w != nil && w.Snapshot == s {
		return w
	}
	w := newWorld(s, e.cfg)
	e.last.Store(w)
	return w
}

// Decide judges a change against a snapshot.
func (e *Engine) Decide(s *state.Snapshot, c Change) Decision {
	d := Decision{Generation: s.Generation()}
	if d.Exempt = e.cfg.Exempt(c.Requester.Name, c.Requester.Groups); d.Exempt != "" {
		return d
	}
	before := e.World(s).judging()
	after := e.after(before, c)
	key := c.Object().Key()
	for _, r := range e.rules {
		if !r.Judges(key.Kind, c.Operation) {
			continue
		}
		var found, carried faults
		if r.Object != nil && c.New != nil {
			r.Object(after, c.New, found.add)
			if c.Old != nil && len(found.list) > 0 {
				r.Object(before, c.Old, carried.add)
			}
		}
		for _, f := range found.list {
			d.add(r, f, carried.has(r, f))
		}
		if r.Transition != nil {
			var lost faults
			r.Transition(before, after, c, lost.add)
			for _, f := range lost.list {
				d.add(r, f, false)
			}
		}
	}
	d.Findings = merged(d.Findings)
	slices.SortStableFunc(d.Findings, func(a, b Finding) int {
		if a.Effect != b.Effect {
			return int(b.Effect) - int(a.Effect)
		}
		return strings.Compare(a.Rule, b.Rule)
	})
	return d
}

// Object reports what is wrong with an object in a snapshot, whoever put it there: the
// whole semantics, without a change. Audits ask it of everything.
func (e *Engine) Object(s *state.Snapshot, o resource.Object) []Finding {
	w := e.World(s).judging()
	var d Decision
	for _, r := range e.rules {
		if r.Object == nil || !slices.Contains(r.Kinds, o.Key().Kind) {
			continue
		}
		var found faults
		r.Object(w, o, found.add)
		for _, f := range found.list {
			d.add(r, f, false)
		}
	}
	return d.Findings
}

// after returns the world that a change leads to. Most objects take no part in what makes a
// guard, and for those it is the world before: rules never read what a snapshot holds under
// the key of the object they are asked about.
func (e *Engine) after(before *World, c Change) *World {
	key := c.Object().Key()
	if !slices.ContainsFunc(before.Guards, func(g *Guard) bool { return g.shapes(key) }) {
		return before
	}
	if c.New != nil {
		return newWorld(before.Snapshot.With(c.New), e.cfg).judging()
	}
	return newWorld(before.Snapshot.Without(key), e.cfg).judging()
}

// faults gathers what a rule reports, one for each subject: the same clash is met once for
// each set of pods. The strongest effect counts.
type faults struct {
	list []Fault
	at   map[string]int // subject to its place in list
}

func (l *faults) add(f Fault) {
	if i, ok := l.at[f.Subject]; ok {
		if f.Effect > l.list[i].Effect {
			l.list[i] = f
		}
		return
	}
	if l.at == nil {
		l.at = map[string]int{}
	}
	l.at[f.Subject] = len(l.list)
	l.list = append(l.list, f)
}

// has reports whether a fault is among them that does as much as f: the same one, or one that
// the rule takes for no better. A fault that only warned before does not excuse one that
// denies.
func (l *faults) has(r *Rule, f Fault) bool {
	if i, ok := l.at[f.Subject]; ok && l.list[i].Effect >= f.Effect {
		return true
	}
	return r.Eases != nil && slices.ContainsFunc(l.list, func(old Fault) bool {
		return old.Effect >= f.Effect && r.Eases(old, f)
	})
}

// merged makes one finding of those that say the same in the same place: a clash on several
// sets of pods. It is carried only if all of them are.
func merged(findings []Finding) []Finding {
	type line struct{ rule, field, message string }
	at := map[line]int{}
	out := findings[:0]
	for _, f := range findings {
		key := line{f.Rule, f.Field, f.Message}
		if i, ok := at[key]; ok {
			out[i].Effect = max(out[i].Effect, f.Effect)
			out[i].Carried = out[i].Carried && f.Carried
			continue
		}
		at[key] = len(out)
		out = append(out, f)
	}
	return out
}

func (d *Decision) add(r *Rule, f Fault, carried bool) {
	effect := f.Effect
	if carried && effect > Warn {
		effect = Warn
	}
	d.Findings = append(d.Findings, Finding{
		Rule: r.ID, Name: r.Name, Effect: effect, Carried: carried,
		Field: f.Field, Message: f.Message, Related: f.Related,
	})
}
