package rules

import (
	_ "embed"
	"fmt"

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
			g := e.OnOwnersPort()
			if g == nil || e.Guard.Sharing != config.ExclusivePort {
				return
			}
			report(policy.Fault{
				Effect: policy.Deny,
				Field:  serverField(e.Server.Index, "port"),
				Message: fmt.Sprintf("port %s is that of %s of %s, which shares its pods but not its ports (sharing: %s), whatever the host. "+
					"Use a port on which it has no server.", ports(&e.Server), name(g.Gateway), e.Guard.Name, config.ExclusivePort),
				Related: []resource.Key{g.Gateway},
				Place:   labels(e.Pods.Labels), Subject: listenerOf(e) + fmt.Sprintf("%s|%s", e.Server.Bind, e.Server.Family),
			})
		}),
	}
}
