package registration_test

import (
	"bytes"
	"testing"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/ext"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"sigs.k8s.io/yaml"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/gatewaypod"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
	"github.com/gatewarden/gatewarden/pkg/registration"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func webhooks(t *testing.T, o registration.Options) registration.Set {
	t.Helper()
	if o.Config == nil {
		o.Config = deploykf.Default()
	}
	if o.Rules == nil {
		o.Rules = rules.All()
	}
	set, err := registration.Webhooks(o)
	require.NoError(t, err)
	return set
}

func find(t *testing.T, webhooks []registration.Webhook, name string) registration.Webhook {
	t.Helper()
	for _, w := range webhooks {
		if w.Name == name {
			return w
		}
	}
	require.Fail(t, "no webhook "+name)
	return registration.Webhook{}
}

func TestWhatARuleJudgesIsSent(t *testing.T) {
	sent := func(more ...*policy.Rule) int {
		n := 0
		for _, w := range webhooks(t, registration.Options{Rules: append(rules.All(), more...)}).ValidatingConfiguration().Webhooks {
			for _, r := range w.Rules {
				n += len(r.Operations) * len(r.Resources)
			}
		}
		return n
	}
	ofAKnownKind := &policy.Rule{ID: "GWD999", Kinds: []resource.Kind{resource.KindGateway}, Operations: []policy.Operation{policy.Delete}}
	assert.Equal(t, sent()+1, sent(ofAKnownKind))

	ofAnother := &policy.Rule{ID: "GWD999", Kinds: []resource.Kind{resource.KindNode}, Operations: []policy.Operation{policy.Create}}
	_, err := registration.Webhooks(registration.Options{Config: deploykf.Default(), Rules: append(rules.All(), ofAnother)})
	assert.ErrorContains(t, err, "GWD999 judges CREATE of Node")
}

// What the configuration names is in the selectors and conditions, and nothing of deployKF else.
func TestNamespacesAndLabelsAreTheConfigurations(t *testing.T) {
	gateway := func(namespace, label string) config.GuardedGateway {
		return config.GuardedGateway{Namespace: namespace, PodLabels: map[string]string{"gw": label}}
	}
	o := registration.Options{
		Config: &config.Configuration{
			Mesh:            config.Mesh{RootNamespace: "mesh"},
			GuardedGateways: []config.GuardedGateway{gateway("edge", "one"), gateway("edge", "two"), gateway("mesh", "three")},
		},
		Namespace: "guard",
	}
	set := webhooks(t, o)
	configuration := set.ValidatingConfiguration()
	namespaces := map[string][]string{}
	for _, w := range configuration.Webhooks {
		namespaces[w.Name] = w.NamespaceSelector.MatchExpressions[0].Values
		assert.Equal(t, "guard", w.ClientConfig.Service.Namespace)
	}
	assert.Equal(t, []string{"kube-system", "guard"}, namespaces["istio.gatewarden.io"])
	assert.Equal(t, []string{"edge", "mesh"}, namespaces["gateway.gatewarden.io"])
	assert.Equal(t, []string{"edge", "mesh"}, namespaces["proxies.gatewarden.io"])
	assert.Equal(t, []string{"kube-system", "guard", "edge", "mesh"}, namespaces["workloads.gatewarden.io"])

	var written bytes.Buffer
	require.NoError(t, set.Write(&written, "head"))
	assert.NotContains(t, written.String(), "deploykf")
	assert.NotContains(t, written.String(), "istio-system")
	assert.Contains(t, written.String(), "[{'gw':'one'},{'gw':'two'},{'gw':'three'}]")
}

func TestWhatIsWrittenIsWhatIsMeant(t *testing.T) {
	set := webhooks(t, registration.Options{})
	var written bytes.Buffer
	require.NoError(t, set.Write(&written, "one\ntwo"))
	assert.True(t, bytes.HasPrefix(written.Bytes(), []byte("# one\n# two\napiVersion: ")))
	documents := bytes.Split(written.Bytes(), []byte("\n---\n"))
	require.Len(t, documents, 2)
	validating, mutating := &admissionregistrationv1.ValidatingWebhookConfiguration{}, &admissionregistrationv1.MutatingWebhookConfiguration{}
	require.NoError(t, yaml.UnmarshalStrict(documents[0], validating))
	require.NoError(t, yaml.UnmarshalStrict(documents[1], mutating))
	assert.Equal(t, set.ValidatingConfiguration(), validating)
	assert.Equal(t, set.MutatingConfiguration(), mutating)
	assert.Contains(t, written.String(), "# "+set.Validating[0].Policy[:40])
}

// conditions are the conditions of webhooks, made ready once.
type conditions map[string]cel.Program

// matches evaluates the conditions of a webhook, as the API server does.
func (c conditions) matches(t *testing.T, w registration.Webhook, request, object, old map[string]any) bool {
	t.Helper()
	all := true
	for _, condition := range w.Conditions {
		program := c[condition.Expression]
		if program == nil {
			env, err := cel.NewEnv(cel.Variable("request", cel.DynType), cel.Variable("object", cel.DynType), cel.Variable("oldObject", cel.DynType), ext.Strings())
			require.NoError(t, err)
			ast, issues := env.Compile(condition.Expression)
			require.NoError(t, issues.Err(), condition.Name)
			assert.Equal(t, cel.BoolType, ast.OutputType(), condition.Name)
			program, err = env.Program(ast)
			require.NoError(t, err)
			c[condition.Expression] = program
		}
		out, _, err := program.Eval(map[string]any{"request": request, "object": object, "oldObject": old})
		require.NoError(t, err, "%s of %s: under failurePolicy Fail this would refuse the request", condition.Name, w.Name)
		all = all && out.Value() == true
	}
	return all
}

// Which workloads are gateways is said twice, in Go and in the language of the API server.
func TestGatewayWorkloadsAreThoseOfGatewaypod(t *testing.T) {
	gateway := deploykf.Default().GuardedGateways[0]
	set := webhooks(t, registration.Options{})
	validating, mutating := find(t, set.Validating, "workloads.gatewarden.io"), find(t, set.Mutating, "workloads.gatewarden.io")
	sidecars := find(t, set.Validating, "sidecars.gatewarden.io")
	assert.Equal(t, validating.Conditions[0], mutating.Conditions[0], "what is completed is what is judged")

	containers := [][]string{{"istio-proxy", "auto"}, {"istio-proxy", "proxyv2"}, {"istio-proxy", ""}, {"main", "auto"}}
	sent, c := 0, conditions{}
	for _, templates := range []string{"-", "", "gateway", " sidecar , gateway", "sidecar", "grpc-agent", "custom"} {
		for _, labels := range []map[string]string{nil, {"app": "shop"}, {"istio": "ingressgateway"}, gateway.PodLabels} {
			for first := range containers {
				for second := -1; second < len(containers); second++ {
					template := &resource.PodTemplate{Labels: labels}
					var list []any
					for _, i := range []int{first, second} {
						if i < 0 {
							continue
						}
						template.Containers = append(template.Containers, resource.Container{Name: containers[i][0], Image: containers[i][1]})
						container := map[string]any{"name": containers[i][0]}
						if containers[i][1] != "" {
							container["image"] = containers[i][1]
						}
						list = append(list, container)
					}
					metadata := map[string]any{}
					if labels != nil {
						metadata["labels"] = toAny(labels)
					}
					if templates != "-" {
						template.Annotations = map[string]string{gatewaypod.TemplatesAnnotation: templates}
						metadata["annotations"] = toAny(template.Annotations)
					}
					spec := map[string]any{"template": map[string]any{"metadata": metadata, "spec": map[string]any{"containers": list}}}
					request := map[string]any{"operation": "CREATE", "kind": map[string]any{"kind": "Deployment"}}
					object := map[string]any{"metadata": map[string]any{}, "spec": spec}

					guarded := len(labels) == len(gateway.PodLabels)
					want := gatewaypod.IsGateway(template, guarded)
					about := []any{"templates %q, labels %v, containers %v", templates, labels, list}
					assert.Equal(t, want, c.matches(t, validating, request, object, nil), about...)
					if c.matches(t, sidecars, request, object, nil) {
						assert.False(t, want, about...)
					}
					if want {
						sent++
					}
				}
			}
		}
	}
	assert.Positive(t, sent)
	bare := map[string]any{"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{}}}}, "metadata": map[string]any{}}
	assert.False(t, c.matches(t, mutating, map[string]any{"operation": "CREATE", "kind": map[string]any{"kind": "Deployment"}}, bare, nil), "as yet unvalidated")
}

func toAny(m map[string]string) map[string]any {
	out := map[string]any{}
	for k, v := range m {
		out[k] = v
	}
	return out
}
