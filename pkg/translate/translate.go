// Package translate makes the Gateways and VirtualServices that Istio makes of Kubernetes'
// own objects for routing, so that whatever is known of the former holds for the latter.
//
// A translated object is never stored in a cluster. Its Meta.Origin leads back to the object
// that somebody wrote, by whose name and fields it is to be called.
package translate

import (
	"strings"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

// Options are the settings of the mesh that translation depends on. The zero value has the
// defaults of DefaultMeshConfig in istio.io/istio pkg/config/mesh/mesh.go.
type Options struct {
	// IngressMode is meshConfig.ingressControllerMode. Default: IngressStrict.
	IngressMode string
	// IngressClass is meshConfig.ingressClass. Default: istio.
	IngressClass string
	// IngressSelector is meshConfig.ingressSelector. Default: none.
	IngressSelector string
	// IngressService is meshConfig.ingressService. Default: istio-ingressgateway.
	IngressService string
	// NoTCPListeners is true for an Istio before 1.31 without PILOT_ENABLE_ALPHA_GATEWAY_API,
	// which makes nothing of TCP listeners and TCPRoutes.
	NoTCPListeners bool
	// OnlyManagedGateways is true where istiod's ENABLE_GATEWAY_API_MANUAL_DEPLOYMENT is false.
	OnlyManagedGateways bool
}

// WithDefaults returns the options with their defaults filled in.
func (o Options) WithDefaults() Options {
	for _, f := range []struct {
		field *string
		value string
	}{{&o.IngressMode, IngressStrict}, {&o.IngressClass, "istio"}, {&o.IngressService, defaultIngressService}} {
		if *f.field == "" {
			*f.field = f.value
		}
	}
	return o
}

const defaultIngressService = "istio-ingressgateway"

// The values of meshConfig.ingressControllerMode.
const (
	IngressOff     = "OFF"     // Istio reads no Ingress
	IngressStrict  = "STRICT"  // Istio reads those of its class
	IngressDefault = "DEFAULT" // Istio reads those of its class and of none
)

// World is where a translation finds the other objects that it depends on. What it asks for
// tells when it has to be made again.
type World interface {
	// Get returns the object with the key, or nil.
	Get(key resource.Key) resource.Object
	// Each calls f for every object of a kind in all namespaces until f returns false.
	Each(kind resource.Kind, f func(resource.Object) bool)
}

// Kinds are the kinds that are translated.
var Kinds = []resource.Kind{
	resource.KindIngress, resource.KindKubernetesGateway, resource.KindListenerSet,
	resource.KindHTTPRoute, resource.KindGRPCRoute, resource.KindTLSRoute, resource.KindTCPRoute,
}

// Into are the kinds that others are translated into.
var Into = []resource.Kind{resource.KindGateway, resource.KindVirtualService}

// Classes are the kinds by whose objects it is told whether others are for Istio.
var Classes = []resource.Kind{resource.KindIngressClass, resource.KindGatewayClass}

// Reads are the kinds that translations depend on and that are not translated themselves.
var Reads = append([]resource.Kind{resource.KindNamespace}, Classes...)

// Objects returns what Istio makes of an object of one of Kinds: nothing, if the object is
// not for Istio.
func Objects(o resource.Object, in World, options Options) []resource.Object {
	options = options.WithDefaults()
	switch o := o.(type) {
	case *resource.Ingress:
		return ingress(o, in, options)
	case *resource.KubernetesGateway:
		return kubernetesGateway(o, in, options)
	case *resource.ListenerSet:
		return listenerSet(o, in, options)
	case *resource.Route:
		return route(o, in, options)
	}
	return nil
}

// separated returns the matches of a path prefix that ends at a slash or at the end of the
// path, as Istio matches the prefixes of Ingress and Gateway API (translateRouteMatch in
// istio.io/istio pilot/pkg/networking/core/route/route.go, for routes with the semantics of
// either): "/a" and "/a/b", but not "/ab".
func separated(prefix string) []resource.HTTPMatch {
	prefix = strings.TrimSuffix(prefix, "/")
	slash := resource.HTTPMatch{URI: resource.StringMatch{Type: resource.MatchPrefix, Value: prefix + "/"}}
	if prefix == "" {
		return []resource.HTTPMatch{slash}
	}
	return []resource.HTTPMatch{{URI: resource.StringMatch{Type: resource.MatchExact, Value: prefix}}, slash}
}
