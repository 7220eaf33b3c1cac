package chart_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
	"github.com/gatewarden/gatewarden/pkg/registration"
	"github.com/gatewarden/gatewarden/test/apiserver"
	"github.com/gatewarden/gatewarden/test/chart"
	"github.com/gatewarden/gatewarden/test/deploy"
)

type values = map[string]any

// with are values with one at a path.
func with(over values, value any, path ...string) values {
	out := values{}
	maps.Copy(out, runtime.DeepCopyJSON(over))
	at := out
	for _, key := range path[:len(path)-1] {
		next, ok := at[key].(values)
		if !ok {
			next = values{}
			at[key] = next
		}
		at = next
	}
	at[path[len(path)-1]] = value
	return out
}

func render(t *testing.T, v values) []*unstructured.Unstructured {
	t.Helper()
	r, err := chart.Render(t.Context(), chart.Namespace, v)
	require.NoError(t, err)
	return r.Objects
}

// byKey are objects by what identifies them.
func byKey(t *testing.T, objects []*unstructured.Unstructured) map[string]any {
	t.Helper()
	out := map[string]any{}
	for _, o := range objects {
		key := fmt.Sprintf("%s %s/%s", o.GroupVersionKind(), o.GetNamespace(), o.GetName())
		require.NotContains(t, out, key)
		// By way of JSON, so that numbers are of one type.
		raw, err := json.Marshal(o)
		require.NoError(t, err)
		var plain any
		require.NoError(t, json.Unmarshal(raw, &plain))
		out[key] = plain
	}
	return out
}

func kustomized(t *testing.T, kustomization string) map[string]any {
	t.Helper()
	objects, err := deploy.Render(t.Context(), kustomization)
	require.NoError(t, err)
	return byKey(t, objects)
}

// components are the values of what the kustomization testdata/components adds.
func components(v values) values {
	for _, name := range []string{"serviceMonitor", "alerts", "dashboard"} {
		v = with(v, true, "monitoring", name)
	}
	return with(v, true, "backstop", "enabled")
}

// The chart and the kustomizations install the same, object by object.
func TestChartInstallsWhatTheKustomizationsDo(t *testing.T) {
	namespace := with(nil, true, "namespace", "create")
	for kustomization, v := range map[string]values{
		deploy.SelfManaged:               namespace,
		deploy.CertManager:               with(namespace, "cert-manager", "certificate", "mode"),
		deploy.Base:                      with(namespace, "secret", "certificate", "mode"),
		"test/chart/testdata/components": components(namespace),
	} {
		want, got := kustomized(t, kustomization), byKey(t, render(t, v))
		assert.Equal(t, slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got)), kustomization)
		for key := range want {
			assert.Equal(t, want[key], got[key], "%s: %s", kustomization, key)
		}
	}

	// Helm makes the namespace of a release, not the chart; that is all that its values do not install.
	want := kustomized(t, deploy.SelfManaged)
	delete(want, "/v1, Kind=Namespace /gatewarden")
	assert.Equal(t, want, byKey(t, render(t, nil)))
}

// sources are the files, in deploy/, of which those of the chart are copies.
var sources = map[string]string{
	"config.yaml":       "base/config.yaml",
	"webhooks.yaml":     "base/webhooks.yaml",
	"rbac.yaml":         "base/rbac.yaml",
	"self-managed.yaml": "overlays/self-managed/rbac.yaml",

	"servicemonitor.yaml": "components/monitoring/servicemonitor.yaml",
	"prometheusrule.yaml": "components/monitoring/prometheusrule.yaml",
	"dashboard.json":      "components/monitoring/dashboard.json",
	"flowcontrol.yaml":    "base/flowcontrol.yaml",
	"backstop.yaml":       "components/backstop/policy.yaml",
	"backstop-rbac.yaml":  "components/backstop/rbac.yaml",
}

