package translate_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/translate"
)

var gatewayKind = resource.GroupKind{Group: resource.GatewayAPI, Kind: "Gateway"}

func front(listeners ...resource.Listener) *resource.KubernetesGateway {
	return &resource.KubernetesGateway{Meta: resource.Meta{Namespace: "infra", Name: "front"}, Class: "istio", Listeners: listeners}
}

func made(t *testing.T, o resource.Object, in world) *resource.Gateway {
	t.Helper()
	out := translate.Objects(o, in, translate.Options{})
	require.Len(t, out, 1)
	return out[0].(*resource.Gateway)
}

const (
	gatewayService  = "internal.istio.io/gateway-service"
	parentNamespace = "internal.istio.io/parent-namespace"
)

func TestServicesOfGateway(t *testing.T) {
	address := func(kind, value string) resource.GatewayAddress {
		return resource.GatewayAddress{Type: kind, Value: value}
	}
	for _, c := range []struct {
		name, want string
		addresses  []resource.GatewayAddress
		override   string
	}{
		{"its own", "front-istio.infra.svc.cluster.local", nil, ""},
		{"its own with an address", "front-istio.infra.svc.cluster.local", []resource.GatewayAddress{address("IPAddress", "10.0.0.1")}, ""},
		{"its own by default", "front-istio.infra.svc.cluster.local", []resource.GatewayAddress{address("", "10.0.0.1")}, ""},
		{"another name", "edge.infra.svc.cluster.local", nil, "edge"},
		{"one that it names", "edge.infra.svc.cluster.local", []resource.GatewayAddress{address("Hostname", "edge")}, ""},
		{"one of another namespace", "edge.web.svc.cluster.local", []resource.GatewayAddress{address("Hostname", "edge.web.svc.cluster.local")}, "ignored"},
		{"several", "a.infra.svc.cluster.local,b.infra.svc.cluster.local", []resource.GatewayAddress{address("Hostname", "a"), address("", "b"), address("IPAddress", "10.0.0.1")}, ""},
	} {
		o := front(resource.Listener{Name: "http", Port: 80, Protocol: "HTTP"})
		o.Addresses = c.addresses
		if c.override != "" {
			o.Annotations = map[string]string{"gateway.istio.io/name-override": c.override}
		}
		assert.Equal(t, c.want, made(t, o, nil).Annotations[gatewayService], c.name)
	}
	o := front(resource.Listener{Name: "http", Port: 80, Protocol: "HTTP"})
	o.Addresses = []resource.GatewayAddress{address("example.org/Named", "a")}
	assert.Empty(t, translate.Objects(o, world{}, translate.Options{}), "no address that Istio knows")
	o.Addresses = []resource.GatewayAddress{address("Hostname", "edge")}
	only := translate.Objects(o, world{}, translate.Options{OnlyManagedGateways: true})
	require.Len(t, only, 1)
	assert.Equal(t, "front-istio.infra.svc.cluster.local", only[0].GetMeta().Annotations[gatewayService], "its own, whatever it names")
}

func TestClassOfGateway(t *testing.T) {
	class := func(name, controller string) resource.Object {
		return &resource.GatewayClass{Meta: resource.Meta{Name: name}, Controller: controller}
	}
	for _, c := range []struct {
		name, class string
		in          world
		want        bool
	}{
		{"Istio's own", "istio", nil, true},
		{"Istio's by its controller", "edge", world{class("edge", "istio.io/gateway-controller")}, true},
		{"another controller's", "edge", world{class("edge", "example.org/other")}, false},
		{"another controller's under the name of Istio's, which Istio passes over", "istio", world{class("istio", "example.org/other")}, true},
		{"a waypoint's under the name of Istio's", "istio", world{class("istio", "istio.io/mesh-controller")}, false},
		{"a waypoint's", "istio-waypoint", world{class("istio-waypoint", "istio.io/mesh-controller")}, false},
		{"one that does not exist", "edge", nil, false},
	} {
		o := front(resource.Listener{Name: "http", Port: 80, Protocol: "HTTP"})
		o.Class = c.class
		assert.Equal(t, c.want, len(translate.Objects(o, c.in, translate.Options{})) > 0, c.name)
	}
}

