package policy

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
	"github.com/gatewarden/gatewarden/pkg/translate"
)

// Engine decides changes by a configuration and a set of rules. It is safe for concurrent
// use.
type Engine struct {
	cfg   *config.Configuration
	rules []*Rule
	// judging are the rules by what they judge.
	judging map[judgement][]*Rule
	// last is the world of the snapshot that was judged last. A world is a function of an
	// immutable snapshot, so keeping it can not make a verdict stale.
	last atomic.Pointer[seen]
}

// seen is a snapshot, and the world that was made of it.
type seen struct {
	snapshot *state.Snapshot
	world    *World
}

// NewEngine returns an engine with the rules, which are asked in the order given. Those that
// the configuration takes out are left out.
func NewEngine(cfg *config.Configuration, rules []*Rule) *Engine {
	e := &Engine{cfg: cfg, judging: map[judgement][]*Rule{}}
	for _, r := range rules {
		if cfg.RuleEffect(r.ID, r.Name) == config.EffectOff {
			continue
		}
		e.rules = append(e.rules, r)
		for _, kind := range r.Kinds {
			for _, op := range r.Operations {
				e.judging[judgement{kind, op}] = append(e.judging[judgement{kind, op}], r)
			}
		}
	}
	return e
}

// judgement is what a rule judges: an operation on a kind.
type judgement struct {
	kind      resource.Kind
	operation Operation
}

// Config returns the configuration.
func (e *Engine) Config() *config.Configuration { return e.cfg }

// Rules returns the rules.
func (e *Engine) Rules() []*Rule { return e.rules }

// Judges reports whether any rule judges the operation on the kind.
func (e *Engine) Judges(kind resource.Kind, op Operation) bool {
	return len(e.judging[judgement{kind, op}]) > 0
}

// World returns the world of a snapshot. A snapshot whose objects were translated by other
// options than the configuration's is translated again, which whoever keeps the snapshot
// avoids with state.Writer.TranslateBy.
func (e *Engine) World(s *state.Snapshot) *World {
	if l := e.last.Load(); l != nil && l.snapshot == s {
		return l.world
	}
	w := newWorld(s.TranslatedBy(e.cfg.Mesh.Translation()), e.cfg)
	e.last.Store(&seen{s, w})
	return w
}

// Decide judges a change against a snapshot.
func (e *Engine) Decide(s *state.Snapshot, c Change) Decision {
	d := Decision{Generation: s.Generation()}
	key := c.Object().Key()
	if d.Exempt = e.cfg.Exempt(c.Requester.Name, c.Requester.Groups, key); d.Exempt != "" {
		return d
	}
	rules := e.judging[judgement{key.Kind, c.Operation}]
	if len(rules) == 0 {
		return d
	}
	before, after := e.sides(e.World(s).judging().writtenBy(c.Requester, key), c)
	found := after.faults(key, rules, func(int) bool { return true })
	carried := before.faults(key, rules, func(i int) bool { return len(found[i].list) > 0 })
	made, translated := changes(c, before, after), translated(c)
	for i, r := range rules {
		for _, f := range found[i].list {
			d.add(e.effect(r, f), r, f, carried[i].has(r, f))
		}
		if translated {
			d.Findings = oncePerField(d.Findings)
		}
		if r.Transition == nil {
			continue
		}
		var lost faults
		for _, m := range made {
			if slices.Contains(r.Operations, m.Operation) {
				r.Transition(before.world, after.world, m, told(key, m.Object(), lost.add))
			}
		}
		for _, f := range lost.list {
			d.add(e.effect(r, f), r, f, false)
		}
	}
	d.Findings = e.settled(d.Findings, c.Requester, key)
	return d
}

// settled gives findings about an object the effects that the configuration sets, notes those
// that are exempt, and merges and sorts them.
func (e *Engine) settled(findings []Finding, by Requester, about resource.Key) []Finding {
	for i := range findings {
		f := &findings[i]
		f.Exempt = e.cfg.ExemptFrom(by.Name, by.Groups, about, f.Rule, f.Name)
		if f.Exempt != "" {
			f.Effect = Note
		}
	}
	return sorted(merged(findings))
}

// sorted sorts findings by effect, the worst first, and then by rule.
func sorted(findings []Finding) []Finding {
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(b.Effect, a.Effect), strings.Compare(a.Rule, b.Rule))
	})
	return findings
}

