// Package rules holds gatewarden's rules, one to a file, each with the page that explains
// it. A rule knows Istio's semantics only through package policy, and nothing of other
// rules.
//
// IDs are grouped by what they protect: 1xx listeners, 2xx hosts, 3xx routes, 4xx objects
// that bend the proxy, 5xx mutual TLS, 6xx gateway pods, 7xx what an owner needs of the mesh. An ID
// is never given to another rule.
package rules

import (
	"fmt"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// All returns every rule, ordered by ID.
func All() []*policy.Rule {
	return translated([]*policy.Rule{
		protocolConflict(),
		reservedPort(),
		listenerCapture(),
		listenerRefused(),
		tenantProtocolConflict(),
		exclusivePort(),
		dedicatedGateway(),
		strictMerging(),
		hostConflict(),
		hostUnderGuardedWildcard(),
		dedicatedDomain(),
		broaderWildcard(),
		anyHostBesideOthers(),
		tenantHostConflict(),
		tenantWildcard(),
		sharedCredential(),
		neighbourRedirect(),
		foreignRoute(),
		foreignTenantPath(),
		foreignL4Route(),
		meshRoute(),
		dedicatedDomainRoute(),
		unclaimedHost(),
		tenantRouteConflict(),
		tenantL4Conflict(),
		reservedRoute(),
		protectedBackend(),
		identityHeader(),
		takenName(),
		envoyFilter(),
		wasmPlugin(),
		authorizationPolicy(),
		requestAuthentication(),
		sidecarEnforcement(),
		telemetry(),
		proxyConfig(),
		permissiveMTLS(),
		strictRemoved(),
		plainTextClients(),
		sidecarBypass(),
		namespaceInjectionRemoved(),
		strictSelectorMissed(),
		sidecarTLS(),
		injectionOptOut(),
		gatewayPodSettings(),
		namespaceInjectionDisabled(),
		portTranslation(),
		foreignGatewayPods(),
		meshPrerequisites(),
		meshDiffers(),
		gatewayIdentity(),
		meshInjection(),
		istioVersion(),
		gatewayService(),
		gatewayElsewhere(),
		privilegedPortsRule(),
		gatewayCertificate(),
		neighbourCutOff(),
	})
}

// Find returns the rule with the ID or name, in any letter case, or nil.
func Find(idOrName string) *policy.Rule {
	for _, r := range All() {
		if strings.EqualFold(r.ID, idOrName) || strings.EqualFold(r.Name, idOrName) {
			return r
		}
	}
	return nil
}

var (
	createUpdate       = []policy.Operation{policy.Create, policy.Update}
	createUpdateDelete = []policy.Operation{policy.Create, policy.Update, policy.Delete}

	// gatewayReads are the kinds that tell what a guarded gateway is: see policy.Guard.
	gatewayReads = []resource.Kind{
		resource.KindGateway, resource.KindVirtualService, resource.KindService, resource.KindServiceEntry,
		resource.KindDeployment, resource.KindDaemonSet, resource.KindStatefulSet, resource.KindPod,
	}
)

// forGateway makes a rule's Object out of a function over the encounters of a Gateway that is
// not the owner's own.
func forGateway(f func(w *policy.World, e *policy.Encounter, report func(policy.Fault))) func(*policy.World, resource.Object, func(policy.Fault)) {
	return func(w *policy.World, o resource.Object, report func(policy.Fault)) {
		gw, ok := o.(*resource.Gateway)
		if !ok {
			return
		}
		encounters := w.Encounters(gw)
		for i := range encounters {
			if !encounters[i].Owners {
				f(w, &encounters[i], report)
			}
		}
	}
}

func serverField(i int, rest string) string { return fmt.Sprintf("spec.servers[%d].%s", i, rest) }

func hostField(server, host int) string {
	return fmt.Sprintf("spec.servers[%d].hosts[%d]", server, host)
}

// ports writes port numbers for people: "443", or "443 (listener 8443)" where a Service
// translates the number.
func ports(s *policy.Server) string {
	if len(s.Ports) == 1 && s.Ports[0] == s.Port {
		return fmt.Sprint(s.Port)
	}
	var l []string
	for _, p := range s.Ports {
		l = append(l, fmt.Sprint(p))
	}
	return fmt.Sprintf("%d (listener %s)", s.Port, strings.Join(l, " or "))
}

// listenerOf identifies a listener of a guarded gateway in a fault's subject, so that a server
// that comes to another port is a new fault.
func listenerOf(e *policy.Encounter) string {
	return fmt.Sprintf("%s%v|", e.Guard.Name, e.Server.Ports)
}

// name writes an object for people: "Gateway team-a/web".
func name(k resource.Key) string { return k.String() }
