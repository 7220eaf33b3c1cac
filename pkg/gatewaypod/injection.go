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

// RevisionLabel asks, on a namespace or on a pod, for injection by one revision of Istio.
const RevisionLabel = "istio.io/rev"

// DataplaneLabel takes the pods of a namespace, or a pod, into Istio's ambient mode with
// "ambient", and a pod out of it with "none". BypassAnnotation, where it is "true", keeps the
// node's proxy away from what comes in to a pod.
const (
	DataplaneLabel   = "istio.io/dataplane-mode"
	BypassAnnotation = "ambient.istio.io/bypass-inbound-capture"
)

// Ambient reports whether the labels of a namespace and of a pod take the pod into ambient mode,
// where the proxy of its node enforces mutual TLS (the default ambientEnablementSelector in
// manifests/charts/istio-cni of istio.io/istio). A pod with a sidecar is left to that.
func Ambient(namespace, pod map[string]string) bool {
	mode := pod[DataplaneLabel]
	return mode == "ambient" || namespace[DataplaneLabel] == "ambient" && mode != "none"
}

// AmbientRefusals returns what keeps a pod out of the hands of its node's proxy, in a namespace
// that is in ambient mode.
func AmbientRefusals(t *resource.PodTemplate) []Obstacle {
	var out []Obstacle
	if t.Labels[DataplaneLabel] == "none" {
		out = append(out, Obstacle{
			Subject: DataplaneLabel, Field: "spec.template.metadata.labels[" + DataplaneLabel + "]",
			Reason: fmt.Sprintf("the label %s is %q", DataplaneLabel, "none"), Fix: "Remove it",
		})
	}
	if t.Annotations[BypassAnnotation] == "true" {
		out = append(out, Obstacle{
			Subject: BypassAnnotation, Field: "spec.template.metadata.annotations[" + BypassAnnotation + "]",
			Reason: fmt.Sprintf("the annotation %s is %q", BypassAnnotation, "true"), Fix: "Remove it",
		})
	}
	if t.HostNetwork {
		out = append(out, Obstacle{
			Subject: "hostNetwork", Field: "spec.template.spec.hostNetwork",
			Reason: "pods on the host's network are in no mesh", Fix: "Remove hostNetwork",
		})
	}
	return out
}

// Injectors are the webhooks by which Istio injects pods. None means that nothing is known of
// them: then they are taken for those of the chart istio-discovery
// (templates/mutatingwebhook.yaml), for every revision that anybody asks for.
type Injectors []resource.Injector

// Inject reports whether the API server calls one of the webhooks for pods with the labels in
// a namespace. The pods may still refuse: see Refusals.
func (in Injectors) Inject(ns *resource.Namespace, pod map[string]string) bool {
	if len(in) == 0 {
		return asking(ns.Labels, pod) != nil
	}
	return slices.ContainsFunc(in, func(i resource.Injector) bool {
		return ns.SelectedBy(&i.Namespaces) && i.Pods.Matches(pod)
	})
}

// Asked reports whether somebody means pods with the labels to be injected: their namespace
// or they themselves ask for it, or one of the webhooks takes them unasked.
func (in Injectors) Asked(ns *resource.Namespace, pod map[string]string) bool {
	return asking(ns.Labels, pod) != nil || in.Inject(ns, pod)
}

// Unserved returns what pods ask for that no webhook serves, or nil: a revision that is not
// installed under that name, or the label that only the default revision knows.
func (in Injectors) Unserved(ns *resource.Namespace, pod map[string]string) *Obstacle {
	label := asking(ns.Labels, pod)
	if label == nil || in.Inject(ns, pod) {
		return nil
	}
	of := ""
	if label.field == namespaceField {
		of = " of the namespace"
	}
	return &Obstacle{
		Subject: "unserved " + label.key + "=" + label.value, Field: label.field,
		Reason: fmt.Sprintf("no webhook of Istio's serves %s=%s%s", label.key, ShortValue(label.value), of),
		Fix:    "Use a revision or tag that is installed",
	}
}

// ShortValue keeps a label's value, which may have 63 characters, from crowding out a message: a
// warning that is too long is cut at its end, where the fix is.
func ShortValue(v string) string {
	const most = 16
	if len(v) > most {
		return v[:most] + "…"
	}
	return v
}

// namespaceField is the field of a workload that stands for the labels of its namespace.
const namespaceField = "metadata.namespace"

// Obstacle returns what in a namespace keeps pods with the labels from being injected even if
// they ask for it, or nil. The namespace is nil if it is not known.
//
// Each selector of Istio's webhooks for namespaceSelector wants NamespaceLabel to be either
// "enabled" or absent (mutatingwebhook.yaml in the chart istio-discovery), so every other
// value keeps the webhooks away, and "disabled" is just the customary one. No label of a pod
// can make up for it.
func (in Injectors) Obstacle(name string, ns *resource.Namespace, pod map[string]string) *Obstacle {
	if slices.Contains(ignoredNamespaces, name) {
		return &Obstacle{
			Subject: "ignored", Field: namespaceField,
			Reason: fmt.Sprintf("Istio injects no pods in the namespace %s", name),
			Fix:    "Use a namespace of the gateway's own",
		}
	}
	if ns == nil || in.Inject(ns, pod) {
		return nil
	}
	v, ok := ns.Labels[NamespaceLabel]
	if !ok || v == "enabled" {
		return in.Unserved(ns, pod)
	}
	return &Obstacle{
		Subject: NamespaceLabel, Field: namespaceField,
		Reason: fmt.Sprintf("the namespace %s has %s=%s, which no pod label overrides", name, NamespaceLabel, v),
		Fix:    "Remove it, or move the gateway",
	}
}

// request is a label by which pods ask for injection.
type request struct{ field, key, value string }

// asking returns the label that asks for the injection of pods which do not refuse it, or nil:
// NamespaceLabel decides where the namespace has it, then its RevisionLabel, and only then the
// pod's own labels, of which the revision goes first (mutatingwebhook.yaml in the chart
// istio-discovery).
func asking(namespace, pod map[string]string) *request {
	if v, ok := namespace[NamespaceLabel]; ok {
		if v != "enabled" {
			return nil
		}
		return &request{namespaceField, NamespaceLabel, v}
	}
	if v := namespace[RevisionLabel]; v != "" {
		return &request{namespaceField, RevisionLabel, v}
	}
	if v := pod[RevisionLabel]; v != "" {
		return &request{"spec.template.metadata.labels[" + RevisionLabel + "]", RevisionLabel, v}
	}
	if v := pod[InjectLabel]; v == "true" {
		return &request{LabelField, InjectLabel, v}
	}
	return nil
}
