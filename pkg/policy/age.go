package policy

import "github.com/gatewarden/gatewarden/pkg/resource"

// Seniority is what is known about which of two objects Istio looks at first.
type Seniority uint8

// The seniorities of one object against another.
const (
	Unknown Seniority = iota // manifests without ages
	Older
	Younger
)

// SeniorityOf tells whether Istio takes a Gateway for older than the one that is made of, or
// is, the object with the key: see resource.ByAge. What it makes of an Ingress has no creation
// time and so comes before everything else (ConvertIngressV1alpha3 in istio.io/istio
// pilot/pkg/config/kube/ingress/conversion.go). What is not stored yet will be the youngest.
func (w *World) SeniorityOf(gw *resource.Gateway, other resource.Key) Seniority {
	mine, theirs := gw.Key().Kind == resource.KindIngress, other.Kind == resource.KindIngress
	if mine != theirs {
		if mine {
			return Older
		}
		return Younger
	}
	o := w.Snapshot.Get(other)
	switch {
	case o == nil:
		return Older
	case mine || gw.Created.IsZero() && o.GetMeta().Created.IsZero():
		return Unknown
	case gw.Created.IsZero():
		return Younger
	case o.GetMeta().Created.IsZero() || resource.ByAge(&gw.Meta, o.GetMeta()) < 0:
		return Older
	}
	return Younger
}
