package rules

import (
	_ "embed"
	"fmt"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd406_telemetry.md
var telemetryPage string

// telemetry finds Telemetries whose expressions make the proxies of a guarded gateway refuse
// their listeners. What else a Telemetry says, a provider that does not exist included, makes
// no difference to whether requests get through.
func telemetry() *policy.Rule {
	return &policy.Rule{
		ID: "GWD406", Name: "telemetry", Page: telemetryPage, Effect: policy.Deny,
		Summary: "A Telemetry has an expression that makes the proxies of a guarded gateway refuse their listeners.",
		Kinds:   []resource.Kind{resource.KindTelemetry}, Operations: createUpdate, Reads: policyReads, Eases: reachesNoFurther,
		Object: func(w *policy.World, o resource.Object, report func(policy.Fault)) {
			t, ok := o.(*resource.Telemetry)
			if !ok {
				return
			}
			for i := range t.Expressions {
				e := &t.Expressions[i]
				why := policy.Refused(e)
				if why == "" {
					continue
				}
				forGuardedServers(w, t, &t.Target, report,
					func(_ *policy.Guard, p *policy.PodSet, _ *policy.Server) (bool, bool) {
						return true, p.TelemetryFor(t, w.Config.Mesh.RootNamespace)
					},
					func(_ *policy.Guard, servers string, _ bool) policy.Fault {
						return policy.Fault{
							Effect: policy.Deny, Field: e.Field, Subject: fmt.Sprint(e.Filter, why),
							Message: fmt.Sprintf("it %s: the proxies refuse their listeners. Those that run are stuck with what they have, and those that start "+
								"do not listen on %s. Use the attributes and functions that Envoy has.", why, servers),
						}
					})
			}
		},
	}
}
