package decode_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestIngress(t *testing.T) {
	o, err := object(t, resource.KindIngress, `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop, namespace: team-a, annotations: {kubernetes.io/ingress.class: istio, nginx.ingress.kubernetes.io/x: "1"}}
spec:
  ingressClassName: mesh
  tls: [{hosts: [a.org], secretName: cert}]
  rules:
  - host: a.org
    http:
      paths:
      - {path: /a, pathType: Exact, backend: {service: {name: s, port: {number: 80}}}}
      - {backend: {resource: {kind: Bucket, name: b}}}
  - {host: b.org}
`)
	require.NoError(t, err)
	class, name := "istio", "mesh"
	assert.Equal(t, &resource.Ingress{
		Meta:            resource.Meta{Name: "shop", Namespace: "team-a"},
		ClassAnnotation: &class, ClassName: &name,
		TLS: []resource.IngressTLS{{Hosts: []string{"a.org"}, SecretName: "cert"}},
		Rules: []resource.IngressRule{
			{Host: "a.org", Paths: []resource.IngressPath{{Path: "/a", Type: "Exact", Service: "s"}, {}}},
			{Host: "b.org"},
		},
	}, o)
}

// Two kinds are called Gateway, and the API group tells them apart.
func TestKubernetesGateway(t *testing.T) {
	api, known := resource.Lookup("gateway.networking.k8s.io/v1", "Gateway")
	require.True(t, known)
	assert.Equal(t, resource.KindKubernetesGateway, api.Kind)
	assert.Equal(t, "Gateway", api.Name())
	api, known = resource.Lookup("networking.istio.io/v1", "Gateway")
	require.True(t, known)
	assert.Equal(t, resource.KindGateway, api.Kind)

	const text = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web, namespace: team-a, annotations: {gateway.istio.io/name-override: edge, other: x}}
spec:
  gatewayClassName: istio
  addresses: [{type: Hostname, value: edge}, {value: 10.0.0.1}]
  allowedListeners: {namespaces: {from: All}}
  listeners:
  - name: https
    hostname: a.org
    port: 443
    protocol: HTTPS
    tls:
      mode: Terminate
      options: {gateway.istio.io/tls-terminate-mode: MUTUAL}
      certificateRefs: [{name: c}, {name: d, namespace: certs}]
    allowedRoutes:
      kinds: [{kind: HTTPRoute}, {group: example.org, kind: X}]
      namespaces: {from: Selector, selector: {matchLabels: {a: b}, matchExpressions: [{key: k, operator: In, values: [v]}]}}
`
	o, err := object(t, resource.KindKubernetesGateway, text)
	require.NoError(t, err)
	assert.Equal(t, &resource.KubernetesGateway{
		Meta:             resource.Meta{Name: "web", Namespace: "team-a", Annotations: map[string]string{"gateway.istio.io/name-override": "edge"}},
		Class:            "istio",
		Addresses:        []resource.GatewayAddress{{Type: "Hostname", Value: "edge"}, {Value: "10.0.0.1"}},
		AllowedListeners: &resource.NamespaceChoice{From: "All"},
		Listeners: []resource.Listener{{
			Name: "https", Hostname: "a.org", Port: 443, Protocol: "HTTPS",
			TLS: &resource.ListenerTLS{
				Mode: "Terminate", Certificates: []string{"c", "certs/d"},
				Options: map[string]string{"gateway.istio.io/tls-terminate-mode": "MUTUAL"},
			},
			AllowedRoutes: &resource.NamespaceChoice{From: "Selector", Selector: &resource.LabelSelector{
				Labels:      map[string]string{"a": "b"},
				Expressions: []resource.LabelExpression{{Key: "k", Operator: "In", Values: []string{"v"}}},
			}},
			Kinds: []resource.GroupKind{{Group: resource.GatewayAPI, Kind: "HTTPRoute"}, {Group: "example.org", Kind: "X"}},
		}},
	}, o)
	_, err = object(t, resource.KindGateway, text)
	assert.ErrorContains(t, err, "API group")
	_, err = object(t, resource.KindKubernetesGateway, `spec: {listeners: [{name: a, protocol: TLS, port: 70000}]}`)
	assert.ErrorContains(t, err, "spec.listeners[0].port")
}

func TestRoutes(t *testing.T) {
	o, err := object(t, resource.KindHTTPRoute, `
