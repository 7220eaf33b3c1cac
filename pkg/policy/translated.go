package policy

import (
	"slices"

	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/translate"
)

// translated reports whether Istio translates the object of a change, or tells by it what it
// translates.
func translated(c Change) bool {
	kind := c.Object().Key().Kind
	return slices.Contains(translate.Kinds, kind) || slices.Contains(translate.Classes, kind)
}

// broughtBy are the kinds whose objects an object of a kind brings into effect: a Gateway the
// ListenerSets that were there before it, and a class all that are of it. Gateways bring their
// routes with them, as any Gateway does.
var broughtBy = map[resource.Kind][]resource.Kind{
	resource.KindKubernetesGateway: {resource.KindListenerSet},
	resource.KindGatewayClass:      {resource.KindKubernetesGateway, resource.KindListenerSet},
	resource.KindIngressClass:      {resource.KindIngress},
}

// whole is the field of a finding that is about an object as a whole.
const whole = "spec"

// oncePerField leaves one finding of each rule and field, the strongest: what is one path of
// an Ingress is two matches of a VirtualService, and what is wrong with both is one fault.
func oncePerField(findings []Finding) []Finding {
	var out []Finding
	for _, f := range findings {
		i := slices.IndexFunc(out, func(o Finding) bool { return f.Field != whole && o.Rule == f.Rule && o.Field == f.Field })
		switch {
		case i < 0:
			out = append(out, f)
		case f.Effect > out[i].Effect || f.Effect == out[i].Effect && out[i].Carried && !f.Carried:
			out[i] = f
		}
	}
	return out
}

// side is what a change is about, before or after it: the objects to judge, and the world
// they stand in.
type side struct {
	world   *World
	objects []resource.Object
}

// sides returns both sides of a change. An object of a kind that Istio translates is judged
// as what it is translated into; what that meets has to be in the world, so such a change
// has a world of its own on each side.
func (e *Engine) sides(w *World, c Change) (before, after side) {
	key := c.Object().Key()
	before, after = side{world: w}, side{world: e.after(w, c)}
	if !translated(c) {
		if c.Old != nil {
			before.objects = []resource.Object{c.Old}
		}
		if c.New != nil {
			after.objects = []resource.Object{c.New}
		}
		return before, after
	}
	before.hold(key, c.Old)
	after.hold(key, c.New)
	return before, after
}

// hold makes the side's snapshot hold the object under the key, or nothing if it is nil.
// The world's guards stay: they are not made of what Istio translates.
func (s *side) hold(key resource.Key, o resource.Object) {
	w := *s.world
	switch there := w.Snapshot.Get(key); {
	case o == nil && there != nil:
		w.Snapshot = w.Snapshot.Without(key)
	case o != nil && there != o:
		w.Snapshot = w.Snapshot.With(o)
	}
	s.world, s.objects = w.judging(), w.Snapshot.Translated(key)
	s.objects = slices.Clip(s.objects)
	for _, kind := range broughtBy[key.Kind] {
		for _, k := range w.Snapshot.Dependents(key, kind) {
			s.objects = append(s.objects, w.Snapshot.Translated(k)...)
		}
	}
}

// faults asks rules for the faults of a side's objects. Those of an object that Istio
// translated are told by the fields of what it was translated from. The rules for which
// wanted is false are not asked.
func (s *side) faults(of resource.Key, rules []*Rule, wanted func(rule int) bool) []faults {
	out := make([]faults, len(rules))
	for _, o := range s.objects {
		asked := 0
		report := told(of, o, func(f Fault) { out[asked].add(f) })
		for i, r := range rules {
			if r.Object != nil && wanted(i) {
				asked = i
				r.Object(s.world, o, report)
			}
		}
	}
	return out
}

// told returns report for the author of the object with the key, which o is made of, or which
// brings o into effect.
func told(key resource.Key, o resource.Object, report func(Fault)) func(Fault) {
	return func(f Fault) {
		f.Field = o.GetMeta().Field(f.Field)
		if by := o.Key(); o.GetMeta().Origin != nil && by != key {
			f.Message = "with this, " + f.Field + " of " + by.String() + " takes effect: " + f.Message
			if !slices.Contains(f.Related, by) {
				f.Related = append(slices.Clone(f.Related), by)
			}
			if f.Field != whole {
				f.Subject = f.Field // one of each, as in oncePerField
			}
			f.Subject += "|" + by.String()
			f.Field, f.Of = whole, by
		}
		report(f)
	}
}

// changes returns what a change does to the objects to judge: itself, unless Istio
// translates its object.
func changes(c Change, before, after side) []Change {
	if !translated(c) {
		return []Change{c}
	}
	var out []Change
	for _, o := range after.objects {
		made := Change{Operation: Create, New: o, Requester: c.Requester, DryRun: c.DryRun}
		if made.Old = same(o, before.objects); made.Old != nil {
			made.Operation = Update
		}
		out = append(out, made)
	}
	for _, o := range before.objects {
		if same(o, after.objects) == nil {
			out = append(out, Change{Operation: Delete, Old: o, Requester: c.Requester, DryRun: c.DryRun})
		}
	}
	return out
}

// same returns the one of the translated objects that has the kind and name of o, or nil.
func same(o resource.Object, among []resource.Object) resource.Object {
	_, isGateway := o.(*resource.Gateway)
	for _, a := range among {
		if _, g := a.(*resource.Gateway); g == isGateway &&
			a.GetMeta().Name == o.GetMeta().Name && a.GetMeta().Namespace == o.GetMeta().Namespace {
			return a
		}
	}
	return nil
}
