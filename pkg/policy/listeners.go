package policy

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/hostname"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/translate"
)

// Map is what the proxies of a guarded gateway's pods are told to serve, as it stands: rules ask
// what could be under another age order of the objects, a Map says what is under this one.
type Map struct {
	Guard *Guard
	// Pods are the sets of pods that are served alike.
	Pods      []*PodSet
	Listeners []*Listener
	// LeftOut is what pods that Istio attaches a Gateway to do not serve of it.
	LeftOut []LeftOut
	// Missing are the owner's Gateways that do not exist.
	Missing []resource.Key
}

// MappedKinds are the kinds whose objects a Map is made of.
var MappedKinds = slices.Concat(translate.Into, translate.Kinds, translate.Reads, podKinds,
	[]resource.Kind{resource.KindService, resource.KindServiceEntry})

// LeftOut is a Gateway, or a server of one, that is on no listener.
type LeftOut struct {
	Gateway *resource.Gateway
	Field   string // as the author of the Gateway knows it
	Why     string
}

// Listener is a listener of the proxy. Without a chain there is none: Istio leaves it out.
type Listener struct {
	Name string // as the proxy has it
	Port uint32
	// Servers are those for the listener, in the order in which Istio merges them: the oldest
	// Gateway first. Those that Istio drops are among them.
	Servers []*MergedServer
	// Chains are the filter chains. Names finds them by server name.
	Chains []*Chain
	// Routes are the route configurations of the chains, each once.
	Routes []*RouteTable
	// Refused tells why the proxy refuses the listener as a whole; empty if it does not, as far
	// as can be told.
	Refused []string
}

// MergedServer is a server of a Gateway on a port that the proxy listens on for it.
type MergedServer struct {
	*Server
	In   *resource.Gateway
	Port uint32
	// Dropped tells why Istio leaves the server out; empty if it does not.
	Dropped string
	// Connections are the TCP or TLS routes that are for the server, in the order in which Istio
	// looks at them. Those that it drops are among them.
	Connections []*Connection

	routes string // gatewayRDSRouteName
}

// Where is the field of the server as the Gateway's author knows it.
func (s *MergedServer) Where() string {
	return s.In.Field(fmt.Sprintf("spec.servers[%d]", s.Index))
}

// String names the server for people.
func (s *MergedServer) String() string { return s.In.Key().String() + " " + s.Where() }

// Chain is a filter chain: what the proxy does with connections for some server names.
type Chain struct {
	// Servers are what the chain is made of: one, or all of a plain-text HTTP port.
	Servers []*MergedServer
	// Names are the server names, most specific first; hostname.Any alone for every connection.
	Names []hostname.Name
	// Routes are those of requests; nil for a chain that forwards connections.
	Routes *RouteTable
	// Connection is the route of connections; nil for a chain of requests.
	Connection *Connection
}

// Connection is a route of TCP or TLS connections.
type Connection struct {
	Route *resource.VirtualService
	Field string // as the author of the route knows it
	// Names are the server names of a TLS route.
	Names []hostname.Name
	To    []string
	// Dropped tells why no connection gets there; empty if they do.
	Dropped string
}

// Name is a server name of a listener, and the chain that connections for it get.
type Name struct {
	hostname.Name
	*Chain
}

// Family is that of what is served, or of what would be.
func (l *Listener) Family() resource.Family {
	if len(l.Chains) > 0 {
		return l.Chains[0].Servers[0].Family
	}
	return l.Servers[0].Family
}

// Names returns the server names of a listener in the order in which the proxy looks for them:
// exact names, wildcards from the longest to the shortest, all others.
func (l *Listener) Names() []Name {
	var out []Name
	for _, c := range l.Chains {
		for _, n := range c.Names {
			out = append(out, Name{n, c})
		}
	}
	slices.SortStableFunc(out, func(a, b Name) int { return bySpecificity(a.Name, b.Name) })
	return out
}

