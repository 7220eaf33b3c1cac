package state

import (
	"slices"

	"github.com/gatewarden/gatewarden/pkg/hostname"
	"github.com/gatewarden/gatewarden/pkg/radix"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// RoutesOn calls f for the VirtualServices that have the host, as it is written but for its
// letter case, and a path that may meet paths which start with the given one: what each of
// its own paths starts with is the beginning of it, or begins with it. It stops when f
// returns false. A VirtualService may be visited more than once.
func (s *Snapshot) RoutesOn(host hostname.Name, path string, f func(*resource.VirtualService) bool) {
	prefix := reverse(string(host)) + sep
	key := prefix + path
	more := s.paths.Above(key, func(length int, routes routeSet) bool {
		// Shorter ones are of another host, and the whole key is visited by the walk below.
		return length < len(prefix) || length == len(key) || routes.each(f)
	})
	if more {
		s.paths.Walk(key, func(routes routeSet) bool { return routes.each(f) })
	}
}

// routeSet are VirtualServices. Nearly always there is one: a tree for it would take as much memory
// as all else that is known of it.
type routeSet struct {
	one *resource.VirtualService
	// all are by namespace and name, if there are several.
	all *tree[*resource.VirtualService]
}

// each calls f for the VirtualServices until f returns false. It reports whether it came to the end.
func (r routeSet) each(f func(*resource.VirtualService) bool) bool {
	if r.all != nil {
		return r.all.Walk("", f)
	}
	return r.one == nil || f(r.one)
}

// with returns the set with a VirtualService in place of the one of its name.
func (r routeSet) with(v *resource.VirtualService) routeSet {
	if r.all == nil && (r.one == nil || identity(&r.one.Meta) == identity(&v.Meta)) {
		return routeSet{one: v}
	}
	c := (&radix.Tree[*resource.VirtualService]{}).Change()
	if r.all != nil {
		c = r.all.Change()
	} else {
		c.Insert(identity(&r.one.Meta), r.one)
	}
	c.Insert(identity(&v.Meta), v)
	all := c.Commit()
	return routeSet{all: &all}
}

// without returns the set without the VirtualService of that name, and whether it is empty.
func (r routeSet) without(v *resource.VirtualService) (_ routeSet, empty bool) {
	if r.all == nil {
		if r.one != nil && identity(&r.one.Meta) == identity(&v.Meta) {
			r.one = nil
		}
		return r, r.one == nil
	}
	c := r.all.Change()
	c.Delete(identity(&v.Meta))
	all := c.Commit()
	return routeSet{all: &all}, all.Len() == 0
}

// pathKeys returns a key for each host and each beginning of a path of a VirtualService. One
// with TLS or TCP routes has every path of its hosts, and so of its server names.
func pathKeys(v *resource.VirtualService) []string {
	paths := map[string]bool{}
	for i := range v.HTTP {
		if len(v.HTTP[i].Matches) == 0 {
			paths[""] = true
		}
		for j := range v.HTTP[i].Matches {
			paths[v.HTTP[i].Matches[j].PathPrefix()] = true
		}
	}
	hosts := v.Hosts
	if len(v.TLS)+len(v.TCP) > 0 {
		paths[""] = true
		hosts = slices.Clone(hosts)
		for i := range v.TLS {
			for j := range v.TLS[i].Matches {
				hosts = append(hosts, v.TLS[i].Matches[j].SNIHosts...)
			}
		}
	}
	var out []string
	for _, h := range hosts {
		prefix := reverse(string(hostname.Parse(h))) + sep
		for p := range paths {
			out = append(out, prefix+p)
		}
	}
	return out
}

func (t *txn) indexPaths(v *resource.VirtualService) {
	for _, k := range pathKeys(v) {
		routes, _ := t.paths.Get(k)
		t.paths.Insert(k, routes.with(v))
	}
}

func (t *txn) unindexPaths(v *resource.VirtualService) {
	for _, k := range pathKeys(v) {
		routes, ok := t.paths.Get(k)
		if !ok {
			continue // a path that the object has twice
		}
		if routes, empty := routes.without(v); empty {
			t.paths.Delete(k)
		} else {
			t.paths.Insert(k, routes)
		}
	}
}

// RoutesAt calls f for the VirtualServices that have the host and a path that starts with
// exactly the given text and of which no more is known, until f returns false.
func (s *Snapshot) RoutesAt(host hostname.Name, path string, f func(*resource.VirtualService) bool) {
	routes, _ := s.paths.Get(reverse(string(host)) + sep + path)
	routes.each(f)
}

// RoutesUnder calls f for the VirtualServices with a host that a wildcard covers, as it is
// written but for its letter case, until f returns false. A VirtualService may be visited
// more than once.
func (s *Snapshot) RoutesUnder(wildcard hostname.Name, f func(*resource.VirtualService) bool) {
	s.paths.Walk(reverse(string(wildcard[1:])), func(routes routeSet) bool { return routes.each(f) })
}
