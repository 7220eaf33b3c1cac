package rules

import (
	_ "embed"
	"fmt"
	"slices"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd710_neighbour_cut_off.md
var neighbourCutOffPage string

// neighbourCutOff finds servers of tenants on ports that the ALLOW policies of the guarded pods
// do not open.
func neighbourCutOff() *policy.Rule {
	return &policy.Rule{
		ID: "GWD710", Name: "neighbour-cut-off", Page: neighbourCutOffPage, Effect: policy.Warn,
		Summary: "The ALLOW policies of the guarded pods deny every request for a Gateway's port.",
		Kinds:   []resource.Kind{resource.KindGateway},
		Reads:   slices.Concat(policyReads, []resource.Kind{resource.KindAuthorizationPolicy}),
		Object: forGateway(func(w *policy.World, e *policy.Encounter, report func(policy.Fault)) {
			policies := w.Allows(e.Pods)
			if len(policies) == 0 || slices.ContainsFunc(policies, func(a *resource.AuthorizationPolicy) bool {
				return slices.ContainsFunc(a.Rules, func(r resource.AuthorizationRule) bool { return policy.MayOpen(&r, &e.Server) })
			}) {
				return
			}
			report(certain(w, policy.Fault{
				Effect: policy.Warn, Field: serverField(e.Server.Index, "port.number"), Place: labels(e.Pods.Labels), Subject: listenerOf(e),
				Message: fmt.Sprintf("every request for port %s is denied on the pods of %s: %s opens other ports only. "+
					"Add an ALLOW policy for the port.", ports(&e.Server), e.Guard.Name, name(policies[0].Key())),
				Related: keys(policies),
			}))
		}),
	}
}
