package decode_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/gatewarden/gatewarden/pkg/decode"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// object decodes the YAML of an object of a kind.
func object(t testing.TB, kind resource.Kind, text string) (resource.Object, error) {
	t.Helper()
	raw, err := yaml.YAMLToJSONStrict([]byte(text))
	require.NoError(t, err)
	return decode.Object(resource.ByKind(kind), raw)
}

const typicalGateway = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata:
  name: shop
  namespace: team-a
  creationTimestamp: "2026-03-04T05:06:07Z"
  labels: {app: shop, istio.io/rev: stable}
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: "{}"
    internal.istio.io/parents: Gateway/shop/default.team-a
    gatewarden.io/note: "yes"
spec:
  selector: {istio: ingressgateway}
  servers:
    - name: one
      port: {number: 443, name: https, protocol: HTTPS}
      bind: 10.0.0.1
      hosts: [shop.example.com, team-a/*.Example.com]
      tls: {mode: SIMPLE, credentialName: shop-cert, minProtocolVersion: TLSV1_2}
    - port: {number: 80, name: http, protocol: HTTP}
      hosts: ["*"]
      tls: {httpsRedirect: true}
    - port: {number: 0, name: socket, protocol: HTTP}
      bind: unix:///var/run/shop.sock
      hosts: ["./shop.example.com"]
status: {conditions: []}
`

func TestGateway(t *testing.T) {
	o, err := object(t, resource.KindGateway, typicalGateway)
	require.NoError(t, err)
	assert.Equal(t, &resource.Gateway{
		Meta: resource.Meta{
			Namespace: "team-a", Name: "shop",
			Created: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC),
			Labels:  map[string]string{"istio.io/rev": "stable"},
			Annotations: map[string]string{
				"internal.istio.io/parents": "Gateway/shop/default.team-a", "gatewarden.io/note": "yes",
			},
		},
		Selector: map[string]string{"istio": "ingressgateway"},
		Servers: []resource.Server{
			{
				Name: "one", PortName: "https", Port: 443, Protocol: "HTTPS", Bind: "10.0.0.1",
				Hosts: []string{"shop.example.com", "team-a/*.Example.com"},
				TLS:   &resource.ServerTLS{Mode: "SIMPLE", CredentialName: "shop-cert"},
			},
			{
				PortName: "http", Port: 80, Protocol: "HTTP", Hosts: []string{"*"},
				TLS: &resource.ServerTLS{Mode: "PASSTHROUGH", HTTPSRedirect: true},
			},
			{PortName: "socket", Protocol: "HTTP", Bind: "unix:///var/run/shop.sock", Hosts: []string{"./shop.example.com"}},
		},
	}, o)
}

const typicalVirtualService = `
apiVersion: networking.istio.io/v1beta1
kind: VirtualService
metadata: {name: shop, namespace: team-a}
spec:
  hosts: [shop.example.com, reviews, 10.1.2.3]
  gateways: [team-b/gateway, mesh]
  exportTo: ["."]
  http:
    - name: cart
      match:
        - uri: {prefix: /cart/}
          ignoreUriCase: true
          port: 443
          gateways: [team-b/gateway]
        - name: basket
          uri: {exact: /basket}
          headers: {x-user: {}}
        - uri: {regex: "/b.*"}
          method: {exact: GET}
          statPrefix: ignored
        - method: {}
          statPrefix: ignored
      timeout: 5m
      retries: {attempts: 2, perTryTimeout: 1m30s}
      route:
        - destination: {host: cart.team-a.svc.cluster.local, port: {number: 80}}
          weight: 90
        - destination: {host: cart-v2}
          headers: {request: {add: {X-Lane: b}, remove: [x-trace]}, response: {set: {x-ignored: a}}}
      mirror: {host: mirror-one}
      mirrors: [{destination: {host: mirror-two}}]
      headers: {request: {set: {x-b: "1", x-a: "2"}}}
    - delegate: {name: rest}
    - delegate: {name: rest, namespace: team-c}
  tls:
    - match: [{sniHosts: [shop.example.com], port: 443, gateways: [mesh]}]
      route: [{destination: {host: shop}}]
  tcp:
    - match: [{port: 27017, gateways: [mesh]}]
    - route: [{destination: {host: shop}}]
`

func TestVirtualService(t *testing.T) {
	o, err := object(t, resource.KindVirtualService, typicalVirtualService)
	require.NoError(t, err)
	assert.Equal(t, &resource.VirtualService{
		Meta:     resource.Meta{Namespace: "team-a", Name: "shop"},
		Hosts:    []string{"shop.example.com", "reviews", "10.1.2.3"},
		Gateways: []string{"team-b/gateway", "mesh"},
		ExportTo: []string{"."},
		HTTP: []resource.HTTPRoute{
			{
				Name: "cart",
				Matches: []resource.HTTPMatch{
					{
						URI:           resource.StringMatch{Type: resource.MatchPrefix, Value: "/cart/"},
						IgnoreURICase: true, Port: 443, Gateways: []string{"team-b/gateway"},
					},
					{Name: "basket", URI: resource.StringMatch{Type: resource.MatchExact, Value: "/basket"}, Conditioned: true},
					{URI: resource.StringMatch{Type: resource.MatchRegex, Value: "/b.*"}, Conditioned: true},
					{},
				},
				Destinations: []resource.Destination{
					{Host: "cart.team-a.svc.cluster.local"},
					{Host: "cart-v2", Index: 1},
					{Host: "mirror-one", List: resource.InMirror},
					{Host: "mirror-two", List: resource.InMirrors},
				},
				Headers: []resource.HeaderEdit{
					{Name: "x-a", Destination: resource.EveryDestination},
					{Name: "x-b", Destination: resource.EveryDestination},
					{Name: "X-Lane", Destination: 1, Operation: resource.AddHeader},
					{Name: "x-trace", Destination: 1, Operation: resource.RemoveHeader},
				},
			},
			{Delegate: "team-a/rest"},
			{Delegate: "team-c/rest"},
		},
		TLS: []resource.L4Route{{
			Matches:      []resource.L4Match{{SNIHosts: []string{"shop.example.com"}, Port: 443, Gateways: []string{"mesh"}}},
			Destinations: []resource.Destination{{Host: "shop"}},
		}},
		TCP: []resource.L4Route{
			{Matches: []resource.L4Match{{Port: 27017, Gateways: []string{"mesh"}}}},
			{Destinations: []resource.Destination{{Host: "shop"}}},
		},
	}, o)
}

func TestFieldsOfRoute(t *testing.T) {
	o, err := object(t, resource.KindVirtualService, typicalVirtualService)
	require.NoError(t, err)
	var got []string
	r := &o.(*resource.VirtualService).HTTP[0]
	for _, d := range r.Destinations {
		got = append(got, d.Field())
	}
	assert.Equal(t, []string{"route[0].destination.host", "route[1].destination.host", "mirror.host", "mirrors[0].destination.host"}, got)
	got = nil
	for _, e := range r.Headers {
		got = append(got, e.Field())
	}
	assert.Equal(t, []string{
		"headers.request.set", "headers.request.set", "route[1].headers.request.add", "route[1].headers.request.remove",
	}, got)
	assert.True(t, r.Headers[0].AppliesTo(r.Destinations[3]))
	assert.True(t, r.Headers[2].AppliesTo(r.Destinations[1]))
	assert.False(t, r.Headers[2].AppliesTo(r.Destinations[0]))
	assert.False(t, r.Headers[2].AppliesTo(resource.Destination{List: resource.InMirrors, Index: 1}))
}

func TestConditioned(t *testing.T) {
	for _, condition := range []string{
		"scheme: {exact: https}", "method: {regex: G.*}", "authority: {prefix: a}", "headers: {a: {exact: b}}",
		"withoutHeaders: {a: {}}", "queryParams: {a: {exact: b}}", "sourceLabels: {app: a}", "sourceNamespace: a",
	} {
		o, err := object(t, resource.KindVirtualService, "spec: {http: [{match: [{"+condition+"}]}]}")
		require.NoError(t, err, condition)
		assert.True(t, o.(*resource.VirtualService).HTTP[0].Matches[0].Conditioned, condition)
	}
	for _, condition := range []string{"uri: {exact: /}", "port: 1", "gateways: [a]", "statPrefix: a", "name: a", "scheme: {}", "headers: {}"} {
		o, err := object(t, resource.KindVirtualService, "spec: {http: [{match: [{"+condition+"}]}]}")
		require.NoError(t, err, condition)
		assert.False(t, o.(*resource.VirtualService).HTTP[0].Matches[0].Conditioned, condition)
	}
}

func TestPeerAuthentication(t *testing.T) {
	o, err := object(t, resource.KindPeerAuthentication, `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: p, namespace: a, deletionTimestamp: "2026-03-04T05:06:07Z", creationTimestamp: null}
spec:
  selector: {matchLabels: {app: web}}
  mtls: {mode: STRICT}
  portLevelMtls: {"8080": {mode: DISABLE}, "65535": {mode: PERMISSIVE}, "1": {}, "2": {mode: UNSET}}
`)
	require.NoError(t, err)
	assert.Equal(t, &resource.PeerAuthentication{
		Meta:     resource.Meta{Namespace: "a", Name: "p", Terminating: true},
		Selector: map[string]string{"app": "web"},
		Mode:     resource.ModeStrict,
		Ports: map[uint32]resource.MTLSMode{
			8080: resource.ModeDisable, 65535: resource.ModePermissive, 1: resource.ModeUnset, 2: resource.ModeUnset,
		},
	}, o)
}

func TestServiceEntry(t *testing.T) {
	o, err := object(t, resource.KindServiceEntry, `
metadata: {name: e, namespace: a}
spec:
  hosts: [a.example.com]
  workloadSelector: {labels: {app: gateway}}
  endpoints: [{address: 10.0.0.1}, {address: b.example.com}]
  resolution: DNS_ROUND_ROBIN
  exportTo: [.]
  ports:
    - {number: 443, targetPort: 8443, name: https, protocol: TLS}
    - {number: 80, name: http, protocol: HTTP}
`)
	require.NoError(t, err)
	assert.Equal(t, &resource.ServiceEntry{
		Meta:             resource.Meta{Namespace: "a", Name: "e"},
		WorkloadSelector: map[string]string{"app": "gateway"},
		Hosts:            []string{"a.example.com"},
		Ports: []resource.ServicePort{
			{Name: "https", Protocol: "TLS", Port: 443, TargetPort: 8443},
			{Name: "http", Protocol: "HTTP", Port: 80},
		},
		Endpoints:   []string{"10.0.0.1", "b.example.com"},
		ResolvesDNS: true,
		ExportTo:    []string{"."},
	}, o)
	for resolution, want := range map[string]bool{"DNS": true, "STATIC": false, "NONE": false, "DYNAMIC_DNS": false} {
		o, err = object(t, resource.KindServiceEntry, "{spec: {hosts: [a.example.com], resolution: "+resolution+"}}")
		require.NoError(t, err)
		assert.Equal(t, want, o.(*resource.ServiceEntry).ResolvesDNS, resolution)
	}
}

func TestWorkloadEntry(t *testing.T) {
	o, err := object(t, resource.KindWorkloadEntry, "{metadata: {name: e, namespace: a}, spec: {address: 10.0.0.1, labels: {app: b}}}")
	require.NoError(t, err)
	assert.Equal(t, &resource.WorkloadEntry{
		Meta: resource.Meta{Namespace: "a", Name: "e"}, Address: "10.0.0.1", Selected: map[string]string{"app": "b"},
	}, o)
	o, err = object(t, resource.KindWorkloadEntry, "{metadata: {name: e, labels: {app: c, tier: d}}, spec: {labels: {app: b, run: e}}}")
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"app": "c", "tier": "d", "run": "e"}, o.(*resource.WorkloadEntry).Selected)
}

const podSpec = `
      serviceAccountName: gateway
      hostNetwork: true
      securityContext:
        runAsUser: 1337
        sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: "0"}]
      initContainers: [{name: init, image: setup}]
      containers:
        - name: istio-proxy
          image: auto
          resources: {limits: {memory: a lot}}
          ports: [{containerPort: 8080}, {name: https, containerPort: 8443, hostPort: 443, protocol: TCP}, {containerPort: 53, protocol: UDP}]
          securityContext:
            runAsUser: 0
            capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}
`

// template is podSpec decoded.
func template() resource.PodTemplate {
	user, root := int64(1337), int64(0)
	return resource.PodTemplate{
		ServiceAccount: "gateway", HostNetwork: true, RunAsUser: &user,
		Sysctls: []resource.Sysctl{{Name: "net.ipv4.ip_unprivileged_port_start", Value: "0"}},
		Containers: []resource.Container{{
			Name: "istio-proxy", Image: "auto", RunAsUser: &root,
			CapabilitiesAdd: []string{"NET_BIND_SERVICE"}, CapabilitiesDrop: []string{"ALL"},
			Ports: []resource.ContainerPort{{Port: 8080}, {Name: "https", Port: 8443, OnHost: true}},
		}},
	}
}

func TestTemplated(t *testing.T) {
	for _, kind := range []resource.Kind{resource.KindDeployment, resource.KindDaemonSet, resource.KindStatefulSet} {
		o, err := object(t, kind, `
apiVersion: apps/v1
kind: `+string(kind)+`
metadata:
  name: gateway
  namespace: a
  labels: {app: gateway, install.operator.istio.io/owning-resource: x}
  annotations: {deployment.kubernetes.io/revision: "1"}
spec:
  template:
    metadata:
      labels: {app: gateway, pod: "yes"}
      annotations: {inject.istio.io/templates: gateway, prometheus.io/scrape: "true"}
    spec:`+podSpec)
		require.NoError(t, err)
		pod := template()
		pod.Labels = map[string]string{"app": "gateway", "pod": "yes"}
		pod.Annotations = map[string]string{"inject.istio.io/templates": "gateway"}
		assert.Equal(t, &resource.Workload{
			Meta: resource.Meta{
				Namespace: "a", Name: "gateway",
				Labels: map[string]string{"install.operator.istio.io/owning-resource": "x"},
			},
			Kind: kind,
			Pod:  pod,
		}, o)
	}
}

func TestPod(t *testing.T) {
	o, err := object(t, resource.KindPod, `
apiVersion: v1
kind: Pod
metadata:
  name: gateway-0
  namespace: a
  labels: {app: gateway}
  annotations: {sidecar.istio.io/status: "{}", cni.projectcalico.org/podIP: 10.0.0.1}
spec:`+podSpec+`
status: {podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: "fd00::1"}]}
`)
	require.NoError(t, err)
	pod := template()
	pod.Labels = map[string]string{"app": "gateway"}
	pod.Annotations = map[string]string{"sidecar.istio.io/status": "{}"}
	pod.PodIPs = []string{"10.0.0.1", "fd00::1"}
	assert.Equal(t, &resource.Workload{
		Meta: resource.Meta{Namespace: "a", Name: "gateway-0", Labels: pod.Labels, Annotations: pod.Annotations},
		Kind: resource.KindPod,
		Pod:  pod,
	}, o)

	o, err = object(t, resource.KindPod, "{spec: {serviceAccount: old}, status: {podIP: 10.0.0.2}}")
	require.NoError(t, err)
	assert.Equal(t, resource.PodTemplate{ServiceAccount: "old", PodIPs: []string{"10.0.0.2"}}, o.(*resource.Workload).Pod)

	for owners, want := range map[string]bool{
		"[]": false, "[{kind: Node, name: n}]": false, "[{kind: X, name: x, controller: false}]": false,
		"[{kind: X, name: x}, {kind: ReplicaSet, name: r, controller: true}]": true,
	} {
		o, err = object(t, resource.KindPod, "metadata: {ownerReferences: "+owners+"}")
		require.NoError(t, err)
		assert.Equal(t, want, o.(*resource.Workload).Controlled, owners)
	}
}

func TestService(t *testing.T) {
	o, err := object(t, resource.KindService, `
apiVersion: v1
kind: Service
metadata: {name: gateway, namespace: a, labels: {app: gateway}}
spec:
  selector: {app: gateway}
  ports:
    - {name: http, port: 80, targetPort: 8080, protocol: TCP}
    - {name: https, port: 443, targetPort: https}
    - {port: 15021}
`)
	require.NoError(t, err)
	assert.Equal(t, &resource.Service{
		Meta:     resource.Meta{Namespace: "a", Name: "gateway", Labels: map[string]string{"app": "gateway"}},
		Selector: map[string]string{"app": "gateway"},
		Ports: []resource.ServicePort{
			{Name: "http", Protocol: "TCP", Port: 80, TargetPort: 8080},
			{Name: "https", Port: 443, TargetName: "https"},
			{Port: 15021},
		},
	}, o)
	for spec, want := range map[string]resource.Service{
		"{type: ExternalName, externalName: a.org}":           {ExternalName: "a.org"},
		"{type: ClusterIP, externalName: a.org}":              {},
		"{clusterIP: 10.0.0.1}":                               {ClusterIPs: []string{"10.0.0.1"}},
		"{clusterIP: None, clusterIPs: [None]}":               {},
		"{clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1, '::']}": {ClusterIPs: []string{"10.0.0.1", "::"}},
	} {
		o, err = object(t, resource.KindService, "{spec: "+spec+"}")
		require.NoError(t, err)
		assert.Equal(t, &want, o, spec)
	}
}

func TestNamespace(t *testing.T) {
	o, err := object(t, resource.KindNamespace, `
apiVersion: v1
kind: Namespace
metadata: {name: a, namespace: ignored, labels: {istio-injection: enabled}}
spec: {finalizers: [kubernetes]}
`)
	require.NoError(t, err)
	assert.Equal(t, &resource.Namespace{
		Meta: resource.Meta{Name: "a", Labels: map[string]string{"istio-injection": "enabled"}},
	}, o)
}

// Of all webhooks that others are called for, those are kept by which Istio injects pods.
func TestInjectors(t *testing.T) {
	o, err := object(t, resource.KindInjectors, `
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: istio-sidecar-injector-1-31, labels: {istio.io/rev: 1-31, app: sidecar-injector}}
webhooks:
- name: rev.namespace.sidecar-injector.istio.io
  clientConfig: {caBundle: QUJD, service: {name: istiod-1-31, namespace: istio-system, path: /inject, port: 443}}
  rules: [{operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [pods], scope: "*"}]
  failurePolicy: Fail
  namespaceSelector:
    matchLabels: {team: a}
    matchExpressions: [{key: istio.io/rev, operator: In, values: [1-31]}, {key: istio-injection, operator: DoesNotExist}]
  objectSelector:
    matchExpressions: [{key: sidecar.istio.io/inject, operator: NotIn, values: ["false"]}]
- name: wide.sidecar-injector.istio.io
  rules: [{operations: ["*"], apiGroups: ["*"], apiVersions: ["*"], resources: ["*/*"]}]
- {name: updates.sidecar-injector.istio.io, rules: [{operations: [UPDATE], apiGroups: [""], apiVersions: [v1], resources: [pods]}]}
- {name: subresources.sidecar-injector.istio.io, rules: [{operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [pods/*]}]}
- {name: cluster.sidecar-injector.istio.io, rules: [{operations: [CREATE], apiGroups: ["*"], apiVersions: [v1], resources: ["*"], scope: Cluster}]}
- {name: never.sidecar-injector.istio.io}
- {name: policies.kyverno.svc, rules: [{operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [pods]}]}
`)
	require.NoError(t, err)
	assert.Equal(t, &resource.Injectors{
		Meta: resource.Meta{Name: "istio-sidecar-injector-1-31", Labels: map[string]string{"istio.io/rev": "1-31"}},
		Webhooks: []resource.Injector{
			{
				Namespaces: resource.LabelSelector{Labels: map[string]string{"team": "a"}, Expressions: []resource.LabelExpression{
					{Key: "istio.io/rev", Operator: "In", Values: []string{"1-31"}}, {Key: "istio-injection", Operator: "DoesNotExist"},
				}},
				Pods: resource.LabelSelector{Expressions: []resource.LabelExpression{
					{Key: "sidecar.istio.io/inject", Operator: "NotIn", Values: []string{"false"}},
				}},
			},
			{},
		},
	}, o)
}

func TestIngressClass(t *testing.T) {
	for value, want := range map[string]bool{"true": true, "false": false, "True": false} {
		o, err := object(t, resource.KindIngressClass, `
metadata: {name: mesh, annotations: {ingressclass.kubernetes.io/is-default-class: "`+value+`"}}
spec: {controller: istio.io/ingress-controller}
`)
		require.NoError(t, err)
		assert.Equal(t, &resource.IngressClass{Meta: resource.Meta{Name: "mesh"}, Controller: "istio.io/ingress-controller", Default: want}, o)
	}
}

func TestObjectWithoutSpec(t *testing.T) {
	for _, api := range resource.APIs {
		for _, text := range []string{
			`{}`,
			`{"metadata":null,"spec":null}`,
			`{"metadata":{"name":"","generateName":"a-"},"spec":{}}`,
		} {
			o, err := decode.Object(api, []byte(text))
			require.NoError(t, err, api.Kind)
			assert.Equal(t, api.Kind, o.Key().Kind)
		}
	}
	o, err := decode.Object(resource.ByKind(resource.KindVirtualService), []byte(`{"metadata":{"generateName":"a-"}}`))
	require.NoError(t, err)
	assert.Equal(t, "a-…", o.GetMeta().DisplayName())
}

// Unknown fields, fields of a newer API and names in another letter case are not read.
func TestUnknownFields(t *testing.T) {
	o, err := object(t, resource.KindGateway, `
kind: Gateway
Metadata: {name: wrong}
metadata: {name: right, futureField: [1]}
spec: {Servers: 7, future: {a: 1e400}, servers: []}
`)
	require.NoError(t, err)
	assert.Equal(t, &resource.Gateway{Meta: resource.Meta{Name: "right"}}, o)
}

// The Gateway with which istiod probes whether its validation webhook answers must reach
// that webhook.
func TestIstiodProbe(t *testing.T) {
	_, err := object(t, resource.KindGateway, `
metadata: {name: invalid-gateway, namespace: istio-system, annotations: {internal.istio.io/webhook-always-reject: "true"}}
spec: {}
`)
	require.NoError(t, err)
}

// What a patch puts in is of Envoy's API: names in two spellings, numbers as strings, and
// anything else that is passed over.
func TestEnvoyFilterValue(t *testing.T) {
	value := func(text string) resource.EnvoyValue {
		o, err := object(t, resource.KindEnvoyFilter, "spec: {configPatches: [{patch: {value: "+text+"}}]}")
		require.NoError(t, err, text)
		return o.(*resource.EnvoyFilter).Patches[0].Value
	}
	typed := func(s string) resource.EnvoyValue { return value("{typed_config: " + s + "}") }
	assert.Equal(t, resource.EnvoyValue{Empty: true}, value("{}"))
	assert.Equal(t, resource.EnvoyValue{}, value("null"))
	assert.Equal(t, resource.EnvoyValue{Type: "a.b.Lua"}, typed("{'@type': type.googleapis.com/a.b.Lua}"))
	assert.Equal(t, resource.EnvoyValue{Type: "a.b.Lua"}, typed("{'@type': type.googleapis.com/xds.type.v3.TypedStruct, type_url: type.googleapis.com/a.b.Lua}"))
	assert.Equal(t, resource.EnvoyValue{Name: "x", Disabled: true}, value("{name: x, disabled: true}"))
	assert.Equal(t, []string{"a", "b"}, value("{filterChainMatch: {serverNames: [a, 1, b]}}").Names)
	assert.True(t, value("{filter_chain_match: {prefixRanges: []}}").Destination)
	assert.Equal(t, []resource.EnvoyAddress{{IP: "::", Port: 443}, {IP: "0.0.0.0", Port: 80}, {Port: 81}},
		value("{address: {socketAddress: {address: '::', portValue: '443'}}, additionalAddresses: [x, {address: {pipe: {}}}, "+
			"{address: {socket_address: {address: 0.0.0.0, port_value: 80}}}, {address: {socket_address: {port_value: 81.0}}}]}").Addresses)
	for _, port := range []string{"-1", "4294967296", "1e99", "x", "[443]"} {
		assert.Equal(t, []resource.EnvoyAddress{{}}, value("{address: {socket_address: {port_value: "+port+"}}}").Addresses, port)
	}
	assert.Equal(t, []string{"a", "b", "c"}, value("{typedPerFilterConfig: {a: {}}, routes: [{typed_per_filter_config: {b: {}}, "+
		"route: {weighted_clusters: {clusters: [{typed_per_filter_config: {c: {}}}]}}}]}").Routed)
	assert.Equal(t, []string{"default_filter_chain", "filter_chain_match", "filter_chains", "filters", "transport_socket"},
		value("{defaultFilterChain: {}, filter_chain_match: {}, filter_chains: [], filters: [], transportSocket: {name: x}, other: {}}").Fields)
	assert.Equal(t, []string{"typed_config.http_filters"}, typed("{httpFilters: [], other: 1}").Fields)
	assert.Empty(t, value("{transport_socket: {typed_config: {'@type': x, commonTlsContext: {tlsParams: {}}}}}").Fields)
	assert.NotEmpty(t, value("{transport_socket: {typed_config: {'@type': x, require_client_certificate: false, common_tls_context: {tls_params: {}}}}}").Fields)
	assert.NotEmpty(t, value("{transport_socket: {typed_config: {'@type': x, common_tls_context: {tls_params: {}, alpn_protocols: []}}}}").Fields)
	assert.Equal(t, resource.EnvoyValue{}, value("{name: [], domains: x, address: 1, typed_config: [], disabled: 'true', typed_per_filter_config: 1}"))

	deep := strings.Repeat("{x: ", 1000) + "{typed_per_filter_config: {a: {}}}" + strings.Repeat("}", 1000)
	assert.Empty(t, value(deep).Routed)

	_, err := object(t, resource.KindEnvoyFilter, "spec: {configPatches: [{patch: {value: [x]}}]}")
	assert.EqualError(t, err, "spec.configPatches[0].patch.value: must be an object, not a list")
}

func TestEnvoyFilterMatch(t *testing.T) {
	o, err := object(t, resource.KindEnvoyFilter, `
spec:
  configPatches:
  - applyTo: HTTP_FILTER
    match:
      context: GATEWAY
      proxy: {proxyVersion: '^1\.2', metadata: {NAMESPACE: team-a}}
      listener:
        portNumber: 443
        name: l
        listenerFilter: lf
        filterChain: {sni: s, name: c, filter: {name: f, subFilter: {name: sf}}}
    patch: {operation: REMOVE}
  - applyTo: HTTP_ROUTE
    match:
      routeConfiguration: {portNumber: 80, portName: p, gateway: a/b, name: http.80, vhost: {name: 'h:80', domainName: h, route: {name: r, action: ROUTE}}}
    patch: {operation: ADD, value: {name: x}}
`)
	require.NoError(t, err)
	assert.Equal(t, []resource.EnvoyPatch{
		{
			ApplyTo: "HTTP_FILTER", Context: "GATEWAY", Operation: "REMOVE", Namespace: "team-a",
			Listener: resource.ListenerMatch{Port: 443, Name: "l", ListenerFilter: "lf", Filter: "f", SubFilter: "sf", SNI: "s", Chain: true},
		},
		{
			ApplyTo: "HTTP_ROUTE", Operation: "ADD", Value: resource.EnvoyValue{Name: "x"},
			Route: resource.RouteConfigurationMatch{Port: 80, PortName: "p", Gateway: "a/b", Name: "http.80", VirtualHost: "h:80", Domain: "h", Route: "r"},
		},
	}, o.(*resource.EnvoyFilter).Patches)
}

func TestTelemetry(t *testing.T) {
	o, err := object(t, resource.KindTelemetry, `
metadata: {name: t, namespace: ns}
spec:
  selector: {matchLabels: {a: b}}
  accessLogging:
  - providers: [{name: envoy}]
    filter: {expression: 'has(request.path) && re.extract(request.path, "a", "b") != f(1 + 2)'}
  - providers: [{name: envoy}]
    filter: {expression: '1 +'}
  metrics:
  - overrides:
    - tagOverrides:
        z: {value: 'request.headers["x"].exists(h, true)'}
        a: {operation: UPSERT, value: request.host}
`)
	require.NoError(t, err)
	got := o.(*resource.Telemetry)
	require.Len(t, got.Expressions, 4)
	assert.Contains(t, got.Expressions[1].Wrong, "Syntax error")
	got.Expressions[1].Wrong = ""
	assert.Equal(t, &resource.Telemetry{
		Meta: resource.Meta{Namespace: "ns", Name: "t"}, Target: resource.Target{Selector: map[string]string{"a": "b"}},
		Expressions: []resource.Expression{
			{Field: "spec.accessLogging[0].filter.expression", Filter: true, Functions: []string{"_!=_", "_&&_", "_+_", "f", "has", "re.extract"}},
			{Field: "spec.accessLogging[1].filter.expression", Filter: true},
			{Field: "spec.metrics[0].overrides[0].tagOverrides[a].value"},
			{Field: "spec.metrics[0].overrides[0].tagOverrides[z].value", Functions: []string{"_[_]", "exists"}},
		},
	}, got)

	// Absurd ones are an error of their own, and no strain.
	for _, text := range []string{strings.Repeat("(", 100000), strings.Repeat("a.", 200000) + "a", strings.Repeat("f(", 1000)} {
		o, err := object(t, resource.KindTelemetry, "spec: {accessLogging: [{providers: [{name: x}], filter: {expression: '"+text+"'}}]}")
		require.NoError(t, err)
		assert.NotEmpty(t, o.(*resource.Telemetry).Expressions[0].Wrong)
	}
}

func TestProxyConfig(t *testing.T) {
	o, err := object(t, resource.KindProxyConfig, `
metadata: {name: p, namespace: ns}
spec:
  selector: {matchLabels: {a: b}}
  concurrency: 2
  environmentVariables: {ISTIO_META_UNPRIVILEGED_POD: "true", OTHER: x}
`)
	require.NoError(t, err)
	assert.Equal(t, &resource.ProxyConfig{
		Meta: resource.Meta{Namespace: "ns", Name: "p"}, Selector: map[string]string{"a": "b"}, Unprivileged: "true",
	}, o)
}
