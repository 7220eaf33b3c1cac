package policy

import (
	"slices"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/hostname"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
)

// Encounter is one server of a Gateway on the pods of a guarded gateway.
type Encounter struct {
	Guard *Guard
	Pods  *PodSet
	// Gateway is the one whose Server it is.
	Gateway *resource.Gateway
	Server  Server
	// Owners reports whether the Gateway is the owner's own. His hosts and ports are not
	// judged against his claims.
	Owners bool
	// Guarded are the owner's servers on the same listener; none if it is not guarded, or
	// if the server is his own.
	Guarded []*Server
}

// Encounters returns every server of a Gateway on every set of guarded pods that serves it.
func (w *World) Encounters(gw *resource.Gateway) []Encounter {
	if w.judged == nil {
		return w.encounters(gw)
	}
	return remember(&w.judged.encounters, gw, func() []Encounter { return w.encounters(gw) })
}

func (w *World) encounters(gw *resource.Gateway) []Encounter {
	var out []Encounter
	for _, g := range w.Guards {
		for _, p := range g.Pods {
			if !p.Attaches(gw, w.Config) {
				continue
			}
			owners := g.IsOwners(gw.Key())
			for _, s := range p.ServersOf(gw) {
				e := Encounter{Guard: g, Pods: p, Gateway: gw, Server: s, Owners: owners}
				for i := range p.Servers {
					if !owners && p.Servers[i].SharesListener(&s) {
						e.Guarded = append(e.Guarded, &p.Servers[i])
					}
				}
				out = append(out, e)
			}
		}
	}
	return out
}

// OnOwnersPort returns one of the owner's servers that listens on a port of the encountered
// server, whatever the address; nil if none does.
func (e *Encounter) OnOwnersPort() *Server {
	for i := range e.Pods.Servers {
		if slices.ContainsFunc(e.Pods.Servers[i].Ports, func(p uint32) bool { return slices.Contains(e.Server.Ports, p) }) {
			return &e.Pods.Servers[i]
		}
	}
	return nil
}

// Kin returns the guarded servers on the listener that are of the encountered server's
// family, so that hosts decide between them.
func (e *Encounter) Kin() []*Server {
	var out []*Server
	for _, s := range e.Guarded {
		if e.kin(s) {
			out = append(out, s)
		}
	}
	return out
}

func (e *Encounter) kin(s *Server) bool { return s.Family != Opaque && s.Family == e.Server.Family }

// Clash is how a host of an encountered server meets one of the owner's.
type Clash uint8

// The clashes, from the harmless to the worst.
const (
	Disjoint Clash = iota
	// Broader: the host covers the owner's, which is served first as the more specific.
	Broader
	// Narrower: the owner's wildcard covers the host, which is served instead of it.
	Narrower
	// Same: both are the same name, however it is spelled.
	Same
)

// Meet tells how a host of the encountered server meets the guarded hosts of its kin: the
// worst clash, and with what. Where the owner's host is "*", a narrower one is a clash only
// if it takes a name that the owner uses.
func (e *Encounter) Meet(h hostname.Server) (Clash, *Server, hostname.Server) {
	worst, with, host := Disjoint, (*Server)(nil), hostname.Server{}
	for _, s := range e.Guarded {
		if !e.kin(s) {
			continue
		}
		for _, o := range s.Hosts {
			c := Disjoint
			switch {
			case h.Name == o.Name:
				c = Same
			case o.Name.Covers(h.Name):
				if o.Name != hostname.Any || e.Guard.Uses(h.Name) {
					c = Narrower
				}
			case h.Name.Covers(o.Name):
				c = Broader
			}
			if c > worst {
				worst, with, host = c, s, o
			}
		}
	}
	return worst, with, host
}

// Binding is one host of a VirtualService on a listener of a guarded gateway.
type Binding struct {
	Guard *Guard
	// Gateway is the one that the VirtualService names: the owner's, or somebody's whose
	// virtual hosts the owner shares.
	Gateway *resource.Gateway
	Server  Server
	// Host is the name that the proxy serves the routes under.
	Host hostname.Name
	Pods *PodSet
	// Owners reports whether Gateway is the owner's.
	Owners bool
	// Guarded reports whether requests for guarded names reach the host.
	Guarded bool
	// With is the owner's Gateway that serves the host, if it is guarded.
	With resource.Key
	// OnGuardedPort reports whether the owner has a server on the listener.
	OnGuardedPort bool
}

