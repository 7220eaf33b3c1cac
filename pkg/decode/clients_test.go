package decode_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestDestinationRule(t *testing.T) {
	o, err := object(t, resource.KindDestinationRule, `
apiVersion: networking.istio.io/v1alpha3
kind: DestinationRule
metadata: {name: a, namespace: b}
spec:
  host: reviews
  exportTo: ["."]
  workloadSelector: {matchLabels: {app: web}}
  trafficPolicy:
    connectionPool: {tcp: {connectTimeout: 5m}}
    tls: {mode: SIMPLE, sni: x}
    portLevelSettings:
    - port: {number: 80}
    - port: {number: 443}
      tls: {}
  subsets:
  - {name: v1, labels: {version: v1}}
  - name: v2
    trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}
`)
	require.NoError(t, err)
	assert.Equal(t, &resource.DestinationRule{
		Meta: resource.Meta{Name: "a", Namespace: "b"}, Host: "reviews", ExportTo: []string{"."},
		WorkloadSelector: map[string]string{"app": "web"},
		Policy: resource.TrafficPolicy{TLS: "SIMPLE", Ports: []resource.PortPolicy{
			{Port: 80}, {Port: 443, TLS: "DISABLE"},
		}},
		Subsets: []resource.Subset{{Name: "v1"}, {Name: "v2", Policy: resource.TrafficPolicy{TLS: "ISTIO_MUTUAL"}}},
	}, o)
}

// A selector without labels is one: it makes the DestinationRule private.
func TestDestinationRuleSelector(t *testing.T) {
	for text, want := range map[string]map[string]string{
		`{host: a}`:                       nil,
		`{host: a, workloadSelector: {}}`: {},
		`{host: a, workloadSelector: {matchLabels: {}}}`: {},
	} {
		o, err := object(t, resource.KindDestinationRule, "spec: "+text)
		require.NoError(t, err)
		assert.Equal(t, want, o.(*resource.DestinationRule).WorkloadSelector, text)
	}
}

func TestSidecar(t *testing.T) {
	o, err := object(t, resource.KindSidecar, `
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: a, namespace: b}
spec:
  workloadSelector: {labels: {app: web}}
  ingress:
  - port: {number: 80, protocol: HTTP}
  - port: {number: 443, protocol: HTTPS}
    tls: {mode: SIMPLE, privateKey: key}
  - port: {number: 444, protocol: TLS}
    tls: {}
  egress: [{hosts: ["*/*"]}]
`)
	require.NoError(t, err)
	assert.Equal(t, &resource.Sidecar{
		Meta: resource.Meta{Name: "a", Namespace: "b"}, WorkloadSelector: map[string]string{"app": "web"},
		Ingress: []resource.IngressListener{{Port: 80}, {Port: 443, TLS: "SIMPLE"}, {Port: 444, TLS: "PASSTHROUGH"}},
	}, o)
}
