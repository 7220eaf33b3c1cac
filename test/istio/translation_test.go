package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	networking "istio.io/api/networking/v1alpha3"
	gatewayapi "istio.io/istio/pilot/pkg/config/kube/gateway"
	"istio.io/istio/pilot/pkg/config/kube/ingress"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/pkg/serviceregistry/kube/controller"
	istioconfig "istio.io/istio/pkg/config"
	"istio.io/istio/pkg/config/mesh"
	"istio.io/istio/pkg/config/mesh/meshwatcher"
	"istio.io/istio/pkg/config/schema/gvk"
	"istio.io/istio/pkg/config/schema/gvr"
	"istio.io/istio/pkg/kube"
	"istio.io/istio/pkg/kube/kclient/clienttest"
	"istio.io/istio/pkg/kube/krt"
	corev1 "k8s.io/api/core/v1"
	knetworking "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/gateway-api/pkg/consts"

	"github.com/gatewarden/gatewarden/pkg/decode"
	"github.com/gatewarden/gatewarden/pkg/hostname"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
	translation "github.com/gatewarden/gatewarden/pkg/translate"
)

// made is what somebody makes of objects, as lines that can be compared.
type made struct{ gateways, routes map[string]bool }

// Gatewarden makes of Ingresses and of objects of the Gateway API what Istio makes of them.
func TestTranslation(t *testing.T) {
	const worlds = 60
	gateways, routes := 0, 0
	for i := range uint64(worlds) {
		for _, draw := range []func(*generator) []fields{(*generator).ingresses, (*generator).kubernetesGateways} {
			objects := draw(newGenerator(17, i))
			want, got := istioMakes(t, objects), gatewardenMakes(t, objects)
			gateways, routes = gateways+len(want.gateways), routes+len(want.routes)
			if !assert.Equal(t, sortedKeys(want.gateways), sortedKeys(got.gateways)) ||
				!assert.Equal(t, sortedKeys(want.routes), sortedKeys(got.routes)) {
				for _, o := range objects {
					raw, err := json.Marshal(o)
					require.NoError(t, err)
					t.Log(string(raw))
				}
				t.FailNow()
			}
		}
	}
	assert.Greater(t, gateways, worlds, "Gateways")
	assert.Greater(t, routes, worlds/2, "routes")
}

// surroundings are the namespaces and backends of a world.
func (g *generator) surroundings() []fields {
	var out []fields
	for _, ns := range []string{"infra", "team-a", "team-b"} {
		labels := fields{"kubernetes.io/metadata.name": ns}
		if ns != "team-b" {
			labels["gateway"] = "yes"
		}
		out = append(out,
			fields{"apiVersion": "v1", "kind": "Namespace", "metadata": fields{"name": ns, "labels": labels}},
			fields{"apiVersion": "v1", "kind": "Service", "metadata": fields{"namespace": ns, "name": "app"},
				"spec": fields{"ports": []any{fields{"name": "web", "port": 80}}}},
		)
	}
	return out
}

