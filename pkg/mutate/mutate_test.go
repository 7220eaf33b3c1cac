package mutate_test

import (
	"encoding/json"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/gatewarden/gatewarden/pkg/decode"
	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/mutate"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
)

// world is one in which the default configuration guards a gateway of the owner's that
// selects app=deploykf-gateway and istio=deploykf-gateway, on the given ports.
func world(ports ...uint32) *policy.World {
	w := state.NewWriter()
	gw := &resource.Gateway{
		Meta:     resource.Meta{Namespace: "deploykf-istio-gateway", Name: "deploykf-gateway"},
		Selector: map[string]string{"app": "deploykf-gateway", "istio": "deploykf-gateway"},
	}
	for _, p := range ports {
		gw.Servers = append(gw.Servers, resource.Server{Port: p, Protocol: "HTTP", Hosts: []string{"deploykf.example.com"}})
	}
	w.Apply(gw)
	return policy.NewEngine(deploykf.Default(), nil).World(w.Snapshot())
}

// patch decodes a workload and computes its patch.
func patch(t require.TestingT, w *policy.World, raw []byte) []byte {
	var head struct{ Kind resource.Kind }
	require.NoError(t, json.Unmarshal(raw, &head))
	o, err := decode.Object(resource.ByKind(head.Kind), raw)
	require.NoError(t, err)
	ops, err := mutate.Patch(w, o.(*resource.Workload), raw)
	require.NoError(t, err)
	if ops == nil {
		return nil
	}
	require.NotEmpty(t, ops, "nothing to do is nil")
	b, err := json.Marshal(ops)
	require.NoError(t, err)
	return b
}

func apply(t require.TestingT, raw, ops []byte) []byte {
	p, err := jsonpatch.DecodePatch(ops)
	require.NoError(t, err)
	out, err := p.Apply(raw)
	require.NoError(t, err)
	return out
}

const (
	addLabel      = `{"op":"add","path":"/spec/template/metadata/labels/sidecar.istio.io~1inject","value":"true"}`
	addAnnotation = `{"op":"add","path":"/spec/template/metadata/annotations/inject.istio.io~1templates","value":"gateway"}`
	entry         = `{"name":"net.ipv4.ip_unprivileged_port_start","value":"0"}`
	addContext    = `{"op":"add","path":"/spec/template/spec/securityContext","value":{"sysctls":[` + entry + `]}}`
	addList       = `{"op":"add","path":"/spec/template/spec/securityContext/sysctls","value":[` + entry + `]}`
	addEntry      = `{"op":"add","path":"/spec/template/spec/securityContext/sysctls/-","value":` + entry + `}`
)

