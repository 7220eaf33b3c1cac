package decode_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestConfigMap(t *testing.T) {
	// As istioctl and Helm render it for deployKF's values.
	const mesh = `
metadata: {name: istio, namespace: istio-system, labels: {istio.io/rev: default, release: istio}}
data:
  meshNetworks: 'networks: {}'
  mesh: |-
    defaultConfig:
      discoveryAddress: istiod.istio-system.svc:15012
      holdApplicationUntilProxyStarts: true
      proxyMetadata: {ISTIO_META_DNS_AUTO_ALLOCATE: "true", ISTIO_META_DNS_CAPTURE: "true"}
    enablePrometheusMerge: true
    defaultVirtualServiceExportTo: ["."]
    ingressControllerMode: "OFF"
    ingressClass: a
    ingressSelector: b
    ingressService: c
    rootNamespace: istio-system
    trustDomain: cluster.local
    trustDomainAliases: [old]
`
	const values = `
metadata: {name: istio-sidecar-injector-1-22, namespace: istio-system}
data:
  config: 'templates: {}'
  values: '{"global": {"proxy": {"includeIPRanges": "10.0.0.0/8", "holdApplicationUntilProxyStarts": true}}, "sidecarInjectorWebhook": {"enableNamespacesByDefault": true}}'
`
	ranges := "10.0.0.0/8"
	for name, c := range map[string]struct {
		text string
		want resource.ConfigMap
	}{
		"mesh": {mesh, resource.ConfigMap{
			Meta: resource.Meta{Name: "istio", Namespace: "istio-system", Labels: map[string]string{"istio.io/rev": "default"}},
			Mesh: &resource.MeshConfig{
				TrustDomain: "cluster.local", TrustDomainAliases: []string{"old"}, RootNamespace: "istio-system",
				DefaultVirtualServiceExportTo: []string{"."}, IngressControllerMode: "OFF",
				IngressClass: "a", IngressSelector: "b", IngressService: "c", HoldApplication: true,
				ProxyMetadata: map[string]string{"ISTIO_META_DNS_AUTO_ALLOCATE": "true", "ISTIO_META_DNS_CAPTURE": "true"},
			},
		}},
		"values": {values, resource.ConfigMap{
			Meta:      resource.Meta{Name: "istio-sidecar-injector-1-22", Namespace: "istio-system"},
			Injection: &resource.InjectionValues{IncludeIPRanges: &ranges, HoldApplication: true, EnableNamespacesByDefault: true},
		}},
		"an empty mesh": {`{metadata: {name: istio-a}, data: {mesh: ""}}`, resource.ConfigMap{
			Meta: resource.Meta{Name: "istio-a"}, Mesh: &resource.MeshConfig{},
		}},
		"not YAML": {`{metadata: {name: istio}, data: {mesh: "a: b: c"}}`, resource.ConfigMap{
			Meta: resource.Meta{Name: "istio"}, Problem: "data.mesh: yaml: mapping values are not allowed in this context",
		}},
		"a wrong type": {`{metadata: {name: istio}, data: {mesh: "defaultConfig: {proxyMetadata: {ISTIO_META_DNS_CAPTURE: true}}"}}`, resource.ConfigMap{
			Meta: resource.Meta{Name: "istio"}, Problem: "data.mesh.defaultConfig.proxyMetadata.ISTIO_META_DNS_CAPTURE: must be a string, not true; put it in quotes",
		}},
		"somebody else's":  {`{metadata: {name: settings}, data: {mesh: "a: b: c", values: x}}`, resource.ConfigMap{Meta: resource.Meta{Name: "settings"}}},
		"another of Istio": {`{metadata: {name: istio-ca-root-cert}, data: {root-cert.pem: x}}`, resource.ConfigMap{Meta: resource.Meta{Name: "istio-ca-root-cert"}}},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := object(t, resource.KindConfigMap, c.text)
			require.NoError(t, err)
			assert.Equal(t, &c.want, o)
			assert.Equal(t, c.want.Mesh != nil || c.want.Injection != nil || c.want.Problem != "", o.(*resource.ConfigMap).OfIstio())
		})
	}
}

func TestNode(t *testing.T) {
	o, err := object(t, resource.KindNode, `
metadata: {name: a, labels: {pool: x}}
status: {nodeInfo: {kernelVersion: 5.15.0-101-generic, operatingSystem: linux, architecture: amd64}}
`)
	require.NoError(t, err)
	assert.Equal(t, &resource.Node{
		Meta: resource.Meta{Name: "a", Labels: map[string]string{"pool": "x"}}, OS: "linux", Kernel: "5.15.0-101-generic",
	}, o)
}

func TestCertificate(t *testing.T) {
	o, err := object(t, resource.KindCertificate, `
metadata: {name: a, namespace: b}
spec: {secretName: cert, commonName: "*.x", dnsNames: ["*.x", x], issuerRef: {kind: ClusterIssuer, name: i}}
status:
  conditions:
  - {type: Issuing, status: "True", message: going on}
  - {type: Ready, status: "False", message: no issuer}
`)
	require.NoError(t, err)
	assert.Equal(t, &resource.Certificate{
		Meta: resource.Meta{Name: "a", Namespace: "b"}, SecretName: "cert", Names: []string{"*.x", "x", "*.x"}, Ready: "False", Reason: "no issuer",
	}, o)
}

// The environment tells of istiod, and of nobody else.
func TestEnvironment(t *testing.T) {
	o, err := object(t, resource.KindDeployment, `
metadata: {name: istiod, namespace: istio-system, labels: {app: istiod, helm.sh/chart: istiod-1.22.0}}
spec:
  template:
    spec:
      nodeSelector: {pool: x}
      containers:
      - name: discovery
        env: [{name: A, value: b}, {name: C, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
      - name: other
        env: [{name: SECRET, value: c}]
`)
	require.NoError(t, err)
	assert.Equal(t, &resource.Workload{
		Meta: resource.Meta{Name: "istiod", Namespace: "istio-system", Labels: map[string]string{"helm.sh/chart": "istiod-1.22.0"}},
		Kind: resource.KindDeployment,
		Pod: resource.PodTemplate{NodeSelector: map[string]string{"pool": "x"}, Containers: []resource.Container{
			{Name: "discovery", Env: []resource.EnvVar{{Name: "A", Value: "b"}, {Name: "C", Elsewhere: true}}}, {Name: "other"},
		}},
	}, o)
}
