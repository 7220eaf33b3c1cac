package policy

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/gatewaypod"
	"github.com/gatewarden/gatewarden/pkg/hostname"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
)

// World is a snapshot seen through a configuration: what rules judge objects in.
type World struct {
	Snapshot *state.Snapshot
	Config   *config.Configuration
	Guards   []*Guard
	// Injectors are the webhooks by which Istio injects pods.
	Injectors gatewaypod.Injectors

	// judged is what was worked out about the object under judgement: several rules ask
	// the same. It is nil outside of a decision.
	judged *judged
}

// judged remembers answers within one decision, in which several rules ask the same. Its maps are
// made when they are needed.
type judged struct {
	encounters map[*resource.Gateway][]Encounter
	bindings   map[bound][]Binding
	tables     map[attached]*HostTable
	prefixes   map[*resource.HTTPMatch]string
}

// bound is a question to Bindings.
type bound struct {
	route *resource.VirtualService
	given *resource.Gateway
}

// attached is a Gateway on a set of pods.
type attached struct {
	pods    *PodSet
	gateway *resource.Gateway
}

// judging returns the world for the use of one decision.
func (w *World) judging() *World {
	c := *w
	c.judged = &judged{}
	return &c
}

// writtenBy returns the world in which the object counts as the owner's of those guards for
// whom the requester writes it.
func (w *World) writtenBy(by Requester, key resource.Key) *World {
	return w.writtenIf(func(g *Guard) bool { return g.WritesForOwner(by.Name, by.Groups, key) }, key)
}

// writtenIf returns the world in which the object counts as the owner's of those guards for
// which the condition holds.
func (w *World) writtenIf(condition func(*Guard) bool, key resource.Key) *World {
	for i, g := range w.Guards {
		if !condition(g) {
			continue
		}
		own := *g
		own.written = key
		w.Guards = slices.Clone(w.Guards) // those of the snapshot's world are for everybody
		w.Guards[i] = &own
	}
	return w
}

// IsOwners reports whether the object is the owner's, or is written for him.
func (g *Guard) IsOwners(k resource.Key) bool {
	return g.GuardedGateway.IsOwners(k) || k == g.written && k != (resource.Key{})
}

// Reserved returns the reserved route of that name if the object may not have it on a Gateway
// that is the owner's or not; nil if it may, or is written for the owner.
func (g *Guard) Reserved(name string, k resource.Key, owners bool) *config.ReservedRoute {
	if k == g.written && k != (resource.Key{}) {
		return nil
	}
	return g.GuardedGateway.Reserved(name, k, owners)
}

// remember returns what a map has under a key, after it and the map were made if need be.
func remember[K comparable, V any](m *map[K]V, key K, make func() V) V {
	v, ok := (*m)[key]
	if !ok {
		v = make()
		if *m == nil {
			*m = map[K]V{}
		}
		(*m)[key] = v
	}
	return v
}

// Guard is a guarded gateway as it stands in a world: which pods it has, and what its
// owner's Gateways make them serve.
type Guard struct {
	*config.GuardedGateway
	// Pods are the kinds of pods of the gateway, distinct by their labels. There is always
	// one at least.
	Pods []*PodSet

	// gateways are the owner's: those that exist, and those that are assumed to come.
	// written is the object that somebody is writing for the owner.
	written resource.Key

	gateways  []*resource.Gateway
	assumed   []*resource.Gateway
	selectors []map[string]string
	used      []hostname.Name
	routes    []string // the names of the owner's routes
	scoped    bool     // see config.Mesh.ScopeGatewayToNamespace
}

// PodSet is a set of gateway pods with the same labels, and the Services before them.
type PodSet struct {
	Namespace string
	Labels    map[string]string
	// Running reports whether the labels are those of a running pod, and all of them;
	// those of a template lack what injection adds.
	Running bool
	// Servers are the owner's servers on these pods.
	Servers []Server
	// IPs are the addresses of running pods, if they are known.
	IPs map[string]bool

	targets map[uint32][]uint32 // Service port to the container ports it may mean
	fqdns   map[string]bool     // "name.namespace.svc.<suffix>" without the suffix
}

