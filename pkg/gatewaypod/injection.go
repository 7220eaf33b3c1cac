package gatewaypod

import (
	"fmt"
	"slices"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

// Obstacle is a reason for which a pod is not injected.
type Obstacle struct {
	// Subject names the reason, for telling obstacles apart.
	Subject string
	// Field is the path of the field in a workload.
	Field string
	// Reason says why, as a clause that may follow "but".
	Reason string
	// Fix says what to do, as a sentence without its full stop.
	Fix string
}

// Refusals returns what in the pod template itself keeps its pods from being injected, in
// every release of Istio and whatever the namespace says:
//
//   - the label "false": no selector of Istio's webhook matches the pod
//     (manifests/charts/istio-control/istio-discovery/templates/mutatingwebhook.yaml);
//   - the annotation "false" without a label that overrides it, and the host's network, which
//     the webhook refuses itself (injectRequired in pkg/kube/inject/inject.go).
func Refusals(t *resource.PodTemplate) []Obstacle {
	var out []Obstacle
	if optsOut(t) {
		o := Obstacle{
			Subject: "annotation", Field: "spec.template.metadata.annotations[" + InjectAnnotation + "]",
			Reason: fmt.Sprintf("the annotation %s is %q", InjectAnnotation, "false"),
			Fix:    "Remove it",
		}
		if _, ok := t.Labels[InjectLabel]; ok {
			o = Obstacle{
				Subject: "label", Field: LabelField,
				Reason: fmt.Sprintf("the label %s is %q", InjectLabel, "false"),
				Fix:    fmt.Sprintf("Set it to %q", "true"),
			}
		}
		out = append(out, o)
	}
	if t.HostNetwork {
		out = append(out, Obstacle{
			Subject: "hostNetwork", Field: "spec.template.spec.hostNetwork",
			Reason: "pods on the host's network are never injected",
			Fix:    "Remove hostNetwork",
		})
	}
	return out
}

// The fields that gateway workloads are completed in.
const (
	LabelField       = "spec.template.metadata.labels[" + InjectLabel + "]"
	TemplatesField   = "spec.template.metadata.annotations[" + TemplatesAnnotation + "]"
	PortSysctlsField = "spec.template.spec.securityContext.sysctls"
)

// UnclearLabel returns the value of InjectLabel if it is neither "true" nor "false".
// Releases of Istio read such a value differently, and the webhook that serves namespaces
// without a label of their own matches "true" only.
func UnclearLabel(t *resource.PodTemplate) (value string, unclear bool) {
	value, ok := t.Labels[InjectLabel]
	return value, ok && value != "true" && value != "false"
}

// ignoredNamespaces are never injected (IgnoredNamespaces in istio.io/istio
// pkg/kube/inject/initializer.go).
var ignoredNamespaces = []string{"kube-system", "kube-public", "kube-node-lease", "local-path-storage"}

// NamespaceLabel opts a namespace in with "enabled" and out with any other value.
const NamespaceLabel = "istio-injection"

// NamespaceObstacle returns what keeps the pods of a namespace from being injected even if
// they ask for it, or nil. The namespace is nil if it is not known.
//
// Each selector of Istio's webhook for namespaceSelector wants NamespaceLabel to be either
// "enabled" or absent (mutatingwebhook.yaml in the chart istio-discovery), so every other
// value keeps the webhook away, and "disabled" is just the customary one. No label of a pod
// can make up for it.
func NamespaceObstacle(name string, ns *resource.Namespace) *Obstacle {
	if slices.Contains(ignoredNamespaces, name) {
		return &Obstacle{
			Subject: "ignored", Field: "metadata.namespace",
			Reason: fmt.Sprintf("Istio injects no pods in the namespace %s", name),
			Fix:    "Use a namespace of the gateway's own",
		}
	}
	if ns == nil {
		return nil
	}
	v, ok := ns.Labels[NamespaceLabel]
	if !ok || v == "enabled" {
		return nil
	}
	return &Obstacle{
		Subject: NamespaceLabel, Field: "metadata.namespace",
		Reason: fmt.Sprintf("the namespace %s has %s=%s, which no pod label overrides", name, NamespaceLabel, v),
		Fix:    "Remove it, or move the gateway",
	}
}

// RevisionLabel asks, on a namespace or on a pod, for injection by one revision of Istio.
const RevisionLabel = "istio.io/rev"

// Injects reports whether the selectors of Istio's webhook match pods that do not refuse
// injection, by their labels and those of their namespace: NamespaceLabel decides where the
// namespace has it, then its RevisionLabel, and only then the pod's own labels
// (mutatingwebhook.yaml in the chart istio-discovery). Whether the revision exists is not
// known.
func Injects(namespace, pod map[string]string) bool {
	if v, ok := namespace[NamespaceLabel]; ok {
		return v == "enabled"
	}
	if namespace[RevisionLabel] != "" {
		return true
	}
	return pod[InjectLabel] == "true" || pod[RevisionLabel] != ""
}
