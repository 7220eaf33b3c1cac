// Package resource is the slim, typed form of the objects that policy reads.
//
// An object of the API server carries much that no rule looks at: status, managed
// fields, retries, timeouts, probes. A cluster of a hundred thousand objects has to fit
// into memory, so only what a rule reads is kept here. The package knows neither
// Kubernetes' nor Istio's Go types: package decode makes these values from bytes.
//
// Values are immutable once they were handed to a state.Snapshot. Slices and maps are
// shared between snapshots and must not be written to.
package resource

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Kind names one of the kinds that gatewarden knows, without its API version: all
// served versions of a kind have one schema (Istio's CRDs convert with strategy None).
type Kind string

// The kinds that gatewarden decodes.
const (
	KindGateway            Kind = "Gateway"            // networking.istio.io
	KindVirtualService     Kind = "VirtualService"     // networking.istio.io
	KindPeerAuthentication Kind = "PeerAuthentication" // security.istio.io
	KindDeployment         Kind = "Deployment"         // apps
	KindDaemonSet          Kind = "DaemonSet"          // apps
	KindStatefulSet        Kind = "StatefulSet"        // apps
	KindPod                Kind = "Pod"                // core
	KindService            Kind = "Service"            // core
	KindServiceEntry       Kind = "ServiceEntry"       // networking.istio.io
	KindWorkloadEntry      Kind = "WorkloadEntry"      // networking.istio.io
	KindDestinationRule    Kind = "DestinationRule"    // networking.istio.io
	KindSidecar            Kind = "Sidecar"            // networking.istio.io
	KindNamespace          Kind = "Namespace"          // core
	KindIngress            Kind = "Ingress"            // networking.k8s.io
	KindIngressClass       Kind = "IngressClass"       // networking.k8s.io
	KindGatewayClass       Kind = "GatewayClass"       // gateway.networking.k8s.io
	KindListenerSet        Kind = "ListenerSet"        // gateway.networking.k8s.io
	KindHTTPRoute          Kind = "HTTPRoute"          // gateway.networking.k8s.io
	KindGRPCRoute          Kind = "GRPCRoute"          // gateway.networking.k8s.io
	KindTLSRoute           Kind = "TLSRoute"           // gateway.networking.k8s.io
	KindTCPRoute           Kind = "TCPRoute"           // gateway.networking.k8s.io

	// KindKubernetesGateway is gateway.networking.k8s.io Gateway, written as kubectl takes it
	// beside Istio's: see API.Name.
	KindKubernetesGateway Kind = "Gateway.gateway.networking.k8s.io"

	// KindInjectors is admissionregistration.k8s.io MutatingWebhookConfiguration, as far as its
	// webhooks are those of Istio that inject pods.
	KindInjectors Kind = "MutatingWebhookConfiguration"

	KindConfigMap   Kind = "ConfigMap"   // core, as far as it configures Istio
	KindNode        Kind = "Node"        // core
	KindCertificate Kind = "Certificate" // cert-manager.io

	KindEnvoyFilter           Kind = "EnvoyFilter"           // networking.istio.io
	KindWasmPlugin            Kind = "WasmPlugin"            // extensions.istio.io
	KindTrafficExtension      Kind = "TrafficExtension"      // extensions.istio.io
	KindAuthorizationPolicy   Kind = "AuthorizationPolicy"   // security.istio.io
	KindRequestAuthentication Kind = "RequestAuthentication" // security.istio.io
	KindTelemetry             Kind = "Telemetry"             // telemetry.istio.io
	KindProxyConfig           Kind = "ProxyConfig"           // networking.istio.io
)

// API tells where a kind is served: the API group, the plural resource name, and the
// served versions, the preferred one first.
type API struct {
	Kind       Kind
	Group      string
	Resource   string
	Versions   []string
	Namespaced bool
}

