package policy

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

// Destination is what the host of a DestinationRule or of a route's destination stands for.
type Destination struct {
	host   string // fully qualified; without the "*" of a wildcard
	wild   bool
	domain string // that of the cluster, as the host has it
}

// DestinationOf resolves the host of a DestinationRule as Istio does: a name without a dot is
// a Service of the object's namespace (ResolveShortnameToFQDN in istio.io/istio
// pilot/pkg/model/config.go), anything else is taken as it is. "name.namespace" is therefore
// no Service. The domain of the cluster is read off a host that has one.
func DestinationOf(d *resource.DestinationRule) Destination {
	return destination(d.Host, d.Namespace)
}

// destination resolves a host that an object of the namespace names.
func destination(host, namespace string) Destination {
	if _, err := netip.ParseAddr(host); host == "" || err == nil {
		return Destination{host: host}
	}
	host = resource.FQDN(host, namespace)
	out := Destination{host: host, domain: resource.ClusterDomain}
	if _, domain, found := strings.Cut(host, ".svc."); found {
		out.domain = domain
	}
	if strings.HasPrefix(host, "*") {
		out.host, out.wild = host[1:], true
	}
	return out
}

// Service returns the one Service that the host names, whether or not it exists; false for a
// wildcard and for any other host.
func (d Destination) Service() (namespace, name string, ok bool) {
	first, _, found := strings.Cut(d.host, ".svc.")
	if d.wild || !found || d.host != strings.ToLower(d.host) {
		return "", "", false // no Service has upper case in its name
	}
	name, namespace, ok = strings.Cut(first, ".")
	return namespace, name, ok && !strings.Contains(namespace, ".")
}

// Covers reports whether the host stands for a Service; letter case counts, because Istio
// compares the names as they are (MostSpecificHostMatch in istio.io/istio
// pilot/pkg/model/config.go).
func (d Destination) Covers(namespace, name string) bool {
	fqdn := name + "." + namespace + ".svc." + d.domain
	if d.wild {
		return strings.HasSuffix(fqdn, d.host) && len(fqdn) > len(d.host)
	}
	return d.domain != "" && fqdn == d.host
}

// CoversNamespace reports whether the host stands for every Service of a namespace.
func (d Destination) CoversNamespace(namespace string) bool {
	return d.wild && strings.HasSuffix("."+namespace+".svc."+d.domain, d.host)
}

// narrower reports whether Istio prefers d to o where both stand for a Service: a name
// before a wildcard, and the longer wildcard.
func (d Destination) narrower(o Destination) bool {
	return o.wild && (!d.wild || len(d.host) > len(o.host))
}

// Reach is which clients a DestinationRule can be read by.
type Reach struct {
	// Own is the clients of its own namespace.
	Own bool
	// Others is the clients of any other namespace, if it is in the namespace of the Service
	// or in the root namespace.
	Others bool
}

// ReachOf tells which clients can read a DestinationRule (setDestinationRules in
// istio.io/istio pilot/pkg/model/push_context.go): one with a selector is private whatever
// it exports to, and one that is exported to everybody but its own namespace is not read
// there.
func ReachOf(d *resource.DestinationRule) Reach {
	if d.WorkloadSelector != nil {
		return Reach{Own: true}
	}
	if len(d.ExportTo) == 0 {
		return Reach{Own: true, Others: true}
	}
	var r Reach
	for _, e := range d.ExportTo {
		switch e {
		case "*":
			r.Own, r.Others = true, true
		case ".", d.Namespace:
			r.Own = true
		case "~":
		default:
			r.Others = true
		}
	}
	return r
}

// Audience is who sends requests as a DestinationRule says.
type Audience uint8

// The audiences, in rising order.
const (
	Nobody   Audience = iota // Istio never reads it for the Service
	Own                      // only clients of the DestinationRule's own namespace
	Gateway                  // the pods of a guarded gateway, which are in its namespace
	Everyone                 // it is in the Service's namespace, or in the root namespace
)

// AudienceOf tells which clients of a Service a DestinationRule counts for (destinationRule
// in istio.io/istio pilot/pkg/model/push_context.go): a client reads those of its own
// namespace, else those that the Service's namespace exports to it, else those of the root
// namespace, and of each the one with the narrowest host. A DestinationRule anywhere else
// counts for nobody but its neighbours. In the Service's namespace they count as everyone:
// the owner's own clients are there.
//
// Ages do not count: of two with one host, Istio takes the settings of the older, and
// re-creating one makes another order (mergeDestinationRule in
// pilot/pkg/model/destination_rule.go).
func (w *World) AudienceOf(d *resource.DestinationRule, namespace, name string) Audience {
	reach := ReachOf(d)
	switch {
	case d.Namespace == namespace:
		if !reach.Own && !reach.Others || w.outdone(d, namespace, namespace, name, true) {
			return Nobody
		}
		return Everyone
	case d.Namespace == w.Config.Mesh.RootNamespace && reach.Others:
		if w.outdone(d, d.Namespace, namespace, name, true) || w.outdone(d, namespace, namespace, name, false) {
			return Nobody
		}
		return Everyone
	case !reach.Own:
		return Nobody
	}
	for _, g := range w.Guards {
		if g.Namespace == d.Namespace && slices.ContainsFunc(g.Pods, func(p *PodSet) bool {
			return resource.Selects(d.WorkloadSelector, p.Labels)
		}) && !w.outdone(d, d.Namespace, namespace, name, true) {
			return Gateway
		}
	}
	return Own
}

// outdone reports whether the clients of a Service read another DestinationRule of a
// namespace than d: one that everybody reads, with a narrower host if narrower is set.
func (w *World) outdone(d *resource.DestinationRule, in, namespace, name string, narrower bool) bool {
	mine, found := DestinationOf(d), false
	w.Snapshot.Each(resource.KindDestinationRule, in, func(o resource.Object) bool {
		x := o.(*resource.DestinationRule)
		if x.Key() != d.Key() && x.WorkloadSelector == nil && isPublic(x) {
			its := DestinationOf(x)
			found = its.Covers(namespace, name) && (!narrower || its.narrower(mine))
		}
		return !found
	})
	return found
}

func isPublic(d *resource.DestinationRule) bool {
	return len(d.ExportTo) == 0 || slices.Contains(d.ExportTo, "*")
}

// InMesh reports whether the pods of a Service have mutual TLS that a client could lose:
// false if workloads are known that it selects, and each of them is a gateway's or has no
// sidecar.
func (w *World) InMesh(s *resource.Service) bool {
	if len(s.Selector) == 0 {
		return false // its endpoints are made by hand: Istio injects none of them
	}
	some, mesh := false, false
	w.EachWorkload(s.Namespace, func(o *resource.Workload) bool {
		if resource.Selects(s.Selector, o.Pod.Labels) {
			some, mesh = true, w.HasSidecar(o)
		}
		return !mesh
	})
	return mesh || !some
}
