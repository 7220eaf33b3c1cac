package rules

import (
	_ "embed"
	"fmt"
	"slices"

	"github.com/gatewarden/gatewarden/pkg/gatewaypod"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd603_namespace_injection_disabled.md
var namespaceInjectionDisabledPage string

// namespaceInjectionDisabled finds gateway workloads whose pods wait for an injection for
// which no webhook is called there: their namespace rules it out, or they ask for a revision of
// Istio that is not installed. It warns only: a namespace's label can be changed without
// touching the workload, before its pods are created or after.
func namespaceInjectionDisabled() *policy.Rule {
	return &policy.Rule{
		ID: "GWD603", Name: "namespace-injection-disabled", Page: namespaceInjectionDisabledPage, Effect: policy.Warn,
		Summary: "A gateway workload has the proxy image auto, and Istio does not inject it there.",
		Kinds:   gatewayWorkloadKinds, Operations: createUpdate,
		Reads: slices.Concat(gatewayReads, []resource.Kind{resource.KindNamespace, resource.KindInjectors}),
		Object: forGatewayWorkload(func(w *policy.World, o *resource.Workload, report func(policy.Fault)) {
			if !gatewaypod.AwaitsInjection(&o.Pod) {
				return
			}
			ns := w.Namespace(o.Namespace)
			r := w.Injectors.Obstacle(o.Namespace, ns, o.Pod.Labels)
			if r == nil {
				return
			}
			f := policy.Fault{
				Effect: policy.Warn, Field: r.Field, Subject: r.Subject,
				Message: fmt.Sprintf("the pods can not start without injection, but %s. %s.", r.Reason, r.Fix),
			}
			if ns != nil {
				f.Related = []resource.Key{ns.Key()}
			}
			report(f)
		}),
	}
}
