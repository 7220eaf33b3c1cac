package policy

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

// Arrival is a namespace in which what is sent to a host arrives.
type Arrival struct {
	Namespace string
	// At is what the host leads to there, and Via what leads to it; both may be zero.
	At, Via resource.Key
}

// maxTrace bounds how far a name is followed. Names that lead to names that lead to names are
// rare, and nobody has as many by accident.
const maxTrace = 64

// Arrivals calls f for each namespace in which the pods of a namespace may reach somebody by the
// host of a destination, which an object of the namespace by writes. A Service or ServiceEntry
// that is given counts as if it were in the snapshot; it may be nil.
//
// A host is a Service, and in place of it or beside it a ServiceEntry that the pods see
// (DefaultSidecarScopeForGateway in istio.io/istio pilot/pkg/model/sidecar.go). An ExternalName
// Service is what it stands for (GetDestinationCluster in
// pilot/pkg/networking/core/route/route.go), and so are the endpoints of a ServiceEntry, or its
// hosts where it has none.
func (w *World) Arrivals(host, by, pods string, given resource.Object, f func(Arrival)) {
	t := &trace{w: w, pods: pods, given: given, seen: map[string]bool{}, arrived: map[string]bool{}, f: f}
	t.host(destination(host, by), resource.Key{})
}

// trace follows one host.
type trace struct {
	w             *World
	pods          string
	given         resource.Object
	seen, arrived map[string]bool
	f             func(Arrival)
}

// first reports whether something is met for the first time.
func (t *trace) first(what string) bool {
	if t.seen[what] || len(t.seen) >= maxTrace {
		return false
	}
	t.seen[what] = true
	return true
}

func (t *trace) arrive(namespace string, at, via resource.Key) {
	if !t.arrived[namespace] {
		t.arrived[namespace] = true
		t.f(Arrival{namespace, at, via})
	}
}

// host follows a host that Istio knows: letter case counts.
func (t *trace) host(d Destination, via resource.Key) {
	if d.host == "" || !t.first("host "+d.host) {
		return
	}
	if d.wild {
		for _, namespace := range t.w.covered(d) {
			t.arrive(namespace, resource.Key{}, via)
		}
		return
	}
	if namespace, name, ok := d.Service(); ok {
		t.service(namespace, name, via)
	}
	t.eachEntry(d.host, t.entry)
}

// service follows a Service, which need not exist.
func (t *trace) service(namespace, name string, via resource.Key) {
	svc := t.w.service(namespace, name, t.given)
	if svc == nil || svc.ExternalName == "" {
		t.arrive(namespace, resource.Key{Kind: resource.KindService, Namespace: namespace, Name: name}, via)
		return
	}
	if _, err := netip.ParseAddr(svc.ExternalName); err == nil {
		t.address(svc.ExternalName, svc.Key())
		return
	}
	t.name(svc.ExternalName, svc.Key())
	t.eachEntry(svc.ExternalName, t.entry)
}

// eachEntry calls f for the ServiceEntries with a host that the pods see.
func (t *trace) eachEntry(host string, f func(*resource.ServiceEntry)) {
	visit := func(e *resource.ServiceEntry) bool {
		if t.given == nil || e.Key() != t.given.Key() {
			f(e)
		}
		return true
	}
	if e, ok := t.given.(*resource.ServiceEntry); ok && slices.Contains(e.Hosts, host) && Exported(e, t.pods) {
		f(e)
	}
	t.w.Snapshot.EntriesOf(host, func(e *resource.ServiceEntry) bool { return !Exported(e, t.pods) || visit(e) })
}

// entry follows a ServiceEntry.
func (t *trace) entry(e *resource.ServiceEntry) {
	key := e.Key()
	if !t.first(key.String()) {
		return
	}
	if len(e.WorkloadSelector) > 0 {
		t.arrive(e.Namespace, resource.Key{}, key)
		return
	}
	for _, endpoint := range e.Endpoints {
		if _, err := netip.ParseAddr(endpoint); err == nil {
			t.address(endpoint, key)
		} else {
			t.name(endpoint, key)
		}
	}
	if len(e.Endpoints) == 0 && e.ResolvesDNS {
		for _, h := range e.Hosts {
			t.name(h, key)
		}
	}
}

