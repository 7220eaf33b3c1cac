package decode

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

// envoyFilterDoc is what is read of networking/v1alpha3 EnvoyFilter in istio.io/api.
type envoyFilterDoc struct {
	header
	Spec struct {
		WorkloadSelector struct {
			Labels map[string]string `json:"labels"`
		} `json:"workloadSelector"`
		TargetRefs    []targetRef `json:"targetRefs"`
		ConfigPatches []struct {
			ApplyTo string `json:"applyTo"`
			Match   struct {
				Context string `json:"context"`
				Proxy   struct {
					Metadata map[string]string `json:"metadata"`
				} `json:"proxy"`
				Listener struct {
					PortNumber     uint32 `json:"portNumber"`
					Name           string `json:"name"`
					ListenerFilter string `json:"listenerFilter"`
					FilterChain    struct {
						Name                 string `json:"name"`
						SNI                  string `json:"sni"`
						TransportProtocol    string `json:"transportProtocol"`
						ApplicationProtocols string `json:"applicationProtocols"`
						DestinationPort      uint32 `json:"destinationPort"`
						Filter               struct {
							Name      string `json:"name"`
							SubFilter struct {
								Name string `json:"name"`
							} `json:"subFilter"`
						} `json:"filter"`
					} `json:"filterChain"`
				} `json:"listener"`
				RouteConfiguration struct {
					PortNumber uint32 `json:"portNumber"`
					PortName   string `json:"portName"`
					Gateway    string `json:"gateway"`
					Name       string `json:"name"`
					VHost      struct {
						Name       string `json:"name"`
						DomainName string `json:"domainName"`
						Route      struct {
							Name string `json:"name"`
						} `json:"route"`
					} `json:"vhost"`
				} `json:"routeConfiguration"`
				Cluster struct {
					Service string `json:"service"`
					Name    string `json:"name"`
				} `json:"cluster"`
			} `json:"match"`
			Patch struct {
				Operation string         `json:"operation"`
				Value     map[string]any `json:"value"`
			} `json:"patch"`
		} `json:"configPatches"`
	} `json:"spec"`
}

func (*envoyFilterDoc) numbered() {}

// envoyFilter converts an EnvoyFilter.
func envoyFilter(_ resource.Kind, meta resource.Meta, in *envoyFilterDoc) (resource.Object, *Error) {
	out := &resource.EnvoyFilter{Meta: meta, Target: target(in.Spec.WorkloadSelector.Labels, nil, in.Spec.TargetRefs)}
	for i := range in.Spec.ConfigPatches {
		p := &in.Spec.ConfigPatches[i]
		l, r := &p.Match.Listener, &p.Match.RouteConfiguration
		chain := &l.FilterChain
		out.Patches = append(out.Patches, resource.EnvoyPatch{
			ApplyTo: p.ApplyTo, Context: p.Match.Context, Operation: p.Patch.Operation,
			Namespace: p.Match.Proxy.Metadata["NAMESPACE"],
			Listener: resource.ListenerMatch{
				Port: l.PortNumber, Name: l.Name, ListenerFilter: l.ListenerFilter,
				Filter: chain.Filter.Name, SubFilter: chain.Filter.SubFilter.Name,
				SNI:   chain.SNI,
				Chain: chain.Name != "" || chain.TransportProtocol != "" || chain.ApplicationProtocols != "" || chain.DestinationPort != 0,
			},
			Route: resource.RouteConfigurationMatch{
				Port: r.PortNumber, PortName: r.PortName, Gateway: r.Gateway, Name: r.Name,
				VirtualHost: r.VHost.Name, Domain: r.VHost.DomainName, Route: r.VHost.Route.Name,
			},
			Cluster: resource.ClusterMatch{Service: p.Match.Cluster.Service, Name: p.Match.Cluster.Name},
			Value:   envoyValue(p.Patch.Value),
		})
	}
	return out, nil
}

