package policy

import (
	"maps"
	"slices"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
)

// Protected reports whether the workloads of a namespace must keep their mutual TLS.
func (w *World) Protected(namespace string) bool {
	p := &w.Config.ProtectedNamespaces
	if slices.Contains(p.Names, namespace) {
		return true
	}
	ns := w.Namespace(namespace)
	return ns != nil && len(p.Labels) > 0 && resource.Selects(p.Labels, ns.Labels)
}

// Namespace returns the namespace with the name, or nil if it is not known.
func (w *World) Namespace(name string) *resource.Namespace {
	ns, _ := w.Snapshot.Get(resource.Key{Kind: resource.KindNamespace, Name: name}).(*resource.Namespace)
	return ns
}

// ProtectedNamespaces returns the protected namespaces that exist, as far as the snapshot
// tells, in the order of the configuration and then by name.
func (w *World) ProtectedNamespaces() []string {
	p := &w.Config.ProtectedNamespaces
	var out []string
	for _, n := range p.Names {
		if w.exists(n) {
			out = append(out, n)
		}
	}
	if len(p.Labels) > 0 {
		w.Snapshot.Each(resource.KindNamespace, "", func(o resource.Object) bool {
			if m := o.GetMeta(); resource.Selects(p.Labels, m.Labels) && !slices.Contains(out, m.Name) {
				out = append(out, m.Name)
			}
			return true
		})
	}
	return out
}

// exists reports whether a namespace exists: its object is there, or in manifests, which
// may leave that out, anything that is in it.
func (w *World) exists(namespace string) bool {
	if w.Namespace(namespace) != nil {
		return true
	}
	if w.Snapshot.Complete() {
		return false
	}
	return slices.ContainsFunc(resource.APIs, func(a resource.API) bool {
		return a.Namespaced && w.Snapshot.Has(a.Kind, namespace)
	})
}

// Terminating reports whether a namespace is being deleted.
func (w *World) Terminating(namespace string) bool {
	ns := w.Namespace(namespace)
	return ns != nil && ns.Terminating
}

// EachPod calls f for every pod and pod template of a namespace, until f returns false. Those
// of a guarded gateway are told apart: the listeners of a gateway never look at a
// PeerAuthentication.
func (w *World) EachPod(namespace string, f func(pod *resource.Workload, gateway bool) bool) {
	w.EachWorkload(namespace, func(wl *resource.Workload) bool {
		return f(wl, w.IsGateway(wl.Pod.Labels, namespace))
	})
}

// OnlyGateways reports whether a namespace has pods, and all of them are gateways'.
func (w *World) OnlyGateways(namespace string) bool {
	some, others := false, false
	w.EachPod(namespace, func(_ *resource.Workload, gateway bool) bool {
		some, others = true, !gateway
		return gateway
	})
	return some && !others
}

// PodGroup stands for all pods of a namespace between which no selector tells a difference.
type PodGroup struct {
	Labels  map[string]string // those that selectors ask for
	Example resource.Key      // one of the pods, or the workload that makes them
}

// PodGroups groups the pods of a namespace by the labels with the given keys, gateways left
// out, and reports whether there are any pods at all. A namespace has thousands of pods, but
// policies tell only a few kinds of them apart.
func (w *World) PodGroups(namespace string, keys map[string]bool) (out []PodGroup, some bool) {
	return w.podGroups(namespace, keys, func(*resource.Workload) bool { return true })
}

// podGroups groups those of the pods that are wanted.
func (w *World) podGroups(namespace string, keys map[string]bool, wanted func(*resource.Workload) bool) (out []PodGroup, some bool) {
	sorted := slices.Sorted(maps.Keys(keys))
	seen := map[string]bool{}
	var id []byte
	w.EachPod(namespace, func(pod *resource.Workload, gateway bool) bool {
		some = true
		if !wanted(pod) || gateway {
			return true
		}
		id = id[:0]
		for _, k := range sorted {
			if v, ok := pod.Pod.Labels[k]; ok {
				id = append(append(append(append(id, k...), '='), v...), ',')
			}
		}
		if seen[string(id)] {
			return true
		}
		seen[string(id)] = true
		labels := map[string]string{}
		for _, k := range sorted {
			if v, ok := pod.Pod.Labels[k]; ok {
				labels[k] = v
			}
		}
		out = append(out, PodGroup{labels, pod.Key()})
		return true
	})
	return out, some
}

// IsGateway reports whether pods with the labels are those of a guarded gateway.
func (w *World) IsGateway(labels map[string]string, namespace string) bool {
	return slices.ContainsFunc(w.Guards, func(g *Guard) bool {
		return g.Namespace == namespace && g.SelectsPods(labels, namespace)
	})
}

// Age is the place that a changed PeerAuthentication takes among those of its scope, of
// which only the oldest counts. Re-creating any of them makes another order.
type Age uint8

// The ages that a changed object can have.
const (
	AsStored Age = iota // its creationTimestamp; the youngest if it has none yet
	Oldest
	Youngest
)

// Policies are the PeerAuthentications of a snapshot with one of them replaced. They are not
// safe for concurrent use.
type Policies struct {
	snapshot *state.Snapshot
	cfg      *config.Configuration
	key      resource.Key
	changed  *resource.PeerAuthentication
	age      Age
	scopes   map[string]*scope
}

