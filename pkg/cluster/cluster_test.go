package cluster_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

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

// patience bounds what a test waits for. Nothing takes that long unless it is broken.
const patience = 20 * time.Second

// grace is how long a watch may be lost in these tests: more than the Reflector's first delay
// even on a machine that is busy, so that only a loss that lasts counts.
const grace = 2 * time.Second

// discovery serves the versions of groups that it is told to; each has all of the group's
// resources in resource.APIs.
type discovery struct {
	mu     sync.Mutex
	groups []metav1.APIGroup
	err    error
	asked  int
	// reached is closed when it was asked until times.
	until   int
	reached chan struct{}
}

func (d *discovery) set(err error, groups ...metav1.APIGroup) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.groups, d.err = groups, err
}

// has reports whether a group and version are served.
func (d *discovery) has(gv schema.GroupVersion) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, g := range d.groups {
		for _, v := range g.Versions {
			if g.Name == gv.Group && v.Version == gv.Version {
				return true
			}
		}
	}
	return d.err != nil
}

func (d *discovery) ServerGroupsWithContext(context.Context) (*metav1.APIGroupList, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.asked++; d.reached != nil && d.asked >= d.until {
		close(d.reached)
		d.reached = nil
	}
	return &metav1.APIGroupList{Groups: d.groups}, d.err
}

func (d *discovery) ServerResourcesForGroupVersionWithContext(_ context.Context, groupVersion string) (*metav1.APIResourceList, error) {
	gv, err := schema.ParseGroupVersion(groupVersion)
	if err != nil {
		return nil, err
	}
	if gv.Version == "gone" {
		return nil, apierrors.NewNotFound(schema.GroupResource{}, groupVersion)
	}
	out := &metav1.APIResourceList{GroupVersion: groupVersion}
	for _, api := range resource.APIs {
		if api.Group == gv.Group {
			out.APIResources = append(out.APIResources, metav1.APIResource{Name: api.Resource, Kind: string(api.Kind)})
		}
	}
	return out, nil
}

// group is a group with versions, the first of which it prefers.
func group(name string, versions ...string) metav1.APIGroup {
	g := metav1.APIGroup{Name: name}
	for _, v := range versions {
		g.Versions = append(g.Versions, metav1.GroupVersionForDiscovery{Version: v})
	}
	g.PreferredVersion = g.Versions[0]
	return g
}

var (
	core     = group("", "v1")
	apps     = group("apps", "v1")
	istio    = group("networking.istio.io", "v1", "v1beta1", "v1alpha3")
	oldIstio = group("networking.istio.io", "v1beta1", "v1alpha3")
	security = group("security.istio.io", "v1", "v1beta1")
)

// newClient returns a cluster with objects. The fake would put a Gateway under "gatewaies",
// so it is told where each one belongs.
func newClient(t *testing.T, objects ...*unstructured.Unstructured) *dynamicfake.FakeDynamicClient {
	t.Helper()
	lists := map[schema.GroupVersionResource]string{}
	for _, api := range resource.APIs {
		for _, v := range api.Versions {
			lists[schema.GroupVersionResource{Group: api.Group, Version: v, Resource: api.Resource}] = string(api.Kind) + "List"
		}
	}
	client := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), lists)
	for _, o := range objects {
		api, known := resource.Lookup(o.GetAPIVersion(), o.GetKind())
		require.True(t, known)
		gvr := o.GroupVersionKind().GroupVersion().WithResource(api.Resource)
		require.NoError(t, client.Tracker().Create(gvr, o, o.GetNamespace()))
	}
	return client
}

func object(apiVersion, kind, namespace, name string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": apiVersion, "kind": kind,
		"metadata": map[string]any{"namespace": namespace, "name": name},
		"spec":     map[string]any{"selector": map[string]any{}},
	}}
}

type world struct {
	*cluster.Cluster
	writer    *state.Writer
	discovery *discovery
	client    *dynamicfake.FakeDynamicClient
	log       log
}

// log is what was logged so far.
type log struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// run starts a Cluster and stops it at the end of the test.
func run(t *testing.T, client *dynamicfake.FakeDynamicClient, err error, groups ...metav1.APIGroup) *world {
	t.Helper()
	w := &world{writer: state.NewWriter(), discovery: &discovery{}, client: client}
	w.discovery.set(err, groups...)
	// What is not served has no list either, unless the test says so.
	client.ReactionChain = append(client.ReactionChain[:len(client.ReactionChain)-1], &clienttesting.SimpleReactor{
		Verb: "list", Resource: "*",
		Reaction: func(a clienttesting.Action) (bool, runtime.Object, error) {
			r := a.GetResource()
			return !w.discovery.has(r.GroupVersion()), nil, apierrors.NewNotFound(r.GroupResource(), "")
		},
	}, client.ReactionChain[len(client.ReactionChain)-1])
	w.Cluster = cluster.New(cluster.Options{
		Dynamic: client, Discovery: w.discovery, Writer: w.writer,
		Log: slog.New(slog.NewTextHandler(&w.log, nil)), Interval: 5 * time.Millisecond, Grace: grace,
	})
	assert.False(t, w.Synced())
	require.ErrorContains(t, w.Pending(), "has not been asked yet")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return w
}

