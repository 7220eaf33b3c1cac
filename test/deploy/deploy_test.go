package deploy_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	openreports "github.com/openreports/reports-api/apis/openreports.io/v1alpha1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/utils/ptr"

	"github.com/gatewarden/gatewarden/pkg/cli"
	"github.com/gatewarden/gatewarden/pkg/cluster"
	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/gatewaypod"
	"github.com/gatewarden/gatewarden/pkg/leadership"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/webhook"
	"github.com/gatewarden/gatewarden/test/deploy"
	"github.com/gatewarden/gatewarden/test/module"
)

// base is the rendered deploy/base.
func base(t *testing.T) []*unstructured.Unstructured {
	t.Helper()
	objects, err := deploy.Render(t.Context(), deploy.Base)
	require.NoError(t, err)
	return objects
}

// find decodes the one object of a kind, of those with a name if one is given, strictly: a field
// that the API does not have fails.
func find[T any](t *testing.T, objects []*unstructured.Unstructured, kind string, name ...string) *T {
	t.Helper()
	var found *T
	for _, o := range objects {
		if o.GetKind() == kind && (len(name) == 0 || o.GetName() == name[0]) {
			require.Nil(t, found, "more than one %s", kind)
			found = new(T)
			require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(o.Object, found, true))
		}
	}
	require.NotNil(t, found, "no %s", kind)
	return found
}

func TestConfigMapHoldsTheDefaultConfiguration(t *testing.T) {
	cm := find[corev1.ConfigMap](t, base(t), "ConfigMap")
	require.Equal(t, []string{"config.yaml"}, slices.Collect(maps.Keys(cm.Data)))
	c, err := config.Load([]byte(cm.Data["config.yaml"]), "deploy/base/config.yaml")
	require.NoError(t, err)
	assert.Equal(t, deploykf.Default(), c)
	var written, complaints bytes.Buffer
	require.Equal(t, 0, cli.Main([]string{"config"}, strings.NewReader(""), &written, &complaints), complaints.String())
	assert.Equal(t, written.String(), cm.Data["config.yaml"], `write it again: go run ./cmd/gatewarden config > deploy/base/config.yaml`)
}

// request is what a webhook can be called for.
type request struct {
	kind      resource.Kind
	version   string
	operation admissionregistrationv1.OperationType
}

// requests spells out the rules of webhook configurations, in the kinds that gatewarden
// knows.
func requests(t *testing.T, rules ...admissionregistrationv1.RuleWithOperations) sets.Set[request] {
	t.Helper()
	all := sets.New[request]()
	for _, r := range rules {
		for _, group := range r.APIGroups {
			for _, plural := range r.Resources {
				i := slices.IndexFunc(resource.APIs, func(a resource.API) bool {
					return a.Group == group && a.Resource == plural
				})
				require.GreaterOrEqual(t, i, 0, "no API %s/%s", group, plural)
				for _, version := range r.APIVersions {
					for _, op := range r.Operations {
						all.Insert(request{resource.APIs[i].Kind, version, op})
					}
				}
			}
		}
	}
	return all
}

func TestValidatingWebhookGetsWhatTheRulesJudge(t *testing.T) {
	want := sets.New[request]()
	for _, rule := range rules.All() {
		for _, kind := range rule.Kinds {
			for _, version := range resource.ByKind(kind).Versions {
				for _, op := range rule.Operations {
					want.Insert(request{kind, version, admissionregistrationv1.OperationType(op)})
				}
			}
		}
	}
	var sent []admissionregistrationv1.RuleWithOperations
	for _, w := range find[admissionregistrationv1.ValidatingWebhookConfiguration](t, base(t), "ValidatingWebhookConfiguration").Webhooks {
		sent = append(sent, w.Rules...)
	}
	got := requests(t, sent...)
	assert.Empty(t, want.Difference(got), "judged by a rule, but never sent")
	assert.Empty(t, got.Difference(want), "sent, but judged by no rule")
}