func (g *generator) ingresses() []fields {
	out := g.surroundings()
	for name, by := range map[string]string{"ours": ingress.IstioIngressController, "theirs": "k8s.io/ingress-nginx"} {
		out = append(out, fields{"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": fields{"name": name}, "spec": fields{"controller": by}})
	}
	for i := range 1 + g.r.IntN(3) {
		meta := fields{"namespace": pick(g, "team-a", "team-b"), "name": fmt.Sprintf("i%d", i), "creationTimestamp": created(i)}
		spec := fields{}
		if g.chance(3) {
			meta["annotations"] = fields{"kubernetes.io/ingress.class": pick(g, "istio", "istio", "nginx")}
		}
		if !g.chance(3) {
			spec["ingressClassName"] = pick(g, "ours", "ours", "theirs", "none")
		}
		var tls, rules []any
		for range g.r.IntN(3) {
			entry := fields{}
			if !g.chance(4) {
				entry["secretName"] = pick(g, "a", "b")
			}
			if !g.chance(4) {
				entry["hosts"] = []any{pick(g, "app.example.org", "*.example.org")}
			}
			tls = append(tls, entry)
		}
		for range g.r.IntN(3) {
			rule := fields{}
			if !g.chance(3) {
				rule["host"] = pick(g, "app.example.org", "*.example.org", "shop.example.net")
			}
			var paths []any
			for range g.r.IntN(3) {
				backend := fields{"service": fields{"name": "app", "port": fields{"number": 80}}}
				switch g.r.IntN(6) {
				case 0:
					backend = fields{"service": fields{"name": "app", "port": fields{"name": "web"}}}
				case 1:
					backend = fields{"resource": fields{"kind": "Bucket", "name": "b"}}
				}
				p := fields{"pathType": pick(g, "Exact", "Prefix"), "path": pick(g, "/", "/a", "/a/"), "backend": backend}
				if g.chance(3) {
					p["pathType"], p["path"] = "ImplementationSpecific", pick(g, "", "/*", "/a", "/a.*", "/a/*", "/.*")
				}
				paths = append(paths, p)
			}
			if len(paths) > 0 {
				rule["http"] = fields{"paths": paths}
			}
			rules = append(rules, rule)
		}
		spec["tls"], spec["rules"] = tls, rules
		out = append(out, fields{"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": meta, "spec": spec})
	}
	return out
}

const gatewayVersion = resource.GatewayAPI + "/v1"

func (g *generator) kubernetesGateways() []fields {
	out := g.surroundings()
	for name, by := range map[string]string{"ours": "istio.io/gateway-controller", "theirs": "example.org/controller"} {
		out = append(out, fields{"apiVersion": gatewayVersion, "kind": "GatewayClass", "metadata": fields{"name": name}, "spec": fields{"controllerName": by}})
	}
	parents := []fields{{"name": "front", "namespace": "infra"}}
	annotations := fields{}
	if g.chance(3) {
		annotations["gateway.istio.io/name-override"] = "edge"
	}
	spec := fields{"gatewayClassName": pick(g, "istio", "istio", "istio", "ours", "ours", "theirs", "none"), "listeners": g.listeners()}
	switch g.r.IntN(4) {
	case 0:
		spec["addresses"] = []any{fields{"type": "Hostname", "value": pick(g, "edge", "edge.team-a.svc.cluster.local")}}
	case 1:
		spec["addresses"] = []any{fields{"type": "IPAddress", "value": "10.0.0.1"}}
	case 2:
		spec["addresses"] = []any{fields{"type": "IPAddress", "value": "10.0.0.1"}, fields{"value": "edge"}}
	}
	if !g.chance(4) {
		spec["allowedListeners"] = fields{"namespaces": g.namespaces("All", "Same", "Selector", "None")}
	}
	out = append(out, fields{"apiVersion": gatewayVersion, "kind": "Gateway", "spec": spec,
		"metadata": fields{"namespace": "infra", "name": "front", "annotations": annotations, "creationTimestamp": created(0)}})
	if g.chance(2) {
		ns := pick(g, "infra", "team-a", "team-b")
		// On ports that the Gateway has not: of two listeners that clash, Istio takes the older one.
		listeners := g.listeners()
		for _, l := range listeners {
			l.(fields)["port"] = l.(fields)["port"].(int) + 1000
		}
		out = append(out, fields{"apiVersion": gatewayVersion, "kind": "ListenerSet",
			"metadata": fields{"namespace": ns, "name": "more", "creationTimestamp": created(1)},
			"spec":     fields{"parentRef": fields{"name": "front", "namespace": "infra"}, "listeners": listeners}})
		parents = append(parents, fields{"name": "more", "namespace": ns, "kind": "ListenerSet"})
	}
	for i := range 1 + g.r.IntN(4) {
		out = append(out, g.attachedRoute(i, parents))
	}
	return out
}

// namespaces draws which namespaces may refer to something.
func (g *generator) namespaces(from ...string) fields {
	out := fields{"from": pick(g, from...)}
	if out["from"] == "Selector" {
		out["selector"] = fields{"matchLabels": fields{"gateway": pick(g, "yes", "yes", "no")}}
	}
	return out
}

