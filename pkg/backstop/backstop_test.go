package backstop

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
	"github.com/gatewarden/gatewarden/test/worlds"
)

func parametersOf(cfg *config.Configuration, objects ...resource.Object) map[string]string {
	w := state.NewWriter()
	w.Apply(worlds.Base()...)
	w.Apply(objects...)
	return Parameters(policy.NewEngine(cfg, rules.All()), w.Snapshot())
}

func pod(namespace, name string, labels map[string]string) *resource.Workload {
	return &resource.Workload{Meta: resource.Meta{Namespace: namespace, Name: name}, Kind: resource.KindPod, Pod: resource.PodTemplate{Labels: labels}}
}

func TestParameters(t *testing.T) {
	data := parametersOf(deploykf.Default(), &resource.Namespace{Meta: resource.Meta{Name: "kubeflow"}})
	assert.Equal(t, "1", data[FormatKey])
	assert.Equal(t, strings.Join(Rules, " "), data[RulesKey])
	assert.Equal(t, []string{
		"deployKF|owner:0||app=deploykf-gateway istio=deploykf-gateway|443|*|tls|" +
			"argo-server.deploykf.example.com deploykf.example.com minio-api.deploykf.example.com minio-console.deploykf.example.com|||" +
			"deploykf.example.com|Gateway deploykf-istio-gateway/deploykf-gateway",
		"deployKF|owner:0||app=deploykf-gateway istio=deploykf-gateway|80|*|http|" +
			"argo-server.deploykf.example.com deploykf.example.com minio-api.deploykf.example.com minio-console.deploykf.example.com|||" +
			"deploykf.example.com|Gateway deploykf-istio-gateway/deploykf-gateway-https-redirect",
	}, strings.Split(strings.ReplaceAll(data[ListenersKey], "\t", "|"), "\n"))
	routes := strings.Split(data[RoutesKey], "\n")
	assert.Len(t, routes, 2)
	assert.Equal(t, "deployKF|owner:0|deploykf-istio-gateway|deploykf-gateway|true|"+
		"*/deploykf.example.com deploykf-minio/minio-api.deploykf.example.com deploykf-minio/minio-console.deploykf.example.com kubeflow-argo-workflows/argo-server.deploykf.example.com|"+
		"*.deploykf.example.com deploykf.example.com|.deploykf.example.com|"+
		"/notebook/{namespace}/ /pvcviewers/{namespace}/ /tensorboard/{namespace}/ /workspace/connect/{namespace}/",
		strings.ReplaceAll(routes[0], "\t", "|"))
	assert.Equal(t, "app.kubernetes.io/part-of=kubeflow-profile", data[LabelsKey])
	assert.Contains(t, data[PassesKey], "owner:0\tany\t\t^(")
	assert.Contains(t, data[PassesKey], `Gateway deploykf-istio-gateway/deploykf-gateway|`)
	assert.Equal(t, "istio-system", data[RootKey])
	assert.Equal(t, "deploykf-auth deploykf-dashboard deploykf-minio kubeflow kubeflow-argo-workflows", data[MeshKey])
	assert.Contains(t, data[PodsKey], "kubeflow\t\n")
	assert.NotContains(t, data[PodsKey], "deploykf-istio-gateway", "a gateway's pods do not listen")
	assert.Contains(t, data[PermissiveKey], "deploykf-minio/deploykf-minio-mtls\tapp.kubernetes.io/component=minio app.kubernetes.io/name=deploykf-minio")
	assert.Equal(t, data, parametersOf(deploykf.Default(), &resource.Namespace{Meta: resource.Meta{Name: "kubeflow"}}), "equal worlds have equal texts")
}

func TestRulesThatDoNotDenyAreLeftOut(t *testing.T) {
	cfg := deploykf.Default()
	cfg.Rules = map[string]config.Effect{"gwd201": config.EffectWarn, "dedicated-domain": config.EffectOff, "GWD501": config.EffectDeny}
	assert.Equal(t, "GWD202 GWD301 GWD302 GWD501", parametersOf(cfg)[RulesKey])
}

func TestPasses(t *testing.T) {
	cfg := deploykf.Default()
	cfg.GuardedGateways[0].OwnerObjects = nil
	cfg.GuardedGateways[0].OwnerRequesters = []config.OwnerRequester{{Users: []string{"argo"}, Groups: []string{"ops"}, Namespaces: []string{"kube*", "a.b"}}}
	cfg.Exemptions = []config.Exemption{
		{Users: []string{"breaker", "tab\tbed"}, Reason: "x"},
		{Objects: []config.ObjectPattern{{Kind: "Gateway", Namespace: "team-*"}}, Rules: []string{"host-conflict", "GWD501", "GWD401"}, Reason: "x"},
		{Objects: []config.ObjectPattern{{Kind: "Deployment"}}, Reason: "x"},
		{Rules: []string{"GWD401"}, Reason: "x"},
		{Groups: []string{"late"}, Reason: "x", Expires: "2020-01-01"},
	}
	assert.ElementsMatch(t, []string{
		"*|user|breaker|.",
		"*|any||.",
		"GWD201 GWD501|any||^(Gateway team-[^/]*/[^/]*)$",
		"owner:0|any||^(Gateway deploykf-istio-gateway/deploykf-gateway|Gateway deploykf-istio-gateway/deploykf-gateway-https-redirect|" +
			"Gateway deploykf-istio-gateway/deploykf-istio-gateway-https-redirect)$",
		`owner:0|user|argo|^([^ ]* a\.b/[^/]*|[^ ]* kube[^/]*/[^/]*)$`,
		`owner:0|group|ops|^([^ ]* a\.b/[^/]*|[^ ]* kube[^/]*/[^/]*)$`,
	}, strings.Split(strings.ReplaceAll(parametersOf(cfg)[PassesKey], "\t", "|"), "\n"))
}