func TestMutatingWebhookGetsTheWorkloadsThatAreCompleted(t *testing.T) {
	want := sets.New[request]()
	for _, api := range resource.APIs {
		if gatewaypod.Handles(api.Kind) {
			for _, version := range api.Versions {
				for _, op := range []policy.Operation{policy.Create, policy.Update} {
					want.Insert(request{api.Kind, version, admissionregistrationv1.OperationType(op)})
				}
			}
		}
	}
	c := find[admissionregistrationv1.MutatingWebhookConfiguration](t, base(t), "MutatingWebhookConfiguration")
	require.Len(t, c.Webhooks, 1)
	assert.Equal(t, want, requests(t, c.Webhooks[0].Rules...))
}

func TestWebhookConfigurationsAreWrittenByTheCommand(t *testing.T) {
	var written, complaints bytes.Buffer
	require.Equal(t, 0, cli.Main([]string{"webhooks"}, strings.NewReader(""), &written, &complaints), complaints.String())
	content, err := os.ReadFile("../../deploy/base/webhooks.yaml")
	require.NoError(t, err)
	assert.Equal(t, written.String(), string(content), `write it again: go run ./cmd/gatewarden webhooks > deploy/base/webhooks.yaml`)
}

func TestWebhookSettings(t *testing.T) {
	objects := base(t)
	validating := find[admissionregistrationv1.ValidatingWebhookConfiguration](t, objects, "ValidatingWebhookConfiguration")
	mutating := find[admissionregistrationv1.MutatingWebhookConfiguration](t, objects, "MutatingWebhookConfiguration")
	namespace := find[corev1.Namespace](t, objects, "Namespace").Name

	// Without it, Azure's clusters add namespace selectors to the configurations and keep
	// restoring them.
	const enforcer = "admissions.enforcer/disabled"
	assert.Equal(t, "true", validating.Annotations[enforcer])
	assert.Equal(t, "true", mutating.Annotations[enforcer])

	// What is asked about much that is not gatewarden's business, with the reason beside it in
	// the configuration, and told in deploy/README.md.
	open := []string{"kubernetes.gatewarden.io", "sidecars.gatewarden.io", "pods.gatewarden.io", "namespaces.gatewarden.io"}
	readme, err := os.ReadFile("../../deploy/README.md")
	require.NoError(t, err)
	for _, name := range open {
		assert.Contains(t, string(readme), "`"+name+"`")
	}

	for _, w := range validating.Webhooks {
		assert.Equal(t, webhook.ValidatePath, *w.ClientConfig.Service.Path, w.Name)
		want := admissionregistrationv1.Fail
		if slices.Contains(open, w.Name) {
			want = admissionregistrationv1.Ignore
		}
		assert.Equal(t, want, *w.FailurePolicy, w.Name)
		assert.Equal(t, admissionregistrationv1.Equivalent, *w.MatchPolicy, w.Name)
		assert.Equal(t, admissionregistrationv1.SideEffectClassNoneOnDryRun, *w.SideEffects, w.Name)
		assert.LessOrEqual(t, *w.TimeoutSeconds, int32(5), w.Name)
		assertNamespaces(t, namespace, w.NamespaceSelector, w.Name)
	}
	for _, w := range mutating.Webhooks {
		assert.Equal(t, webhook.MutatePath, *w.ClientConfig.Service.Path, w.Name)
		assert.Equal(t, admissionregistrationv1.Ignore, *w.FailurePolicy, w.Name)
		assert.Equal(t, admissionregistrationv1.Equivalent, *w.MatchPolicy, w.Name)
		assert.Equal(t, admissionregistrationv1.SideEffectClassNone, *w.SideEffects, w.Name)
		assert.Equal(t, admissionregistrationv1.IfNeededReinvocationPolicy, *w.ReinvocationPolicy, w.Name)
		assert.LessOrEqual(t, *w.TimeoutSeconds, int32(5), w.Name)
		assertNamespaces(t, namespace, w.NamespaceSelector, w.Name)
	}
}

