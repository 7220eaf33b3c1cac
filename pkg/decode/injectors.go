package decode

import (
	"slices"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

// injectorName is how the name of each webhook ends by which Istio injects pods, whatever
// revision or tag it is for (webhookName in istio.io/istio pilot/pkg/bootstrap/sidecarinjector.go,
// by which istiod finds the webhooks that it writes its certificate to).
const injectorName = "sidecar-injector.istio.io"

// labelSelector is meta/v1 LabelSelector.
type labelSelector struct {
	MatchLabels      map[string]string `json:"matchLabels"`
	MatchExpressions []struct {
		Key      string   `json:"key"`
		Operator string   `json:"operator"`
		Values   []string `json:"values"`
	} `json:"matchExpressions"`
}

// convert converts a selector.
func (in *labelSelector) convert() resource.LabelSelector {
	out := resource.LabelSelector{Labels: in.MatchLabels}
	for _, e := range in.MatchExpressions {
		out.Expressions = append(out.Expressions,
			resource.LabelExpression{Key: e.Key, Operator: e.Operator, Values: e.Values})
	}
	return out
}

// injectorsDoc is what is read of admissionregistration.k8s.io MutatingWebhookConfiguration.
type injectorsDoc struct {
	header
	Webhooks []struct {
		Name              string        `json:"name"`
		NamespaceSelector labelSelector `json:"namespaceSelector"`
		ObjectSelector    labelSelector `json:"objectSelector"`
		Rules             []webhookRule `json:"rules"`
	} `json:"webhooks"`
}

// webhookRule is RuleWithOperations.
type webhookRule struct {
	Operations  []string `json:"operations"`
	APIGroups   []string `json:"apiGroups"`
	APIVersions []string `json:"apiVersions"`
	Resources   []string `json:"resources"`
	Scope       *string  `json:"scope"`
}

// injectors keeps the webhooks of Istio's that are called for new pods. What conditions they
// have besides their selectors is not read: such a webhook counts for all that it selects.
func injectors(_ resource.Kind, meta resource.Meta, in *injectorsDoc) (resource.Object, *Error) {
	out := &resource.Injectors{Meta: meta}
	for _, w := range in.Webhooks {
		if strings.HasSuffix(w.Name, injectorName) && slices.ContainsFunc(w.Rules, webhookRule.newPods) {
			out.Webhooks = append(out.Webhooks, resource.Injector{
				Namespaces: w.NamespaceSelector.convert(), Pods: w.ObjectSelector.convert(),
			})
		}
	}
	return out, nil
}

// newPods reports whether a webhook with the rule is called for new pods (Matcher in
// k8s.io/apiserver pkg/admission/plugin/webhook/predicates/rules).
func (r webhookRule) newPods() bool {
	return hasAny(r.Operations, "*", "CREATE") && hasAny(r.APIGroups, "*", "") && hasAny(r.APIVersions, "*", "v1") &&
		hasAny(r.Resources, "*", "*/*", "pods") && (r.Scope == nil || *r.Scope != "Cluster")
}

func hasAny(list []string, wanted ...string) bool {
	return slices.ContainsFunc(wanted, func(w string) bool { return slices.Contains(list, w) })
}
