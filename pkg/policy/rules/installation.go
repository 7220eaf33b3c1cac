package rules

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/gatewarden/gatewarden/pkg/gatewaypod"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// The rules of the 7xx family judge what an owner needs of the installation around him. They
// report what is known to be wrong, and note what they can not know.

// certain makes a fault that rests on something not being there a note where it may only not
// have been given.
func certain(w *policy.World, f policy.Fault) policy.Fault {
	if !w.Snapshot.Complete() {
		f.Effect = policy.Note
		f.Message = "as far as the given objects tell, " + f.Message
	}
	return f
}

// unchecked notes what could not be judged, and why.
func unchecked(subject, format string, args ...any) policy.Fault {
	return policy.Fault{Effect: policy.Note, Subject: "unchecked|" + subject, Message: "not checked: " + fmt.Sprintf(format, args...)}
}

// lacking tells why no object of a kind is known.
func lacking(w *policy.World, kind resource.Kind) string {
	return cmp.Or(w.Snapshot.Lacking(kind), "there is none")
}

// controlPlaneReads are the kinds that tell what policy.ControlPlane has.
var controlPlaneReads = slices.Concat(gatewayReads, []resource.Kind{resource.KindConfigMap, resource.KindNamespace, resource.KindInjectors})

// gatewayKey is the object to report on what is wrong with a guarded gateway as a whole: the
// first of the owner's Gateways that exist, or of those that are to.
func gatewayKey(g *policy.Guard) resource.Key {
	if live := g.Live(); len(live) > 0 {
		return live[0].Key()
	}
	return resource.Key{Kind: resource.KindGateway, Namespace: g.Namespace, Name: g.Gateways[0]}
}

// proxies returns the workloads and pods of a guarded gateway that are gateways of Istio.
func proxies(w *policy.World, g *policy.Guard, namespace string) []*resource.Workload {
	return slices.DeleteFunc(w.Workloads(g, namespace), func(o *resource.Workload) bool {
		return !gatewaypod.IsGateway(&o.Pod, true)
	})
}

// keys are the keys of objects.
func keys[O resource.Object](objects []O) []resource.Key {
	out := make([]resource.Key, len(objects))
	for i, o := range objects {
		out[i] = o.Key()
	}
	return out
}

// several names the first of several objects, and tells how many there are.
func several(keys []resource.Key) string {
	if len(keys) == 1 {
		return name(keys[0])
	}
	return fmt.Sprintf("%s and %d more", name(keys[0]), len(keys)-1)
}
