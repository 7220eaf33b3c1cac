package policy

import (
	"maps"
	"slices"

	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
)

// disableTranslation is the label by which a Service is passed over when ports are
// translated, whatever its value (resolvePorts in istio.io/istio pilot/pkg/model/gateway.go).
const disableTranslation = "experimental.istio.io/disable-gateway-port-translation"

func (g *Guard) findTargets(s *state.Snapshot) {
	for _, p := range g.Pods {
		p.findTargets(s)
		if len(p.fqdns) > 0 {
			continue
		}
		// The Service is assumed to come, as the Gateways are.
		for _, server := range g.Servers {
			if server.PublicPort != 0 {
				p.addTargets(s, []resource.ServicePort{{Port: server.PublicPort, TargetPort: server.Port}})
			}
		}
	}
}

func (p *PodSet) findTargets(s *state.Snapshot) {
	s.Each(resource.KindService, p.Namespace, func(o resource.Object) bool {
		svc := o.(*resource.Service)
		if len(svc.Selector) > 0 && resource.Selects(svc.Selector, p.Labels) {
			p.fqdns[svc.Name+"."+svc.Namespace] = true
			if _, passedOver := svc.Labels[disableTranslation]; !passedOver {
				p.addTargets(s, svc.Ports)
			}
		}
		return true
	})
	s.Each(resource.KindServiceEntry, p.Namespace, func(o resource.Object) bool {
		se := o.(*resource.ServiceEntry)
		if len(se.WorkloadSelector) > 0 && resource.Selects(se.WorkloadSelector, p.Labels) {
			if _, passedOver := se.Labels[disableTranslation]; !passedOver {
				p.addTargets(s, se.Ports)
			}
		}
		return true
	})
}

func (p *PodSet) addTargets(s *state.Snapshot, ports []resource.ServicePort) {
	for _, sp := range ports {
		target := p.target(s, &sp)
		if !slices.Contains(p.targets[sp.Port], target) {
			p.targets[sp.Port] = append(p.targets[sp.Port], target)
		}
	}
}

// target returns the port of the pods that a Service's port leads to.
func (p *PodSet) target(s *state.Snapshot, sp *resource.ServicePort) uint32 {
	if sp.TargetPort != 0 {
		return sp.TargetPort
	}
	if sp.TargetName != "" {
		if named := p.namedPort(s, sp.TargetName); named != 0 {
			return named
		}
	}
	return sp.Port
}

// namedPort finds the container port with the name in the workloads of these pods.
func (p *PodSet) namedPort(s *state.Snapshot, name string) (port uint32) {
	for _, kind := range podKinds {
		s.Each(kind, p.Namespace, func(o resource.Object) bool {
			wl := o.(*resource.Workload)
			if !resource.Selects(wl.Pod.Labels, p.Labels) {
				return true
			}
			for _, c := range wl.Pod.Containers {
				for _, cp := range c.Ports {
					if cp.Name == name {
						port = cp.Port
					}
				}
			}
			return port == 0
		})
	}
	return port
}

// Resolve returns the ports that the proxy of these pods may listen on for a server with
// the port number: the targetPort of the first Service or ServiceEntry that has the port
// (resolvePorts in istio.io/istio pilot/pkg/model/gateway.go), or the number itself where
// none has it. Which Service is first depends on their age, so all of them count.
func (p *PodSet) Resolve(port uint32) []uint32 {
	if t := p.targets[port]; len(t) > 0 {
		return t
	}
	return []uint32{port}
}

// Sources returns the port numbers, as Gateways write them, that may lead to one of the
// listener's ports.
func (p *PodSet) Sources(ports []uint32) []uint32 {
	var out []uint32
	for _, port := range ports {
		if slices.Contains(p.Resolve(port), port) {
			out = append(out, port)
		}
		for source, targets := range p.targets {
			if source != port && slices.Contains(targets, port) {
				out = append(out, source)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Move is a change of the ports that the proxy may listen on for a port number.
type Move struct {
	Port     uint32   // as Gateways write it
	From, To []uint32 // what it resolves to before and after: see PodSet.Resolve
	// First reports whether nothing led to the listener before, so that nobody loses it:
	// neither was the number a Service's port, nor the target of one.
	First bool
}

// Adds reports whether the number may resolve to a port that it could not before.
func (m *Move) Adds() bool {
	return slices.ContainsFunc(m.To, func(p uint32) bool { return !slices.Contains(m.From, p) })
}

// Moves returns the port numbers that resolve to something else after a change of the
// Services before the pods, in rising order. Which of several Services counts is decided by
// age (SetServiceTargets in istio.io/istio pilot/pkg/model/context.go keeps the oldest
// first), so that their set is what changes, and not their order.
func (p *PodSet) Moves(after *PodSet) []Move {
	ports := slices.AppendSeq(slices.Collect(maps.Keys(p.targets)), maps.Keys(after.targets))
	slices.Sort(ports)
	var out []Move
	for _, port := range slices.Compact(ports) {
		m := Move{Port: port, From: p.Resolve(port), To: after.Resolve(port), First: !p.leadsTo(port)}
		if m.Adds() || len(m.From) != len(m.To) {
			out = append(out, m)
		}
	}
	return out
}

// leadsTo reports whether any Service or ServiceEntry has the number as its port or target.
func (p *PodSet) leadsTo(port uint32) bool {
	if len(p.targets[port]) > 0 {
		return true
	}
	for _, to := range p.targets {
		if slices.Contains(to, port) {
			return true
		}
	}
	return false
}
