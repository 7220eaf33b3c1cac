package rules

import (
	_ "embed"
	"fmt"
	"slices"

	"github.com/gatewarden/gatewarden/pkg/hostname"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd209_neighbour_redirect.md
var neighbourRedirectPage string

// neighbourRedirect finds plain-text servers that redirect to HTTPS for a host that another
// tenant serves in plain text: httpsRedirect is set on the virtual host that both share
// (RequireTls in buildGatewayHTTPRouteConfig, istio.io/istio
// pilot/pkg/networking/core/gateway.go).
func neighbourRedirect() *policy.Rule {
	return &policy.Rule{
		ID: "GWD209", Name: "neighbour-redirect", Page: neighbourRedirectPage, Effect: policy.Deny,
		Summary: "A Gateway server redirects to HTTPS for a host that a Gateway of another namespace serves in plain text on the same port.",
		Kinds:   []resource.Kind{resource.KindGateway}, Operations: createUpdate, Reads: gatewayReads,
		Object: forGateway(func(w *policy.World, e *policy.Encounter, report func(policy.Fault)) {
			if e.Server.Family != policy.PlainHTTP || e.Server.TLS == nil || !e.Server.TLS.HTTPSRedirect {
				return
			}
			for i, h := range e.Server.Hosts {
				if o := servedInPlainText(w, e, h.Name); o != nil {
					report(policy.Fault{
						Effect: policy.Deny,
						Field:  hostField(e.Server.Index, i),
						Message: fmt.Sprintf("host %s on port %s is served in plain text by %s: both share one virtual host, so its requests would be redirected too. "+
							"Leave the host out, or agree with namespace %s.", h.Name, ports(&e.Server), name(o.Key()), o.Namespace),
						Related: []resource.Key{o.Key()}, Rival: o.Key(),
						Place: labels(e.Pods.Labels), Subject: listenerOf(e) + string(h.Name) + "|" + o.Key().String(),
					})
				}
			}
		}),
	}
}

// servedInPlainText returns the oldest Gateway of another namespace that serves the host in
// plain text where the encountered server is, or nil.
func servedInPlainText(w *policy.World, e *policy.Encounter, n hostname.Name) *resource.Gateway {
	for _, o := range tenantsWith(w, e, n) {
		if o.Namespace != e.Server.Gateway.Namespace && slices.ContainsFunc(w.HostsOf(e.Pods, o).With(n), func(p policy.HostPlace) bool {
			return p.Server.Family == policy.PlainHTTP && (p.Server.TLS == nil || !p.Server.TLS.HTTPSRedirect) && p.Server.SharesListener(&e.Server)
		}) {
			return o
		}
	}
	return nil
}
