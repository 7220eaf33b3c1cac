package apiserver_test

import (
	"context"
	"maps"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/webhook"
	"github.com/gatewarden/gatewarden/test/apiserver"
)

// allowEverything answers at the guard's address until the test ends: what counts is whether it
// is asked.
func allowEverything(t *testing.T) {
	t.Helper()
	host, port, err := net.SplitHostPort(server.GuardAddress())
	require.NoError(t, err)
	number, err := strconv.Atoi(port)
	require.NoError(t, err)
	s := ctrlwebhook.NewServer(ctrlwebhook.Options{Host: host, Port: number, CertDir: server.GuardCertDir()})
	for _, path := range []string{webhook.ValidatePath, webhook.MutatePath} {
		s.Register(path, &admission.Webhook{Handler: admission.HandlerFunc(func(context.Context, admission.Request) admission.Response {
			return admission.Allowed("")
		})})
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-ended)
	})
	started := s.StartedChecker()
	require.EventuallyWithT(t, func(t *assert.CollectT) { assert.NoError(t, started(nil)) }, 30*time.Second, 50*time.Millisecond)
}

// callSeries is how often the API server has called a webhook, by its own account.
var callSeries = regexp.MustCompile(`(?m)^apiserver_admission_webhook_admission_duration_seconds_count\{(.*)\} (\d+)$`)

// calls counts the calls of gatewarden's webhooks so far.
func calls(t require.TestingT) map[string]int {
	clients, err := kubernetes.NewForConfig(server.Config)
	require.NoError(t, err)
	text, err := clients.RESTClient().Get().AbsPath("/metrics").DoRaw(context.Background())
	require.NoError(t, err)
	out := map[string]int{}
	for _, m := range callSeries.FindAllStringSubmatch(string(text), -1) {
		labels := map[string]string{}
		for _, l := range strings.Split(m[1], ",") {
			name, value, _ := strings.Cut(l, "=")
			labels[name] = strings.Trim(value, `"`)
		}
		name, ours := strings.CutSuffix(labels["name"], ".gatewarden.io")
		if !ours {
			continue
		}
		if labels["type"] == "admit" {
			name = "mutating " + name
		}
		n, err := strconv.Atoi(m[2])
		require.NoError(t, err)
		out[name] += n
	}
	return out
}

// asked are the webhooks that the API server calls for a request, which has to succeed.
func asked(t require.TestingT, request func() apiserver.Answer) []string {
	before := calls(t)
	require.NoError(t, request().Err)
	out := []string{}
	after := calls(t)
	for _, name := range slices.Sorted(maps.Keys(after)) {
		for range after[name] - before[name] {
			out = append(out, name)
		}
	}
	return out
}

// edited is a copy of an object with other content at a path.
func edited(o *unstructured.Unstructured, value any, path ...string) *unstructured.Unstructured {
	o = o.DeepCopy()
	if value == nil {
		unstructured.RemoveNestedField(o.Object, path...)
	} else if err := unstructured.SetNestedField(o.Object, value, path...); err != nil {
		panic(err)
	}
	return o
}

func pod(namespace, name string, labels map[string]any) *unstructured.Unstructured {
	o := object(namespace, name, "v1", "Pod", map[string]any{"containers": []any{map[string]any{"name": "main", "image": "main"}}})
	o.Object["metadata"].(map[string]any)["labels"] = labels
	return o
}