// Server is a server of a Gateway on a set of pods.
type Server struct {
	*resource.Server
	Gateway resource.Key
	Index   int // in the Gateway's spec.servers
	// Ports are the ports that the proxy may listen on for it: see PodSet.Resolve.
	Ports  []uint32
	Hosts  []hostname.Server
	Family resource.Family

	any bool // "*" is among the hosts: asked for each of them, of which there may be thousands
}

// The families of resource.Family, which decide who can share a listener.
const (
	Opaque    = resource.Opaque
	PlainHTTP = resource.PlainHTTP
	TLS       = resource.TLS
)

// Passthrough reports whether the server forwards TLS without terminating it
// (IsPassThroughServer in istio.io/istio pkg/config/gateway/gateway.go).
func Passthrough(s *resource.Server) bool {
	return s.TLS != nil && (s.TLS.Mode == "PASSTHROUGH" || s.TLS.Mode == "AUTO_PASSTHROUGH")
}

// RoutesTLS reports whether the TLS routes of VirtualServices count for the server: it passes
// TLS through, and does not make its routes of Services by itself, as AUTO_PASSTHROUGH does
// (buildGatewayNetworkFiltersFromTLSRoutes in istio.io/istio
// pilot/pkg/networking/core/gateway.go).
func RoutesTLS(s *resource.Server) bool { return Passthrough(s) && s.TLS.Mode != "AUTO_PASSTHROUGH" }

// ByName reports whether the proxy finds the TLS server by one of its hosts: where the server
// terminates TLS and has "*" among them, there is one filter chain for every name and none for
// the others (toFilterChainMatch in istio.io/istio pilot/pkg/networking/core/listener.go).
func (s *Server) ByName(host hostname.Name) bool {
	return host == hostname.Any || Passthrough(s.Server) || !s.any
}

// ServesHTTP reports whether the server has HTTP routes: plain HTTP, or HTTPS that it
// terminates (IsHTTPServer in istio.io/istio pkg/config/gateway/gateway.go).
func ServesHTTP(s *resource.Server) bool {
	return s.Family() == PlainHTTP ||
		strings.EqualFold(s.Protocol, "HTTPS") && s.TLS != nil && !Passthrough(s)
}

// newWorld looks at a snapshot through a configuration.
func newWorld(s *state.Snapshot, cfg *config.Configuration) *World {
	w := &World{Snapshot: s, Config: cfg}
	s.Each(resource.KindInjectors, "", func(o resource.Object) bool {
		w.Injectors = append(w.Injectors, o.(*resource.Injectors).Webhooks...)
		return true
	})
	for i := range cfg.GuardedGateways {
		w.Guards = append(w.Guards, newGuard(s, cfg, &cfg.GuardedGateways[i]))
	}
	return w
}

func newGuard(s *state.Snapshot, cfg *config.Configuration, c *config.GuardedGateway) *Guard {
	g := &Guard{GuardedGateway: c, scoped: cfg.Mesh.ScopeGatewayToNamespace}
	for _, name := range c.Gateways {
		if o, ok := s.Get(resource.Key{Kind: resource.KindGateway, Namespace: c.Namespace, Name: name}).(*resource.Gateway); ok {
			g.gateways = append(g.gateways, o)
			if len(o.Selector) > 0 {
				g.selectors = append(g.selectors, o.Selector)
			}
		}
	}
	g.assumed = assumed(c, g.gateways)
	g.gateways = append(g.gateways, g.assumed...)
	if len(g.selectors) == 0 {
		g.selectors = append(g.selectors, c.PodLabels)
	}
	g.findPods(s)
	g.findTargets(s)
	for _, p := range g.Pods {
		for _, gw := range g.gateways {
			if p.Attaches(gw, cfg) {
				p.Servers = append(p.Servers, p.ServersOf(gw)...)
			}
		}
	}
	g.findUsedNames(s)
	return g
}

