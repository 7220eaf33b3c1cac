package main

import (
	"fmt"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// party is whose something is: the owner's of the guarded gateway, or a namespace's.
type party struct {
	owner     bool
	namespace string
}

func (p party) String() string {
	if p.owner {
		return "the owner"
	}
	return "namespace " + p.namespace
}

// harm is one reason to deny a change.
type harm struct {
	what string
	// now reports whether it happens as the world stands, and not only in another order of ages.
	now bool
}

// judge computes from Istio's behaviour what a change does to others.
type judge struct {
	cfg   *config.Configuration
	guard *config.GuardedGateway
	world *world
	by    party
	// used are the host names of the owner's routes, by which he uses names of his "*".
	used []string
	// through are the names of the Gateways that the changed VirtualService is bound to.
	through []string
	// targets finds the VirtualService that sends connections to a host.
	targets map[string]string
}

// newJudge makes the judge of a world.
func newJudge(w *world, cfg *config.Configuration) *judge {
	j := &judge{cfg: cfg, guard: &cfg.GuardedGateways[0], world: w, targets: map[string]string{}}
	j.by = j.party(w.changed().kind, w.changed().namespace, w.changed().name)
	for _, o := range append(slices.Clone(w.existing), w.changed()) {
		if o.config == nil {
			continue
		}
		if o.kind == "Gateway" {
			j.targets[witnessHost(o)] = o.namespace + "/"
		}
		v, ok := o.config.Spec.(*networking.VirtualService)
		if !ok {
			continue
		}
		if j.party(o.kind, o.namespace, o.name).owner {
			j.used = append(j.used, v.Hosts...)
		}
		for _, r := range v.Tls {
			for _, d := range r.Route {
				j.targets[d.Destination.GetHost()] = o.namespace + "/" + o.name
			}
		}
		for _, r := range v.Tcp {
			for _, d := range r.Route {
				j.targets[d.Destination.GetHost()] = o.namespace + "/" + o.name
			}
		}
	}
	return j
}

// party tells whose an object is.
func (j *judge) party(kind, namespace, name string) party {
	if j.guard.IsOwners(resource.Key{Kind: resource.Kind(kind), Namespace: namespace, Name: name}) {
		return party{owner: true}
	}
	return party{namespace: namespace}
}

// of is party for a "namespace/name".
func (j *judge) of(kind, key string) party {
	namespace, name, _ := strings.Cut(key, "/")
	return j.party(kind, namespace, name)
}

// side is a world in an order of ages, as Istio and then Envoy see it.
type side struct {
	sent  *sent
	proxy *proxy
}

func newSide(objects []*object, p pods) (*side, error) {
	s, err := translate(objects, p)
	if err != nil {
		return nil, err
	}
	made, err := newProxy(s)
	return &side{s, made}, err
}

// harms returns what the change does to others, in any of the orders.
func (j *judge) harms(shuffles int) ([]harm, error) {
	if j.world.changed().kind == "PeerAuthentication" {
		return j.policyHarms()
	}
	var out []harm
	for i, o := range j.world.alone(j.world.orders(shuffles)) {
		before, err := newSide(o.before, j.world.pods)
		if err != nil {
			return nil, err
		}
		after, err := newSide(o.after, j.world.pods)
		if err != nil {
			return nil, err
		}
		found := slices.Concat(j.refusals(before, after), j.drops(before, after), j.takes(o, before, after), j.rights(before, after))
		meetings, err := j.meetings(o)
		if err != nil {
			return nil, err
		}
		for _, what := range append(found, meetings...) {
			out = append(out, harm{what, i == 0})
		}
	}
	return out, nil
}

// placed is a server of a Gateway, and the listener that Istio would give it.
type placed struct {
	*server
	address string
	port    uint32
}

// family is what the server speaks: "HTTP", "TLS", or else bytes.
func (s *server) family() string {
	switch {
	case s.tls():
		return "TLS"
	case s.http():
		return "HTTP"
	}
	return "bytes"
}

// placements returns where Istio puts each server if it is the only one.
func placements(objects []*object, p pods) ([]placed, error) {
	var out []placed
	services := slices.DeleteFunc(slices.Clone(objects), func(o *object) bool { return o.kind != "Service" && o.kind != "ServiceEntry" })
	for _, o := range objects {
		if o.kind != "Gateway" || o.config == nil {
			continue
		}
		for i := range o.config.Spec.(*networking.Gateway).Servers {
			s, err := newSide(append(slices.Clone(services), o.only(i)), p)
			if err != nil {
				return nil, err
			}
			for _, port := range sortedKeys(s.proxy.listeners) {
				for _, l := range s.proxy.listeners[port] {
					for _, there := range s.servers(l) {
						out = append(out, placed{there, l.address, l.port})
					}
				}
			}
		}
	}
	return out, nil
}

// only returns a Gateway with one of its servers.
func (o *object) only(server int) *object {
	c := *o
	cfg := o.config.DeepCopy()
	spec := cfg.Spec.(*networking.Gateway)
	spec.Servers = spec.Servers[server : server+1]
	c.config = &cfg
	return &c
}

// meetings finds the servers that come to meet on a listener by the change although they can
// not share it, whoever loses: of two protocols, one redirecting what the other serves.
// Protocol-conflict and its kin say so of each such pair, since Istio drops one of them.
func (j *judge) meetings(o order) ([]string, error) {
	switch j.world.changed().kind {
	case "Gateway", "Service", "ServiceEntry":
	default:
		return nil, nil
	}
	before, err := placements(o.before, j.world.pods)
	if err != nil {
		return nil, err
	}
	after, err := placements(o.after, j.world.pods)
	if err != nil {
		return nil, err
	}
	was := map[string]bool{}
	each(before, func(a, b placed, clash string) { was[a.gateway+"|"+b.gateway+"|"+clash] = true })
	var out []string
	each(after, func(a, b placed, clash string) {
		pa, pb := j.of("Gateway", a.gateway), j.of("Gateway", b.gateway)
		if pa == pb || was[a.gateway+"|"+b.gateway+"|"+clash] {
			return
		}
		if c := j.world.changed(); c.kind == "Gateway" && (j.by.owner || a.gateway != c.namespace+"/"+c.name) {
			return
		}
		out = append(out, fmt.Sprintf("%s and %s meet on %s:%d, to the harm of %s: %s", a.gateway, b.gateway, a.address, a.port, pb, clash))
	})
	return out, nil
}

// each calls f for the pairs of servers on one listener that can not share it.
func each(servers []placed, f func(a, b placed, clash string)) {
	for _, a := range servers {
		for _, b := range servers {
			if a.gateway == b.gateway || a.address != b.address || a.port != b.port {
				continue
			}
			if a.family() != b.family() || a.family() == "bytes" {
				f(a, b, a.family()+" and "+b.family())
			}
			if a.http() && b.http() && a.Tls.GetHttpsRedirect() && !b.Tls.GetHttpsRedirect() {
				for _, n := range a.names() {
					if slices.Contains(b.names(), n) {
						f(a, b, "redirect of "+n)
					}
				}
			}
		}
	}
}

// refusals finds the listeners that the proxy refuses after the change, where somebody else
// is on them or the owner broke his own.
func (j *judge) refusals(before, after *side) []string {
	var out []string
	for _, port := range sortedKeys(after.proxy.listeners) {
		for _, l := range after.proxy.listeners[port] {
			if l.refused == "" || before.refused(l) {
				continue
			}
			for _, s := range after.servers(l) {
				if p := j.of("Gateway", s.gateway); j.by.owner || p != j.by && before.serves(s) {
					out = append(out, fmt.Sprintf("listener %s:%d is refused (%s), to the harm of %s", l.address, l.port, l.refused, p))
					break
				}
			}
		}
	}
	return out
}

func (s *side) refused(l *listener) bool {
	return slices.ContainsFunc(s.proxy.listeners[l.port], func(o *listener) bool { return o.address == l.address && o.refused != "" })
}

// drops finds the owner's servers that Istio drops after a change of the Services before the
// pods. Whether anything led to them before does not matter: see unreached.
func (j *judge) drops(before, after *side) []string {
	if k := j.world.changed().kind; k != "Service" && k != "ServiceEntry" || j.by.owner {
		return nil
	}
	var out []string
	for _, port := range sortedKeys(before.proxy.listeners) {
		for _, l := range before.proxy.listeners[port] {
			for _, s := range before.servers(l) {
				if l.refused == "" && j.of("Gateway", s.gateway).owner && !after.serves(s) {
					out = append(out, fmt.Sprintf("server %s of %s is dropped", s.Port.Name, s.gateway))
				}
			}
		}
	}
	return out
}

// serves reports whether a server was on a listener that the proxy accepted.
func (s *side) serves(o *server) bool {
	for _, listeners := range s.proxy.listeners {
		for _, l := range listeners {
			if l.refused == "" && slices.ContainsFunc(s.servers(l), func(was *server) bool {
				return was.gateway == o.gateway && was.Port.Name == o.Port.Name
			}) {
				return true
			}
		}
	}
	return false
}

// server is one that Istio kept when it merged the Gateways of the proxy.
type server struct {
	*networking.Server
	gateway string
}

// names returns the hosts of a server, without namespaces and in lower case.
func (s *server) names() []string {
	var out []string
	for _, h := range s.Hosts {
		if _, after, ok := strings.Cut(h, "/"); ok {
			h = after
		}
		out = append(out, strings.ToLower(h))
	}
	return out
}

// tls reports whether the server is told apart by server names.
func (s *server) tls() bool {
	return s.Tls != nil && (s.Port.Protocol == "HTTPS" || s.Port.Protocol == "TLS")
}

func (s *server) http() bool {
	return strings.HasPrefix(s.Port.Protocol, "HTTP") && s.Port.Protocol != "HTTPS" || strings.HasPrefix(s.Port.Protocol, "GRPC")
}

// servers returns those on a listener.
func (s *side) servers(l *listener) []*server {
	var out []*server
	if s.sent.merged == nil {
		return nil
	}
	for port, merged := range s.sent.merged.MergedServers {
		bind := port.Bind
		if bind == "" {
			bind = "0.0.0.0"
		}
		if bind != l.address || port.Number != l.port {
			continue
		}
		for _, m := range merged.Servers {
			out = append(out, &server{m, s.sent.merged.GatewayNameForServer[m]})
		}
	}
	return out
}

// takes finds the requests whose answer is another one after the change, to the harm of
// somebody else.
func (j *judge) takes(o order, before, after *side) []string {
	if j.by.owner {
		return nil // his own objects are not judged by his claims
	}
	var out []string
	for _, r := range requests(slices.Concat(o.before, o.after), before.proxy, after.proxy) {
		b, a := before.proxy.answer(r), after.proxy.answer(r)
		if b.place() == a.place() && b.routed() == a.routed() {
			continue
		}
		if b.redirect && !a.redirect && j.redirected(r) {
			continue // it gives back what it had
		}
		for _, v := range j.victims(r, b, a, before) {
			if v == j.by || j.ownPath(r, a, before) || j.unreached(r.port) {
				continue
			}
			out = append(out, fmt.Sprintf("%s got %q, now %q, to the harm of %s", r, b, a, v))
			break
		}
	}
	return out
}

// redirected reports whether the changed object is a Gateway that redirected the request.
func (j *judge) redirected(r request) bool {
	if j.world.old == nil || j.world.old.kind != "Gateway" {
		return false
	}
	return slices.ContainsFunc(j.world.old.config.Spec.(*networking.Gateway).Servers, func(s *networking.Server) bool {
		return s.GetTls().GetHttpsRedirect() && slices.ContainsFunc((&server{Server: s}).names(), func(n string) bool { return covers(n, r.host) })
	})
}

// victims returns whose a request was before the change.
func (j *judge) victims(r request, b, a answer, before *side) []party {
	var out []party
	if b.route != nil {
		if changed := j.world.changed(); changed.kind == "VirtualService" && b.route.by == changed.namespace+"/"+changed.name {
			return nil // it gives back what it had
		}
		out = append(out, j.of("VirtualService", b.route.by))
	}
	if b.chain != nil {
		for _, c := range b.chain.clusters {
			parts := strings.Split(c, "|")
			by, known := j.targets[parts[len(parts)-1]]
			// A route that comes is the first there is, whatever the Gateway is for.
			counts := j.world.changed().kind != "VirtualService" && before.opaque(b.listener)
			if witness := strings.HasSuffix(by, "/"); known && (!witness || counts) {
				out = append(out, j.of("VirtualService", by))
			}
		}
	}
	if b.listener == nil || b.listener.refused != "" {
		return out
	}
	moved := b.place() != a.place()
	lost := a.listener == nil || a.listener.refused != "" || a.chain == nil
	for _, s := range before.answering(r, b) {
		p := j.of("Gateway", s.gateway)
		named := slices.ContainsFunc(s.names(), func(n string) bool { return n != "*" && covers(n, r.host) })
		switch {
		case p.owner && (named || j.uses(r.host)):
			out = append(out, p)
		case !p.owner && moved && b.chain != nil && (named && s.tls() || lost && s.tls()):
			out = append(out, p)
		}
	}
	return out
}

// opaque reports whether a listener takes connections as they are. Whoever has it claims all of
// it; of a witness of a TLS server the server's hosts tell what it claims.
func (s *side) opaque(l *listener) bool {
	return slices.ContainsFunc(s.servers(l), func(o *server) bool { return o.family() == "bytes" })
}

// answering returns the servers on the listener of an answer that are there for the request.
func (s *side) answering(r request, a answer) []*server {
	var out []*server
	longest := -1
	for _, o := range s.servers(a.listener) {
		if o.tls() != r.tls {
			continue
		}
		for _, n := range o.names() {
			if !covers(n, r.host) {
				continue
			}
			switch length := len(n); {
			case !r.tls: // all share the virtual host
				out = append(out, o)
			case length > longest:
				out, longest = []*server{o}, length
			case length == longest:
				out = append(out, o)
			}
		}
	}
	return out
}

// covers reports whether a host of a Gateway stands for a name.
func covers(host, name string) bool {
	suffix, wildcard := strings.CutPrefix(host, "*")
	return host == name || wildcard && strings.HasSuffix(name, suffix) && len(name) > len(suffix)
}

// uses reports whether the owner uses a name of his "*".
func (j *judge) uses(name string) bool {
	return j.dedicated(name) || slices.ContainsFunc(j.used, func(h string) bool { return h != "*" && covers(h, name) })
}

// dedicated reports whether a name is under a domain that is the owner's alone.
func (j *judge) dedicated(name string) bool {
	return slices.ContainsFunc(j.guard.Domains, func(d string) bool {
		rest, ok := strings.CutSuffix(name, d)
		return ok && (rest == "" || strings.HasSuffix(rest, "."))
	})
}

// ownPath reports whether the change takes no more than a path that belongs to its namespace
// on the owner's Gateways: see tenantPaths in the configuration.
func (j *judge) ownPath(r request, a answer, before *side) bool {
	if a.route == nil || a.route.by != j.by.namespace+"/"+j.world.changed().name || !a.chain.tls {
		return false
	}
	if !slices.ContainsFunc(before.answering(r, a), func(s *server) bool {
		return j.of("Gateway", s.gateway).owner && (j.uses(r.host) || !slices.Contains(s.names(), "*"))
	}) {
		return false
	}
	return slices.ContainsFunc(j.guard.TenantPaths, func(t string) bool {
		return strings.HasPrefix(r.path, strings.ReplaceAll(t, "{namespace}", j.by.namespace))
	})
}

// unreached reports whether nothing led to a port before the change of a Service: what then
// moves away from it is lost by nobody.
func (j *judge) unreached(port uint32) bool {
	if k := j.world.changed().kind; k != "Service" && k != "ServiceEntry" {
		return false
	}
	for _, o := range j.world.existing {
		if o.service != nil {
			for _, p := range o.service.Spec.Ports {
				if target := p.TargetPort.IntValue(); target == int(port) || target == 0 && p.Port == int32(port) {
					return false
				}
			}
		}
	}
	return true
}

// rights finds what nobody but the owner has a right to, even if no request is answered by
// somebody else for it yet.
func (j *judge) rights(before, after *side) []string {
	if j.by.owner {
		return nil
	}
	var out []string
	for _, port := range sortedKeys(after.proxy.listeners) {
		for _, l := range after.proxy.listeners[port] {
			servers := after.servers(l)
			owners := slices.DeleteFunc(slices.Clone(servers), func(s *server) bool { return !j.of("Gateway", s.gateway).owner })
			if c := j.world.changed(); reserved[l.port] && c.kind == "Gateway" {
				for _, s := range servers {
					if s.gateway == c.namespace+"/"+c.name {
						out = append(out, fmt.Sprintf("listener %s:%d is on a port that the proxy has for itself", l.address, l.port))
					}
				}
			}
			if len(owners) == 0 {
				continue
			}
			out = append(out, j.dedicatedRoutes(l, before)...)
			for _, s := range servers {
				if c := j.world.changed(); c.kind == "Gateway" && s.gateway == c.namespace+"/"+c.name {
					out = append(out, j.claims(l, s, owners)...)
				}
			}
		}
	}
	return out
}

// reserved are ports that Istio's proxy and agent listen on, whatever Gateways say: the
// bootstrap configuration is no part of what Istio sends.
var reserved = map[uint32]bool{15000: true, 15020: true, 15021: true, 15090: true}

// dedicatedRoutes finds names of the owner's domains that a VirtualService newly serves on his
// listeners through somebody else's Gateway.
func (j *judge) dedicatedRoutes(l *listener, before *side) []string {
	var out []string
	for _, c := range l.chains {
		if strings.Contains(c.routeName, ".deploykf-gateway."+gatewayNamespace) {
			continue
		}
		for _, n := range c.names {
			if v := j.world.changed(); v.kind == "VirtualService" && j.dedicated(strings.TrimPrefix(n, "*.")) && !before.names(l, n) {
				out = append(out, fmt.Sprintf("%s/%s routes %s on %s:%d, which is under a dedicated domain", v.namespace, v.name, n, l.address, l.port))
			}
		}
		for _, h := range c.hosts {
			for _, d := range h.domains {
				for _, r := range h.routes {
					if j.dedicated(strings.TrimPrefix(d, "*.")) && !j.of("VirtualService", r.by).owner && !before.routes(l, d, r.by) {
						out = append(out, fmt.Sprintf("%s serves %s on %s:%d, which is under a dedicated domain", r.by, d, l.address, l.port))
					}
				}
			}
		}
	}
	return out
}

// names reports whether a filter chain of a listener was for a server name.
func (s *side) names(l *listener, name string) bool {
	return slices.ContainsFunc(s.proxy.listeners[l.port], func(o *listener) bool {
		return o.address == l.address && slices.ContainsFunc(o.chains, func(c *chain) bool { return slices.Contains(c.names, name) })
	})
}

// routes reports whether a VirtualService had a route for a domain on a listener.
func (s *side) routes(l *listener, domain, by string) bool {
	for _, o := range s.proxy.listeners[l.port] {
		for _, c := range o.chains {
			for _, h := range c.hosts {
				if o.address == l.address && slices.Contains(h.domains, domain) &&
					slices.ContainsFunc(h.routes, func(r *route) bool { return r.by == by }) {
					return true
				}
			}
		}
	}
	return false
}

// claims finds the hosts of a server that nobody but the owner may claim on his listeners:
// those of his domains, and on a plain-text port those of his own servers, where a route that
// comes later would be served in his virtual host.
func (j *judge) claims(l *listener, s *server, owners []*server) []string {
	var out []string
	for _, n := range s.names() {
		if n != "*" && j.dedicated(strings.TrimPrefix(n, "*.")) {
			out = append(out, fmt.Sprintf("%s claims %s on %s:%d, which is under a dedicated domain", s.gateway, n, l.address, l.port))
		}
		for _, o := range owners {
			for _, h := range o.names() {
				inside := h == n || covers(h, n) || strings.HasPrefix(n, "*") && covers(h, "zz"+n[1:])
				if s.http() && o.http() && inside && (h != "*" || n == "*" || j.uses(strings.TrimPrefix(n, "*."))) {
					out = append(out, fmt.Sprintf("%s claims %s on %s:%d, where %s serves %s in plain text", s.gateway, n, l.address, l.port, o.gateway, h))
				}
			}
		}
	}
	return out
}
