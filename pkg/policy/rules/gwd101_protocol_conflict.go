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

//go:embed gwd101_protocol_conflict.md
var protocolConflictPage string

// protocolConflict finds servers whose protocol can not share a port with the owner's.
// mergeGateways in istio.io/istio pilot/pkg/model/gateway.go keeps the older of the two, or
// for plain text behind TLS both, on a listener that the proxy may then refuse.
func protocolConflict() *policy.Rule {
	return &policy.Rule{
		ID: "GWD101", Name: "protocol-conflict", Page: protocolConflictPage, Effect: policy.Deny,
		Summary: "A Gateway server uses another protocol family than the owner on a guarded port.",
		Kinds:   []resource.Kind{resource.KindGateway}, Operations: createUpdate, Reads: gatewayReads,
		Object: forGateway(func(w *policy.World, e *policy.Encounter, report func(policy.Fault)) {
			for _, g := range e.Guarded {
				if e.Server.Family == g.Family && g.Family != policy.Opaque {
					continue
				}
				fix := fmt.Sprintf("Use another port, or %s with your own hosts.", g.Protocol)
				switch {
				case g.Family == policy.Opaque:
					fix = "Use another port: a plain-text TCP port can not be shared."
				case e.Server.TLS == nil && strings.EqualFold(e.Server.Protocol, g.Protocol):
					fix = "Add a tls block: without one the server is plain text, whatever its protocol says."
				}
				report(policy.Fault{
					Effect: policy.Deny,
					Field:  serverField(e.Server.Index, "port"),
					Message: fmt.Sprintf(
						"%s (%s) on port %s, where %s of %s serves %s (%s) on the same pods: %s. %s",
						e.Server.Protocol, e.Server.Family, ports(&e.Server), name(g.Gateway), e.Guard.Name, g.Protocol, g.Family,
						displaced(w, e, g), fix),
					Related: []resource.Key{g.Gateway},
					Place:   labels(e.Pods.Labels), Subject: listenerOf(e) + fmt.Sprintf("%s|%s", e.Server.Family, g.Gateway),
				})
				return
			}
		}),
	}
}

// displaced tells which of two servers of different families loses the port, and when. Plain
// text that comes after TLS is not dropped: it is one more filter chain, for everything, on the
// owner's listener (the second case of mergeGateways that looks at the server's protocol).
func displaced(w *policy.World, e *policy.Encounter, g *policy.Server) string {
	after := w.SeniorityOf(e.Gateway, g.Gateway) == policy.Younger
	if after && g.Family == policy.TLS && e.Server.Family != policy.TLS {
		if slices.ContainsFunc(g.Hosts, func(h hostname.Server) bool { return h.Name == hostname.Any }) {
			return "two filter chains for every connection are on one listener, and " + refuses(&e.Server)
		}
		return fmt.Sprintf("plain text is served on the TLS listener %s now, and the other server is silently dropped as soon as its Gateway is re-created", listeners(&e.Server))
	}
	return dropped(w, e, g.Gateway)
}
