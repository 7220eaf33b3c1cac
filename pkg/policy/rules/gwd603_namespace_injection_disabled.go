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

// namespaceInjectionDisabled finds gateway workloads whose pods wait for an injection that
// their namespace rules out. It warns only: a namespace's label can be changed without
// touching the workload, before its pods are created or after.
func namespaceInjectionDisabled() *policy.Rule {
	return &policy.Rule{
		ID: "GWD603", Name: "namespace-injection-disabled", Page: namespaceInjectionDisabledPage, Effect: policy.Warn,
		Summary: "A gateway workload has the proxy image auto in a namespace that Istio does not inject.",
		Kinds:   gatewayWorkloadKinds, Operations: createUpdate,
		Reads: slices.Concat(gatewayReads, []resource.Kind{resource.KindNamespace}),
		Object: forGatewayWorkload(func(w *policy.World, o *resource.Workload, report func(policy.Fault)) {
			if !gatewaypod.AwaitsInjection(&o.Pod) {
				return
			}
			key := resource.Key{Kind: resource.KindNamespace, Name: o.Namespace}
			ns, _ := w.Snapshot.Get(key).(*resource.Namespace)
			r := gatewaypod.NamespaceObstacle(o.Namespace, ns)
			if r == nil {
				return
			}
			f := policy.Fault{
				Effect: policy.Warn, Field: r.Field, Subject: r.Subject,
				Message: fmt.Sprintf("the pods can not start without injection, but %s. %s.", r.Reason, r.Fix),
			}
			if ns != nil {
				f.Related = []resource.Key{key}
			}
			report(f)
		}),
	}
}
