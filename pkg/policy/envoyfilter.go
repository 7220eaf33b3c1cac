package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/hostname"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// What an EnvoyFilter makes of the configuration is decided in istio.io/istio
// pilot/pkg/networking/core/envoyfilter: listener_patch.go, rc_patch.go and cluster_patch.go.
// Which proxies it is for is decided by getMatchedEnvoyFilters in
// pilot/pkg/model/push_context.go, and proxyMatch in envoyfilter.go beside it.
//
// A match on proxyVersion excuses nothing: the proxies get another version with the next
// upgrade, and the filter would wait for it.

const (
	connectionManager = "envoy.filters.network.http_connection_manager"
	tcpProxy          = "envoy.filters.network.tcp_proxy"
	httpRouter        = "envoy.filters.http.router"
)

// Patched reports whether an EnvoyFilter's patch can change what a guarded server of these
// pods does.
func (w *World) Patched(g *Guard, p *PodSet, s *Server, e *resource.EnvoyPatch) bool {
	if !acts(e) || e.Namespace != "" && e.Namespace != p.Namespace {
		return false
	}
	if e.ApplyTo == "BOOTSTRAP" { // which has no context
		return true
	}
	if e.Context != "" && e.Context != "ANY" && e.Context != "GATEWAY" {
		return false
	}
	switch e.ApplyTo {
	case "LISTENER":
		return !adds(e) && s.listens(&e.Listener) || s.isTaken(p, &e.Value)
	case "LISTENER_FILTER":
		return s.listens(&e.Listener)
	case "FILTER_CHAIN":
		return s.listens(&e.Listener) && (!adds(e) && g.answers(s, &e.Listener) || g.shadows(s, e))
	case "NETWORK_FILTER":
		return s.listens(&e.Listener) && g.answers(s, &e.Listener) && s.hasFilter(e)
	case "HTTP_FILTER":
		return ServesHTTP(s.Server) && s.listens(&e.Listener) && g.answers(s, &e.Listener) &&
			(e.Listener.Filter == "" || e.Listener.Filter == connectionManager) && !w.isDormant(g, e)
	case "ROUTE_CONFIGURATION":
		return s.isRouted(p, &e.Route)
	case "VIRTUAL_HOST":
		return s.isRouted(p, &e.Route) && (!adds(e) && g.hosts(s, p, &e.Route) || g.takesHost(s, e))
	case "HTTP_ROUTE":
		return s.isRouted(p, &e.Route) && g.hosts(s, p, &e.Route) && (adds(e) || g.hasRoute(e.Route.Route))
	case "CLUSTER":
		if adds(e) { // the first one with a name counts (normalizeClusters in cluster_builder.go)
			return strings.Contains(e.Value.Name, "|") && w.needsCluster(&resource.ClusterMatch{Name: e.Value.Name})
		}
		return w.needsCluster(&e.Cluster)
	}
	return false
}

// adds reports whether a patch puts something in beside what is there.
func adds(e *resource.EnvoyPatch) bool {
	return e.Operation == "ADD" || strings.HasPrefix(e.Operation, "INSERT_")
}

func merges(e *resource.EnvoyPatch) bool {
	return e.Operation == "MERGE" || e.Operation == "MERGE_AND_REPLACE_LIST"
}

// acts reports whether a patch does anything where it matches. Istio passes over operations
// that it does not know for what they are applied to, and over those that need to be told a
// filter and are not. INSERT_* of what has no order is ADD (convertToEnvoyFilterWrapper).
func acts(e *resource.EnvoyPatch) bool {
	if merges(e) && e.Value.Empty {
		return false
	}
	l := &e.Listener
	switch e.ApplyTo {
	case "LISTENER", "FILTER_CHAIN", "CLUSTER", "HTTP_ROUTE":
		return adds(e) || merges(e) || e.Operation == "REMOVE"
	case "VIRTUAL_HOST":
		return adds(e) || merges(e) || e.Operation == "REMOVE" || e.Operation == "REPLACE"
	case "ROUTE_CONFIGURATION":
		return merges(e)
	case "BOOTSTRAP":
		return merges(e)
	case "LISTENER_FILTER":
		return adds(e) || l.ListenerFilter != "" && alters(e)
	case "NETWORK_FILTER":
		return adds(e) || e.Operation == "MERGE" || l.Filter != "" && alters(e)
	case "HTTP_FILTER":
		return adds(e) || e.Operation == "MERGE" || l.SubFilter != "" && alters(e)
	}
	return false
}

// alters reports whether a patch changes a filter that is there.
func alters(e *resource.EnvoyPatch) bool {
	return e.Operation == "REMOVE" || e.Operation == "REPLACE" || e.Operation == "MERGE"
}

