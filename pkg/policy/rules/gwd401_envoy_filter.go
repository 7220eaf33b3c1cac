package rules

import (
	_ "embed"
	"fmt"
	"slices"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd401_envoy_filter.md
var envoyFilterPage string

// envoyFilter finds EnvoyFilters that patch what the proxies of a guarded gateway make of the
// owner's servers. Which ones apply is decided by getMatchedEnvoyFilters in istio.io/istio
// pilot/pkg/model/push_context.go: those of the pods' namespace and of the root namespace.
func envoyFilter() *policy.Rule {
	return &policy.Rule{
		ID: "GWD401", Name: "envoy-filter", Page: envoyFilterPage, Effect: policy.Deny,
		Summary: "An EnvoyFilter patches the proxies of a guarded gateway where they serve the owner.",
		Kinds:   []resource.Kind{resource.KindEnvoyFilter}, Operations: createUpdate,
		Reads: slices.Concat(policyReads, []resource.Kind{resource.KindEnvoyFilter}),
		Eases: reachesNoFurther,
		Object: func(w *policy.World, o resource.Object, report func(policy.Fault)) {
			ef, ok := o.(*resource.EnvoyFilter)
			if !ok {
				return
			}
			for i := range ef.Patches {
				patch := &ef.Patches[i]
				forGuardedServers(w, ef, &ef.Target, report,
					func(g *policy.Guard, p *policy.PodSet, s *policy.Server) (string, bool) {
						return patchTime(patch), w.Patched(g, p, s, patch)
					},
					func(_ *policy.Guard, servers, when string) policy.Fault {
						return policy.Fault{
							Effect: policy.Deny,
							Field:  fmt.Sprintf("spec.configPatches[%d]", i),
							Message: fmt.Sprintf("%s of %s changes %s what the proxies make of %s, its login included, or they refuse the result. "+
								"%s, or match only a port, a Gateway, a virtual host or an SNI of your own.",
								patch.Operation, patch.ApplyTo, when, servers, elsewhere),
							Subject: fmt.Sprintf("%s %s %+v", patch.ApplyTo, patch.Operation, patch.Value),
						}
					})
			}
		},
	}
}

// patchTime tells when a patch comes into force. A proxy that runs keeps its bootstrap, and its
// listener before another one with the same address.
func patchTime(p *resource.EnvoyPatch) string {
	if p.ApplyTo == "BOOTSTRAP" || p.ApplyTo == "LISTENER" && p.Operation != "REMOVE" {
		return "at once, or as soon as they restart,"
	}
	return "at once"
}
