package rules

import (
	_ "embed"
	"fmt"
	"slices"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd706_gateway_service.md
var gatewayServicePage string

// statusPort is where a gateway's pods tell whether they are ready (manifests/charts/gateway/
// values.yaml in istio.io/istio).
const statusPort = 15021

// gatewayService finds Services that do not lead to where the owner's Gateways listen.
func gatewayService() *policy.Rule {
	return &policy.Rule{
		ID: "GWD706", Name: "gateway-service", Page: gatewayServicePage, Effect: policy.Warn,
		Summary: "No Service leads to a listener of the guarded gateway, or one leads elsewhere than the owner's ServiceEntry.",
		Reads:   gatewayReads,
		Standing: func(w *policy.World, report func(resource.Key, policy.Fault)) {
			for _, g := range w.Guards {
				if len(g.Live()) == 0 {
					report(gatewayKey(g), unchecked("service", "no Gateway of %s exists, so it is not known which ports a Service has to lead to.", g.Name))
					continue
				}
				for _, p := range g.Pods {
					if !onHost(w, g, p) {
						reportServices(w, g, p, report)
					}
				}
			}
		},
	}
}

// onHost reports whether pods are reached through ports of their nodes.
func onHost(w *policy.World, g *policy.Guard, p *policy.PodSet) bool {
	return slices.ContainsFunc(w.Workloads(g, g.Namespace), func(o *resource.Workload) bool {
		return resource.Selects(p.Labels, o.Pod.Labels) && (o.Pod.HostNetwork || slices.ContainsFunc(o.Pod.Containers, func(c resource.Container) bool {
			return slices.ContainsFunc(c.Ports, func(port resource.ContainerPort) bool { return port.OnHost })
		}))
	})
}

func reportServices(w *policy.World, g *policy.Guard, p *policy.PodSet, report func(resource.Key, policy.Fault)) {
	services := w.Services(p)
	if len(services) == 0 {
		report(gatewayKey(g), certain(w, policy.Fault{
			Effect: policy.Warn, Field: "spec.selector", Subject: "service|" + labels(p.Labels),
			Message: fmt.Sprintf("no Service in %s selects the pods of %s with the labels %s: nobody outside of the mesh reaches them. "+
				"Create one, or correct its selector.", g.Namespace, g.Name, labels(p.Labels)),
		}))
		return
	}
	reached, known := map[uint32]bool{}, true
	public := map[uint32][]target{}
	for _, svc := range services {
		for i := range svc.Ports {
			sp := &svc.Ports[i]
			port, ok := w.Target(p, sp)
			if !ok {
				known = false
				continue
			}
			reached[port] = true
			public[sp.Port] = append(public[sp.Port], target{svc, i, port})
		}
	}
	if !known {
		report(gatewayKey(g), unchecked("targetPort|"+labels(p.Labels), "a Service before the pods of %s has a targetPort by a name that no container is known to have.", g.Name))
		return
	}
	for i := range p.Servers {
		s := &p.Servers[i]
		if g.Assumed(s) || slices.ContainsFunc(s.Ports, func(port uint32) bool { return reached[port] }) {
			continue
		}
		report(s.Gateway, certain(w, policy.Fault{
			Effect: policy.Warn, Field: serverField(s.Index, "port.number"), Subject: fmt.Sprintf("%d|%s", s.Port, labels(p.Labels)),
			Message: fmt.Sprintf("no port of %s leads to port %s of the pods of %s: nobody outside of the mesh reaches it. "+
				"Give the Service a port with this targetPort.", several(keys(services)), ports(s), g.Name),
			Related: keys(services),
		}))
	}
	reportEntries(w, g, p, public, report)
	switch to := public[statusPort]; {
	case len(to) > 0 && to[0].port != statusPort:
		report(to[0].service.Key(), policy.Fault{
			Effect: policy.Warn, Field: fmt.Sprintf("spec.ports[%d].targetPort", to[0].index), Subject: "status",
			Message: fmt.Sprintf("port %d leads to %d of the pods of %s, where nothing answers /healthz/ready: load balancers that ask for it take the gateway for down. "+
				"Set it to %d.", statusPort, to[0].port, g.Name, statusPort),
		})
	case !reached[statusPort]:
		report(services[0].Key(), policy.Fault{
			Effect: policy.Note, Field: "spec.ports", Subject: "status",
			Message: fmt.Sprintf("no port leads to %d of the pods of %s, where load balancers ask for /healthz/ready. Add it if yours does.", statusPort, g.Name),
		})
	}
}

// target is where a port of a Service leads.
type target struct {
	service *resource.Service
	index   int // in spec.ports
	port    uint32
}

// reportEntries compares the Services with the owner's ServiceEntries, by which the mesh itself
// reaches the gateway under the owner's hosts: what is public outside has to be so inside.
func reportEntries(w *policy.World, g *policy.Guard, p *policy.PodSet, public map[uint32][]target, report func(resource.Key, policy.Fault)) {
	w.Snapshot.Each(resource.KindServiceEntry, g.Namespace, func(o resource.Object) bool {
		entry := o.(*resource.ServiceEntry)
		if !g.IsOwners(entry.Key()) || len(entry.WorkloadSelector) == 0 || !resource.Selects(entry.WorkloadSelector, p.Labels) {
			return true
		}
		for i := range entry.Ports {
			number := entry.Ports[i].Port
			internal, _ := w.Target(p, &entry.Ports[i])
			services := public[number]
			switch {
			case len(services) == 0:
				report(entry.Key(), certain(w, policy.Fault{
					Effect: policy.Warn, Field: fmt.Sprintf("spec.ports[%d].number", i), Subject: fmt.Sprintf("public|%d", number),
					Message: fmt.Sprintf("no Service before the pods of %s has its public port %d: links to it lead nowhere outside of the mesh. "+
						"Give the Service port %d with targetPort %d, or correct the owner's public ports.", g.Name, number, number, internal),
				}))
			case !slices.ContainsFunc(services, func(t target) bool { return t.port == internal }):
				t := services[0]
				report(t.service.Key(), policy.Fault{
					Effect: policy.Warn, Field: fmt.Sprintf("spec.ports[%d].targetPort", t.index), Subject: fmt.Sprintf("public|%d", number),
					Message: fmt.Sprintf("port %d leads to %d of the pods of %s, but %s says %d, so that it is another listener outside of the mesh than inside. "+
						"Set it to %d, or correct the owner's ports.", number, t.port, g.Name, name(entry.Key()), internal, internal),
					Related: []resource.Key{entry.Key()},
				})
			}
		}
		return true
	})
}
