package apiserver_test

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/test/apiserver"
	"github.com/gatewarden/gatewarden/test/deploy"
)

// another starts a server of a test's own: what is installed in it goes.
func another(t *testing.T, o apiserver.Options) *apiserver.Server {
	t.Helper()
	s, err := apiserver.Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop()) })
	return s
}

func manifests(t *testing.T, kustomization string) []*unstructured.Unstructured {
	t.Helper()
	objects, err := deploy.Render(t.Context(), kustomization)
	require.NoError(t, err)
	return objects
}

// applied applies manifests as they are, webhook configurations included: nobody answers where these
// lead to.
func applied(t *testing.T, s *apiserver.Server, objects []*unstructured.Unstructured) {
	t.Helper()
	for _, o := range objects {
		a := s.Admin.Apply(t.Context(), o)
		require.NoError(t, a.Err, "%s %s", o.GetKind(), o.GetName())
		assert.Empty(t, a.Warnings, "%s %s", o.GetKind(), o.GetName())
	}
}

func httpGateway(name string) *unstructured.Unstructured {
	return object("default", name, "networking.istio.io/v1", "Gateway", map[string]any{
		"selector": map[string]any{"istio": "other"},
		"servers": []any{map[string]any{
			"port":  map[string]any{"number": int64(80), "name": "http", "protocol": "HTTP"},
			"hosts": []any{name + ".example.org"},
		}},
	})
}

// closed and opened wait until the API server refuses and admits a Gateway.
func closed(t *testing.T, s *apiserver.Server) {
	t.Helper()
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		err := s.Admin.Create(context.Background(), httpGateway("probe"), client.DryRunAll).Err
		if assert.Error(t, err) {
			assert.Contains(t, err.Error(), "failed calling webhook")
		}
	}, 30*time.Second, 50*time.Millisecond)
}

func opened(t *testing.T, s *apiserver.Server) {
	t.Helper()
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		assert.NoError(t, s.Admin.Create(context.Background(), httpGateway("probe"), client.DryRunAll).Err)
	}, 30*time.Second, 50*time.Millisecond)
}

// empty does what the namespace controller of a cluster does with a namespace that is deleted, as
// which it acts: it deletes all that is in it, and lets go of it.
func empty(t *testing.T, s *apiserver.Server, namespace string) {
	t.Helper()
	config := rest.CopyConfig(s.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: policy.Cleaners[0], Groups: []string{"system:masters"}}
	config.WarningHandler = rest.NoWarnings{}
	d, err := dynamic.NewForConfig(config)
	require.NoError(t, err)
	kinds, err := discovery.NewDiscoveryClientForConfig(config)
	require.NoError(t, err)
	lists, err := kinds.ServerPreferredNamespacedResources()
	require.NoError(t, err)
	resources, err := discovery.GroupVersionResources(discovery.FilteredBy(discovery.SupportsAllVerbs{Verbs: []string{"list", "deletecollection"}}, lists))
	require.NoError(t, err)
	for gvr := range resources {
		of := d.Resource(gvr).Namespace(namespace)
		require.NoError(t, of.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}), "%s", gvr)
		left, err := of.List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err)
		assert.Empty(t, left.Items, "%s", gvr)
	}
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": namespace}}}
	require.NoError(t, s.Client().Get(t.Context(), client.ObjectKeyFromObject(o), o))
	require.NotNil(t, o.GetDeletionTimestamp(), "the namespace %s is being deleted", namespace)
	require.NoError(t, s.Client().SubResource("finalize").Update(t.Context(), edited(o, []any{}, "spec", "finalizers")))
	require.True(t, apierrors.IsNotFound(s.Client().Get(t.Context(), client.ObjectKeyFromObject(o), o)), "the namespace %s is gone", namespace)
}