// Visible reports whether pods of the namespace see the VirtualService
// (initVirtualServices in istio.io/istio pilot/pkg/model/push_context.go): exportTo lists
// "*", "." for its own namespace, or namespaces; an empty list is the mesh's default.
func (w *World) Visible(v *resource.VirtualService, namespace string) bool {
	exportTo := v.ExportTo
	if len(exportTo) == 0 {
		exportTo = w.Config.Mesh.DefaultVirtualServiceExportTo
	}
	return slices.ContainsFunc(exportTo, func(e string) bool {
		return e == "*" || e == namespace || e == "." && v.Namespace == namespace
	})
}

// Bindings returns where a VirtualService's hosts are served on guarded pods. A Gateway
// that is given counts as if it were in the snapshot; it may be nil.
//
// It follows buildGatewayHTTPRouteConfig in istio.io/istio
// pilot/pkg/networking/core/gateway.go: a host is the narrower one of the VirtualService's
// and the server's, and on a plain-text port all Gateways share one set of virtual hosts.
func (w *World) Bindings(v *resource.VirtualService, given *resource.Gateway) []Binding {
	if w.judged == nil {
		return w.bindings(v, given)
	}
	return remember(&w.judged.bindings, bound{v, given}, func() []Binding { return w.bindings(v, given) })
}

func (w *World) bindings(v *resource.VirtualService, given *resource.Gateway) []Binding {
	var out []Binding
	for _, g := range w.Guards {
		if !w.Visible(v, g.Namespace) {
			continue
		}
		for _, ref := range v.Gateways {
			ns, name, ok := state.GatewayName(ref, v.Namespace)
			if !ok {
				continue
			}
			gw, owners := g.Gateway(ns, name), true
			if gw == nil {
				gw, owners = w.gateway(ns, name, given), false
			}
			if gw != nil {
				out = w.bind(out, g, v, gw, owners)
			}
		}
	}
	return out
}

func (w *World) gateway(namespace, name string, given *resource.Gateway) *resource.Gateway {
	if given != nil && given.Namespace == namespace && given.Name == name {
		return given
	}
	gw, _ := w.Snapshot.Get(resource.Key{Kind: resource.KindGateway, Namespace: namespace, Name: name}).(*resource.Gateway)
	return gw
}

func (w *World) bind(out []Binding, g *Guard, v *resource.VirtualService, gw *resource.Gateway, owners bool) []Binding {
	for _, p := range g.Pods {
		if !p.Attaches(gw, w.Config) {
			continue
		}
		for _, s := range p.ServersOf(gw) {
			for _, sh := range s.Hosts {
				if !sh.Admits(v.Namespace) {
					continue
				}
				for _, vh := range v.Hosts {
					host, ok := sh.Bind(vh)
					if !ok {
						continue
					}
					b := Binding{Guard: g, Gateway: gw, Server: s, Host: host, Pods: p, Owners: owners}
					b.OnGuardedPort = owners || slices.ContainsFunc(p.Servers, func(o Server) bool { return o.SharesListener(&s) })
					if owners {
						b.Guarded, b.With = sh.Name != hostname.Any || g.Uses(host), gw.Key()
					} else {
						b.With, b.Guarded = p.sharesPlainHTTP(&s, host)
					}
					out = append(out, b)
				}
			}
		}
	}
	return out
}

// sharesPlainHTTP returns the owner's Gateway that serves the host, alone or under a
// wildcard, on the plain-text listener of s: its virtual host then is the owner's too, or
// takes names out of it.
func (p *PodSet) sharesPlainHTTP(s *Server, host hostname.Name) (resource.Key, bool) {
	if s.Family != PlainHTTP {
		return resource.Key{}, false
	}
	for i := range p.Servers {
		o := &p.Servers[i]
		if o.Family == PlainHTTP && o.SharesListener(s) &&
			slices.ContainsFunc(o.Hosts, func(h hostname.Server) bool { return h.Name.Covers(host) }) {
			return o.Gateway, true
		}
	}
	return resource.Key{}, false
}

// Reaches reports whether a match's gateways and port let requests of the binding through:
// an empty list is every gateway (sourceMatchHTTP in istio.io/istio
// pilot/pkg/networking/core/route/route.go), port 0 every port. The port is that of the
// Gateway's server as it is written.
func (b *Binding) Reaches(v *resource.VirtualService, gateways []string, port uint32) bool {
	if port != 0 && !b.hasPort(port) {
		return false
	}
	return len(gateways) == 0 || slices.ContainsFunc(gateways, func(ref string) bool {
		ns, name, ok := state.GatewayName(ref, v.Namespace)
		return ok && ns == b.Gateway.Namespace && name == b.Gateway.Name
	})
}