// listens reports whether the server is on a listener that a match is for. A listener is named
// after its address and port (getListenerName in pilot/pkg/networking/core/gateway.go).
func (s *Server) listens(m *resource.ListenerMatch) bool {
	return (m.Port == 0 || s.On(m.Port)) && (m.Name == "" || s.isNamed(m.Name))
}

func (s *Server) isNamed(listener string) bool {
	i := strings.LastIndexByte(listener, '_')
	if i < 0 || !sameBind(listener[:i], s.Bind) {
		return false
	}
	return slices.ContainsFunc(s.Ports, func(p uint32) bool { return listener[i+1:] == fmt.Sprint(p) })
}

// isTaken reports whether the value of a listener has the name of the server's, which then is
// there twice, or takes connections from it.
func (s *Server) isTaken(p *PodSet, v *resource.EnvoyValue) bool {
	return s.isNamed(v.Name) || slices.ContainsFunc(v.Addresses, func(a resource.EnvoyAddress) bool {
		return s.On(a.Port) && (sameBind(a.IP, s.Bind) || anyAddress(a.IP) || p.HasIP(a.IP))
	})
}

// answers reports whether one of the server's filter chains is matched: any, or one for an
// SNI. A chain for all names has no list of them to be found in, and no chain of a gateway has
// a name, a protocol or a port (buildGatewayListener in pilot/pkg/networking/core/listener.go).
func (g *Guard) answers(s *Server, m *resource.ListenerMatch) bool {
	if m.Chain {
		return false
	}
	if m.SNI == "" {
		return true
	}
	n := hostname.Parse(m.SNI)
	if s.Family != TLS || n == hostname.Any {
		return false
	}
	if RoutesTLS(s.Server) { // chains are for the names of routes
		return g.serves(s, n)
	}
	return slices.ContainsFunc(s.Hosts, func(h hostname.Server) bool { return h.Name == n }) &&
		!slices.ContainsFunc(s.Hosts, func(h hostname.Server) bool { return h.Name == hostname.Any })
}

// serves reports whether requests for a name are guarded: the server has it, or it is out of a
// wildcard of his. Where that is "*", only what the owner uses is guarded.
func (g *Guard) serves(s *Server, n hostname.Name) bool {
	return slices.ContainsFunc(s.Hosts, func(h hostname.Server) bool {
		return h.Name == n || h.Name.Covers(n) && (h.Name != hostname.Any || g.Uses(n))
	})
}

// shadows reports whether the value of a filter chain takes connections from the server's, or
// is matched by the same, which the proxy refuses. A destination comes before the SNI in
// Envoy's order, and the SNI before everything else.
func (g *Guard) shadows(s *Server, e *resource.EnvoyPatch) bool {
	v := &e.Value
	if e.Operation == "REMOVE" {
		return false
	}
	if v.Destination {
		return true
	}
	if len(v.Names) == 0 { // for all names, as the next one for all names is, which the proxy refuses
		return adds(e)
	}
	return slices.ContainsFunc(v.Names, func(name string) bool {
		n := hostname.Parse(name)
		return n.PartialWildcard() || s.Family == TLS && g.serves(s, n)
	})
}

// hasFilter reports whether the server's filter chain has the filter that a patch of network
// filters is told. Of the two that end a chain it has one.
func (s *Server) hasFilter(e *resource.EnvoyPatch) bool {
	if e.Operation == "ADD" || e.Operation == "INSERT_FIRST" {
		return true
	}
	if ServesHTTP(s.Server) {
		return e.Listener.Filter != tcpProxy
	}
	return e.Listener.Filter != connectionManager
}

// isDormant reports whether a patch puts in a filter that does nothing until a route switches
// it on, and none of the owner's routes does. Behind the router there must be none.
func (w *World) isDormant(g *Guard, e *resource.EnvoyPatch) bool {
	if !e.Value.Disabled || !strings.HasPrefix(e.Operation, "INSERT_") {
		return false
	}
	if e.Operation == "INSERT_AFTER" && (e.Listener.SubFilter == "" || e.Listener.SubFilter == httpRouter) {
		return false
	}
	known := false
	w.Snapshot.Each(resource.KindEnvoyFilter, g.Namespace, func(o resource.Object) bool {
		if g.IsOwners(o.Key()) {
			for _, p := range o.(*resource.EnvoyFilter).Patches {
				known = known || p.Value.Name == e.Value.Name || slices.Contains(p.Value.Routed, e.Value.Name)
			}
		}
		return !known
	})
	return !known
}

