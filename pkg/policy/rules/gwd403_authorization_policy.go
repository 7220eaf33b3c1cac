package rules

import (
	_ "embed"
	"fmt"
	"slices"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd403_authorization_policy.md
var authorizationPolicyPage string

// authorizationPolicy finds AuthorizationPolicies that change who gets through to the owner's
// servers. ListAuthorizationPolicies in istio.io/istio pilot/pkg/model/authorization.go gathers
// those of the root namespace and of the pods' own, and builder.go in
// pilot/pkg/security/authz/builder enforces CUSTOM, then DENY, then ALLOW. The ALLOW policies
// are one list: as soon as there is any, what none of them matches is denied.
func authorizationPolicy() *policy.Rule {
	return &policy.Rule{
		ID: "GWD403", Name: "authorization-policy", Page: authorizationPolicyPage, Effect: policy.Deny,
		Summary: "An AuthorizationPolicy changes who gets through to a guarded server.",
		Kinds:   []resource.Kind{resource.KindAuthorizationPolicy}, Operations: createUpdate,
		Reads: slices.Concat(policyReads, []resource.Kind{resource.KindAuthorizationPolicy}),
		Eases: reachesNoFurther,
		Object: func(w *policy.World, o resource.Object, report func(policy.Fault)) {
			a, ok := o.(*resource.AuthorizationPolicy)
			if !ok || a.Action == "AUDIT" || policy.DryRun(a) {
				return
			}
			forGuardedServers(w, a, &a.Target, report,
				func(g *policy.Guard, p *policy.PodSet, s *policy.Server) (access, bool) {
					if a.Action == "ALLOW" {
						return judgeAllow(w, a, g, p, s)
					}
					i := slices.IndexFunc(a.Rules, func(r resource.AuthorizationRule) bool { return g.MayMatch(&r, s) })
					return access{what: a.Action, rule: i}, i >= 0
				}, accessFault)
		},
	}
}

// access is what a policy does to the access to a guarded server, and by which of its rules.
type access struct {
	what string
	rule int // -1: by all of them together
}

// What an ALLOW policy can do.
const (
	shuts      = "shuts"       // as the first one, it does not match all that the owner serves
	shutsSoon  = "shuts soon"  // the same, before the owner's policy is there
	shutsOther = "shuts other" // as the first one, it does not match other ports
	opens      = "opens"       // it matches what the owner's policy does not
)

// accessFault tells of an access. DENY and CUSTOM are named after their actions.
func accessFault(g *policy.Guard, servers string, a access) policy.Fault {
	f := policy.Fault{Effect: policy.Deny, Field: "spec.rules", Subject: a.what}
	if a.rule >= 0 {
		f.Field = fmt.Sprintf("spec.rules[%d]", a.rule)
	}
	const own = elsewhere + ", or list the ports or hosts of your own servers in every \"to\"."
	switch a.what {
	case "DENY":
		f.Message = fmt.Sprintf("it refuses requests for %s, from now on. %s", servers, own)
	case "CUSTOM":
		f.Message = fmt.Sprintf("from now on it has another provider decide on requests for %s, and refuses them while that does not answer. %s", servers, own)
	case shuts:
		f.Message = fmt.Sprintf("it is the first ALLOW policy of these pods: whatever it does not match is denied from now on, requests for %s among it. "+
			"%s, or first allow the owner's ports to everybody.", servers, elsewhere)
	case shutsSoon:
		f.Effect = policy.Warn
		f.Message = fmt.Sprintf("it will be the first ALLOW policy of the pods of %s, which is not there yet: whatever no policy matches is then denied. "+
			"Check that the owner's policy comes with it.", g.Name)
	case shutsOther:
		f.Effect = policy.Warn
		f.Message = fmt.Sprintf("it is the first ALLOW policy of the pods of %s: whatever it does not match is denied on all their other ports. "+
			"%s if that is not meant.", g.Name, elsewhere)
	case opens:
		f.Message = fmt.Sprintf("it lets requests through to %s that the owner's policy denies, because a request needs one ALLOW policy only. %s", servers, own)
	}
	return f
}

// judgeAllow asks whether an ALLOW policy shuts a guarded server, being the first of the pods'
// ALLOW policies, or opens it wider than the others do.
func judgeAllow(w *policy.World, a *resource.AuthorizationPolicy, g *policy.Guard, p *policy.PodSet, s *policy.Server) (access, bool) {
	all := func(a *resource.AuthorizationPolicy) bool {
		return slices.ContainsFunc(a.Rules, func(r resource.AuthorizationRule) bool { return policy.MatchesAll(&r, s) })
	}
	others := otherAllows(w, a.Key(), p)
	switch {
	case len(others) == 0 && !all(a) && g.Assumed(s): // the owner's own policy comes with his Gateways
		return access{shutsSoon, -1}, true
	case len(others) == 0 && !all(a):
		return access{shuts, -1}, true
	case len(others) == 0:
		return access{shutsOther, -1}, !slices.ContainsFunc(a.Rules, func(r resource.AuthorizationRule) bool { return !r.Conditioned && len(r.To) == 0 })
	case slices.ContainsFunc(others, all) || !slices.ContainsFunc(others, func(o *resource.AuthorizationPolicy) bool { return g.IsOwners(o.Key()) }):
		return access{}, false // the owner's servers are open to all anyway, or the owner did not say to whom
	}
	i := slices.IndexFunc(a.Rules, func(r resource.AuthorizationRule) bool { return g.MayMatch(&r, s) })
	return access{opens, i}, i >= 0
}

// otherAllows returns the ALLOW policies that pods have beside the one with the key.
func otherAllows(w *policy.World, key resource.Key, p *policy.PodSet) []*resource.AuthorizationPolicy {
	return slices.DeleteFunc(w.Allows(p), func(a *resource.AuthorizationPolicy) bool { return a.Key() == key })
}