// APIs lists every kind that gatewarden decodes. Istio's versions are those of its
// CustomResourceDefinitions (kubernetes/customresourcedefinitions.gen.yaml in
// istio.io/api): Gateway, VirtualService and ServiceEntry are served as v1, v1beta1 and
// v1alpha3, PeerAuthentication as v1 and v1beta1.
var APIs = []API{
	{KindGateway, "networking.istio.io", "gateways", []string{"v1", "v1beta1", "v1alpha3"}, true},
	{KindVirtualService, "networking.istio.io", "virtualservices", []string{"v1", "v1beta1", "v1alpha3"}, true},
	{KindPeerAuthentication, "security.istio.io", "peerauthentications", []string{"v1", "v1beta1"}, true},
	{KindServiceEntry, "networking.istio.io", "serviceentries", []string{"v1", "v1beta1", "v1alpha3"}, true},
	{KindWorkloadEntry, "networking.istio.io", "workloadentries", []string{"v1", "v1beta1", "v1alpha3"}, true},
	{KindDestinationRule, "networking.istio.io", "destinationrules", []string{"v1", "v1beta1", "v1alpha3"}, true},
	{KindSidecar, "networking.istio.io", "sidecars", []string{"v1", "v1beta1", "v1alpha3"}, true},
	{KindDeployment, "apps", "deployments", []string{"v1"}, true},
	{KindDaemonSet, "apps", "daemonsets", []string{"v1"}, true},
	{KindStatefulSet, "apps", "statefulsets", []string{"v1"}, true},
	{KindPod, "", "pods", []string{"v1"}, true},
	{KindService, "", "services", []string{"v1"}, true},
	{KindNamespace, "", "namespaces", []string{"v1"}, false},
	{KindInjectors, "admissionregistration.k8s.io", "mutatingwebhookconfigurations", []string{"v1"}, false},
	{KindConfigMap, "", "configmaps", []string{"v1"}, true},
	{KindNode, "", "nodes", []string{"v1"}, false},
	{KindCertificate, "cert-manager.io", "certificates", []string{"v1"}, true},
	{KindIngress, "networking.k8s.io", "ingresses", []string{"v1"}, true},
	{KindIngressClass, "networking.k8s.io", "ingressclasses", []string{"v1"}, false},
	{KindKubernetesGateway, GatewayAPI, "gateways", []string{"v1", "v1beta1"}, true},
	{KindGatewayClass, GatewayAPI, "gatewayclasses", []string{"v1", "v1beta1"}, false},
	{KindListenerSet, GatewayAPI, "listenersets", []string{"v1"}, true},
	{KindHTTPRoute, GatewayAPI, "httproutes", []string{"v1", "v1beta1"}, true},
	{KindGRPCRoute, GatewayAPI, "grpcroutes", []string{"v1"}, true},
	{KindTLSRoute, GatewayAPI, "tlsroutes", []string{"v1", "v1alpha3", "v1alpha2"}, true},
	{KindTCPRoute, GatewayAPI, "tcproutes", []string{"v1", "v1alpha2"}, true},
	{KindEnvoyFilter, "networking.istio.io", "envoyfilters", []string{"v1alpha3"}, true},
	{KindWasmPlugin, "extensions.istio.io", "wasmplugins", []string{"v1alpha1"}, true},
	{KindTrafficExtension, "extensions.istio.io", "trafficextensions", []string{"v1alpha1"}, true},
	{KindAuthorizationPolicy, "security.istio.io", "authorizationpolicies", []string{"v1", "v1beta1"}, true},
	{KindRequestAuthentication, "security.istio.io", "requestauthentications", []string{"v1", "v1beta1"}, true},
	{KindTelemetry, "telemetry.istio.io", "telemetries", []string{"v1", "v1alpha1"}, true},
	{KindProxyConfig, "networking.istio.io", "proxyconfigs", []string{"v1beta1"}, true},
}

// ForAudits reports whether a kind is read by audits only. Admission neither needs objects of it
// nor waits for them.
func ForAudits(kind Kind) bool {
	return kind == KindConfigMap || kind == KindNode || kind == KindCertificate
}