// Nothing that no rule could find anything in is asked about, and its near misses are.
func TestTheAPIServerAsksOnlyWhatMatters(t *testing.T) {
	allowEverything(t)
	require.NoError(t, server.Install(t.Context()))
	t.Cleanup(func() { require.NoError(t, server.Uninstall(context.Background())) })
	gateway := object("default", "asked", "networking.istio.io/v1", "Gateway", map[string]any{
		"selector": map[string]any{"istio": "other"},
		"servers": []any{map[string]any{
			"port":  map[string]any{"number": int64(80), "name": "http", "protocol": "HTTP"},
			"hosts": []any{"asked.example.org"},
		}},
	})
	in := func(o *unstructured.Unstructured, namespace string) *unstructured.Unstructured {
		return edited(o, namespace, "metadata", "namespace")
	}
	create := func(o *unstructured.Unstructured) func() apiserver.Answer {
		return func() apiserver.Answer { return server.Admin.Create(t.Context(), o, client.DryRunAll) }
	}
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		assert.Equal(t, []string{"istio"}, asked(t, create(gateway)))
		assert.Equal(t, []string{"mutating workloads", "workloads"}, asked(t, create(deployment("default", "gateway", "istio-proxy", nil))))
	}, 30*time.Second, 50*time.Millisecond, "the API server takes notice of the webhook configurations")

	guarded := deploykf.Default().GuardedGateways[0]
	require.NoError(t, server.Admin.Load(t.Context(), pod(guarded.Namespace, "first", nil)))
	labels := map[string]any{}
	for k, v := range guarded.PodLabels {
		labels[k] = v
	}
	store := func(o *unstructured.Unstructured) *unstructured.Unstructured {
		t.Helper()
		a := server.Admin.Create(t.Context(), o)
		require.NoError(t, a.Err)
		t.Cleanup(func() { _ = server.Admin.Delete(context.Background(), o).Err })
		return a.Object
	}
	update := func(o *unstructured.Unstructured, opts ...client.UpdateOption) func() apiserver.Answer {
		return func() apiserver.Answer { return server.Admin.Update(t.Context(), o, opts...) }
	}
	drop := func(u *apiserver.User, o *unstructured.Unstructured) func() apiserver.Answer {
		return func() apiserver.Answer { return u.Delete(t.Context(), o, client.DryRunAll) }
	}
	user := func(name string) *apiserver.User {
		u, err := server.User(name)
		require.NoError(t, err)
		return u
	}
	testOnly := edited(gateway, map[string]any{"internal.istio.io/webhook-always-reject": "true"}, "metadata", "annotations")

	// A sidecar that an application configures, and the same with the gateway's labels.
	application := deployment("default", "application", "istio-proxy", nil)
	require.NoError(t, unstructured.SetNestedSlice(application.Object, []any{
		map[string]any{"name": "main", "image": "main"},
		map[string]any{"name": "istio-proxy", "image": "auto"},
	}, "spec", "template", "spec", "containers"))
	disguised := edited(edited(application, labels, "spec", "template", "metadata", "labels"), labels, "spec", "selector", "matchLabels")

	mtls := func(spec map[string]any) *unstructured.Unstructured {
		return object("default", "asked", "security.istio.io/v1", "PeerAuthentication", spec)
	}
	mode := func(m string) map[string]any { return map[string]any{"mode": m} }
	ports := func(m string) map[string]any {
		return map[string]any{
			"selector":      map[string]any{"matchLabels": map[string]any{"app": "shop"}},
			"mtls":          mode("STRICT"),
			"portLevelMtls": map[string]any{"8080": mode("STRICT"), "9090": mode(m)},
		}
	}

	none := []string{}
	for _, tc := range []struct {
		name    string
		request func() apiserver.Answer
		want    []string
	}{
		{"an application", create(deployment("default", "application", "main", nil)), none},
		{"an application that configures its sidecar", create(application), none},
		{"a proxy with the gateway's labels", create(disguised), []string{"mutating workloads", "workloads"}},
		{"the gateway's template", create(deployment("default", "gateway", "main", map[string]any{"inject.istio.io/templates": "gateway"})),
			[]string{"mutating workloads", "workloads"}},
		{"an application without a sidecar", create(deployment("default", "application", "main", map[string]any{"sidecar.istio.io/inject": "false"})), []string{"sidecars"}},
		{"a gateway in kube-system", create(deployment("kube-system", "gateway", "istio-proxy", nil)), none},
		{"a gateway in gatewarden's namespace", create(deployment("gatewarden", "gateway", "istio-proxy", nil)), none},
		{"any workload beside the guarded gateway", create(deployment(guarded.Namespace, "application", "main", nil)), []string{"gateway"}},

		{"a new STRICT policy", create(mtls(map[string]any{"mtls": mode("STRICT")})), none},
		{"a new policy that is STRICT for each port", create(mtls(ports("STRICT"))), none},
		{"a new policy with a port that is not STRICT", create(mtls(ports("PERMISSIVE"))), []string{"istio"}},
		{"a new policy with a port that is not set", create(mtls(ports("UNSET"))), []string{"istio"}},
		{"a new policy that says nothing", create(mtls(map[string]any{})), []string{"istio"}},
		{"a new policy that says nothing of mtls", create(mtls(map[string]any{"mtls": map[string]any{}})), []string{"istio"}},
		{"a new policy without a spec", create(edited(mtls(nil), nil, "spec")), []string{"istio"}},
		{"a new PERMISSIVE policy", create(mtls(map[string]any{"mtls": mode("PERMISSIVE")})), []string{"istio"}},

		{"istiod's self-test", create(testOnly), none},
		{"its annotation on what is to be stored", func() apiserver.Answer {
			defer func() { _ = server.Admin.Delete(t.Context(), testOnly).Err }()
			return server.Admin.Create(t.Context(), testOnly)
		}, []string{"istio"}},
		{"a Gateway in kube-system", create(in(gateway, "kube-system")), none},
		{"a Gateway in gatewarden's namespace", create(in(gateway, "gatewarden")), none},

		{"a pod", create(pod("default", "asked", nil)), none},
		{"a pod on its node's network", create(edited(pod("default", "asked", nil), true, "spec", "hostNetwork")), []string{"pods"}},
		{"a pod with the gateway's labels", create(pod("default", "asked", labels)), []string{"pods"}},
		{"a pod with one of them", create(pod("default", "asked", map[string]any{"app": guarded.PodLabels["app"]})), none},
		{"a pod in the gateway's namespace", create(pod(guarded.Namespace, "asked", nil)), []string{"pods"}},

		{"a Service", create(object("default", "asked", "v1", "Service", map[string]any{"ports": []any{map[string]any{"port": int64(80)}}})), none},
		{"a Service that stands for another name", create(object("default", "asked", "v1", "Service", map[string]any{
			"type": "ExternalName", "externalName": "elsewhere.example.org",
		})), []string{"names"}},
	} {
		assert.Equal(t, tc.want, asked(t, tc.request), tc.name)
	}

	stored := store(edited(gateway, []any{"example.org/hold"}, "metadata", "finalizers"))
	policyStored := store(mtls(map[string]any{"mtls": mode("STRICT")}))
	service := store(object(guarded.Namespace, "asked", "v1", "Service", map[string]any{"ports": []any{map[string]any{"port": int64(80)}}}))
	relabelled := store(pod("default", "asked", map[string]any{"app": "shop"}))
	workload := store(deployment("default", "asked", "istio-proxy", nil))
	namespace := store(&unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "asked"}}})
	dry := client.DryRunAll
	for _, tc := range []struct {
		name    string
		request func() apiserver.Answer
		want    []string
	}{
		{"an update of a finalizer", update(edited(stored, []any{"example.org/hold", "example.org/too"}, "metadata", "finalizers"), dry), []string{"istio"}},
		{"an update of nothing", update(stored, dry), []string{"istio"}},
		{"an update of a label", update(edited(stored, "b", "metadata", "labels", "a"), dry), []string{"istio"}},
		{"an update of an annotation", update(edited(stored, "b", "metadata", "annotations", "a"), dry), []string{"istio"}},
		{"an update of the spec", update(edited(stored, map[string]any{"a": "b"}, "spec", "selector"), dry), []string{"istio"}},
		{"the self-test's annotation in an update", update(edited(stored, "true", "metadata", "annotations", "internal.istio.io/webhook-always-reject"), dry), []string{"istio"}},
		{"an update that stays STRICT", update(edited(policyStored, map[string]any{"matchLabels": map[string]any{"a": "b"}}, "spec", "selector"), dry), []string{"istio"}},
		{"a delete of a policy", drop(server.Admin, policyStored), []string{"istio"}},
		{"a delete of a policy by the namespace controller", drop(user(policy.Cleaners[0]), policyStored), none},
		{"a delete of a policy by the garbage collector", drop(user(policy.Cleaners[1]), policyStored), none},
		{"a delete of a policy by another controller", drop(user("system:serviceaccount:kube-system:job-controller"), policyStored), []string{"istio"}},
		{"a delete of a Gateway", drop(server.Admin, stored), none},
		{"a load balancer's annotation", update(edited(service, "b", "metadata", "annotations", "a"), dry), none},
		{"a Service's selector", update(edited(service, map[string]any{"a": "b"}, "spec", "selector"), dry), []string{"gateway"}},
		{"a delete of a Service", drop(server.Admin, service), []string{"gateway"}},
		{"a delete of a Service by the namespace controller", drop(user(policy.Cleaners[0]), service), none},
		{"an annotation of a pod", update(edited(relabelled, "b", "metadata", "annotations", "a"), dry), none},
		{"a label of a pod", update(edited(relabelled, "b", "metadata", "labels", "a"), dry), []string{"pods"}},
		{"an annotation of a namespace", update(edited(namespace, "b", "metadata", "annotations", "a"), dry), none},
		{"a label of a namespace", update(edited(namespace, "b", "metadata", "labels", "a"), dry), []string{"namespaces"}},
		{"more replicas of a gateway", update(edited(workload, int64(3), "spec", "replicas"), dry), []string{"mutating workloads", "workloads"}},
	} {
		assert.Equal(t, tc.want, asked(t, tc.request), tc.name)
	}

	// What is deleted goes when its last finalizer does.
	require.NoError(t, server.Admin.Delete(t.Context(), stored).Err)
	current := stored.DeepCopy()
	require.NoError(t, server.Client().Get(t.Context(), client.ObjectKeyFromObject(stored), current))
	require.NotNil(t, current.GetDeletionTimestamp())
	assert.Equal(t, []string{"istio"}, asked(t, update(edited(current, map[string]any{"a": "b"}, "spec", "selector"), dry)), "until then it counts")
	assert.Equal(t, none, asked(t, update(edited(current, nil, "metadata", "finalizers"))))
	assert.True(t, apierrors.IsNotFound(server.Client().Get(t.Context(), client.ObjectKeyFromObject(stored), current)))
}

