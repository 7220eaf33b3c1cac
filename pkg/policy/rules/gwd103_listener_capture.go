package rules

import (
	_ "embed"
	"fmt"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd103_listener_capture.md
var listenerCapturePage string

// listenerCapture finds servers that bind the address of a guarded pod. The kernel gives a
// connection to the socket with the most specific address, so the listener on 0.0.0.0 that
// everybody shares would get none of them.
func listenerCapture() *policy.Rule {
	return &policy.Rule{
		ID: "GWD103", Name: "listener-capture", Page: listenerCapturePage, Effect: policy.Deny,
		Summary: "A Gateway server binds the address of a guarded pod on a port of the owner's or of another namespace's.",
		Kinds:   []resource.Kind{resource.KindGateway}, Operations: createUpdate, Reads: gatewayReads,
		Object: forGateway(func(w *policy.World, e *policy.Encounter, report func(policy.Fault)) {
			if !e.Pods.HasIP(e.Server.Bind) {
				return
			}
			g := e.OnOwnersPort()
			if g == nil {
				g = neighbourOnPort(w, e)
			}
			if g == nil {
				return
			}
			report(policy.Fault{
				Effect: policy.Deny,
				Field:  serverField(e.Server.Index, "bind"),
				Message: fmt.Sprintf("%s is the address of a pod of %s: on port %s this server takes every connection to that pod "+
					"away from %s, whatever its host. Leave bind empty.", e.Server.Bind, e.Guard.Name, ports(&e.Server), name(g.Gateway)),
				Related: []resource.Key{g.Gateway},
				Place:   labels(e.Pods.Labels), Subject: listenerOf(e) + e.Server.Bind,
			})
		}),
	}
}

// neighbourOnPort returns a server of another namespace's Gateway on the port of the
// encountered one that has another bind, or nil. With the same bind the two meet on one
// listener, which other rules settle.
func neighbourOnPort(w *policy.World, e *policy.Encounter) (found *policy.Server) {
	for _, port := range e.Pods.Sources(e.Server.Ports) {
		for _, family := range resource.Families {
			w.Snapshot.GatewaysByBind(port, family, func(o *resource.Gateway) bool {
				table := w.HostsOf(e.Pods, o)
				if found != nil || table == nil || o.Namespace == e.Server.Gateway.Namespace || e.Guard.IsOwners(o.Key()) {
					return found != nil
				}
				for i := range table.Servers {
					if s := &table.Servers[i]; s.OnPortOf(&e.Server) && policy.Address(s.Bind) == "" {
						found = s
					}
				}
				return true
			})
		}
	}
	return found
}