// Lookup finds the API that serves apiVersion ("group/version", or "version" for the
// core group) and kind. It reports false for every kind that gatewarden does not read.
func Lookup(apiVersion, kind string) (API, bool) {
	group, version := "", apiVersion
	if i := strings.IndexByte(apiVersion, '/'); i >= 0 {
		group, version = apiVersion[:i], apiVersion[i+1:]
	}
	for _, a := range APIs {
		if a.Name() != kind || a.Group != group {
			continue
		}
		for _, v := range a.Versions {
			if v == version {
				return a, true
			}
		}
	}
	return API{}, false
}

// ByKind returns the API of a kind. It panics for a kind that is not in APIs, which only
// a programming error can ask for.
func ByKind(kind Kind) API {
	api, known := Known(kind)
	if !known {
		panic("resource: no API for kind " + string(kind))
	}
	return api
}

// Known returns the API of a kind, or false.
func Known(kind Kind) (API, bool) {
	for _, a := range APIs {
		if a.Kind == kind {
			return a, true
		}
	}
	return API{}, false
}

// Key identifies an object within its kind.
type Key struct {
	Kind      Kind
	Namespace string
	Name      string
}

// String is "Kind namespace/name", or "Kind name" for an object without a namespace.
func (k Key) String() string {
	if k.Namespace == "" {
		return string(k.Kind) + " " + k.Name
	}
	return string(k.Kind) + " " + k.Namespace + "/" + k.Name
}

// Compare orders keys by kind, namespace and name.
func (k Key) Compare(o Key) int {
	return cmp.Or(cmp.Compare(k.Kind, o.Kind), cmp.Compare(k.Namespace, o.Namespace), cmp.Compare(k.Name, o.Name))
}

// Meta is the part of ObjectMeta that policy reads.
type Meta struct {
	Namespace string
	// Name is empty at CREATE of an object with GenerateName: the API server makes the
	// name up after admission.
	Name         string
	GenerateName string
	// UID is read by no rule: whoever tells of an object says by it which one he means.
	UID string
	// Version is the resourceVersion, which grows with every change of the object; zero for one
	// that was never stored. No rule reads it.
	Version uint64
	// Created is the creationTimestamp, to the second; zero for an object that was
	// never stored.
	Created     time.Time
	Terminating bool // a deletionTimestamp is set
	Labels      map[string]string
	Annotations map[string]string
	// Source is the place the object was read from, for example "gateways.yaml:12".
	// It is empty for objects of a cluster.
	Source string
	// Origin is nil for an object that somebody wrote, and else what Istio made it of.
	Origin *Origin
}

// ParseVersion returns a resourceVersion as the number that it is (ResourceVersion in ObjectMeta of
// k8s.io/apimachinery pkg/apis/meta/v1/types.go says that they can be compared), or zero.
func ParseVersion(resourceVersion string) uint64 {
	n, err := strconv.ParseUint(resourceVersion, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// ChartLabel is the label with the name and version of the Helm chart that rendered an object.
const ChartLabel = "helm.sh/chart"

// Object is a decoded object: one of the struct types of this package, by pointer.
type Object interface {
	Key() Key
	GetMeta() *Meta
}

// GetMeta returns the metadata of the object.
func (m *Meta) GetMeta() *Meta { return m }

// ByAge puts the older object first, as Istio does: by creation time, then name, then namespace
// (configCompareByCreationTime in istio.io/istio pilot/pkg/model/config.go).
func ByAge(a, b *Meta) int {
	return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Namespace, b.Namespace))
}

// DisplayName is the name to show to people: the name, or for an object that does not
// have one yet, its generateName with an ellipsis.
func (m *Meta) DisplayName() string {
	if m.Name != "" {
		return m.Name
	}
	if m.GenerateName != "" {
		return m.GenerateName + "…"
	}
	return "(unnamed)"
}

// Gateway is networking.istio.io Gateway.
type Gateway struct {
	Meta
	// Selector is nil or empty for a Gateway that every gateway workload serves.
	Selector map[string]string
	Servers  []Server
}

// Server is one server of a Gateway, with hosts as they were written.
type Server struct {
	Name     string
	PortName string
	Port     uint32 // as written: a Service may translate it to another listener port
	Protocol string // as written
	Bind     string
	Hosts    []string
	// TLS is nil for a server without a tls block.
	TLS *ServerTLS
}

