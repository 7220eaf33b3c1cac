package state

import (
	"slices"

	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/translate"
)

// translation is what one object is translated into, and the keys of the objects that this
// depends on. A key with a kind alone stands for all objects of the kind.
type translation struct {
	objects []resource.Object
	reads   []resource.Key
}

// Translated returns what Istio makes of the object with the key. It is in the indexes of
// the snapshot as if it had been stored, and Get finds it; Each passes over it.
func (s *Snapshot) Translated(key resource.Key) []resource.Object {
	t, _ := s.translations.Get(objectKey(key))
	return t.objects
}

// Dependents returns the objects of a kind whose translation depends on the object with the
// key, whether it exists or not.
func (s *Snapshot) Dependents(key resource.Key, kind resource.Kind) []resource.Key {
	var out []resource.Key
	s.dependents.Walk(objectKey(key)+string(kind)+sep, func(k resource.Key) bool {
		out = append(out, k)
		return true
	})
	return out
}

// TranslatedBy returns the snapshot as it is under these options.
func (s *Snapshot) TranslatedBy(options translate.Options) *Snapshot {
	if options = options.WithDefaults(); s.options == options {
		return s
	}
	t := s.begin()
	t.translateBy(options)
	return t.commit(s.generation)
}

// TranslateBy sets the options by which objects are translated.
func (w *Writer) TranslateBy(options translate.Options) {
	if options = options.WithDefaults(); w.Snapshot().options == options {
		return
	}
	w.update(func(t *txn) { t.translateBy(options) })
}

func (t *txn) translateBy(options translate.Options) {
	t.options = options
	for _, kind := range translate.Kinds {
		t.Each(kind, func(o resource.Object) bool {
			t.outdate(o.Key())
			return true
		})
	}
}

// touch notes what depends on an object that was put or removed, itself included.
func (t *txn) touch(key resource.Key) {
	t.outdate(key)
	for _, dependency := range []resource.Key{key, {Kind: key.Kind}} {
		t.dependents.Walk(objectKey(dependency), func(source resource.Key) bool {
			t.outdate(source)
			return true
		})
	}
}

func (t *txn) outdate(key resource.Key) {
	if slices.Contains(translate.Kinds, key.Kind) {
		if t.outdated == nil {
			t.outdated = map[resource.Key]bool{}
		}
		t.outdated[key] = true
	}
}

// translate brings the translations up to date, each once. Their order does not matter:
// they depend on what is stored, and not on each other.
func (t *txn) translate() {
	for key := range t.outdated {
		t.translateOne(key)
	}
	t.outdated = nil
}

func (t *txn) translateOne(key resource.Key) {
	id := objectKey(key)
	if old, existed := t.translations.Delete(id); existed {
		for _, o := range old.objects {
			t.unindex(o)
			t.made.Delete(madeKey(o))
		}
		for _, r := range old.reads {
			t.dependents.Delete(objectKey(r) + id)
		}
	}
	o, ok := t.objects.Get(id)
	if !ok {
		return
	}
	reading := &reading{txn: t}
	made := translation{objects: translate.Objects(o, reading, t.options), reads: reading.keys}
	if len(made.objects)+len(made.reads) == 0 {
		return
	}
	t.translations.Insert(id, made)
	for _, o := range made.objects {
		t.index(o)
		t.made.Insert(madeKey(o), o)
	}
	for _, r := range made.reads {
		t.dependents.Insert(objectKey(r)+id, key)
	}
}

// Each calls f for every object of a kind until f returns false.
func (t *txn) Each(kind resource.Kind, f func(resource.Object) bool) {
	t.objects.Walk(string(kind)+sep, f)
}

// reading is a translate.World that remembers what it was asked for.
type reading struct {
	*txn
	keys []resource.Key
}

func (r *reading) note(key resource.Key) {
	if !slices.Contains(r.keys, key) {
		r.keys = append(r.keys, key)
	}
}

// Get returns the object with the key, or nil.
func (r *reading) Get(key resource.Key) resource.Object {
	r.note(key)
	o, ok := r.objects.Get(objectKey(key))
	if !ok {
		return nil
	}
	return o
}

// Each calls f for every object of a kind until f returns false.
func (r *reading) Each(kind resource.Kind, f func(resource.Object) bool) {
	r.note(resource.Key{Kind: kind})
	r.txn.Each(kind, f)
}

// madeKey is where a translated object is found: by the name that others refer to it by,
// and then by its origin, so that nobody's own object of that name takes its place.
func madeKey(o resource.Object) string {
	kind := resource.KindGateway
	if _, ok := o.(*resource.VirtualService); ok {
		kind = resource.KindVirtualService
	}
	m := o.GetMeta()
	return objectKey(resource.Key{Kind: kind, Namespace: m.Namespace, Name: m.Name}) + objectKey(o.Key())
}

// identity tells a Gateway or VirtualService from all others, translated ones included.
func identity(m *resource.Meta) string {
	if m.Origin != nil {
		return m.Namespace + sep + m.Name + sep + string(m.Origin.Key.Kind)
	}
	return m.Namespace + sep + m.Name
}