// scope is what a namespace has, the oldest first.
type scope struct {
	whole, selecting []*resource.PeerAuthentication
	// byLabel finds the places in selecting by one label of the selector, so that a namespace
	// with thousands of workloads and policies costs their sum and not their product: 54 ms
	// became 3 at 10,000 pods and 1,000 policies (BenchmarkProtectedNamespace).
	byLabel map[[2]string][]int
}

// first returns the policy that counts among those that select pods with the labels, or nil.
func (s *scope) first(labels map[string]string) *resource.PeerAuthentication {
	best := -1
	for k, v := range labels {
		for _, i := range s.byLabel[[2]string{k, v}] {
			if best >= 0 && i >= best {
				break
			}
			if resource.Selects(s.selecting[i].Selector, labels) {
				best = i
			}
		}
	}
	if best < 0 {
		return nil
	}
	return s.selecting[best]
}

// PoliciesWith returns the PeerAuthentications of the world in which the one with the key
// is changed, and of the given age; nil is none.
func (w *World) PoliciesWith(key resource.Key, changed *resource.PeerAuthentication, age Age) *Policies {
	return &Policies{w.Snapshot, w.Config, key, changed, age, map[string]*scope{}}
}

// MTLS is what pods enforce: a mode, and the ports that differ from it.
type MTLS struct {
	Mode  resource.MTLSMode
	Ports map[uint32]resource.MTLSMode
}

// At returns the mode of a container port.
func (m MTLS) At(port uint32) resource.MTLSMode {
	if mode, ok := m.Ports[port]; ok {
		return mode
	}
	return m.Mode
}

// Effective computes what pods with the labels enforce, as ComposePeerAuthentication does
// (istio.io/istio pilot/pkg/security/authn/policy_applier.go over the lists that
// pilot/pkg/model/authentication.go makes): the narrowest scope that says something counts,
// workload before namespace before mesh, and nothing at all is PERMISSIVE. In each scope
// one policy counts, the oldest, even if it says nothing; it is never merged with others.
func (p *Policies) Effective(namespace string, labels map[string]string) MTLS {
	root := p.cfg.Mesh.RootNamespace
	mode := resource.ModePermissive
	if m := p.NamespaceMode(root); m != resource.ModeUnset {
		mode = m
	}
	if namespace == root {
		return MTLS{Mode: mode} // policies with a selector are ignored in the root namespace
	}
	if m := p.NamespaceMode(namespace); m != resource.ModeUnset {
		mode = m
	}
	out := MTLS{Mode: mode}
	wl := p.of(namespace).first(labels)
	if wl == nil {
		return out
	}
	if wl.Mode != resource.ModeUnset {
		out.Mode = wl.Mode
	}
	for port, m := range wl.Ports {
		if m != resource.ModeUnset {
			if out.Ports == nil {
				out.Ports = map[uint32]resource.MTLSMode{}
			}
			out.Ports[port] = m
		}
	}
	return out
}

// NamespaceMode returns the mode that the namespace's own policy sets for all of its
// workloads, ModeUnset if it leaves that to the mesh.
func (p *Policies) NamespaceMode(namespace string) resource.MTLSMode {
	if whole := p.of(namespace).whole; len(whole) > 0 {
		return whole[0].Mode
	}
	return resource.ModeUnset
}

// SelectorKeys adds the keys of the labels that policies of a namespace select by.
func (p *Policies) SelectorKeys(namespace string, keys map[string]bool) {
	for _, o := range p.of(namespace).selecting {
		for k := range o.Selector {
			keys[k] = true
		}
	}
}

// of returns the policies of a namespace.
func (p *Policies) of(namespace string) *scope {
	return remember(&p.scopes, namespace, func() *scope {
		s := &scope{}
		add := func(o *resource.PeerAuthentication) {
			if len(o.Selector) == 0 {
				s.whole = append(s.whole, o)
			} else {
				s.selecting = append(s.selecting, o)
			}
		}
		p.snapshot.Each(resource.KindPeerAuthentication, namespace, func(o resource.Object) bool {
			if pa := o.(*resource.PeerAuthentication); pa.Key() != p.key {
				add(pa)
			}
			return true
		})
		if p.changed != nil && p.changed.Namespace == namespace {
			add(p.changed)
		}
		slices.SortFunc(s.whole, p.order)
		slices.SortFunc(s.selecting, p.order)
		s.byLabel = make(map[[2]string][]int, len(s.selecting))
		for i, o := range s.selecting {
			k := slices.Min(slices.Collect(maps.Keys(o.Selector)))
			s.byLabel[[2]string{k, o.Selector[k]}] = append(s.byLabel[[2]string{k, o.Selector[k]}], i)
		}
		return s
	})
}

// order puts the older policy first, as Istio does.
func (p *Policies) order(a, b *resource.PeerAuthentication) int {
	if a == p.changed || b == p.changed {
		first := -1 // the changed one
		switch {
		case p.age == Oldest:
		case p.age == Youngest || p.changed.Created.IsZero():
			first = 1
		default:
			first = 0
		}
		if a == b || first == 0 {
			return resource.ByAge(&a.Meta, &b.Meta)
		}
		if b == p.changed {
			return -first
		}
		return first
	}
	return resource.ByAge(&a.Meta, &b.Meta)
}