// assumed makes Gateways of the configured servers for those of the owner's Gateways that do
// not exist yet, or not at the moment: during an installation, or while one is re-created.
// Once any of his Gateways serves a family of protocols it tells where he does, so servers
// of that family are not assumed any more (another version of deployKF calls its Gateways
// by other names, and may use other ports).
func assumed(c *config.GuardedGateway, live []*resource.Gateway) []*resource.Gateway {
	families := map[resource.Family]bool{}
	exists := map[string]bool{}
	for _, gw := range live {
		exists[gw.Name] = true
		for i := range gw.Servers {
			families[gw.Servers[i].Family()] = true
		}
	}
	var out []*resource.Gateway
	for _, name := range c.Gateways {
		if exists[name] {
			continue
		}
		gw := &resource.Gateway{
			Meta:     resource.Meta{Namespace: c.Namespace, Name: name},
			Selector: c.PodLabels,
		}
		for _, s := range c.Servers {
			if s.Gateway != name {
				continue
			}
			server := resource.Server{Port: s.Port, Protocol: s.Protocol, Hosts: s.Hosts}
			if s.TLSMode != "" {
				server.TLS = &resource.ServerTLS{Mode: s.TLSMode}
			}
			if !families[server.Family()] {
				gw.Servers = append(gw.Servers, server)
			}
		}
		if len(gw.Servers) > 0 {
			out = append(out, gw)
		}
	}
	return out
}

// podKinds are the kinds that carry pods, in the order in which they are asked for the
// gateway's labels.
var podKinds = []resource.Kind{
	resource.KindDeployment, resource.KindDaemonSet, resource.KindStatefulSet, resource.KindPod,
}

// findPods collects the label sets of the gateway's pods: those of the pod templates and
// of the running pods in the gateway's namespace that an owner's Gateway selects. A running
// pod may have labels that its template has not (pod-template-hash, or the template's old
// ones during a rollout), and Istio looks at the pod.
func (g *Guard) findPods(s *state.Snapshot) {
	for _, kind := range podKinds {
		s.Each(kind, g.Namespace, func(o resource.Object) bool {
			wl := o.(*resource.Workload)
			if g.SelectsPods(wl.Pod.Labels, g.Namespace) {
				p := g.podSet(wl.Pod.Labels)
				p.Running = p.Running || kind == resource.KindPod
				for _, ip := range wl.Pod.PodIPs {
					p.IPs[ip] = true
				}
			}
			return true
		})
	}
	if len(g.Pods) > 0 {
		g.learnFromRunning()
		return
	}
	for _, sel := range g.selectors {
		if resource.Selects(sel, g.PodLabels) {
			g.podSet(g.PodLabels)
		} else {
			g.podSet(sel) // the pods carry these labels at least
		}
	}
}

// learnFromRunning marks the labels of templates of which pods run: those show what injection
// adds.
func (g *Guard) learnFromRunning() {
	for _, p := range g.Pods {
		p.Running = p.Running || slices.ContainsFunc(g.Pods, func(o *PodSet) bool {
			return o.Running && resource.Selects(p.Labels, o.Labels)
		})
	}
}

func (g *Guard) podSet(labels map[string]string) *PodSet {
	for _, p := range g.Pods {
		if len(p.Labels) == len(labels) && resource.Selects(p.Labels, labels) {
			return p
		}
	}
	p := &PodSet{
		Namespace: g.Namespace, Labels: labels,
		IPs: map[string]bool{}, targets: map[uint32][]uint32{}, fqdns: map[string]bool{},
	}
	g.Pods = append(g.Pods, p)
	return p
}

// SelectsPods reports whether one of the owner's Gateways selects pods with the labels in a
// namespace. Istio lets a Gateway select pods of any namespace, unless it is told to scope them.
func (g *Guard) SelectsPods(labels map[string]string, namespace string) bool {
	if g.scoped && namespace != g.Namespace {
		return false
	}
	return slices.ContainsFunc(g.selectors, func(sel map[string]string) bool {
		return resource.Selects(sel, labels)
	})
}

