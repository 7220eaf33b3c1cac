package policy

import (
	"regexp"
	"slices"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/hostname"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// CatchAll reports whether Istio puts a route with the match behind all others of its
// virtual host, whatever its age: one for every path without any other condition
// (isCatchAllRoute, by which SortVHostRoutes orders, in istio.io/istio
// pilot/pkg/networking/core/route/route.go). "/" as an exact path is none, nor is a regular
// expression that does as much in other words.
func CatchAll(m *resource.HTTPMatch) bool {
	if m.Conditioned {
		return false
	}
	switch m.URI.Type {
	case resource.MatchAny:
		return true
	case resource.MatchPrefix:
		return m.URI.Value == "/"
	case resource.MatchRegex:
		return m.URI.Value == ".*" || m.URI.Value == "*"
	}
	return false
}

// Takes reports whether a route with the match m can get requests that o lets through, in
// one order of the two or the other.
func Takes(m, o *resource.HTTPMatch) bool {
	return (!CatchAll(m) || CatchAll(o)) && overlap(m, o)
}

// overlap reports whether there is a path that both matches let through. Between regular
// expressions it is found by example, so that it is never claimed without one.
func overlap(m, o *resource.HTTPMatch) bool {
	if m.URI.Type == resource.MatchAny || o.URI.Type == resource.MatchAny {
		return true
	}
	a, b := newPaths(m, o.IgnoreURICase), newPaths(o, m.IgnoreURICase)
	for _, start := range []string{a.start, b.start} {
		for _, rest := range []string{"", "/", "a", "a/", "a/a", "1"} {
			if a.has(start+rest) && b.has(start+rest) {
				return true
			}
		}
	}
	return false
}

// paths is the set of paths of a match.
type paths struct {
	kind  resource.MatchType
	start string // the path, its prefix, or what every match of the expression starts with
	re    *regexp.Regexp
}

// newPaths reads a match; fold ignores letter case although the match does not, because
// the one it is compared to does.
func newPaths(m *resource.HTTPMatch, fold bool) paths {
	p := paths{kind: m.URI.Type, start: m.URI.Value}
	if fold || m.IgnoreURICase {
		p.start = strings.ToLower(p.start)
	}
	if p.kind == resource.MatchRegex {
		// An expression that the proxy refuses lets nothing through.
		p.re, _ = regexp.Compile("^(?:" + m.URI.Value + ")$")
		p.start = m.PathPrefix()
	}
	return p
}

func (p paths) has(path string) bool {
	switch p.kind {
	case resource.MatchExact:
		return path == p.start
	case resource.MatchPrefix:
		return strings.HasPrefix(path, p.start)
	}
	return p.re != nil && p.re.MatchString(path)
}

// SharesVirtualHost reports whether the routes of two bindings are in one list: on a
// plain-text port all Gateways share their virtual hosts, while each TLS server has its own
// (gatewayRDSRouteName in istio.io/istio pilot/pkg/model/gateway.go).
func (b *Binding) SharesVirtualHost(o *Binding) bool {
	return b.Host == o.Host && b.sharesVirtualHosts(o)
}

// sharesVirtualHosts reports whether the virtual hosts of two bindings are in one list.
func (b *Binding) sharesVirtualHosts(o *Binding) bool {
	if b.Guard != o.Guard || b.Server.Family != o.Server.Family {
		return false
	}
	if b.Server.Family == PlainHTTP {
		return b.Server.SharesListener(&o.Server)
	}
	return b.Server.Gateway == o.Server.Gateway && b.Server.Index == o.Server.Index
}

// Neighbours calls f for each binding of another VirtualService that shares the virtual host
// of b and may have a path that meets the match.
func (w *World) Neighbours(v *resource.VirtualService, b *Binding, m *resource.HTTPMatch, given *resource.Gateway, f func(*resource.VirtualService, *Binding)) {
	seen := map[resource.Key]bool{v.Key(): true}
	visit := func(o *resource.VirtualService) bool {
		if seen[o.Key()] || b.Guard.IsOwners(o.Key()) {
			return true
		}
		seen[o.Key()] = true
		for _, other := range w.bindings(o, given) {
			if other.SharesVirtualHost(b) {
				f(o, &other)
			}
		}
		return true
	}
	for _, host := range boundAs(b.Host) {
		if CatchAll(m) { // it takes only from other catch-alls
			w.Snapshot.RoutesAt(host, "", visit)
			w.Snapshot.RoutesAt(host, "/", visit)
		} else {
			w.Snapshot.RoutesOn(host, w.PathPrefix(m), visit)
		}
	}
}

// Broader calls f for bindings of other VirtualServices to a wildcard around the host of b, "*"
// apart, in the same list of virtual hosts, until f returns false. It calls f for none if the
// virtual host of b is there without v: nothing more is taken out of a wildcard then.
func (w *World) Broader(v *resource.VirtualService, b *Binding, given *resource.Gateway, f func(*resource.VirtualService, *Binding) bool) {
	around := boundAs(b.Host)[1:]
	there := false
	w.Snapshot.RoutesOn(b.Host, "", func(o *resource.VirtualService) bool {
		there = there || o.Key() != v.Key() && slices.ContainsFunc(w.bindings(o, given), func(other Binding) bool { return other.SharesVirtualHost(b) })
		return !there
	})
	if there {
		return
	}
	for _, wildcard := range around {
		if wildcard == hostname.Any {
			continue
		}
		more := true
		w.Snapshot.RoutesOn(wildcard, "", func(o *resource.VirtualService) bool {
			if o.Key() == v.Key() || b.Guard.IsOwners(o.Key()) {
				return true
			}
			for _, other := range w.bindings(o, given) {
				if other.Host == wildcard && other.sharesVirtualHosts(b) && len(o.HTTP) > 0 {
					more = f(o, &other)
					return more
				}
			}
			return true
		})
		if !more {
			return
		}
	}
}

// boundAs returns the hosts of VirtualServices that can come to be served under a name: the
// name itself, and the wildcards around it, which bind as the server's host.
func boundAs(n hostname.Name) []hostname.Name {
	out := []hostname.Name{n}
	for s := string(n); ; {
		_, rest, found := strings.Cut(strings.TrimPrefix(s, "*."), ".")
		if !found {
			break
		}
		out = append(out, hostname.Name("*."+rest))
		s = rest
	}
	if n != hostname.Any {
		out = append(out, hostname.Any)
	}
	return out
}
