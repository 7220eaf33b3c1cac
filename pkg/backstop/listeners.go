package backstop

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/hostname"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// anyAddress is the address of a listener that takes connections to every one.
const anyAddress = "*"

// families are those in which hosts decide between servers, as the policy calls them.
var families = map[resource.Family]string{policy.PlainHTTP: "http", policy.TLS: "tls"}

// listener is a listener of the owner's on some pods of a guarded gateway: a line of
// ListenersKey, with these fields in this order.
type listener struct {
	gateway string // what messages call the guarded gateway
	owner   string // the tag of its owner
	scope   string // the only namespace whose Gateways count, or empty for all
	labels  string // of the pods
	ports   string // the numbers by which Gateways may name the port
	address string // anyAddress, or as a server's bind is written
	family  string // one of families
	hosts   string // those that the owner serves (GWD201)
	// suffixes and used are those of the names that a wildcard of the owner's stands for, or that he
	// uses where he serves every host (GWD202).
	suffixes, used string
	domains        string // dedicated ones (GWD203)
	servers        string // the Gateways that serve the hosts, for messages
}

func (l *listener) String() string {
	return strings.Join([]string{
		l.gateway, l.owner, l.scope, l.labels, l.ports, l.address, l.family, l.hosts, l.suffixes, l.used, l.domains, l.servers,
	}, "\t")
}

// listeners are the lines of ListenersKey.
func (p *parameters) listeners() []string {
	var out []string
	for i, g := range p.world.Guards {
		pods := map[listener][]map[string]string{} // that have the listener, by their labels
		for _, set := range g.Pods {
			if unclear(set.Labels) {
				continue
			}
			for _, l := range p.listenersOf(i, g, set) {
				pods[l] = append(pods[l], set.Labels)
			}
		}
		for l, sets := range pods {
			for _, labels := range toldApart(sets) {
				l.labels = pairs(labels)
				out = append(out, l.String())
			}
		}
	}
	return out
}

// toldApart leaves out the pods with labels that others have all of: what selects the former
// selects the latter. If there are still too many it leaves the labels that all of them have,
// and selectors of others are overlooked.
func toldApart(sets []map[string]string) []map[string]string {
	var out []map[string]string
	for i, s := range sets {
		if !slices.ContainsFunc(sets, func(o map[string]string) bool { return len(o) > len(sets[i]) && resource.Selects(s, o) }) {
			out = append(out, s)
		}
	}
	if len(out) > maxPodSets {
		return []map[string]string{intersection(out)}
	}
	return out
}

// listenersOf returns the listeners on one set of pods, without its labels.
func (p *parameters) listenersOf(guard int, g *policy.Guard, pods *policy.PodSet) []listener {
	var guarded []uint32
	for i := range pods.Servers {
		guarded = append(guarded, pods.Servers[i].Ports...)
	}
	numbers := map[listener][]string{}
	for _, number := range pods.Sources(guarded) {
		for _, l := range p.listenersAt(guard, g, pods, pods.Resolve(number)) {
			numbers[l] = append(numbers[l], fmt.Sprint(number))
		}
	}
	var out []listener
	for l, ports := range numbers {
		l.ports = words(ports)
		out = append(out, l)
	}
	return out
}

// listenersAt returns the listeners for the ports that a number may lead to, without the
// number.
func (p *parameters) listenersAt(guard int, g *policy.Guard, pods *policy.PodSet, ports []uint32) []listener {
	type place struct {
		address string
		family  resource.Family
	}
	servers := map[place][]*policy.Server{}
	for i := range pods.Servers {
		s := &pods.Servers[i]
		if families[s.Family] != "" && slices.ContainsFunc(s.Ports, func(port uint32) bool { return slices.Contains(ports, port) }) {
			at := place{policy.Address(s.Bind), s.Family}
			servers[at] = append(servers[at], s)
		}
	}
	var out []listener
	for at, kin := range servers {
		l := listener{
			gateway: clean(g.Name), owner: owner(guard), address: at.address, family: families[at.family],
			domains: words(lower(g.Domains)), servers: gatewaysOf(kin),
		}
		if p.config.Mesh.ScopeGatewayToNamespace {
			l.scope = g.Namespace
		}
		if at.address == "" {
			l.address = anyAddress
		}
		if l.nameHosts(g, kin) && plain(at.address) {
			out = append(out, l)
		}
	}
	return out
}

