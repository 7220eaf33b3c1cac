package rules

import (
	_ "embed"
	"fmt"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd307_tenant_route_conflict.md
var tenantRouteConflictPage string

// tenantRouteConflict finds routes that can take requests from another tenant's, on hosts
// that are no owner's. What guards an owner's hosts are foreign-route and its kin.
func tenantRouteConflict() *policy.Rule {
	return &policy.Rule{
		ID: "GWD307", Name: "tenant-route-conflict", Page: tenantRouteConflictPage, Effect: policy.Deny,
		Summary: "A VirtualService adds a route that can take requests from a VirtualService of another namespace.",
		Kinds:   routeKinds, Operations: createUpdate, Reads: routeReads,
		Object: forRoutes(func(w *policy.World, v *resource.VirtualService, given *resource.Gateway, report func(policy.Fault)) {
			bindings := w.Bindings(v, given)
			for i := range bindings {
				b := &bindings[i]
				if b.Guarded || b.Guard.IsOwners(v.Key()) || !policy.ServesHTTP(b.Server.Server) {
					continue
				}
				narrowedHost(w, v, b, given, report)
				eachMatch(v, b, func(m *resource.HTTPMatch, field string) {
					w.Neighbours(v, b, m, given, func(o *resource.VirtualService, other *policy.Binding) {
						eachMatch(o, other, func(om *resource.HTTPMatch, _ string) {
							if f, found := routeConflict(v, o, b, m, om); found {
								f.Field = field
								report(f)
							}
						})
					})
				})
			}
		}),
	}
}

// narrowedHost finds a host that takes names out of a wildcard under which another tenant has
// routes: the proxy asks only the routes of the most specific virtual host, and whoever makes
// that first leaves nothing of the wildcard there.
func narrowedHost(w *policy.World, v *resource.VirtualService, b *policy.Binding, given *resource.Gateway, report func(policy.Fault)) {
	if !routesFor(v, b) {
		return
	}
	w.Broader(v, b, given, func(o *resource.VirtualService, other *policy.Binding) bool {
		if o.Namespace == v.Namespace {
			return true
		}
		report(policy.Fault{
			Effect: policy.Deny,
			Field:  "spec.hosts",
			Message: fmt.Sprintf("host %s (%s, port %s) takes names out of %s of %s, which was there first: the proxy prefers the more specific host. "+
				"Choose another host, or agree with namespace %s.", b.Host, name(b.Gateway.Key()), ports(&b.Server), other.Host, name(o.Key()), o.Namespace),
			Related: []resource.Key{o.Key(), b.Gateway.Key()},
			Subject: fmt.Sprintf("%s|%s|%d|narrower|%s", b.Gateway.Key(), b.Host, b.Server.Port, o.Key()),
		})
		return false
	})
}

// eachMatch calls f for every match by which requests of the binding reach a VirtualService.
func eachMatch(v *resource.VirtualService, b *policy.Binding, f func(m *resource.HTTPMatch, field string)) {
	b.EachMatch(v, func(m *resource.HTTPMatch, route, match int) { f(m, matchField(route, match)) })
}

// matchField is the place of a match, or of a route without one.
func matchField(route, match int) string {
	if match < 0 {
		return fmt.Sprintf("spec.http[%d]", route)
	}
	return fmt.Sprintf("spec.http[%d].match[%d]", route, match)
}

func routeConflict(v, o *resource.VirtualService, b *policy.Binding, m, om *resource.HTTPMatch) (policy.Fault, bool) {
	f := policy.Fault{
		Related: []resource.Key{o.Key(), b.Gateway.Key()}, Rival: o.Key(),
		Subject: fmt.Sprintf("%s|%s|%d|%s|%s", b.Gateway.Key(), b.Host, b.Server.Port, m.URI, o.Key()),
	}
	switch {
	case o.Namespace != v.Namespace && acmeChallenge(m.URI, v.Namespace, b.Guard):
		return f, false
	case o.Namespace != v.Namespace && policy.Takes(m, om):
		f.Effect = policy.Deny
		f.Message = fmt.Sprintf("%s on host %s (%s, port %s) meets %s of %s: their routes are one list, and this one can take its requests. "+
			"Choose another host or path, or agree with namespace %s.",
			path(m.URI), b.Host, name(b.Gateway.Key()), ports(&b.Server), path(om.URI), name(o.Key()), o.Namespace)
	case o.Namespace == v.Namespace && requestsOf(m) == requestsOf(om) && !m.Conditioned:
		f.Effect = policy.Warn
		f.Message = fmt.Sprintf("%s on host %s is in %s too, and the older one answers. Take it out of one.", path(m.URI), b.Host, name(o.Key()))
	default:
		return f, false
	}
	return f, true
}

// requests is the part of a match that can be compared.
type requests struct {
	uri         resource.StringMatch
	ignoreCase  bool
	conditioned bool
}

func requestsOf(m *resource.HTTPMatch) requests {
	return requests{m.URI, m.IgnoreURICase, m.Conditioned}
}