func (t *trace) address(ip string, via resource.Key) {
	t.w.Snapshot.AtAddress(ip, func(o resource.Object) bool {
		key := o.Key()
		t.arrive(key.Namespace, key, via)
		return true
	})
}

// name follows a name that the pods look up by DNS, in which letter case does not count. In a
// cluster "name.namespace.svc.domain" is a Service or one of its pods, and
// "address.namespace.pod.domain" a pod; the domains that pods search make "name.namespace" and
// "name" one, too, where there is such a Service.
func (t *trace) name(name string, via resource.Key) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if name == "" || !t.first("name "+name) {
		return
	}
	labels := strings.Split(name, ".")
	for i := 2; i < len(labels); i++ {
		switch labels[i] {
		case "svc":
			t.service(labels[i-1], labels[i-2], via)
			return
		case "pod":
			t.arrive(labels[i-1], resource.Key{}, via)
			return
		}
	}
	switch {
	case len(labels) == 1 && t.w.service(t.pods, name, t.given) != nil:
		t.service(t.pods, name, via)
	case len(labels) == 2 && t.w.service(labels[1], labels[0], t.given) != nil:
		t.service(labels[1], labels[0], via)
	}
}

// service returns the Service with the name, the given one if it is that; nil if there is none.
func (w *World) service(namespace, name string, given resource.Object) *resource.Service {
	key := resource.Key{Kind: resource.KindService, Namespace: namespace, Name: name}
	if svc, ok := given.(*resource.Service); ok && svc.Key() == key {
		return svc
	}
	svc, _ := w.Snapshot.Get(key).(*resource.Service)
	return svc
}

// ServiceNamed returns the Service that a host is the name of, in full and whether or not it
// exists, or in the shorter ways that work in any namespace for one that does.
func (w *World) ServiceNamed(host string) (namespace, name string, ok bool) {
	if namespace, name, ok = destination(host, "").Service(); ok {
		return namespace, name, true
	}
	name, namespace, ok = strings.Cut(strings.TrimSuffix(host, ".svc"), ".")
	return namespace, name, ok && w.service(namespace, name, nil) != nil
}

// CoveredNamespaces returns the protected namespaces all of whose Services a wildcard covers.
func (w *World) CoveredNamespaces(host string) []string { return w.covered(destination(host, "")) }

func (w *World) covered(d Destination) []string {
	if !d.wild {
		return nil
	}
	return slices.DeleteFunc(w.ProtectedNamespaces(), func(namespace string) bool { return !d.CoversNamespace(namespace) })
}

// Exported reports whether pods of the namespace see a ServiceEntry (initServiceRegistry in
// istio.io/istio pilot/pkg/model/push_context.go); without exportTo everybody does.
func Exported(e *resource.ServiceEntry, namespace string) bool {
	return len(e.ExportTo) == 0 || slices.ContainsFunc(e.ExportTo, func(to string) bool {
		return to == "*" || to == namespace || to == "." && e.Namespace == namespace
	})
}

// Followers calls f for every VirtualService with a destination whose meaning depends on the
// Service or ServiceEntry: it names a host of it, or a host that leads to it.
func (w *World) Followers(o resource.Object, f func(*resource.VirtualService)) {
	met, visited := map[resource.Key]bool{}, map[*resource.VirtualService]bool{}
	for queue := []resource.Object{o}; len(queue) > 0 && len(met) < maxTrace; queue = queue[1:] {
		if met[queue[0].Key()] {
			continue
		}
		met[queue[0].Key()] = true
		hosts, names := calls(queue[0])
		for _, host := range hosts {
			w.Snapshot.RoutesTo(host, func(v *resource.VirtualService) bool {
				if !visited[v] {
					visited[v] = true
					f(v)
				}
				return true
			})
		}
		for _, name := range names {
			w.Snapshot.StandIns(name, func(o resource.Object) bool {
				queue = append(queue, o)
				return len(queue) < maxTrace
			})
		}
	}
}

// calls returns what destinations call a Service or ServiceEntry, that of a Service without the
// domain of the cluster, and what DNS does.
func calls(o resource.Object) (hosts, names []string) {
	switch o := o.(type) {
	case *resource.Service:
		short := o.Name + "." + o.Namespace
		return []string{short + ".svc."}, []string{short, short + ".svc", short + ".svc." + resource.ClusterDomain}
	case *resource.ServiceEntry:
		return o.Hosts, o.Hosts
	}
	return nil, nil
}
