package cluster

import (
	"fmt"
	"log/slog"
	"sync"

	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"

	"github.com/gatewarden/gatewarden/pkg/decode"
	"github.com/gatewarden/gatewarden/pkg/metrics"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
)

// store receives the objects of one kind from a Reflector, which calls it from one
// goroutine, and passes them on until it is closed.
type store struct {
	api      resource.API
	writer   *state.Writer
	recorder metrics.Recorder
	log      *slog.Logger
	listed   func() // called after each Replace
	heard    func() // called after each event and each bookmark; nil where nobody asks

	mu     sync.Mutex // held while writing
	closed bool
}

// close makes the store pass nothing on any more. What it was passing on has been written
// when it returns.
func (s *store) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

// write calls f, unless the store is closed, and reports whether it did.
func (s *store) write(f func(*state.Writer)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	f(s.writer)
	return true
}

// A Reflector that streams its first list collects it before it calls Replace. With a
// transformer, what it collects are slim objects already.
var _ cache.TransformingStore = (*store)(nil)

// slim is an object on its way through the Reflector, which asks it for its namespace and
// name.
type slim struct {
	metav1.TypeMeta
	metav1.ObjectMeta
	object resource.Object // nil if the object could not be read
}

// DeepCopyObject implements runtime.Object. Nobody writes to what was decoded.
func (s *slim) DeepCopyObject() runtime.Object {
	return &slim{TypeMeta: s.TypeMeta, ObjectMeta: *s.DeepCopy(), object: s.object}
}

// slimList decodes a page of a list. A Reflector that lists by pages has all of them before it calls
// Replace, and the full objects of a large cluster do not fit into the memory of a small pod.
func (s *store) slimList(list *unstructured.UnstructuredList) (*metainternalversion.List, error) {
	out := &metainternalversion.List{
		ListMeta: metav1.ListMeta{
			ResourceVersion: list.GetResourceVersion(), Continue: list.GetContinue(), RemainingItemCount: list.GetRemainingItemCount(),
		},
		Items: make([]runtime.Object, 0, len(list.Items)),
	}
	for i := range list.Items {
		o, err := s.slim(&list.Items[i])
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, o)
	}
	return out, nil
}

// Transformer makes slim objects.
func (s *store) Transformer() cache.TransformFunc {
	return func(o any) (any, error) { return s.slim(o) }
}

// slim decodes an object, if that was not done before.
func (s *store) slim(o any) (*slim, error) {
	switch o := o.(type) {
	case *slim:
		return o, nil
	case *raw:
		object, err := decode.Object(s.api, o.json)
		return s.read(o, object, err), nil
	case *unstructured.Unstructured:
		object, err := s.decode(o)
		return s.read(o, object, err), nil
	}
	return nil, fmt.Errorf("cluster: got a %T from the watch of %s", o, s.api.Resource)
}

// read makes a slim object of one that was decoded, or could not be.
func (s *store) read(o metav1.Object, object resource.Object, err error) *slim {
	out := &slim{ObjectMeta: metav1.ObjectMeta{Namespace: o.GetNamespace(), Name: o.GetName()}, object: object}
	if err != nil {
		s.recorder.Undecodable(s.api.Kind)
		s.log.Warn("an object cannot be read and is left out", "object", s.key(out).String(), "problem", err.Error())
	}
	return out
}

// decode reads an object of a list without the parts that are large and that no decoder reads, so
// that they are not encoded for nothing.
func (s *store) decode(u *unstructured.Unstructured) (resource.Object, error) {
	content := make(map[string]any, len(u.Object))
	for k, v := range u.Object {
		content[k] = v
	}
	switch s.api.Kind {
	case resource.KindPod, resource.KindNode, resource.KindCertificate: // their status is read
	default:
		delete(content, "status")
	}
	if m, ok := content["metadata"].(map[string]any); ok {
		metadata := make(map[string]any, len(m))
		for k, v := range m {
			if k != "managedFields" {
				metadata[k] = v
			}
		}
		content["metadata"] = metadata
	}
	raw, err := (&unstructured.Unstructured{Object: content}).MarshalJSON()
	if err != nil {
		return nil, err
	}
	return decode.Object(s.api, raw)
}

func (s *store) key(o *slim) resource.Key {
	return resource.Key{Kind: s.api.Kind, Namespace: o.Namespace, Name: o.Name}
}

// Add stores an object. One that can not be read takes its old form with it: whatever the
// cluster makes of the new one, it is not the old one.
func (s *store) Add(o any) error {
	object, err := s.slim(o)
	if err != nil {
		return err
	}
	if object.object == nil {
		s.write(func(w *state.Writer) { w.Delete(s.key(object)) })
		return nil
	}
	s.write(func(w *state.Writer) { w.Apply(object.object) })
	return nil
}

// Update stores an object.
func (s *store) Update(o any) error { return s.Add(o) }

// Delete removes an object, whether it can be read or not.
func (s *store) Delete(o any) error {
	m, ok := o.(metav1.Object)
	if !ok {
		return fmt.Errorf("cluster: got a %T from the watch of %s", o, s.api.Resource)
	}
	key := resource.Key{Kind: s.api.Kind, Namespace: m.GetNamespace(), Name: m.GetName()}
	s.write(func(w *state.Writer) { w.Delete(key) })
	return nil
}

// Replace makes the list all the objects of the kind.
func (s *store) Replace(list []any, _ string) error {
	objects := make([]resource.Object, 0, len(list))
	for _, o := range list {
		object, err := s.slim(o)
		if err != nil {
			return err
		}
		if object.object != nil {
			objects = append(objects, object.object)
		}
	}
	if s.write(func(w *state.Writer) { w.Replace(s.api.Kind, objects) }) {
		s.listed()
	}
	return nil
}

var _ cache.ResourceVersionUpdater = (*store)(nil)

// UpdateResourceVersion takes note of a sign of life: a Reflector calls it at each event, and at
// each bookmark, which an API server sends about once a minute when nothing happens
// (defaultBookmarkFrequency in k8s.io/apiserver pkg/storage/cacher/cacher.go).
func (s *store) UpdateResourceVersion(string) {
	if s.heard != nil {
		s.heard()
	}
}

// Resync does nothing: there is nothing to compare with.
func (s *store) Resync() error { return nil }
