// Package state holds what is in the cluster, or in the manifests, as an immutable
// Snapshot with the indexes that rules need.
//
// The indexes are persistent radix trees (package radix): a new snapshot shares all but the
// changed path with the one before, so an event costs the depth of the tree and not its size,
// readers never lock, and the overlays With and Without are ordinary snapshots.
package state

import (
	"maps"
	"sort"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gatewarden/gatewarden/pkg/hostname"
	"github.com/gatewarden/gatewarden/pkg/radix"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/translate"
)

type tree[T any] = radix.Tree[T]

// sep ends each part of an index key. No Kubernetes name, label or host contains it.
const sep = "\x00"

// Snapshot is an immutable view of all objects. All methods are safe for concurrent use.
type Snapshot struct {
	generation uint64
	complete   bool
	unread     map[resource.Kind]string // never written to
	// objects: kind, namespace, name.
	objects tree[resource.Object]
	// routes: "namespace/name" of a Gateway, then the VirtualService that names it.
	routes tree[*resource.VirtualService]
	// hosts: a Gateway server's host reversed, then the Gateway. A host's wildcards are
	// then prefixes of its key, and what a wildcard covers follows it.
	hosts tree[*resource.Gateway]
	// selectors: the first pair of a Gateway's selector in sorted order ("" for none),
	// then the Gateway.
	selectors tree[*resource.Gateway]
	// ports: a Gateway server's port, family, bind and protocol, then the Gateway.
	ports tree[*resource.Gateway]
	// paths: a VirtualService's host reversed, then what a path of it starts with; each
	// leads to the VirtualServices that have it.
	paths tree[routeSet]
	// references: what an object names, by class, then the object.
	references tree[resource.Object]

	// options are those by which objects are translated; translations: what an object is
	// translated into, by its key; made: the translated objects by kind, namespace and name;
	// dependents: a key that a translation depends on, then the translated object's.
	options      translate.Options
	translations tree[translation]
	made         tree[resource.Object]
	dependents   tree[resource.Key]
}

// Generation counts the changes since the Writer was made. Overlays keep the generation of
// the snapshot below.
func (s *Snapshot) Generation() uint64 { return s.generation }

// Complete reports whether the source lists every object of every kind that admission needs, so
// that what is not in the snapshot does not exist: true for a live cluster, false for manifests.
func (s *Snapshot) Complete() bool { return s.complete }

// NotServed is why no objects of a kind are known that does not exist in the cluster.
const NotServed = "the cluster does not serve them"

// Lacking tells why there may be objects of a kind that are not in the snapshot, or "".
func (s *Snapshot) Lacking(kind resource.Kind) string {
	if !s.complete {
		return "not everything that exists was given"
	}
	return s.unread[kind]
}

// Len is the number of objects.
func (s *Snapshot) Len() int { return s.objects.Len() }

// Get returns the object with the key, or else one that Istio makes under that name, or nil.
func (s *Snapshot) Get(key resource.Key) resource.Object {
	if o, ok := s.objects.Get(objectKey(key)); ok {
		return o
	}
	var made resource.Object
	s.made.Walk(objectKey(key), func(o resource.Object) bool { made = o; return false })
	return made
}

// Each calls f for every object of a kind in a namespace ("" is every namespace), ordered
// by namespace and name, until f returns false.
func (s *Snapshot) Each(kind resource.Kind, namespace string, f func(resource.Object) bool) {
	prefix := string(kind) + sep
	if namespace != "" {
		prefix += namespace + sep
	}
	s.objects.Walk(prefix, f)
}

// Has reports whether any object of the kind is in the namespace.
func (s *Snapshot) Has(kind resource.Kind, namespace string) bool {
	found := false
	s.Each(kind, namespace, func(resource.Object) bool { found = true; return false })
	return found
}

// RoutesOf calls f for every VirtualService that names the Gateway in its spec.gateways,
// until f returns false.
func (s *Snapshot) RoutesOf(namespace, name string, f func(*resource.VirtualService) bool) {
	s.routes.Walk(namespace+"/"+name+sep, f)
}

// GatewaysWithHost calls f for every Gateway with a server for exactly this host, in any
// spelling and on any port, until f returns false.
func (s *Snapshot) GatewaysWithHost(host hostname.Name, f func(*resource.Gateway) bool) {
	s.hosts.Walk(reverse(string(host))+sep, f)
}