func TestPatch(t *testing.T) {
	// Each template belongs to a Deployment in team-a that the owner's Gateway on ports 80 and
	// 443 does not select, unless its labels say so.
	tests := []struct {
		name     string
		kind     string // Deployment if empty
		workload string // more of the workload's own YAML
		template string
		want     string // the operations; empty for no patch
	}{
		{
			name: "the minimal gateway", template: `
spec:
  containers: [{name: istio-proxy, image: auto}]`,
			want: `[
				{"op":"add","path":"/spec/template/metadata","value":{"labels":{"sidecar.istio.io/inject":"true"}}},
				{"op":"add","path":"/spec/template/metadata/annotations","value":{"inject.istio.io/templates":"gateway"}},` +
				addContext + `]`,
		},
		{
			name: "nulls are absent", template: `
metadata: {labels: null, annotations: null}
spec:
  securityContext: null
  containers: [{name: istio-proxy, image: auto}]`,
			want: `[
				{"op":"add","path":"/spec/template/metadata/labels","value":{"sidecar.istio.io/inject":"true"}},
				{"op":"add","path":"/spec/template/metadata/annotations","value":{"inject.istio.io/templates":"gateway"}},` +
				addContext + `]`,
		},
		{
			name: "maps that are there are added to", template: `
metadata: {labels: {app: edge}, annotations: {team: a}}
spec:
  securityContext: {runAsNonRoot: true, sysctls: null}
  containers: [{name: istio-proxy, image: auto}]`,
			want: `[` + addLabel + `,` + addAnnotation + `,` + addList + `]`,
		},
		{
			name: "already right", template: `
metadata:
  labels: {sidecar.istio.io/inject: "true"}
  annotations: {inject.istio.io/templates: gateway}
spec:
  securityContext: {sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: "0"}]}
  containers: [{name: istio-proxy, image: auto}]`,
		},
		{
			name: "only the label is missing", template: `
metadata:
  labels: {}
  annotations: {inject.istio.io/templates: gateway}
spec:
  securityContext: {sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: "0"}]}
  containers: [{name: istio-proxy, image: auto}]`,
			want: `[` + addLabel + `]`,
		},
		{
			name: "only the annotation is missing", template: `
metadata:
  labels: {sidecar.istio.io/inject: "true"}
  annotations: {}
spec:
  securityContext: {sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: "0"}]}
  containers: [{name: istio-proxy, image: auto}]`,
			want: `[` + addAnnotation + `]`,
		},
		{
			name: "only the sysctl is missing, others are kept", template: `
metadata:
  labels: {sidecar.istio.io/inject: "true"}
  annotations: {inject.istio.io/templates: gateway}
spec:
  securityContext: {sysctls: [{name: net.core.somaxconn, value: "4096"}]}
  containers: [{name: istio-proxy, image: auto}]`,
			want: `[` + addEntry + `]`,
		},
		{
			name: "other labels and annotations with these names' values stay", template: `
metadata:
  labels: {sidecar.istio.io/inject: "yes"}
  annotations: {inject.istio.io/templates: our-edge}
spec:
  securityContext: {sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: "0"}]}
  containers: [{name: istio-proxy, image: auto}]`,
		},
		{
			name: "a bound that is too high, in its place and spelling", template: `
metadata:
  labels: {sidecar.istio.io/inject: "true", app: deploykf-gateway, istio: deploykf-gateway}
  annotations: {inject.istio.io/templates: gateway}
spec:
  securityContext:
    sysctls:
    - {name: net.core.somaxconn, value: "4096"}
    - {name: net/ipv4/ip_unprivileged_port_start, value: "443"}
    - {name: net.ipv4.tcp_syncookies, value: "1"}
  containers: [{name: istio-proxy, image: auto}]`,
			want: `[{"op":"add","path":"/spec/template/spec/securityContext/sysctls/1/value","value":"0"}]`,
		},
		{
			name: "a bound without a value", template: `
metadata:
  labels: {sidecar.istio.io/inject: "true"}
  annotations: {inject.istio.io/templates: gateway}
spec:
  securityContext: {sysctls: [{name: net.ipv4.ip_unprivileged_port_start}]}
  containers: [{name: istio-proxy, image: auto}]`,
			want: `[{"op":"add","path":"/spec/template/spec/securityContext/sysctls/0/value","value":"0"}]`,
		},
		{
			name: "a bound that allows the ports is kept", template: `
metadata:
  labels: {sidecar.istio.io/inject: "true", app: deploykf-gateway, istio: deploykf-gateway}
  annotations: {inject.istio.io/templates: gateway}
spec:
  securityContext: {sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: "80"}]}
  containers: [{name: istio-proxy, image: auto}]`,
		},
		{
			name: "host network", template: `
metadata: {labels: {app: edge}, annotations: {team: a}}
spec:
  hostNetwork: true
  containers: [{name: istio-proxy, image: auto}]`,
			want: `[` + addLabel + `,` + addAnnotation + `]`,
		},
		{
			name: "root with NET_BIND_SERVICE", template: `
metadata:
  labels: {sidecar.istio.io/inject: "true"}
  annotations: {inject.istio.io/templates: gateway}
spec:
  securityContext: null
  containers:
  - name: istio-proxy
    image: auto
    securityContext: {runAsUser: 0, capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}}`,
		},
		{
			name: "root without NET_BIND_SERVICE", template: `
metadata:
  labels: {sidecar.istio.io/inject: "true"}
  annotations: {inject.istio.io/templates: gateway}
spec:
  containers:
  - name: istio-proxy
    image: auto
    securityContext: {runAsUser: 0, capabilities: {drop: [ALL]}}`,
			want: `[` + addContext + `]`,
		},
		{
			name: "opted out of the sysctl", workload: `{gatewarden.io/sysctl: disabled}`, template: `
metadata:
  labels: {sidecar.istio.io/inject: "true"}
  annotations: {inject.istio.io/templates: gateway}
spec:
  containers: [{name: istio-proxy, image: auto}]`,
		},
		{
			name: "opted out of the sysctl in the template", template: `
metadata:
  labels: {sidecar.istio.io/inject: "true"}
  annotations: {inject.istio.io/templates: gateway, gatewarden.io/sysctl: disabled}
spec:
  containers: [{name: istio-proxy, image: auto}]`,
		},
		{
			name: "opted out of injection with a proxy of its own", template: `
metadata:
  labels: {sidecar.istio.io/inject: "false", app: deploykf-gateway, istio: deploykf-gateway}
spec:
  containers: [{name: istio-proxy, image: docker.io/istio/proxyv2:1.30.4}]`,
			want: `[` + addContext + `]`,
		},
		{
			name: "opted out of injection by annotation: a label would overrule it", template: `
metadata: {annotations: {sidecar.istio.io/inject: "false"}}
spec:
  securityContext: {sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: "0"}]}
  containers: [{name: istio-proxy, image: auto}]`,
		},
		{
			name: "a gateway by its selector", template: `
metadata:
  labels: {app: deploykf-gateway, istio: deploykf-gateway}
  annotations: {}
spec:
  containers: [{name: istio-proxy, image: docker.io/istio/proxyv2:1.30.4}]`,
			want: `[` + addLabel + `,` + addAnnotation + `,` + addContext + `]`,
		},
		{
			name: "not quite the selector", template: `
metadata: {labels: {app: deploykf-gateway}}
spec:
  containers: [{name: istio-proxy, image: docker.io/istio/proxyv2:1.30.4}]`,
		},
		{
			name: "a gateway by its template", template: `
metadata:
  labels: {}
  annotations: {inject.istio.io/templates: "gateway,ours"}
spec:
  containers: [{name: exporter, image: registry.example.com/exporter:1}]`,
			want: `[` + addLabel + `,` + addContext + `]`,
		},
		{
			name: "an application that customises its sidecar", template: `
spec:
  containers: [{name: web, image: registry.example.com/web:1}, {name: istio-proxy, image: auto}]`,
		},
		{
			name: "an application", template: `
spec:
  containers: [{name: web, image: registry.example.com/web:1}]`,
		},
		{
			name: "a DaemonSet", kind: "DaemonSet", template: `
metadata:
  labels: {}
  annotations: {inject.istio.io/templates: gateway}
spec:
  securityContext: {}
  containers: [{name: istio-proxy, image: auto}]`,
			want: `[` + addLabel + `,` + addList + `]`,
		},
		{
			name: "a StatefulSet is no kind of gateway", kind: "StatefulSet", template: `
spec:
  containers: [{name: istio-proxy, image: auto}]`,
		},
	}
	w := world(80, 443)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			raw := workload(t, tt.kind, tt.workload, tt.template)
			got := patch(t, w, raw)
			if tt.want == "" {
				assert.Empty(t, string(got))
				return
			}
			require.NotNil(t, got)
			assert.JSONEq(t, tt.want, string(got))
			assert.Nil(t, patch(t, w, apply(t, raw, got)), "applying leaves nothing to patch")
		})
	}
}

