package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/hostname"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// gatewayNameLabel is on pods that Istio made for a Gateway of the Kubernetes Gateway API.
const gatewayNameLabel = "gateway.networking.k8s.io/gateway-name"

// SelectedBy reports whether a policy in the namespace applies to these pods: one of their
// namespace or of the mesh's root namespace, by labels (none are all pods) or by targetRefs.
//
// It follows ShouldAttachPolicy in istio.io/istio pilot/pkg/model/policyattachment.go.
// targetRefs replace the selector; they name the Kubernetes Gateway that the pods were made
// for or, in newer releases, a Gateway of Istio's that the pods serve in its own namespace.
// Older releases ignore the latter, or refuse the object.
func (p *PodSet) SelectedBy(namespace string, t *resource.Target, root string) bool {
	if namespace != p.Namespace && namespace != root {
		return false
	}
	if len(t.Refs) == 0 {
		return resource.Selects(t.Selector, p.Labels)
	}
	return slices.ContainsFunc(t.Refs, func(r resource.TargetRef) bool {
		if r.Kind != "Gateway" || r.Namespace != "" && r.Namespace != namespace {
			return false
		}
		switch r.Group {
		case "gateway.networking.k8s.io":
			return namespace == p.Namespace && r.Name == p.Labels[gatewayNameLabel]
		case "networking.istio.io":
			return slices.ContainsFunc(p.Servers, func(s Server) bool {
				return s.Gateway.Namespace == namespace && s.Gateway.Name == r.Name
			})
		}
		return false
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

// Patched reports whether an EnvoyFilter's patch changes what a guarded server of these pods
// does, as far as it can be told without the value that is put in.
//
// It follows listenerMatch and filterChainMatch in istio.io/istio
// pilot/pkg/networking/core/envoyfilter/listener_patch.go, and routeConfigurationMatch in
// rc_patch.go beside it. A patch of the bootstrap has no context. Clusters count unless the
// patch is for one that no protected namespace has, and what only adds a cluster, a listener
// or a named extension touches nothing that is there.
func (w *World) Patched(s *Server, p *resource.EnvoyPatch, pods *PodSet) bool {
	if p.ApplyTo != "BOOTSTRAP" && p.Context != "" && p.Context != "ANY" && p.Context != "GATEWAY" {
		return false
	}
	adds := p.Operation == "ADD" || strings.HasPrefix(p.Operation, "INSERT_")
	switch p.ApplyTo {
	case "BOOTSTRAP":
		return p.Operation == "MERGE"
	case "LISTENER", "LISTENER_FILTER":
		return (p.ApplyTo != "LISTENER" || !adds) && s.listens(&p.Listener)
	case "FILTER_CHAIN", "NETWORK_FILTER":
		return s.listens(&p.Listener) && (p.ApplyTo == "FILTER_CHAIN" && adds || s.answers(p.Listener.SNI))
	case "HTTP_FILTER":
		return ServesHTTP(s.Server) && s.listens(&p.Listener) && s.answers(p.Listener.SNI)
	case "ROUTE_CONFIGURATION", "VIRTUAL_HOST", "HTTP_ROUTE":
		return ServesHTTP(s.Server) && s.routed(&p.Route, pods)
	case "CLUSTER":
		return !adds && w.needsCluster(&p.Cluster)
	}
	return false
}

// listens reports whether the server is on a listener that a match is for.
func (s *Server) listens(m *resource.ListenerMatch) bool {
	if m.Port != 0 && !s.On(m.Port) {
		return false
	}
	return m.Name == "" || slices.ContainsFunc(s.Ports, func(p uint32) bool { return strings.HasSuffix(m.Name, fmt.Sprintf("_%d", p)) })
}

// answers reports whether one of the server's filter chains is for the SNI; "" is for every
// chain. A chain for all names has no list of them to be found in.
func (s *Server) answers(sni string) bool {
	return sni == "" || s.Family == TLS && slices.ContainsFunc(s.Hosts, func(h hostname.Server) bool {
		n := hostname.Parse(sni)
		return h.Name != hostname.Any && (h.Name == n || Passthrough(s.Server) && h.Name.Covers(n))
	})
}

// routed reports whether the server's route configuration is one that a match is for. That of
// plain-text servers is named after the port alone (GatewayRDSRouteName in istio.io/istio
// pilot/pkg/model/gateway.go), as all Gateways share it.
func (s *Server) routed(m *resource.RouteConfigurationMatch, pods *PodSet) bool {
	if m.Port != 0 && m.Port != s.Port && !s.On(m.Port) && !slices.ContainsFunc(pods.Resolve(m.Port), s.On) {
		return false
	}
	own := s.Gateway.Namespace + "/" + s.Gateway.Name
	if s.Family == PlainHTTP {
		return m.Gateway == "" && m.PortName == "" && (m.Name == "" || strings.HasPrefix(m.Name, "http."))
	}
	return (m.Gateway == "" || m.Gateway == own) && (m.PortName == "" || m.PortName == s.PortName) &&
		(m.Name == "" || strings.HasSuffix(m.Name, "."+s.Gateway.Name+"."+s.Gateway.Namespace))
}

// needsCluster reports whether a match is for a cluster that the guarded gateway may need:
// any, or one of a Service in a protected namespace.
func (w *World) needsCluster(m *resource.ClusterMatch) bool {
	service := m.Service
	if service == "" {
		// "direction|port|subset|host" (BuildSubsetKey in pilot/pkg/model/service.go)
		service = m.Name[strings.LastIndexByte(m.Name, '|')+1:]
	}
	if service == "" {
		return true
	}
	host, _, inCluster := strings.Cut(service, ".svc.")
	if !inCluster {
		return slices.ContainsFunc(w.Guards, func(g *Guard) bool { return g.Uses(hostname.Parse(service)) })
	}
	_, namespace, _ := strings.Cut(host, ".")
	return w.Protected(namespace)
}
