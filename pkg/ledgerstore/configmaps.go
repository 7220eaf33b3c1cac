package ledgerstore

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/decode"
	"github.com/gatewarden/gatewarden/pkg/ledger"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// Label is on the ConfigMaps that are entries of the ledger. Its value is the version of their form.
const (
	Label   = config.Domain + "/reservation"
	version = "v1"
)

// The keys of an entry's data.
const (
	keyKind      = "kind"
	keyNamespace = "namespace"
	keyName      = "name"
	keyOperation = "operation"
	keyUID       = "uid"
	keyBefore    = "before"
	keyRequest   = "request"
	keyRequester = "requester"
	keyReplica   = "replica"
	keyObject    = "object" // JSON, or gzip of it in binaryData
)

const (
	// maxPlain is up to which size, in bytes, an object is not compressed: nearly all are a few KiB, and to
	// compress one takes half a millisecond and 1.2 MB of memory (compress/flate makes its tables for
	// each), which was more than all else that a reservation costs here.
	maxPlain = 32 << 10
	// maxData is how much data a ConfigMap can have (MaxSecretSize in k8s.io/kubernetes
	// pkg/apis/core/types.go, which holds for both), less what the fields beside the object take.
	maxData = 1<<20 - 16<<10
	// maxObject bounds what is unpacked: no API server takes a larger object (MaxRequestBodyBytes in
	// k8s.io/apiserver pkg/server/config.go).
	maxObject = 3 << 20
)

// ErrTooLarge means that an object does not fit into the ledger.
var ErrTooLarge = errors.New("the object is too large to be reserved: more than 1 MiB after compression")

// ConfigMaps is a ledger in a cluster: each entry is a ConfigMap, and its resourceVersion is the
// revision. All replicas of a cluster share it.
type ConfigMaps struct {
	client corev1client.ConfigMapInterface
}

var _ Store = (*ConfigMaps)(nil)

// NewConfigMaps returns the ledger in a namespace. Its requests are not held back: each is one that
// somebody waits for.
func NewConfigMaps(config *rest.Config, namespace string) (*ConfigMaps, error) {
	config = rest.CopyConfig(config)
	config.QPS = -1
	// As Kubernetes' own components ask, which is less work on both sides.
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	client, err := corev1client.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &ConfigMaps{client.ConfigMaps(namespace)}, nil
}

// Reserve creates a ConfigMap.
func (s *ConfigMaps) Reserve(ctx context.Context, id string, c ledger.Change, raw []byte) (ledger.Revision, error) {
	entry, err := encode(id, c, raw)
	if err != nil {
		return 0, err
	}
	created, err := s.client.Create(ctx, entry, metav1.CreateOptions{})
	if err != nil {
		return 0, err
	}
	return revision(created.ResourceVersion)
}

// Remove deletes a ConfigMap.
func (s *ConfigMaps) Remove(ctx context.Context, id string) error {
	err := s.client.Delete(ctx, id, metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// Run lists and watches the ConfigMaps. Each list is one of what is stored now, and a watch goes on
// where the last one ended, so no event is missed without a new list.
func (s *ConfigMaps) Run(ctx context.Context, sink Sink) {
	selected := func(o metav1.ListOptions) metav1.ListOptions {
		o.LabelSelector = Label + "=" + version
		return o
	}
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.ResourceVersion, o.ResourceVersionMatch = "", ""
			return s.client.List(ctx, selected(o))
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			if o.SendInitialEvents != nil && *o.SendInitialEvents {
				o.ResourceVersion = ""
			}
			return s.client.Watch(ctx, selected(o))
		},
	}
	reflector := cache.NewReflectorWithOptions(lw, &corev1.ConfigMap{}, events{sink},
		cache.ReflectorOptions{
			Name: "ledger", TypeDescription: "reservations",
			Backoff: &wait.Backoff{Duration: 200 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 10, Cap: 2 * time.Second},
		})
	reflector.RunWithContext(ctx)
}

