package rules

import (
	"slices"

	"github.com/gatewarden/gatewarden/pkg/gatewaypod"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// gatewayWorkloadKinds are the kinds that can be a gateway workload: see gatewaypod.Handles.
var gatewayWorkloadKinds = []resource.Kind{resource.KindDeployment, resource.KindDaemonSet}

// forGatewayWorkload makes a rule's Object out of a function over gateway workloads.
func forGatewayWorkload(f func(w *policy.World, o *resource.Workload, report func(policy.Fault))) func(*policy.World, resource.Object, func(policy.Fault)) {
	return func(w *policy.World, o resource.Object, report func(policy.Fault)) {
		wl, ok := o.(*resource.Workload)
		if ok && slices.Contains(gatewayWorkloadKinds, wl.Kind) &&
			gatewaypod.IsGateway(&wl.Pod, gatewaypod.Selected(w.Guards, wl)) {
			f(w, wl, report)
		}
	}
}
