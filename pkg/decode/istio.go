package decode

import (
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

// gatewayDoc is what is read of networking/v1alpha3 Gateway in istio.io/api.
type gatewayDoc struct {
	header
	Spec struct {
		Selector map[string]string `json:"selector"`
		Servers  []struct {
			Name  string   `json:"name"`
			Bind  string   `json:"bind"`
			Hosts []string `json:"hosts"`
			Port  *struct {
				Number   portNumber `json:"number"`
				Protocol string     `json:"protocol"`
				Name     string     `json:"name"`
			} `json:"port"`
			TLS *struct {
				Mode           *string `json:"mode"`
				HTTPSRedirect  bool    `json:"httpsRedirect"`
				CredentialName string  `json:"credentialName"`
			} `json:"tls"`
		} `json:"servers"`
	} `json:"spec"`
}

// gateway converts a Gateway. A Gateway without servers is none of Istio's either, but it
// does nothing, and istiod probes its own validation webhook with one
// (pkg/webhooks/validation/controller): it must not be refused by somebody else.
func gateway(_ resource.Kind, meta resource.Meta, in *gatewayDoc) (resource.Object, *Error) {
	out := &resource.Gateway{Meta: meta, Selector: in.Spec.Selector, Servers: sized[resource.Server](len(in.Spec.Servers))}
	for i, s := range in.Spec.Servers {
		if s.Port == nil {
			return nil, fault("is missing; give the server a port with number, name and protocol", "spec.servers[%d].port", i)
		}
		if s.Port.Number != 0 || !strings.HasPrefix(s.Bind, unixPrefix) {
			if why := wrongPort(s.Port.Number); why != "" {
				return nil, fault(why, "spec.servers[%d].port.number", i)
			}
		}
		if len(s.Hosts) == 0 {
			return nil, fault(`is empty; list at least one host name, or "*" for every host`, "spec.servers[%d].hosts", i)
		}
		for j, h := range s.Hosts {
			if why := wrongGatewayHost(h); why != "" {
				return nil, fault(why, "spec.servers[%d].hosts[%d]", i, j)
			}
		}
		server := resource.Server{
			Name:     s.Name,
			PortName: s.Port.Name,
			Port:     uint32(s.Port.Number),
			Protocol: s.Port.Protocol,
			Bind:     s.Bind,
			Hosts:    s.Hosts,
		}
		if s.TLS != nil {
			server.TLS = &resource.ServerTLS{
				Mode:           "PASSTHROUGH", // the zero of ServerTLSSettings_TLSmode
				HTTPSRedirect:  s.TLS.HTTPSRedirect,
				CredentialName: s.TLS.CredentialName,
			}
			if s.TLS.Mode != nil {
				server.TLS.Mode = *s.TLS.Mode
			}
		}
		out.Servers = append(out.Servers, server)
	}
	return out, nil
}

// virtualServiceDoc is what is read of networking/v1alpha3 VirtualService.
type virtualServiceDoc struct {
	header
	Spec struct {
		Hosts    []string `json:"hosts"`
		Gateways []string `json:"gateways"`
		ExportTo []string `json:"exportTo"`
		HTTP     []struct {
			Name     string      `json:"name"`
			Match    []httpMatch `json:"match"`
			Delegate *struct {
				Name      string `json:"name"`
				Namespace string `json:"namespace"`
			} `json:"delegate"`
			Route   []httpDestined `json:"route"`
			Mirror  *destination   `json:"mirror"`
			Mirrors []destined     `json:"mirrors"`
			Headers *headers       `json:"headers"`
		} `json:"http"`
		TLS []struct {
			Match []struct {
				SNIHosts []string `json:"sniHosts"`
				Port     uint32   `json:"port"`
				Gateways []string `json:"gateways"`
			} `json:"match"`
			Route []destined `json:"route"`
		} `json:"tls"`
		TCP []struct {
			Match []struct {
				Port     uint32   `json:"port"`
				Gateways []string `json:"gateways"`
			} `json:"match"`
			Route []destined `json:"route"`
		} `json:"tcp"`
	} `json:"spec"`
}

// destination is Destination.
type destination struct {
	Host string `json:"host"`
}

// destined is a RouteDestination or an HTTPMirrorPolicy.
type destined struct {
	Destination destination `json:"destination"`
}

// httpDestined is an HTTPRouteDestination.
type httpDestined struct {
	Destination destination `json:"destination"`
	Headers     *headers    `json:"headers"`
}

// sized returns an empty list with room for n; nil for none. Lists that grow have room for up to as
// much again, which would be held for as long as the object.
func sized[T any](n int) []T {
	if n == 0 {
		return nil
	}
	return make([]T, 0, n)
}

// destinations converts a list of destinations.
func destinations[D interface{ host() string }](list resource.DestinationList, in []D) []resource.Destination {
	out := sized[resource.Destination](len(in))
	for i, d := range in {
		out = append(out, resource.Destination{Host: d.host(), List: list, Index: int32(i)})
	}
	return out
}

func (d destined) host() string     { return d.Destination.Host }
func (d httpDestined) host() string { return d.Destination.Host }

// headers is Headers, of which only those of requests are read.
type headers struct {
	Request struct {
		Set    map[string]string `json:"set"`
		Add    map[string]string `json:"add"`
		Remove []string          `json:"remove"`
	} `json:"request"`
}

// edits adds what is done to headers of requests to one destination, or to every one.
func (in *headers) edits(out []resource.HeaderEdit, destination int) []resource.HeaderEdit {
	if in == nil {
		return out
	}
	add := func(operation resource.HeaderOperation, names []string) {
		for _, n := range names {
			out = append(out, resource.HeaderEdit{Name: n, Operation: operation, Destination: int32(destination)})
		}
	}
	add(resource.SetHeader, sortedKeys(in.Request.Set))
	add(resource.AddHeader, sortedKeys(in.Request.Add))
	add(resource.RemoveHeader, in.Request.Remove)
	return out
}

// httpMatch is HTTPMatchRequest.
type httpMatch struct {
	Name            string                 `json:"name"`
	URI             *stringMatch           `json:"uri"`
	IgnoreURICase   bool                   `json:"ignoreUriCase"`
	Port            uint32                 `json:"port"`
	Gateways        []string               `json:"gateways"`
	Scheme          *stringMatch           `json:"scheme"`
	Method          *stringMatch           `json:"method"`
	Authority       *stringMatch           `json:"authority"`
	Headers         map[string]stringMatch `json:"headers"`
	WithoutHeaders  map[string]stringMatch `json:"withoutHeaders"`
	QueryParams     map[string]stringMatch `json:"queryParams"`
	SourceLabels    map[string]string      `json:"sourceLabels"`
	SourceNamespace string                 `json:"sourceNamespace"`
}

// stringMatch is StringMatch, a oneof: the CustomResourceDefinition admits one field.
type stringMatch struct {
	Exact  *string `json:"exact"`
	Prefix *string `json:"prefix"`
	Regex  *string `json:"regex"`
}

// several reports whether more than one field is set, which no API server stores and whose
// meaning nobody knows.
func (m *stringMatch) several() bool {
	if m == nil {
		return false
	}
	n := 0
	for _, f := range []*string{m.Exact, m.Prefix, m.Regex} {
		if f != nil {
			n++
		}
	}
	return n > 1
}

// match converts a StringMatch; an absent one and one without a field match everything.
func (m *stringMatch) match() resource.StringMatch {
	switch {
	case m == nil:
	case m.Exact != nil:
		return resource.StringMatch{Type: resource.MatchExact, Value: *m.Exact}
	case m.Prefix != nil:
		return resource.StringMatch{Type: resource.MatchPrefix, Value: *m.Prefix}
	case m.Regex != nil:
		return resource.StringMatch{Type: resource.MatchRegex, Value: *m.Regex}
	}
	return resource.StringMatch{}
}

// conditioned reports whether something other than path, port and gateways narrows the
// match. A header without a value still asks for the header to be there.
func (m *httpMatch) conditioned() bool {
	narrows := func(s *stringMatch) bool { return s.match().Type != resource.MatchAny }
	return narrows(m.Scheme) || narrows(m.Method) || narrows(m.Authority) ||
		len(m.Headers) > 0 || len(m.WithoutHeaders) > 0 || len(m.QueryParams) > 0 ||
		len(m.SourceLabels) > 0 || m.SourceNamespace != ""
}

// virtualService converts a VirtualService. No hosts are legal: such a VirtualService is
// what others delegate to.
func virtualService(_ resource.Kind, meta resource.Meta, in *virtualServiceDoc) (resource.Object, *Error) {
	spec := &in.Spec
	for i, h := range spec.Hosts {
		if why := wrongVirtualServiceHost(h); why != "" {
			return nil, fault(why, "spec.hosts[%d]", i)
		}
	}
	out := &resource.VirtualService{Meta: meta, Hosts: spec.Hosts, Gateways: spec.Gateways, ExportTo: spec.ExportTo}
	out.HTTP = sized[resource.HTTPRoute](len(spec.HTTP))
	for i := range spec.HTTP {
		r := &spec.HTTP[i]
		route := resource.HTTPRoute{Name: r.Name, Matches: sized[resource.HTTPMatch](len(r.Match))}
		for j := range r.Match {
			m := &r.Match[j]
			if m.URI.several() {
				return nil, fault("has more than one of exact, prefix and regex; keep one", "spec.http[%d].match[%d].uri", i, j)
			}
			route.Matches = append(route.Matches, resource.HTTPMatch{
				Name:          m.Name,
				URI:           m.URI.match(),
				IgnoreURICase: m.IgnoreURICase,
				Port:          m.Port,
				Gateways:      m.Gateways,
				Conditioned:   m.conditioned(),
			})
		}
		if r.Delegate != nil {
			// mergeVirtualServicesIfNeeded in Istio's pilot/pkg/model/virtualservice.go looks
			// in the namespace of the root when the delegate names none.
			namespace := r.Delegate.Namespace
			if namespace == "" {
				namespace = meta.Namespace
			}
			route.Delegate = namespace + "/" + r.Delegate.Name
		}
		route.Destinations = destinations(resource.InRoute, r.Route)
		if r.Mirror != nil {
			route.Destinations = append(route.Destinations, resource.Destination{Host: r.Mirror.Host, List: resource.InMirror})
		}
		route.Destinations = append(route.Destinations, destinations(resource.InMirrors, r.Mirrors)...)
		route.Headers = r.Headers.edits(nil, resource.EveryDestination)
		for j := range r.Route {
			route.Headers = r.Route[j].Headers.edits(route.Headers, j)
		}
		out.HTTP = append(out.HTTP, route)
	}
	for _, r := range spec.TLS {
		route := resource.L4Route{Destinations: destinations(resource.InRoute, r.Route)}
		for _, m := range r.Match {
			route.Matches = append(route.Matches,
				resource.L4Match{SNIHosts: m.SNIHosts, Port: m.Port, Gateways: m.Gateways})
		}
		out.TLS = append(out.TLS, route)
	}
	for _, r := range spec.TCP {
		route := resource.L4Route{Destinations: destinations(resource.InRoute, r.Route)}
		for _, m := range r.Match {
			route.Matches = append(route.Matches, resource.L4Match{Port: m.Port, Gateways: m.Gateways})
		}
		out.TCP = append(out.TCP, route)
	}
	return out, nil
}

// peerAuthenticationDoc is what is read of security/v1beta1 PeerAuthentication.
type peerAuthenticationDoc struct {
	header
	Spec struct {
		Selector struct {
			MatchLabels map[string]string `json:"matchLabels"`
		} `json:"selector"`
		MTLS          mutualTLS            `json:"mtls"`
		PortLevelMTLS map[string]mutualTLS `json:"portLevelMtls"`
	} `json:"spec"`
}

// mutualTLS is PeerAuthentication.MutualTLS. An absent mode is UNSET.
type mutualTLS struct {
	Mode *string `json:"mode"`
}

func (m mutualTLS) mode(field string) (resource.MTLSMode, *Error) {
	if m.Mode == nil {
		return resource.ModeUnset, nil
	}
	modes := []resource.MTLSMode{resource.ModeUnset, resource.ModeDisable, resource.ModePermissive, resource.ModeStrict}
	for _, mode := range modes {
		if mode.String() == *m.Mode {
			return mode, nil
		}
	}
	return 0, &Error{field + ".mode", fmt.Sprintf("%q is no mode; use UNSET, DISABLE, PERMISSIVE or STRICT", *m.Mode)}
}

// peerAuthentication converts a PeerAuthentication.
func peerAuthentication(_ resource.Kind, meta resource.Meta, in *peerAuthenticationDoc) (resource.Object, *Error) {
	mode, err := in.Spec.MTLS.mode("spec.mtls")
	if err != nil {
		return nil, err
	}
	out := &resource.PeerAuthentication{Meta: meta, Selector: in.Spec.Selector.MatchLabels, Mode: mode}
	if len(in.Spec.PortLevelMTLS) > 0 {
		out.Ports = make(map[uint32]resource.MTLSMode, len(in.Spec.PortLevelMTLS))
	}
	for _, key := range sortedKeys(in.Spec.PortLevelMTLS) { // so that of two errors always the same is told
		field := "spec.portLevelMtls[" + strconv.Quote(key) + "]"
		port, parseErr := strconv.ParseUint(key, 10, 16)
		if parseErr != nil || port == 0 {
			return nil, &Error{field, fmt.Sprintf("%q is no port; use the number of a container port, from 1 to 65535", key)}
		}
		if out.Ports[uint32(port)], err = in.Spec.PortLevelMTLS[key].mode(field); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// serviceEntryDoc is what is read of networking/v1alpha3 ServiceEntry.
type serviceEntryDoc struct {
	header
	Spec struct {
		Hosts []string `json:"hosts"`
		Ports []struct {
			Number     portNumber  `json:"number"`
			Protocol   string      `json:"protocol"`
			Name       string      `json:"name"`
			TargetPort *portNumber `json:"targetPort"`
		} `json:"ports"`
		WorkloadSelector struct {
			Labels map[string]string `json:"labels"`
		} `json:"workloadSelector"`
		Endpoints []struct {
			Address string `json:"address"`
		} `json:"endpoints"`
		Resolution string   `json:"resolution"`
		ExportTo   []string `json:"exportTo"`
	} `json:"spec"`
}

// serviceEntry converts a ServiceEntry. Its ports are checked as the rules of its
// CustomResourceDefinition do; a target port of 0 is what Istio's own default is.
func serviceEntry(_ resource.Kind, meta resource.Meta, in *serviceEntryDoc) (resource.Object, *Error) {
	out := &resource.ServiceEntry{
		Meta:             meta,
		Hosts:            in.Spec.Hosts,
		WorkloadSelector: in.Spec.WorkloadSelector.Labels,
		ResolvesDNS:      strings.HasPrefix(in.Spec.Resolution, "DNS"),
		ExportTo:         in.Spec.ExportTo,
	}
	for _, e := range in.Spec.Endpoints {
		out.Endpoints = append(out.Endpoints, e.Address)
	}
	for i, p := range in.Spec.Ports {
		if why := wrongPort(p.Number); why != "" {
			return nil, fault(why, "spec.ports[%d].number", i)
		}
		port := resource.ServicePort{Name: p.Name, Protocol: p.Protocol, Port: uint32(p.Number)}
		if p.TargetPort != nil && *p.TargetPort != 0 {
			if why := wrongPort(*p.TargetPort); why != "" {
				return nil, fault(why, "spec.ports[%d].targetPort", i)
			}
			port.TargetPort = uint32(*p.TargetPort)
		}
		out.Ports = append(out.Ports, port)
	}
	return out, nil
}

// workloadEntryDoc is what is read of networking/v1alpha3 WorkloadEntry.
type workloadEntryDoc struct {
	header
	Spec struct {
		Address string            `json:"address"`
		Labels  map[string]string `json:"labels"`
	} `json:"spec"`
}

// workloadEntry converts a WorkloadEntry. Its labels are merged as ConvertWorkloadEntry does in
// istio.io/istio pilot/pkg/serviceregistry/serviceentry/conversion.go.
func workloadEntry(_ resource.Kind, meta resource.Meta, in *workloadEntryDoc) (resource.Object, *Error) {
	out := &resource.WorkloadEntry{Meta: meta, Address: in.Spec.Address, Selected: in.Spec.Labels}
	if len(meta.Labels) > 0 {
		out.Selected = make(map[string]string, len(meta.Labels)+len(in.Spec.Labels))
		maps.Copy(out.Selected, in.Spec.Labels)
		maps.Copy(out.Selected, meta.Labels)
	}
	return out, nil
}