// bySpecificity orders names as the proxy looks for them.
func bySpecificity(a, b hostname.Name) int {
	rank := func(n hostname.Name) int {
		if n.IsWildcard() {
			return -len(n)
		}
		return -1 << 16 // longer than any name
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
}

// Maps returns what the guarded gateways serve, in the order of the configuration. Pods that are
// served alike, as those of a template and running ones, are in one Map.
func (w *World) Maps() []*Map {
	var out []*Map
	for _, g := range w.Guards {
		known := map[string]*Map{}
		for _, p := range g.Pods {
			m, key := w.mapOf(g, p)
			if there := known[key]; there != nil {
				there.Pods = append(there.Pods, p)
				continue
			}
			known[key] = m
			out = append(out, m)
		}
	}
	return out
}

// mapOf returns what a set of pods serves, and a text that is equal for sets that serve the same.
func (w *World) mapOf(g *Guard, p *PodSet) (*Map, string) {
	m := &Map{Guard: g, Pods: []*PodSet{p}}
	for _, gw := range g.assumed {
		m.Missing = append(m.Missing, gw.Key())
	}
	gateways, left := strictlyMerged(w.gatewaysOn(p))
	m.LeftOut = left
	fronts := w.fronts(p)
	servers := newMerging()
	var key strings.Builder
	for _, gw := range gateways {
		for _, s := range p.ServersOf(gw) {
			ports := w.listensOn(p, fronts, gw, s.Port)
			if len(ports) == 0 {
				m.LeftOut = append(m.LeftOut, LeftOut{
					gw, gw.Field(fmt.Sprintf("spec.servers[%d]", s.Index)),
					fmt.Sprintf("the Service that it is attached by has no port %d", s.Port),
				})
			}
			for _, port := range ports {
				one := s
				servers.add(&MergedServer{Server: &one, In: gw, Port: port})
				fmt.Fprintf(&key, "%s|%d|%d\n", gw.Key(), s.Index, port)
			}
		}
	}
	for _, l := range m.LeftOut {
		fmt.Fprintf(&key, "%s|%s\n", l.Gateway.Key(), l.Why)
	}
	m.Listeners = w.listeners(p, servers)
	return m, key.String()
}

// gatewaysOn returns the Gateways that exist and that pods serve, those that Istio makes of other
// objects included, the oldest first (sortConfigByCreationTime in istio.io/istio
// pilot/pkg/model/config.go).
func (w *World) gatewaysOn(p *PodSet) []*resource.Gateway {
	var out []*resource.Gateway
	add := func(o resource.Object) bool {
		if gw, ok := o.(*resource.Gateway); ok && p.Attaches(gw, w.Config) {
			out = append(out, gw)
		}
		return true
	}
	w.Snapshot.Each(resource.KindGateway, "", add)
	for _, kind := range translate.Kinds {
		w.Snapshot.Each(kind, "", func(o resource.Object) bool {
			for _, made := range w.Snapshot.Translated(o.Key()) {
				add(made)
			}
			return true
		})
	}
	slices.SortStableFunc(out, func(a, b *resource.Gateway) int { return resource.ByAge(&a.Meta, &b.Meta) })
	return out
}

// strictlyMerged takes out the Gateways that Istio leaves out beside those of the Gateway API
// whose pods it runs: see ManagedNamespaces.
func strictlyMerged(gateways []*resource.Gateway) (kept []*resource.Gateway, left []LeftOut) {
	managed := map[string]bool{}
	for _, gw := range gateways {
		if gw.Managed() {
			managed[gw.Namespace] = true
		}
	}
	if len(managed) == 0 {
		return gateways, nil
	}
	namespaces := slices.Sorted(maps.Keys(managed))
	for _, gw := range gateways {
		if gw.OfGatewayAPI() || managed[gw.Namespace] {
			kept = append(kept, gw)
			continue
		}
		left = append(left, LeftOut{gw, gw.Field("spec"), fmt.Sprintf(
			"the pods are those that Istio runs for a Gateway of the Gateway API, and since Istio 1.31 serve no other Gateways than those of %s",
			strings.Join(namespaces, ", "))})
	}
	return kept, left
}

// front is a Service or ServiceEntry before a set of pods.
type front struct {
	*resource.Meta
	host    string
	service bool
	ports   []resource.ServicePort
}

// fronts returns the Services and ServiceEntries before pods, in the order in which Istio asks
// them for ports: the oldest first, then by host (SetServiceTargets in istio.io/istio
// pilot/pkg/model/context.go).
func (w *World) fronts(p *PodSet) []front {
	var out []front
	w.Snapshot.Each(resource.KindService, p.Namespace, func(o resource.Object) bool {
		if svc := o.(*resource.Service); len(svc.Selector) > 0 && resource.Selects(svc.Selector, p.Labels) {
			out = append(out, front{&svc.Meta, svc.Name + "." + svc.Namespace + ".svc." + resource.ClusterDomain, true, svc.Ports})
		}
		return true
	})
	w.Snapshot.Each(resource.KindServiceEntry, p.Namespace, func(o resource.Object) bool {
		if se := o.(*resource.ServiceEntry); len(se.WorkloadSelector) > 0 && len(se.Hosts) > 0 && resource.Selects(se.WorkloadSelector, p.Labels) {
			out = append(out, front{&se.Meta, slices.Min(se.Hosts), false, se.Ports})
		}
		return true
	})
	slices.SortStableFunc(out, func(a, b front) int {
		return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.host, b.host))
	})
	return out
}

