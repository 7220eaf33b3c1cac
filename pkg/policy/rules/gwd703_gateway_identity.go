package rules

import (
	"cmp"
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd703_gateway_identity.md
var gatewayIdentityPage string

// gatewayIdentity finds gateway pods whose service account the policies of the protected
// namespaces do not trust, though they trust another one of the same namespace.
func gatewayIdentity() *policy.Rule {
	return &policy.Rule{
		ID: "GWD703", Name: "gateway-identity", Page: gatewayIdentityPage, Effect: policy.Warn,
		Summary: "The guarded gateway runs under another service account than the policies of the protected namespaces trust.",
		Reads:   slices.Concat(controlPlaneReads, []resource.Kind{resource.KindAuthorizationPolicy, resource.KindPeerAuthentication}),
		Standing: func(w *policy.World, report func(resource.Key, policy.Fault)) {
			for _, g := range w.Guards {
				judged := map[string]bool{}
				for _, o := range proxies(w, g, g.Namespace) {
					account := cmp.Or(o.Pod.ServiceAccount, "default")
					if judged[account] {
						continue
					}
					judged[account] = true
					if refuse := w.Distrusting(g.Namespace, account); len(refuse) > 0 {
						trusted, _ := policy.Trusted(refuse[0], g.Namespace)
						report(o.Key(), certain(w, policy.Fault{
							Effect: policy.Warn, Field: "spec.template.spec.serviceAccountName", Subject: g.Name + "|" + account,
							Message: fmt.Sprintf("the service account of these pods of %s is %s, and not %s, as in %s: requests through the gateway "+
								"are refused with 403. Use that one, or set the owner's value for it.",
								g.Name, account, strings.Join(trusted, " or "), several(keys(refuse))),
							Related: keys(refuse),
						}))
					}
				}
				for _, p := range w.ControlPlanes() {
					if p.Mesh != nil && p.Mesh.Mesh != nil && !p.Shared() {
						reportTrustDomain(w, g, p.Mesh, report)
					}
				}
			}
		},
	}
}

// ownTrustDomain stands in principals for the mesh's own trust domain, whatever that is. It is
// also the default one.
const ownTrustDomain = "cluster.local"

// reportTrustDomain reports policies that trust the gateway in a trust domain that is not the
// mesh's.
func reportTrustDomain(w *policy.World, g *policy.Guard, c *resource.ConfigMap, report func(resource.Key, policy.Fault)) {
	live := cmp.Or(c.Mesh.TrustDomain, ownTrustDomain)
	var foreign []*resource.AuthorizationPolicy
	domain := ""
	for _, a := range w.TrustingPolicies(g.Namespace) {
		_, domains := policy.Trusted(a, g.Namespace)
		for _, d := range domains {
			if d != ownTrustDomain && d != live && !slices.Contains(c.Mesh.TrustDomainAliases, d) {
				foreign, domain = append(foreign, a), d
				break
			}
		}
	}
	f := policy.Fault{Effect: policy.Warn, Field: "data.mesh.trustDomain", Subject: g.Name + "|trustDomain", Related: keys(foreign)}
	switch {
	case len(foreign) > 0:
		f.Message = fmt.Sprintf("it is %q, and not %q, as in %s: requests through the gateway of %s are refused with 403. Write the principals with %q, which stands for the mesh's own.",
			live, domain, several(keys(foreign)), g.Name, ownTrustDomain)
	case live != ownTrustDomain:
		f.Effect = policy.Note
		f.Message = fmt.Sprintf("it is %q. Policies that say %q mean it; anything else that reads identities does not.", live, ownTrustDomain)
	default:
		return
	}
	report(c.Key(), f)
}
