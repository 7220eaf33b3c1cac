package rules

import (
	_ "embed"
	"fmt"

	"github.com/gatewarden/gatewarden/pkg/policy"
)

//go:embed gwd309_reserved_route.md
var reservedRoutePage string

// reservedRoute finds routes with a name by which the owner's filters make exceptions. An
// EnvoyFilter compares the name of the proxy's route, and where it says so the Gateway's, and
// asks nobody whose VirtualService a route is of (routeMatch and routeConfigurationMatch in
// istio.io/istio pilot/pkg/networking/core/envoyfilter/rc_patch.go).
func reservedRoute() *policy.Rule {
	return &policy.Rule{
		ID: "GWD309", Name: "reserved-route", Page: reservedRoutePage, Effect: policy.Deny,
		Summary: "A VirtualService's route has a name by which the owner's filters make an exception, such as from the login.",
		Kinds:   routeKinds, Operations: createUpdate, Reads: routeReads,
		Object: forWays(func(w *policy.World, x *way, report func(policy.Fault)) {
			b := x.binding
			if !x.HTTP() {
				return
			}
			for i := range b.Guard.ReservedRoutes {
				r := &b.Guard.ReservedRoutes[i]
				// Who writes a part can name its routes, whoever writes the root.
				by := x.Root
				if x.Part != nil && b.Guard.Reserved(r.Name, x.Root.Key(), b.Owners) == nil {
					by = x.Part
				}
				if b.Guard.Reserved(r.Name, by.Key(), b.Owners) == nil || !x.Named(r.Name, b) {
					continue
				}
				report(policy.Fault{
					Effect: policy.Deny,
					Field:  x.nameField(),
					Message: fmt.Sprintf("%s is the name of a route of %s's, and on %s its filters make an exception of every route with that name: %s. "+
						"Choose another name.", r.Name, b.Guard.Name, x.through(), r.Reason),
					Related: x.related(),
					Subject: x.subject() + "|" + r.Name,
				})
			}
		}),
	}
}

// nameField is the place of the name that the author of the judged object gave.
func (x *way) nameField() string {
	by := x.Root
	if x.Part != nil && x.Part.Key() == x.judged.Key() {
		by = x.Part
	}
	return x.field(by, "name")
}
