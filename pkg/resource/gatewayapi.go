package resource

import (
	"slices"
	"strings"
)

// Name is the kind as the API knows it, which is not unique among API groups: the part of
// Kind before the first dot.
func (a API) Name() string {
	name, _, _ := strings.Cut(string(a.Kind), ".")
	return name
}

// APIVersion is the preferred version of the kind, as manifests have it: "group/version", or
// "version" for the core group.
func (a API) APIVersion() string {
	if a.Group == "" {
		return a.Versions[0]
	}
	return a.Group + "/" + a.Versions[0]
}

// KubernetesGateway is gateway.networking.k8s.io Gateway.
type KubernetesGateway struct {
	Meta
	Class     string
	Addresses []GatewayAddress
	Listeners []Listener
	// AllowedListeners are the namespaces whose ListenerSets may add listeners; nil for none.
	AllowedListeners *NamespaceChoice
}

// GatewayAddress is one entry of spec.addresses.
type GatewayAddress struct {
	Type  string // "Hostname", "IPAddress" or another; empty if it is absent
	Value string
}

// Listener is a listener of a KubernetesGateway or ListenerSet.
type Listener struct {
	Name     string
	Hostname string // empty: every host
	Port     uint32
	Protocol string
	// TLS is nil for a listener without a tls block.
	TLS *ListenerTLS
	// AllowedRoutes are the namespaces whose routes may attach; nil for its own.
	AllowedRoutes *NamespaceChoice
	// Kinds are the kinds of routes that may attach; empty for all that the protocol has.
	Kinds []GroupKind
}

// ListenerTLS is the tls block of a listener.
type ListenerTLS struct {
	Mode    string            // "Terminate" or "Passthrough"; empty is the former
	Options map[string]string // Istio's own
	// Certificates are "namespace/name" of Secrets, or "name" in the listener's namespace.
	Certificates []string
}

// NamespaceChoice tells which namespaces may refer to an object.
type NamespaceChoice struct {
	From     string // "All", "Same", "Selector", "None"; empty if it is absent
	Selector *LabelSelector
}

// LabelSelector is meta/v1 LabelSelector.
type LabelSelector struct {
	Labels      map[string]string
	Expressions []LabelExpression
}

// LabelExpression is one entry of matchExpressions.
type LabelExpression struct {
	Key, Operator string
	Values        []string
}

// Matches reports whether the selector accepts the labels (LabelSelectorAsSelector in
// k8s.io/apimachinery pkg/apis/meta/v1/helpers.go). One with an operator that does not exist
// accepts none.
func (s *LabelSelector) Matches(labels map[string]string) bool {
	if !Selects(s.Labels, labels) {
		return false
	}
	for _, e := range s.Expressions {
		value, has := labels[e.Key]
		ok := false
		switch e.Operator {
		case "In":
			ok = has && slices.Contains(e.Values, value)
		case "NotIn":
			ok = !has || !slices.Contains(e.Values, value)
		case "Exists":
			ok = has
		case "DoesNotExist":
			ok = !has
		}
		if !ok {
			return false
		}
	}
	return true
}

// GroupKind is a kind with its API group.
type GroupKind struct{ Group, Kind string }

// GatewayAPI is the API group of Kubernetes' Gateway API.
const GatewayAPI = "gateway.networking.k8s.io"

// GatewayClass is gateway.networking.k8s.io GatewayClass.
type GatewayClass struct {
	Meta
	Controller string
}

// ListenerSet is gateway.networking.k8s.io ListenerSet: listeners that are added to a
// KubernetesGateway.
type ListenerSet struct {
	Meta
	Parent    ParentRef
	Listeners []Listener
}

// ParentRef refers to what a route or ListenerSet attaches to.
type ParentRef struct {
	GroupKind
	Namespace, Name string
	Section         string // of the listener; empty: all of them
	Port            uint32 // of the listener; 0: any
}

// Route is gateway.networking.k8s.io HTTPRoute, GRPCRoute, TLSRoute or TCPRoute.
type Route struct {
	Meta
	Kind      Kind
	Parents   []ParentRef
	Hostnames []string // empty: every host
	Rules     []RouteRule
}

// RouteRule is one entry of spec.rules.
type RouteRule struct {
	Name    string
	Matches []RouteMatch // empty: every request, or connection
	// Backends are what is behind the rule, and after them what gets copies.
	Backends []Backend
	// Headers are the request headers that the rule's filters change, or those of a backend.
	Headers []BackendHeader
}

// Backend is a reference of a route to what gets its requests.
type Backend struct {
	GroupKind
	Namespace, Name string
	Mirror          bool // it gets copies only
	// Path is that of the reference below the rule, for example "backendRefs[0]".
	Path string
}

// BackendHeader is a request header that a filter of a route sets, adds or removes.
type BackendHeader struct {
	HeaderEdit
	// Path is that of the filter below the rule, for example "filters[0]".
	Path string
}

// RouteMatch is one entry of matches.
type RouteMatch struct {
	// PathType is "Exact", "PathPrefix" or "RegularExpression"; empty for a match without a
	// path.
	PathType, Path string
	// Service and Method are those of a GRPCRoute, and PathType tells how they compare.
	Service, Method string
	// Conditioned is true when anything else narrows the match.
	Conditioned bool
}

// Key returns the identity of the Gateway.
func (o *KubernetesGateway) Key() Key { return Key{KindKubernetesGateway, o.Namespace, o.Name} }

// Key returns the identity of the GatewayClass.
func (o *GatewayClass) Key() Key { return Key{KindGatewayClass, "", o.Name} }

// Key returns the identity of the ListenerSet.
func (o *ListenerSet) Key() Key { return Key{KindListenerSet, o.Namespace, o.Name} }

// Key returns the identity of the route.
func (o *Route) Key() Key { return Key{o.Kind, o.Namespace, o.Name} }