// The component opens what is closed, and changes nothing else.
func TestFailOpen(t *testing.T) {
	const kind = "ValidatingWebhookConfiguration"
	want := find[admissionregistrationv1.ValidatingWebhookConfiguration](t, base(t), kind)
	for i := range want.Webhooks {
		want.Webhooks[i].FailurePolicy = ptr.To(admissionregistrationv1.Ignore)
	}
	objects, err := deploy.Render(t.Context(), "test/deploy/testdata/fail-open")
	require.NoError(t, err)
	assert.Equal(t, want, find[admissionregistrationv1.ValidatingWebhookConfiguration](t, objects, kind))
	assert.Len(t, objects, len(base(t)))
}

// A webhook stays out of kube-system and gatewarden's own namespace: it names the namespaces that
// it is for, all of which the configuration tells, or those that it is not for.
func assertNamespaces(t *testing.T, own string, s *metav1.LabelSelector, name string) {
	t.Helper()
	require.Len(t, s.MatchExpressions, 1, name)
	e := s.MatchExpressions[0]
	assert.Equal(t, corev1.LabelMetadataName, e.Key, name)
	if e.Operator == metav1.LabelSelectorOpNotIn {
		assert.Contains(t, e.Values, own, name)
		assert.Contains(t, e.Values, metav1.NamespaceSystem, name)
		return
	}
	assert.Equal(t, metav1.LabelSelectorOpIn, e.Operator, name)
	cfg := deploykf.Default()
	allowed := sets.New(cfg.Mesh.RootNamespace)
	for _, g := range cfg.GuardedGateways {
		assert.Contains(t, e.Values, g.Namespace, name)
		allowed.Insert(g.Namespace)
	}
	assert.Subset(t, allowed.UnsortedList(), e.Values, name)
}

func TestRolesPermitToReadWhatIsDecodedToTellWhatIsFoundAndNothingElse(t *testing.T) {
	objects := base(t)
	role := find[rbacv1.ClusterRole](t, objects, "ClusterRole")
	type permission struct{ group, resource, name, verb string }
	permitted := func(rules []rbacv1.PolicyRule) sets.Set[permission] {
		got := sets.New[permission]()
		for _, rule := range rules {
			assert.Empty(t, rule.NonResourceURLs)
			names := rule.ResourceNames
			if len(names) == 0 {
				names = []string{""}
			}
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					for _, name := range names {
						for _, verb := range rule.Verbs {
							got.Insert(permission{group, resource, name, verb})
						}
					}
				}
			}
		}
		return got
	}
	everywhere := sets.New(permission{"events.k8s.io", "events", "", "create"})
	for _, reports := range []string{"reports", "clusterreports"} {
		for _, verb := range []string{"list", "create", "update", "delete"} {
			everywhere.Insert(permission{openreports.GroupName, reports, "", verb})
		}
	}
	// ConfigMaps are read in Istio's namespace only.
	there := sets.New[permission]()
	for _, api := range resource.APIs {
		for _, verb := range []string{"list", "watch"} {
			if api.Kind == resource.KindConfigMap {
				there.Insert(permission{api.Group, api.Resource, "", verb})
			} else {
				everywhere.Insert(permission{api.Group, api.Resource, "", verb})
			}
		}
	}
	assert.Equal(t, everywhere, permitted(role.Rules))
	istio := find[rbacv1.Role](t, objects, "Role", "gatewarden")
	assert.Equal(t, there, permitted(istio.Rules))
	assert.Equal(t, deploykf.Default().Mesh.RootNamespace, istio.Namespace)
	assert.Equal(t, cluster.DefaultConfigMaps, istio.Namespace)

	binding := find[rbacv1.ClusterRoleBinding](t, objects, "ClusterRoleBinding")
	account := find[corev1.ServiceAccount](t, objects, "ServiceAccount")
	assert.Equal(t, rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name}, binding.RoleRef)
	assert.Equal(t, []rbacv1.Subject{{Kind: "ServiceAccount", Name: account.Name, Namespace: account.Namespace}}, binding.Subjects)
	own := find[rbacv1.Role](t, objects, "Role", "gatewarden-leadership")
	assert.Equal(t, account.Namespace, own.Namespace)
	lease := sets.New[permission]()
	for _, verb := range []string{"create", "get", "patch", "update"} {
		lease.Insert(permission{"coordination.k8s.io", "leases", leadership.Lease, verb})
	}
	assert.Equal(t, lease, permitted(own.Rules))
	// No name of a reservation is known before, and none is ever read by itself or changed.
	reservations := find[rbacv1.Role](t, objects, "Role", "gatewarden-ledger")
	assert.Equal(t, account.Namespace, reservations.Namespace)
	entries := sets.New[permission]()
	for _, verb := range []string{"create", "list", "watch", "delete"} {
		entries.Insert(permission{"", "configmaps", "", verb})
	}
	assert.Equal(t, entries, permitted(reservations.Rules))
	for _, r := range []*rbacv1.Role{istio, own, reservations} {
		in := find[rbacv1.RoleBinding](t, objects, "RoleBinding", r.Name)
		assert.Equal(t, r.Namespace, in.Namespace)
		assert.Equal(t, rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: r.Name}, in.RoleRef)
		assert.Equal(t, binding.Subjects, in.Subjects)
	}
	assert.Equal(t, account.Name, find[appsv1.Deployment](t, objects, "Deployment").Spec.Template.Spec.ServiceAccountName)
}