// List returns the entries that there are.
func (s *ConfigMaps) List(ctx context.Context) ([]corev1.ConfigMap, error) {
	list, err := s.client.List(ctx, metav1.ListOptions{LabelSelector: Label})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// events passes on what a Reflector gets.
type events struct{ sink Sink }

var (
	_ cache.ReflectorStore         = events{}
	_ cache.ResourceVersionUpdater = events{}
)

// Add passes on a new entry.
func (e events) Add(o any) error {
	m, ok := o.(*corev1.ConfigMap)
	if !ok {
		return fmt.Errorf("ledgerstore: got a %T from the watch of reservations", o)
	}
	r, err := Decode(m)
	if err != nil {
		return err
	}
	e.sink.Added(r)
	return nil
}

// Update passes on an entry that somebody has written to. What it was first counts.
func (e events) Update(o any) error { return e.Add(o) }

// Delete passes on the end of an entry.
func (e events) Delete(o any) error {
	m, ok := o.(*corev1.ConfigMap)
	if !ok {
		return fmt.Errorf("ledgerstore: got a %T from the watch of reservations", o)
	}
	at, err := revision(m.ResourceVersion)
	if err != nil {
		return err
	}
	e.sink.Removed(m.Name, at)
	return nil
}

// Replace passes on a list.
func (e events) Replace(list []any, at string) error {
	reached, err := revision(at)
	if err != nil {
		return err
	}
	all := make([]*ledger.Reservation, 0, len(list))
	for _, o := range list {
		m, ok := o.(*corev1.ConfigMap)
		if !ok {
			return fmt.Errorf("ledgerstore: got a %T from the list of reservations", o)
		}
		r, err := Decode(m)
		if err != nil {
			return err
		}
		all = append(all, r)
	}
	e.sink.Listed(all, reached)
	return nil
}

// Resync does nothing: there is nothing to compare with.
func (events) Resync() error { return nil }

// UpdateResourceVersion passes on how far the watch is.
func (e events) UpdateResourceVersion(at string) {
	if reached, err := revision(at); err == nil {
		e.sink.Reached(reached)
	}
}

func revision(resourceVersion string) (ledger.Revision, error) {
	n, err := strconv.ParseUint(resourceVersion, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("the resourceVersion %q of a reservation is no number", resourceVersion)
	}
	return ledger.Revision(n), nil
}

// encode makes the ConfigMap of a change.
func encode(id string, c ledger.Change, raw []byte) (*corev1.ConfigMap, error) {
	m := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: id, Labels: map[string]string{Label: version}},
		Data: map[string]string{
			keyKind: string(c.Key.Kind), keyNamespace: c.Key.Namespace, keyName: c.Key.Name,
			keyOperation: string(c.Operation), keyUID: c.UID, keyBefore: strconv.FormatUint(c.Before, 10),
			keyRequest: c.Request, keyRequester: c.Requester, keyReplica: c.Replica,
		},
	}
	if c.Operation == policy.Delete {
		return m, nil
	}
	if len(raw) <= maxPlain && utf8.Valid(raw) { // data is text
		m.Data[keyObject] = string(raw)
		return m, nil
	}
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(raw); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if packed.Len() > maxData || len(raw) > maxObject {
		return nil, ErrTooLarge
	}
	m.BinaryData = map[string][]byte{keyObject: packed.Bytes()}
	return m, nil
}

// Decode reads the ConfigMap of a reservation. What it says may make it Unreadable; an error means
// that it was not an API server that sent it.
func Decode(m *corev1.ConfigMap) (*ledger.Reservation, error) {
	at, err := revision(m.ResourceVersion)
	if err != nil {
		return nil, err
	}
	r := &ledger.Reservation{ID: m.Name, Revision: at}
	if r.Change, err = read(m); err != nil {
		r.Unreadable = err.Error()
	}
	return r, nil
}

// read reads what a ConfigMap says.
func read(m *corev1.ConfigMap) (c ledger.Change, err error) {
	d := m.Data
	c = ledger.Change{
		Key:       resource.Key{Kind: resource.Kind(d[keyKind]), Namespace: d[keyNamespace], Name: d[keyName]},
		Operation: policy.Operation(d[keyOperation]), UID: d[keyUID],
		Request: d[keyRequest], Requester: d[keyRequester], Replica: d[keyReplica],
	}
	if c.Before, err = strconv.ParseUint(d[keyBefore], 10, 64); err != nil {
		return c, fmt.Errorf("data.%s: %q is no version", keyBefore, d[keyBefore])
	}
	api, known := resource.Known(c.Key.Kind)
	if !known {
		return c, fmt.Errorf("data.%s: %q is no kind that gatewarden reads", keyKind, c.Key.Kind)
	}
	switch c.Operation {
	case policy.Delete:
		return c, nil
	case policy.Create, policy.Update:
	default:
		return c, fmt.Errorf("data.%s: %q is none of CREATE, UPDATE and DELETE", keyOperation, c.Operation)
	}
	place, raw := "data", []byte(d[keyObject])
	if len(raw) == 0 {
		place = "binaryData"
		raw, err = unpack(m.BinaryData[keyObject])
	}
	if err == nil {
		c.Object, err = decode.Object(api, raw)
	}
	if err != nil {
		return c, fmt.Errorf("%s.%s: %w", place, keyObject, err)
	}
	// What the request had in its URL only.
	meta := c.Object.GetMeta()
	meta.Namespace, meta.Name = c.Key.Namespace, c.Key.Name
	return c, nil
}

// unpack unpacks an object.
func unpack(packed []byte) ([]byte, error) {
	unpacked, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(unpacked, maxObject+1))
	if err == nil && len(raw) > maxObject {
		err = errors.New("is larger than any object can be")
	}
	return raw, err
}