// Object reports what is wrong with an object in a snapshot, whoever put it there: the
// whole semantics, without a change. Audits ask it of everything, so faults that are found on
// another object are left to that one. What would be no fault if the object was written for the
// owner, as it may have been, is a note.
func (e *Engine) Object(s *state.Snapshot, o resource.Object) []Finding {
	standing := side{world: e.World(s).judging(), objects: []resource.Object{o}}
	if slices.Contains(translate.Kinds, o.Key().Kind) {
		standing.hold(o.Key(), o)
	}
	found := standing.faults(o.Key(), e.rules, func(i int) bool { return slices.Contains(e.rules[i].Kinds, o.Key().Kind) })
	owners := found
	mayBeOwners := func(g *Guard) bool { return g.MayBeWrittenForOwner(o.Key()) }
	if slices.ContainsFunc(standing.world.Guards, mayBeOwners) {
		standing.world = standing.world.judging().writtenIf(mayBeOwners, o.Key())
		owners = standing.faults(o.Key(), e.rules, func(i int) bool { return len(found[i].list) > 0 })
	}
	var d Decision
	for i, r := range e.rules {
		for _, f := range found[i].list {
			if f.Of != (resource.Key{}) {
				continue
			}
			effect := e.effect(r, f)
			if !owners[i].has(r, f) {
				effect = Note
			}
			d.add(effect, r, f, false)
		}
	}
	if slices.Contains(translate.Kinds, o.Key().Kind) {
		d.Findings = oncePerField(d.Findings)
	}
	return e.settled(d.Findings, Requester{}, o.Key())
}

// Standing reports what is wrong with the installation as a whole, sorted by object and then
// by effect, the worst first. With Object for every object it is an audit.
func (e *Engine) Standing(s *state.Snapshot) []ObjectFinding {
	w := e.World(s).judging()
	found := map[resource.Key]*Decision{}
	for _, r := range e.rules {
		if r.Standing == nil {
			continue
		}
		on := map[resource.Key]*faults{}
		r.Standing(w, func(key resource.Key, f Fault) {
			remember(&on, key, func() *faults { return &faults{} }).add(f)
		})
		for key, l := range on {
			d := remember(&found, key, func() *Decision { return &Decision{} })
			for _, f := range l.list {
				d.add(e.effect(r, f), r, f, false)
			}
		}
	}
	var out []ObjectFinding
	for _, key := range slices.SortedFunc(maps.Keys(found), resource.Key.Compare) {
		for _, f := range e.settled(found[key].Findings, Requester{}, key) {
			out = append(out, ObjectFinding{key, f})
		}
	}
	return out
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
		return newWorld(before.Snapshot.With(c.New), e.cfg).judging().writtenBy(c.Requester, key)
	}
	return newWorld(before.Snapshot.Without(key), e.cfg).judging().writtenBy(c.Requester, key)
}

// identity is that of a fault among those of a rule and an object.
type identity struct{ place, subject string }

// faults gathers what a rule reports, one for each subject: the same clash is met once for
// each set of pods. The strongest effect counts.
type faults struct {
	list []Fault
	at   map[identity]int // to its index in list
}

func (l *faults) add(f Fault) {
	id := identity{f.Place, f.Subject}
	if i, ok := l.at[id]; ok {
		if f.Effect > l.list[i].Effect {
			l.list[i] = f
		}
		return
	}
	if l.at == nil {
		l.at = map[identity]int{}
	}
	l.at[id] = len(l.list)
	l.list = append(l.list, f)
}

// has reports whether a fault is among them that does as much as f: the same one, or one that
// the rule takes for no better. A fault that only warned before does not excuse one that
// denies.
func (l *faults) has(r *Rule, f Fault) bool {
	if i, ok := l.at[identity{f.Place, f.Subject}]; ok && l.list[i].Effect >= f.Effect {
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

// effect is what a fault of a rule does when it is new. What the configuration sets is the
// effect of the rule's strongest faults; its weaker ones are never made stronger.
func (e *Engine) effect(r *Rule, f Fault) Effect {
	var set Effect
	switch e.cfg.RuleEffect(r.ID, r.Name) {
	case config.EffectDeny:
		set = Deny
	case config.EffectWarn:
		set = Warn
	case config.EffectNote:
		set = Note
	default:
		return f.Effect
	}
	if f.Effect == r.Effect {
		return set
	}
	return min(f.Effect, set)
}

func (d *Decision) add(effect Effect, r *Rule, f Fault, carried bool) {
	if carried && effect > Warn {
		effect = Warn
	}
	d.Findings = append(d.Findings, Finding{
		Rule: r.ID, Name: r.Name, Effect: effect, Carried: carried,
		Field: f.Field, Message: f.Message, Related: f.Related, Subject: f.Subject, Rival: f.Rival,
	})
}