// The kubelet and the API server judge what is made of the template, not the Deployment.
func TestPodsOfTheDeploymentAreAdmitted(t *testing.T) {
	stored := deployment(apiserver.Namespace, "gatewarden", "", nil)
	require.NoError(t, server.Client().Get(t.Context(), client.ObjectKeyFromObject(stored), stored))
	template, _, err := unstructured.NestedMap(stored.Object, "spec", "template")
	require.NoError(t, err)
	made := &unstructured.Unstructured{Object: template}
	made.SetAPIVersion("v1")
	made.SetKind("Pod")
	made.SetNamespace(apiserver.Namespace)
	made.SetName("gatewarden-0")

	a := server.Admin.Create(t.Context(), made, client.DryRunAll)
	require.NoError(t, a.Err)
	assert.Empty(t, a.Warnings)
	priority, _, err := unstructured.NestedInt64(a.Object.Object, "spec", "priority")
	require.NoError(t, err)
	assert.EqualValues(t, 1_000_000_000, priority, "the PriorityClass is there")

	container := func(change func(security map[string]any)) *unstructured.Unstructured {
		o := made.DeepCopy()
		containers, _, err := unstructured.NestedSlice(o.Object, "spec", "containers")
		require.NoError(t, err)
		change(containers[0].(map[string]any)["securityContext"].(map[string]any))
		return edited(o, containers, "spec", "containers")
	}
	for name, o := range map[string]*unstructured.Unstructured{
		"allowPrivilegeEscalation":  container(func(s map[string]any) { s["allowPrivilegeEscalation"] = true }),
		"unrestricted capabilities": container(func(s map[string]any) { delete(s, "capabilities") }),
		"runAsNonRoot":              edited(made, nil, "spec", "securityContext", "runAsNonRoot"),
		"seccompProfile":            edited(made, nil, "spec", "securityContext", "seccompProfile"),
		"hostNetwork":               edited(made, true, "spec", "hostNetwork"),
	} {
		err := server.Admin.Create(t.Context(), o, client.DryRunAll).Err
		require.ErrorContains(t, err, `violates PodSecurity "restricted`, name)
		assert.ErrorContains(t, err, name)
	}
	// Elsewhere nothing of that is asked for, so it is the namespace's label that is judged by.
	elsewhere := edited(edited(made, true, "spec", "hostNetwork"), corev1.NamespaceDefault, "metadata", "namespace")
	assert.NoError(t, server.Admin.Create(t.Context(), elsewhere, client.DryRunAll).Err)
}