// Attaches reports whether these pods serve the Gateway (mergeGateways' caller in
// istio.io/istio pilot/pkg/model/push_context.go): by the Services that an annotation names
// if it has one, else by its selector; a Gateway without a selector is served by every
// gateway.
func (p *PodSet) Attaches(gw *resource.Gateway, cfg *config.Configuration) bool {
	if cfg.Mesh.ScopeGatewayToNamespace && gw.Namespace != p.Namespace {
		return false
	}
	if names, namespace, ok := gw.Services(); ok {
		return namespace == p.Namespace && slices.ContainsFunc(names, func(name string) bool { return p.fqdns[name] })
	}
	return p.carries(gw.Selector)
}

// injected are the labels that injection adds to a gateway's pods, with values that a
// template does not tell (manifests/charts/istio-control/istio-discovery/files/
// gateway-injection-template.yaml in istio.io/istio).
var injected = map[string]bool{
	"istio.io/rev":                        true,
	"service.istio.io/canonical-name":     true,
	"service.istio.io/canonical-revision": true,
}

// InjectedLabels are the keys of the labels that injection adds to a gateway's pods.
func InjectedLabels() []string { return slices.Sorted(maps.Keys(injected)) }

// carries reports whether these pods carry, or once they run may carry, all labels of a
// selector.
func (p *PodSet) carries(selector map[string]string) bool {
	for k, v := range selector {
		l, known := p.Labels[k]
		if known && l != v || !known && (p.Running || !injected[k]) {
			return false
		}
	}
	return true
}

// ServersOf returns the servers of a Gateway as these pods serve them.
func (p *PodSet) ServersOf(gw *resource.Gateway) []Server {
	out := make([]Server, len(gw.Servers))
	for i := range gw.Servers {
		s := &gw.Servers[i]
		out[i] = Server{
			Server: s, Gateway: gw.Key(), Index: i,
			Ports:  p.Resolve(s.Port),
			Hosts:  hostname.ServerHosts(s.Hosts, gw.Namespace),
			Family: s.Family(),
		}
		out[i].any = slices.ContainsFunc(out[i].Hosts, func(h hostname.Server) bool { return h.Name == hostname.Any })
	}
	return out
}

