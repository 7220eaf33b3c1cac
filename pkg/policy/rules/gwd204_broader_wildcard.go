package rules

import (
	_ "embed"
	"fmt"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd204_broader_wildcard.md
var broaderWildcardPage string

// broaderWildcard finds TLS wildcards around hosts of the owner. His hosts are served first,
// being more specific; every name that nobody has claimed goes to the wildcard, those that
// he adds later until he does included. On a plain-text port there is nothing to say: a
// wildcard server there serves only the hosts of its own routes.
func broaderWildcard() *policy.Rule {
	return &policy.Rule{
		ID: "GWD204", Name: "broader-wildcard", Page: broaderWildcardPage, Effect: policy.Warn,
		Summary: "A Gateway's TLS server claims a wildcard around a host of the owner, with all names that nobody has claimed.",
		Kinds:   []resource.Kind{resource.KindGateway}, Operations: createUpdate, Reads: gatewayReads,
		Object: forGateway(func(_ *policy.World, e *policy.Encounter, report func(policy.Fault)) {
			// AUTO_PASSTHROUGH serves only server names that sidecars make up for Services.
			if e.Server.Family != policy.TLS || e.Server.TLS.Mode == "AUTO_PASSTHROUGH" {
				return
			}
			for i, h := range e.Server.Hosts {
				clash, g, with := e.Meet(h)
				if clash != policy.Broader {
					continue
				}
				report(policy.Fault{
					Effect: policy.Warn,
					Field:  hostField(e.Server.Index, i),
					Message: fmt.Sprintf("%s on port %s covers %s of %s, which keeps that host, and takes every name that nobody has claimed. Name the hosts that you serve.",
						h.Name, ports(&e.Server), with.Name, e.Guard.Name),
					Related: []resource.Key{g.Gateway},
					Place:   labels(e.Pods.Labels), Subject: listenerOf(e) + string(h.Name),
				})
			}
		}),
	}
}
