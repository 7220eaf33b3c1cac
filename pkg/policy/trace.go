package policy

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

// Arrival is a protected namespace in which what is sent to a host arrives.
type Arrival struct {
	Namespace string
	// At is what the host leads to there, and Via what leads to it; both may be zero.
	At, Via resource.Key
	// TooFar is set, and nothing else, where a host leads through more names than are followed.
	TooFar bool
}

// maxSteps bounds how many ExternalName Services and ServiceEntries are followed from one host.
// Nobody has as many by accident.
const maxSteps = 1000

// Tracer follows the hosts of destinations for the pods of one namespace. It remembers what it
// found, and so is for one decision.
//
// A host is a Service, and in place of it or beside it a ServiceEntry that the pods see
// (DefaultSidecarScopeForGateway in istio.io/istio pilot/pkg/model/sidecar.go). An ExternalName
// Service is what it stands for (GetDestinationCluster in
// pilot/pkg/networking/core/route/route.go), and so are the endpoints of a ServiceEntry, or its
// hosts where it has none.
type Tracer struct {
	w     *World
	pods  string
	given resource.Object
	// hosts are those of a ServiceEntry that is given, and that the pods see.
	hosts map[string]bool
	found map[string][]Arrival
	ends  map[*resource.ServiceEntry]*ends
}

// ends are where the endpoints of a ServiceEntry are, and the Services among them that lead on.
type ends struct {
	arrivals []Arrival
	onward   []*resource.Service
}

// Tracer returns a tracer for the pods of a namespace. A Service or ServiceEntry that is given
// counts as if it were in the snapshot; it may be nil.
func (w *World) Tracer(pods string, given resource.Object) *Tracer {
	t := &Tracer{w: w, pods: pods, given: given, hosts: map[string]bool{}, found: map[string][]Arrival{}, ends: map[*resource.ServiceEntry]*ends{}}
	if e, ok := given.(*resource.ServiceEntry); ok && Exported(e, pods) {
		for _, h := range e.Hosts {
			t.hosts[h] = true
		}
	}
	return t
}

// Arrivals returns the protected namespaces that the host of a destination leads to, which an
// object of the namespace by writes.
func (t *Tracer) Arrivals(host, by string) []Arrival {
	host = resource.FQDN(host, by)
	out, known := t.found[host]
	if !known {
		w := &walk{Tracer: t, seen: map[string]bool{}, arrived: map[string]bool{}}
		w.host(host, resource.Key{})
		out = w.arrivals
		t.found[host] = out
	}
	return out
}

// walk follows one host.
type walk struct {
	*Tracer
	seen, arrived map[string]bool
	arrivals      []Arrival
}

// step reports whether something that leads on is met for the first time.
func (w *walk) step(what string) bool {
	if w.seen[what] {
		return false
	}
	w.seen[what] = true
	if len(w.seen) > maxSteps {
		if !w.arrived[""] {
			w.arrived[""] = true
			w.arrivals = append(w.arrivals, Arrival{TooFar: true})
		}
		return false
	}
	return true
}

func (w *walk) arrive(a Arrival) {
	if !w.arrived[a.Namespace] && w.w.Protected(a.Namespace) {
		w.arrived[a.Namespace] = true
		w.arrivals = append(w.arrivals, a)
	}
}

// host follows a host that Istio knows: letter case counts.
func (w *walk) host(host string, via resource.Key) {
	d := destination(host, "")
	if d.host == "" || !w.step("host "+host) {
		return
	}
	for _, namespace := range w.w.covered(d) {
		w.arrive(Arrival{Namespace: namespace, Via: via})
	}
	if namespace, name, ok := d.Service(); ok {
		w.service(namespace, name, via)
	}
	w.entries(host)
}

// service follows a Service, which need not exist.
func (w *walk) service(namespace, name string, via resource.Key) {
	svc := w.w.service(namespace, name, w.given)
	if svc != nil && svc.ExternalName != "" {
		w.alias(svc)
		return
	}
	w.arrive(Arrival{Namespace: namespace, At: resource.Key{Kind: resource.KindService, Namespace: namespace, Name: name}, Via: via})
	if svc != nil && len(svc.Selector) > 0 && w.step(svc.Key().String()) {
		e := &ends{}
		w.workloads(e, namespace, svc.Selector)
		w.follow(e)
	}
}

// alias follows an ExternalName Service.
func (w *walk) alias(svc *resource.Service) {
	if !w.step(svc.Key().String()) {
		return
	}
	e := &ends{}
	w.end(e, svc.ExternalName, svc.Key())
	w.follow(e)
	w.entries(svc.ExternalName)
}

// entries follows the ServiceEntries with a host that the pods see.
func (w *walk) entries(host string) {
	if w.hosts[host] {
		w.entry(w.given.(*resource.ServiceEntry))
	}
	w.w.Snapshot.EntriesOf(host, func(e *resource.ServiceEntry) bool {
		if Exported(e, w.pods) && (w.given == nil || e.Key() != w.given.Key()) {
			w.entry(e)
		}
		return len(w.seen) <= maxSteps
	})
}

// entry follows a ServiceEntry.
func (w *walk) entry(e *resource.ServiceEntry) {
	if w.step(e.Key().String()) {
		w.follow(w.endsOf(e))
	}
}