// Whatever goes first, the rest can go, and nothing is left that stands in anybody's way.
func TestUninstallInAnyOrder(t *testing.T) {
	s := another(t, apiserver.Options{})
	all := manifests(t, deploy.SelfManaged)
	backwards := slices.Clone(all)
	slices.Reverse(backwards)
	orders := map[string][]*unstructured.Unstructured{"as they are listed": all, "backwards": backwards}
	for _, seed := range []uint64{1, 2, 3} {
		shuffled := slices.Clone(all)
		rand.New(rand.NewPCG(seed, seed)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		orders["shuffled "+string(rune('0'+seed))] = shuffled
	}
	for _, name := range slices.Sorted(maps.Keys(orders)) {
		t.Run(name, func(t *testing.T) {
			applied(t, s, all)
			// In gatewarden's own namespace there may be Istio's objects, too.
			require.NoError(t, s.Admin.Apply(t.Context(), object(apiserver.Namespace, "default", "security.istio.io/v1", "PeerAuthentication",
				map[string]any{"mtls": map[string]any{"mode": "DISABLE"}})).Err)
			closed(t, s)
			for _, o := range orders[name] {
				require.NoError(t, client.IgnoreNotFound(s.Admin.Delete(t.Context(), o).Err), "%s %s", o.GetKind(), o.GetName())
			}
			empty(t, s, apiserver.Namespace)
			for _, o := range all {
				left := o.DeepCopy()
				assert.True(t, apierrors.IsNotFound(s.Client().Get(t.Context(), client.ObjectKeyFromObject(o), left)), "%s %s", o.GetKind(), o.GetName())
			}
			opened(t, s)
			if t.Failed() {
				t.FailNow()
			}
		})
	}
}

// While no replica answers, namespaces with policies that must not be taken away go all the same,
// and one command opens the gate.
func TestNamespacesGoAndTheGateOpensWithoutGatewarden(t *testing.T) {
	s := another(t, apiserver.Options{})
	const tenant = "kubeflow" // protected
	strict := object(tenant, "strict", "security.istio.io/v1", "PeerAuthentication", map[string]any{"mtls": map[string]any{"mode": "STRICT"}})
	route := object(tenant, "route", "networking.istio.io/v1", "VirtualService", map[string]any{
		"hosts": []any{"a.example.org"},
		"http":  []any{map[string]any{"route": []any{map[string]any{"destination": map[string]any{"host": "a"}}}}},
	})
	require.NoError(t, s.Admin.Load(t.Context(), strict, route, httpGateway("stored")))
	applied(t, s, manifests(t, deploy.SelfManaged))
	closed(t, s)
	requireSent(t, s.Admin.Delete(t.Context(), strict), "by whoever else")
	requireSent(t, s.Admin.Apply(t.Context(), edited(route, []any{"b.example.org"}, "spec", "hosts")))

	require.NoError(t, s.Admin.Delete(t.Context(), object("", tenant, "v1", "Namespace", nil)).Err)
	empty(t, s, tenant)

	for _, kind := range []string{"ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"} {
		require.NoError(t, s.Admin.Delete(t.Context(), object("", "gatewarden", "admissionregistration.k8s.io/v1", kind, nil)).Err)
	}
	opened(t, s)
	require.NoError(t, s.Admin.Update(t.Context(), edited(httpGateway("stored"), map[string]any{"istio": "changed"}, "spec", "selector")).Err)
	require.NoError(t, s.Admin.Delete(t.Context(), httpGateway("stored")).Err)
}

// The manifests can be applied over the previous ones and back: nothing that can not be changed
// differs. previous.yaml is deploy/base as it was before the last change of that kind.
func TestUpgradeAndRollback(t *testing.T) {
	s := another(t, apiserver.Options{})
	previous, err := apiserver.ReadObjects("testdata/previous.yaml")
	require.NoError(t, err)
	selector := func() any {
		o := object(apiserver.Namespace, "gatewarden", "apps/v1", "Deployment", nil)
		require.NoError(t, s.Client().Get(t.Context(), client.ObjectKeyFromObject(o), o))
		labels, _, err := unstructured.NestedMap(o.Object, "spec", "selector")
		require.NoError(t, err)
		return labels
	}
	before := selector()
	for _, o := range manifests(t, deploy.Base) {
		if o.GetKind() != "Namespace" { // nobody here would make it go
			require.NoError(t, client.IgnoreNotFound(s.Admin.Delete(t.Context(), o).Err), "%s %s", o.GetKind(), o.GetName())
		}
	}
	for _, objects := range [][]*unstructured.Unstructured{previous, manifests(t, deploy.Base), previous, manifests(t, deploy.SelfManaged), previous} {
		applied(t, s, objects)
		closed(t, s)
		assert.Equal(t, before, selector(), "the Service leads to the old pods and to the new ones")
	}
}
