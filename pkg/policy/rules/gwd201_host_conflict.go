package rules

import (
	_ "embed"
	"fmt"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd201_host_conflict.md
var hostConflictPage string

// hostConflict finds hosts that the owner serves on the same listener, in any spelling.
func hostConflict() *policy.Rule {
	return &policy.Rule{
		ID: "GWD201", Name: "host-conflict", Page: hostConflictPage, Effect: policy.Deny,
		Summary: "A Gateway server claims a host that the owner serves on the same port.",
		Kinds:   []resource.Kind{resource.KindGateway}, Operations: createUpdate, Reads: gatewayReads,
		Object: forGateway(func(w *policy.World, e *policy.Encounter, report func(policy.Fault)) {
			for i, h := range e.Server.Hosts {
				clash, g, with := e.Meet(h)
				if clash != policy.Same {
					continue
				}
				consequence := dropped(w, e, g.Gateway)
				switch {
				case e.Server.Family == policy.PlainHTTP:
					consequence = "both share one virtual host, so routes of either Gateway answer for the other now"
				case h.Key != with.Key || e.Server.Bind != g.Bind:
					consequence = "Istio does not see that the two are one, and " + refuses(&e.Server)
				}
				report(policy.Fault{
					Effect: policy.Deny,
					Field:  hostField(e.Server.Index, i),
					Message: fmt.Sprintf("host %s on port %s is served by %s of %s on the same pods: %s. Choose a host that is yours, or another gateway.",
						h.Name, ports(&e.Server), name(g.Gateway), e.Guard.Name, consequence),
					Related: []resource.Key{g.Gateway},
					// Another spelling of the host or of the bind can turn a server that is dropped
					// into a port that is refused.
					Place: labels(e.Pods.Labels), Subject: listenerOf(e) + fmt.Sprintf("%s|%s|%s", h.Key, e.Server.Bind, e.Server.Family),
				})
			}
		}),
	}
}
