package policy

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/hostname"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
)

// RouteTable is a route configuration of the proxy: the virtual hosts of one TLS server, or of all
// plain-text ones of a port.
type RouteTable struct {
	Name    string // as the proxy has it
	Servers []*MergedServer
	// Hosts are in the order in which the proxy looks for them.
	Hosts []*VirtualHost
}

// VirtualHost is what the proxy does with requests for a host.
type VirtualHost struct {
	Host hostname.Name
	// Redirect is a server that has every request in plain text redirected to HTTPS; nil for none.
	Redirect *MergedServer
	// Routes are in the order in which the proxy asks them.
	Routes []*HostedRoute
}

// HostedRoute is a route of a virtual host.
type HostedRoute struct {
	*TableRoute
	// ShadowedBy is an earlier route of the virtual host that takes every request that this one
	// lets through. It is only there where that is certain.
	ShadowedBy *HostedRoute
	// Last reports whether Istio has put the route behind all others of the virtual host: see
	// CatchAll.
	Last bool
}

// TableRoute is a route for one match, as the proxy gets it.
type TableRoute struct {
	// Object has the route, and Field is where, as its author knows it.
	Object *resource.VirtualService
	Field  string
	// Root is the VirtualService that hands over to Object, and RootField its route; nil for none.
	Root      *resource.VirtualService
	RootField string
	Name      string // as the proxy has it
	Match     resource.HTTPMatch
	To        []string
	// Sorted reports whether Istio sorts the route among others by how narrow they are, which
	// is not followed here: those that it makes of Ingresses and of the Gateway API.
	Sorted bool
	// Unreached tells why the proxy does not even get the route; empty if it does.
	Unreached string
}

// RouteSemantics is the annotation by which Istio tells VirtualServices that it makes of other
// objects, "ingress" or "gateway". Anybody may set it.
const RouteSemantics = "internal.istio.io/route-semantics"

// The tiers of VirtualServices on a gateway, in the order in which they are asked.
const (
	private   = iota // exported to their own namespace, which is that of the pods
	exported         // exported to the namespace of the pods by name
	preferred        // public, made of the Gateway API in the namespace of the pods
	public
)

// tier tells in which of the tiers pods of a namespace have a VirtualService, and false if they
// do not see it (initVirtualServices and VirtualServicesForGateway in istio.io/istio
// pilot/pkg/model/push_context.go).
func (w *World) tier(v *resource.VirtualService, namespace string) (int, bool) {
	to := v.ExportTo
	if len(to) == 0 {
		to = w.Config.Mesh.DefaultVirtualServiceExportTo
	}
	switch {
	case !w.Visible(v, namespace):
		return 0, false
	case slices.Contains(to, "*") && (v.Namespace != namespace || v.Annotations[RouteSemantics] != "gateway"):
		return public, true
	case slices.Contains(to, "*"):
		return preferred, true
	case slices.Contains(to, "~"): // seen by nobody, whatever else is in the list
		return 0, false
	case v.Namespace == namespace:
		return private, true
	}
	return exported, true
}

// RoutesOf returns the VirtualServices of a Gateway that pods of a namespace see, in the order in
// which Istio asks them (VirtualServicesForGateway in istio.io/istio
// pilot/pkg/model/push_context.go): by tier, the oldest of each first. What others hand over to
// is not among them.
func (w *World) RoutesOf(gw *resource.Gateway, namespace string) []*resource.VirtualService {
	tiers := map[*resource.VirtualService]int{}
	w.Snapshot.RoutesOf(gw.Namespace, gw.Name, func(v *resource.VirtualService) bool {
		if tier, ok := w.tier(v, namespace); ok && len(v.Hosts) > 0 {
			tiers[v] = tier
		}
		return true
	})
	return slices.SortedFunc(maps.Keys(tiers), func(a, b *resource.VirtualService) int {
		return cmp.Or(cmp.Compare(tiers[a], tiers[b]), resource.ByAge(&a.Meta, &b.Meta))
	})
}

