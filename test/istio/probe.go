package main

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	envoyroute "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	networking "istio.io/api/networking/v1alpha3"
)

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// names returns the host names that the objects of a world are about, each wildcard with
// examples of what it stands for.
func names(objects []*object) []string {
	found := map[string]bool{"unclaimed.test": true}
	add := func(host string) {
		if _, after, ok := strings.Cut(host, "/"); ok {
			host = after
		}
		host = strings.ToLower(host)
		if rest, wildcard := strings.CutPrefix(host, "*"); wildcard {
			if rest != "" {
				found["zz"+rest] = true
				found["a.zz"+rest] = true
				found[strings.TrimPrefix(rest, ".")] = true
			}
			return
		}
		found[host] = true
	}
	for _, o := range objects {
		if o.config == nil {
			continue
		}
		switch spec := o.config.Spec.(type) {
		case *networking.Gateway:
			for _, s := range spec.Servers {
				for _, h := range s.Hosts {
					add(h)
				}
			}
		case *networking.VirtualService:
			for _, h := range spec.Hosts {
				add(h)
			}
			for _, r := range spec.Tls {
				for _, m := range r.Match {
					for _, h := range m.SniHosts {
						add(h)
					}
				}
			}
		}
	}
	return sortedKeys(found)
}

// requests returns those that can tell the proxies of two worlds apart: for each port and
// name, in plain text and over TLS, one for each route that either has, and one for none.
func requests(objects []*object, proxies ...*proxy) []request {
	ports := map[uint32]bool{}
	for _, p := range proxies {
		for port := range p.listeners {
			ports[port] = true
		}
	}
	var out []request
	hosts := names(objects)
	for _, port := range sortedKeys(ports) {
		for _, host := range hosts {
			for _, tls := range []bool{false, true} {
				base := request{port: port, tls: tls, host: host, path: "/zz-nobody"}
				seen := map[string]bool{}
				add := func(r request) {
					if id := r.String(); !seen[id] {
						seen[id] = true
						out = append(out, r)
					}
				}
				add(base)
				paths, conditions := []string{base.path}, []condition{{}}
				for _, p := range proxies {
					if a := p.answer(base); a.host != nil {
						for _, r := range a.host.routes {
							paths = append(paths, samples(r.match)...)
							conditions = append(conditions, conditionOf(r.match))
						}
					}
				}
				for _, p := range paths {
					for _, c := range conditions {
						r := base
						r.path, r.headers = p+c.query, c.headers
						add(r)
					}
				}
			}
		}
	}
	return out
}

// examples are paths for the expressions that worlds have. An expression that is not among
// them gets what is left of it without its last metacharacters.
var examples = []string{"/", "/a", "/a/a", "/dex/", "/notebook/team-a/x", "/notebook/team-b/x", "/logout", "/x"}

// samples returns paths that a route is for, and some that are just beside them.
func samples(m *envoyroute.RouteMatch) []string {
	var paths []string
	switch p := m.PathSpecifier.(type) {
	case *envoyroute.RouteMatch_Prefix:
		paths = []string{p.Prefix, p.Prefix + "zz", p.Prefix + "/zz"}
	case *envoyroute.RouteMatch_Path:
		paths = []string{p.Path}
	case *envoyroute.RouteMatch_PathSeparatedPrefix:
		paths = []string{p.PathSeparatedPrefix, p.PathSeparatedPrefix + "/zz"}
	case *envoyroute.RouteMatch_SafeRegex:
		for _, e := range examples {
			if fullMatch(p.SafeRegex.GetRegex(), e) {
				paths = append(paths, e)
			}
		}
	}
	if m.GetCaseSensitive() != nil && !m.GetCaseSensitive().GetValue() {
		for _, p := range slices.Clone(paths) {
			paths = append(paths, strings.ToUpper(p))
		}
	}
	return paths
}

// condition is what a match asks of a request beside its path.
type condition struct {
	headers map[string]string
	query   string
}

// conditionOf returns headers and a query that a match lets through.
func conditionOf(m *envoyroute.RouteMatch) condition {
	c := condition{headers: map[string]string{}}
	for _, h := range m.Headers {
		if h.InvertMatch || strings.HasPrefix(h.Name, ":") && h.Name != ":method" {
			continue
		}
		c.headers[h.Name] = example(h.GetStringMatch())
	}
	for i, q := range m.QueryParameters {
		c.query += string("?&"[min(i, 1)]) + q.Name + "=" + example(q.GetStringMatch())
	}
	return c
}

// example returns a value that a string match lets through.
func example(m *matcher.StringMatcher) string {
	switch p := m.GetMatchPattern().(type) {
	case *matcher.StringMatcher_Exact:
		return p.Exact
	case *matcher.StringMatcher_Prefix:
		return p.Prefix
	}
	return "1"
}