// A chart can read nothing outside of its folder, so it has copies of what it shares with the
// kustomizations.
func TestFilesAreCopies(t *testing.T) {
	dir, err := chart.Dir(t.Context())
	require.NoError(t, err)
	files, err := os.ReadDir(filepath.Join(dir, "files"))
	require.NoError(t, err)
	for _, f := range files {
		source, ok := sources[f.Name()]
		require.True(t, ok, "%s is nobody's copy", f.Name())
		want, err := os.ReadFile(filepath.Join(dir, "..", filepath.FromSlash(source)))
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join(dir, "files", f.Name()))
		require.NoError(t, err)
		assert.Equal(t, string(want), string(got), "copy it again: make manifests")
	}
}

// The namespaces and labels of another configuration come to where "gatewarden webhooks" puts them.
func TestWebhooksFollowTheConfiguration(t *testing.T) {
	gateway := func(name, namespace string, labels map[string]string) config.GuardedGateway {
		g := deploykf.Default().GuardedGateways[0]
		g.Name, g.Namespace, g.PodLabels = name, namespace, labels
		return g
	}
	cfg := deploykf.Default()
	cfg.Mesh.RootNamespace = "mesh"
	cfg.GuardedGateways = []config.GuardedGateway{
		gateway("one", "edge", map[string]string{"istio": "edge", "app": "edge"}),
		gateway("two", "edge", map[string]string{"istio": "inner"}),
		gateway("three", "other", map[string]string{"app": "other"}),
	}
	text, err := yaml.Marshal(cfg)
	require.NoError(t, err)
	var object values
	require.NoError(t, yaml.Unmarshal(text, &object))

	set, err := registration.Webhooks(registration.Options{Config: cfg, Rules: rules.All(), Namespace: "guard"})
	require.NoError(t, err)
	for name, v := range map[string]any{"as a map": object, "as text": string(text)} {
		r, err := chart.Render(t.Context(), "guard", values{"configuration": v, "backstop": values{"enabled": true}})
		require.NoError(t, err, name)
		for _, o := range r.Objects {
			switch o.GetKind() {
			case "ValidatingWebhookConfiguration":
				assertWebhooks(t, set.ValidatingConfiguration(), o)
			case "MutatingWebhookConfiguration":
				assertWebhooks(t, set.MutatingConfiguration(), o)
			case "ConfigMap":
				file, _, err := unstructured.NestedString(o.Object, "data", "config.yaml")
				require.NoError(t, err)
				loaded, err := rules.Load([]byte(file), "config.yaml")
				require.NoError(t, err)
				assert.Equal(t, cfg, loaded, name)
			case "ValidatingAdmissionPolicy":
				selectors, _, err := unstructured.NestedSlice(o.Object, "spec", "matchConstraints", "namespaceSelector", "matchExpressions")
				require.NoError(t, err)
				assert.Equal(t, []any{"kube-system", "guard"}, selectors[0].(values)["values"])
			case "ValidatingAdmissionPolicyBinding":
				namespace, _, err := unstructured.NestedString(o.Object, "spec", "paramRef", "namespace")
				require.NoError(t, err)
				assert.Equal(t, "guard", namespace)
			case "Role":
				if o.GetName() == "gatewarden" && o.GetNamespace() != "guard" {
					assert.Equal(t, "mesh", o.GetNamespace())
				}
			}
			assert.NotEqual(t, chart.Namespace, o.GetNamespace(), o.GetName())
			if o.GetKind() != "ConfigMap" {
				raw, err := json.Marshal(o)
				require.NoError(t, err)
				assert.NotContains(t, string(raw), "deploykf", o.GetKind())
				assert.NotContains(t, string(raw), "istio-system", o.GetKind())
			}
		}
	}
}

func assertWebhooks(t *testing.T, want any, got *unstructured.Unstructured) {
	t.Helper()
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(want)
	require.NoError(t, err)
	wanted := &unstructured.Unstructured{Object: object}
	assert.Equal(t, fmt.Sprint(normal(t, wanted)["webhooks"]), fmt.Sprint(normal(t, got)["webhooks"]))
}

func normal(t *testing.T, o *unstructured.Unstructured) values {
	t.Helper()
	for _, v := range byKey(t, []*unstructured.Unstructured{o}) {
		return v.(values)
	}
	return nil
}