// EachMatch calls f for every match by which requests of the binding reach the HTTP routes of
// the VirtualService, with its place; a route without a match is one that matches everything.
// What stands behind a catch-all is no route to Istio: it stops there
// (BuildHTTPRoutesForVirtualService in istio.io/istio
// pilot/pkg/networking/core/route/route.go).
func (b *Binding) EachMatch(v *resource.VirtualService, f func(m *resource.HTTPMatch, route, match int)) {
	for i := range v.HTTP {
		if len(v.HTTP[i].Matches) == 0 {
			f(&resource.HTTPMatch{}, i, -1)
			return
		}
		for j := range v.HTTP[i].Matches {
			m := &v.HTTP[i].Matches[j]
			if !b.Reaches(v, m.Gateways, m.Port) {
				continue
			}
			// With a port it is one only where that is the port by which the routes are made.
			if f(m, i, j); m.Port == 0 && CatchAll(m) {
				return
			}
		}
	}
}

// hasPort reports whether a match for the port counts: it is the server's, or on a plain-text
// listener that of another server of the same Gateway. Istio builds the routes of a
// VirtualService once for a Gateway on a listener, with the port of its first server there,
// and reuses them for the others (gatewayRoutes in buildGatewayHTTPRouteConfig).
func (b *Binding) hasPort(port uint32) bool {
	if port == b.Server.Port {
		return true
	}
	return b.Server.Family == PlainHTTP && slices.ContainsFunc(b.Pods.ServersOf(b.Gateway), func(s Server) bool {
		return s.Port == port && s.Family == PlainHTTP && s.SharesListener(&b.Server)
	})
}

// TenantPath returns the configured prefix that a path belongs to, filled in for the
// namespace it was found to be for; own reports whether that is the given namespace.
func (g *Guard) TenantPath(path, namespace string) (prefix string, own bool) {
	for _, t := range g.TenantPaths {
		head, tail, hasNamespace := strings.Cut(t, "{namespace}")
		if !strings.HasPrefix(path, head) {
			continue
		}
		if !hasNamespace {
			return t, true
		}
		if p := head + namespace + tail; strings.HasPrefix(path, p) {
			return p, true
		}
		prefix = head
	}
	return prefix, false
}

// HostTable finds the servers of a Gateway by a host.
type HostTable struct {
	Servers []Server
	places  map[hostname.Name][]HostPlace
}

// HostPlace is a host of a server.
type HostPlace struct {
	Server *Server
	Host   hostname.Server
}

// With returns the places that have the host, in any spelling.
func (t *HostTable) With(n hostname.Name) []HostPlace { return t.places[n] }

// HostsOf returns the hosts of a Gateway on a set of pods, or nil if they do not serve it. It
// is made once in a decision, however many hosts are asked for.
func (w *World) HostsOf(p *PodSet, gw *resource.Gateway) *HostTable {
	table := func() *HostTable {
		if !p.Attaches(gw, w.Config) {
			return nil
		}
		t := &HostTable{Servers: p.ServersOf(gw), places: map[hostname.Name][]HostPlace{}}
		for i := range t.Servers {
			for _, h := range t.Servers[i].Hosts {
				t.places[h.Name] = append(t.places[h.Name], HostPlace{&t.Servers[i], h})
			}
		}
		return t
	}
	if w.judged == nil {
		return table()
	}
	return remember(&w.judged.tables, attached{p, gw}, table)
}

// PathPrefix is HTTPMatch.PathPrefix, worked out once in a decision: expressions are dear.
func (w *World) PathPrefix(m *resource.HTTPMatch) string {
	if w.judged == nil {
		return m.PathPrefix()
	}
	return remember(&w.judged.prefixes, m, m.PathPrefix)
}

// EncounterOf returns how the server of a binding meets the owner's.
func (w *World) EncounterOf(b *Binding) Encounter {
	for _, e := range w.Encounters(b.Gateway) {
		if e.Pods == b.Pods && e.Server.Index == b.Server.Index {
			return e
		}
	}
	return Encounter{Guard: b.Guard, Pods: b.Pods, Gateway: b.Gateway, Server: b.Server, Owners: b.Owners}
}

// Binds reports whether a VirtualService is served under the name by the server of a binding.
func (w *World) Binds(v *resource.VirtualService, b *Binding, n hostname.Name) bool {
	return slices.ContainsFunc(w.Bindings(v, b.Gateway), func(o Binding) bool {
		return o.Host == n && o.Pods == b.Pods && o.Gateway == b.Gateway && o.Server.Index == b.Server.Index
	})
}