// listensOn returns the ports that the proxy listens on for the port of a Gateway's server
// (resolvePorts in istio.io/istio pilot/pkg/model/gateway.go): the target of the first Service
// that has it, or else the number itself; for a Gateway that names its Services, the targets of
// all of those, and no port where none has it.
func (w *World) listensOn(p *PodSet, fronts []front, gw *resource.Gateway, port uint32) []uint32 {
	names, _, named := gw.Services()
	if !named && len(p.fqdns) == 0 {
		return p.Resolve(port)[:1] // a Service is assumed to come: see findTargets
	}
	var out []uint32
	for i := range fronts {
		f := &fronts[i]
		if _, passedOver := f.Labels[disableTranslation]; passedOver && !named ||
			named && (!f.service || !slices.Contains(names, f.Name+"."+f.Namespace)) {
			continue
		}
		for j := range f.ports {
			if f.ports[j].Port != port {
				continue
			}
			target := p.target(w.Snapshot, &f.ports[j])
			if !named {
				return []uint32{target}
			}
			if !slices.Contains(out, target) {
				out = append(out, target)
			}
		}
	}
	if !named {
		return []uint32{port}
	}
	slices.Sort(out)
	return out
}

// serverPort is what Istio keeps servers apart by, as it is written (ServerPort in istio.io/istio
// pilot/pkg/model/gateway.go).
type serverPort struct {
	number         uint32
	protocol, bind string
}

// merging is the state of mergeGateways in istio.io/istio pilot/pkg/model/gateway.go.
type merging struct {
	all []*MergedServer
	// hosts are the hosts of servers with a tls block, by port: tlsHostsByPort. A server that is
	// dropped for its protocol keeps its own.
	hosts map[uint32]map[string]*MergedServer
	// latest is the latest server of each port that is told of when another one is dropped for it.
	latest map[serverPort]*MergedServer
	taken  map[uint32]bool               // gatewayPorts
	plain  map[uint32]serverPort         // plainTextServers
	groups map[serverPort]*mergedServers // mergedServers
	order  []serverPort                  // serverPorts
	routes map[string][]*MergedServer    // serversByRouteName
}

// mergedServers are servers that Istio merges into one (MergedServers).
type mergedServers struct {
	routes  string
	servers []*MergedServer
}

func newMerging() *merging {
	return &merging{
		hosts: map[uint32]map[string]*MergedServer{}, latest: map[serverPort]*MergedServer{}, taken: map[uint32]bool{},
		plain: map[uint32]serverPort{}, groups: map[serverPort]*mergedServers{},
		routes: map[string][]*MergedServer{},
	}
}

// add merges the next server, or drops it.
func (m *merging) add(s *MergedServer) {
	m.all = append(m.all, s)
	s.routes = routeTableName(s)
	if s.TLS != nil {
		if host, by := m.duplicate(s); by != nil {
			s.Dropped = fmt.Sprintf("its host %s is one of %s, which comes before it", host, by)
			return
		}
	}
	at := serverPort{s.Port, s.Protocol, s.Bind}
	plain, isPlain := m.plain[s.Port]
	switch {
	case !m.taken[s.Port]:
		m.taken[s.Port] = true
		m.open(at, s)
	case isPlain && plain.bind == s.Bind:
		first := m.latest[plain]
		if s.Family != PlainHTTP || first.Family != PlainHTTP {
			s.Dropped = fmt.Sprintf("%s can not share the port with %s of %s, which comes before it", s.Protocol, first.Protocol, first)
			return
		}
		m.join(m.groups[plain], s)
	case isPlain && m.groups[at] == nil:
		m.open(at, s)
	case isPlain:
		m.groups[at].routes = s.routes
		m.join(m.groups[at], s)
	case s.Family != TLS:
		m.open(at, s)
	default:
		m.addTLS(at, s)
	}
}

