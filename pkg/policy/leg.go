package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

// Leg is one route of a VirtualService as a proxy gets it. A route that hands over to another
// VirtualService is as many legs as that has routes, each merged with it.
type Leg struct {
	// Root is the VirtualService with the hosts, and Index its route.
	Root  *resource.VirtualService
	Index int
	// Part is the VirtualService that the route hands over to, and PartIndex its route; nil
	// for none.
	Part      *resource.VirtualService
	PartIndex int

	protocol string // "http", "tls" or "tcp"
}

// HTTP reports whether the leg is of HTTP requests, and not of connections.
func (l *Leg) HTTP() bool { return l.protocol == "http" }

// Field is the path under which the author of one of the leg's objects, judged, knows a field
// of the route of one of them, by. For the author of a route that hands over, what the other
// object has is in the reference; for the author of that object, what the route has is all of
// its own.
func (l *Leg) Field(judged, by *resource.VirtualService, rest string) string {
	switch {
	case judged.Key() == by.Key() && by == l.Part:
		return fmt.Sprintf("spec.http[%d].%s", l.PartIndex, rest)
	case judged.Key() == by.Key():
		return fmt.Sprintf("spec.%s[%d].%s", l.protocol, l.Index, rest)
	case by == l.Part:
		return fmt.Sprintf("spec.http[%d].delegate", l.Index)
	}
	return fmt.Sprintf("spec.http[%d]", l.PartIndex)
}

// EachDestination calls f for every destination of the leg, with the VirtualService that has
// it.
func (l *Leg) EachDestination(f func(by *resource.VirtualService, d *resource.Destination)) {
	each := func(by *resource.VirtualService, list []resource.Destination) {
		for i := range list {
			f(by, &list[i])
		}
	}
	switch l.protocol {
	case "tls":
		each(l.Root, l.Root.TLS[l.Index].Destinations)
	case "tcp":
		each(l.Root, l.Root.TCP[l.Index].Destinations)
	default:
		each(l.Root, l.Root.HTTP[l.Index].Destinations)
		if l.Part != nil {
			each(l.Part, l.Part.HTTP[l.PartIndex].Destinations)
		}
	}
}

// EachHeader calls f for every change to a request header, with the VirtualService that has it.
// Where both objects of a leg change headers, Istio takes those of the part only; here both
// count, because either may be edited.
func (l *Leg) EachHeader(f func(by *resource.VirtualService, e *resource.HeaderEdit)) {
	each := func(by *resource.VirtualService, list []resource.HeaderEdit) {
		for i := range list {
			f(by, &list[i])
		}
	}
	if !l.HTTP() {
		return
	}
	each(l.Root, l.Root.HTTP[l.Index].Headers)
	if l.Part != nil {
		each(l.Part, l.Part.HTTP[l.PartIndex].Headers)
	}
}

// Edits reports whether a change to a header is made to what is sent to a destination: those of
// a whole route go along with what it hands over.
func (l *Leg) Edits(e *resource.HeaderEdit, by *resource.VirtualService, d *resource.Destination, of *resource.VirtualService) bool {
	return e.Destination == resource.EveryDestination || by == of && e.AppliesTo(*d)
}

// Named reports whether a proxy gets a route with the name of the leg on a binding: the name of
// the route, and after a dot that of a match, each of which is a route of its own
// (TranslateRoute in istio.io/istio pilot/pkg/networking/core/route/route.go). Names of a route
// and of what it hands over to are joined with a hyphen (mergeHTTPRoute and
// mergeHTTPMatchRequest in pilot/pkg/model/virtualservice.go). Letter case counts.
func (l *Leg) Named(name string, b *Binding) bool {
	if !l.HTTP() {
		return false
	}
	root := &l.Root.HTTP[l.Index]
	if l.Part == nil {
		return named(root.Name, name, func(match string) bool { return has(reaching(l.Root, root, b), match) })
	}
	part := &l.Part.HTTP[l.PartIndex]
	return named(hyphenated(root.Name, part.Name), name, func(match string) bool {
		names := map[string]bool{"": len(part.Matches) == 0}
		for i := range part.Matches {
			names[part.Matches[i].Name] = true
		}
		matches := reaching(l.Root, root, b)
		if len(matches) == 0 {
			return names[match]
		}
		return slices.ContainsFunc(matches, func(m *resource.HTTPMatch) bool {
			rest, ok := strings.CutPrefix(match, m.Name+"-")
			return m.Name == "" && names[match] || m.Name == match && names[""] || m.Name != "" && ok && rest != "" && names[rest]
		})
	})
}