func TestHostsOfListener(t *testing.T) {
	namespace := func(name string, labels map[string]string) resource.Object {
		return &resource.Namespace{Meta: resource.Meta{Name: name, Labels: labels}}
	}
	in := world{namespace("a", map[string]string{"team": "a"}), namespace("b", map[string]string{"team": "b"}), namespace("c", nil)}
	selector := func(s *resource.LabelSelector) *resource.NamespaceChoice {
		return &resource.NamespaceChoice{From: "Selector", Selector: s}
	}
	for _, c := range []struct {
		name string
		host string
		from *resource.NamespaceChoice
		want []string
	}{
		{"its own namespace", "h.org", nil, []string{"infra/h.org"}},
		{"its own namespace by default", "h.org", &resource.NamespaceChoice{}, []string{"infra/h.org"}},
		{"every namespace and host", "", &resource.NamespaceChoice{From: "All"}, []string{"*/*"}},
		{"a label", "h.org", selector(&resource.LabelSelector{Labels: map[string]string{"team": "a"}}), []string{"a/h.org"}},
		{"the name", "h.org", selector(&resource.LabelSelector{Labels: map[string]string{"kubernetes.io/metadata.name": "c"}}), []string{"c/h.org"}},
		{"an expression", "h.org", selector(&resource.LabelSelector{Expressions: []resource.LabelExpression{{Key: "team", Operator: "Exists"}}}), []string{"a/h.org", "b/h.org"}},
		{"nobody", "h.org", selector(&resource.LabelSelector{Labels: map[string]string{"team": "z"}}), []string{"~/h.org"}},
	} {
		gw := made(t, front(resource.Listener{Name: "l", Port: 80, Protocol: "HTTP", Hostname: c.host, AllowedRoutes: c.from}), in)
		assert.Equal(t, c.want, gw.Servers[0].Hosts, c.name)
		assert.Equal(t, "front-istio-autogenerated-k8s-gateway-l", gw.Name)
		assert.Equal(t, "infra", gw.Namespace)
	}
}

func TestServerOfListener(t *testing.T) {
	for _, c := range []struct {
		name     string
		listener resource.Listener
		want     *resource.ServerTLS
	}{
		{"plain text", resource.Listener{Protocol: "HTTP"}, nil},
		{"terminated", resource.Listener{Protocol: "HTTPS", TLS: &resource.ListenerTLS{Certificates: []string{"infra/c"}}}, &resource.ServerTLS{Mode: "SIMPLE", CredentialName: "c"}},
		{"a certificate of elsewhere", resource.Listener{Protocol: "HTTPS", TLS: &resource.ListenerTLS{Mode: "Terminate", Certificates: []string{"web/c"}}}, &resource.ServerTLS{Mode: "SIMPLE", CredentialName: "web/c"}},
		{"passed through", resource.Listener{Protocol: "TLS", TLS: &resource.ListenerTLS{Mode: "Passthrough"}}, &resource.ServerTLS{Mode: "PASSTHROUGH"}},
		{"mutual", resource.Listener{Protocol: "HTTPS", TLS: &resource.ListenerTLS{Options: map[string]string{"gateway.istio.io/tls-terminate-mode": "MUTUAL"}}}, &resource.ServerTLS{Mode: "MUTUAL"}},
		{"with the mesh's own certificate", resource.Listener{Protocol: "HTTPS", TLS: &resource.ListenerTLS{Certificates: []string{"c"}, Options: map[string]string{"gateway.istio.io/tls-terminate-mode": "ISTIO_SIMPLE"}}}, &resource.ServerTLS{Mode: "SIMPLE"}},
		{"between networks", resource.Listener{Protocol: "TLS", TLS: &resource.ListenerTLS{Mode: "Passthrough", Options: map[string]string{"gateway.istio.io/listener-protocol": "auto-passthrough"}}}, &resource.ServerTLS{Mode: "AUTO_PASSTHROUGH"}},
	} {
		c.listener.Name, c.listener.Port = "l", 9443
		s := made(t, front(c.listener), nil).Servers[0]
		assert.Equal(t, c.want, s.TLS, c.name)
		assert.Equal(t, c.listener.Protocol, s.Protocol, c.name)
		assert.EqualValues(t, 9443, s.Port, c.name)
	}
	tcp := front(resource.Listener{Name: "l", Port: 9000, Protocol: "TCP"}, resource.Listener{Name: "u", Port: 53, Protocol: "UDP"})
	assert.Empty(t, translate.Objects(tcp, world{}, translate.Options{NoTCPListeners: true}))
	assert.Len(t, translate.Objects(tcp, world{}, translate.Options{}), 1)
	places := front(resource.Listener{Name: "a", Port: 443, Protocol: "HTTPS"}, resource.Listener{Name: "b", Port: 443, Protocol: "TLS"})
	assert.Empty(t, translate.Objects(places, world{}, translate.Options{}), "without a tls block")

	networks := front(resource.Listener{Name: "l", Port: 15443, Protocol: "TLS", TLS: &resource.ListenerTLS{Mode: "Passthrough"}})
	networks.Labels = map[string]string{"topology.istio.io/network": "n"}
	assert.Equal(t, "AUTO_PASSTHROUGH", made(t, networks, nil).Servers[0].TLS.Mode)
	networks.Listeners[0].Port = 443
	assert.Equal(t, "PASSTHROUGH", made(t, networks, nil).Servers[0].TLS.Mode)
	networks.Labels["networking.istio.io/gatewayPort"] = "443"
	assert.Equal(t, "AUTO_PASSTHROUGH", made(t, networks, nil).Servers[0].TLS.Mode)
}

