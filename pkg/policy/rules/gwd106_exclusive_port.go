package rules

import (
	_ "embed"
	"fmt"
	"slices"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd106_exclusive_port.md
var exclusivePortPage string

// exclusivePort finds servers on the owner's ports where the configuration keeps those for
// him. The address does not matter: what is asked for is the port.
func exclusivePort() *policy.Rule {
	return &policy.Rule{
		ID: "GWD106", Name: "exclusive-port", Page: exclusivePortPage, Effect: policy.Deny,
		Summary: "A Gateway server uses a port that is the owner's alone.",
		Kinds:   []resource.Kind{resource.KindGateway}, Operations: createUpdate, Reads: gatewayReads,
		Object: forGateway(func(_ *policy.World, e *policy.Encounter, report func(policy.Fault)) {
			if e.Guard.Sharing != config.ExclusivePort {
				return
			}
			i := slices.IndexFunc(e.Pods.Servers, func(g policy.Server) bool {
				return slices.ContainsFunc(g.Ports, func(p uint32) bool { return slices.Contains(e.Server.Ports, p) })
			})
			if i < 0 {
				return
			}
			g := &e.Pods.Servers[i]
			report(policy.Fault{
				Effect: policy.Deny,
				Field:  serverField(e.Server.Index, "port"),
				Message: fmt.Sprintf("port %s is that of %s of %s, which shares its pods but not its ports (sharing: %s), whatever the host. "+
					"Use a port on which it has no server.", ports(&e.Server), name(g.Gateway), e.Guard.Name, config.ExclusivePort),
				Related: []resource.Key{g.Gateway},
				Subject: place(e) + fmt.Sprintf("%s|%s", e.Server.Bind, e.Server.Family),
			})
		}),
	}
}
