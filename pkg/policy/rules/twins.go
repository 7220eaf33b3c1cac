package rules

import (
	"github.com/gatewarden/gatewarden/pkg/hostname"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// eachTwin calls f for every server of another Gateway, the owner's apart, that has the host,
// shares the encountered server's listener and is of its family, until f returns false. Only
// servers with a tls block have twins: Istio merges the others.
func eachTwin(w *policy.World, e *policy.Encounter, n hostname.Name, f func(policy.HostPlace) bool) {
	if e.Server.TLS == nil {
		return
	}
	w.Snapshot.GatewaysWithHost(n, func(o *resource.Gateway) bool {
		if o.Key() == e.Server.Gateway || e.Guard.IsOwners(o.Key()) {
			return true
		}
		table := w.HostsOf(e.Pods, o)
		if table == nil {
			return true
		}
		for _, p := range table.With(n) {
			if p.Server.TLS != nil && p.Server.Family == e.Server.Family && p.Server.SharesListener(&e.Server) && !f(p) {
				return false
			}
		}
		return true
	})
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
