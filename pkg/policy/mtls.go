package policy

import (
	"slices"
	"strings"

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
	ns, ok := w.Snapshot.Get(resource.Key{Kind: resource.KindNamespace, Name: namespace}).(*resource.Namespace)
	return ok && len(p.Labels) > 0 && resource.Selects(p.Labels, ns.Labels)
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
	if w.Snapshot.Get(resource.Key{Kind: resource.KindNamespace, Name: namespace}) != nil {
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
	ns := w.Snapshot.Get(resource.Key{Kind: resource.KindNamespace, Name: namespace})
	return ns != nil && ns.GetMeta().Terminating
}

// PodLabels returns the distinct labels of the pods and pod templates in a namespace, and
// whether there are any pods at all. The pods of a guarded gateway are left out of the
// labels: the listeners of a gateway never look at a PeerAuthentication.
func (w *World) PodLabels(namespace string) (out []map[string]string, some bool) {
	for _, kind := range podKinds {
		w.Snapshot.Each(kind, namespace, func(o resource.Object) bool {
			labels := o.(*resource.Workload).Pod.Labels
			some = true
			if !w.IsGateway(labels, namespace) && !slices.ContainsFunc(out, func(l map[string]string) bool {
				return len(l) == len(labels) && resource.Selects(l, labels)
			}) {
				out = append(out, labels)
			}
			return true
		})
	}
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

// Policies are the PeerAuthentications of a snapshot with one of them replaced.
type Policies struct {
	snapshot *state.Snapshot
	cfg      *config.Configuration
	key      resource.Key
	changed  *resource.PeerAuthentication
	age      Age
}

// PoliciesWith returns the PeerAuthentications of the world in which the one with the key
// is changed, and of the given age; nil is none.
func (w *World) PoliciesWith(key resource.Key, changed *resource.PeerAuthentication, age Age) Policies {
	return Policies{w.Snapshot, w.Config, key, changed, age}
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
func (p Policies) Effective(namespace string, labels map[string]string) MTLS {
	root := p.cfg.Mesh.RootNamespace
	mode := resource.ModePermissive
	if mesh := p.oldest(root, nil); mesh != nil && mesh.Mode != resource.ModeUnset {
		mode = mesh.Mode
	}
	if namespace == root {
		return MTLS{Mode: mode} // policies with a selector are ignored in the root namespace
	}
	if ns := p.oldest(namespace, nil); ns != nil && ns.Mode != resource.ModeUnset {
		mode = ns.Mode
	}
	out := MTLS{Mode: mode}
	wl := p.oldest(namespace, func(s map[string]string) bool { return resource.Selects(s, labels) })
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
func (p Policies) NamespaceMode(namespace string) resource.MTLSMode {
	if ns := p.oldest(namespace, nil); ns != nil {
		return ns.Mode
	}
	return resource.ModeUnset
}

// oldest returns the policy of a namespace that counts: among those without a selector if
// selects is nil, else among those whose selector it accepts.
func (p Policies) oldest(namespace string, selects func(map[string]string) bool) *resource.PeerAuthentication {
	var best *resource.PeerAuthentication
	consider := func(o *resource.PeerAuthentication) {
		if selects == nil && len(o.Selector) > 0 || selects != nil && (len(o.Selector) == 0 || !selects(o.Selector)) {
			return
		}
		if best == nil || p.older(o, best) {
			best = o
		}
	}
	p.snapshot.Each(resource.KindPeerAuthentication, namespace, func(o resource.Object) bool {
		if pa := o.(*resource.PeerAuthentication); pa.Key() != p.key {
			consider(pa)
		}
		return true
	})
	if p.changed != nil && p.changed.Namespace == namespace {
		consider(p.changed)
	}
	return best
}

// older orders policies as Istio does: by creation time, then name, then namespace
// (sortConfigByCreationTime in istio.io/istio pilot/pkg/model/config.go).
func (p Policies) older(a, b *resource.PeerAuthentication) bool {
	for _, o := range []*resource.PeerAuthentication{a, b} {
		if o != p.changed {
			continue
		}
		switch {
		case p.age == Oldest:
			return o == a
		case p.age == Youngest || o.Created.IsZero():
			return o == b
		}
	}
	if c := a.Created.Compare(b.Created); c != 0 {
		return c < 0
	}
	if c := strings.Compare(a.Name, b.Name); c != 0 {
		return c < 0
	}
	return a.Namespace < b.Namespace
}