// addTLS merges a TLS server on a port on which others are, and all of them TLS servers.
func (m *merging) addTLS(at serverPort, s *MergedServer) {
	if ServesHTTP(s.Server.Server) {
		if same := m.routes[s.routes]; len(same) > 0 {
			s.Dropped = fmt.Sprintf("its port has the name of that of %s, which comes before it", same[0])
			return
		}
		m.routes[s.routes] = []*MergedServer{s}
	}
	g := m.groups[at]
	if g == nil {
		g = &mergedServers{}
		m.groups[at] = g
		m.order = append(m.order, at)
	}
	g.servers = append(g.servers, s)
}

// duplicate finds a host of a server with a tls block that one before it has, with the same bind
// on the same port, and else notes its hosts (CheckDuplicates in istio.io/istio
// pilot/pkg/model/gateway.go).
func (m *merging) duplicate(s *MergedServer) (host string, by *MergedServer) {
	known := m.hosts[s.Port]
	if known == nil {
		known = map[string]*MergedServer{}
		m.hosts[s.Port] = known
	}
	for _, h := range s.Hosts {
		if o := known[h.Key]; o != nil && o.Bind == s.Bind {
			return h.Key, o
		}
	}
	for _, h := range s.Hosts {
		known[h.Key] = s
	}
	return "", nil
}

// open begins to merge servers with the first one (addPlainTextServer in istio.io/istio
// pilot/pkg/model/gateway.go, which is for all of them in spite of its name).
func (m *merging) open(at serverPort, s *MergedServer) {
	if s.Family != TLS {
		m.plain[s.Port], m.latest[at] = at, s
	}
	if s.routes != "" {
		m.routes[s.routes] = []*MergedServer{s}
	}
	m.groups[at] = &mergedServers{routes: s.routes, servers: []*MergedServer{s}}
	m.order = append(m.order, at)
}

// join adds a server to those that it is merged with.
func (m *merging) join(g *mergedServers, s *MergedServer) {
	g.servers = append(g.servers, s)
	if s.routes != "" {
		m.routes[s.routes] = append(m.routes[s.routes], s)
	}
}

// routeTableName is the name of the route configuration of a server, empty for one that forwards
// connections (gatewayRDSRouteName in istio.io/istio pilot/pkg/model/gateway.go).
func routeTableName(s *MergedServer) string {
	bind := ""
	if s.Bind != "" {
		bind = "." + s.Bind
	}
	switch {
	case s.Family == PlainHTTP:
		return fmt.Sprintf("http.%d%s", s.Port, bind)
	case strings.EqualFold(s.Protocol, "HTTPS") && !Passthrough(s.Server.Server):
		return fmt.Sprintf("https.%d.%s.%s.%s%s", s.Server.Port, s.PortName, s.In.Name, s.In.Namespace, bind)
	}
	return ""
}

// listenerName is getListenerName in istio.io/istio pilot/pkg/networking/core/gateway.go, for a
// cluster that has IPv4.
func listenerName(s *MergedServer) string {
	return cmp.Or(s.Bind, net.IPv4zero.String()) + "_" + strconv.FormatUint(uint64(s.Port), 10)
}

// listeners makes listeners of merged servers (buildGatewayListeners in istio.io/istio
// pilot/pkg/networking/core/gateway.go).
func (w *World) listeners(p *PodSet, m *merging) []*Listener {
	byName := map[string]*Listener{}
	var out []*Listener
	for _, s := range m.all {
		name := listenerName(s)
		l := byName[name]
		if l == nil {
			l = &Listener{Name: name, Port: s.Port}
			byName[name] = l
			out = append(out, l)
		}
		l.Servers = append(l.Servers, s)
	}
	passed := map[uint32]map[string]passed{} // the second tlsHostsByPort, which is that of TLS routes
	tables := map[string]*RouteTable{}
	for _, at := range m.order {
		g := m.groups[at]
		l := byName[listenerName(g.servers[0])]
		for _, c := range w.chains(p, g, passed) {
			if s := c.Servers[0]; ServesHTTP(s.Server.Server) {
				name := s.routes
				if tables[name] == nil {
					tables[name] = w.routeTable(p, name, m.routes[name])
				}
				c.Routes = tables[name]
				if !slices.Contains(l.Routes, c.Routes) {
					l.Routes = append(l.Routes, c.Routes)
				}
			}
			l.Chains = append(l.Chains, c)
		}
	}
	for _, l := range out {
		l.Refused = refusals(l)
	}
	slices.SortStableFunc(out, func(a, b *Listener) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), strings.Compare(a.Name, b.Name))
	})
	return out
}