// routeTable makes the route configuration of servers (buildGatewayHTTPRouteConfig in
// istio.io/istio pilot/pkg/networking/core/gateway.go).
func (w *World) routeTable(p *PodSet, name string, servers []*MergedServer) *RouteTable {
	type made struct{ in, of resource.Object }
	hosts := map[hostname.Name]*VirtualHost{}
	host := func(n hostname.Name) *VirtualHost {
		return remember(&hosts, n, func() *VirtualHost { return &VirtualHost{Host: n} })
	}
	// The routes of a VirtualService are made once for a Gateway, with the port of its first
	// server that gives any.
	routes := map[made][]*TableRoute{}
	for _, s := range servers {
		for _, v := range w.RoutesOf(s.In, p.Namespace) {
			names := boundTo(s, v)
			if len(names) == 0 {
				continue
			}
			key := made{s.In, v}
			if !anyReached(routes[key]) {
				routes[key] = w.tableRoutes(v, s)
			}
			if !anyReached(routes[key]) {
				continue // "no routes matched": not even an empty virtual host
			}
			for _, n := range names {
				h := host(n)
				h.add(routes[key])
				if s.redirects() {
					h.Redirect = s
				}
			}
		}
		if s.redirects() {
			for _, sh := range s.Hosts {
				// With a namespace before it the name is one that no request has.
				if sh.Namespace == "" {
					host(sh.Name).Redirect = s
				}
			}
		}
	}
	t := &RouteTable{Name: name, Servers: servers}
	for _, h := range hosts {
		h.sort()
		t.Hosts = append(t.Hosts, h)
	}
	slices.SortFunc(t.Hosts, func(a, b *VirtualHost) int { return bySpecificity(a.Host, b.Host) })
	return t
}

func (s *MergedServer) redirects() bool { return s.TLS != nil && s.TLS.HTTPSRedirect }

// boundTo returns the names under which a server serves a VirtualService: the narrower of each
// two of their hosts that meet.
func boundTo(s *MergedServer, v *resource.VirtualService) []hostname.Name {
	var out []hostname.Name
	for _, sh := range s.Hosts {
		for _, vh := range v.Hosts {
			if n, ok := sh.Bind(vh); ok && sh.Admits(v.Namespace) && !slices.Contains(out, n) {
				out = append(out, n)
			}
		}
	}
	return out
}

func anyReached(routes []*TableRoute) bool {
	return slices.ContainsFunc(routes, func(r *TableRoute) bool { return r.Unreached == "" })
}

// add adds routes, but those once more that are there through another server of their Gateway.
func (h *VirtualHost) add(routes []*TableRoute) {
	for _, r := range routes {
		if !slices.ContainsFunc(h.Routes, func(o *HostedRoute) bool { return o.TableRoute == r }) {
			h.Routes = append(h.Routes, &HostedRoute{TableRoute: r})
		}
	}
}

// sort puts the catch-alls behind the other routes (SortVHostRoutes in istio.io/istio
// pilot/pkg/networking/core/route/route.go), and finds those that no request reaches. Those that
// the proxy does not get stay where they would have been.
func (h *VirtualHost) sort() {
	var first, last []*HostedRoute
	for _, r := range h.Routes {
		if CatchAll(&r.Match) && r.Unreached == "" {
			last = append(last, r)
		} else {
			first = append(first, r)
		}
	}
	for i := range last {
		last[i].Last = len(first) > 0 || i > 0
	}
	h.Routes = append(first, last...)
	for i, r := range h.Routes {
		for _, earlier := range h.Routes[:i] {
			if r.Unreached == "" && earlier.Unreached == "" && !r.Sorted && !earlier.Sorted && shadows(&earlier.Match, &r.Match) {
				r.ShadowedBy = earlier
				break
			}
		}
	}
}

// tableRoutes returns the routes of a VirtualService for a server (BuildHTTPRoutesForVirtualService
// in istio.io/istio pilot/pkg/networking/core/route/route.go): one for each match that is for its
// Gateway and port, up to the first catch-all.
func (w *World) tableRoutes(v *resource.VirtualService, s *MergedServer) []*TableRoute {
	var out []*TableRoute
	var all *TableRoute
	for _, r := range w.inlined(v) {
		if !s.isFor(r, v) {
			continue
		}
		if all != nil && r.Unreached == "" {
			r.Unreached = fmt.Sprintf("Istio makes nothing of what is behind %s of the same VirtualService, which is for every request", all.Field)
		}
		if r.Unreached == "" && CatchAll(&r.Match) {
			all = r
		}
		out = append(out, r)
	}
	return out
}

