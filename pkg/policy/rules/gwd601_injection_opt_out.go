package rules

import (
	_ "embed"
	"fmt"

	"github.com/gatewarden/gatewarden/pkg/gatewaypod"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd601_injection_opt_out.md
var injectionOptOutPage string

// injectionOptOut finds gateway workloads whose pods wait for an injection that their own
// template rules out. Label and annotation are read as injectRequired does in istio.io/istio
// pkg/kube/inject/inject.go, and as the selectors of its webhook do before that.
func injectionOptOut() *policy.Rule {
	return &policy.Rule{
		ID: "GWD601", Name: "injection-opt-out", Page: injectionOptOutPage, Effect: policy.Deny,
		Summary: "A gateway workload has the proxy image auto and refuses the injection that replaces it.",
		Kinds:   gatewayWorkloadKinds, Operations: createUpdate, Reads: gatewayReads,
		Object: forGatewayWorkload(func(_ *policy.World, o *resource.Workload, report func(policy.Fault)) {
			if !gatewaypod.AwaitsInjection(&o.Pod) {
				return
			}
			for _, r := range gatewaypod.Refusals(&o.Pod) {
				report(policy.Fault{
					Effect: policy.Deny,
					Field:  r.Field,
					Message: fmt.Sprintf("the pods can never start: only Istio's injection replaces the image %q, but %s. "+
						"%s, or use a real image.", gatewaypod.AutoImage, r.Reason, r.Fix),
					Subject: r.Subject,
				})
			}
			if v, unclear := gatewaypod.UnclearLabel(&o.Pod); unclear {
				report(policy.Fault{
					Effect: policy.Warn,
					Field:  gatewaypod.LabelField,
					Message: fmt.Sprintf("%q is neither \"true\" nor \"false\": the namespace and the release of Istio decide "+
						"whether the pods are injected and can start. Use \"true\".", gatewaypod.ShortValue(v)),
					Subject: "unclear " + v,
				})
			}
		}),
	}
}
