package rules

import (
	_ "embed"
	"fmt"
	"slices"

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
				if !b.Owners && policy.RoutesTLS(b.Server.Server) && !b.Guard.IsOwners(v.Key()) {
					foreignServerNames(w, v, b, report)
				}
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

// foreignServerNames finds TLS routes through somebody's Gateway that passes TLS through. The
// proxy gets the server names of the match, whatever hosts the Gateway has, as soon as any
// host of the VirtualService binds; and they are not compared to those of TLS servers, so
// that one name in both makes it refuse the port (buildGatewayNetworkFiltersFromTLSRoutes in
// istio.io/istio pilot/pkg/networking/core/gateway.go has a map of its own).
func foreignServerNames(w *policy.World, v *resource.VirtualService, b *policy.Binding, report func(policy.Fault)) {
	e := w.EncounterOf(b)
	for j, r := range v.TLS {
		for k, m := range r.Matches {
			if !b.Reaches(v, m.Gateways, m.Port) {
				continue
			}
			for l, sni := range m.SNIHosts {
				n := hostname.Parse(sni)
				clash, g, _ := e.Meet(hostname.Server{Host: sni, Key: sni, Name: n})
				f := policy.Fault{
					Effect:  policy.Deny,
					Field:   fmt.Sprintf("spec.tls[%d].match[%d].sniHosts[%d]", j, k, l),
					Related: []resource.Key{b.Gateway.Key()},
					Place:   labels(e.Pods.Labels), Subject: listenerOf(&e) + string(n),
				}
				domain := b.Guard.Dedicated(n)
				if domain != "" && clash < policy.Narrower && w.Binds(v, b, n) {
					continue // dedicated-domain-route says it
				}
				switch {
				case clash >= policy.Narrower:
					f.Related = append(f.Related, g.Gateway)
					f.Message = fmt.Sprintf("server name %s on port %s is that of %s of %s: its TLS connections would go through %s, or the proxy refuses the whole port. "+
						"Use a server name of your own.", n, ports(&b.Server), name(g.Gateway), b.Guard.Name, name(b.Gateway.Key()))
				case domain != "" && b.OnGuardedPort:
					f.Message = fmt.Sprintf("server name %s on port %s is under %s, which is dedicated to %s on this gateway. Use a server name outside of that domain.",
						n, ports(&b.Server), domain, b.Guard.Name)
				case domain != "":
					f.Effect = policy.Warn
					f.Message = fmt.Sprintf("server name %s on port %s is under %s, which is dedicated to %s. Use another domain.", n, ports(&b.Server), domain, b.Guard.Name)
				default:
					f.Message = ""
					eachTwin(w, &e, n, func(o policy.HostPlace) bool {
						f.Related = append(f.Related, o.Server.Gateway)
						f.Message = fmt.Sprintf("server name %s on port %s is that of %s on the same pods: the proxy refuses the whole port. Use a server name of your own.",
							n, ports(&b.Server), name(o.Server.Gateway))
						return false
					})
					if f.Message == "" || sameServer(e, n) {
						continue
					}
				}
				report(f)
			}
		}
	}
}

// sameServer reports whether the server of the binding has the name itself: others that have
// it are judged as its twins.
func sameServer(e policy.Encounter, n hostname.Name) bool {
	return slices.ContainsFunc(e.Server.Hosts, func(h hostname.Server) bool { return h.Name == n })
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
		Message: fmt.Sprintf("%s on port %s of %s is %s's: of two such routes only the first counts, which turns when one of them is re-created. "+
			"Use a Gateway of your own with another port or host.", what, ports(&b.Server), name(b.Gateway.Key()), b.Guard.Name),
		Related: []resource.Key{b.Gateway.Key()},
		Subject: fmt.Sprintf("%s|%d|%s|%s", b.Gateway.Key(), b.Server.Port, what, b.Host),
	}
}