func TestLint(t *testing.T) {
	dir, err := chart.Dir(t.Context())
	require.NoError(t, err)
	lint := action.NewLint()
	lint.Strict, lint.Namespace = true, chart.Namespace
	result := lint.Run([]string{dir}, nil)
	assert.Empty(t, result.Errors)
	for _, m := range result.Messages {
		assert.LessOrEqual(t, m.Severity, support.InfoSev, m.Error())
	}
	assert.Equal(t, 1, result.TotalChartsLinted)
}

func TestWrongValuesAreRefused(t *testing.T) {
	for problem, v := range map[string]values{
		"/certificate/mode":          with(nil, "none", "certificate", "mode"),
		"/failurePolicy/validating":  with(nil, "Open", "failurePolicy", "validating"),
		"/replicas":                  {"replicas": 0},
		"/timeoutSeconds":            {"timeoutSeconds": 1},
		"/audits/interval":           with(nil, "often", "audits", "interval"),
		"'replicaCount' not allowed": {"replicaCount": 3},
		"'tags' not allowed":         with(nil, "v1", "image", "tags"),
		"/backstop/enabled":          with(nil, "yes", "backstop", "enabled"),
		"/extraArgs":                 {"extraArgs": "--log-level=debug"},
		"/logLevel":                  {"logLevel": "all"},
	} {
		_, err := chart.Render(t.Context(), chart.Namespace, v)
		assert.ErrorContains(t, err, problem)
	}
}

// effects are other values for each of the chart's, with what has to be set beside them to count.
var effects = map[string]struct {
	value  any
	beside values
}{
	"image.repository":            {value: "registry.example.com/gatewarden"},
	"image.tag":                   {value: "v1"},
	"image.pullPolicy":            {value: "Always"},
	"imagePullSecrets":            {value: []any{values{"name": "registry"}}},
	"configuration":               {value: "kind: Configuration"},
	"certificate.mode":            {value: "secret"},
	"certificate.secretName":      {value: "other", beside: with(nil, "secret", "certificate", "mode")},
	"certificate.caBundle":        {value: "PEM", beside: with(nil, "secret", "certificate", "mode")},
	"failurePolicy.validating":    {value: "Ignore"},
	"failurePolicy.mutating":      {value: "Fail"},
	"timeoutSeconds":              {value: 7},
	"ledger.enabled":              {value: false},
	"backstop.enabled":            {value: true},
	"audits.interval":             {value: "1h"},
	"audits.events":               {value: false},
	"audits.reports":              {value: false},
	"monitoring.serviceMonitor":   {value: true},
	"monitoring.alerts":           {value: true},
	"monitoring.dashboard":        {value: true},
	"monitoring.labels":           {value: values{"release": "prometheus"}, beside: with(nil, true, "monitoring", "alerts")},
	"replicas":                    {value: 3},
	"drainSeconds":                {value: 20},
	"resources.requests.cpu":      {value: "1"},
	"resources.requests.memory":   {value: "1Gi"},
	"resources.limits.memory":     {value: "1Gi"},
	"logLevel":                    {value: "debug"},
	"extraArgs":                   {value: []any{"--tls-min-version=1.2"}},
	"podDisruptionBudget.enabled": {value: false},
	"networkPolicy.enabled":       {value: false},
	"priorityClass.create":        {value: false},
	"priorityClass.name":          {value: "other"},
	"podLabels":                   {value: values{"team": "edge"}},
	"podAnnotations":              {value: values{"a": "b"}},
	"nodeSelector":                {value: values{"a": "b"}},
	"tolerations":                 {value: []any{values{"operator": "Exists"}}},
	"affinity":                    {value: values{"nodeAffinity": values{}}},
	"namespace.create":            {value: true},
}

func TestEachValueHasAnEffect(t *testing.T) {
	dir, err := chart.Dir(t.Context())
	require.NoError(t, err)
	content, err := os.ReadFile(filepath.Join(dir, "values.yaml"))
	require.NoError(t, err)
	var shipped values
	require.NoError(t, yaml.Unmarshal(content, &shipped))
	assert.Equal(t, leaves(shipped, ""), slices.Sorted(maps.Keys(effects)))

	for name, e := range effects {
		before := render(t, e.beside)
		after := render(t, with(e.beside, e.value, strings.Split(name, ".")...))
		assert.NotEqual(t, byKey(t, before), byKey(t, after), "%s has no effect", name)
	}
}