// Else the requests that wait for gatewarden could take the seats that its own need.
func TestOwnRequestsHaveSeatsOfTheirOwn(t *testing.T) {
	objects := base(t)
	level := find[flowcontrolv1.PriorityLevelConfiguration](t, objects, "PriorityLevelConfiguration")
	schema := find[flowcontrolv1.FlowSchema](t, objects, "FlowSchema")
	account := find[corev1.ServiceAccount](t, objects, "ServiceAccount")
	assert.Equal(t, level.Name, schema.Spec.PriorityLevelConfiguration.Name)
	require.Len(t, schema.Spec.Rules, 1)
	assert.Equal(t, []flowcontrolv1.Subject{{
		Kind:           flowcontrolv1.SubjectKindServiceAccount,
		ServiceAccount: &flowcontrolv1.ServiceAccountSubject{Namespace: account.Namespace, Name: account.Name},
	}}, schema.Spec.Rules[0].Subjects)
	assert.Zero(t, *level.Spec.Limited.LendablePercent)
	args := find[appsv1.Deployment](t, objects, "Deployment").Spec.Template.Spec.Containers[0].Args
	assert.Equal(t, "cluster", argument(t, args, "ledger"), "several replicas run")
}

func TestServiceLeadsToThePodsAndTheWebhooksToTheService(t *testing.T) {
	objects := base(t)
	service := find[corev1.Service](t, objects, "Service")
	template := find[appsv1.Deployment](t, objects, "Deployment").Spec.Template
	assert.Subset(t, template.Labels, service.Spec.Selector)
	ports := sets.New[intstr.IntOrString]()
	for _, p := range template.Spec.Containers[0].Ports {
		ports.Insert(intstr.FromString(p.Name))
	}
	for _, p := range service.Spec.Ports {
		assert.Contains(t, ports, p.TargetPort)
	}

	var clients []admissionregistrationv1.WebhookClientConfig
	for _, w := range find[admissionregistrationv1.ValidatingWebhookConfiguration](t, objects, "ValidatingWebhookConfiguration").Webhooks {
		clients = append(clients, w.ClientConfig)
	}
	for _, w := range find[admissionregistrationv1.MutatingWebhookConfiguration](t, objects, "MutatingWebhookConfiguration").Webhooks {
		clients = append(clients, w.ClientConfig)
	}
	for _, c := range clients {
		require.NotNil(t, c.Service)
		assert.Equal(t, service.Name, c.Service.Name)
		assert.Equal(t, service.Namespace, c.Service.Namespace)
		assert.Nil(t, c.Service.Port, "the default is 443")
		assert.EqualValues(t, 443, service.Spec.Ports[0].Port)
	}
}

