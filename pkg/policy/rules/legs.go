package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// way is one route of a VirtualService through a Gateway on guarded pods.
type way struct {
	*policy.Leg
	binding *policy.Binding
	// judged is the VirtualService under judgement: the leg's root, or its part.
	judged *resource.VirtualService
	traced traced
}

// traced are the tracers by which destinations are followed, of which many routes may have the
// same.
type traced map[traceKey]*policy.Tracer

type traceKey struct {
	pods  string
	given resource.Object
}

// field is the path under which the author of the judged object knows a field of the route of
// one of the way's objects.
func (x *way) field(by *resource.VirtualService, rest string) string {
	return x.Field(x.judged, by, rest)
}

// related returns the Gateway, and what the judged object is joined with.
func (x *way) related() []resource.Key {
	out := []resource.Key{x.binding.Gateway.Key()}
	for _, v := range []*resource.VirtualService{x.Root, x.Part} {
		if v != nil && v.Key() != x.judged.Key() {
			out = append(out, v.Key())
		}
	}
	return out
}

// through writes the Gateway of the way for people, and what the judged object is joined with.
func (x *way) through() string {
	var l []string
	for _, k := range x.related() {
		l = append(l, name(k))
	}
	return strings.Join(l, " with ")
}

// subject identifies the way's Gateway, and what the judged object is joined with.
func (x *way) subject() string {
	s := x.binding.Guard.Name + "|" + x.binding.Gateway.Key().String()
	if x.Part != nil {
		s += "|" + x.Root.Key().String() + "|" + x.Part.Key().String()
	}
	return s
}

// forWays makes a rule's Object for VirtualServices, those that others hand over to, and the
// Gateways by which those that are there already come to be served.
func forWays(f func(w *policy.World, x *way, report func(policy.Fault))) func(*policy.World, resource.Object, func(policy.Fault)) {
	return forRoutes(func(w *policy.World, v *resource.VirtualService, given *resource.Gateway, report func(policy.Fault)) {
		eachWay(w, v, given, func(x *way) { f(w, x, report) })
	})
}

// maxHandedOver bounds the routes and matches that are judged of what others hand over to: each
// of the one object is joined with each of the other, and nobody needs as many.
const maxHandedOver = 20_000

// eachWay calls f for every way of a VirtualService, or of those that hand over to it. It
// reports false if there are too many.
func eachWay(w *policy.World, v *resource.VirtualService, given *resource.Gateway, f func(*way)) bool {
	known, handedOver := traced{}, 0
	along := func(root, part *resource.VirtualService) {
		for _, b := range w.Listeners(root, given) {
			w.Legs(root, b, part, func(l *policy.Leg) bool {
				if l.Part != nil {
					handedOver += 1 + len(l.Root.HTTP[l.Index].Matches) + len(l.Part.HTTP[l.PartIndex].Matches)
				}
				if part == nil || l.Part == part {
					f(&way{l, b, v, known})
				}
				return handedOver <= maxHandedOver
			})
		}
	}
	if len(v.Hosts) > 0 {
		along(v, nil)
	} else {
		w.Snapshot.RootsOf(v.Namespace, v.Name, func(root *resource.VirtualService) bool {
			if root.Key() != v.Key() {
				along(root, v)
			}
			return handedOver <= maxHandedOver
		})
	}
	return handedOver <= maxHandedOver
}

// arrival is a protected namespace that a destination of a way leads to.
type arrival struct {
	policy.Arrival
	by          *resource.VirtualService // that has the destination
	destination *resource.Destination
}

// own reports whether the destination is in the namespace of whoever wrote it.
func (a *arrival) own() bool { return a.Namespace == a.by.Namespace }

// where writes where the destination leads to, for people.
func (a *arrival) where() string {
	if a.TooFar {
		return "more names than can be followed"
	}
	out := "namespace " + a.Namespace
	if a.At.Name != "" {
		out = name(a.At)
	}
	if a.Via.Name != "" {
		out += " (by " + name(a.Via) + ")"
	}
	return out
}

// eachArrival calls f for the protected namespaces that a way's destinations lead to. A Service
// or ServiceEntry that is given counts as if it were in the snapshot; it may be nil.
func (x *way) eachArrival(w *policy.World, given resource.Object, f func(*arrival)) {
	key := traceKey{x.binding.Guard.Namespace, given}
	tracer := x.traced[key]
	if tracer == nil {
		tracer = w.Tracer(key.pods, given)
		x.traced[key] = tracer
	}
	x.EachDestination(func(by *resource.VirtualService, d *resource.Destination) {
		for _, a := range tracer.Arrivals(d.Host, by.Namespace) {
			f(&arrival{a, by, d})
		}
	})
}

// eachFollowed calls f for the arrivals in protected namespaces that routes have by a Service,
// ServiceEntry or WorkloadEntry, and would not have without it. Who leads others into his own namespace may do so,
// and the owner anywhere. It reports false if there are more than can be followed.
func eachFollowed(w *policy.World, o resource.Object, report func(policy.Fault), f func(*way, *arrival, func(policy.Fault))) bool {
	var nothing resource.Object
	switch o := o.(type) {
	case *resource.Service:
		if o.ExternalName == "" {
			return true
		}
		nothing = &resource.Service{Meta: o.Meta}
	case *resource.ServiceEntry:
		nothing = &resource.ServiceEntry{Meta: o.Meta}
	case *resource.WorkloadEntry:
		nothing = &resource.WorkloadEntry{Meta: o.Meta}
	default:
		return true
	}
	if slices.ContainsFunc(w.Guards, func(g *policy.Guard) bool { return g.IsOwners(o.Key()) }) {
		return true
	}
	return w.Followers(o, func(v *resource.VirtualService) {
		eachWay(w, v, nil, func(x *way) {
			without := map[string]bool{}
			x.eachArrival(w, nothing, func(a *arrival) { without[arrivalKey(a)] = true })
			x.eachArrival(w, o, func(a *arrival) {
				if a.Namespace == o.GetMeta().Namespace || without[arrivalKey(a)] {
					return
				}
				f(x, a, func(fault policy.Fault) {
					fault.Message = fmt.Sprintf("with this, %s of %s leads elsewhere: %s", v.Field(fault.Field), name(v.Key()), fault.Message)
					fault.Subject += "|" + v.Key().String()
					fault.Related = append(slices.DeleteFunc(slices.Clone(fault.Related), func(k resource.Key) bool { return k == o.Key() }), v.Key())
					fault.Field = leading(o)
					report(fault)
				})
			})
		})
	})
}

func arrivalKey(a *arrival) string {
	return fmt.Sprintf("%s|%s|%s", a.by.Key(), a.destination.Host, a.Namespace)
}

// leading is the field by which an object leads to others.
func leading(o resource.Object) string {
	switch o := o.(type) {
	case *resource.Service:
		return "spec.externalName"
	case *resource.WorkloadEntry:
		return "spec.address"
	case *resource.ServiceEntry:
		if len(o.WorkloadSelector) > 0 {
			return "spec.workloadSelector"
		}
		if len(o.Endpoints) > 0 {
			return "spec.endpoints"
		}
	}
	return "spec.hosts"
}