metadata: {name: r, namespace: team-a}
spec:
  parentRefs: [{name: web, namespace: infra, sectionName: http, port: 80}, {group: "", kind: Service, name: s}]
  hostnames: [a.org]
  rules:
  - matches: [{path: {value: /a}}, {path: {type: Exact, value: /b}, method: GET}, {headers: [{name: h, value: v}]}]
    name: main
    backendRefs:
    - {name: s, port: 80}
    - {name: t, namespace: team-b, port: 80, filters: [{requestHeaderModifier: {set: [{name: x-a, value: "1"}]}}]}
    - {group: networking.istio.io, kind: Hostname, name: b.org}
    filters:
    - {type: RequestMirror, requestMirror: {backendRef: {name: m}}}
    - {type: RequestHeaderModifier, requestHeaderModifier: {add: [{name: x-b, value: "1"}], remove: [x-c]}}
`)
	require.NoError(t, err)
	assert.Equal(t, &resource.Route{
		Meta: resource.Meta{Name: "r", Namespace: "team-a"}, Kind: resource.KindHTTPRoute,
		Parents: []resource.ParentRef{
			{GroupKind: resource.GroupKind{Group: resource.GatewayAPI, Kind: "Gateway"}, Namespace: "infra", Name: "web", Section: "http", Port: 80},
			{GroupKind: resource.GroupKind{Kind: "Service"}, Name: "s"},
		},
		Hostnames: []string{"a.org"},
		Rules: []resource.RouteRule{{
			Matches: []resource.RouteMatch{
				{PathType: "PathPrefix", Path: "/a"}, {PathType: "Exact", Path: "/b", Conditioned: true}, {Conditioned: true},
			},
			Name: "main",
			Backends: []resource.Backend{
				{GroupKind: resource.GroupKind{Kind: "Service"}, Namespace: "team-a", Name: "s", Path: "backendRefs[0]"},
				{GroupKind: resource.GroupKind{Kind: "Service"}, Namespace: "team-b", Name: "t", Path: "backendRefs[1]"},
				{GroupKind: resource.GroupKind{Group: "networking.istio.io", Kind: "Hostname"}, Namespace: "team-a", Name: "b.org", Path: "backendRefs[2]"},
				{GroupKind: resource.GroupKind{Kind: "Service"}, Namespace: "team-a", Name: "m", Mirror: true, Path: "filters[0].requestMirror.backendRef"},
			},
			Headers: []resource.BackendHeader{
				{HeaderEdit: resource.HeaderEdit{Name: "x-a", Destination: 1}, Path: "backendRefs[1].filters[0].requestHeaderModifier.set"},
				{HeaderEdit: resource.HeaderEdit{Name: "x-b", Destination: -1, Operation: resource.AddHeader}, Path: "filters[1].requestHeaderModifier.add"},
				{HeaderEdit: resource.HeaderEdit{Name: "x-c", Destination: -1, Operation: resource.RemoveHeader}, Path: "filters[1].requestHeaderModifier.remove"},
			},
		}},
	}, o)
	o, err = object(t, resource.KindGRPCRoute, `
metadata: {name: r, namespace: team-a}
spec: {rules: [{matches: [{method: {service: s}}, {}]}]}
`)
	require.NoError(t, err)
	assert.Equal(t, []resource.RouteMatch{{PathType: "Exact", Service: "s"}, {}}, o.(*resource.Route).Rules[0].Matches)
}
