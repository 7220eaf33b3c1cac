package rules

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/hostname"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd709_gateway_certificate.md
var gatewayCertificatePage string

// gatewayCertificate finds servers of the owner's whose certificate is not there, or is not for
// their hosts. Secrets are not read.
func gatewayCertificate() *policy.Rule {
	return &policy.Rule{
		ID: "GWD709", Name: "gateway-certificate", Page: gatewayCertificatePage, Effect: policy.Warn,
		Summary: "The certificate of a guarded server is not ready, or not for all of its hosts.",
		Reads:   slices.Concat(gatewayReads, []resource.Kind{resource.KindCertificate}),
		Standing: func(w *policy.World, report func(resource.Key, policy.Fault)) {
			for _, g := range w.Guards {
				for _, gw := range g.Live() {
					for i := range gw.Servers {
						if secret := credential(&gw.Servers[i]); secret != "" {
							reportCertificate(w, g, gw, i, secret, report)
						}
					}
				}
			}
		},
	}
}

// credential returns the name of the Secret with a server's certificate, or "" if it has none, or
// one that is not looked for in the namespace of the pods (ParseResourceName in istio.io/istio
// pilot/pkg/model/credentials/resource.go).
func credential(s *resource.Server) string {
	if s.TLS == nil || !slices.Contains([]string{"SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL"}, s.TLS.Mode) {
		return ""
	}
	secret := strings.TrimPrefix(s.TLS.CredentialName, "kubernetes://")
	if strings.ContainsAny(secret, ":/") {
		return ""
	}
	return secret
}

func reportCertificate(w *policy.World, g *policy.Guard, gw *resource.Gateway, server int, secret string, report func(resource.Key, policy.Fault)) {
	var c *resource.Certificate
	w.Snapshot.Each(resource.KindCertificate, g.Namespace, func(o resource.Object) bool {
		if found := o.(*resource.Certificate); found.SecretName == secret {
			c = found
		}
		return c == nil
	})
	if c == nil {
		f := unchecked("certificate "+secret, "no Certificate in %s is known to make the Secret %s (%s), and Secrets are not read.",
			g.Namespace, secret, lacking(w, resource.KindCertificate))
		f.Field = serverField(server, "tls.credentialName")
		report(gw.Key(), f)
		return
	}
	f := policy.Fault{Effect: policy.Warn, Field: "status.conditions", Subject: "ready", Related: []resource.Key{gw.Key()}}
	switch c.Ready {
	case "True":
	case "False":
		f.Message = fmt.Sprintf("it is not ready: %s. Until its Secret %s is there, %s of %s does not answer. Look at its CertificateRequests and its issuer.",
			strings.TrimSuffix(c.Reason, "."), secret, serverField(server, "port"), name(gw.Key()))
		report(c.Key(), f)
	default:
		report(c.Key(), unchecked("ready", "cert-manager has not said yet whether it is ready."))
	}
	if missing := uncovered(g, &gw.Servers[server], gw.Namespace, c); len(missing) > 0 {
		report(c.Key(), policy.Fault{
			Effect: policy.Warn, Field: "spec.dnsNames", Subject: "names|" + strings.Join(missing, ","),
			Message: fmt.Sprintf("it is not for %s, which %s serves with it: browsers refuse it there. Add the names.", strings.Join(missing, ", "), name(gw.Key())),
			Related: []resource.Key{gw.Key()},
		})
	}
}

// uncovered returns the names that a server serves and its certificate is not for. A server for
// every host is looked at for the domains that are the owner's.
func uncovered(g *policy.Guard, s *resource.Server, namespace string, c *resource.Certificate) []string {
	var out []string
	for _, h := range hostname.ServerHosts(s.Hosts, namespace) {
		wanted := []string{string(h.Name)}
		if h.Name == hostname.Any {
			wanted = g.Domains
		}
		for _, n := range wanted {
			if !slices.Contains(out, n) && !slices.ContainsFunc(c.Names, func(of string) bool { return certifies(of, n) }) {
				out = append(out, n)
			}
		}
	}
	return out
}

// certifies reports whether a name of a certificate is for a host: the same, or with a wildcard
// for its first label (RFC 6125, section 6.4.3). Case does not count.
func certifies(name, host string) bool {
	if strings.EqualFold(name, host) {
		return true
	}
	_, rest, ok := strings.Cut(host, ".")
	return ok && !strings.HasPrefix(host, "*") && strings.EqualFold(name, "*."+rest)
}
