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

// eachMatch calls f for every match by which requests of the binding reach a VirtualService.
// A route without a match is one that matches everything.
func eachMatch(v *resource.VirtualService, b *policy.Binding, f func(m *resource.HTTPMatch, field string)) {
	for i := range v.HTTP {
		if len(v.HTTP[i].Matches) == 0 {
			f(&resource.HTTPMatch{}, fmt.Sprintf("spec.http[%d]", i))
		}
		for j := range v.HTTP[i].Matches {
			if m := &v.HTTP[i].Matches[j]; b.Reaches(v, m.Gateways, m.Port) {
				f(m, fmt.Sprintf("spec.http[%d].match[%d]", i, j))
			}
		}
	}
}

func routeConflict(v, o *resource.VirtualService, b *policy.Binding, m, om *resource.HTTPMatch) (policy.Fault, bool) {
	f := policy.Fault{
		Related: []resource.Key{o.Key(), b.Gateway.Key()},
		Subject: fmt.Sprintf("%s|%s|%d|%s|%s", b.Gateway.Key(), b.Host, b.Server.Port, m.URI, o.Key()),
	}
	switch {
	case o.Namespace != v.Namespace && acmeChallenge(m.URI, v.Namespace, b.Guard):
		return f, false
	case o.Namespace != v.Namespace && policy.Takes(m, om):
		f.Effect = policy.Deny
		f.Message = fmt.Sprintf("%s on host %s (%s, port %s) meets %s of %s, which was there first: their routes are one list, and this one can take its requests. "+
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