// An expression matches what the pattern matches.
func TestExpression(t *testing.T) {
	part := rapid.SampledFrom([]string{"", "*", "a", "a*", "*-b", "a*c*b", "a.c", "A"})
	name := rapid.SampledFrom([]string{"a", "b", "a-b", "a.c", "axc", "acb", "accb", "c"})
	rapid.Check(t, func(t *rapid.T) {
		p := config.ObjectPattern{
			Kind:      rapid.SampledFrom([]resource.Kind{"", resource.KindGateway, resource.KindVirtualService}).Draw(t, "kind"),
			Namespace: part.Draw(t, "namespace"), Name: part.Draw(t, "name"),
		}
		k := resource.Key{Kind: rapid.SampledFrom(judged).Draw(t, "of kind"), Namespace: name.Draw(t, "in"), Name: name.Draw(t, "called")}
		assert.Equal(t, p.Matches(k), regexp.MustCompile(expression([]config.ObjectPattern{p})).MatchString(k.String()), "%+v %s", p, k)
	})
}

// Labels that some pods add are told apart, unless there are too many.
func TestPodsAreToldApart(t *testing.T) {
	labels := func(i int) map[string]string {
		return map[string]string{"app": "deploykf-gateway", "istio": "deploykf-gateway", "pod": fmt.Sprint(i)}
	}
	var pods []resource.Object
	told := func() (out []string) {
		for _, l := range strings.Split(parametersOf(deploykf.Default(), pods...)[ListenersKey], "\n") {
			if f := strings.Split(l, "\t"); f[4] == "443" {
				out = append(out, f[3])
			}
		}
		return out
	}
	for i := range maxPodSets {
		pods = append(pods, pod("deploykf-istio-gateway", fmt.Sprint(i), labels(i)))
	}
	assert.Len(t, told(), maxPodSets, "the template's are among those of each")
	pods = append(pods, pod("deploykf-istio-gateway", "one-more", labels(maxPodSets)))
	assert.Equal(t, []string{"app=deploykf-gateway istio=deploykf-gateway"}, told())
}

func TestPodsWithoutSidecar(t *testing.T) {
	line := func(pods ...resource.Object) string {
		for _, l := range strings.Split(parametersOf(deploykf.Default(), pods...)[PodsKey], "\n") {
			if ns, labels, ok := strings.Cut(l, "\t"); ok && ns == "kubeflow" {
				return labels
			}
		}
		return "unknown"
	}
	assert.Empty(t, line(pod("kubeflow", "injected", map[string]string{"app": "a", policy.TLSModeLabel: policy.TLSModeIstio})))
	bare := map[string]string{"app": "b", "sidecar.istio.io/inject": "false"}
	assert.Equal(t, "app=b sidecar.istio.io/inject=false", line(pod("kubeflow", "bare", bare)))
	assert.Equal(t, "unknown", line(pod("kubeflow", "bare", map[string]string{"app": "b c", "sidecar.istio.io/inject": "false"})), "nobody can tell what selects it")
	var many []resource.Object
	for i := range maxLabels + 1 {
		many = append(many, pod("kubeflow", fmt.Sprint(i), map[string]string{"job": fmt.Sprint(i), "sidecar.istio.io/inject": "false"}))
	}
	assert.Equal(t, "unknown", line(many...))
}

// With fewer labels more namespaces would be protected, and so fewer are not written.
func TestLabelsThatAreNoWords(t *testing.T) {
	cfg := deploykf.Default()
	cfg.ProtectedNamespaces.Labels = map[string]string{"a": "b", "c": "d e"}
	assert.Empty(t, parametersOf(cfg)[LabelsKey])
}

func TestShrink(t *testing.T) {
	large := strings.Repeat("x", maxData)
	data := map[string]string{FormatKey: Format, PassesKey: "p", PodsKey: large, RoutesKey: "r"}
	shrink(data)
	assert.Equal(t, map[string]string{FormatKey: Format, PassesKey: "p", PodsKey: "", RoutesKey: "r"}, data)
	data = map[string]string{FormatKey: Format, RulesKey: "GWD201", PassesKey: large, ListenersKey: "l"}
	shrink(data)
	assert.Equal(t, map[string]string{FormatKey: Format}, data, "nobody is refused who may be exempt")
}
