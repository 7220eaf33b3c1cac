package rules

import (
	_ "embed"
	"fmt"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd407_proxy_config.md
var proxyConfigPage string

// proxyConfig finds ProxyConfigs that make pods of a guarded gateway say that they can not bind
// its ports. The injection writes environmentVariables into each new pod
// (gateway-injection-template.yaml in the chart istio-discovery).
func proxyConfig() *policy.Rule {
	return &policy.Rule{
		ID: "GWD407", Name: "proxy-config", Page: proxyConfigPage, Effect: policy.Deny,
		Summary: "A ProxyConfig takes the listeners of a guarded gateway away from its pods.",
		Kinds:   []resource.Kind{resource.KindProxyConfig}, Operations: createUpdate, Reads: policyReads, Eases: reachesNoFurther,
		Object: func(w *policy.World, o resource.Object, report func(policy.Fault)) {
			c, ok := o.(*resource.ProxyConfig)
			if !ok {
				return
			}
			forGuardedServers(w, c, &resource.Target{Selector: c.Selector}, report,
				func(_ *policy.Guard, p *policy.PodSet, s *policy.Server) (bool, bool) {
					return true, p.LosesPort(s, c, w.Config.Mesh.RootNamespace)
				},
				func(_ *policy.Guard, servers string, _ bool) policy.Fault {
					return policy.Fault{
						Effect: policy.Deny, Field: "spec.environmentVariables[ISTIO_META_UNPRIVILEGED_POD]",
						Message: fmt.Sprintf("pods that start from now on tell Istio that they can not bind ports below 1024, and it gives them no listener for %s. "+
							"Remove the variable, or select other pods.", servers),
					}
				})
		},
	}
}
