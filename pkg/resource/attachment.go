package resource

import (
	"cmp"
	"strings"
)

// The annotations by which Istio tells a Gateway that it makes of the Gateway API from one that
// somebody wrote. Anybody may set them on a Gateway of his own: only some are refused, and those
// not by every release (ValidateGateway in istio.io/istio pkg/config/validation/validation.go).
const (
	// GatewayService names the Services by which a Gateway is attached to pods, instead of its
	// selector. ParentNamespace is where they are, if not in the namespace of the Gateway.
	GatewayService  = "internal.istio.io/gateway-service"
	ParentNamespace = "internal.istio.io/parent-namespace"
	// GatewaySemantics is "gateway" for what is made of the Gateway API, and ServiceAccount is
	// set where Istio runs the pods of that Gateway.
	GatewaySemantics = "internal.istio.io/gateway-semantics"
	ServiceAccount   = "internal.istio.io/service-account-name"
)

// OfGatewayAPI reports whether Istio takes the Gateway for one that it made of the Gateway API.
func (o *Gateway) OfGatewayAPI() bool { return o.Annotations[GatewaySemantics] == "gateway" }

// Managed reports whether Istio takes the Gateway for one that it made of the Gateway API, and
// whose pods it runs.
func (o *Gateway) Managed() bool { return o.OfGatewayAPI() && o.Annotations[ServiceAccount] != "" }

// Services returns the Services that the Gateway is attached to pods by, as "name.namespace", and
// the namespace that they have to be in; false for a Gateway that is attached by its selector.
func (o *Gateway) Services() (names []string, namespace string, ok bool) {
	list, ok := o.Annotations[GatewayService]
	if !ok {
		return nil, "", false
	}
	for _, host := range strings.Split(list, ",") {
		if name, _, found := strings.Cut(host, ".svc."); found {
			names = append(names, name)
		}
	}
	return names, cmp.Or(o.Annotations[ParentNamespace], o.Namespace), true
}
