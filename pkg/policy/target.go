package policy

import (
	"slices"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

// SelectedBy reports whether a policy in the namespace applies to these pods: one of their
// namespace or of the mesh's root namespace, by labels (none are all pods) or by targetRefs.
//
// It follows ShouldAttachPolicy in istio.io/istio pilot/pkg/model/policyattachment.go.
// targetRefs replace the selector; they name the Kubernetes Gateway that the pods were made
// for, and a policy with them is for no other pods.
func (p *PodSet) SelectedBy(namespace string, t *resource.Target, root string) bool {
	if namespace != p.Namespace && namespace != root {
		return false
	}
	if len(t.Refs) == 0 {
		return resource.Selects(t.Selector, p.Labels)
	}
	made, ok := p.Labels[gatewayName]
	return ok && namespace == p.Namespace && slices.ContainsFunc(t.Refs, func(r resource.TargetRef) bool {
		return r.Group == resource.GatewayAPI && r.Kind == "Gateway" && r.Name == made && (r.Namespace == "" || r.Namespace == namespace)
	})
}

// Filters reports whether a WasmPlugin or TrafficExtension puts its filter before a server of
// these pods: in a Gateway's listener traffic counts as the client's, and the port is the
// listener's (matchTrafficSelectors in istio.io/istio pilot/pkg/model/extensions.go).
func (s *Server) Filters(e *resource.ProxyExtension) bool {
	if !e.Network && !ServesHTTP(s.Server) {
		return false
	}
	return len(e.Matches) == 0 || slices.ContainsFunc(e.Matches, func(m resource.TrafficMatch) bool {
		return m.Mode != "SERVER" && (len(m.Ports) == 0 || slices.ContainsFunc(m.Ports, s.On))
	})
}

// On reports whether the proxy may listen on the port for the server.
func (s *Server) On(port uint32) bool { return slices.Contains(s.Ports, port) }