func TestListenerSet(t *testing.T) {
	set := &resource.ListenerSet{
		Meta:      resource.Meta{Namespace: "team-a", Name: "more"},
		Parent:    resource.ParentRef{GroupKind: gatewayKind, Namespace: "infra", Name: "front"},
		Listeners: []resource.Listener{{Name: "l", Port: 80, Protocol: "HTTP"}},
	}
	labels := &resource.LabelSelector{Labels: map[string]string{"team": "a"}}
	for _, c := range []struct {
		name string
		from *resource.NamespaceChoice
		want bool
	}{
		{"nobody by default", nil, false},
		{"everybody", &resource.NamespaceChoice{From: "All"}, true},
		{"its own namespace", &resource.NamespaceChoice{From: "Same"}, false},
		{"nobody", &resource.NamespaceChoice{From: "None", Selector: labels}, false},
		{"by labels", &resource.NamespaceChoice{From: "Selector", Selector: labels}, true},
		{"by other labels", &resource.NamespaceChoice{From: "Selector", Selector: &resource.LabelSelector{Labels: map[string]string{"team": "b"}}}, false},
	} {
		parent := front()
		parent.AllowedListeners = c.from
		in := world{parent, &resource.Namespace{Meta: resource.Meta{Name: "team-a", Labels: map[string]string{"team": "a"}}}}
		out := translate.Objects(set, in, translate.Options{})
		if assert.Equal(t, c.want, len(out) > 0, c.name) && c.want {
			gw := out[0].(*resource.Gateway)
			assert.Equal(t, "more-istio-autogenerated-k8s-gateway-l", gw.Name)
			assert.Equal(t, map[string]string{
				gatewayService: "front-istio.infra.svc.cluster.local", parentNamespace: "infra",
				resource.GatewaySemantics: "gateway", resource.ServiceAccount: "front-istio",
			}, gw.Annotations)
			assert.Equal(t, []string{"team-a/*"}, gw.Servers[0].Hosts, "its own namespace, not that of the Gateway")
		}
	}
	assert.Empty(t, translate.Objects(set, world{}, translate.Options{}), "no Gateway")
}

