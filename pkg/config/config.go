// Package config is what one installation guards: which gateways, whose objects are the
// owner's, which namespaces are protected, who is exempt. Loading is strict: an unknown
// field is an error that names it.
package config

import (
	"slices"
	"strings"
	"time"

	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/translate"
)

// APIVersion and Kind identify a configuration file.
const (
	// Domain is the domain of gatewarden's labels, annotations and configuration.
	Domain     = "gatewarden.io"
	APIVersion = "config." + Domain + "/v1alpha1"
	Kind       = "Configuration"
)

// Configuration is the content of a configuration file. The zero value guards nothing.
// Package deploykf has the one of an unchanged deployKF.
type Configuration struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`

	// Mesh states the settings of the mesh that Istio's semantics depend on.
	Mesh Mesh `json:"mesh,omitempty"`

	// GuardedGateways are the shared gateways to guard.
	GuardedGateways []GuardedGateway `json:"guardedGateways"`

	// ProtectedNamespaces are those whose workloads must keep their mutual TLS.
	ProtectedNamespaces ProtectedNamespaces `json:"protectedNamespaces,omitempty"`

	// PermissivePolicies are the PeerAuthentications that are meant to be PERMISSIVE.
	PermissivePolicies []PolicyRef `json:"permissivePolicies,omitempty"`

	// Rules set the effects of rules, by ID or name.
	Rules map[string]Effect `json:"rules,omitempty"`

	// Exemptions name requesters, objects or both that are not judged.
	Exemptions []Exemption `json:"exemptions,omitempty"`

	asOf time.Time // see AsOf
}

// DefaultRootNamespace is Istio's own namespace where no other is told.
const DefaultRootNamespace = "istio-system"

// Mesh states the settings of the mesh that Istio's semantics depend on.
type Mesh struct {
	// RootNamespace is meshConfig.rootNamespace. Default: DefaultRootNamespace.
	RootNamespace string `json:"rootNamespace,omitempty"`
	// ScopeGatewayToNamespace is istiod's PILOT_SCOPE_GATEWAY_TO_NAMESPACE: a Gateway is
	// then served only by pods of its own namespace. Default: false.
	ScopeGatewayToNamespace bool `json:"scopeGatewayToNamespace,omitempty"`
	// DefaultVirtualServiceExportTo is meshConfig.defaultVirtualServiceExportTo.
	// Default: ["*"].
	DefaultVirtualServiceExportTo []string `json:"defaultVirtualServiceExportTo,omitempty"`
	// IngressControllerMode is meshConfig.ingressControllerMode: OFF, STRICT or DEFAULT.
	// Default: STRICT.
	IngressControllerMode string `json:"ingressControllerMode,omitempty"`
	// IngressClass is meshConfig.ingressClass. Default: istio.
	IngressClass string `json:"ingressClass,omitempty"`
	// IngressSelector is meshConfig.ingressSelector. Default: none, so that IngressService
	// counts.
	IngressSelector string `json:"ingressSelector,omitempty"`
	// IngressService is meshConfig.ingressService. Default: istio-ingressgateway.
	IngressService string `json:"ingressService,omitempty"`
	// NoTCPListeners is true for an Istio before 1.31 without PILOT_ENABLE_ALPHA_GATEWAY_API,
	// which has no TCP listeners and TCPRoutes. Default: false.
	NoTCPListeners bool `json:"noTCPListeners,omitempty"`
	// OnlyManagedGateways is true where istiod's ENABLE_GATEWAY_API_MANUAL_DEPLOYMENT is false:
	// then no Gateway of the Gateway API is served by pods that are there already. Default: false.
	OnlyManagedGateways bool `json:"onlyManagedGateways,omitempty"`
}

// Translation returns the settings by which Istio translates Kubernetes' own objects.
func (m *Mesh) Translation() translate.Options {
	return translate.Options{
		IngressMode:     m.IngressControllerMode,
		IngressClass:    m.IngressClass,
		IngressSelector: m.IngressSelector,
		IngressService:  m.IngressService,

		NoTCPListeners:      m.NoTCPListeners,
		OnlyManagedGateways: m.OnlyManagedGateways,
	}.WithDefaults()
}

// GuardedGateway is one shared gateway and its owner.
type GuardedGateway struct {
	// Name is used in messages, for example "deployKF".
	Name string `json:"name"`
	// Namespace is where the owner's Gateway objects and the gateway's pods are.
	Namespace string `json:"namespace"`
	// Gateways are the names of the owner's Gateway objects in Namespace. Ports, hosts and
	// TLS are read from those that exist.
	Gateways []string `json:"gateways"`
	// Sharing is what others may do on the gateway's pods. Default: HostAware.
	Sharing Sharing `json:"sharing,omitempty"`
	// PodLabels are the labels of the gateway's pods, used while neither a workload nor a
	// pod nor a Gateway of the owner tells them.
	PodLabels map[string]string `json:"podLabels"`
	// ServiceAccount is the one of the gateway's pods in Namespace, by whose principal the
	// owner's backends know them. Empty: not known.
	ServiceAccount string `json:"serviceAccount,omitempty"`
	// Servers are used while none of Gateways exists.
	Servers []Server `json:"servers,omitempty"`
	// Domains are dedicated to the owner, with all of their subdomains.
	Domains []string `json:"domains,omitempty"`
	// OwnerObjects are the owner's own objects on the gateway, beside Gateways.
	OwnerObjects []ObjectPattern `json:"ownerObjects,omitempty"`
	// OwnerRequesters are users and groups whose own writing counts as the owner's in some
	// namespaces, beside OwnerObjects.
	OwnerRequesters []OwnerRequester `json:"ownerRequesters,omitempty"`
	// IdentityHeaders are the request headers by which the owner's backends know who asks: the
	// gateway sets them after it has authenticated a request. Letter case does not count.
	IdentityHeaders []string `json:"identityHeaders,omitempty"`
	// ReservedRoutes are the names of HTTP routes by which the owner's filters tell the
	// requests that they treat in another way.
	ReservedRoutes []ReservedRoute `json:"reservedRoutes,omitempty"`
	// TenantPaths are the path prefixes that a tenant may serve on guarded hosts;
	// "{namespace}" stands for the namespace of his VirtualService.
	TenantPaths []string `json:"tenantPaths,omitempty"`
	// Requires is what the owner's applications need of Istio. Audits judge it.
	Requires Requirements `json:"requires,omitzero"`
}

// Sharing is what others than the owner may do on the pods of a guarded gateway.
type Sharing string

// The modes of sharing, from the most open to none.
const (
	// HostAware lets others have servers everywhere, also on the owner's ports, as long as
	// hosts and protocols do not clash.
	HostAware Sharing = "HostAware"
	// ExclusivePort keeps the owner's ports for him.
	ExclusivePort Sharing = "ExclusivePort"
	// Dedicated keeps all Gateways but the owner's off the pods.
	Dedicated Sharing = "Dedicated"
)

// Server is a server of the guarded gateway that is assumed while its Gateway objects do
// not exist.
type Server struct {
	// Gateway is the one of Gateways that the server stands for.
	Gateway string `json:"gateway"`
	Port    uint32 `json:"port"`
	// PublicPort is the port of the Service before the pods that leads to Port, which is
	// assumed while there is no Service. Default: Port.
	PublicPort uint32   `json:"publicPort,omitempty"`
	Protocol   string   `json:"protocol"` // HTTP, HTTPS, TLS, TCP, ...
	Hosts      []string `json:"hosts"`
	// TLSMode is the mode of the tls block. Default: SIMPLE for HTTPS and TLS, none else.
	TLSMode string `json:"tlsMode,omitempty"`
}

// ReservedRoute is a name of an HTTP route that changes what the owner's filters do: an
// EnvoyFilter finds routes by their names, whoever gives them.
type ReservedRoute struct {
	// Name is the name of the route, as the proxy has it. Letter case counts.
	Name string `json:"name"`
	// Owners are the objects that may have routes of that name.
	Owners []ObjectPattern `json:"owners"`
	// Reason says what the name does to requests, for messages. It is required.
	Reason string `json:"reason"`
	// AnyGateway is true where the filters look for the name on every Gateway of the pods, and
	// not only on the owner's.
	AnyGateway bool `json:"anyGateway,omitempty"`
}

// ObjectPattern names objects. "*" in Namespace or Name matches any run of characters, and a
// field that is left out, where it may be, everything.
type ObjectPattern struct {
	Kind      resource.Kind `json:"kind,omitempty"`
	Namespace string        `json:"namespace,omitempty"`
	Name      string        `json:"name,omitempty"`
}

// OwnerRequester is somebody who writes for the owner. What he writes is the owner's while it is
// judged. Nothing in the object tells later who wrote it, so afterwards, and in an audit, it is
// the owner's only if OwnerObjects names it.
type OwnerRequester struct {
	Users  []string `json:"users,omitempty"`
	Groups []string `json:"groups,omitempty"`
	// Namespaces are where he writes for the owner, "*" in them stands for any run of
	// characters. They are required: one who deploys for everybody, as Argo CD does, is the
	// owner only in the owner's namespaces.
	Namespaces []string `json:"namespaces"`
}

// ProtectedNamespaces are namespaces by name, and by the labels of their Namespace object.
type ProtectedNamespaces struct {
	Names []string `json:"names,omitempty"`
	// Labels select namespaces: each one that carries all of them is protected. Empty
	// selects none.
	Labels map[string]string `json:"labels,omitempty"`
}

// PolicyRef is a PeerAuthentication by name and by the labels that its selector must
// contain; more labels select fewer pods and are accepted.
type PolicyRef struct {
	Namespace string            `json:"namespace"`
	Name      string            `json:"name"`
	Selector  map[string]string `json:"selector"`
}

// Matches reports whether the pattern names the object.
func (p ObjectPattern) Matches(k resource.Key) bool {
	return (p.Kind == "" || p.Kind == k.Kind) &&
		(p.Namespace == "" || glob(p.Namespace, k.Namespace)) && (p.Name == "" || glob(p.Name, k.Name))
}

// glob matches s against a pattern in which "*" stands for any run of characters.
func glob(pattern, s string) bool {
	if strings.IndexByte(pattern, '*') < 0 {
		return pattern == s
	}
	parts := strings.Split(pattern, "*")
	first, last := parts[0], parts[len(parts)-1]
	if len(s) < len(first)+len(last) || !strings.HasPrefix(s, first) || !strings.HasSuffix(s, last) {
		return false
	}
	s = s[len(first) : len(s)-len(last)]
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(s, p)
		if i < 0 {
			return false
		}
		s = s[i+len(p):]
	}
	return true
}

// WritesForOwner reports whether what a requester writes under the key counts as the owner's.
func (g *GuardedGateway) WritesForOwner(user string, groups []string, k resource.Key) bool {
	return slices.ContainsFunc(g.OwnerRequesters, func(r OwnerRequester) bool {
		return among(r.Users, r.Groups, user, groups) && r.writes(k)
	})
}

// Reserved returns the reserved route of that name, if the object may not have it on a Gateway
// that is the owner's or not; nil if it may.
func (g *GuardedGateway) Reserved(name string, k resource.Key, owners bool) *ReservedRoute {
	for i := range g.ReservedRoutes {
		r := &g.ReservedRoutes[i]
		if r.Name == name && (owners || r.AnyGateway) && !matchesAny(r.Owners, k) {
			return r
		}
	}
	return nil
}

// IsIdentityHeader reports whether a header is one of IdentityHeaders.
func (g *GuardedGateway) IsIdentityHeader(name string) bool {
	return slices.ContainsFunc(g.IdentityHeaders, func(h string) bool { return strings.EqualFold(h, name) })
}

func matchesAny(patterns []ObjectPattern, k resource.Key) bool {
	return slices.ContainsFunc(patterns, func(p ObjectPattern) bool { return p.Matches(k) })
}

// MayBeWrittenForOwner reports whether there is any requester for whom WritesForOwner holds:
// nothing that is stored tells who wrote it.
func (g *GuardedGateway) MayBeWrittenForOwner(k resource.Key) bool {
	return slices.ContainsFunc(g.OwnerRequesters, func(r OwnerRequester) bool { return r.writes(k) })
}

func (r *OwnerRequester) writes(k resource.Key) bool {
	return slices.ContainsFunc(r.Namespaces, func(p string) bool { return k.Namespace != "" && glob(p, k.Namespace) })
}

// IsOwners reports whether the object is the owner's: one of his Gateways, or one that
// OwnerObjects names.
func (g *GuardedGateway) IsOwners(k resource.Key) bool {
	if k.Kind == resource.KindGateway && k.Namespace == g.Namespace && slices.Contains(g.Gateways, k.Name) {
		return true
	}
	return matchesAny(g.OwnerObjects, k)
}