// chains returns the filter chains of merged servers (buildGatewayTCPBasedFilterChains in
// istio.io/istio pilot/pkg/networking/core/gateway.go): one for all servers of plain-text HTTP,
// and one for each other server, or for each of its TLS routes. Those of AUTO_PASSTHROUGH are by
// the names that Istio gives to Services, which are nobody's hosts, and are left out.
func (w *World) chains(p *PodSet, g *mergedServers, known map[uint32]map[string]passed) []*Chain {
	if g.servers[0].Family == PlainHTTP {
		return []*Chain{{Servers: g.servers, Names: []hostname.Name{hostname.Any}}}
	}
	var out []*Chain
	for _, s := range g.servers {
		one := []*MergedServer{s}
		switch {
		case ServesHTTP(s.Server.Server):
			out = append(out, &Chain{Servers: one, Names: serverNames(s)})
		case RoutesTLS(s.Server.Server):
			s.Connections = w.tlsRoutes(p, s, known)
			for _, c := range s.Connections {
				if c.Dropped == "" {
					out = append(out, &Chain{Servers: one, Names: c.Names, Connection: c})
				}
			}
		case !Passthrough(s.Server.Server):
			if s.Connections = w.tcpRoutes(p, s); len(s.Connections) > 0 {
				out = append(out, &Chain{Servers: one, Names: serverNames(s), Connection: s.Connections[0]})
			}
		}
	}
	return out
}

// serverNames are the server names of the chain of a server: none of them counts where one is "*"
// (GetSNIHostsForServer in istio.io/istio pilot/pkg/model/gateway.go and toFilterChainMatch in
// pilot/pkg/networking/core/listener.go).
func serverNames(s *MergedServer) []hostname.Name {
	if s.TLS == nil {
		return []hostname.Name{hostname.Any}
	}
	hosts := make([]string, 0, len(s.Hosts))
	for _, h := range s.Hosts {
		hosts = append(hosts, h.Host)
	}
	return chainNames(hosts)
}

// chainNames are the server names of a chain for hosts. One that is spelled in two ways is there
// twice, as it is for the proxy.
func chainNames(hosts []string) []hostname.Name {
	if len(hosts) == 0 || slices.Contains(hosts, string(hostname.Any)) {
		return []hostname.Name{hostname.Any}
	}
	hosts = slices.Clone(hosts)
	slices.Sort(hosts)
	var out []hostname.Name
	for _, h := range slices.Compact(hosts) {
		out = append(out, hostname.Parse(h))
	}
	slices.SortStableFunc(out, bySpecificity)
	return out
}

// refusals tells why the proxy refuses a listener: two chains for one server name, or a name with
// a wildcard for a part of a label (FilterChainManagerImpl::addFilterChains in
// source/common/listener_manager/filter_chain_manager_impl.cc of envoyproxy/envoy).
func refusals(l *Listener) []string {
	var out []string
	names := l.Names()
	for i, n := range names {
		switch {
		case n.PartialWildcard():
			out = append(out, fmt.Sprintf("%s of %s has a wildcard for a part of a label", n.Name, n.Servers[0]))
		case i == 0 || names[i-1].Name != n.Name:
		case n.Name == hostname.Any:
			out = append(out, fmt.Sprintf("%s and %s both take every connection", names[i-1].Servers[0], n.Servers[0]))
		case names[i-1].Chain == n.Chain:
			out = append(out, fmt.Sprintf("%s has %s in two spellings", n.Servers[0], n.Name))
		default:
			out = append(out, fmt.Sprintf("%s and %s both have the server name %s", names[i-1].Servers[0], n.Servers[0], n.Name))
		}
	}
	return out
}