func (w *walk) follow(e *ends) {
	for _, a := range e.arrivals {
		w.arrive(a)
	}
	for _, svc := range e.onward {
		w.alias(svc)
	}
}

func (t *Tracer) endsOf(e *resource.ServiceEntry) *ends {
	out, known := t.ends[e]
	if known {
		return out
	}
	out = &ends{}
	t.ends[e] = out
	names := e.Endpoints
	switch {
	case len(e.WorkloadSelector) > 0:
		out.arrivals = append(out.arrivals, Arrival{Namespace: e.Namespace, Via: e.Key()})
		t.workloads(out, e.Namespace, e.WorkloadSelector)
		return out
	case len(names) == 0 && e.ResolvesDNS:
		names = e.Hosts
	}
	for _, n := range names {
		t.end(out, n, e.Key())
	}
	return out
}

// workloads adds where the WorkloadEntries are that a Service or ServiceEntry of the namespace
// selects beside pods (PILOT_ENABLE_K8S_SELECT_WORKLOAD_ENTRIES, which is true by default, in
// istio.io/istio pilot/pkg/features/pilot.go).
func (t *Tracer) workloads(out *ends, namespace string, selector map[string]string) {
	visit := func(e *resource.WorkloadEntry) {
		if resource.Selects(selector, e.Selected) && e.Namespace == namespace {
			t.end(out, e.Address, e.Key())
		}
	}
	if e, ok := t.given.(*resource.WorkloadEntry); ok {
		visit(e)
	}
	t.w.Snapshot.Each(resource.KindWorkloadEntry, namespace, func(o resource.Object) bool {
		if t.given == nil || o.Key() != t.given.Key() {
			visit(o.(*resource.WorkloadEntry))
		}
		return true
	})
}

// end adds where an address is, or a name that the pods look up by DNS. In names letter case does
// not count; "name.namespace.svc.domain" is a Service or one of its pods, and
// "address.namespace.pod.domain" a pod; the domains that pods search make "name.namespace" and
// "name" one, too, where there is such a Service.
func (t *Tracer) end(out *ends, name string, via resource.Key) {
	if _, err := netip.ParseAddr(name); err == nil {
		t.w.Snapshot.AtAddress(name, func(o resource.Object) bool {
			key := o.Key()
			out.add(Arrival{Namespace: key.Namespace, At: key, Via: via})
			return true
		})
		return
	}
	if name == "" {
		return
	}
	labels := strings.Split(strings.ToLower(strings.TrimSuffix(name, ".")), ".")
	namespace, exists := "", false
	name = ""
	for i := 2; i < len(labels) && namespace == ""; i++ {
		switch labels[i] {
		case "svc":
			namespace, name = labels[i-1], labels[i-2]
		case "pod":
			out.add(Arrival{Namespace: labels[i-1], Via: via})
			return
		}
	}
	switch {
	case namespace != "":
	case len(labels) == 1:
		namespace, name, exists = t.pods, labels[0], true
	case len(labels) == 2:
		namespace, name, exists = labels[1], labels[0], true
	default:
		return
	}
	svc := t.w.service(namespace, name, t.given)
	switch {
	case svc == nil && exists:
	case svc != nil && svc.ExternalName != "":
		out.onward = append(out.onward, svc)
	default:
		out.add(Arrival{Namespace: namespace, At: resource.Key{Kind: resource.KindService, Namespace: namespace, Name: name}, Via: via})
	}
}

// add adds an arrival unless the last one is in the same namespace; walks see to the rest.
func (e *ends) add(a Arrival) {
	if n := len(e.arrivals); n == 0 || e.arrivals[n-1].Namespace != a.Namespace {
		e.arrivals = append(e.arrivals, a)
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
// Service, ServiceEntry or WorkloadEntry: it names a host of it, or a host that leads to it. It
// reports false if there are more of those than are followed.
func (w *World) Followers(o resource.Object, f func(*resource.VirtualService)) bool {
	met, visited := map[resource.Key]bool{o.Key(): true}, map[*resource.VirtualService]bool{}
	queue := []resource.Object{o}
	if e, ok := o.(*resource.WorkloadEntry); ok {
		queue = w.selecting(e)
	}
	for ; len(queue) > 0; queue = queue[1:] {
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
				if !met[o.Key()] {
					met[o.Key()] = true
					queue = append(queue, o)
				}
				return len(met) <= maxSteps
			})
		}
		if len(met) > maxSteps {
			return false
		}
	}
	return true
}

// selecting returns the Services and ServiceEntries that select a WorkloadEntry.
func (w *World) selecting(e *resource.WorkloadEntry) []resource.Object {
	var out []resource.Object
	for _, kind := range []resource.Kind{resource.KindService, resource.KindServiceEntry} {
		w.Snapshot.Each(kind, e.Namespace, func(o resource.Object) bool {
			var selector map[string]string
			switch o := o.(type) {
			case *resource.Service:
				selector = o.Selector
			case *resource.ServiceEntry:
				selector = o.WorkloadSelector
			}
			if len(selector) > 0 && resource.Selects(selector, e.Selected) {
				out = append(out, o)
			}
			return true
		})
	}
	return out
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
