package rules

import (
	_ "embed"
	"fmt"

	"github.com/gatewarden/gatewarden/pkg/hostname"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd303_foreign_l4_route.md
var foreignL4RoutePage string

// foreignL4Route finds TLS and TCP routes on guarded servers that forward connections as
// they are. Of two TLS routes for one SNI the first counts, and of all TCP routes of a
// server only the first (buildGatewayNetworkFiltersFromTLSRoutes and
// …FromTCPRoutes in istio.io/istio pilot/pkg/networking/core/gateway.go); which is first
// depends on age.
func foreignL4Route() *policy.Rule {
	return &policy.Rule{
		ID: "GWD303", Name: "foreign-l4-route", Page: foreignL4RoutePage, Effect: policy.Deny,
		Summary: "A VirtualService adds a TLS or TCP route to a guarded server that is not its own.",
		Kinds:   routeKinds, Operations: createUpdate, Reads: routeReads,
		Object: forRoutes(func(w *policy.World, v *resource.VirtualService, given *resource.Gateway, report func(policy.Fault)) {
			bindings := w.Bindings(v, given)
			for i := range bindings {
				b := &bindings[i]
				if !b.Owners || !b.Guarded || b.Guard.IsOwners(v.Key()) || policy.ServesHTTP(b.Server.Server) {
					continue
				}
				routes, kind := v.TCP, "tcp"
				if policy.Passthrough(b.Server.Server) {
					routes, kind = v.TLS, "tls"
				}
				for j, r := range routes {
					if len(r.Matches) == 0 {
						report(l4Fault(b, fmt.Sprintf("spec.%s[%d]", kind, j), "every connection"))
					}
					for k, m := range r.Matches {
						if b.Reaches(v, m.Gateways, m.Port) {
							field, what := fmt.Sprintf("spec.%s[%d].match[%d]", kind, j, k), "every connection"
							if kind == "tls" {
								sni := guardedSNI(b, m.SNIHosts)
								if sni == "" {
									continue
								}
								field, what = field+".sniHosts", "server name "+sni
							}
							report(l4Fault(b, field, what))
						}
					}
				}
			}
		}),
	}
}

// guardedSNI returns the first server name of a TLS match that meets the binding's host.
func guardedSNI(b *policy.Binding, hosts []string) string {
	for _, h := range hosts {
		if hostname.Parse(h).Overlaps(b.Host) {
			return h
		}
	}
	return ""
}

func l4Fault(b *policy.Binding, field, what string) policy.Fault {
	return policy.Fault{
		Effect: policy.Deny,
		Field:  field,
		Message: fmt.Sprintf("%s on port %s of %s is %s's: of two such routes only the first counts, which depends on their age. "+
			"Use a Gateway of your own with another port or host.", what, ports(&b.Server), name(b.Gateway.Key()), b.Guard.Name),
		Related: []resource.Key{b.Gateway.Key()},
		Subject: fmt.Sprintf("%s|%d|%s|%s", b.Gateway.Key(), b.Server.Port, what, b.Host),
	}
}