// isFor reports whether a route is for the Gateway and the port of a server (TranslateRoute and
// sourceMatchHTTP in istio.io/istio pilot/pkg/networking/core/route/route.go).
func (s *MergedServer) isFor(r *TableRoute, root *resource.VirtualService) bool {
	return refersTo(r.Match.Gateways, root.Namespace, s) && (r.Match.Port == 0 || r.Match.Port == s.Server.Port)
}

// refersTo reports whether a list of Gateways, as it is written in a namespace, has that of a
// server among it. An empty one has all.
func refersTo(gateways []string, namespace string, s *MergedServer) bool {
	return len(gateways) == 0 || slices.ContainsFunc(gateways, func(ref string) bool {
		ns, name, ok := state.GatewayName(ref, namespace)
		return ok && ns == s.In.Namespace && name == s.In.Name
	})
}

// inlined returns the routes of a VirtualService for each of their matches, with what they hand
// over to in their place (mergeVirtualServices in istio.io/istio
// pilot/pkg/model/virtualservice_controller.go).
func (w *World) inlined(v *resource.VirtualService) []*TableRoute {
	sorted := v.Origin != nil || v.Annotations[RouteSemantics] != ""
	var out []*TableRoute
	for i := range v.HTTP {
		r := &v.HTTP[i]
		if r.Delegate != "" {
			out = append(out, w.delegated(v, i)...)
			continue
		}
		for j, m := range matches(r) {
			field := fmt.Sprintf("spec.http[%d]", i)
			if len(r.Matches) > 0 {
				field += fmt.Sprintf(".match[%d]", j)
			}
			out = append(out, &TableRoute{
				Object: v, Field: v.Field(field), Name: dotted(r.Name, m.Name), Match: m, To: hostsOf(r.Destinations), Sorted: sorted,
			})
		}
	}
	return out
}

// delegated returns the routes of what a route hands over to, merged with it (MergeHTTPRoutes in
// istio.io/istio pilot/pkg/model/virtualservice.go).
func (w *World) delegated(root *resource.VirtualService, index int) []*TableRoute {
	r := &root.HTTP[index]
	rootField := fmt.Sprintf("spec.http[%d]", index)
	part := w.part(root, r, nil)
	if part == nil {
		var out []*TableRoute
		for _, m := range matches(r) {
			out = append(out, &TableRoute{
				Object: root, Field: rootField + ".delegate", Name: dotted(r.Name, m.Name), Match: m,
				Unreached: fmt.Sprintf("there is no VirtualService %s without hosts that namespace %s sees", r.Delegate, root.Namespace),
			})
		}
		return out
	}
	var out []*TableRoute
	for j := range part.HTTP {
		pr := &part.HTTP[j]
		add := func(field string, m resource.HTTPMatch, unreached string) {
			out = append(out, &TableRoute{
				Object: part, Field: field, Root: root, RootField: rootField,
				Name: dotted(hyphenated(r.Name, pr.Name), m.Name), Match: m, To: hostsOf(pr.Destinations), Unreached: unreached,
			})
		}
		field := fmt.Sprintf("spec.http[%d]", j)
		if len(pr.Matches) == 0 {
			for _, m := range matches(r) {
				add(field, resolved(m, root.Namespace), "")
			}
			continue
		}
		// A route with one match that fits none of the root's is left out with all of its matches.
		unreached := ""
		for k := range pr.Matches {
			if len(r.Matches) > 0 && !slices.ContainsFunc(r.Matches, func(m resource.HTTPMatch) bool { return fits(root, part, &m, &pr.Matches[k]) }) {
				unreached = fmt.Sprintf("its match[%d] is not within a match of %s of %s, which hands over to it", k, rootField, root.Key())
				break
			}
		}
		for k := range pr.Matches {
			pm, any := &pr.Matches[k], false
			at := fmt.Sprintf("%s.match[%d]", field, k)
			for _, m := range matches(r) {
				if len(r.Matches) == 0 || fits(root, part, &m, pm) {
					add(at, mergedMatch(root, part, &m, pm), unreached)
					any = true
				}
			}
			if !any {
				add(at, resolved(*pm, part.Namespace), unreached)
			}
		}
	}
	return out
}