// listeners draws some that do not clash.
func (g *generator) listeners() []any {
	var out []any
	for i := range 1 + g.r.IntN(3) {
		l := fields{"name": fmt.Sprintf("l%d", i), "port": 8000 + i, "protocol": pick(g, "HTTP", "HTTP", "HTTPS", "TLS", "TCP", "UDP")}
		if l["protocol"] != "TCP" && l["protocol"] != "UDP" && !g.chance(3) {
			l["hostname"] = pick(g, "app.example.org", "*.example.org", "*.example.net")
		}
		if l["protocol"] == "HTTPS" || l["protocol"] == "TLS" && !g.chance(4) {
			l["tls"] = fields{"mode": "Terminate", "options": fields{"gateway.istio.io/tls-terminate-mode": pick(g, "ISTIO_SIMPLE", "ISTIO_MUTUAL")}}
			if l["protocol"] == "TLS" && g.chance(2) {
				l["tls"] = fields{"mode": "Passthrough"}
			}
		}
		if !g.chance(3) {
			allowed := fields{"namespaces": g.namespaces("All", "All", "Same", "Selector")}
			if g.chance(4) {
				allowed["kinds"] = []any{fields{"group": resource.GatewayAPI, "kind": pick(g, "HTTPRoute", "GRPCRoute")}}
			}
			l["allowedRoutes"] = allowed
		}
		out = append(out, l)
	}
	return out
}

func (g *generator) attachedRoute(i int, parents []fields) fields {
	kind := pick(g, "HTTPRoute", "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute")
	ref := fields{}
	for k, v := range pick(g, parents...) {
		ref[k] = v
	}
	switch g.r.IntN(5) {
	case 0:
		ref["sectionName"] = pick(g, "l0", "l1")
	case 1:
		ref["port"] = pick(g, 8000, 8001, 9000)
	}
	to := []any{fields{"name": "app", "port": 80}}
	rule := fields{"backendRefs": to}
	if g.chance(2) && kind == "HTTPRoute" {
		var matches []any
		for range 1 + g.r.IntN(2) {
			matches = append(matches, fields{"path": fields{"type": pick(g, "Exact", "PathPrefix"), "value": pick(g, "/", "/a", "/a/b")}})
		}
		if g.chance(4) {
			matches = append(matches, fields{"path": fields{"type": "RegularExpression", "value": "/a.*"}})
		}
		rule["matches"] = matches
	}
	if g.chance(2) && kind == "GRPCRoute" {
		method := fields{"type": pick(g, "Exact", "RegularExpression")}
		switch g.r.IntN(3) {
		case 0:
			method["service"] = "pkg.Service"
		case 1:
			method["service"], method["method"] = "pkg.Service", "Do"
		default:
			method["method"] = "Do"
		}
		rule["matches"] = []any{fields{"method": method}}
	}
	spec := fields{"parentRefs": []any{ref}, "rules": []any{rule}}
	if kind == "TLSRoute" || kind != "TCPRoute" && !g.chance(3) {
		spec["hostnames"] = []any{pick(g, "app.example.org", "*.example.org", "x.example.net", "elsewhere.test")}
	}
	return fields{"apiVersion": gatewayVersion, "kind": kind, "spec": spec, "metadata": fields{
		"namespace": pick(g, "infra", "team-a", "team-b"), "name": fmt.Sprintf("r%d", i), "creationTimestamp": created(10 + i)}}
}

// typed reads objects as Kubernetes' clients do.
func typed(t *testing.T, objects []fields) []runtime.Object {
	t.Helper()
	var out []runtime.Object
	for _, o := range objects {
		into := map[any]runtime.Object{
			"Namespace": &corev1.Namespace{}, "Service": &corev1.Service{}, "Ingress": &knetworking.Ingress{}, "IngressClass": &knetworking.IngressClass{},
			"GatewayClass": &gwv1.GatewayClass{}, "Gateway": &gwv1.Gateway{}, "ListenerSet": &gwv1.ListenerSet{}, "HTTPRoute": &gwv1.HTTPRoute{},
			"GRPCRoute": &gwv1.GRPCRoute{}, "TLSRoute": &gwv1.TLSRoute{}, "TCPRoute": &gwv1.TCPRoute{},
		}[o["kind"]]
		raw, err := json.Marshal(o)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(raw, into))
		out = append(out, into)
	}
	return out
}

