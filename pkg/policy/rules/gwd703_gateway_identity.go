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
		Reads:   slices.Concat(policyReads, []resource.Kind{resource.KindAuthorizationPolicy}),
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
						report(o.Key(), certain(w, policy.Fault{
							Effect: policy.Warn, Field: "spec.template.spec.serviceAccountName", Subject: g.Name + "|" + account,
							Message: fmt.Sprintf("these pods of %s are the service account %s, but %s trust %s of this namespace: requests through the gateway "+
								"are refused with 403. Use that service account, or set the owner's value for it.",
								g.Name, account, several(keys(refuse)), strings.Join(policy.Trusted(refuse[0], g.Namespace), ", ")),
							Related: keys(refuse),
						}))
					}
				}
			}
		},
	}
}

// several names the first of several objects, and tells how many there are.
func several(keys []resource.Key) string {
	if len(keys) == 1 {
		return "the pods of " + name(keys[0])
	}
	return fmt.Sprintf("the pods of %s and %d more", name(keys[0]), len(keys)-1)
}