// matches returns the matches of a route; none is one that matches every request.
func matches(r *resource.HTTPRoute) []resource.HTTPMatch {
	if len(r.Matches) == 0 {
		return []resource.HTTPMatch{{}}
	}
	return r.Matches
}

// resolved returns a match with its Gateways in full, as they are in whatever namespace.
func resolved(m resource.HTTPMatch, namespace string) resource.HTTPMatch {
	gateways := make([]string, 0, len(m.Gateways))
	for _, ref := range m.Gateways {
		if ns, name, ok := state.GatewayName(ref, namespace); ok {
			ref = ns + "/" + name
		}
		gateways = append(gateways, ref)
	}
	m.Gateways = gateways
	return m
}

// fits reports whether a match of what is handed over to goes with one of the route that hands
// over (hasConflict in istio.io/istio pilot/pkg/model/virtualservice.go), as far as paths, ports
// and Gateways tell.
func fits(root, part *resource.VirtualService, m, pm *resource.HTTPMatch) bool {
	if m.IgnoreURICase != pm.IgnoreURICase || m.Port != 0 && pm.Port != 0 && m.Port != pm.Port {
		return false
	}
	a, b := resolved(*m, root.Namespace).Gateways, resolved(*pm, part.Namespace).Gateways
	if len(a) > 0 && slices.ContainsFunc(b, func(ref string) bool { return !slices.Contains(a, ref) }) {
		return false
	}
	switch {
	case m.URI.Type == resource.MatchAny || pm.URI.Type == resource.MatchAny:
		return true
	case m.URI.Type == resource.MatchExact:
		return pm.URI == m.URI
	case m.URI.Type == resource.MatchPrefix:
		return pm.URI.Type != resource.MatchRegex && strings.HasPrefix(pm.URI.Value, m.URI.Value)
	}
	return false
}

// mergedMatch is mergeHTTPMatchRequest in istio.io/istio pilot/pkg/model/virtualservice.go.
func mergedMatch(root, part *resource.VirtualService, m, pm *resource.HTTPMatch) resource.HTTPMatch {
	out := resolved(*pm, part.Namespace)
	out.Name = hyphenated(m.Name, pm.Name)
	if out.URI.Type == resource.MatchAny {
		out.URI = m.URI
	}
	out.Port = cmp.Or(out.Port, m.Port)
	if len(out.Gateways) == 0 {
		out.Gateways = resolved(*m, root.Namespace).Gateways
	}
	out.Conditioned = out.Conditioned || m.Conditioned
	return out
}

// dotted is the name of the proxy's route for a match (TranslateRoute in istio.io/istio
// pilot/pkg/networking/core/route/route.go).
func dotted(route, match string) string {
	if match == "" {
		return route
	}
	return route + "." + match
}

func hostsOf(destinations []resource.Destination) []string {
	var out []string
	for _, d := range destinations {
		if d.List == resource.InRoute && !slices.Contains(out, d.Host) {
			out = append(out, d.Host)
		}
	}
	return out
}

// shadows reports whether every request that o lets through is one that m takes. It never claims
// that without being certain.
func shadows(m, o *resource.HTTPMatch) bool {
	if m.Conditioned {
		return false
	}
	mine, theirs := m.URI, o.URI
	for _, u := range []*resource.StringMatch{&mine, &theirs} {
		if u.Type == resource.MatchAny {
			*u = resource.StringMatch{Type: resource.MatchPrefix, Value: "/"} // TranslateRouteMatch
		}
	}
	// Letter case counts in expressions, always.
	if mine.Type == resource.MatchRegex {
		if mine.Value == ".*" || theirs == mine {
			return true
		}
		re, err := regexp.Compile("^(?:" + mine.Value + ")$")
		return err == nil && theirs.Type == resource.MatchExact && !o.IgnoreURICase && re.MatchString(theirs.Value)
	}
	if theirs.Type == resource.MatchRegex {
		if mine.Type == resource.MatchExact {
			return false
		}
		theirs = resource.StringMatch{Type: resource.MatchPrefix, Value: prefixOf(theirs)}
	}
	switch lower := strings.ToLower(mine.Value); {
	case m.IgnoreURICase:
		mine.Value, theirs.Value = lower, strings.ToLower(theirs.Value)
	case o.IgnoreURICase && lower != strings.ToUpper(mine.Value):
		return false
	}
	if mine.Type == resource.MatchExact {
		return theirs == mine
	}
	return strings.HasPrefix(theirs.Value, mine.Value)
}

