package rules

import (
	"github.com/gatewarden/gatewarden/pkg/hostname"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// twin is a host that another tenant's server has too.
type twin struct {
	server policy.Server
	host   hostname.Server
}

// eachTwin calls f for every server of another tenant's Gateway that has the host, shares the
// encountered server's listener and is of its family, until f returns false. Only servers
// with a tls block have twins: Istio merges the others.
func eachTwin(w *policy.World, e *policy.Encounter, n hostname.Name, f func(twin) bool) {
	if e.Server.TLS == nil {
		return
	}
	w.Snapshot.GatewaysWithHost(n, func(o *resource.Gateway) bool {
		if o.Key() == e.Server.Gateway || e.Guard.IsOwners(o.Key()) || !e.Pods.Attaches(o, w.Config) {
			return true
		}
		for _, s := range e.Pods.ServersOf(o) {
			if s.TLS == nil || s.Family != e.Server.Family || !s.SharesListener(&e.Server) {
				continue
			}
			for _, h := range s.Hosts {
				if h.Name == n && !f(twin{s, h}) {
					return false
				}
			}
		}
		return true
	})
}