// PortsOf returns the ports that pods with the labels have to bind for all the Gateways
// that they serve, in rising order; none if no Gateway is known.
func (w *World) PortsOf(labels map[string]string, namespace string) []uint32 {
	p := &PodSet{Namespace: namespace, Labels: labels, targets: map[uint32][]uint32{}, fqdns: map[string]bool{}}
	p.findTargets(w.Snapshot)
	var out []uint32
	add := func(gw *resource.Gateway) bool {
		if p.Attaches(gw, w.Config) {
			for _, s := range gw.Servers {
				out = append(out, p.Resolve(s.Port)...)
			}
		}
		return true
	}
	w.Snapshot.GatewaysServedBy(labels, add)
	for _, g := range w.Guards {
		if g.SelectsPods(labels, namespace) {
			for _, gw := range g.assumed {
				add(gw)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// SharesListener reports whether two servers are on one listener for some order of the
// Services: a common port, and the same address. The empty bind and "0.0.0.0" are one
// address (getListenerName in istio.io/istio pilot/pkg/networking/core/gateway.go), and a
// socket on "::" takes IPv4 connections too.
func (s *Server) SharesListener(o *Server) bool {
	return sameBind(s.Bind, o.Bind) && slices.ContainsFunc(s.Ports, func(p uint32) bool {
		return slices.Contains(o.Ports, p)
	})
}

func sameBind(a, b string) bool { return Address(a) == Address(b) }

// Address returns the bind of a server in the form in which two binds are equal exactly if
// they are one address: "" for every spelling of all addresses.
func Address(bind string) string {
	if anyAddress(bind) {
		return ""
	}
	return bind
}

func anyAddress(bind string) bool {
	if bind == "" {
		return true
	}
	a, err := netip.ParseAddr(bind)
	return err == nil && a.Unmap().IsUnspecified()
}

// HasIP reports whether a bind address is that of one of the running pods. A socket on a
// pod's own address takes the connections to it before one on every address does.
func (p *PodSet) HasIP(bind string) bool { return bind != "" && p.IPs[bind] }

// Uses reports whether the owner uses a name that n stands for, where his server is "*" and
// does not tell: his dedicated domains, and the hosts of his own routes.
func (g *Guard) Uses(n hostname.Name) bool {
	for _, d := range g.Domains {
		if n.Touches(hostname.Parse(d)) {
			return true
		}
	}
	return slices.ContainsFunc(g.used, n.Overlaps)
}

// Dedicated returns the dedicated domain that every name of n is within, or "".
func (g *Guard) Dedicated(n hostname.Name) string {
	for _, d := range g.Domains {
		if n.Within(hostname.Parse(d)) {
			return d
		}
	}
	return ""
}

// UsedNames returns the hosts of the owner's own routes: see Uses.
func (g *Guard) UsedNames() []hostname.Name { return g.used }

func (g *Guard) findUsedNames(s *state.Snapshot) {
	add := func(o resource.Object) {
		v, ok := o.(*resource.VirtualService)
		if !ok {
			return
		}
		for _, h := range v.Hosts {
			if n := hostname.Parse(h); n != hostname.Any && !slices.Contains(g.used, n) {
				g.used = append(g.used, n)
			}
		}
		g.addRoutes(s, v, true)
	}
	for _, p := range g.OwnerObjects {
		switch {
		case p.Kind != resource.KindVirtualService || strings.Contains(p.Namespace, "*"):
			// An owner whose namespaces are not known by name has no routes to look up.
		case strings.Contains(p.Name, "*"):
			s.Each(p.Kind, p.Namespace, func(o resource.Object) bool {
				if p.Matches(o.Key()) {
					add(o)
				}
				return true
			})
		default:
			add(s.Get(resource.Key{Kind: p.Kind, Namespace: p.Namespace, Name: p.Name}))
		}
	}
}

// addRoutes notes the names of a VirtualService's routes, and those of what it delegates to.
func (g *Guard) addRoutes(s *state.Snapshot, v *resource.VirtualService, delegates bool) {
	for i := range v.HTTP {
		r := &v.HTTP[i]
		if !slices.Contains(g.routes, r.Name) {
			g.routes = append(g.routes, r.Name)
		}
		if ns, name, ok := strings.Cut(r.Delegate, "/"); ok && delegates {
			if d, ok := s.Get(resource.Key{Kind: resource.KindVirtualService, Namespace: ns, Name: name}).(*resource.VirtualService); ok {
				g.addRoutes(s, d, false)
			}
		}
	}
}

// Assumed reports whether a server of the owner's is one that the configuration names for a
// Gateway that does not exist.
func (g *Guard) Assumed(s *Server) bool {
	return slices.ContainsFunc(g.assumed, func(gw *resource.Gateway) bool { return gw.Key() == s.Gateway })
}

// Gateway returns the owner's Gateway with the name, as it exists or as it is assumed to be
// until it does; nil for a name that is not his.
func (g *Guard) Gateway(namespace, name string) *resource.Gateway {
	for _, gw := range g.gateways {
		if gw.Namespace == namespace && gw.Name == name {
			return gw
		}
	}
	return nil
}

// shapes reports whether the object is one that the guard's pods, ports or servers are made
// of, so that a change to it makes another guard.
func (g *Guard) shapes(k resource.Key) bool {
	switch k.Kind {
	case resource.KindGateway, resource.KindVirtualService:
		return g.IsOwners(k)
	case resource.KindService, resource.KindServiceEntry,
		resource.KindDeployment, resource.KindDaemonSet, resource.KindStatefulSet, resource.KindPod:
		return k.Namespace == g.Namespace
	}
	return false
}