// istioMakes asks Istio's own controllers.
func istioMakes(t *testing.T, objects []fields) made {
	t.Helper()
	stop := make(chan struct{})
	defer close(stop)
	client := kube.NewFakeClient(typed(t, objects)...)
	for _, crd := range []schema.GroupVersionResource{
		gvr.KubernetesGateway, gvr.ReferenceGrant, gvr.ListenerSet, gvr.GatewayClass, gvr.HTTPRoute, gvr.GRPCRoute,
		gvr.TCPRoute, gvr.TLSRoute, gvr.ServiceEntry, gvr.XBackendTrafficPolicy, gvr.BackendTLSPolicy, gvr.InferencePool,
	} {
		clienttest.MakeCRDWithAnnotations(t, client, crd, map[string]string{consts.BundleVersionAnnotation: consts.BundleVersion})
	}
	options := controller.Options{DomainSuffix: domainSuffix, KrtDebugger: &krt.DebugHandler{}}
	api := gatewayapi.NewController(client, func(schema.GroupVersionResource, <-chan struct{}) bool { return false }, options, nil)
	in := ingress.NewController(client, meshwatcher.NewTestWatcher(mesh.DefaultMeshConfig()), options, nil)
	client.RunAndWait(stop)
	go api.Run(stop)
	go in.Run(stop)
	api.Reconcile(model.NewPushContext())
	require.True(t, kube.WaitForCacheSync("translation", stop, api.HasSynced, in.HasSynced))

	out := newMade()
	hosts := map[string][]string{}
	for _, c := range slices.Concat(api.List(gvk.Gateway, ""), in.List(gvk.Gateway, "")) {
		gw := c.Spec.(*networking.Gateway)
		name := c.Namespace + "/" + gatewayName(c.Name)
		for _, s := range gw.Servers {
			hosts[name] = append(hosts[name], s.Hosts...)
			mode, credential := "", ""
			if s.Tls != nil {
				// The mesh's own certificate is no Secret, and gatewarden has no name for it.
				mode, credential = s.Tls.Mode.String(), strings.TrimPrefix(s.Tls.CredentialName, "builtin://")
			}
			out.gateway(name, gw.Selector, c.Annotations, s.Port.Number, s.Port.Protocol, s.Hosts, mode, credential)
		}
	}
	for _, c := range slices.Concat(api.List(gvk.VirtualService, ""), in.List(gvk.VirtualService, "")) {
		istioRoutes(out, c, hosts)
	}
	return out
}

// istioRoutes adds what a VirtualService of Istio's serves. What Istio tells of an Ingress and
// the Gateway API is a prefix that ends at a slash or the end of the path.
func istioRoutes(out made, c istioconfig.Config, hosts map[string][]string) {
	v := c.Spec.(*networking.VirtualService)
	for _, gateway := range v.Gateways {
		gateway = gatewayName(gateway)
		add := func(match, to string) {
			for _, h := range v.Hosts {
				out.route(c.Namespace, gateway, h, hosts[gateway], match, to)
			}
		}
		for _, r := range v.Http {
			to := ""
			for _, d := range r.Route {
				to = d.Destination.Host
			}
			if len(r.Match) == 0 {
				add("any", to)
			}
			for _, m := range r.Match {
				switch u := m.Uri.GetMatchType().(type) {
				case nil:
					add("any", to)
				case *networking.StringMatch_Exact:
					add("exact "+u.Exact, to)
				case *networking.StringMatch_Regex:
					add("regex "+u.Regex, to)
				case *networking.StringMatch_Prefix:
					if p := strings.TrimSuffix(u.Prefix, "/"); p != "" {
						add("exact "+p, to)
						add("prefix "+p+"/", to)
					} else {
						add("prefix /", to)
					}
				}
			}
		}
		for _, r := range v.Tls {
			for _, m := range r.Match {
				for _, h := range m.SniHosts {
					out.route(c.Namespace, gateway, h, hosts[gateway], "server name", r.Route[0].Destination.Host)
				}
			}
		}
		for _, r := range v.Tcp {
			add("connections", r.Route[0].Destination.Host)
		}
	}
}

