package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// claim is one path of a VirtualService on a guarded host, which is not its namespace's.
type claim struct {
	binding *policy.Binding
	field   string
	match   resource.StringMatch // MatchAny for a route without a path
	// conditioned tells whether anything but the path narrows the match, and exported how
	// the object is exported: both decide which of two routes is asked first.
	conditioned bool
	exported    string
	// tenants is the start of the tenant paths that the path is among, if it is: the path
	// is that of another namespace, or of none.
	tenants string
}

// subject identifies a claim across edits.
func (c *claim) subject() string {
	b := c.binding
	return fmt.Sprintf("%s|%s|%d|%s|%v|%s", b.Gateway.Key(), b.Host, b.Server.Port, c.match, c.conditioned, c.exported)
}

// related returns the owner's Gateway, and the one that leads to it if it is another.
func (c *claim) related() []resource.Key {
	if c.binding.Owners {
		return []resource.Key{c.binding.With}
	}
	return []resource.Key{c.binding.With, c.binding.Gateway.Key()}
}

// easesClaim reports whether a claim takes no more than another did: a narrower path on the
// same host, in the same place of the order. A catch-all is asked last, so that no other path
// is less than it.
func easesClaim(old, now policy.Fault) bool {
	o, n := old.Data.(*claim), now.Data.(*claim)
	narrower := n.match.Type != resource.MatchRegex && n.match.Type != resource.MatchAny && strings.HasPrefix(n.match.Value, o.match.Value)
	return o.binding.Gateway.Key() == n.binding.Gateway.Key() && o.binding.Host == n.binding.Host && o.binding.Server.Port == n.binding.Server.Port &&
		o.exported == n.exported && (n.conditioned || !o.conditioned) &&
		o.match.Type == resource.MatchPrefix && o.match.Value != "/" && narrower
}

// acmeChallenge reports whether a match is the one path of a challenge by which a certificate
// is issued, routed from the namespace of the gateway's pods: the certificate has to be there,
// and so has the solver. It goes when the challenge is over.
func acmeChallenge(m resource.StringMatch, namespace string, g *policy.Guard) bool {
	return m.Type == resource.MatchExact && strings.HasPrefix(m.Value, "/.well-known/acme-challenge/") && namespace == g.Namespace
}

// foreignClaims reports the paths that a VirtualService claims on guarded hosts without a
// right to: neither is the VirtualService the owner's, nor the path one of its namespace.
func foreignClaims(w *policy.World, v *resource.VirtualService, given *resource.Gateway, report func(*claim)) {
	bindings := w.Bindings(v, given)
	exported := strings.Join(v.ExportTo, ",")
	for i := range bindings {
		b := &bindings[i]
		if !b.Guarded || b.Guard.IsOwners(v.Key()) || !policy.ServesHTTP(b.Server.Server) {
			continue
		}
		for j := range v.HTTP {
			r := &v.HTTP[j]
			if len(r.Matches) == 0 {
				report(&claim{binding: b, field: fmt.Sprintf("spec.http[%d]", j), exported: exported})
			}
			for k := range r.Matches {
				m := &r.Matches[k]
				if !b.Reaches(v, m.Gateways, m.Port) {
					continue
				}
				prefix, own := "", false
				if b.Owners { // on the owner's own Gateway tenants have their paths
					prefix, own = b.Guard.TenantPath(w.PathPrefix(m), v.Namespace)
				}
				if own {
					continue
				}
				c := &claim{binding: b, field: fmt.Sprintf("spec.http[%d].match[%d]", j, k), match: m.URI, tenants: prefix, conditioned: m.Conditioned, exported: exported}
				if m.URI.Type != resource.MatchAny {
					c.field += ".uri"
				}
				report(c)
			}
		}
	}
}

// path writes a match for people.
func path(m resource.StringMatch) string {
	switch {
	case m.Type == resource.MatchAny:
		return "every path"
	case m.Type == resource.MatchPrefix && m.Value == "/":
		return "every path (prefix /)"
	}
	return m.String()
}

// whose writes the Gateway of a binding, and why it matters if it is not the owner's.
func whose(b *policy.Binding) string {
	if b.Owners {
		return fmt.Sprintf("host %s of %s (%s, port %s)", b.Host, b.Guard.Name, name(b.Gateway.Key()), ports(&b.Server))
	}
	return fmt.Sprintf("host %s of %s (%s, through %s: on the plain-text port %s all Gateways share one virtual host)",
		b.Host, b.Guard.Name, name(b.With), name(b.Gateway.Key()), ports(&b.Server))
}

// forRoutes makes a rule's Object for VirtualServices, and for the Gateways by which those
// that are there already come to be served.
func forRoutes(f func(w *policy.World, v *resource.VirtualService, given *resource.Gateway, report func(policy.Fault))) func(*policy.World, resource.Object, func(policy.Fault)) {
	return func(w *policy.World, o resource.Object, report func(policy.Fault)) {
		switch o := o.(type) {
		case *resource.VirtualService:
			f(w, o, nil, report)
		case *resource.Gateway:
			if !slices.ContainsFunc(w.Encounters(o), func(e policy.Encounter) bool { return !e.Owners }) {
				return
			}
			w.Snapshot.RoutesOf(o.Namespace, o.Name, func(v *resource.VirtualService) bool {
				if v.Key() == o.Key() {
					return true // both are made of one object, and the route is judged by itself
				}
				f(w, v, o, func(fault policy.Fault) {
					fault.Message = fmt.Sprintf("with this Gateway, %s of %s takes effect: %s", v.Field(fault.Field), name(v.Key()), fault.Message)
					fault.Subject += "|" + v.Key().String()
					others := slices.DeleteFunc(slices.Clone(fault.Related), func(k resource.Key) bool { return k == o.Key() })
					fault.Related = append(others, v.Key())
					fault.Field, fault.Of = "spec.servers", v.Key()
					report(fault)
				})
				return true
			})
		}
	}
}

var (
	routeKinds = []resource.Kind{resource.KindVirtualService, resource.KindGateway}
	routeReads = gatewayReads
)