// The Pod Security Standard "restricted" is enforced on gatewarden's own namespace, and a
// sidecar would keep the API server out.
func TestPodsAreRestrictedAndOutsideOfTheMesh(t *testing.T) {
	template := find[appsv1.Deployment](t, base(t), "Deployment").Spec.Template
	assert.Equal(t, "false", template.Labels[gatewaypod.InjectLabel])
	assert.Equal(t, "none", template.Labels[gatewaypod.DataplaneLabel])
	require.Len(t, template.Spec.Containers, 1)
	pod, container := template.Spec.SecurityContext, template.Spec.Containers[0].SecurityContext
	assert.True(t, *pod.RunAsNonRoot)
	assert.Equal(t, corev1.SeccompProfileTypeRuntimeDefault, pod.SeccompProfile.Type)
	assert.False(t, *container.AllowPrivilegeEscalation)
	assert.True(t, *container.ReadOnlyRootFilesystem)
	assert.Equal(t, []corev1.Capability{"ALL"}, container.Capabilities.Drop)
}

func TestProbesAskTheWebhookServer(t *testing.T) {
	container := find[appsv1.Deployment](t, base(t), "Deployment").Spec.Template.Spec.Containers[0]
	for _, probe := range []struct {
		*corev1.Probe
		path string
	}{
		{container.StartupProbe, webhook.HealthPath},
		{container.LivenessProbe, webhook.HealthPath},
		{container.ReadinessProbe, webhook.ReadyPath},
	} {
		require.NotNil(t, probe.Probe, probe.path)
		assert.Equal(t, probe.path, probe.HTTPGet.Path)
		assert.Equal(t, corev1.URISchemeHTTPS, probe.HTTPGet.Scheme)
		assert.Equal(t, "https", probe.HTTPGet.Port.StrVal)
	}
}

// What is lost with a node, a zone or a drain is one replica of two, and a replica that is no use
// keeps nobody from draining its node.
func TestReplicasDoNotGoTogether(t *testing.T) {
	objects := base(t)
	deployment := find[appsv1.Deployment](t, objects, "Deployment").Spec
	assert.GreaterOrEqual(t, *deployment.Replicas, int32(2))
	assert.Equal(t, intstr.FromInt32(0), *deployment.Strategy.RollingUpdate.MaxUnavailable)

	budget := find[policyv1.PodDisruptionBudget](t, objects, "PodDisruptionBudget").Spec
	assert.Equal(t, deployment.Selector, budget.Selector)
	assert.Equal(t, intstr.FromInt32(1), *budget.MaxUnavailable)
	assert.Equal(t, policyv1.AlwaysAllow, *budget.UnhealthyPodEvictionPolicy)

	spread := map[string]corev1.TopologySpreadConstraint{}
	for _, c := range deployment.Template.Spec.TopologySpreadConstraints {
		spread[c.TopologyKey] = c
	}
	for _, key := range []string{corev1.LabelTopologyZone, corev1.LabelHostname} {
		require.Contains(t, spread, key)
		assert.Equal(t, deployment.Selector, spread[key].LabelSelector)
		assert.Equal(t, corev1.ScheduleAnyway, spread[key].WhenUnsatisfiable, "a cluster with one %s must get both", key)
	}

	class := find[schedulingv1.PriorityClass](t, objects, "PriorityClass")
	assert.Equal(t, class.Name, deployment.Template.Spec.PriorityClassName)
	assert.EqualValues(t, 1_000_000_000, class.Value, "HighestUserDefinablePriority of k8s.io/kubernetes pkg/apis/scheduling")
	assert.False(t, class.GlobalDefault)
}

// The drain and the requests that are on their way fit into what the kubelet grants.
func TestPodsAreGivenTheTimeToDrain(t *testing.T) {
	objects := base(t)
	pod := find[appsv1.Deployment](t, objects, "Deployment").Spec.Template.Spec
	drain, err := time.ParseDuration(argument(t, pod.Containers[0].Args, "drain"))
	require.NoError(t, err)
	var longest int32
	for _, w := range find[admissionregistrationv1.ValidatingWebhookConfiguration](t, objects, "ValidatingWebhookConfiguration").Webhooks {
		longest = max(longest, *w.TimeoutSeconds)
	}
	assert.Greater(t, time.Duration(*pod.TerminationGracePeriodSeconds)*time.Second, drain+time.Duration(longest)*time.Second)
	// Until a replica that is gone has left the Service: the readiness probe has found it out by then, too.
	probe := pod.Containers[0].ReadinessProbe
	assert.GreaterOrEqual(t, drain, time.Duration(probe.PeriodSeconds*probe.FailureThreshold)*time.Second)
}