// workload is the JSON of a workload with these annotations and template, in YAML.
func workload(t *testing.T, kind, annotations, template string) []byte {
	if kind == "" {
		kind = "Deployment"
	}
	if annotations == "" {
		annotations = "{}"
	}
	var a, p any
	require.NoError(t, yaml.Unmarshal([]byte(annotations), &a))
	require.NoError(t, yaml.Unmarshal([]byte(template), &p))
	raw, err := json.Marshal(map[string]any{
		"apiVersion": "apps/v1", "kind": kind,
		"metadata": map[string]any{"name": "edge", "namespace": "team-a", "annotations": a},
		"spec":     map[string]any{"selector": map[string]any{"matchLabels": map[string]any{"app": "edge"}}, "template": p},
	})
	require.NoError(t, err)
	return raw
}

// The listener's port, not the Service's, is what the proxy binds.
func TestPatchUsesListenerPorts(t *testing.T) {
	raw := workload(t, "", "", `
metadata:
  labels: {sidecar.istio.io/inject: "true", app: deploykf-gateway, istio: deploykf-gateway}
  annotations: {inject.istio.io/templates: gateway}
spec:
  securityContext: {sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: "1024"}]}
  containers: [{name: istio-proxy, image: auto}]`)
	assert.Nil(t, patch(t, world(8080, 8443), raw))
	assert.NotNil(t, patch(t, world(8080, 443), raw))
}

