package rules

import (
	_ "embed"
	"fmt"
	"slices"

	"github.com/gatewarden/gatewarden/pkg/gatewaypod"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd704_mesh_injection.md
var meshInjectionPage string

// meshInjection finds protected namespaces whose pods Istio does not inject, and a mesh that
// injects everybody's.
func meshInjection() *policy.Rule {
	return &policy.Rule{
		ID: "GWD704", Name: "mesh-injection", Page: meshInjectionPage, Effect: policy.Warn,
		Summary: "Istio does not inject the pods of a protected namespace, or injects those of every namespace.",
		Reads:   slices.Concat(controlPlaneReads, []resource.Kind{resource.KindPeerAuthentication}),
		Standing: func(w *policy.World, report func(resource.Key, policy.Fault)) {
			for _, name := range w.ProtectedNamespaces() {
				if ns := w.Namespace(name); ns != nil && !ns.Terminating && !gatewaypod.Ambient(ns.Labels, nil) {
					uninjected(w, ns, report)
				}
			}
			if slices.ContainsFunc(w.Guards, func(g *policy.Guard) bool { return g.Requires.InjectionOptIn }) {
				injectsAll(w, report)
			}
		},
	}
}

// uninjected reports a namespace whose pods are not injected unless each of them asks for it.
func uninjected(w *policy.World, ns *resource.Namespace, report func(resource.Key, policy.Fault)) {
	const why = "its pods have no sidecar, and so no mutual TLS: what trusts identities of the mesh refuses them, or they are open to everybody"
	f := policy.Fault{Effect: policy.Warn, Field: "metadata.labels", Subject: "injection"}
	switch o := w.Injectors.Obstacle(ns.Name, ns, nil); {
	case o != nil:
		f.Message = fmt.Sprintf("%s: %s. %s.", o.Reason, why, o.Fix)
	case w.Injectors.Inject(ns, nil):
		return
	case slices.ContainsFunc(w.Guards, func(g *policy.Guard) bool { return g.Namespace == ns.Name }) && asksInPods(w, ns.Name):
		return // a gateway's own namespace needs no label, if its pods have one
	default:
		f.Message = fmt.Sprintf("it has neither %s=enabled nor %s: %s. Add the label, and restart the pods.", gatewaypod.NamespaceLabel, gatewaypod.RevisionLabel, why)
	}
	report(ns.Key(), certain(w, f))
}

// asksInPods reports whether the gateways of a namespace ask for injection themselves, as far
// as it is known.
func asksInPods(w *policy.World, namespace string) bool {
	for _, g := range w.Guards {
		for _, o := range proxies(w, g, namespace) {
			if ns := w.Namespace(namespace); !w.Injectors.Inject(ns, o.Pod.Labels) {
				return false
			}
		}
	}
	return true
}

// injectsAll reports webhooks that take pods that nobody asked for.
func injectsAll(w *policy.World, report func(resource.Key, policy.Fault)) {
	nobody := &resource.Namespace{Meta: resource.Meta{Name: "anybody"}}
	const message = "Istio injects the pods of every namespace that does not refuse it, also those that are not made for it: jobs then never end, and webhooks are not reached. " +
		"Set sidecarInjectorWebhook.enableNamespacesByDefault of the chart istiod to false."
	known := false
	w.Snapshot.Each(resource.KindInjectors, "", func(o resource.Object) bool {
		in := gatewaypod.Injectors(o.(*resource.Injectors).Webhooks)
		known = known || len(in) > 0
		if len(in) > 0 && in.Inject(nobody, nil) {
			report(o.Key(), policy.Fault{Effect: policy.Warn, Field: "webhooks", Subject: "default", Message: message})
		}
		return true
	})
	if known {
		return
	}
	for _, p := range w.ControlPlanes() {
		if p.Injection != nil && p.Injection.Injection != nil && p.Injection.Injection.EnableNamespacesByDefault {
			report(p.Injection.Key(), policy.Fault{
				Effect: policy.Warn, Field: "data.values.sidecarInjectorWebhook.enableNamespacesByDefault", Subject: "default", Message: message,
			})
		}
	}
}
