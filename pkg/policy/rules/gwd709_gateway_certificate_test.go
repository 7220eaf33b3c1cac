package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestGatewayCertificate(t *testing.T) {
	const key = "Certificate deploykf-istio-gateway/deploykf-istio-gateway"
	secured := func(secret string, hosts string) *resource.Gateway {
		return with(server443(hosts), func(g *resource.Gateway) {
			g.Servers[0].TLS = &resource.ServerTLS{Mode: "SIMPLE", CredentialName: secret}
		})
	}
	certificate := func(ready string, names ...string) *resource.Certificate {
		return &resource.Certificate{Meta: meta(gatewayNS + "/deploykf-istio-gateway"), SecretName: "cert", Names: names, Ready: ready, Reason: "Issuer not found."}
	}
	ours := secured("cert", "*/"+h+",deploykf-minio/minio-api."+h)
	both := []string{"*." + h, h}
	world := func(o ...resource.Object) []resource.Object { return append([]resource.Object{ours}, o...) }
	any := func(o ...resource.Object) []resource.Object {
		return append([]resource.Object{secured("cert", "*")}, o...)
	}
	elsewhere := with(certificate("True", both...), func(c *resource.Certificate) { c.Namespace = "istio-system" })
	checkInstalled(t, "GWD709",
		installed{name: "not ready", world: world(certificate("False", both...)), want: policy.Warn, on: key, field: "status.conditions", says: "Issuer not found. Until"},
		installed{name: "no wildcard", world: world(certificate("True", h)), want: policy.Warn, on: key, field: "spec.dnsNames", says: "minio-api." + h},
		installed{name: "only the wildcard", world: world(certificate("True", "*."+h)), want: policy.Warn, says: "not for " + h + ","},
		installed{name: "another domain, any host", world: any(certificate("True", "*.example.org")), want: policy.Warn, says: h},
		installed{name: "not ready, given", world: world(certificate("False", both...)), given: true, want: policy.Warn},
		installed{name: "nothing said yet", world: world(certificate("", both...)), want: policy.Note, on: key},
		installed{name: "none", world: world(), want: policy.Note, on: bothGateways[0].String(), field: "spec.servers[0].tls.credentialName", says: "there is none"},
		installed{name: "in another namespace", world: world(elsewhere), want: policy.Note},
		installed{name: "of another Secret", world: world(with(certificate("True", both...), func(c *resource.Certificate) { c.SecretName = "x" })), want: policy.Note},

		installed{name: "ready", world: world(certificate("True", both...)), want: silent},
		installed{name: "in other letters", world: world(certificate("True", "*.DeployKF.example.com", "DEPLOYKF.example.com")), want: silent},
		installed{name: "ready, any host", world: any(certificate("True", both...)), want: silent},
		installed{name: "a wildcard host", world: []resource.Object{secured("cert", "*."+h), certificate("True", "*."+h)}, want: silent},
		installed{name: "no credential", want: silent},
		installed{name: "a credential of another kind", world: []resource.Object{secured("other/cert", h)}, want: silent},
		installed{name: "a neighbour's", world: []resource.Object{with(secured("x", h), func(g *resource.Gateway) { g.Name = "other" })}, want: silent},
		installed{name: "no domains, any host", world: any(certificate("True", "x")), config: func(c *config.Configuration) { c.GuardedGateways[0].Domains = nil }, want: silent},
	)
}
