package rules

import (
	_ "embed"
	"fmt"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd301_foreign_route.md
var foreignRoutePage string

// foreignRoute finds routes on guarded hosts that are neither the owner's nor on a tenant's
// path. Whichever VirtualService is older, or private to the gateway's namespace, or
// exported to it, comes first, and catch-alls come last (VirtualServicesForGateway in
// istio.io/istio pilot/pkg/model/push_context.go, SortVHostRoutes in
// pilot/pkg/networking/core/route/route.go), so no foreign route is harmless.
func foreignRoute() *policy.Rule {
	return &policy.Rule{
		ID: "GWD301", Name: "foreign-route", Page: foreignRoutePage, Effect: policy.Deny,
		Summary: "A VirtualService adds a route to a guarded host that is not on a path of its namespace.",
		Kinds:   routeKinds, Operations: createUpdate, Reads: routeReads,
		Eases: easesClaim,
		Object: forRoutes(func(w *policy.World, v *resource.VirtualService, given *resource.Gateway, report func(policy.Fault)) {
			foreignClaims(w, v, given, func(c *claim) {
				if c.tenants != "" {
					return // foreign-tenant-path says it
				}
				f := policy.Fault{
					Effect: policy.Deny,
					Field:  c.field,
					Message: fmt.Sprintf("%s on %s is not yours: the routes of all VirtualServices are one list, and this one can take requests from %s. %s",
						path(c.match), whose(c.binding), c.binding.Guard.Name, fixRoute(c, v.Namespace)),
					Related: c.related(),
					Subject: c.subject(),
					Data:    c,
				}
				if acmeChallenge(c.match, v.Namespace, c.binding.Guard) {
					f.Effect = policy.Warn
					f.Message = fmt.Sprintf("a challenge for a certificate of host %s, which is %s's. Remove the route when it is over.", c.binding.Host, c.binding.Guard.Name)
				}
				report(f)
			})
		}),
	}
}

func fixRoute(c *claim, namespace string) string {
	fix := "Use a host of your own on a Gateway of your own"
	if paths := c.binding.Guard.TenantPaths; c.binding.Owners && len(paths) > 0 && namespace != "" {
		fix += ", or a path below " + strings.ReplaceAll(strings.Join(paths, " or "), "{namespace}", namespace)
	}
	return fix + "."
}