// GatewaysServedBy calls f for every Gateway whose selector matches pods with the labels,
// until f returns false. Gateways without a selector match all pods.
func (s *Snapshot) GatewaysServedBy(labels map[string]string, f func(*resource.Gateway) bool) {
	pairs := make([]string, 0, len(labels)+1)
	pairs = append(pairs, "")
	for k, v := range labels {
		pairs = append(pairs, k+"="+v)
	}
	sort.Strings(pairs)
	for _, p := range pairs {
		more := s.selectors.Walk(p+sep, func(g *resource.Gateway) bool {
			return !resource.Selects(g.Selector, labels) || f(g)
		})
		if !more {
			return
		}
	}
}

// With returns the snapshot as it is after the object was created or replaced.
func (s *Snapshot) With(o resource.Object) *Snapshot {
	t := s.begin()
	t.put(o)
	return t.commit(s.generation)
}

// Without returns the snapshot as it is after the object was deleted.
func (s *Snapshot) Without(key resource.Key) *Snapshot {
	t := s.begin()
	t.remove(key)
	return t.commit(s.generation)
}

// txn is a change to all trees of a snapshot.
type txn struct {
	complete  bool
	unread    map[resource.Kind]string
	objects   *radix.Change[resource.Object]
	routes    *radix.Change[*resource.VirtualService]
	hosts     *radix.Change[*resource.Gateway]
	selectors *radix.Change[*resource.Gateway]
	ports     *radix.Change[*resource.Gateway]
	paths     *radix.Change[routeSet]

	references *radix.Change[resource.Object]

	options      translate.Options
	translations *radix.Change[translation]
	made         *radix.Change[resource.Object]
	dependents   *radix.Change[resource.Key]
	outdated     map[resource.Key]bool // objects whose translation has to be made again

	changed []resource.Key // what was put or removed
}

func (s *Snapshot) begin() *txn {
	return &txn{
		complete: s.complete, unread: s.unread, objects: s.objects.Change(), routes: s.routes.Change(), hosts: s.hosts.Change(),
		selectors: s.selectors.Change(), ports: s.ports.Change(), paths: s.paths.Change(), references: s.references.Change(),
		options: s.options, translations: s.translations.Change(), made: s.made.Change(), dependents: s.dependents.Change(),
	}
}

func (t *txn) commit(generation uint64) *Snapshot {
	t.translate()
	return &Snapshot{
		generation, t.complete, t.unread,
		t.objects.Commit(), t.routes.Commit(), t.hosts.Commit(), t.selectors.Commit(), t.ports.Commit(), t.paths.Commit(), t.references.Commit(),
		t.options, t.translations.Commit(), t.made.Commit(), t.dependents.Commit(),
	}
}

func (t *txn) put(o resource.Object) {
	if old, existed := t.objects.Insert(objectKey(o.Key()), o); existed {
		t.unindex(old)
	}
	t.index(o)
	t.touch(o.Key())
	t.changed = append(t.changed, o.Key())
}

func (t *txn) index(o resource.Object) {
	for _, k := range referenceKeys(o) {
		t.references.Insert(k, o)
	}
	switch o := o.(type) {
	case *resource.VirtualService:
		for _, k := range routeKeys(o) {
			t.routes.Insert(k, o)
		}
		t.indexPaths(o)
	case *resource.Gateway:
		for _, k := range hostKeys(o) {
			t.hosts.Insert(k, o)
		}
		t.selectors.Insert(selectorKey(o), o)
		for _, k := range portKeys(o) {
			t.ports.Insert(k, o)
		}
	}
}

func (t *txn) remove(key resource.Key) {
	if old, existed := t.objects.Delete(objectKey(key)); existed {
		t.unindex(old)
		t.touch(key)
		t.changed = append(t.changed, key)
	}
}

func (t *txn) unindex(o resource.Object) {
	for _, k := range referenceKeys(o) {
		t.references.Delete(k)
	}
	switch o := o.(type) {
	case *resource.VirtualService:
		for _, k := range routeKeys(o) {
			t.routes.Delete(k)
		}
		t.unindexPaths(o)
	case *resource.Gateway:
		for _, k := range hostKeys(o) {
			t.hosts.Delete(k)
		}
		t.selectors.Delete(selectorKey(o))
		for _, k := range portKeys(o) {
			t.ports.Delete(k)
		}
	}
}

func objectKey(k resource.Key) string {
	return string(k.Kind) + sep + k.Namespace + sep + k.Name + sep
}

func routeKeys(v *resource.VirtualService) []string {
	var out []string
	for _, g := range v.Gateways {
		if ns, name, ok := GatewayName(g, v.Namespace); ok {
			out = append(out, ns+"/"+name+sep+identity(&v.Meta))
		}
	}
	return out
}

func hostKeys(g *resource.Gateway) []string {
	var out []string
	for _, server := range g.Servers {
		for _, h := range hostname.ServerHosts(server.Hosts, g.Namespace) {
			out = append(out, reverse(string(h.Name))+sep+identity(&g.Meta))
		}
	}
	return out
}