// ServerTLS is the tls block of a server.
type ServerTLS struct {
	// Mode is the name of the mode, for example "SIMPLE". An absent field is
	// "PASSTHROUGH", the zero of ServerTLSSettings_TLSmode in istio.io/api.
	Mode           string
	HTTPSRedirect  bool
	CredentialName string
}

// VirtualService is networking.istio.io VirtualService.
type VirtualService struct {
	Meta
	Hosts    []string
	Gateways []string // as written; empty means "mesh"
	ExportTo []string
	HTTP     []HTTPRoute
	TLS      []L4Route
	TCP      []L4Route
}

// HTTPRoute is one entry of spec.http.
type HTTPRoute struct {
	Name    string
	Matches []HTTPMatch // empty: every request
	// Delegate is "namespace/name" of the VirtualService that the route hands over to,
	// or empty.
	Delegate     string
	Destinations []Destination
	// Headers are the request headers that the route changes.
	Headers []HeaderEdit
}

// Destination is where a route sends requests or connections to, or copies of them.
type Destination struct {
	Host  string // as written
	Index int32  // in its list
	List  DestinationList
}

// DestinationList tells where in a route a destination is written.
type DestinationList uint8

// The lists of destinations. InMirror is the single one of the deprecated field.
const (
	InRoute DestinationList = iota
	InMirrors
	InMirror
)

// Field is the path of the destination's host below its route.
func (d Destination) Field() string {
	switch d.List {
	case InMirror:
		return "mirror.host"
	case InMirrors:
		return fmt.Sprintf("mirrors[%d].destination.host", d.Index)
	}
	return fmt.Sprintf("route[%d].destination.host", d.Index)
}

// HeaderEdit is a request header that a route sets, adds or removes.
type HeaderEdit struct {
	Name string // as written
	// Destination is the index of the destination in "route" that the edit is for, or
	// EveryDestination.
	Destination int32
	Operation   HeaderOperation
}

// EveryDestination is the HeaderEdit.Destination of an edit for all that a route sends.
const EveryDestination = -1

// HeaderOperation is what is done to a header.
type HeaderOperation uint8

// The operations on headers.
const (
	SetHeader HeaderOperation = iota
	AddHeader
	RemoveHeader
)

func (o HeaderOperation) String() string {
	switch o {
	case AddHeader:
		return "add"
	case RemoveHeader:
		return "remove"
	}
	return "set"
}

// Field is the path of the edit below its route.
func (e HeaderEdit) Field() string {
	if e.Destination == EveryDestination {
		return "headers.request." + e.Operation.String()
	}
	return fmt.Sprintf("route[%d].headers.request.%s", e.Destination, e.Operation)
}

// AppliesTo reports whether the edit is for what is sent to a destination; mirrors get what
// the whole route changes.
func (e HeaderEdit) AppliesTo(d Destination) bool {
	return e.Destination == EveryDestination || d.List == InRoute && d.Index == e.Destination
}

// EachDestination calls f for every destination of the routes of all protocols.
func (o *VirtualService) EachDestination(f func(*Destination)) {
	each := func(list []Destination) {
		for i := range list {
			f(&list[i])
		}
	}
	for i := range o.HTTP {
		each(o.HTTP[i].Destinations)
	}
	for _, routes := range [][]L4Route{o.TLS, o.TCP} {
		for i := range routes {
			each(routes[i].Destinations)
		}
	}
}

// StringMatch is Istio's StringMatch.
type StringMatch struct {
	Type  MatchType
	Value string
}

// MatchType tells how a StringMatch compares.
type MatchType uint8

// The ways a StringMatch compares. MatchAny is an absent match.
const (
	MatchAny MatchType = iota
	MatchExact
	MatchPrefix
	MatchRegex
)

func (m StringMatch) String() string {
	switch m.Type {
	case MatchExact:
		return "exact " + m.Value
	case MatchPrefix:
		return "prefix " + m.Value
	case MatchRegex:
		return "regex " + m.Value
	}
	return "any path"
}

