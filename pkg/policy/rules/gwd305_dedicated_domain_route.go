package rules

import (
	_ "embed"
	"fmt"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd305_dedicated_domain_route.md
var dedicatedDomainRoutePage string

// dedicatedDomainRoute finds hosts under the owner's domain that a tenant serves through a
// wildcard of his own Gateway.
func dedicatedDomainRoute() *policy.Rule {
	return &policy.Rule{
		ID: "GWD305", Name: "dedicated-domain-route", Page: dedicatedDomainRoutePage, Effect: policy.Deny,
		Summary: "A VirtualService serves a host under a domain that is dedicated to the owner, through another Gateway.",
		Kinds:   routeKinds, Operations: createUpdate, Reads: routeReads,
		Object: forRoutes(func(w *policy.World, v *resource.VirtualService, given *resource.Gateway, report func(policy.Fault)) {
			for _, b := range w.Bindings(v, given) {
				domain := b.Guard.Dedicated(b.Host)
				if b.Owners || b.Guarded || domain == "" || b.Guard.IsOwners(v.Key()) || !routesFor(v, &b) {
					continue
				}
				f := policy.Fault{
					Effect:  policy.Deny,
					Field:   "spec.hosts",
					Related: []resource.Key{b.Gateway.Key()},
					Subject: fmt.Sprintf("%s|%s|%d", b.Gateway.Key(), b.Host, b.Server.Port),
					Message: fmt.Sprintf("host %s is under %s, which is dedicated to %s: %s would serve it on port %s. "+
						"Choose another domain.", b.Host, domain, b.Guard.Name, name(b.Gateway.Key()), ports(&b.Server)),
				}
				if !b.OnGuardedPort {
					f.Effect = policy.Warn
				}
				report(f)
			}
		}),
	}
}

// routesFor reports whether a VirtualService has routes of the kind that the server of a binding
// asks for: one that passes TLS through has no use for HTTP routes.
func routesFor(v *resource.VirtualService, b *policy.Binding) bool {
	switch {
	case policy.ServesHTTP(b.Server.Server):
		reaches := false
		eachMatch(v, b, func(*resource.HTTPMatch, string) { reaches = true })
		return reaches
	case policy.Passthrough(b.Server.Server):
		return len(v.TLS) > 0
	}
	return len(v.TCP) > 0
}