// gatewardenMakes asks pkg/translate, in a snapshot as everywhere else.
func gatewardenMakes(t *testing.T, objects []fields) made {
	t.Helper()
	w := state.NewWriter()
	for _, o := range objects {
		api, known := resource.Lookup(o["apiVersion"].(string), o["kind"].(string))
		require.True(t, known, o["kind"])
		raw, err := json.Marshal(o)
		require.NoError(t, err)
		read, err := decode.Object(api, raw)
		require.NoError(t, err)
		w.Apply(read)
	}
	out, snapshot := newMade(), w.Snapshot()
	hosts := map[string][]string{}
	var routes []*resource.VirtualService
	for _, kind := range translation.Kinds {
		snapshot.Each(kind, "", func(o resource.Object) bool {
			for _, m := range snapshot.Translated(o.Key()) {
				switch m := m.(type) {
				case *resource.VirtualService:
					routes = append(routes, m)
				case *resource.Gateway:
					name := m.Namespace + "/" + m.Name
					for _, s := range m.Servers {
						hosts[name] = append(hosts[name], s.Hosts...)
						mode, credential := "", ""
						if s.TLS != nil {
							mode, credential = s.TLS.Mode, s.TLS.CredentialName
						}
						out.gateway(name, m.Selector, m.Annotations, s.Port, s.Protocol, s.Hosts, mode, credential)
					}
				}
			}
			return true
		})
	}
	for _, v := range routes {
		gatewardenRoutes(out, v, hosts)
	}
	return out
}

func gatewardenRoutes(out made, v *resource.VirtualService, hosts map[string][]string) {
	for _, gateway := range v.Gateways {
		add := func(match string, to []resource.Destination) {
			for _, h := range v.Hosts {
				host := ""
				for _, d := range to {
					host = d.Host
				}
				out.route(v.Namespace, gateway, h, hosts[gateway], match, host)
			}
		}
		for _, r := range v.HTTP {
			if len(r.Matches) == 0 {
				add("any", r.Destinations)
			}
			for _, m := range r.Matches {
				if match := m.URI.String(); m.URI == (resource.StringMatch{}) {
					add("any", r.Destinations)
				} else {
					add(match, r.Destinations)
				}
			}
		}
		for _, r := range v.TLS {
			add("server name", r.Destinations)
		}
		for _, r := range v.TCP {
			add("connections", r.Destinations)
		}
	}
}

func newMade() made { return made{map[string]bool{}, map[string]bool{}} }

// gatewayName is the name of a Gateway that Istio makes of a listener, with "-" where Istio has
// "~" since 1.31.
func gatewayName(name string) string { return strings.ReplaceAll(name, "~", "-") }

func (m made) gateway(name string, selector, annotations map[string]string, port uint32, protocol string, hosts []string, mode, credential string) {
	hosts = slices.Sorted(slices.Values(hosts))
	m.gateways[fmt.Sprintf("%s %v services %q of %q semantics %q account %q: %d %s %v tls %q %s", name, selector,
		annotations[resource.GatewayService], annotations[resource.ParentNamespace], annotations[resource.GatewaySemantics],
		annotations[resource.ServiceAccount], port, protocol, hosts, mode, credential)] = true
}

// route adds what is served of a host: nothing, if no server of the Gateway has it for the
// namespace. Istio leaves out what gatewarden leaves to that.
func (m made) route(namespace, gateway, host string, servers []string, match, to string) {
	gwNamespace, _, _ := strings.Cut(gateway, "/")
	for _, s := range hostname.ServerHosts(servers, gwNamespace) {
		if _, bound := s.Bind(host); bound && s.Admits(namespace) {
			// Ingresses of one host share the Gateway of the oldest one.
			if strings.HasSuffix(strings.TrimSuffix(gateway, "-"+namespace), "istio-autogenerated-k8s-ingress") {
				gateway = "of the Ingress"
			}
			// So do routes that are merged, in the namespace of the oldest.
			m.routes[fmt.Sprintf("%s %s: %s to %s", gateway, host, match, to)] = true
		}
	}
}