func selectorKey(g *resource.Gateway) string {
	first := ""
	for k, v := range g.Selector {
		if p := k + "=" + v; first == "" || p < first {
			first = p
		}
	}
	return first + sep + identity(&g.Meta)
}

func reverse(s string) string {
	b := make([]byte, len(s))
	for i := range len(s) {
		b[len(s)-1-i] = s[i]
	}
	return string(b)
}

// GatewayName resolves a reference to a Gateway, as a VirtualService of the namespace
// writes it: "name", "./name", "namespace/name", and the legacy "name.namespace" with or
// without ".svc.cluster.local" behind it. It reports false for "mesh", which is no
// Gateway. The rules are those of resolveGatewayName in istio.io/istio
// pilot/pkg/model/config.go.
func GatewayName(ref, namespace string) (ns, name string, ok bool) {
	if ref == "mesh" || ref == "" {
		return "", "", false
	}
	if ns, name, found := strings.Cut(ref, "/"); found {
		if ns == "." {
			ns = namespace
		}
		return ns, name, true
	}
	if name, rest, found := strings.Cut(ref, "."); found {
		ns, _, _ := strings.Cut(rest, ".")
		return ns, name, true
	}
	return namespace, ref, true
}

// Writer is the only way to make a new current snapshot. Its methods are safe for
// concurrent use; each publishes once.
type Writer struct {
	mu       sync.Mutex
	current  atomic.Pointer[Snapshot]
	observer func(*Snapshot, []resource.Key)
}

// CollectorPercent is how much a process with a state should allocate until garbage is collected, in
// percent of what is alive (GOGC). Where that is much, nearly all of it is state, and the least will do:
// with Go's own 100 as many as 110,000 objects, of 155 MiB, begin with 300 MiB resident, and with it with
// 240. Where it is little, a collection for each megabyte would be in the way of requests.
func CollectorPercent(alive uint64) int {
	const least, most, room = 30, 400, 32 << 20
	return int(min(max(least, 100*room/max(alive, 1)), most))
}

// NewWriter returns a Writer whose snapshot is empty and not complete.
func NewWriter() *Writer {
	w := &Writer{}
	w.current.Store(&Snapshot{options: translate.Options{}.WithDefaults()})
	return w
}

// Snapshot returns the current snapshot.
func (w *Writer) Snapshot() *Snapshot { return w.current.Load() }

// Observe makes the Writer tell each new snapshot, and the keys of the objects that were stored or
// removed, after it was published and before the next one is. The function must return soon and must
// not write. There can be one, which has to be set before anybody writes.
func (w *Writer) Observe(f func(s *Snapshot, changed []resource.Key)) { w.observer = f }

// Apply creates or replaces objects.
func (w *Writer) Apply(objs ...resource.Object) {
	w.update(func(t *txn) {
		for _, o := range objs {
			t.put(o)
		}
	})
}

// Delete removes objects. Keys that are not there are passed over.
func (w *Writer) Delete(keys ...resource.Key) {
	w.update(func(t *txn) {
		for _, k := range keys {
			t.remove(k)
		}
	})
}

// Replace makes objs all the objects of the kind: what is there and not among them is
// removed.
func (w *Writer) Replace(kind resource.Kind, objs []resource.Object) {
	keep := make(map[resource.Key]bool, len(objs))
	for _, o := range objs {
		keep[o.Key()] = true
	}
	w.update(func(t *txn) {
		var gone []resource.Key
		t.Each(kind, func(o resource.Object) bool {
			if !keep[o.Key()] {
				gone = append(gone, o.Key())
			}
			return true
		})
		for _, k := range gone {
			t.remove(k)
		}
		for _, o := range objs {
			t.put(o)
		}
	})
}

// SetComplete tells whether the source lists every object of every kind, but for those that
// SetUnread names.
func (w *Writer) SetComplete(complete bool) {
	w.update(func(t *txn) { t.complete = complete })
}

// SetUnread tells why the source does not list the objects of a kind, or "" if it does.
func (w *Writer) SetUnread(kind resource.Kind, why string) {
	if w.Snapshot().unread[kind] == why {
		return
	}
	w.update(func(t *txn) {
		unread := maps.Clone(t.unread)
		if unread == nil {
			unread = map[resource.Kind]string{}
		}
		unread[kind] = why
		t.unread = unread
	})
}

func (w *Writer) update(f func(*txn)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	old := w.current.Load()
	t := old.begin()
	f(t)
	s := t.commit(old.generation + 1)
	w.current.Store(s)
	if w.observer != nil && len(t.changed) > 0 {
		w.observer(s, t.changed)
	}
}
