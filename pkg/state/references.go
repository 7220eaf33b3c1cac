package state

import (
	"net/netip"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

// The classes of references, by which objects are found by what they name.
const (
	toHost    = "host"    // a destination's host, to the VirtualService that has it
	toPart    = "part"    // "namespace/name", to the VirtualService that hands over to it
	ofEntry   = "entry"   // a ServiceEntry's host
	toName    = "name"    // a DNS name that a Service stands for, or an endpoint of a ServiceEntry
	ofAddress = "address" // an IP address of a Service or Pod
	ofManaged = "managed" // the Service that a managed Gateway is attached by; "" for its selector
)

// RoutesTo calls f for every VirtualService that sends anything to a host, until f returns
// false. A Service is found by "name.namespace.svc." whatever the domain of the cluster is.
func (s *Snapshot) RoutesTo(host string, f func(*resource.VirtualService) bool) {
	prefix := host
	if !strings.HasSuffix(host, ".") {
		prefix += sep
	}
	s.eachReference(toHost, prefix, func(o resource.Object) bool { return f(o.(*resource.VirtualService)) })
}

// RootsOf calls f for every VirtualService that hands a route over to another one, until f
// returns false.
func (s *Snapshot) RootsOf(namespace, name string, f func(*resource.VirtualService) bool) {
	s.eachReference(toPart, namespace+"/"+name+sep, func(o resource.Object) bool { return f(o.(*resource.VirtualService)) })
}

// EntriesOf calls f for every ServiceEntry with the host, as it is written, until f returns
// false.
func (s *Snapshot) EntriesOf(host string, f func(*resource.ServiceEntry) bool) {
	s.eachReference(ofEntry, host+sep, func(o resource.Object) bool { return f(o.(*resource.ServiceEntry)) })
}

// StandIns calls f for every Service and ServiceEntry that leads to a DNS name, until f returns
// false.
func (s *Snapshot) StandIns(name string, f func(resource.Object) bool) {
	s.eachReference(toName, dnsName(name)+sep, f)
}

// AtAddress calls f for every Service and Pod that has an IP address, until f returns false.
func (s *Snapshot) AtAddress(ip string, f func(resource.Object) bool) {
	if a := address(ip); a != "" {
		s.eachReference(ofAddress, a+sep, f)
	}
}

// ManagedGateways calls f for every Gateway that Istio takes for one of the Gateway API whose pods
// it runs, if it is attached by a Service with the name "name.namespace", or with "" by its
// selector, until f returns false.
func (s *Snapshot) ManagedGateways(service string, f func(*resource.Gateway) bool) {
	s.eachReference(ofManaged, service+sep, func(o resource.Object) bool { return f(o.(*resource.Gateway)) })
}

func (s *Snapshot) eachReference(class, prefix string, f func(resource.Object) bool) {
	s.references.Walk(class+sep+prefix, f)
}

// dnsName is a name as DNS compares it.
func dnsName(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// address writes an IP address in one way only, or "" for anything else.
func address(ip string) string {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return ""
	}
	return a.Unmap().String()
}

// referenceKeys returns the keys by which an object is found by what it names. Pods on their
// node's own address are not found by it: it is no more theirs than anybody's.
func referenceKeys(o resource.Object) []string {
	var out []string
	add := func(class, what, who string) { out = append(out, class+sep+what+sep+who) }
	addresses := func(ips []string) {
		for _, ip := range ips {
			if a := address(ip); a != "" {
				add(ofAddress, a, objectKey(o.Key()))
			}
		}
	}
	switch o := o.(type) {
	case *resource.Gateway:
		if !o.Managed() {
			break
		}
		names, _, attached := o.Services()
		if !attached {
			names = []string{""}
		}
		for _, name := range names {
			add(ofManaged, name, identity(&o.Meta))
		}
	case *resource.VirtualService:
		who := identity(&o.Meta)
		o.EachDestination(func(d *resource.Destination) { add(toHost, resource.FQDN(d.Host, o.Namespace), who) })
		for i := range o.HTTP {
			if part := o.HTTP[i].Delegate; part != "" {
				add(toPart, part, who)
			}
		}
	case *resource.Service:
		if o.ExternalName != "" {
			add(toName, dnsName(o.ExternalName), objectKey(o.Key()))
		}
		addresses(o.ClusterIPs)
	case *resource.ServiceEntry:
		who := objectKey(o.Key())
		for _, h := range o.Hosts {
			add(ofEntry, h, who)
		}
		for _, e := range o.Endpoints {
			if address(e) == "" {
				add(toName, dnsName(e), who)
			}
		}
	case *resource.Workload:
		if o.Kind == resource.KindPod && !o.Pod.HostNetwork {
			addresses(o.Pod.PodIPs)
		}
	}
	return out
}
