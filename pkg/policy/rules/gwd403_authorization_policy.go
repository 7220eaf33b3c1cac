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
		Object: func(w *policy.World, o resource.Object, report func(policy.Fault)) {
			a, ok := o.(*resource.AuthorizationPolicy)
			if !ok || a.Action == "AUDIT" || policy.DryRun(a) {
				return
			}
			forGuardedServers(w, a, &a.Target, func(g *policy.Guard, p *policy.PodSet, s *policy.Server) {
				f := policy.Fault{
					Effect: policy.Deny, Field: "spec.rules",
					Related: []resource.Key{s.Gateway},
					Subject: fmt.Sprintf("%s|%s|%d", a.Action, s.Gateway, s.Index),
				}
				if a.Action == "ALLOW" {
					reportAllow(w, a, g, p, s, f, report)
					return
				}
				i := slices.IndexFunc(a.Rules, func(r resource.AuthorizationRule) bool { return g.MayMatch(&r, s) })
				if i < 0 {
					return
				}
				f.Field = fmt.Sprintf("spec.rules[%d]", i)
				what := "refuses requests for"
				if a.Action == "CUSTOM" {
					what = "has another provider decide on requests for, and refuses them while it does not answer:"
				}
				f.Message = fmt.Sprintf("it %s %s. %s, or list the ports or hosts of your own servers in every \"to\".", what, guardedServer(g, s), elsewhere)
				report(f)
			})
		},
	}
}

// reportAllow reports an ALLOW policy that shuts a guarded server, being the first of the pods'
// ALLOW policies, or opens it wider than the others do.
func reportAllow(w *policy.World, a *resource.AuthorizationPolicy, g *policy.Guard, p *policy.PodSet, s *policy.Server, f policy.Fault, report func(policy.Fault)) {
	all := func(a *resource.AuthorizationPolicy) bool {
		return slices.ContainsFunc(a.Rules, func(r resource.AuthorizationRule) bool { return policy.MatchesAll(&r, s) })
	}
	others := otherAllows(w, a.Key(), p)
	switch {
	case len(others) == 0 && !all(a):
		f.Message = fmt.Sprintf("it is the first ALLOW policy of these pods: whatever it does not match is denied, requests for %s among it. "+
			"%s, or first allow the owner's ports to everybody.", guardedServer(g, s), elsewhere)
		if g.Assumed(s) { // the owner's own policy comes with his Gateways
			f.Effect, f.Subject = policy.Warn, "first"
			f.Message = fmt.Sprintf("it will be the first ALLOW policy of the pods of %s, which is not there yet: whatever no policy matches is then denied. "+
				"Check that the owner's policy comes with it.", g.Name)
		}
	case len(others) == 0:
		if slices.ContainsFunc(a.Rules, func(r resource.AuthorizationRule) bool { return !r.Conditioned && len(r.To) == 0 }) {
			return
		}
		f.Effect, f.Subject = policy.Warn, "first"
		f.Message = fmt.Sprintf("it is the first ALLOW policy of the pods of %s: whatever it does not match is denied on all their other ports. "+
			"%s if that is not meant.", g.Name, elsewhere)
	case slices.ContainsFunc(others, all) || !slices.ContainsFunc(others, func(o *resource.AuthorizationPolicy) bool { return g.IsOwners(o.Key()) }):
		return // the owner's servers are open to all anyway, or the owner did not say to whom
	default:
		i := slices.IndexFunc(a.Rules, func(r resource.AuthorizationRule) bool { return g.MayMatch(&r, s) })
		if i < 0 {
			return
		}
		f.Field = fmt.Sprintf("spec.rules[%d]", i)
		f.Message = fmt.Sprintf("it lets requests through to %s that the owner's policy denies, because a request needs one ALLOW policy only. "+
			"%s, or list the ports or hosts of your own servers in every \"to\".", guardedServer(g, s), elsewhere)
	}
	report(f)
}

// otherAllows returns the ALLOW policies that pods have beside the one with the key.
func otherAllows(w *policy.World, key resource.Key, p *policy.PodSet) []*resource.AuthorizationPolicy {
	var out []*resource.AuthorizationPolicy
	root := w.Config.Mesh.RootNamespace
	for _, ns := range slices.Compact([]string{p.Namespace, root}) {
		w.Snapshot.Each(resource.KindAuthorizationPolicy, ns, func(o resource.Object) bool {
			a := o.(*resource.AuthorizationPolicy)
			if a.Key() != key && a.Action == "ALLOW" && !policy.DryRun(a) && p.SelectedBy(ns, &a.Target, root) {
				out = append(out, a)
			}
			return true
		})
	}
	return out
}
