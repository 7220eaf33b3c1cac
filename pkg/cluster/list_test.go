package cluster_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/gatewarden/gatewarden/pkg/cluster"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
)

// listAll lists a cluster that serves groups, once.
func listAll(t *testing.T, client *dynamicfake.FakeDynamicClient, groups ...metav1.APIGroup) (*state.Snapshot, []resource.API, error) {
	t.Helper()
	d := &discovery{groups: groups}
	client.PrependReactor("list", "*", func(a clienttesting.Action) (bool, runtime.Object, error) {
		r := a.GetResource()
		return !d.has(r.GroupVersion()), nil, apierrors.NewNotFound(r.GroupResource(), "")
	})
	w := state.NewWriter()
	forbidden, err := cluster.List(t.Context(), cluster.Options{Dynamic: client, Discovery: d, Writer: w})
	return w.Snapshot(), forbidden, err
}

func key(kind resource.Kind, namespace, name string) resource.Key {
	return resource.Key{Kind: kind, Namespace: namespace, Name: name}
}

func TestList(t *testing.T) {
	s, forbidden, err := listAll(t, newClient(t,
		object("v1", "Service", "a", "s"),
		object("networking.istio.io/v1beta1", "Gateway", "a", "g"),
		object("security.istio.io/v1", "PeerAuthentication", "a", "not-served"),
	), core, apps, oldIstio)
	require.NoError(t, err)
	assert.Empty(t, forbidden)
	assert.True(t, s.Complete())
	assert.Equal(t, 2, s.Len())
	assert.NotNil(t, s.Get(key(resource.KindService, "a", "s")))
	assert.NotNil(t, s.Get(key(resource.KindGateway, "a", "g")))
}

// gatewayLists answers lists of Istio's Gateways.
func gatewayLists(client *dynamicfake.FakeDynamicClient, answer func() (runtime.Object, error)) {
	client.PrependReactor("list", "gateways", func(a clienttesting.Action) (bool, runtime.Object, error) {
		if a.GetResource().Group != gateways.Group {
			return false, nil, nil
		}
		o, err := answer()
		return true, o, err
	})
}

func page(next string, names ...string) *unstructured.UnstructuredList {
	l := &unstructured.UnstructuredList{}
	l.SetAPIVersion("networking.istio.io/v1")
	l.SetKind("GatewayList")
	l.SetContinue(next)
	for _, n := range names {
		l.Items = append(l.Items, *object("networking.istio.io/v1", "Gateway", "a", n))
	}
	return l
}

// A list that takes longer than the API server remembers is begun anew, and what is in it twice
// is there once.
func TestListPages(t *testing.T) {
	client := newClient(t)
	// The fake does not tell which page it is asked for.
	pages := []*unstructured.UnstructuredList{page("more", "one", "two"), nil, page("more", "one", "two"), page("", "three")}
	gatewayLists(client, func() (runtime.Object, error) {
		next := pages[0]
		pages = pages[1:]
		if next == nil {
			return nil, apierrors.NewResourceExpired("the continue token is too old")
		}
		return next, nil
	})
	s, _, err := listAll(t, client, core, istio)
	require.NoError(t, err)
	assert.Equal(t, 3, s.Len())
	assert.Empty(t, pages)

	client = newClient(t)
	gatewayLists(client, func() (runtime.Object, error) {
		return nil, apierrors.NewResourceExpired("too old")
	})
	_, _, err = listAll(t, client, core, istio)
	require.ErrorContains(t, err, "gateways.networking.istio.io cannot be listed: too old")
}

func TestListTellsWhatIsForbidden(t *testing.T) {
	client := newClient(t, object("v1", "Service", "a", "s"))
	gatewayLists(client, func() (runtime.Object, error) {
		return nil, apierrors.NewForbidden(gateways.GroupResource(), "", errors.New("no permission"))
	})
	s, forbidden, err := listAll(t, client, core, istio)
	require.NoError(t, err)
	assert.Equal(t, []resource.API{resource.ByKind(resource.KindGateway)}, forbidden)
	assert.False(t, s.Complete(), "what is not in the state may exist")
	assert.NotNil(t, s.Get(key(resource.KindService, "a", "s")))
}

// What only audits read leaves the state complete, and the state says what is missing and why.
func TestListDoesWithoutWhatOnlyAuditsRead(t *testing.T) {
	client := newClient(t, object("v1", "Service", "a", "s"), node("n", "5.15.0"))
	lists := func(kinds string, err error) {
		client.PrependReactor("list", kinds, func(clienttesting.Action) (bool, runtime.Object, error) { return err != nil, nil, err })
	}
	lists("configmaps", apierrors.NewInternalError(errors.New("etcd is away")))
	s, forbidden, err := listAll(t, client, core, istio)
	require.NoError(t, err)
	assert.Empty(t, forbidden)
	assert.True(t, s.Complete())
	assert.NotNil(t, s.Get(key(resource.KindNode, "", "n")))
	assert.Empty(t, s.Lacking(resource.KindNode))
	assert.Equal(t, state.NotServed, s.Lacking(resource.KindCertificate))
	assert.Contains(t, s.Lacking(resource.KindConfigMap), "etcd is away")

	lists("nodes", apierrors.NewForbidden(schema.GroupResource{Resource: "nodes"}, "", errors.New("who are you")))
	s, forbidden, err = listAll(t, client, core, istio)
	require.NoError(t, err)
	assert.Equal(t, []resource.API{resource.ByKind(resource.KindNode)}, forbidden)
	assert.True(t, s.Complete())
	assert.Contains(t, s.Lacking(resource.KindNode), "who are you")
}

func TestListFailsRatherThanLeavesSomethingOut(t *testing.T) {
	client := newClient(t)
	gatewayLists(client, func() (runtime.Object, error) {
		return nil, apierrors.NewInternalError(errors.New("etcd is away"))
	})
	_, _, err := listAll(t, client, core, istio)
	require.ErrorContains(t, err, "gateways.networking.istio.io cannot be listed: ")

	// Discovery leaves the kind out, and its own list does not say that it is not there.
	client = newClient(t)
	w := state.NewWriter()
	gatewayLists(client, func() (runtime.Object, error) {
		return nil, apierrors.NewServiceUnavailable("the server is starting")
	})
	_, err = cluster.List(t.Context(), cluster.Options{Dynamic: client, Discovery: &discovery{groups: []metav1.APIGroup{core}}, Writer: w})
	require.ErrorContains(t, err, "the cluster does not say whether it serves gateways.networking.istio.io: ")

	_, err = cluster.List(t.Context(), cluster.Options{Dynamic: newClient(t), Discovery: &discovery{err: errors.New("connection refused")}, Writer: w})
	require.EqualError(t, err, "the cluster cannot be asked which kinds it serves: connection refused")
}
