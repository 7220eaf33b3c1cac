package rules

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/config"
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
						if !reportMovedServers(g, p, c, &m, report) {
							reportMovedNeighbours(before, after, p.Labels, c, &m, report)
						}
					}
				}
			}
		},
	}
}

// reportMovedServers reports the owner's servers whose port number a move is about, and
// whether there are any.
func reportMovedServers(g *policy.Guard, p *policy.PodSet, c policy.Change, m *policy.Move, report func(policy.Fault)) (any bool) {
	for _, s := range p.Servers {
		if s.Port != m.Port {
			continue
		}
		any = true
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
	}
	return any
}

// reportMovedNeighbours reports the servers of other Gateways that a move brings onto a
// listener of the owner's that they can not share with him.
func reportMovedNeighbours(before, after *policy.World, labels map[string]string, c policy.Change, m *policy.Move, report func(policy.Fault)) {
	after.Snapshot.GatewaysServedBy(labels, func(gw *resource.Gateway) bool {
		if !slices.ContainsFunc(gw.Servers, func(s resource.Server) bool { return s.Port == m.Port }) {
			return true
		}
		was := before.Encounters(gw)
		for _, e := range after.Encounters(gw) {
			if e.Server.Port != m.Port || slices.ContainsFunc(was, func(o policy.Encounter) bool {
				return o.Guard.Name == e.Guard.Name && o.Server.Index == e.Server.Index && len(o.Guarded) >= len(e.Guarded)
			}) {
				continue
			}
			if g, why := contested(&e); g != nil {
				report(policy.Fault{
					Effect: policy.Deny,
					Field:  portField(c, m.Port),
					Message: fmt.Sprintf("port %d then leads to listener %s, where %s meets %s of %s: %s. Map port %d to a target of its own.",
						m.Port, alternatives(m.To), name(gw.Key()), name(g.Gateway), e.Guard.Name, why, m.Port),
					Related: []resource.Key{gw.Key(), g.Gateway},
					Subject: fmt.Sprintf("%d|%s|%d|%s", m.Port, gw.Key(), e.Server.Index, g.Gateway),
				})
			}
		}
		return true
	})
}

// contested tells why a server can not be on a listener together with the owner's servers
// that are there, and names one of those; nil if it can.
func contested(e *policy.Encounter) (*policy.Server, string) {
	if e.Guard.Sharing == config.ExclusivePort && len(e.Guarded) > 0 {
		return e.Guarded[0], fmt.Sprintf("the port is the owner's alone (sharing: %s)", config.ExclusivePort)
	}
	for _, g := range e.Guarded {
		if e.Server.Family != g.Family || g.Family == policy.Opaque {
			return g, fmt.Sprintf("%s and %s can not share it, and Istio keeps the older of the two, or the proxy refuses it", e.Server.Protocol, g.Protocol)
		}
	}
	for _, h := range e.Server.Hosts {
		if clash, g, _ := e.Meet(h); clash >= policy.Narrower {
			return g, fmt.Sprintf("both serve %s there, and one takes the other's requests", h.Name)
		}
	}
	return nil, ""
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