func (w *world) has(kind resource.Kind, namespace, name string) func() bool {
	return func() bool {
		return w.writer.Snapshot().Get(resource.Key{Kind: kind, Namespace: namespace, Name: name}) != nil
	}
}

func eventually(t *testing.T, condition func() bool, what string) {
	t.Helper()
	require.Eventually(t, condition, patience, time.Millisecond, what)
}

func TestClusterListsAndWatchesWhatIsServed(t *testing.T) {
	w := run(t, newClient(t,
		object("v1", "Service", "a", "s"),
		object("networking.istio.io/v1", "Gateway", "a", "g"),
	), nil, core, apps, istio, security)
	eventually(t, w.Synced, "not synced")
	require.NoError(t, w.Pending())
	assert.True(t, w.has(resource.KindService, "a", "s")(), "synced before the Services were listed")
	assert.True(t, w.has(resource.KindGateway, "a", "g")(), "synced before the Gateways were listed")

	gateways := w.client.Resource(schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "gateways"}).Namespace("b")
	_, err := gateways.Create(t.Context(), object("networking.istio.io/v1", "Gateway", "b", "new"), metav1.CreateOptions{})
	require.NoError(t, err)
	eventually(t, w.has(resource.KindGateway, "b", "new"), "an object that was created is unknown")
	require.NoError(t, gateways.Delete(t.Context(), "new", metav1.DeleteOptions{}))
	eventually(t, func() bool { return !w.has(resource.KindGateway, "b", "new")() }, "an object that was deleted is still there")
}

func TestClusterFollowsKindsThatComeAndGo(t *testing.T) {
	w := run(t, newClient(t, object("networking.istio.io/v1beta1", "Gateway", "a", "g")), nil, core, apps)
	eventually(t, w.Synced, "a cluster without Istio is never synced")
	require.False(t, w.has(resource.KindGateway, "a", "g")())

	w.discovery.set(nil, core, apps, oldIstio)
	eventually(t, w.has(resource.KindGateway, "a", "g"), "a kind that was installed is not picked up, or not in the preferred version")
	eventually(t, w.Synced, "not synced again")

	w.discovery.set(nil, core, apps)
	eventually(t, func() bool { return !w.has(resource.KindGateway, "a", "g")() }, "the objects of a kind that went away are still there")
	eventually(t, w.Synced, "not synced without the kind")
}

func TestClusterMovesToAnotherVersion(t *testing.T) {
	w := run(t, newClient(t,
		object("networking.istio.io/v1beta1", "Gateway", "a", "old"),
		object("networking.istio.io/v1", "Gateway", "a", "new"),
	), nil, core, oldIstio)
	eventually(t, w.has(resource.KindGateway, "a", "old"), "not listed")

	w.discovery.set(nil, core, group("networking.istio.io", "v1"))
	eventually(t, w.has(resource.KindGateway, "a", "new"), "the new version is not watched")
	eventually(t, func() bool { return !w.has(resource.KindGateway, "a", "old")() }, "what only the old version had is still there")
}

func TestClusterPassesOverVersionsItCannotUse(t *testing.T) {
	w := run(t, newClient(t, object("networking.istio.io/v1alpha3", "Gateway", "a", "g")),
		nil, core, group("networking.istio.io", "v7", "v1alpha3"), group("security.istio.io", "gone"))
	eventually(t, w.has(resource.KindGateway, "a", "g"), "not listed")
	eventually(t, w.Synced, "not synced")
}

func TestClusterIsNotSyncedWhileAKindCannotBeListed(t *testing.T) {
	client := newClient(t, object("networking.istio.io/v1", "Gateway", "a", "g"))
	var mu sync.Mutex
	forbidden := true
	client.PrependReactor("list", "gateways", func(a clienttesting.Action) (bool, runtime.Object, error) {
		mu.Lock()
		defer mu.Unlock()
		return forbidden && a.GetResource().Group == gateways.Group, nil, errors.New("gateways are forbidden")
	})
	w := run(t, client, nil, core, istio)
	eventually(t, func() bool {
		err := w.Pending()
		return err != nil && err.Error() == "gateways.networking.istio.io cannot be listed: gateways are forbidden"
	}, "the reason is not told")
	assert.False(t, w.Synced())

	mu.Lock()
	forbidden = false
	mu.Unlock()
	eventually(t, w.Synced, "not synced when the kind can be listed")
	assert.True(t, w.has(resource.KindGateway, "a", "g")())
}

func TestClusterKeepsWatchingWhenDiscoveryFails(t *testing.T) {
	w := run(t, newClient(t, object("v1", "Service", "a", "s")), errors.New("connection refused"))
	eventually(t, func() bool {
		err := w.Pending()
		return err != nil && err.Error() == "the cluster cannot be asked which kinds it serves: connection refused"
	}, "the reason is not told")

	w.discovery.set(nil, core)
	eventually(t, w.Synced, "not synced after the failure")
	w.discovery.set(errors.New("connection refused"))
	services := w.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "services"}).Namespace("b")
	_, err := services.Create(t.Context(), object("v1", "Service", "b", "new"), metav1.CreateOptions{})
	require.NoError(t, err)
	eventually(t, w.has(resource.KindService, "b", "new"), "the watch ended with the discovery")
	assert.True(t, w.Synced())
}