// isRouted reports whether the server has a route configuration that a match is for. That of
// plain-text servers is named after the port alone (gatewayRDSRouteName in
// pilot/pkg/model/gateway.go), as all Gateways share it. The port name of a server that is
// assumed is not known.
func (s *Server) isRouted(p *PodSet, m *resource.RouteConfigurationMatch) bool {
	if !ServesHTTP(s.Server) {
		return false
	}
	if m.Port != 0 && m.Port != s.Port && !s.On(m.Port) && !slices.ContainsFunc(p.Resolve(m.Port), s.On) {
		return false
	}
	bind := ""
	if s.Bind != "" {
		bind = "." + s.Bind
	}
	if s.Family == PlainHTTP {
		return m.Gateway == "" && m.PortName == "" && (m.Name == "" ||
			slices.ContainsFunc(s.Ports, func(p uint32) bool { return m.Name == fmt.Sprintf("http.%d%s", p, bind) }))
	}
	gw := s.Gateway
	return (m.Gateway == "" || m.Gateway == gw.Namespace+"/"+gw.Name) &&
		(m.PortName == "" || s.PortName == "" || m.PortName == s.PortName) &&
		(m.Name == "" || strings.HasPrefix(m.Name, fmt.Sprintf("https.%d.%s", s.Port, s.PortName)) &&
			strings.HasSuffix(m.Name, fmt.Sprintf(".%s.%s%s", gw.Name, gw.Namespace, bind)))
}

// hosts reports whether a guarded virtual host is matched. One is named "host:port", with the
// port of a Gateway's server, and has the host for its domain (buildGatewayHTTPRouteConfig).
// For one that only redirects Istio leaves the namespace before the host.
func (g *Guard) hosts(s *Server, p *PodSet, m *resource.RouteConfigurationMatch) bool {
	if m.VirtualHost != "" {
		i := strings.LastIndexByte(m.VirtualHost, ':')
		if i < 0 {
			return false
		}
		port, err := strconv.ParseUint(m.VirtualHost[i+1:], 10, 16)
		if err != nil || !slices.Contains(p.Sources(s.Ports), uint32(port)) || !g.serves(s, virtualHost(m.VirtualHost[:i])) {
			return false
		}
	}
	domain, _, _ := strings.Cut(m.Domain, ":") // older releases have one with the port, too
	return m.Domain == "" || g.serves(s, virtualHost(domain))
}

func virtualHost(host string) hostname.Name {
	return hostname.Parse(host[strings.LastIndexByte(host, '/')+1:])
}

// takesHost reports whether the value of a virtual host takes guarded names, or has one that
// is there already, which the proxy refuses, as it does one without any.
func (g *Guard) takesHost(s *Server, e *resource.EnvoyPatch) bool {
	if len(e.Value.Names) == 0 {
		return adds(e) || e.Operation == "REPLACE"
	}
	return slices.ContainsFunc(e.Value.Names, func(domain string) bool {
		host, _, _ := strings.Cut(domain, ":")
		if host != "*" && strings.HasSuffix(host, "*") { // comes before "*" only
			return slices.ContainsFunc(s.Hosts, func(h hostname.Server) bool { return h.Name == hostname.Any })
		}
		return g.serves(s, hostname.Parse(host))
	})
}

// hasRoute reports whether a route with the name may be the owner's; "" is every route. Routes
// have the names of VirtualServices' routes, with that of the match behind it (TranslateRoute
// in pilot/pkg/networking/core/route/route.go). While none of his is known, any may be.
func (g *Guard) hasRoute(name string) bool {
	return name == "" || len(g.routes) == 0 || slices.ContainsFunc(g.routes, func(own string) bool {
		return name == own || strings.HasPrefix(name, own+".")
	})
}

// needsCluster reports whether a match is for a cluster that the guarded gateway may need:
// any, or one of a Service in a protected namespace. A name replaces the rest of the match
// (clusterMatch in cluster_patch.go).
func (w *World) needsCluster(m *resource.ClusterMatch) bool {
	service := m.Service
	if m.Name != "" {
		// "direction|port|subset|host", or with "_." between them (BuildSubsetKey and
		// BuildDNSSrvSubsetKey in pilot/pkg/model/service.go)
		service = m.Name[strings.LastIndexByte(m.Name, '|')+1:]
		if i := strings.LastIndex(service, "_."); i >= 0 {
			service = service[i+len("_."):]
		}
	}
	if service == "" {
		return true
	}
	host, _, inCluster := strings.Cut(service, ".svc.")
	if !inCluster {
		return slices.ContainsFunc(w.Guards, func(g *Guard) bool { return g.Uses(hostname.Parse(service)) })
	}
	_, namespace, _ := strings.Cut(host, ".")
	return w.Protected(namespace)
}
