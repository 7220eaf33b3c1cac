package policy

import (
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// ManagedNamespaces returns the namespaces of the managed Gateways of the Gateway API that these
// pods serve, without the Gateway with the key. Where there are any, Istio serves no other Gateways
// on the pods than those of the Gateway API and those of these namespaces
// (filterStrictGatewayMerging in istio.io/istio pilot/pkg/model/push_context.go, since 1.31;
// PILOT_ENABLE_STRICT_GATEWAY_MERGING turns it off). Age does not matter.
func (w *World) ManagedNamespaces(p *PodSet, without resource.Key) map[string]bool {
	out := map[string]bool{}
	add := func(gw *resource.Gateway) bool {
		if gw.Key() != without && p.Attaches(gw, w.Config) {
			out[gw.Namespace] = true
		}
		return true
	}
	w.Snapshot.ManagedGateways("", add)
	for service := range p.fqdns {
		w.Snapshot.ManagedGateways(service, add)
	}
	return out
}

// EachOther calls f for every Gateway that these pods serve and that is neither the owner's nor
// the one with the key, until f returns false.
func (w *World) EachOther(g *Guard, p *PodSet, than resource.Key, f func(*resource.Gateway) bool) {
	w.Snapshot.GatewaysServedBy(p.Labels, func(gw *resource.Gateway) bool {
		if gw.Key() == than || g.IsOwners(gw.Key()) || !p.Attaches(gw, w.Config) {
			return true
		}
		return f(gw)
	})
}