func TestPatchLeavesAWorkloadThatIsBeingDeletedAlone(t *testing.T) {
	raw := workload(t, "", "", "spec: {containers: [{name: istio-proxy, image: auto}]}")
	require.NotNil(t, patch(t, world(80), raw))
	raw = apply(t, raw, []byte(`[{"op":"add","path":"/metadata/deletionTimestamp","value":"2026-01-01T00:00:00Z"}]`))
	assert.Nil(t, patch(t, world(80), raw))
}

// Fields that no type knows, and the way numbers are written, survive.
func TestPatchKeepsWhatItDoesNotKnow(t *testing.T) {
	raw := []byte(`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"edge","namespace":"team-a"},
		"spec":{"fromTheFuture":{"exact":12345678901234567890,"exponent":1e400,"trailing":1.50},
		"template":{"spec":{"containers":[{"name":"istio-proxy","image":"auto","newField":{"a":[null,1]}}]}}}}`)
	o := &resource.Workload{
		Meta: resource.Meta{Namespace: "team-a", Name: "edge"}, Kind: resource.KindDeployment,
		Pod: resource.PodTemplate{Containers: []resource.Container{{Name: "istio-proxy", Image: "auto"}}},
	}
	ops, err := mutate.Patch(world(80), o, raw)
	require.NoError(t, err)
	b, err := json.Marshal(ops)
	require.NoError(t, err)
	got := string(apply(t, raw, b))
	for _, kept := range []string{`"exact":12345678901234567890`, `"exponent":1e400`, `"trailing":1.50`, `"newField":{"a":[null,1]}`} {
		assert.Contains(t, got, kept)
	}
}

func TestPatchNamesTheFieldThatIsWrong(t *testing.T) {
	// A workload that needs everything, beside bytes that it can not have come from.
	o := &resource.Workload{
		Kind: resource.KindDeployment,
		Pod:  resource.PodTemplate{Containers: []resource.Container{{Name: "istio-proxy", Image: "auto"}}},
	}
	tests := []struct{ raw, want string }{
		{`{`, "object: is not JSON"},
		{`[]`, "object: must be an object, not a list"},
		{`null`, "object: must be an object, not null"},
		{`{}`, "spec: is missing"},
		{`{"spec":"x"}`, "spec: must be an object, not a string"},
		{`{"spec":{}}`, "spec.template: is missing"},
		{`{"spec":{"template":[]}}`, "spec.template: must be an object, not a list"},
		{`{"spec":{"template":{"metadata":1}}}`, "spec.template.metadata: must be an object, not a number"},
		{`{"spec":{"template":{"metadata":{"labels":true}}}}`, "spec.template.metadata.labels: must be an object, not a boolean"},
		{`{"spec":{"template":{"metadata":{"annotations":"x"}}}}`, "spec.template.metadata.annotations: must be an object"},
		{`{"spec":{"template":{"spec":"x"}}}`, "spec.template.spec: must be an object"},
		{`{"spec":{"template":{"spec":{"securityContext":"x"}}}}`, "spec.template.spec.securityContext: must be an object"},
		{`{"spec":{"template":{"spec":{"securityContext":{"sysctls":{}}}}}}`, "spec.template.spec.securityContext.sysctls: must be a list, not an object"},
		{`{"spec":{"template":{"spec":{"securityContext":{"sysctls":[null,"x"]}}}}}`, "spec.template.spec.securityContext.sysctls[1]: must be an object"},
	}
	for _, tt := range tests {
		ops, err := mutate.Patch(world(80), o, []byte(tt.raw))
		assert.ErrorContains(t, err, tt.want, tt.raw)
		assert.Nil(t, ops, "no partial effect")
	}
}
