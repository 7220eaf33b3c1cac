package cluster

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	"github.com/gatewarden/gatewarden/pkg/metrics"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
)

// undecodable counts what could not be read.
type undecodable struct {
	metrics.Discard
	kinds []resource.Kind
}

func (u *undecodable) Undecodable(k resource.Kind) { u.kinds = append(u.kinds, k) }

type storeTest struct {
	*store
	lists  int
	counts *undecodable
	log    *strings.Builder
}

func newStore(kind resource.Kind) *storeTest {
	t := &storeTest{counts: &undecodable{}, log: &strings.Builder{}}
	t.store = &store{
		api: resource.ByKind(kind), writer: state.NewWriter(), recorder: t.counts,
		log:    slog.New(slog.NewTextHandler(t.log, nil)),
		listed: func() { t.lists++ },
	}
	return t
}

func gateway(namespace, name string, spec map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "Gateway",
		"metadata": map[string]any{
			"namespace": namespace, "name": name, "resourceVersion": "7",
			"managedFields": []any{map[string]any{"manager": "kubectl"}},
		},
		"spec": spec, "status": map[string]any{"conditions": []any{}},
	}}
}

func selecting(value string) map[string]any {
	return map[string]any{"selector": map[string]any{"app": value}}
}

// broken can not be decoded: a selector is a map.
var broken = map[string]any{"selector": "all of them"}

func (t *storeTest) get(namespace, name string) resource.Object {
	return t.writer.Snapshot().Get(resource.Key{Kind: t.api.Kind, Namespace: namespace, Name: name})
}

func TestStoreFollowsEvents(t *testing.T) {
	s := newStore(resource.KindGateway)

	require.NoError(t, s.Add(gateway("a", "one", selecting("x"))))
	require.NotNil(t, s.get("a", "one"))
	require.NoError(t, s.Update(gateway("a", "one", selecting("y"))))
	assert.Equal(t, map[string]string{"app": "y"}, s.get("a", "one").(*resource.Gateway).Selector)
	require.NoError(t, s.Delete(gateway("a", "one", selecting("y"))))
	assert.Nil(t, s.get("a", "one"))
	require.NoError(t, s.Resync())
	assert.Empty(t, s.counts.kinds)
}

func TestStoreReplacesAll(t *testing.T) {
	s := newStore(resource.KindGateway)
	require.NoError(t, s.Add(gateway("a", "gone", selecting("x"))))

	require.NoError(t, s.Replace([]any{
		gateway("a", "one", selecting("x")),
		gateway("b", "bad", broken),
		gateway("b", "two", selecting("x")),
	}, "8"))

	assert.Nil(t, s.get("a", "gone"))
	assert.NotNil(t, s.get("a", "one"))
	assert.Nil(t, s.get("b", "bad"))
	assert.NotNil(t, s.get("b", "two"), "an object behind a bad one was lost")
	assert.Equal(t, 1, s.lists)
	assert.Equal(t, []resource.Kind{resource.KindGateway}, s.counts.kinds)
	assert.Contains(t, s.log.String(), `object="Gateway b/bad"`)
	assert.Contains(t, s.log.String(), "spec.selector")
}

func TestStoreDropsTheOldFormOfWhatItCannotRead(t *testing.T) {
	s := newStore(resource.KindGateway)
	require.NoError(t, s.Add(gateway("a", "one", selecting("x"))))

	require.NoError(t, s.Update(gateway("a", "one", broken)))
	assert.Nil(t, s.get("a", "one"))
	require.NoError(t, s.Update(gateway("a", "one", selecting("z"))))
	assert.NotNil(t, s.get("a", "one"))
	require.NoError(t, s.Update(gateway("a", "one", broken)))
	require.NoError(t, s.Delete(gateway("a", "one", broken)))
	assert.Nil(t, s.get("a", "one"))
	assert.Len(t, s.counts.kinds, 2, "an object that is deleted need not be read")
}

func TestStoreTransformsForTheReflector(t *testing.T) {
	s := newStore(resource.KindGateway)
	original := gateway("a", "one", selecting("x"))

	o, err := s.Transformer()(original)
	require.NoError(t, err)
	require.IsType(t, &slim{}, o)
	again, err := s.Transformer()(o)
	require.NoError(t, err)
	assert.Same(t, o, again)
	key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(o)
	require.NoError(t, err)
	assert.Equal(t, "a/one", key)
	bad, err := s.Transformer()(gateway("a", "bad", broken))
	require.NoError(t, err, "one bad object must not end the list")

	require.NoError(t, s.Replace([]any{o, bad}, "8"))
	assert.NotNil(t, s.get("a", "one"))
	assert.Len(t, s.counts.kinds, 1, "each object is read once")
	require.NoError(t, s.Delete(o))
	assert.Nil(t, s.get("a", "one"))

	assert.Contains(t, original.Object, "status", "the Reflector's object was changed")
	assert.NotEmpty(t, original.GetManagedFields(), "the Reflector's object was changed")
}

func TestStoreKeepsPodAddresses(t *testing.T) {
	s := newStore(resource.KindPod)
	require.NoError(t, s.Add(&unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Pod",
		"metadata": map[string]any{"namespace": "a", "name": "p"},
		"spec":     map[string]any{"containers": []any{map[string]any{"name": "c"}}},
		"status":   map[string]any{"podIP": "10.0.0.1", "podIPs": []any{map[string]any{"ip": "10.0.0.1"}}},
	}}))
	require.NotNil(t, s.get("a", "p"))
	assert.Equal(t, []string{"10.0.0.1"}, s.get("a", "p").(*resource.Workload).Pod.PodIPs)
}

func TestStoreRefusesForeignTypes(t *testing.T) {
	s := newStore(resource.KindGateway)
	require.Error(t, s.Add("text"))
	require.Error(t, s.Delete("text"))
	require.Error(t, s.Replace([]any{"text"}, "1"))
	assert.Zero(t, s.lists)
}

// What a Reflector is content with may be older than what is stored.
func TestRequestsForObjectsAreConsistent(t *testing.T) {
	list := consistent(metav1.ListOptions{ResourceVersion: "0", ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan, Limit: 500})
	assert.Equal(t, metav1.ListOptions{Limit: 500}, list)
	page := metav1.ListOptions{Continue: "next", Limit: 500}
	assert.Equal(t, page, consistent(page))
	stream := consistent(metav1.ListOptions{
		ResourceVersion: "7", ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan, SendInitialEvents: ptr.To(true),
	})
	assert.Equal(t, metav1.ListOptions{
		ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan, SendInitialEvents: ptr.To(true),
	}, stream)
}