func TestNetworkPolicyLetsInWhoCalls(t *testing.T) {
	objects := base(t)
	deployment := find[appsv1.Deployment](t, objects, "Deployment").Spec
	policy := find[networkingv1.NetworkPolicy](t, objects, "NetworkPolicy").Spec
	assert.Equal(t, *deployment.Selector, policy.PodSelector)
	assert.Equal(t, []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}, policy.PolicyTypes)
	from := map[string][]networkingv1.NetworkPolicyPeer{}
	for _, rule := range policy.Ingress {
		for _, p := range rule.Ports {
			from[p.Port.StrVal] = rule.From
		}
	}
	for _, p := range deployment.Template.Spec.Containers[0].Ports {
		require.Contains(t, from, p.Name, "nobody could call it")
	}
	assert.Empty(t, from["https"], "the API server calls from outside of the pods' network")
	assert.NotEmpty(t, from["http-metrics"])
}

// The pods need a token, and nobody else who uses the ServiceAccount does.
func TestOnlyThePodsGetAToken(t *testing.T) {
	objects := base(t)
	assert.False(t, *find[corev1.ServiceAccount](t, objects, "ServiceAccount").AutomountServiceAccountToken)
	assert.True(t, *find[appsv1.Deployment](t, objects, "Deployment").Spec.Template.Spec.AutomountServiceAccountToken)
}

// The Deployment says that it runs as non-root, and the kubelet believes only numbers.
func TestImageRunsAsTheUserOfTheDeployment(t *testing.T) {
	root, err := module.Dir(t.Context(), module.Gatewarden)
	require.NoError(t, err)
	content, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	require.NoError(t, err)
	instructions := map[string][]string{}
	for line := range strings.Lines(string(content)) {
		name, argument, _ := strings.Cut(strings.TrimSpace(line), " ")
		instructions[name] = append(instructions[name], argument)
	}
	pod := find[appsv1.Deployment](t, base(t), "Deployment").Spec.Template.Spec.SecurityContext
	assert.Equal(t, []string{"scratch"}, instructions["FROM"], "no base image")
	assert.Equal(t, []string{fmt.Sprintf("%d:%d", *pod.RunAsUser, *pod.RunAsGroup)}, instructions["USER"])
	assert.Equal(t, []string{`["/gatewarden"]`}, instructions["ENTRYPOINT"])
}

func TestCertManagerOverlay(t *testing.T) {
	objects, err := deploy.Render(t.Context(), deploy.CertManager)
	require.NoError(t, err)
	service := find[corev1.Service](t, objects, "Service")
	certificates := map[string]*unstructured.Unstructured{}
	for _, o := range objects {
		if o.GetKind() == "Certificate" {
			certificates[o.GetNamespace()+"/"+o.GetName()] = o
		}
	}
	for _, o := range objects {
		if !strings.HasSuffix(o.GetKind(), "WebhookConfiguration") {
			continue
		}
		source := o.GetAnnotations()["cert-manager.io/inject-ca-from"]
		certificate := certificates[source]
		require.NotNil(t, certificate, "%s takes its CA from Certificate %q", o.GetKind(), source)
		names, _, err := unstructured.NestedStringSlice(certificate.Object, "spec", "dnsNames")
		require.NoError(t, err)
		assert.Contains(t, names, service.Name+"."+service.Namespace+".svc", "the name that the API server calls")
		secret, _, err := unstructured.NestedString(certificate.Object, "spec", "secretName")
		require.NoError(t, err)
		assert.Equal(t, secret, secretName(t, objects), "the Secret that is mounted")
	}
}

func secretName(t *testing.T, objects []*unstructured.Unstructured) string {
	t.Helper()
	for _, v := range find[appsv1.Deployment](t, objects, "Deployment").Spec.Template.Spec.Volumes {
		if v.Secret != nil {
			return v.Secret.SecretName
		}
	}
	require.Fail(t, "no Secret is mounted")
	return ""
}
