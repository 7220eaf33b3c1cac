package rules

import (
	_ "embed"
	"fmt"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/hostname"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd207_tenant_wildcard.md
var tenantWildcardPage string

// tenantWildcard finds TLS hosts that take names out of another tenant's wildcard. "*" is
// no such claim: it is what is left when everybody has claimed his own.
func tenantWildcard() *policy.Rule {
	return &policy.Rule{
		ID: "GWD207", Name: "tenant-wildcard", Page: tenantWildcardPage, Effect: policy.Deny,
		Summary: "A Gateway's TLS server claims a host out of a wildcard that a Gateway of another namespace has on the same port.",
		Kinds:   []resource.Kind{resource.KindGateway}, Operations: createUpdate, Reads: gatewayReads,
		Object: forGateway(func(w *policy.World, e *policy.Encounter, report func(policy.Fault)) {
			if e.Server.Family != policy.TLS {
				return
			}
			for i, h := range e.Server.Hosts {
				for _, wildcard := range wildcardsAround(h.Name) {
					eachTwin(w, e, wildcard, func(t policy.HostPlace) bool {
						if t.Server.Gateway.Namespace == e.Server.Gateway.Namespace {
							return true
						}
						report(policy.Fault{
							Effect: policy.Deny,
							Field:  hostField(e.Server.Index, i),
							Message: fmt.Sprintf("host %s on port %s takes names out of %s, which %s serves on the same pods: the proxy prefers the more specific host. "+
								"Choose another host, or agree with namespace %s.",
								h.Name, ports(&e.Server), wildcard, name(t.Server.Gateway), t.Server.Gateway.Namespace),
							Related: []resource.Key{t.Server.Gateway},
							Subject: place(e) + fmt.Sprintf("%s|%s", h.Name, t.Server.Gateway),
						})
						return false
					})
				}
			}
		}),
	}
}

// wildcardsAround returns the wildcards of whole labels that cover a name, without itself
// and without "*".
func wildcardsAround(n hostname.Name) []hostname.Name {
	var out []hostname.Name
	for s := strings.TrimPrefix(string(n), "*."); ; {
		_, rest, found := strings.Cut(s, ".")
		if !found {
			return out
		}
		out = append(out, hostname.Name("*."+rest))
		s = rest
	}
}