// envoyValue reads what a patch puts in: an object of Envoy's API, of which type depends on
// applyTo. Which fields it has is Envoy's business, and so whatever is not of the expected
// form is passed over.
func envoyValue(in map[string]any) resource.EnvoyValue {
	v := proto(in)
	config, match := v.object("typed_config"), v.object("filter_chain_match")
	out := resource.EnvoyValue{
		Empty: in != nil && len(in) == 0,
		Name:  v.text("name"), Type: config.text("@type"),
		Names:       slices.Concat(match.texts("server_names"), v.texts("domains")),
		Destination: match.has("destination_port") || match.has("prefix_ranges"),
		Routed:      slices.Sorted(maps.Keys(routedFilters(in, map[string]bool{}, 0))),
	}
	if strings.HasSuffix(out.Type, ".TypedStruct") { // of udpa.type.v1 or xds.type.v3
		out.Type = config.text("type_url")
	}
	out.Type = out.Type[strings.LastIndexByte(out.Type, '/')+1:]
	for _, name := range []string{"default_filter_chain", "filter_chain_match", "filter_chains", "filters"} {
		if v.has(name) {
			out.Fields = append(out.Fields, name)
		}
	}
	if v.has("transport_socket") && !v.object("transport_socket").onlyParameters() {
		out.Fields = append(out.Fields, "transport_socket")
	}
	if config.has("http_filters") {
		out.Fields = append(out.Fields, "typed_config.http_filters")
	}
	out.Disabled, _ = v.field("disabled").(bool)
	for _, a := range append([]proto{v}, v.objects("additional_addresses")...) {
		if s := a.object("address").object("socket_address"); s != nil {
			out.Addresses = append(out.Addresses, resource.EnvoyAddress{IP: s.text("address"), Port: s.number("port_value")})
		}
	}
	return out
}

// routedFilters gathers the keys of every typed_per_filter_config in a value. Virtual hosts,
// routes and weighted clusters have one, none of them deeper than mostDeep.
func routedFilters(in any, found map[string]bool, depth int) map[string]bool {
	const mostDeep = 12
	if depth > mostDeep {
		return found
	}
	switch in := in.(type) {
	case map[string]any:
		for k := range proto(in).object("typed_per_filter_config") {
			found[k] = true
		}
		for _, v := range in {
			routedFilters(v, found, depth+1)
		}
	case []any:
		for _, v := range in {
			routedFilters(v, found, depth+1)
		}
	}
	return found
}

// proto is a message of Protocol Buffers in its JSON form, where a field has the name
// some_field or someField, and numbers may be written as strings.
type proto map[string]any

// field returns the value of a field, or nil.
func (p proto) field(name string) any {
	if v, ok := p[name]; ok {
		return v
	}
	words := strings.Split(name, "_")
	for i := 1; i < len(words); i++ {
		words[i] = strings.ToUpper(words[i][:1]) + words[i][1:]
	}
	return p[strings.Join(words, "")]
}

// onlyParameters reports whether a transport socket says nothing but which versions and ciphers
// of TLS there are.
func (p proto) onlyParameters() bool {
	config := p.object("typed_config")
	common := config.object("common_tls_context")
	return len(common) == 1 && common.has("tls_params") && len(config) == 2 && config.has("@type")
}

func (p proto) has(name string) bool { return p.field(name) != nil }

func (p proto) text(name string) string {
	s, _ := p.field(name).(string)
	return s
}

func (p proto) object(name string) proto {
	o, _ := p.field(name).(map[string]any)
	return o
}

func (p proto) objects(name string) []proto {
	var out []proto
	list, _ := p.field(name).([]any)
	for _, v := range list {
		if o, ok := v.(map[string]any); ok {
			out = append(out, o)
		}
	}
	return out
}

func (p proto) texts(name string) []string {
	var out []string
	list, _ := p.field(name).([]any)
	for _, v := range list {
		if s, ok := v.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// number returns a field of the type uint32, 0 if it is none.
func (p proto) number(name string) uint32 {
	switch n := p.field(name).(type) {
	case int64:
		if n >= 0 && n <= math.MaxUint32 {
			return uint32(n)
		}
	case float64:
		if n >= 0 && n <= math.MaxUint32 {
			return uint32(n)
		}
	case string:
		if v, err := strconv.ParseUint(n, 10, 32); err == nil {
			return uint32(v)
		}
	}
	return 0
}
