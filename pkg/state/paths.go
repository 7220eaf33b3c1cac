package state

import (
	"slices"

	iradix "github.com/hashicorp/go-immutable-radix/v2"

	"github.com/gatewarden/gatewarden/pkg/hostname"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// RoutesOn calls f for the VirtualServices that have the host, as it is written but for its
// letter case, and a path that may meet paths which start with the given one: what each of
// its own paths starts with is the beginning of it, or begins with it. It stops when f
// returns false. A VirtualService may be visited more than once.
func (s *Snapshot) RoutesOn(host hostname.Name, path string, f func(*resource.VirtualService) bool) {
	prefix, more := reverse(string(host))+sep, true
	each := func(_ []byte, routes *tree[*resource.VirtualService]) bool {
		routes.Root().Walk(func(_ []byte, v *resource.VirtualService) bool {
			more = f(v)
			return !more
		})
		return !more
	}
	key := []byte(prefix + path)
	root := s.paths.Root()
	root.WalkPath(key, func(k []byte, routes *tree[*resource.VirtualService]) bool {
		if len(k) < len(prefix) || len(k) == len(key) {
			return false // of another host; or visited by the walk below
		}
		return each(k, routes)
	})
	if more {
		root.WalkPrefix(key, each)
	}
}

// pathKeys returns a key for each host and each beginning of a path of a VirtualService. One
// with TLS or TCP routes has every path of its hosts, and so of its server names.
func pathKeys(v *resource.VirtualService) [][]byte {
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
	var out [][]byte
	for _, h := range hosts {
		prefix := reverse(string(hostname.Parse(h))) + sep
		for p := range paths {
			out = append(out, []byte(prefix+p))
		}
	}
	return out
}

func (t *txn) indexPaths(v *resource.VirtualService) {
	id := []byte(v.Namespace + sep + v.Name)
	for _, k := range pathKeys(v) {
		routes, ok := t.paths.Get(k)
		if !ok {
			routes = iradix.New[*resource.VirtualService]()
		}
		routes, _, _ = routes.Insert(id, v)
		t.paths.Insert(k, routes)
	}
}

func (t *txn) unindexPaths(v *resource.VirtualService) {
	id := []byte(v.Namespace + sep + v.Name)
	for _, k := range pathKeys(v) {
		routes, ok := t.paths.Get(k)
		if !ok {
			continue // a path that the object has twice
		}
		if routes, _, _ = routes.Delete(id); routes.Len() == 0 {
			t.paths.Delete(k)
		} else {
			t.paths.Insert(k, routes)
		}
	}
}

// RoutesAt calls f for the VirtualServices that have the host and a path that starts with
// exactly the given text and of which no more is known, until f returns false.
func (s *Snapshot) RoutesAt(host hostname.Name, path string, f func(*resource.VirtualService) bool) {
	routes, ok := s.paths.Get([]byte(reverse(string(host)) + sep + path))
	if ok {
		routes.Root().Walk(func(_ []byte, v *resource.VirtualService) bool { return !f(v) })
	}
}

// RoutesUnder calls f for the VirtualServices with a host that a wildcard covers, as it is
// written but for its letter case, until f returns false. A VirtualService may be visited
// more than once.
func (s *Snapshot) RoutesUnder(wildcard hostname.Name, f func(*resource.VirtualService) bool) {
	suffix := []byte(reverse(string(wildcard[1:])))
	s.paths.Root().WalkPrefix(suffix, func(_ []byte, routes *tree[*resource.VirtualService]) (stop bool) {
		routes.Root().Walk(func(_ []byte, v *resource.VirtualService) bool {
			stop = !f(v)
			return stop
		})
		return stop
	})
}