// prefixOf returns what every path starts with that an expression lets through.
func prefixOf(expression resource.StringMatch) string {
	return (&resource.HTTPMatch{URI: expression}).PathPrefix()
}

// passed is a server name that a TLS route has, and the bind of its server.
type passed struct {
	bind string
	by   *Connection
}

// tlsRoutes returns the matches of TLS routes that are for a server that passes TLS through. One
// of whose server names another one before has is dropped
// (buildGatewayNetworkFiltersFromTLSRoutes in istio.io/istio pilot/pkg/networking/core/gateway.go).
func (w *World) tlsRoutes(p *PodSet, s *MergedServer, ports map[uint32]map[string]passed) []*Connection {
	known := remember(&ports, s.Port, func() map[string]passed { return map[string]passed{} })
	var out []*Connection
	for _, v := range w.RoutesOf(s.In, p.Namespace) {
		if !picked(s, v) {
			continue
		}
		for i := range v.TLS {
			to := hostsOf(v.TLS[i].Destinations)
			for j := range v.TLS[i].Matches {
				m := &v.TLS[i].Matches[j]
				if len(to) == 0 && v.Origin == nil || !forConnections(m, v, s) {
					continue
				}
				c := &Connection{Route: v, Field: v.Field(fmt.Sprintf("spec.tls[%d].match[%d]", i, j)), Names: chainNames(m.SNIHosts), To: to}
				for _, h := range m.SNIHosts {
					if o, ok := known[h]; ok && o.bind == s.Bind {
						c.Dropped = fmt.Sprintf("its server name %s is one of %s, which comes before it", h, o.by)
						break
					}
				}
				for _, h := range m.SNIHosts {
					if c.Dropped == "" {
						known[h] = passed{s.Bind, c}
					}
				}
				out = append(out, c)
			}
		}
	}
	return out
}

// tcpRoutes returns the TCP routes that are for a server, and the TLS routes of a TLSRoute for one
// that terminates TLS. The first one gets every connection
// (buildGatewayNetworkFiltersFromTCPRoutes in istio.io/istio
// pilot/pkg/networking/core/gateway.go).
func (w *World) tcpRoutes(p *PodSet, s *MergedServer) []*Connection {
	var out []*Connection
	for _, v := range w.RoutesOf(s.In, p.Namespace) {
		if !picked(s, v) {
			continue
		}
		add := func(list string, routes []resource.L4Route) {
			for i := range routes {
				m, to := routes[i].Matches, hostsOf(routes[i].Destinations)
				reached := len(m) == 0 || slices.ContainsFunc(m, func(m resource.L4Match) bool { return forConnections(&m, v, s) })
				if len(to) == 0 && v.Origin == nil || !reached {
					continue
				}
				c := &Connection{Route: v, Field: v.Field(fmt.Sprintf("spec.%s[%d]", list, i)), To: to}
				if len(out) > 0 {
					c.Dropped = fmt.Sprintf("%s comes before it and gets every connection", out[0])
				}
				out = append(out, c)
			}
		}
		add("tcp", v.TCP)
		if v.Origin != nil && v.Origin.Key.Kind == resource.KindTLSRoute {
			add("tls", v.TLS)
		}
	}
	return out
}

// String names the route for people.
func (c *Connection) String() string { return c.Route.Key().String() + " " + c.Field }

// picked reports whether a host of a VirtualService meets one of a server that forwards
// connections (pickMatchingGatewayHosts in istio.io/istio pilot/pkg/networking/core/gateway.go).
func picked(s *MergedServer, v *resource.VirtualService) bool { return len(boundTo(s, v)) > 0 }

// forConnections reports whether a match of connections is for the Gateway and port of a server
// (l4SingleMatch in istio.io/istio pilot/pkg/networking/core/gateway.go).
func forConnections(m *resource.L4Match, v *resource.VirtualService, s *MergedServer) bool {
	return refersTo(m.Gateways, v.Namespace, s) && (m.Port == 0 || m.Port == s.Server.Port)
}
