package rules

import (
	_ "embed"
	"fmt"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd208_shared_credential.md
var sharedCredentialPage string

// sharedCredential finds servers that use the owner's certificate for hosts of their own.
// Secrets are looked up in the pods' namespace, so the name alone is enough.
func sharedCredential() *policy.Rule {
	return &policy.Rule{
		ID: "GWD208", Name: "shared-credential", Page: sharedCredentialPage, Effect: policy.Warn,
		Summary: "A Gateway's TLS server uses the owner's certificate for a host of its own.",
		Kinds:   []resource.Kind{resource.KindGateway}, Operations: createUpdate, Reads: gatewayReads,
		Object: forGateway(func(_ *policy.World, e *policy.Encounter, report func(policy.Fault)) {
			if e.Server.Family != policy.TLS || e.Server.TLS.CredentialName == "" {
				return
			}
			for _, g := range e.Kin() {
				if g.TLS.CredentialName != e.Server.TLS.CredentialName {
					continue
				}
				report(policy.Fault{
					Effect: policy.Warn,
					Field:  serverField(e.Server.Index, "tls.credentialName"),
					Message: fmt.Sprintf("%s is the certificate of %s (%s): browsers that reuse a connection get 404. Use one of your own.",
						e.Server.TLS.CredentialName, e.Guard.Name, name(g.Gateway)),
					Related: []resource.Key{g.Gateway},
					Place:   labels(e.Pods.Labels), Subject: listenerOf(e) + e.Server.TLS.CredentialName,
				})
				return
			}
		}),
	}
}
