package rules

import (
	"slices"

	"github.com/gatewarden/gatewarden/pkg/hostname"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// eachTwin calls f for every server of another Gateway, the owner's apart, that has the host,
// shares the encountered server's listener and is of its family, the oldest first, until f
// returns false. Only servers with a tls block have twins: Istio merges the others.
func eachTwin(w *policy.World, e *policy.Encounter, n hostname.Name, f func(policy.HostPlace) bool) {
	if e.Server.TLS == nil {
		return
	}
	for _, o := range tenantsWith(w, e, n) {
		for _, p := range w.HostsOf(e.Pods, o).With(n) {
			if p.Server.TLS != nil && p.Server.Family == e.Server.Family && p.Server.SharesListener(&e.Server) && !f(p) {
				return
			}
		}
	}
}

// tenantsWith returns the other Gateways, the owner's apart, that have the host on the pods of
// an encounter, the oldest first: who was there first has the claim.
func tenantsWith(w *policy.World, e *policy.Encounter, n hostname.Name) []*resource.Gateway {
	var out []*resource.Gateway
	w.Snapshot.GatewaysWithHost(n, func(o *resource.Gateway) bool {
		if o.Key() != e.Server.Gateway && !e.Guard.IsOwners(o.Key()) && w.HostsOf(e.Pods, o) != nil {
			out = append(out, o)
		}
		return true
	})
	slices.SortFunc(out, func(a, b *resource.Gateway) int { return resource.ByAge(&a.Meta, &b.Meta) })
	return out
}

// alike reports whether Istio takes a host of an encountered server and its twin for one, and
// keeps the older of the two. Where both pass TLS through, the names of their routes are what
// it compares, and those have no namespace (buildGatewayNetworkFiltersFromTLSRoutes in
// istio.io/istio pilot/pkg/networking/core/gateway.go).
func alike(e *policy.Encounter, h hostname.Server, twin *policy.HostPlace) bool {
	same := twin.Host.Key == h.Key || e.Server.Family == policy.TLS &&
		twin.Host.Host == h.Host && policy.RoutesTLS(e.Server.Server) && policy.RoutesTLS(twin.Server.Server)
	return same && twin.Server.Bind == e.Server.Bind
}
