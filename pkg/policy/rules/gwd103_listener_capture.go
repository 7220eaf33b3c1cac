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
		Summary: "A Gateway server binds the address of a guarded pod on a guarded port.",
		Kinds:   []resource.Kind{resource.KindGateway}, Operations: createUpdate, Reads: gatewayReads,
		Object: forGateway(func(_ *policy.World, e *policy.Encounter, report func(policy.Fault)) {
			g := e.OnOwnersPort()
			if g == nil || !e.Pods.HasIP(e.Server.Bind) {
				return
			}
			report(policy.Fault{
				Effect: policy.Deny,
				Field:  serverField(e.Server.Index, "bind"),
				Message: fmt.Sprintf("%s is the address of a pod of %s: on port %s this server takes every connection to that pod "+
					"away from %s, whatever its host. Leave bind empty.", e.Server.Bind, e.Guard.Name, ports(&e.Server), name(g.Gateway)),
				Related: []resource.Key{g.Gateway},
				Subject: place(e) + e.Server.Bind,
			})
		}),
	}
}
