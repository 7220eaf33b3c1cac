package rules

import (
	_ "embed"
	"fmt"
	"slices"

	"github.com/gatewarden/gatewarden/pkg/hostname"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd308_tenant_l4_conflict.md
var tenantL4ConflictPage string

// tenantL4Conflict finds TLS and TCP routes that compete with another namespace's on a
// tenant's server: of two TLS routes for one server name the first counts, and of all TCP
// routes of a server only the first (see foreign-l4-route).
func tenantL4Conflict() *policy.Rule {
	return &policy.Rule{
		ID: "GWD308", Name: "tenant-l4-conflict", Page: tenantL4ConflictPage, Effect: policy.Deny,
		Summary: "A VirtualService adds a TLS or TCP route that competes with one of another namespace on the same server.",
		Kinds:   []resource.Kind{resource.KindVirtualService}, Operations: createUpdate, Reads: routeReads,
		Object: func(w *policy.World, o resource.Object, report func(policy.Fault)) {
			v, ok := o.(*resource.VirtualService)
			if !ok || len(v.TLS)+len(v.TCP) == 0 {
				return
			}
			bindings := w.Bindings(v, nil)
			for i := range bindings {
				b := &bindings[i]
				if b.Owners || policy.ServesHTTP(b.Server.Server) || policy.Passthrough(b.Server.Server) && !policy.RoutesTLS(b.Server.Server) {
					continue
				}
				mine := l4Claims(v, b)
				w.Snapshot.RoutesOf(b.Gateway.Namespace, b.Gateway.Name, func(other *resource.VirtualService) bool {
					if len(mine) == 0 || other.Key() == v.Key() || other.Namespace == v.Namespace {
						return true
					}
					for _, ob := range w.Bindings(other, nil) {
						if ob.Gateway != b.Gateway || ob.Pods != b.Pods || ob.Server.Index != b.Server.Index {
							continue
						}
						for _, c := range mine {
							if slices.ContainsFunc(l4Claims(other, &ob), func(t l4Claim) bool { return t.name == c.name }) {
								report(competes(c, b, other))
							}
						}
					}
					return true
				})
			}
		},
	}
}

// l4Claim is a server name that a TLS route claims, or every connection ("") of a TCP route.
type l4Claim struct {
	field string
	name  hostname.Name
}

func l4Claims(v *resource.VirtualService, b *policy.Binding) []l4Claim {
	routes, kind := v.TCP, "tcp"
	if policy.Passthrough(b.Server.Server) {
		routes, kind = v.TLS, "tls"
	}
	var out []l4Claim
	for i, r := range routes {
		if len(r.Matches) == 0 && kind == "tcp" {
			out = append(out, l4Claim{field: fmt.Sprintf("spec.tcp[%d]", i)})
		}
		for j, m := range r.Matches {
			if !b.Reaches(v, m.Gateways, m.Port) {
				continue
			}
			if kind == "tcp" {
				out = append(out, l4Claim{field: fmt.Sprintf("spec.tcp[%d].match[%d]", i, j)})
			}
			for k, sni := range m.SNIHosts {
				out = append(out, l4Claim{fmt.Sprintf("spec.tls[%d].match[%d].sniHosts[%d]", i, j, k), hostname.Parse(sni)})
			}
		}
	}
	return out
}

func competes(c l4Claim, b *policy.Binding, other *resource.VirtualService) policy.Fault {
	what := "every connection"
	if c.name != "" {
		what = "server name " + string(c.name)
	}
	return policy.Fault{
		Effect: policy.Deny,
		Field:  c.field,
		Message: fmt.Sprintf("%s on port %s of %s is routed by %s: only the first of two such routes counts, which turns when one of them is re-created. "+
			"Choose another one, or agree with namespace %s.", what, ports(&b.Server), name(b.Gateway.Key()), name(other.Key()), other.Namespace),
		Related: []resource.Key{other.Key(), b.Gateway.Key()}, Rival: other.Key(),
		Subject: fmt.Sprintf("%s|%d|%s|%s", b.Gateway.Key(), b.Server.Port, c.name, other.Key()),
	}
}