// leaves are the paths of the values that hold no others, sorted.
func leaves(v values, prefix string) []string {
	var out []string
	for key, value := range v {
		if inner, ok := value.(values); ok && len(inner) > 0 {
			out = append(out, leaves(inner, prefix+key+".")...)
		} else {
			out = append(out, prefix+key)
		}
	}
	slices.Sort(out)
	return out
}

// What fails open does so altogether, and what has failed open stays so.
func TestFailurePolicies(t *testing.T) {
	policies := func(v values, kind string) map[string]int {
		out := map[string]int{}
		for _, o := range render(t, v) {
			if o.GetKind() != kind {
				continue
			}
			webhooks, _, err := unstructured.NestedSlice(normal(t, o), "webhooks")
			require.NoError(t, err)
			for _, w := range webhooks {
				out[w.(values)["failurePolicy"].(string)]++
			}
		}
		return out
	}
	const validating, mutating = "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"
	shipped := policies(nil, validating)
	assert.Positive(t, shipped["Fail"])
	assert.Positive(t, shipped["Ignore"])
	assert.Equal(t, map[string]int{"Ignore": shipped["Fail"] + shipped["Ignore"]}, policies(with(nil, "Ignore", "failurePolicy", "validating"), validating))
	assert.Equal(t, map[string]int{"Ignore": 1}, policies(nil, mutating))
	assert.Equal(t, map[string]int{"Fail": 1}, policies(with(nil, "Fail", "failurePolicy", "mutating"), mutating))
}

func TestNotes(t *testing.T) {
	r, err := chart.Render(t.Context(), chart.Namespace, nil)
	require.NoError(t, err)
	assert.Contains(t, r.Notes, "deployKF (deploykf-istio-gateway)")
	assert.Contains(t, r.Notes, "kubectl delete validatingwebhookconfiguration")
	open, err := chart.Render(t.Context(), chart.Namespace, with(nil, "Ignore", "failurePolicy", "validating"))
	require.NoError(t, err)
	assert.NotContains(t, open.Notes, "kubectl delete validatingwebhookconfiguration")
}

// A real API server takes every rendering, without a warning.
func TestAPIServerAcceptsTheChart(t *testing.T) {
	server, err := apiserver.Start(t.Context(), apiserver.Options{CertManager: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	for name, v := range map[string]values{
		"defaults":     nil,
		"namespace":    with(nil, true, "namespace", "create"),
		"cert-manager": with(with(nil, "cert-manager", "certificate", "mode"), "Ignore", "failurePolicy", "validating"),
		"secret": with(with(with(nil, "secret", "certificate", "mode"), string(server.GuardCA()), "certificate", "caBundle"),
			"Fail", "failurePolicy", "mutating"),
		"small": {
			"replicas": 1, "podDisruptionBudget": values{"enabled": false}, "networkPolicy": values{"enabled": false},
			"priorityClass": values{"create": false, "name": ""}, "audits": values{"interval": "0"}, "ledger": values{"enabled": false},
		},
		"backstop": with(with(nil, true, "backstop", "enabled"), "Ignore", "failurePolicy", "validating"),
		"placed": {
			"nodeSelector": values{"kubernetes.io/os": "linux"}, "tolerations": []any{values{"operator": "Exists"}},
			"affinity": values{"podAntiAffinity": values{"preferredDuringSchedulingIgnoredDuringExecution": []any{values{
				"weight": 1, "podAffinityTerm": values{"topologyKey": "kubernetes.io/hostname", "labelSelector": values{}},
			}}}},
			"podLabels": values{"team": "edge"}, "podAnnotations": values{"a": "b"}, "imagePullSecrets": []any{values{"name": "registry"}},
			"resources": values{"limits": values{"cpu": 1}},
		},
	} {
		for _, o := range render(t, v) {
			a := server.Admin.Apply(context.WithoutCancel(t.Context()), o, client.DryRunAll)
			require.NoError(t, a.Err, "%s: %s %s", name, o.GetKind(), o.GetName())
			assert.Empty(t, a.Warnings, "%s: %s %s", name, o.GetKind(), o.GetName())
		}
	}
}