// HTTPMatch is one entry of http[].match.
type HTTPMatch struct {
	Name          string // goes into the name of the proxy's route
	URI           StringMatch
	IgnoreURICase bool
	Port          uint32 // 0: any port
	Gateways      []string
	// Conditioned is true when anything but the path, port or gateways narrows the match:
	// headers, method, authority, scheme, query parameters, source.
	Conditioned bool
}

// L4Route is one entry of spec.tls or spec.tcp.
type L4Route struct {
	Matches      []L4Match // empty: every connection
	Destinations []Destination
}

// L4Match is one entry of tls[].match or tcp[].match. SNIHosts is empty for tcp.
type L4Match struct {
	SNIHosts []string
	Port     uint32 // 0: any port
	Gateways []string
}

// MTLSMode is the mode of a PeerAuthentication, ordered by how much it enforces.
type MTLSMode uint8

// The modes of PeerAuthentication.MutualTLS. ModeUnset inherits.
const (
	ModeUnset MTLSMode = iota
	ModeDisable
	ModePermissive
	ModeStrict
)

func (m MTLSMode) String() string {
	switch m {
	case ModeDisable:
		return "DISABLE"
	case ModePermissive:
		return "PERMISSIVE"
	case ModeStrict:
		return "STRICT"
	}
	return "UNSET"
}

// PeerAuthentication is security.istio.io PeerAuthentication.
type PeerAuthentication struct {
	Meta
	// Selector is empty for a namespace-wide or mesh-wide policy.
	Selector map[string]string
	Mode     MTLSMode
	// Ports is portLevelMtls, by container port.
	Ports map[uint32]MTLSMode
}

// Workload is a Deployment, DaemonSet, StatefulSet or Pod: whatever carries pods.
type Workload struct {
	Meta
	Kind Kind
	Pod  PodTemplate
	// Controlled reports whether a controller made the object, by its ownerReferences.
	Controlled bool
}

// PodTemplate is the part of a pod, or of a pod template, that policy reads.
type PodTemplate struct {
	Labels         map[string]string
	Annotations    map[string]string
	ServiceAccount string
	HostNetwork    bool
	RunAsUser      *int64 // of the pod's security context
	Sysctls        []Sysctl
	NodeSelector   map[string]string
	Containers     []Container
	// PodIPs are the addresses of a running Pod.
	PodIPs []string
}

// Sysctl is one entry of securityContext.sysctls.
type Sysctl struct{ Name, Value string }

// Container is the part of a container that policy reads.
type Container struct {
	Name, Image      string
	RunAsUser        *int64
	CapabilitiesAdd  []string
	CapabilitiesDrop []string
	Ports            []ContainerPort
	// Env is kept of istiod's container only.
	Env []EnvVar
}

// EnvVar is one entry of a container's env.
type EnvVar struct {
	Name, Value string
	// Elsewhere is true if the value is taken from another object.
	Elsewhere bool
}

// Discovery is the name of istiod's container (manifests/charts/istio-control/istio-discovery/
// templates/deployment.yaml in istio.io/istio).
const Discovery = "discovery"

// Container returns the container with the name, or nil.
func (t *PodTemplate) Container(name string) *Container {
	for i := range t.Containers {
		if t.Containers[i].Name == name {
			return &t.Containers[i]
		}
	}
	return nil
}

// ContainerPort is a port that a container says it listens on. Listing it is a courtesy,
// except for its name, which a Service may use as its targetPort.
type ContainerPort struct {
	Name string // may be empty
	Port uint32
	// OnHost is true if a port of the node leads there as well.
	OnHost bool
}

// Service is a core Service.
type Service struct {
	Meta
	Selector map[string]string // empty: endpoints are managed by hand
	Ports    []ServicePort
	// ExternalName is the DNS name that the Service stands for, or empty.
	ExternalName string
	ClusterIPs   []string // without "None"
}

// ServicePort is one port of a Service or ServiceEntry.
type ServicePort struct {
	Name       string
	Protocol   string
	Port       uint32
	TargetPort uint32 // 0: a named port, see TargetName, or the same as Port
	TargetName string
}

