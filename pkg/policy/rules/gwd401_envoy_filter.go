package rules

import (
	_ "embed"
	"fmt"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd401_envoy_filter.md
var envoyFilterPage string

// envoyFilter finds EnvoyFilters that patch what the proxies of a guarded gateway make of the
// owner's servers. Which ones apply is decided by getMatchedEnvoyFilters in istio.io/istio
// pilot/pkg/model/push_context.go: those of the pods' namespace and of the root namespace, by
// workloadSelector; one with targetRefs applies to nothing there.
func envoyFilter() *policy.Rule {
	return &policy.Rule{
		ID: "GWD401", Name: "envoy-filter", Page: envoyFilterPage, Effect: policy.Deny,
		Summary: "An EnvoyFilter patches the proxies of a guarded gateway where they serve the owner.",
		Kinds:   []resource.Kind{resource.KindEnvoyFilter}, Operations: createUpdate, Reads: policyReads,
		Object: func(w *policy.World, o resource.Object, report func(policy.Fault)) {
			ef, ok := o.(*resource.EnvoyFilter)
			if !ok || len(ef.Refs) > 0 {
				return
			}
			forGuardedServers(w, ef, &ef.Target, func(g *policy.Guard, p *policy.PodSet, s *policy.Server) {
				for i := range ef.Patches {
					patch := &ef.Patches[i]
					if !w.Patched(s, patch, p) {
						continue
					}
					report(policy.Fault{
						Effect: policy.Deny,
						Field:  fmt.Sprintf("spec.configPatches[%d]", i),
						Message: fmt.Sprintf("%s of %s changes what the proxies make of %s, its login included, or they refuse the result. "+
							"%s, or match only a port, a Gateway or an SNI of your own.",
							patch.Operation, patch.ApplyTo, guardedServer(g, s), elsewhere),
						Related: []resource.Key{s.Gateway},
						Subject: fmt.Sprintf("%+v|%s|%d", *patch, s.Gateway, s.Index),
					})
				}
			})
		},
	}
}