// named reports whether a route's name with that of one of its matches makes the name.
func named(base, name string, has func(match string) bool) bool {
	rest, ok := strings.CutPrefix(name, base+".")
	return name == base && has("") || ok && rest != "" && has(rest)
}

// has reports whether one of the matches has the name; no matches are one without a name.
func has(matches []*resource.HTTPMatch, name string) bool {
	return len(matches) == 0 && name == "" || slices.ContainsFunc(matches, func(m *resource.HTTPMatch) bool { return m.Name == name })
}

func hyphenated(root, part string) string {
	if root == "" || part == "" {
		return root + part
	}
	return root + "-" + part
}

// reaching returns the matches of a route that let requests of the binding through.
func reaching(v *resource.VirtualService, r *resource.HTTPRoute, b *Binding) []*resource.HTTPMatch {
	var out []*resource.HTTPMatch
	for i := range r.Matches {
		if m := &r.Matches[i]; b.Reaches(v, m.Gateways, m.Port) {
			out = append(out, m)
		}
	}
	return out
}

// Legs calls f for every route of a VirtualService that gets requests or connections of a
// binding, until f returns false. A part that is given counts as if it were in the snapshot; it may be nil.
//
// What a route hands over to is a VirtualService without hosts that the root's namespace sees
// (mergeVirtualServicesIfNeeded in istio.io/istio pilot/pkg/model/virtualservice.go).
func (w *World) Legs(v *resource.VirtualService, b *Binding, part *resource.VirtualService, f func(*Leg) bool) {
	switch {
	case ServesHTTP(b.Server.Server):
		for i := range v.HTTP {
			r := &v.HTTP[i]
			if len(r.Matches) > 0 && len(reaching(v, r, b)) == 0 {
				continue
			}
			if r.Delegate == "" {
				if !f(&Leg{Root: v, Index: i, protocol: "http"}) {
					return
				}
				continue
			}
			if p := w.part(v, r, part); p != nil {
				for j := range p.HTTP {
					if !f(&Leg{Root: v, Index: i, Part: p, PartIndex: j, protocol: "http"}) {
						return
					}
				}
			}
		}
	case Passthrough(b.Server.Server):
		if RoutesTLS(b.Server.Server) {
			connectionLegs(v, b, "tls", v.TLS, f)
		}
	default:
		connectionLegs(v, b, "tcp", v.TCP, f)
	}
}

func connectionLegs(v *resource.VirtualService, b *Binding, protocol string, routes []resource.L4Route, f func(*Leg) bool) {
	for i := range routes {
		m := routes[i].Matches
		reached := len(m) == 0 || slices.ContainsFunc(m, func(m resource.L4Match) bool { return b.Reaches(v, m.Gateways, m.Port) })
		if reached && !f(&Leg{Root: v, Index: i, protocol: protocol}) {
			return
		}
	}
}

// part returns the VirtualService that a route hands over to, or nil.
func (w *World) part(root *resource.VirtualService, r *resource.HTTPRoute, given *resource.VirtualService) *resource.VirtualService {
	namespace, name, _ := strings.Cut(r.Delegate, "/")
	if root.Namespace == namespace && root.Name == name {
		return nil // it has hosts, or it is no root
	}
	p := given
	if p == nil || p.Namespace != namespace || p.Name != name {
		p, _ = w.Snapshot.Get(resource.Key{Kind: resource.KindVirtualService, Namespace: namespace, Name: name}).(*resource.VirtualService)
	}
	if p == nil || len(p.Hosts) > 0 || !w.Visible(p, root.Namespace) {
		return nil
	}
	return p
}

// Listeners returns the bindings of a VirtualService without those that differ in hosts or in
// pods only.
func (w *World) Listeners(v *resource.VirtualService, given *resource.Gateway) []*Binding {
	type place struct {
		guard   *Guard
		gateway *resource.Gateway
		server  int
	}
	seen := map[place]bool{}
	var out []*Binding
	bindings := w.Bindings(v, given)
	for i := range bindings {
		b := &bindings[i]
		if p := (place{b.Guard, b.Gateway, b.Server.Index}); !seen[p] {
			seen[p] = true
			out = append(out, b)
		}
	}
	return out
}
