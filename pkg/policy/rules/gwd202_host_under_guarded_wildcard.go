package rules

import (
	_ "embed"
	"fmt"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd202_host_under_guarded_wildcard.md
var hostUnderGuardedWildcardPage string

// hostUnderGuardedWildcard finds hosts that take names out of a wildcard of the owner: the
// proxy prefers the more specific name, for SNI as for virtual hosts.
func hostUnderGuardedWildcard() *policy.Rule {
	return &policy.Rule{
		ID: "GWD202", Name: "host-under-guarded-wildcard", Page: hostUnderGuardedWildcardPage, Effect: policy.Deny,
		Summary: "A Gateway server claims a host out of a wildcard that the owner serves on the same port.",
		Kinds:   []resource.Kind{resource.KindGateway}, Operations: createUpdate, Reads: gatewayReads,
		Object: forGateway(func(_ *policy.World, e *policy.Encounter, report func(policy.Fault)) {
			for i, h := range e.Server.Hosts {
				clash, g, with := e.Meet(h)
				if clash != policy.Narrower {
					continue
				}
				report(policy.Fault{
					Effect: policy.Deny,
					Field:  hostField(e.Server.Index, i),
					Message: fmt.Sprintf("host %s on port %s takes names out of %s, which %s of %s serves on the same pods: the proxy prefers the more specific host, "+
						"whichever is older. Choose a host that %s does not use, or another gateway.",
						h.Name, ports(&e.Server), with.Name, name(g.Gateway), e.Guard.Name, e.Guard.Name),
					Related: []resource.Key{g.Gateway},
					// Another spelling of the host or of the bind can turn a server that is dropped
					// into a port that is refused.
					Place: labels(e.Pods.Labels), Subject: listenerOf(e) + fmt.Sprintf("%s|%s|%s", h.Key, e.Server.Bind, e.Server.Family),
				})
			}
		}),
	}
}
