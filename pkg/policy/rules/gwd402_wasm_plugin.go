package rules

import (
	_ "embed"
	"fmt"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd402_wasm_plugin.md
var wasmPluginPage string

// wasmPlugin finds WasmPlugins and TrafficExtensions that put a filter before the owner's
// servers (MatchListener in istio.io/istio pilot/pkg/model/extensions.go).
func wasmPlugin() *policy.Rule {
	return &policy.Rule{
		ID: "GWD402", Name: "wasm-plugin", Page: wasmPluginPage, Effect: policy.Deny,
		Summary: "A WasmPlugin or TrafficExtension puts a filter before a guarded server.",
		Kinds:   []resource.Kind{resource.KindWasmPlugin, resource.KindTrafficExtension}, Operations: createUpdate, Reads: policyReads, Eases: reachesNoFurther,
		Object: func(w *policy.World, o resource.Object, report func(policy.Fault)) {
			e, ok := o.(*resource.ProxyExtension)
			if !ok {
				return
			}
			field := "spec.selector"
			if len(e.Matches) > 0 {
				field = "spec.match"
			}
			forGuardedServers(w, e, &e.Target, report,
				func(_ *policy.Guard, _ *policy.PodSet, s *policy.Server) (bool, bool) { return true, s.Filters(e) },
				func(_ *policy.Guard, servers string, _ bool) policy.Fault {
					return policy.Fault{
						Effect: policy.Deny, Field: field,
						Message: fmt.Sprintf("its code sees at once and can change or refuse all that comes to %s, and if it can not be loaded nothing gets through. "+
							"%s, or give spec.match the ports of your own servers.", servers, elsewhere),
					}
				})
		},
	}
}
