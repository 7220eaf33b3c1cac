package rules

import (
	"fmt"
	"maps"
	"slices"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// sidecarKinds are the kinds whose pod templates Istio injects sidecars by.
var sidecarKinds = []resource.Kind{resource.KindDeployment, resource.KindDaemonSet, resource.KindStatefulSet}

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
