package rules

import (
	_ "embed"
	"fmt"
	"slices"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/gatewaypod"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd505_namespace_injection_removed.md
var namespaceInjectionRemovedPage string

// namespaceInjectionRemoved finds changes to the labels of a protected namespace after which
// new pods get no sidecar, or after which the namespace is no longer protected.
func namespaceInjectionRemoved() *policy.Rule {
	return &policy.Rule{
		ID: "GWD505", Name: "namespace-injection-removed", Page: namespaceInjectionRemovedPage, Effect: policy.Deny,
		Summary: "A protected namespace loses the label by which its pods get sidecars, or by which it is protected.",
		Kinds:   []resource.Kind{resource.KindNamespace}, Operations: []policy.Operation{policy.Update},
		Reads: sidecarReads,
		Transition: func(before, _ *policy.World, c policy.Change, report func(policy.Fault)) {
			older, ok := c.Old.(*resource.Namespace)
			newer, and := c.New.(*resource.Namespace)
			if !ok || !and || older.Terminating || newer.Terminating || !protects(before.Config, older) {
				return
			}
			judgeInjectionRemoved(before, older, newer, report)
			if !protects(before.Config, newer) {
				judgeProtectionRemoved(before, older, report)
			}
		},
	}
}

// protects reports whether a namespace is protected with the labels that it has.
func protects(cfg *config.Configuration, ns *resource.Namespace) bool {
	p := &cfg.ProtectedNamespaces
	return slices.Contains(p.Names, ns.Name) || len(p.Labels) > 0 && resource.Selects(p.Labels, ns.Labels)
}

func judgeInjectionRemoved(w *policy.World, older, newer *resource.Namespace, report func(policy.Fault)) {
	loses := func(pod map[string]string) bool {
		return !w.Injectors.Inject(newer, pod) && (w.Injectors.Inject(older, pod) ||
			gatewaypod.Ambient(older.Labels, pod) && !gatewaypod.Ambient(newer.Labels, pod))
	}
	label, cause := gatewaypod.NamespaceLabel, ""
	keep := fmt.Sprintf("Keep %s=enabled, or set %s.", gatewaypod.NamespaceLabel, gatewaypod.RevisionLabel)
	if _, ok := newer.Labels[label]; !ok && (older.Labels[label] == "" || newer.Labels[gatewaypod.RevisionLabel] != "") {
		label = gatewaypod.RevisionLabel
	}
	if r := w.Injectors.Unserved(newer, nil); r != nil {
		cause = r.Reason + ": "
	} else if gatewaypod.Ambient(older.Labels, nil) && !w.Injectors.Inject(older, nil) {
		// The pods that run lose the proxy of their node at once, and not one by one.
		label, cause = gatewaypod.DataplaneLabel, "the namespace leaves Istio's ambient mode: "
		keep = fmt.Sprintf("Keep %s=ambient, or set %s=enabled.", gatewaypod.DataplaneLabel, gatewaypod.NamespaceLabel)
	}
	f := policy.Fault{Field: "metadata.labels[" + label + "]", Subject: "injection"}
	some, strict := loses(nil), (*resource.Workload)(nil)
	policies := w.Policies()
	w.EachWorkload(older.Name, func(o *resource.Workload) bool {
		gateway := w.RunsGateway(o)
		if !loses(o.Pod.Labels) || gateway && len(gatewaypod.Refusals(&o.Pod)) > 0 || !gateway && !w.HasSidecar(o) {
			return true
		}
		some = true
		switch {
		case gateway:
			if gatewaypod.AwaitsInjection(&o.Pod) && gatewaypod.Selected(w.Guards, o) {
				f.Effect, f.Related = policy.Deny, []resource.Key{o.Key()}
				f.Message = cause + fmt.Sprintf("new pods of the guarded gateway can not start, because Istio no longer injects namespace %s. "+
					"Keep %s=enabled.", older.Name, gatewaypod.NamespaceLabel)
				return false
			}
		case strict == nil && enforcesStrict(policies.Effective(older.Name, o.Pod.Labels)):
			strict = o
		}
		return true
	})
	switch {
	case f.Effect == policy.Deny || !some:
	case gatewaypod.Ambient(newer.Labels, nil):
		f.Effect = policy.Warn
		f.Message = cause + fmt.Sprintf("new pods get no sidecar, and %s=ambient enforces mutual TLS only where Istio's ambient mode is installed. "+
			"Check that it is.", gatewaypod.DataplaneLabel)
	case strict != nil:
		f.Effect, f.Related = policy.Deny, []resource.Key{strict.Key()}
		f.Message = cause + fmt.Sprintf("new pods of namespace %s get no sidecar, and %s then no longer enforces STRICT. The namespace is protected. %s",
			older.Name, strict.Key(), keep)
	default:
		f.Effect = policy.Warn
		f.Message = cause + fmt.Sprintf("new pods of this protected namespace get no sidecar. %s", keep)
	}
	if f.Message != "" {
		report(f)
	}
}

func judgeProtectionRemoved(w *policy.World, ns *resource.Namespace, report func(policy.Fault)) {
	f := policy.Fault{
		Effect: policy.Warn, Field: "metadata.labels", Subject: "protection",
		Message: fmt.Sprintf("without %s this namespace is no longer protected: its mutual TLS may then be taken away. Keep the label.",
			labels(w.Config.ProtectedNamespaces.Labels)),
	}
	policies := w.Policies()
	w.EachWorkload(ns.Name, func(o *resource.Workload) bool {
		if w.RunsGateway(o) || !enforcesStrict(policies.Effective(ns.Name, o.Pod.Labels)) {
			return true
		}
		f.Effect, f.Related = policy.Deny, []resource.Key{o.Key()}
		f.Message = fmt.Sprintf("without %s namespace %s is no longer protected, and nothing keeps %s STRICT. Keep the label; "+
			"to give the protection up, take it out of gatewarden's configuration.",
			labels(w.Config.ProtectedNamespaces.Labels), ns.Name, o.Key())
		return false
	})
	report(f)
}
