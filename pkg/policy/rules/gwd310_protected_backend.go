package rules

import (
	_ "embed"
	"fmt"
	"slices"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd310_protected_backend.md
var protectedBackendPage string

// protectedBackend finds routes through the guarded pods into protected namespaces. Workloads
// there trust the identity of the gateway's pods, and not that of a route; and the login is on
// the owner's Gateway only.
func protectedBackend() *policy.Rule {
	return &policy.Rule{
		ID: "GWD310", Name: "protected-backend", Page: protectedBackendPage, Effect: policy.Deny,
		Summary: "A route leads through a guarded gateway's pods into a protected namespace of somebody else, or past the login.",
		Kinds:   slices.Concat(routeKinds, followedKinds), Operations: createUpdate,
		Reads: slices.Concat(routeReads, []resource.Kind{resource.KindNamespace, resource.KindWorkloadEntry}),
		Object: func(w *policy.World, o resource.Object, report func(policy.Fault)) {
			forRoutes(func(w *policy.World, v *resource.VirtualService, given *resource.Gateway, report func(policy.Fault)) {
				all := eachWay(w, v, given, func(x *way) {
					x.eachArrival(w, nil, func(a *arrival) { judgeArrival(x, a, report) })
				})
				if !all {
					report(policy.Fault{
						Effect: policy.Deny, Field: "spec.http", Subject: "too many",
						Message: "more routes come of what is handed over than can be judged, so that nobody can tell where they lead. Hand over fewer.",
					})
				}
			})(w, o, report)
			all := eachFollowed(w, o, report, judgeArrival)
			if !all {
				report(policy.Fault{
					Effect: policy.Deny, Field: leading(o), Subject: "too many",
					Message: "more names lead to this than can be followed, so that nobody can tell which routes lead elsewhere by it. Choose another name.",
				})
			}
		},
	}
}

// followedKinds are those by which destinations lead elsewhere.
var followedKinds = []resource.Kind{resource.KindService, resource.KindServiceEntry, resource.KindWorkloadEntry}

func judgeArrival(x *way, a *arrival, report func(policy.Fault)) {
	g := x.binding.Guard
	home := !a.TooFar && a.own()
	if g.IsOwners(x.Root.Key()) || home && (x.binding.Owners || x.challenge()) {
		return
	}
	f := policy.Fault{
		Effect:  policy.Deny,
		Field:   x.field(a.by, a.destination.Field()),
		Related: x.related(),
		Subject: fmt.Sprintf("%s|%s|%s", x.subject(), a.destination.Host, a.Namespace),
	}
	for _, k := range []resource.Key{a.At, a.Via} {
		if k.Name != "" {
			f.Related = append(f.Related, k)
		}
	}
	switch {
	case a.TooFar:
		f.Message = fmt.Sprintf("leads from %s to %s, so that nobody can tell whether it ends in a protected namespace. Name what you mean.", x.through(), a.where())
	case !home:
		f.Message = fmt.Sprintf("leads from %s to %s: namespace %s is protected, and what is there trusts whatever the pods of %s's gateway send, "+
			"without asking who made the route. Send requests to Services of your own namespace only.",
			x.through(), a.where(), a.Namespace, g.Name)
	default:
		f.Effect = policy.Warn
		f.Message = fmt.Sprintf("through %s anybody gets there without %s's login, as any user. Serve it on a path of %s's host.", x.through(), g.Name, g.Name)
	}
	report(f)
}

// challenge reports whether the way is nothing but a challenge for a certificate.
func (x *way) challenge() bool {
	if !x.HTTP() {
		return false
	}
	m := x.Root.HTTP[x.Index].Matches
	return len(m) > 0 && !slices.ContainsFunc(m, func(m resource.HTTPMatch) bool {
		return !acmeChallenge(m.URI, x.Root.Namespace, x.binding.Guard)
	})
}