// nameHosts fills in what the servers' hosts are. It reports false for hosts that can not be
// written.
func (l *listener) nameHosts(g *policy.Guard, servers []*policy.Server) bool {
	var hosts, suffixes []string
	every := false
	for _, s := range servers {
		for _, h := range s.Hosts {
			if !plain(string(h.Name)) || h.Name == "" {
				return false
			}
			hosts = append(hosts, string(h.Name))
			if h.Name == hostname.Any {
				every = true
			} else if h.Name.IsWildcard() {
				suffixes = append(suffixes, string(h.Name[1:]))
			}
		}
	}
	if every {
		used, within := usedNames(g)
		l.used, suffixes = words(used), append(suffixes, within...)
	}
	l.hosts, l.suffixes = words(hosts), words(suffixes)
	return true
}

// usedNames returns the names that an owner uses where he serves every host, and what names end
// with that are among them: see policy.Guard.Uses.
func usedNames(g *policy.Guard) (names, suffixes []string) {
	for _, n := range g.UsedNames() {
		names = append(names, string(n))
		if n.IsWildcard() {
			suffixes = append(suffixes, string(n[1:]))
		}
	}
	for _, d := range lower(g.Domains) {
		names = append(names, d, "*."+d)
		suffixes = append(suffixes, "."+d)
	}
	return names, suffixes
}

// lower writes names as they are compared.
func lower(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = string(hostname.Parse(n))
	}
	return out
}

// gatewaysOf writes the Gateways of servers for people.
func gatewaysOf(servers []*policy.Server) string {
	names := map[string]bool{}
	for _, s := range servers {
		names[s.Gateway.String()] = true
	}
	return clean(strings.Join(slices.Sorted(maps.Keys(names)), " and "))
}

// route is a Gateway of an owner through which VirtualServices serve their hosts: a line of
// RoutesKey, with these fields in this order.
type route struct {
	gateway   string // what messages call the guarded gateway
	owner     string // the tag of its owner
	namespace string // of the Gateway and of its pods
	name      string // of the Gateway
	// exported is "true" if a VirtualService that does not tell is visible there.
	exported string
	// hosts are as they are written, each after the namespace whose VirtualServices it admits,
	// or "*", and a slash.
	hosts          string
	used, suffixes string // what the owner uses of "*": see usedNames
	paths          string // of tenants
}

func (r *route) String() string {
	return strings.Join([]string{r.gateway, r.owner, r.namespace, r.name, r.exported, r.hosts, r.used, r.suffixes, r.paths}, "\t")
}

// routes are the lines of RoutesKey.
func (p *parameters) routes() []string {
	var out []string
	for i, g := range p.world.Guards {
		if slices.ContainsFunc(g.TenantPaths, func(path string) bool {
			head, _, _ := strings.Cut(path, "{namespace}")
			return head == "" || !plain(path)
		}) {
			continue // what is a tenant's is not told by the start of a path
		}
		for _, name := range g.Gateways {
			if gw := g.Gateway(g.Namespace, name); gw != nil && name != "mesh" {
				if hosts := p.routedHosts(g, gw); hosts != "" {
					used, suffixes := usedNames(g)
					r := route{
						gateway: clean(g.Name), owner: owner(i), namespace: g.Namespace, name: name,
						exported: fmt.Sprint(exported(p.config, g.Namespace)), hosts: hosts,
						used: words(used), suffixes: words(suffixes), paths: words(g.TenantPaths),
					}
					out = append(out, r.String())
				}
			}
		}
	}
	return out
}

// exported reports whether VirtualServices of every namespace are visible in one unless they
// say otherwise: see policy.World.Visible.
func exported(cfg *config.Configuration, namespace string) bool {
	return slices.ContainsFunc(cfg.Mesh.DefaultVirtualServiceExportTo, func(e string) bool { return e == "*" || e == namespace })
}

// routedHosts returns the hosts for which a Gateway of the owner's takes HTTP routes.
func (p *parameters) routedHosts(g *policy.Guard, gw *resource.Gateway) string {
	var out []string
	for _, pods := range g.Pods {
		if !pods.Attaches(gw, p.config) {
			continue
		}
		for _, s := range pods.ServersOf(gw) {
			if !policy.ServesHTTP(s.Server) {
				continue
			}
			for _, h := range s.Hosts {
				namespace := h.Namespace
				if namespace == "" {
					namespace = "*"
				}
				out = append(out, namespace+"/"+h.Host)
			}
		}
	}
	return words(out)
}
