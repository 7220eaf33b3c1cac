package rules

import (
	_ "embed"
	"fmt"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd102_reserved_port.md
var reservedPortPage string

// reservedPorts are the ports of the proxy itself, with what is on them: the table "Ports
// used by Istio" for the sidecar proxy, istio.io docs/ops/deployment/application-requirements.
// Istio does not look at them when it builds a gateway's listeners, so a server there ends
// in a bind error or takes the health check's port.
var reservedPorts = map[uint32]string{
	15000: "the proxy's admin interface",
	15001: "the proxy's outbound listener",
	15002: "the probe for failed redirection",
	15004: "the agent's debug interface",
	15006: "the proxy's inbound listener",
	15008: "the HBONE tunnel",
	15009: "the plain-text HBONE tunnel",
	15020: "the agent's merged telemetry",
	15021: "the health check",
	15053: "the agent's DNS proxy",
	15090: "the proxy's telemetry",
}

func reservedPort() *policy.Rule {
	return &policy.Rule{
		ID: "GWD102", Name: "reserved-port", Page: reservedPortPage, Effect: policy.Deny,
		Summary: "A Gateway server listens on a port that the proxy needs for itself.",
		Kinds:   []resource.Kind{resource.KindGateway}, Operations: createUpdate, Reads: gatewayReads,
		Object: forGateway(func(_ *policy.World, e *policy.Encounter, report func(policy.Fault)) {
			for _, p := range e.Server.Ports {
				what, reserved := reservedPorts[p]
				if !reserved {
					continue
				}
				report(policy.Fault{
					Effect: policy.Deny,
					Field:  serverField(e.Server.Index, "port.number"),
					Message: fmt.Sprintf("port %s is %s on the pods of %s: the listener can not be opened, or the pods never become ready. "+
						"Use a port outside of 15000 to 15090.", ports(&e.Server), what, e.Guard.Name),
					Place: labels(e.Pods.Labels), Subject: listenerOf(e) + fmt.Sprint(p),
				})
			}
		}),
	}
}
