package rules

import (
	_ "embed"
	"fmt"
	"slices"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd405_sidecar_enforcement.md
var sidecarEnforcementPage string

// sidecarEnforcement finds what bends the sidecars of protected workloads so that they no longer
// enforce what their policies say.
//
// Whoever may write EnvoyFilters in a profile's namespace need not be allowed to write policies
// there: deployKF's editors are not. A mode is therefore kept as if a PeerAuthentication were
// to take it away. Who gets to the profile's own workloads is its own affair.
func sidecarEnforcement() *policy.Rule {
	return &policy.Rule{
		ID: "GWD405", Name: "sidecar-enforcement", Page: sidecarEnforcementPage, Effect: policy.Deny,
		Summary: "An EnvoyFilter, WasmPlugin or TrafficExtension keeps protected sidecars from enforcing mutual TLS or authorization.",
		Kinds:   []resource.Kind{resource.KindEnvoyFilter, resource.KindWasmPlugin, resource.KindTrafficExtension}, Operations: createUpdate,
		Reads: slices.Concat(policyReads, []resource.Kind{
			resource.KindPeerAuthentication, resource.KindAuthorizationPolicy, resource.KindRequestAuthentication,
		}),
		Eases: reachesNoFurther,
		Object: func(w *policy.World, o resource.Object, report func(policy.Fault)) {
			if slices.ContainsFunc(w.Guards, func(g *policy.Guard) bool { return g.IsOwners(o.Key()) }) {
				return
			}
			enforced := map[string]policy.Enforcement{} // by namespace: the same for all patches
			switch o := o.(type) {
			case *resource.EnvoyFilter:
				for i := range o.Patches {
					p := &o.Patches[i]
					if loss := policy.Weakens(p); loss != nil {
						reportLoss(w, o, &o.Target, p.Namespace, enforced, loss, policy.Fault{
							Field:   fmt.Sprintf("spec.configPatches[%d]", i),
							Subject: fmt.Sprintf("%s %s %s %+v", p.ApplyTo, p.Operation, loss.Reason, p.Value),
						}, report)
					}
				}
			case *resource.ProxyExtension:
				if loss := policy.Precedes(o); loss != nil {
					reportLoss(w, o, &o.Target, "", enforced, loss, policy.Fault{Field: "spec.phase", Subject: o.Phase}, report)
				}
			}
		},
	}
}

// reportLoss reports what an object takes away from the protected workloads that it is for; only
// those of one namespace count, if one is named.
func reportLoss(
	w *policy.World, o resource.Object, t *resource.Target, only string,
	enforced map[string]policy.Enforcement, loss *policy.Loss, f policy.Fault, report func(policy.Fault),
) {
	if len(t.Refs) > 0 { // sidecars are selected by labels
		return
	}
	root := o.Key().Namespace == w.Config.Mesh.RootNamespace
	namespaces := []string{o.Key().Namespace}
	if root {
		namespaces = w.ProtectedNamespaces()
	}
	var lost, own []string
	for _, ns := range namespaces {
		if !w.Protected(ns) || only != "" && only != ns {
			continue
		}
		e, known := enforced[ns]
		if !known {
			e = w.EnforcementOf(ns, t.Selector)
			enforced[ns] = e
		}
		switch {
		case !loss.Access && !e.Strict || loss.Access && !e.Access && (loss.Inserted || root):
			// there is nothing to lose
		case loss.Access && (!e.Access || !root && !slices.Contains(w.Config.ProtectedNamespaces.Names, ns)):
			own = append(own, ns)
		default:
			lost = append(lost, ns)
		}
	}
	tell := func(effect policy.Effect, namespaces []string, format string) {
		if len(namespaces) == 0 {
			return
		}
		g := f
		r := reach{fmt.Sprint(loss.Access, f.Subject), namespaces}
		g.Effect, g.Data, g.Subject = effect, r, fmt.Sprint(effect, r)
		g.Message = fmt.Sprintf(format, loss.Reason, someOf(namespaces))
		report(g)
	}
	what := "STRICT is not enforced by workloads of the protected %s from now on, and plain text or another TLS gets through. " +
		"Leave the filter chains of inbound traffic alone."
	if loss.Access {
		what = "from now on it is no longer their policies alone that say who gets to workloads of the protected %s. " +
			"Put filters in before envoy.filters.http.router, and leave those that decide alone."
	}
	tell(policy.Deny, lost, "%s: "+what)
	tell(policy.Warn, own, "%s: policies of %s no longer decide alone. Put filters in before the router, if that is not meant.")
}

// someOf writes namespaces for people, and no more of them than anybody reads.
func someOf(namespaces []string) string {
	const most = 3
	if len(namespaces) == 1 {
		return "namespace " + namespaces[0]
	}
	if more := len(namespaces) - most; more > 0 {
		return "namespaces " + and(append(slices.Clone(namespaces[:most]), fmt.Sprintf("%d more", more)))
	}
	return "namespaces " + and(namespaces)
}
