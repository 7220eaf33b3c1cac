package rules

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd404_request_authentication.md
var requestAuthenticationPage string

// requestAuthentication finds RequestAuthentications that check tokens on a guarded server. The
// filter that Istio makes (convertToEnvoyJwtConfig in istio.io/istio
// pilot/pkg/security/authn/policy_applier.go) allows a missing token and refuses one that
// it can not verify, whoever it is meant for; it has neither ports nor hosts.
func requestAuthentication() *policy.Rule {
	return &policy.Rule{
		ID: "GWD404", Name: "request-authentication", Page: requestAuthenticationPage, Effect: policy.Deny,
		Summary: "A RequestAuthentication refuses tokens that are meant for a guarded server, or sets headers there.",
		Kinds:   []resource.Kind{resource.KindRequestAuthentication}, Operations: createUpdate, Reads: policyReads, Eases: reachesNoFurther,
		Object: func(w *policy.World, o resource.Object, report func(policy.Fault)) {
			a, ok := o.(*resource.RequestAuthentication)
			if !ok {
				return
			}
			for i, r := range a.Rules {
				forGuardedServers(w, a, &a.Target, report,
					func(_ *policy.Guard, _ *policy.PodSet, s *policy.Server) (bool, bool) {
						return true, policy.ServesHTTP(s.Server)
					},
					func(g *policy.Guard, servers string, _ bool) policy.Fault {
						f := tokenFault(g, servers, r)
						f.Field = fmt.Sprintf("spec.jwtRules[%d]", i)
						return f
					})
			}
		},
	}
}

// tokenFault tells what a rule does to requests for the owner's servers.
func tokenFault(g *policy.Guard, servers string, r resource.JWTRule) policy.Fault {
	f := policy.Fault{Effect: policy.Deny, Subject: fmt.Sprintf("%s|%v|%v", r.Issuer, r.Headers, r.Outputs)}
	switch {
	case len(r.Outputs) > 0:
		f.Message = fmt.Sprintf("it sets the header %q to what tokens of issuer %q say, on requests for %s too, and backends may take it for the user's name. %s.",
			r.Outputs[0], r.Issuer, servers, elsewhere)
	case len(r.Headers) == 0 && !r.Elsewhere || slices.ContainsFunc(r.Headers, func(h string) bool { return strings.EqualFold(h, "Authorization") }):
		f.Message = fmt.Sprintf("from now on a request for %s with a token of anybody else than issuer %q in the header Authorization is refused. "+
			"%s, or take tokens from a header of your own with fromHeaders.", servers, r.Issuer, elsewhere)
	default:
		f.Effect = policy.Warn
		f.Subject = r.Issuer + "|own"
		f.Message = fmt.Sprintf("it also checks requests for %s that have a token where it looks. %s if that is not meant.", g.Name, elsewhere)
	}
	return f
}