func TestParentsOfRoute(t *testing.T) {
	in := world{front(
		resource.Listener{Name: "http", Port: 80, Protocol: "HTTP"},
		resource.Listener{Name: "alt", Port: 8080, Protocol: "HTTP", Kinds: []resource.GroupKind{{Group: resource.GatewayAPI, Kind: "GRPCRoute"}}},
		resource.Listener{Name: "tls", Port: 443, Protocol: "TLS", TLS: &resource.ListenerTLS{Mode: "Passthrough"}},
		resource.Listener{Name: "end", Port: 444, Protocol: "TLS", TLS: &resource.ListenerTLS{Mode: "Terminate"}},
		resource.Listener{Name: "tcp", Port: 9000, Protocol: "TCP"},
	)}
	name := func(listener string) string { return "infra/front-istio-autogenerated-k8s-gateway-" + listener }
	for _, c := range []struct {
		what   string
		kind   resource.Kind
		parent resource.ParentRef
		want   []string
	}{
		{"every listener that has such routes", resource.KindHTTPRoute, resource.ParentRef{GroupKind: gatewayKind}, []string{name("http")}},
		{"every listener that admits the kind", resource.KindGRPCRoute, resource.ParentRef{GroupKind: gatewayKind}, []string{name("alt"), name("http")}},
		{"one by its name", resource.KindGRPCRoute, resource.ParentRef{GroupKind: gatewayKind, Section: "alt"}, []string{name("alt")}},
		{"one by its port", resource.KindGRPCRoute, resource.ParentRef{GroupKind: gatewayKind, Port: 80}, []string{name("http")}},
		{"none by its port", resource.KindHTTPRoute, resource.ParentRef{GroupKind: gatewayKind, Port: 443}, nil},
		{"TLS", resource.KindTLSRoute, resource.ParentRef{GroupKind: gatewayKind}, []string{name("end"), name("tls")}},
		{"TCP", resource.KindTCPRoute, resource.ParentRef{GroupKind: gatewayKind}, []string{name("end"), name("tcp")}},
		{"a Service", resource.KindHTTPRoute, resource.ParentRef{GroupKind: resource.GroupKind{Kind: "Service"}}, nil},
	} {
		c.parent.Namespace, c.parent.Name = "infra", "front"
		o := &resource.Route{Meta: resource.Meta{Namespace: "team-a", Name: "r"}, Kind: c.kind, Parents: []resource.ParentRef{c.parent}, Rules: make([]resource.RouteRule, 1)}
		var got []string
		for _, v := range translate.Objects(o, in, translate.Options{}) {
			got = append(got, v.(*resource.VirtualService).Gateways...)
			assert.Equal(t, []string{"*"}, v.(*resource.VirtualService).Hosts)
		}
		assert.Equal(t, c.want, got, c.what)
	}
}

func TestMatchesOfRoute(t *testing.T) {
	in := world{front(resource.Listener{Name: "http", Port: 80, Protocol: "HTTP"})}
	for _, c := range []struct {
		kind  resource.Kind
		match resource.RouteMatch
		want  []string
	}{
		{resource.KindHTTPRoute, resource.RouteMatch{PathType: "PathPrefix", Path: "/"}, []string{"prefix /"}},
		{resource.KindHTTPRoute, resource.RouteMatch{PathType: "PathPrefix", Path: "/a/"}, []string{"exact /a", "prefix /a/"}},
		{resource.KindHTTPRoute, resource.RouteMatch{PathType: "Exact", Path: "/a"}, []string{"exact /a"}},
		{resource.KindHTTPRoute, resource.RouteMatch{PathType: "RegularExpression", Path: "/a.+"}, []string{"regex /a.+"}},
		{resource.KindHTTPRoute, resource.RouteMatch{Conditioned: true}, []string{"any path"}},
		{resource.KindGRPCRoute, resource.RouteMatch{PathType: "Exact", Service: "s", Method: "m"}, []string{"exact /s/m"}},
		{resource.KindGRPCRoute, resource.RouteMatch{PathType: "Exact", Service: "s"}, []string{"exact /s", "prefix /s/"}},
		{resource.KindGRPCRoute, resource.RouteMatch{PathType: "Exact", Method: "m"}, []string{"regex /[^/]+/m"}},
		{resource.KindGRPCRoute, resource.RouteMatch{PathType: "RegularExpression", Service: "s.*"}, []string{"regex /s.*/.+"}},
		{resource.KindGRPCRoute, resource.RouteMatch{PathType: "RegularExpression", Service: "s", Method: "m"}, []string{"regex /s/m"}},
		{resource.KindGRPCRoute, resource.RouteMatch{}, []string{"any path"}},
	} {
		o := &resource.Route{
			Meta: resource.Meta{Namespace: "team-a", Name: "r"}, Kind: c.kind, Hostnames: []string{"a.org", "b.org"},
			Parents: []resource.ParentRef{{GroupKind: gatewayKind, Namespace: "infra", Name: "front"}},
			Rules: []resource.RouteRule{{}, {Matches: []resource.RouteMatch{c.match}, Backends: []resource.Backend{
				{GroupKind: resource.GroupKind{Kind: "Service"}, Namespace: "team-b", Name: "s"},
			}}},
		}
		v := translate.Objects(o, in, translate.Options{})[0].(*resource.VirtualService)
		var got []string
		for _, m := range v.HTTP[1].Matches {
			got = append(got, m.URI.String())
			assert.Equal(t, c.match.Conditioned, m.Conditioned)
		}
		assert.Equal(t, c.want, got)
		assert.Empty(t, v.HTTP[0].Matches)
		assert.Equal(t, "team-a.r.1", v.HTTP[1].Name)
		assert.Equal(t, []resource.Destination{{Host: "s.team-b.svc.cluster.local"}}, v.HTTP[1].Destinations)
		assert.Equal(t, "spec.hostnames[1]", v.Field("spec.hosts[1]"))
		assert.Equal(t, "spec.rules[0]", v.Field("spec.http[0]"))
		assert.Equal(t, "spec.rules[1].matches[0]", v.Field("spec.http[1].match[0]"))
		assert.Equal(t, "spec.parentRefs", v.Field("spec.gateways[0]"))
	}
}

