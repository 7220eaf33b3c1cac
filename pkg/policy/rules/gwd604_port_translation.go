package rules

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/hostname"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd604_port_translation.md
var portTranslationPage string

// portTranslation finds Services and ServiceEntries before a guarded gateway's pods by which
// a Gateway's port number leads to another listener. resolvePorts in istio.io/istio
// pilot/pkg/model/gateway.go takes the targetPort of the first one that has the number as
// its port, so that a new Service can move a listener that another Service still sends to.
func portTranslation() *policy.Rule {
	return &policy.Rule{
		ID: "GWD604", Name: "port-translation", Page: portTranslationPage, Effect: policy.Deny,
		Summary: "A Service or ServiceEntry leads a Gateway's port to another listener of the guarded pods.",
		Kinds:   []resource.Kind{resource.KindService, resource.KindServiceEntry}, Operations: createUpdateDelete,
		Reads: slices.Concat(gatewayReads, []resource.Kind{resource.KindNamespace}),
		Transition: func(before, after *policy.World, c policy.Change, report func(policy.Fault)) {
			key := c.Object().Key()
			if before.CleansUp(c) {
				return
			}
			for i, g := range before.Guards {
				// The same Gateways select the same pods: a Service is no part of that.
				if g.Namespace != key.Namespace || g.IsOwners(key) {
					continue
				}
				for j, p := range g.Pods {
					now := after.Guards[i].Pods[j]
					for _, m := range p.Moves(now) {
						if !m.Adds() {
							continue // one of several ways is closed, and the others were open before
						}
						if !reportMovedServers(g, p, now, c, &m, report) {
							reportMovedNeighbours(before, after, now, c, &m, report)
						}
					}
				}
			}
		},
	}
}

// reportMovedServers reports the owner's servers whose port number a move is about, and
// whether it denies the move for one of them.
func reportMovedServers(g *policy.Guard, p, now *policy.PodSet, c policy.Change, m *policy.Move, report func(policy.Fault)) (denied bool) {
	for i, s := range p.Servers {
		if s.Port != m.Port {
			continue
		}
		f := policy.Fault{
			Effect:  policy.Deny,
			Field:   portField(c, m.Port),
			Related: []resource.Key{s.Gateway},
			Subject: fmt.Sprintf("%d|%v|%s", m.Port, m.To, s.Gateway),
		}
		when := "now"
		if len(m.To) > 1 {
			when = "now, or when one of the Services is re-created: the oldest counts"
		}
		switch {
		case m.First && crowded(now, i) != nil:
			o := crowded(now, i)
			f.Related = append(f.Related, o.Gateway)
			f.Message = fmt.Sprintf("port %d of %s of %s then leads to listener %s, where it meets %s of %s: %s and %s can not share it, and Istio keeps the older of the two, or the proxy refuses it. "+
				"Map port %d to %d.",
				m.Port, name(s.Gateway), g.Name, alternatives(m.To), name(o.Gateway), g.Name, s.Protocol, o.Protocol, m.Port, m.Port)
		case m.First:
			f.Effect = policy.Warn
			f.Message = fmt.Sprintf("port %d of %s of %s moves to listener %s with its first Service: only what uses the pods' own port %d loses it. Map %d to %d to keep it.",
				m.Port, name(s.Gateway), g.Name, alternatives(m.To), m.Port, m.Port, m.Port)
		case c.New == nil:
			f.Message = fmt.Sprintf("without it port %d of %s of %s leads to listener %s instead of %s, %s: what is sent to %s finds nobody there. "+
				"First map port %d to %s in another Service.",
				m.Port, name(s.Gateway), g.Name, alternatives(m.To), alternatives(m.From), when, alternatives(m.From), m.Port, alternatives(m.From))
		default:
			f.Message = fmt.Sprintf("port %d of %s of %s leads to listener %s where it led to %s, %s: what another Service sends to the listener that is gone finds nobody. "+
				"Map port %d to %s, or use another port number.",
				m.Port, name(s.Gateway), g.Name, alternatives(m.To), alternatives(m.From), when, m.Port, alternatives(m.From))
		}
		report(f)
		denied = denied || f.Effect == policy.Deny
	}
	return denied
}

// crowded returns a server of the owner's that can not share the listener with another one of
// his, or nil.
func crowded(p *policy.PodSet, server int) *policy.Server {
	s := &p.Servers[server]
	for i := range p.Servers {
		if o := &p.Servers[i]; i != server && o.SharesListener(s) && (o.Family != s.Family || o.Family == policy.Opaque) {
			return o
		}
	}
	return nil
}

// reportMovedNeighbours reports the servers of other Gateways that a move brings together on
// a listener with one of the owner's or of another namespace, which they can not share.
func reportMovedNeighbours(before, after *policy.World, now *policy.PodSet, c policy.Change, m *policy.Move, report func(policy.Fault)) {
	numbers := []uint32{m.Port}
	if slices.ContainsFunc(now.Servers, func(s policy.Server) bool { return s.Port == m.Port }) {
		numbers = append(numbers, now.Sources(m.To)...)
	}
	eachOnPorts(after, numbers, func(gw *resource.Gateway) {
		was := before.Encounters(gw)
		for i, e := range after.Encounters(gw) {
			if e.Owners || i >= len(was) {
				continue
			}
			g, why := contested(&e, &was[i])
			whose := " of " + e.Guard.Name
			if g == nil && e.Server.Port == m.Port {
				g, why = rivalled(before, after, &e, &was[i])
				whose = ""
			}
			if g == nil && e.Server.Port == m.Port && !m.First && gw.Namespace != c.Object().Key().Namespace {
				report(movedAway(c, m, gw))
			}
			if g != nil {
				report(policy.Fault{
					Effect: policy.Deny,
					Field:  portField(c, m.Port),
					Message: fmt.Sprintf("port %d then leads to listener %s, where %s meets %s%s: %s. Map port %d to a target of its own.",
						m.Port, alternatives(m.To), name(gw.Key()), name(g.Gateway), whose, why, m.Port),
					Related: []resource.Key{gw.Key(), g.Gateway},
					Subject: fmt.Sprintf("%d|%s|%d|%s", m.Port, gw.Key(), e.Server.Index, g.Gateway),
				})
			}
		}
	})
}