// ServiceEntry is networking.istio.io ServiceEntry.
type ServiceEntry struct {
	Meta
	WorkloadSelector map[string]string
	Hosts            []string
	Ports            []ServicePort
	// Endpoints are the addresses of its endpoints: IP addresses and DNS names.
	Endpoints []string
	// ResolvesDNS reports whether its hosts are looked up by DNS where it has no endpoints.
	ResolvesDNS bool
	ExportTo    []string
}

// WorkloadEntry is networking.istio.io WorkloadEntry: an endpoint of the Services and
// ServiceEntries of its namespace that select its labels.
type WorkloadEntry struct {
	Meta
	Address string
	// Selected are the labels by which it is selected: those of the spec, and of the metadata
	// before them.
	Selected map[string]string
}

// Namespace is a core Namespace.
type Namespace struct {
	Meta
}

// namespaceName is the label that the API server gives every namespace, with its name.
const namespaceName = "kubernetes.io/metadata.name"

// SelectedBy reports whether a selector accepts the namespace by its labels.
func (o *Namespace) SelectedBy(s *LabelSelector) bool {
	if _, ok := o.Labels[namespaceName]; ok {
		return s.Matches(o.Labels)
	}
	labels := map[string]string{namespaceName: o.Name}
	for k, v := range o.Labels {
		labels[k] = v
	}
	return s.Matches(labels)
}

// Injectors is admissionregistration.k8s.io MutatingWebhookConfiguration with those of its
// webhooks by which Istio injects pods; most configurations have none.
type Injectors struct {
	Meta
	Webhooks []Injector
}

// Injector is a webhook that injects pods. The API server calls it for the pods that both
// selectors accept, by the labels of the namespace and by those of the pod itself.
type Injector struct {
	Namespaces, Pods LabelSelector
}

// Key returns the identity of the Gateway; that of its origin if it has one.
func (o *Gateway) Key() Key { return o.key(KindGateway) }

// Key returns the identity of the VirtualService; that of its origin if it has one.
func (o *VirtualService) Key() Key { return o.key(KindVirtualService) }

// Key returns the identity of the PeerAuthentication.
func (o *PeerAuthentication) Key() Key { return Key{KindPeerAuthentication, o.Namespace, o.Name} }

// Key returns the identity of the workload.
func (o *Workload) Key() Key { return Key{o.Kind, o.Namespace, o.Name} }

// Key returns the identity of the Service.
func (o *Service) Key() Key { return Key{KindService, o.Namespace, o.Name} }

// Key returns the identity of the ServiceEntry.
func (o *ServiceEntry) Key() Key { return Key{KindServiceEntry, o.Namespace, o.Name} }

// Key returns the identity of the WorkloadEntry.
func (o *WorkloadEntry) Key() Key { return Key{KindWorkloadEntry, o.Namespace, o.Name} }

// Key returns the identity of the Namespace.
func (o *Namespace) Key() Key { return Key{KindNamespace, "", o.Name} }

// Key returns the identity of the configuration.
func (o *Injectors) Key() Key { return Key{KindInjectors, "", o.Name} }

// ClusterDomain is Istio's default for global.proxy.clusterDomain.
const ClusterDomain = "cluster.local"

// FQDN resolves a host as an object of the namespace writes it: a name without a dot is a
// Service of that namespace, anything else is taken as it is (ResolveShortnameToFQDN in
// istio.io/istio pilot/pkg/model/config.go).
func FQDN(host, namespace string) string {
	if host == "" || host == "*" || strings.ContainsAny(host, ".:") {
		return host
	}
	return host + "." + namespace + ".svc." + ClusterDomain
}

// Selects reports whether selector is a subset of labels, which is how Istio matches a
// Gateway's selector (labels.Instance.SubsetOf in pkg/config/labels). An empty selector
// matches everything.
func Selects(selector, labels map[string]string) bool {
	for k, v := range selector {
		if l, ok := labels[k]; !ok || l != v {
			return false
		}
	}
	return true
}