// A rule keeps its own name, its backends and mirrors are destinations, and the headers that
// its filters change are those of the route; each is told by its own field.
func TestBackendsOfRoute(t *testing.T) {
	in := world{front(resource.Listener{Name: "http", Port: 80, Protocol: "HTTP"}, resource.Listener{Name: "tls", Port: 443, Protocol: "TLS"})}
	service := func(name, path string) resource.Backend {
		return resource.Backend{GroupKind: resource.GroupKind{Kind: "Service"}, Namespace: "team-a", Name: name, Path: path}
	}
	mirror := service("m", "filters[0].requestMirror.backendRef")
	mirror.Mirror = true
	rule := resource.RouteRule{
		Name: "main",
		Backends: []resource.Backend{
			service("s", "backendRefs[0]"),
			{GroupKind: resource.GroupKind{Group: "example.org", Kind: "Bucket"}, Namespace: "team-a", Name: "b", Path: "backendRefs[1]"},
			{GroupKind: resource.GroupKind{Group: "multicluster.x-k8s.io", Kind: "ServiceImport"}, Namespace: "team-b", Name: "i", Path: "backendRefs[2]"},
			{GroupKind: resource.GroupKind{Group: "networking.istio.io", Kind: "Hostname"}, Namespace: "team-a", Name: "b.org", Path: "backendRefs[3]"},
			mirror,
		},
		Headers: []resource.BackendHeader{{
			HeaderEdit: resource.HeaderEdit{Name: "x-a", Destination: 2, Operation: resource.AddHeader},
			Path:       "backendRefs[2].filters[0].requestHeaderModifier.add",
		}},
	}
	route := func(kind resource.Kind) *resource.VirtualService {
		o := &resource.Route{
			Meta: resource.Meta{Namespace: "team-a", Name: "r"}, Kind: kind,
			Parents: []resource.ParentRef{{GroupKind: gatewayKind, Namespace: "infra", Name: "front"}},
			Rules:   []resource.RouteRule{rule},
		}
		return translate.Objects(o, in, translate.Options{})[0].(*resource.VirtualService)
	}
	want := []resource.Destination{
		{Host: "s.team-a.svc.cluster.local"}, {Host: "i.team-b.svc.cluster.local", Index: 2}, {Host: "b.org", Index: 3},
		{Host: "m.team-a.svc.cluster.local", Index: 4, List: resource.InMirrors},
	}
	v := route(resource.KindHTTPRoute)
	assert.Equal(t, "main", v.HTTP[0].Name)
	assert.Equal(t, want, v.HTTP[0].Destinations)
	assert.Equal(t, []resource.HeaderEdit{rule.Headers[0].HeaderEdit}, v.HTTP[0].Headers)
	assert.Equal(t, "spec.rules[0].name", v.Field("spec.http[0].name"))
	assert.Equal(t, "spec.rules[0].backendRefs[3]", v.Field("spec.http[0].route[3].destination.host"))
	assert.Equal(t, "spec.rules[0].filters[0].requestMirror.backendRef", v.Field("spec.http[0].mirrors[4].destination.host"))
	assert.Equal(t, "spec.rules[0].backendRefs[2].filters[0].requestHeaderModifier.add", v.Field("spec.http[0].route[2].headers.request.add"))
	v = route(resource.KindTLSRoute)
	assert.Equal(t, want, v.TLS[0].Destinations)
	assert.Equal(t, "spec.rules[0].backendRefs[0]", v.Field("spec.tls[0].route[0].destination.host"))
}