// eachOnPorts calls f once for every Gateway that has a server on one of the ports, as they are
// written.
func eachOnPorts(w *policy.World, numbers []uint32, f func(*resource.Gateway)) {
	seen := map[*resource.Gateway]bool{}
	for _, port := range numbers {
		for _, family := range resource.Families {
			w.Snapshot.GatewaysOnPort(port, family, func(gw *resource.Gateway) bool {
				if !seen[gw] {
					seen[gw] = true
					f(gw)
				}
				return true
			})
		}
	}
}

// movedAway is the fault of leading the port of a Gateway of another namespace away from its
// listener. A delete is never denied for a tenant's sake.
func movedAway(c policy.Change, m *policy.Move, gw *resource.Gateway) policy.Fault {
	f := policy.Fault{
		Effect: policy.Deny,
		Field:  portField(c, m.Port),
		Message: fmt.Sprintf("port %d of %s leads to listener %s where it led to %s: what another Service sends there finds nobody. Keep the mapping, or agree with namespace %s.",
			m.Port, name(gw.Key()), alternatives(m.To), alternatives(m.From), gw.Namespace),
		Related: []resource.Key{gw.Key()},
		Subject: fmt.Sprintf("%d|%v|%s", m.Port, m.To, gw.Key()),
	}
	if c.New == nil {
		f.Effect = policy.Warn
		f.Message = fmt.Sprintf("without it port %d of %s leads to listener %s instead of %s. Map it in another Service first.", m.Port, name(gw.Key()), alternatives(m.To), alternatives(m.From))
	}
	return f
}

// contested tells why a server can not be on a listener together with one of the owner's that
// it did not meet before, and names that one; nil if it can.
func contested(e, was *policy.Encounter) (*policy.Server, string) {
	now := *e
	now.Guarded = slices.DeleteFunc(slices.Clone(e.Guarded), func(g *policy.Server) bool {
		return slices.ContainsFunc(was.Guarded, func(o *policy.Server) bool { return o.Gateway == g.Gateway && o.Index == g.Index })
	})
	if e.Guard.Sharing == config.ExclusivePort && len(now.Guarded) > 0 {
		return now.Guarded[0], fmt.Sprintf("the port is the owner's alone (sharing: %s)", config.ExclusivePort)
	}
	for _, g := range now.Guarded {
		if e.Server.Family != g.Family || g.Family == policy.Opaque {
			return g, unshared(&e.Server, g)
		}
	}
	for _, h := range e.Server.Hosts {
		if clash, g, _ := now.Meet(h); clash >= policy.Narrower {
			return g, fmt.Sprintf("both serve %s there, and one takes the other's requests", h.Name)
		}
	}
	return nil, ""
}

// rivalled does so for a server of another namespace.
func rivalled(before, after *policy.World, e, was *policy.Encounter) (*policy.Server, string) {
	foreign := func(o *policy.Server) bool { return o.Gateway.Namespace != e.Server.Gateway.Namespace }
	if o := protocolRival(after, e); o != nil && foreign(o) && protocolRival(before, was) == nil {
		return o, unshared(&e.Server, o)
	}
	var found *policy.Server
	for _, h := range e.Server.Hosts {
		for _, n := range append(wildcardsAround(h.Name), h.Name) {
			eachTwin(after, e, n, func(o policy.HostPlace) bool {
				if foreign(o.Server) && !twinned(before, was, n, o.Server) {
					found = o.Server
				}
				return found == nil
			})
			if found != nil {
				return found, fmt.Sprintf("both serve %s there, and one takes the other's requests", h.Name)
			}
		}
	}
	return nil, ""
}

// twinned reports whether an encountered server meets another one that has the name.
func twinned(w *policy.World, e *policy.Encounter, n hostname.Name, s *policy.Server) (found bool) {
	eachTwin(w, e, n, func(o policy.HostPlace) bool {
		found = o.Server.Gateway == s.Gateway && o.Server.Index == s.Index
		return !found
	})
	return found
}

func unshared(a, b *policy.Server) string {
	return fmt.Sprintf("%s and %s can not share it, and Istio keeps the older of the two, or the proxy refuses it", a.Protocol, b.Protocol)
}

// portField is the place of a port number in the changed object.
func portField(c policy.Change, port uint32) string {
	index := func(ports []resource.ServicePort) int {
		return slices.IndexFunc(ports, func(p resource.ServicePort) bool { return p.Port == port })
	}
	var at int
	switch o := c.New.(type) {
	case *resource.Service:
		at = index(o.Ports)
	case *resource.ServiceEntry:
		at = index(o.Ports)
	default:
		return "metadata.name"
	}
	if at < 0 {
		return "spec.ports"
	}
	return fmt.Sprintf("spec.ports[%d]", at)
}

// alternatives writes the ports of which one counts: "443 or 9443".
func alternatives(ports []uint32) string {
	var l []string
	for _, p := range ports {
		l = append(l, fmt.Sprint(p))
	}
	return strings.Join(l, " or ")
}
