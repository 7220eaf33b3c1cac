package rules

import (
	_ "embed"
	"fmt"
	"slices"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd311_identity_header.md
var identityHeaderPage string

// identityHeader finds routes that change the headers by which the owner's backends know who
// asks. The proxy changes headers when it sends a request on, behind all filters and so behind
// the login (RequestHeadersToAdd in TranslateRoute, istio.io/istio
// pilot/pkg/networking/core/route/route.go).
func identityHeader() *policy.Rule {
	return &policy.Rule{
		ID: "GWD311", Name: "identity-header", Page: identityHeaderPage, Effect: policy.Deny,
		Summary: "A route changes a header by which the owner's backends know who asks.",
		Kinds:   slices.Concat(routeKinds, followedKinds), Operations: createUpdate,
		Reads: slices.Concat(routeReads, []resource.Kind{resource.KindNamespace, resource.KindWorkloadEntry}),
		Object: func(w *policy.World, o resource.Object, report func(policy.Fault)) {
			forWays(func(w *policy.World, x *way, report func(policy.Fault)) {
				if x.changesIdentity() {
					x.eachArrival(w, nil, func(a *arrival) { judgeIdentity(x, a, report) })
				}
			})(w, o, report)
			eachFollowed(w, o, report, judgeIdentity)
		},
	}
}

// changesIdentity reports whether the way changes any header of identity.
func (x *way) changesIdentity() bool {
	found := false
	x.EachHeader(func(_ *resource.VirtualService, e *resource.HeaderEdit) {
		found = found || x.binding.Guard.IsIdentityHeader(e.Name)
	})
	return found
}

func judgeIdentity(x *way, a *arrival, report func(policy.Fault)) {
	g := x.binding.Guard
	if a.TooFar || g.IsOwners(x.Root.Key()) {
		return // protected-backend says it
	}
	x.EachHeader(func(by *resource.VirtualService, e *resource.HeaderEdit) {
		if !g.IsIdentityHeader(e.Name) || !x.Edits(e, by, a.destination, a.by) {
			return
		}
		f := policy.Fault{
			Effect: policy.Deny,
			Field:  x.field(by, e.Field()),
			Message: fmt.Sprintf("%s tells the workloads of protected namespace %s who asks: whoever comes this way through %s is whom the route names, "+
				"behind %s's login. Leave the header alone.", e.Name, a.Namespace, x.through(), g.Name),
			Related: x.related(),
			Subject: fmt.Sprintf("%s|%s|%s|%s", x.subject(), e.Operation, e.Name, a.Namespace),
		}
		if e.Operation == resource.RemoveHeader {
			f.Effect = policy.Warn
			f.Message = fmt.Sprintf("without %s nobody in protected namespace %s knows who asks, and requests may be refused. Leave the header alone.", e.Name, a.Namespace)
		}
		report(f)
	})
}
