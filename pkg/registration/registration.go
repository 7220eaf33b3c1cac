// Package registration says what the API server is to ask gatewarden: the webhook configurations
// that belong to a configuration. Kinds, operations, groups and versions follow from the rules; the
// table of this file says which kinds are asked about together, in which namespaces, and what
// happens while nobody answers.
package registration

import (
	"fmt"
	"slices"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/webhook"
)

const (
	// Name is the name of the configurations and of the Service before gatewarden, and of the
	// namespace where no other is told.
	Name = "gatewarden"
	// timeout is how long the API server waits for an answer. A decision takes microseconds; what
	// takes seconds is a connection to a replica that is gone.
	timeout = 5 // seconds
	// enforcerAnnotation keeps AKS from adding selectors of its own, and from restoring them.
	enforcerAnnotation = "admissions.enforcer/disabled"
	// systemNamespace is where the cluster's own workloads are.
	systemNamespace = "kube-system"
)

// sideEffects of a judgement: a change that is to be stored is announced in the ledger, and a dry run
// is not.
const sideEffects = admissionregistrationv1.SideEffectClassNoneOnDryRun

// Options are what the configurations depend on.
type Options struct {
	// Config is what is guarded.
	Config *config.Configuration
	// Rules are those that judge.
	Rules []*policy.Rule
	// Namespace is gatewarden's own. Default: Name.
	Namespace string
}

// Set are the webhooks of both configurations.
type Set struct {
	Validating, Mutating []Webhook
	namespace            string // gatewarden's
}

// Webhook is one webhook, and why it is as it is.
type Webhook struct {
	Name string
	// Why says what the webhook is for, and Policy why it fails as it does.
	Why, Policy string
	// Selection says why the webhook is for these namespaces.
	Selection  string
	Conditions []Condition

	path          string
	failurePolicy admissionregistrationv1.FailurePolicyType
	operator      metav1.LabelSelectorOperator
	namespaces    []string
	rules         []admissionregistrationv1.RuleWithOperations
}

// What happens while no replica answers. Each webhook says one of them.
const (
	closed = "Fail: while no replica answers, these changes are refused. With Ignore they pass unjudged then,\n" +
		"and only audits find afterwards what they broke."
	opened = "Ignore: while no replica answers, these changes pass unjudged."
)

// family is a row of the table: kinds that are asked about together.
type family struct {
	name, why, policy, selection string
	kinds                        []resource.Kind
	without                      []policy.Operation // judged elsewhere only
	open                         bool
	only                         bool // of the namespaces, instead of all others
	namespaces                   []string
	conditions                   []Condition
}

