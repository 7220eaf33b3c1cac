package rules

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// sidecarKinds are the kinds whose pod templates Istio injects sidecars by.
var sidecarKinds = []resource.Kind{resource.KindDeployment, resource.KindDaemonSet, resource.KindStatefulSet}

// injectedKinds are the kinds that carry pods: those, and pods themselves.
var injectedKinds = append([]resource.Kind{resource.KindPod}, sidecarKinds...)

// podField returns the path of a field of a pod template in the object that has it. A Pod is
// its own template.
func podField(wl *resource.Workload, field string) string {
	if wl.Kind == resource.KindPod {
		return strings.TrimPrefix(field, "spec.template.")
	}
	return field
}

// inherited reports whether a fault of a new pod is one that what makes such pods has too, or
// another pod like it: that was judged when it came, or was there before anybody judged. judge
// reports the faults of a workload.
func inherited(w *policy.World, pod *resource.Workload, f policy.Fault, judge func(*resource.Workload, func(policy.Fault))) bool {
	found := false
	w.EachWorkload(pod.Namespace, func(o *resource.Workload) bool {
		if o.Key() != pod.Key() && resource.Selects(o.Pod.Labels, pod.Pod.Labels) {
			judge(o, func(other policy.Fault) {
				found = found || other.Subject == f.Subject && other.Effect >= f.Effect
			})
		}
		return !found
	})
	return found
}

// sidecarReads are the kinds that tell which pods have a sidecar, and what it enforces.
var sidecarReads = append([]resource.Kind{resource.KindPeerAuthentication, resource.KindNamespace, resource.KindInjectors}, gatewayReads...)

// protectedWorkload returns the object as a workload of a protected namespace whose pods are
// those of an application and no gateway's.
func protectedWorkload(w *policy.World, o resource.Object) (*resource.Workload, bool) {
	wl, ok := o.(*resource.Workload)
	return wl, ok && w.Protected(wl.Namespace) && !w.RunsGateway(wl)
}

// lostStrict reports whether pods stop enforcing STRICT, as a whole or on a port, and what
// they enforce then.
func lostStrict(was, is policy.MTLS) (where string, mode resource.MTLSMode, lost bool) {
	if was.Mode == resource.ModeStrict && is.Mode != resource.ModeStrict {
		return "", is.Mode, true
	}
	ports := slices.Concat(slices.Collect(maps.Keys(was.Ports)), slices.Collect(maps.Keys(is.Ports)))
	slices.Sort(ports)
	for _, port := range ports {
		if was.At(port) == resource.ModeStrict && is.At(port) != resource.ModeStrict {
			return fmt.Sprintf(" on port %d", port), is.At(port), true
		}
	}
	return "", resource.ModeUnset, false
}

// enforcesStrict reports whether pods enforce STRICT at all, be it on one port.
func enforcesStrict(m policy.MTLS) bool {
	_, _, lost := lostStrict(m, policy.MTLS{Mode: resource.ModePermissive})
	return lost
}
