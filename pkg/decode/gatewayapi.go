package decode

import (
	"fmt"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

// kubernetesGatewayDoc is what is read of gateway.networking.k8s.io Gateway.
type kubernetesGatewayDoc struct {
	header
	Spec struct {
		GatewayClassName string `json:"gatewayClassName"`
		Addresses        []struct {
			Type  *string `json:"type"`
			Value string  `json:"value"`
		} `json:"addresses"`
		Listeners        []listenerDoc `json:"listeners"`
		AllowedListeners *struct {
			Namespaces *namespaceChoice `json:"namespaces"`
		} `json:"allowedListeners"`
	} `json:"spec"`
}

// listenerDoc is Listener, and ListenerEntry of a ListenerSet, which have the same fields.
type listenerDoc struct {
	Name     string     `json:"name"`
	Hostname *string    `json:"hostname"`
	Port     portNumber `json:"port"`
	Protocol string     `json:"protocol"`
	TLS      *struct {
		Mode            *string           `json:"mode"`
		Options         map[string]string `json:"options"`
		CertificateRefs []struct {
			Namespace *string `json:"namespace"`
			Name      string  `json:"name"`
		} `json:"certificateRefs"`
	} `json:"tls"`
	AllowedRoutes *struct {
		Namespaces *namespaceChoice `json:"namespaces"`
		Kinds      []struct {
			Group *string `json:"group"`
			Kind  string  `json:"kind"`
		} `json:"kinds"`
	} `json:"allowedRoutes"`
}

// namespaceChoice is RouteNamespaces, and ListenerNamespaces.
type namespaceChoice struct {
	From     *string        `json:"from"`
	Selector *labelSelector `json:"selector"`
}

func (in *namespaceChoice) convert() *resource.NamespaceChoice {
	if in == nil {
		return nil
	}
	out := &resource.NamespaceChoice{From: orEmpty(in.From)}
	if in.Selector != nil {
		selector := in.Selector.convert()
		out.Selector = &selector
	}
	return out
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// kubernetesGateway converts a Gateway of the Gateway API.
func kubernetesGateway(_ resource.Kind, meta resource.Meta, in *kubernetesGatewayDoc) (resource.Object, *Error) {
	out := &resource.KubernetesGateway{Meta: meta, Class: in.Spec.GatewayClassName}
	for _, a := range in.Spec.Addresses {
		out.Addresses = append(out.Addresses, resource.GatewayAddress{Type: orEmpty(a.Type), Value: a.Value})
	}
	if in.Spec.AllowedListeners != nil {
		out.AllowedListeners = in.Spec.AllowedListeners.Namespaces.convert()
	}
	var err *Error
	out.Listeners, err = listeners(in.Spec.Listeners)
	return out, err
}

func listeners(in []listenerDoc) ([]resource.Listener, *Error) {
	var out []resource.Listener
	for i, l := range in {
		port := l.Port
		if port == 0 { // what a ListenerSet may leave out: detectListenerPortNumber in Istio
			switch l.Protocol {
			case "HTTP":
				port = 80
			case "HTTPS":
				port = 443
			}
		}
		if why := wrongPort(port); why != "" {
			return nil, fault(why, "spec.listeners[%d].port", i)
		}
		listener := resource.Listener{Name: l.Name, Hostname: orEmpty(l.Hostname), Port: uint32(port), Protocol: l.Protocol}
		if l.TLS != nil {
			listener.TLS = &resource.ListenerTLS{Mode: orEmpty(l.TLS.Mode), Options: keep(l.TLS.Options)}
			for _, c := range l.TLS.CertificateRefs {
				name := c.Name
				if c.Namespace != nil {
					name = *c.Namespace + "/" + name
				}
				listener.TLS.Certificates = append(listener.TLS.Certificates, name)
			}
		}
		if l.AllowedRoutes != nil {
			listener.AllowedRoutes = l.AllowedRoutes.Namespaces.convert()
			for _, k := range l.AllowedRoutes.Kinds {
				listener.Kinds = append(listener.Kinds, groupKind(k.Group, &k.Kind))
			}
		}
		out = append(out, listener)
	}
	return out, nil
}

// groupKind fills in the group and kind that references in the Gateway API have by default.
func groupKind(group, kind *string) resource.GroupKind {
	out := resource.GroupKind{Group: resource.GatewayAPI, Kind: "Gateway"}
	if group != nil {
		out.Group = *group
	}
	if kind != nil {
		out.Kind = *kind
	}
	return out
}

// gatewayClassDoc is what is read of gateway.networking.k8s.io GatewayClass.
type gatewayClassDoc struct {
	header
	Spec struct {
		ControllerName string `json:"controllerName"`
	} `json:"spec"`
}

// gatewayClass converts a GatewayClass.
func gatewayClass(_ resource.Kind, meta resource.Meta, in *gatewayClassDoc) (resource.Object, *Error) {
	return &resource.GatewayClass{Meta: meta, Controller: in.Spec.ControllerName}, nil
}

// parentRef is ParentReference, and the ParentGatewayReference of a ListenerSet.
type parentRef struct {
	Group     *string `json:"group"`
	Kind      *string `json:"kind"`
	Namespace *string `json:"namespace"`
	Name      string  `json:"name"`
}

// convert fills in the namespace, which is that of the object that refers.
func (in parentRef) convert(namespace string) resource.ParentRef {
	out := resource.ParentRef{GroupKind: groupKind(in.Group, in.Kind), Namespace: namespace, Name: in.Name}
	if in.Namespace != nil {
		out.Namespace = *in.Namespace
	}
	return out
}

// listenerSetDoc is what is read of gateway.networking.k8s.io ListenerSet.
type listenerSetDoc struct {
	header
	Spec struct {
		ParentRef parentRef     `json:"parentRef"`
		Listeners []listenerDoc `json:"listeners"`
	} `json:"spec"`
}

// listenerSet converts a ListenerSet.
func listenerSet(_ resource.Kind, meta resource.Meta, in *listenerSetDoc) (resource.Object, *Error) {
	out := &resource.ListenerSet{Meta: meta, Parent: in.Spec.ParentRef.convert("")}
	var err *Error
	out.Listeners, err = listeners(in.Spec.Listeners)
	return out, err
}

// routeParentRef is ParentReference.
type routeParentRef struct {
	Group       *string    `json:"group"`
	Kind        *string    `json:"kind"`
	Namespace   *string    `json:"namespace"`
	Name        string     `json:"name"`
	SectionName *string    `json:"sectionName"`
	Port        portNumber `json:"port"`
}

func (in routeParentRef) convert() resource.ParentRef {
	out := parentRef{in.Group, in.Kind, in.Namespace, in.Name}.convert("")
	out.Section, out.Port = orEmpty(in.SectionName), uint32(max(in.Port, 0))
	return out
}

// filteredRef is HTTPBackendRef, and GRPCBackendRef, which has the same fields.
type filteredRef struct {
	backendRef
	Filters []routeFilter `json:"filters"`
}

// backendRef is BackendRef, and the BackendObjectReference of a mirror.
type backendRef struct {
	Group     *string `json:"group"`
	Kind      *string `json:"kind"`
	Namespace *string `json:"namespace"`
	Name      string  `json:"name"`
}

// convert fills in the namespace, which is that of the route.
func (in *backendRef) convert(namespace, path string) resource.Backend {
	out := resource.Backend{GroupKind: resource.GroupKind{Group: orEmpty(in.Group), Kind: "Service"}, Namespace: namespace, Name: in.Name, Path: path}
	if in.Kind != nil {
		out.Kind = *in.Kind
	}
	if in.Namespace != nil {
		out.Namespace = *in.Namespace
	}
	return out
}

func backends(in []backendRef, namespace string) []resource.Backend {
	var out []resource.Backend
	for i := range in {
		out = append(out, in[i].convert(namespace, fmt.Sprintf("backendRefs[%d]", i)))
	}
	return out
}

// routeFilter is HTTPRouteFilter, and GRPCRouteFilter, which has the same fields.
type routeFilter struct {
	RequestHeaderModifier *struct {
		Set    []headerName `json:"set"`
		Add    []headerName `json:"add"`
		Remove []string     `json:"remove"`
	} `json:"requestHeaderModifier"`
	RequestMirror *struct {
		BackendRef backendRef `json:"backendRef"`
	} `json:"requestMirror"`
}

// headerName is HTTPHeader without its value.
type headerName struct {
	Name string `json:"name"`
}

// filteredRule makes the rule of backends and filters.
func filteredRule(in []filteredRef, filters []routeFilter, namespace string) resource.RouteRule {
	refs := make([]backendRef, len(in))
	for i := range in {
		refs[i] = in[i].backendRef
	}
	out := resource.RouteRule{Backends: backends(refs, namespace)}
	for i := range in {
		addFilters(&out, in[i].Filters, i, namespace, fmt.Sprintf("backendRefs[%d].", i))
	}
	addFilters(&out, filters, resource.EveryDestination, namespace, "")
	return out
}

// addFilters adds what the filters of a rule or of one of its backends do. Istio makes no
// mirrors of a backend's filters; they count, because another release may.
func addFilters(out *resource.RouteRule, filters []routeFilter, destination int, namespace, at string) {
	for i := range filters {
		f, path := &filters[i], fmt.Sprintf("%sfilters[%d]", at, i)
		if m := f.RequestMirror; m != nil {
			b := m.BackendRef.convert(namespace, path+".requestMirror.backendRef")
			b.Mirror = true
			out.Backends = append(out.Backends, b)
		}
		if h := f.RequestHeaderModifier; h != nil {
			add := func(operation resource.HeaderOperation, name string) {
				out.Headers = append(out.Headers, resource.BackendHeader{
					HeaderEdit: resource.HeaderEdit{Name: name, Destination: int32(destination), Operation: operation},
					Path:       path + ".requestHeaderModifier." + operation.String(),
				})
			}
			for _, n := range h.Set {
				add(resource.SetHeader, n.Name)
			}
			for _, n := range h.Add {
				add(resource.AddHeader, n.Name)
			}
			for _, n := range h.Remove {
				add(resource.RemoveHeader, n)
			}
		}
	}
}

// nameOnly is a list of which only the length counts.
type nameOnly []struct {
	Name string `json:"name"`
}

// routeRule is one entry of the rules of a kind of routes.
type routeRule interface {
	// convert converts the rule of a route in the namespace.
	convert(namespace string) resource.RouteRule
}

// routeDoc is what is read of gateway.networking.k8s.io HTTPRoute, GRPCRoute and TLSRoute.
type routeDoc[R routeRule] struct {
	header
	Spec struct {
		ParentRefs []routeParentRef `json:"parentRefs"`
		Hostnames  []string         `json:"hostnames"`
		Rules      []R              `json:"rules"`
	} `json:"spec"`
}

// tcpRouteDoc is what is read of gateway.networking.k8s.io TCPRoute, which has no hostnames.
type tcpRouteDoc struct {
	header
	Spec struct {
		ParentRefs []routeParentRef `json:"parentRefs"`
		Rules      []l4Rule         `json:"rules"`
	} `json:"spec"`
}

// route converts an HTTPRoute, GRPCRoute or TLSRoute.
func route[R routeRule](kind resource.Kind, meta resource.Meta, in *routeDoc[R]) (resource.Object, *Error) {
	return newRoute(kind, meta, in.Spec.ParentRefs, in.Spec.Hostnames, in.Spec.Rules), nil
}

// tcpRoute converts a TCPRoute.
func tcpRoute(kind resource.Kind, meta resource.Meta, in *tcpRouteDoc) (resource.Object, *Error) {
	return newRoute(kind, meta, in.Spec.ParentRefs, nil, in.Spec.Rules), nil
}

func newRoute[R routeRule](kind resource.Kind, meta resource.Meta, parents []routeParentRef, hostnames []string, rules []R) *resource.Route {
	out := &resource.Route{Meta: meta, Kind: kind, Hostnames: hostnames}
	for _, p := range parents {
		out.Parents = append(out.Parents, p.convert())
	}
	for _, r := range rules {
		out.Rules = append(out.Rules, r.convert(meta.Namespace))
	}
	return out
}

// httpRule is HTTPRouteRule.
type httpRule struct {
	Matches []struct {
		Path *struct {
			Type  *string `json:"type"`
			Value *string `json:"value"`
		} `json:"path"`
		Headers     nameOnly `json:"headers"`
		QueryParams nameOnly `json:"queryParams"`
		Method      *string  `json:"method"`
	} `json:"matches"`
	Name        string        `json:"name"`
	BackendRefs []filteredRef `json:"backendRefs"`
	Filters     []routeFilter `json:"filters"`
}

// convert fills in the defaults of HTTPPathMatch in the Gateway API: a PathPrefix of "/".
func (r httpRule) convert(namespace string) resource.RouteRule {
	out := filteredRule(r.BackendRefs, r.Filters, namespace)
	out.Name = r.Name
	for _, m := range r.Matches {
		match := resource.RouteMatch{Conditioned: len(m.Headers) > 0 || len(m.QueryParams) > 0 || m.Method != nil}
		if m.Path != nil {
			match.PathType, match.Path = "PathPrefix", "/"
			if m.Path.Type != nil {
				match.PathType = *m.Path.Type
			}
			if m.Path.Value != nil {
				match.Path = *m.Path.Value
			}
		}
		out.Matches = append(out.Matches, match)
	}
	return out
}

// grpcRule is GRPCRouteRule.
type grpcRule struct {
	Matches []struct {
		Method *struct {
			Type    *string `json:"type"`
			Service *string `json:"service"`
			Method  *string `json:"method"`
		} `json:"method"`
		Headers nameOnly `json:"headers"`
	} `json:"matches"`
	Name        string        `json:"name"`
	BackendRefs []filteredRef `json:"backendRefs"`
	Filters     []routeFilter `json:"filters"`
}

func (r grpcRule) convert(namespace string) resource.RouteRule {
	out := filteredRule(r.BackendRefs, r.Filters, namespace)
	out.Name = r.Name
	for _, m := range r.Matches {
		match := resource.RouteMatch{Conditioned: len(m.Headers) > 0}
		if m.Method != nil {
			match.PathType = "Exact"
			if m.Method.Type != nil {
				match.PathType = *m.Method.Type
			}
			match.Service, match.Method = orEmpty(m.Method.Service), orEmpty(m.Method.Method)
		}
		out.Matches = append(out.Matches, match)
	}
	return out
}

// l4Rule is TLSRouteRule, and TCPRouteRule.
type l4Rule struct {
	BackendRefs []backendRef `json:"backendRefs"`
}

func (r l4Rule) convert(namespace string) resource.RouteRule {
	return resource.RouteRule{Backends: backends(r.BackendRefs, namespace)}
}