// families is the table. Every kind and operation that a rule judges is in at least one of them.
func (o Options) families() []family {
	cfg := o.Config
	system := []string{systemNamespace, o.Namespace}
	gateways := gatewayNamespaces(cfg)
	elsewhere := slices.Concat(system, gateways)
	const (
		systemReason = "Who may write here has the cluster, or gatewarden, anyway; and neither may wait for gatewarden."
		elsewhereToo = systemReason + "\nWhat is in the others is sent by gateway.gatewarden.io."
	)
	return []family{
		{
			name: "istio",
			why: "What routes traffic and what enforces mutual TLS. Every namespace counts: Istio lets a\n" +
				"Gateway of any namespace take part in the shared gateway.",
			policy:    closed,
			selection: systemReason,
			kinds: []resource.Kind{
				resource.KindGateway, resource.KindVirtualService, resource.KindDestinationRule, resource.KindSidecar,
				resource.KindEnvoyFilter, resource.KindWasmPlugin, resource.KindTrafficExtension, resource.KindPeerAuthentication,
			},
			namespaces: system,
			conditions: []Condition{notLeaving(), notCleaningUp(), notSelfTest(), mayWeaken()},
		},
		{
			name: "kubernetes",
			why: "Istio makes Gateways and VirtualServices of these, but so do other controllers of other\n" +
				"classes, and nothing in an object tells for sure whose it is.",
			policy:    opened + " Others' controllers must not be kept from their work.",
			selection: systemReason,
			kinds: []resource.Kind{
				resource.KindIngress, resource.KindIngressClass, resource.KindKubernetesGateway, resource.KindGatewayClass,
				resource.KindListenerSet, resource.KindHTTPRoute, resource.KindGRPCRoute, resource.KindTLSRoute, resource.KindTCPRoute,
			},
			open:       true,
			namespaces: system,
			conditions: []Condition{notLeaving()},
		},
		{
			name:       "workloads",
			why:        "The pods of a gateway.",
			policy:     closed,
			selection:  elsewhereToo,
			kinds:      workloadKinds(),
			namespaces: elsewhere,
			conditions: []Condition{gatewayWorkload(cfg), notLeaving()},
		},
		{
			name: "proxies",
			why: "What else bends the proxies of a guarded gateway: objects of its namespace, and of the mesh's\n" +
				"root namespace. Those of other namespaces never apply to it.",
			policy:    closed,
			selection: "The namespaces of guardedGateways, and mesh.rootNamespace.",
			kinds: []resource.Kind{
				resource.KindAuthorizationPolicy, resource.KindRequestAuthentication, resource.KindTelemetry, resource.KindProxyConfig,
			},
			only:       true,
			namespaces: proxyNamespaces(cfg),
			conditions: []Condition{notLeaving()},
		},
		{
			name: "gateway",
			why: "What stands before the pods of a guarded gateway or is among them, in its namespace only.\n" +
				"Taking away what leads to a listener matters as much as adding what leads elsewhere.",
			policy:    closed,
			selection: "The namespaces of guardedGateways.",
			kinds: []resource.Kind{
				resource.KindService, resource.KindServiceEntry, resource.KindWorkloadEntry,
				resource.KindDaemonSet, resource.KindDeployment, resource.KindStatefulSet,
			},
			only:       true,
			namespaces: gateways,
			conditions: []Condition{meantOtherwise(), notCleaningUp()},
		},
		{
			name: "names",
			why: "What leads a host somewhere else: a route through the gateway may follow it past the login.\n" +
				"All are rare.",
			policy:     closed,
			selection:  elsewhereToo,
			kinds:      []resource.Kind{resource.KindService, resource.KindServiceEntry, resource.KindWorkloadEntry},
			without:    []policy.Operation{policy.Delete},
			namespaces: elsewhere,
			conditions: []Condition{leadsElsewhere(), meantOtherwise()},
		},
		{
			name: "sidecars",
			why: "Pod templates that may let traffic past the sidecar, and those whose labels change, by which\n" +
				"policies select them.",
			policy:     opened + " Any rollout that changes a label of its pods\ncomes here, and none is to wait.",
			selection:  elsewhereToo,
			kinds:      []resource.Kind{resource.KindDeployment, resource.KindDaemonSet, resource.KindStatefulSet},
			open:       true,
			namespaces: elsewhere,
			conditions: []Condition{noGatewayWorkload(cfg), bypassedOrRelabelled()},
		},
		{
			name: "pods",
			why: "New pods that may let traffic past their sidecar or that come among those of a gateway,\n" +
				"whatever makes them, and the labels of running pods, by which policies select them. Everything\n" +
				"else that is written to a pod is written all the time, and never comes here.",
			policy:     opened + " Controllers make and relabel pods for reasons\nof their own; none is to wait, and least of all the gateway.",
			selection:  systemReason,
			kinds:      []resource.Kind{resource.KindPod},
			open:       true,
			namespaces: system,
			conditions: []Condition{relabelledOrNewAndBypassed(cfg)},
		},
		{
			name:       "namespaces",
			why:        "The labels of namespaces, by which their pods get sidecars and by which they are protected.",
			policy:     opened + " Any change of a namespace's labels comes\nhere, and none is to wait.",
			selection:  systemReason,
			kinds:      []resource.Kind{resource.KindNamespace},
			open:       true,
			namespaces: system,
			conditions: []Condition{relabelled()},
		},
	}
}

