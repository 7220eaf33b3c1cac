package rules

import (
	_ "embed"
	"fmt"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd707_gateway_elsewhere.md
var gatewayElsewherePage string

// gatewayElsewhere finds guarded gateways whose pods are in another namespace than the owner's
// objects, or are not there at all.
func gatewayElsewhere() *policy.Rule {
	return &policy.Rule{
		ID: "GWD707", Name: "gateway-elsewhere", Page: gatewayElsewherePage, Effect: policy.Warn,
		Summary: "The pods of the guarded gateway are not in the namespace of the owner's Gateways.",
		Reads:   gatewayReads,
		Standing: func(w *policy.World, report func(resource.Key, policy.Fault)) {
			for _, g := range w.Guards {
				if len(w.Workloads(g, g.Namespace)) > 0 {
					continue
				}
				if len(g.Live()) == 0 {
					report(gatewayKey(g), unchecked("pods", "no Gateway of %s exists, so it is not known which pods are to serve it.", g.Name))
					continue
				}
				others := proxies(w, g, "")
				if len(others) == 0 {
					report(gatewayKey(g), certain(w, policy.Fault{
						Effect: policy.Warn, Field: "spec.selector", Subject: "pods",
						Message: fmt.Sprintf("no workload and no pod in %s has the labels that it selects: nothing serves %s. "+
							"Deploy the gateway there, or correct its labels or this selector.", g.Namespace, g.Name),
					}))
					continue
				}
				report(others[0].Key(), certain(w, policy.Fault{
					Effect: policy.Warn, Field: "metadata.namespace", Subject: g.Name,
					Message: fmt.Sprintf("these pods serve %s, but its ServiceEntry, EnvoyFilters and policies are in %s and count for pods of that namespace only: "+
						"neither its login nor its certificate is on these. Move the gateway there, or set the owner's namespace to %s.", g.Name, g.Namespace, others[0].Namespace),
					Related: []resource.Key{gatewayKey(g)},
				}))
			}
		},
	}
}
