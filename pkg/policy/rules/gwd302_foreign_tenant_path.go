package rules

import (
	_ "embed"
	"fmt"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd302_foreign_tenant_path.md
var foreignTenantPathPage string

// foreignTenantPath finds routes on a tenant path that is not that of the VirtualService's
// namespace.
func foreignTenantPath() *policy.Rule {
	return &policy.Rule{
		ID: "GWD302", Name: "foreign-tenant-path", Page: foreignTenantPathPage, Effect: policy.Deny,
		Summary: "A VirtualService adds a route to a guarded host on a tenant path of another namespace.",
		Kinds:   routeKinds, Operations: createUpdate, Reads: routeReads,
		Eases: easesClaim,
		Object: forRoutes(func(w *policy.World, v *resource.VirtualService, given *resource.Gateway, report func(policy.Fault)) {
			foreignClaims(w, v, given, func(c *claim) {
				if c.tenants == "" {
					return
				}
				report(policy.Fault{
					Effect: policy.Deny,
					Field:  c.field,
					Message: fmt.Sprintf("%s on %s reaches paths below %s that are not those of namespace %s: it can take the requests of other tenants. Use a path below %s%s/.",
						path(c.match), whose(c.binding), c.tenants, v.Namespace, c.tenants, v.Namespace),
					Related: c.related(),
					Subject: c.subject(),
					Data:    c,
				})
			})
		}),
	}
}