// Webhooks returns what the API server is to ask. It fails if a rule judges what no webhook would
// send.
func Webhooks(o Options) (Set, error) {
	if o.Namespace == "" {
		o.Namespace = Name
	}
	families := o.families()
	if err := complete(families, o.Rules); err != nil {
		return Set{}, err
	}
	out := Set{namespace: o.Namespace}
	for _, f := range families {
		out.Validating = append(out.Validating, f.webhook(operations(o.Rules, f.kinds, f.without)))
	}
	completed := map[resource.Kind][]policy.Operation{}
	for _, kind := range workloadKinds() {
		completed[kind] = []policy.Operation{policy.Create, policy.Update}
	}
	workloads := family{
		name: "workloads",
		why: "Completes the pod template of a gateway. Istio's injector does most of the same when the pod\n" +
			"is made.",
		policy: "Ignore: while no replica answers, such a workload is stored as it was written. With Fail it\n" +
			"is refused then, though nothing that it lacks would harm anybody else.",
		selection:  "Who may write here has the cluster, or gatewarden, anyway; and neither may wait for gatewarden.",
		kinds:      workloadKinds(),
		open:       true,
		namespaces: []string{systemNamespace, o.Namespace},
		conditions: []Condition{gatewayWorkload(o.Config)},
	}.webhook(completed)
	workloads.path = webhook.MutatePath
	out.Mutating = []Webhook{workloads}
	return out, nil
}

// operations returns what rules judge of kinds, in the order CREATE, UPDATE, DELETE.
func operations(rules []*policy.Rule, kinds []resource.Kind, without []policy.Operation) map[resource.Kind][]policy.Operation {
	out := map[resource.Kind][]policy.Operation{}
	for _, kind := range kinds {
		for _, op := range []policy.Operation{policy.Create, policy.Update, policy.Delete} {
			judged := func(r *policy.Rule) bool { return r.Judges(kind, op) }
			if !slices.Contains(without, op) && slices.ContainsFunc(rules, judged) {
				out[kind] = append(out[kind], op)
			}
		}
	}
	return out
}

// complete holds that everything that a rule judges is sent by a family.
func complete(families []family, rules []*policy.Rule) error {
	for _, r := range rules {
		for _, kind := range r.Kinds {
			for _, op := range r.Operations {
				if !slices.ContainsFunc(families, func(f family) bool {
					return slices.Contains(f.kinds, kind) && !slices.Contains(f.without, op)
				}) {
					return fmt.Errorf("registration: rule %s judges %s of %s, which no webhook sends: add the kind to a family", r.ID, op, kind)
				}
			}
		}
	}
	return nil
}

// webhook makes the webhook of a row, for the operations of each of its kinds.
func (f family) webhook(operations map[resource.Kind][]policy.Operation) Webhook {
	w := Webhook{
		Name: f.name + "." + config.Domain, Why: f.why, Policy: f.policy, Selection: f.selection, Conditions: f.conditions,
		path: webhook.ValidatePath, failurePolicy: admissionregistrationv1.Fail, operator: metav1.LabelSelectorOpNotIn, namespaces: f.namespaces,
	}
	if f.open {
		w.failurePolicy = admissionregistrationv1.Ignore
	}
	if f.only {
		w.operator = metav1.LabelSelectorOpIn
	}
	// Kinds that differ in nothing else share a rule.
	for _, kind := range f.kinds {
		if len(operations[kind]) == 0 {
			continue
		}
		next := rule(resource.ByKind(kind), operations[kind])
		i := slices.IndexFunc(w.rules, func(r admissionregistrationv1.RuleWithOperations) bool {
			return slices.Equal(r.APIGroups, next.APIGroups) && slices.Equal(r.APIVersions, next.APIVersions) &&
				slices.Equal(r.Operations, next.Operations) && *r.Scope == *next.Scope
		})
		if i < 0 {
			w.rules = append(w.rules, next)
			continue
		}
		w.rules[i].Resources = append(w.rules[i].Resources, next.Resources...)
		slices.Sort(w.rules[i].Resources)
	}
	return w
}

func rule(api resource.API, ops []policy.Operation) admissionregistrationv1.RuleWithOperations {
	scope := admissionregistrationv1.ClusterScope
	if api.Namespaced {
		scope = admissionregistrationv1.NamespacedScope
	}
	r := admissionregistrationv1.RuleWithOperations{Rule: admissionregistrationv1.Rule{
		APIGroups: []string{api.Group}, APIVersions: api.Versions, Resources: []string{api.Resource}, Scope: &scope,
	}}
	for _, op := range ops {
		r.Operations = append(r.Operations, admissionregistrationv1.OperationType(op))
	}
	return r
}

// client is where the API server finds gatewarden.
func (w *Webhook) client(namespace string) admissionregistrationv1.WebhookClientConfig {
	return admissionregistrationv1.WebhookClientConfig{
		Service: &admissionregistrationv1.ServiceReference{Name: Name, Namespace: namespace, Path: &w.path},
	}
}

func (w *Webhook) selector() *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
		{Key: corev1.LabelMetadataName, Operator: w.operator, Values: w.namespaces},
	}}
}

func (w *Webhook) conditions() []admissionregistrationv1.MatchCondition {
	var out []admissionregistrationv1.MatchCondition
	for _, c := range w.Conditions {
		out = append(out, admissionregistrationv1.MatchCondition{Name: c.Name, Expression: c.Expression})
	}
	return out
}

func metadata() metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: Name, Annotations: map[string]string{enforcerAnnotation: "true"}}
}

// ValidatingConfiguration is the object of Set.Validating.
func (s Set) ValidatingConfiguration() *admissionregistrationv1.ValidatingWebhookConfiguration {
	out := &admissionregistrationv1.ValidatingWebhookConfiguration{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionregistrationv1.SchemeGroupVersion.String(), Kind: "ValidatingWebhookConfiguration"},
		ObjectMeta: metadata(),
	}
	for _, w := range s.Validating {
		out.Webhooks = append(out.Webhooks, admissionregistrationv1.ValidatingWebhook{
			Name: w.Name, AdmissionReviewVersions: []string{"v1"}, ClientConfig: w.client(s.namespace),
			FailurePolicy: &w.failurePolicy, MatchPolicy: ptr.To(admissionregistrationv1.Equivalent),
			SideEffects: ptr.To(sideEffects), TimeoutSeconds: ptr.To[int32](timeout),
			NamespaceSelector: w.selector(), MatchConditions: w.conditions(), Rules: w.rules,
		})
	}
	return out
}

// MutatingConfiguration is the object of Set.Mutating.
func (s Set) MutatingConfiguration() *admissionregistrationv1.MutatingWebhookConfiguration {
	out := &admissionregistrationv1.MutatingWebhookConfiguration{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionregistrationv1.SchemeGroupVersion.String(), Kind: "MutatingWebhookConfiguration"},
		ObjectMeta: metadata(),
	}
	for _, w := range s.Mutating {
		out.Webhooks = append(out.Webhooks, admissionregistrationv1.MutatingWebhook{
			Name: w.Name, AdmissionReviewVersions: []string{"v1"}, ClientConfig: w.client(s.namespace),
			FailurePolicy: &w.failurePolicy, MatchPolicy: ptr.To(admissionregistrationv1.Equivalent),
			// Another webhook may replace the pod's security context after this one. A patch that is applied
			// twice equals one that is applied once.
			ReinvocationPolicy: ptr.To(admissionregistrationv1.IfNeededReinvocationPolicy),
			// A patch is no side effect.
			SideEffects: ptr.To(admissionregistrationv1.SideEffectClassNone), TimeoutSeconds: ptr.To[int32](timeout),
			NamespaceSelector: w.selector(), MatchConditions: w.conditions(), Rules: w.rules,
		})
	}
	return out
}
