package apiserver_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gatewarden/gatewarden/pkg/cluster"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
	"github.com/gatewarden/gatewarden/test/apiserver"
)

const (
	patience = 90 * time.Second
	poll     = 5 * time.Millisecond
)

// logs is what was logged so far.
type logs = apiserver.Log

// follow keeps a state in step with an API server, with gatewarden's permissions, until the
// end of the test or until stop.
func follow(t *testing.T, s *apiserver.Server, log *apiserver.Log) (c *cluster.Cluster, w *state.Writer, stop func()) {
	t.Helper()
	config, err := s.GuardConfig(t.Context())
	require.NoError(t, err)
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = 50, 100
	d, err := cluster.NewClient(config)
	require.NoError(t, err)
	kinds, err := discovery.NewDiscoveryClientForConfig(config)
	require.NoError(t, err)
	w = state.NewWriter()
	c = cluster.New(cluster.Options{
		Dynamic: d, Discovery: kinds, Writer: w, Log: slog.New(slog.NewTextHandler(log, nil)), Interval: 500 * time.Millisecond,
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Run(ctx)
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return c, w, stop
}

func gateway(name string) *unstructured.Unstructured {
	return object("default", name, "networking.istio.io/v1", "Gateway", map[string]any{
		"selector": map[string]any{"app": name},
		"servers": []any{map[string]any{
			"port":  map[string]any{"number": int64(80), "name": "http", "protocol": "HTTP"},
			"hosts": []any{name + ".example.org"},
		}},
	})
}

func holds(w *state.Writer, o *unstructured.Unstructured) bool {
	return w.Snapshot().Get(resource.Key{Kind: resource.Kind(o.GetKind()), Namespace: o.GetNamespace(), Name: o.GetName()}) != nil
}

// TestStateSurvivesRestartsOfTheAPIServer restarts kube-apiserver under a state, several
// times: whether discovery is asked in the moment in which the server does not know of its
// CustomResourceDefinitions yet is a matter of chance.
func TestStateSurvivesRestartsOfTheAPIServer(t *testing.T) {
	s, err := apiserver.Start(t.Context(), apiserver.Options{RequestTimeout: 5 * time.Second})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop()) })
	var log apiserver.Log
	c, w, stop := follow(t, s, &log)
	t.Cleanup(stop) // before the server is stopped, which waits for open watches
	first := gateway("first")
	require.NoError(t, s.Admin.Create(t.Context(), first).Err)
	require.Eventually(t, func() bool { return c.Synced() && holds(w, first) }, patience, poll)

	// What is there is looked at all the time from here on.
	looking, looked := make(chan struct{}), make(chan struct{})
	var dropped, stale bool
	var mu sync.Mutex
	var must []*unstructured.Unstructured // what a synced state has to hold
	go func() {
		defer close(looked)
		ticker := time.NewTicker(time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-looking:
				return
			case <-ticker.C:
			}
			mu.Lock()
			expected := must
			mu.Unlock()
			synced := c.Synced()
			dropped = dropped || !holds(w, first)
			for _, o := range expected {
				stale = stale || synced && !holds(w, o)
			}
		}
	}()

	keep := t.TempDir()
	for _, name := range []string{"second", "third"} {
		require.NoError(t, s.StopAPIServer(keep))
		require.Eventually(t, func() bool { return !c.Synced() }, patience, poll, "synced without an API server")
		assert.ErrorContains(t, c.Pending(), "have not been watched since 2")
		require.NoError(t, s.StartAPIServer())
		o := gateway(name)
		require.EventuallyWithT(t, func(t *assert.CollectT) {
			require.NoError(t, client.IgnoreAlreadyExists(s.Admin.Create(context.Background(), o).Err))
		}, patience, poll)
		require.Eventually(t, func() bool { return c.Synced() && holds(w, o) }, patience, poll, "not synced again: %v", c.Pending())
		mu.Lock()
		must = append(must, o)
		mu.Unlock()
	}
	close(looking)
	<-looked
	assert.False(t, dropped, "a restart emptied the state")
	assert.False(t, stale, "synced without what was stored before")
	assert.NotContains(t, log.String(), "the cluster does not serve the kind any more")
	assert.Contains(t, log.String(), `level=WARN msg="the kind is not watched: nothing is judged until it is" resource=gateways.networking.istio.io`)
	assert.Contains(t, log.String(), `level=INFO msg="the watch is back" resource=gateways.networking.istio.io`)
}

// TestStateFollowsCustomResourceDefinitions removes a CustomResourceDefinition and installs it
// again.
func TestStateFollowsCustomResourceDefinitions(t *testing.T) {
	var log apiserver.Log
	c, w, _ := follow(t, server, &log)
	entry := object("default", "entry", "networking.istio.io/v1", "ServiceEntry", map[string]any{
		"hosts": []any{"entry.example.org"}, "ports": []any{map[string]any{"number": int64(80), "name": "http", "protocol": "HTTP"}},
		"resolution": "DNS",
	})
	require.NoError(t, server.Admin.Create(t.Context(), entry).Err)
	require.Eventually(t, func() bool { return c.Synced() && holds(w, entry) }, patience, poll)

	definition := &unstructured.Unstructured{}
	definition.SetAPIVersion("apiextensions.k8s.io/v1")
	definition.SetKind("CustomResourceDefinition")
	require.NoError(t, server.Client().Get(t.Context(), client.ObjectKey{Name: "serviceentries.networking.istio.io"}, definition))
	require.NoError(t, server.Admin.Delete(t.Context(), definition).Err)
	require.Eventually(t, func() bool { return c.Synced() && !holds(w, entry) }, patience, poll, "the kind is not dropped: %v", c.Pending())
	require.Eventually(t, func() bool {
		_, watched := c.Lost()[resource.KindServiceEntry]
		return c.Synced() && !watched
	}, patience, poll, "the kind is still watched")
	assert.Contains(t, log.String(), `msg="the cluster does not serve the kind any more" resource=serviceentries.networking.istio.io`)

	again := object("", definition.GetName(), "apiextensions.k8s.io/v1", "CustomResourceDefinition", nil)
	again.Object["spec"] = definition.Object["spec"]
	require.NoError(t, server.Admin.Create(t.Context(), again).Err)
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		require.NoError(t, client.IgnoreAlreadyExists(server.Admin.Create(context.Background(), entry).Err))
	}, patience, poll)
	require.Eventually(t, func() bool { return c.Synced() && holds(w, entry) }, patience, poll, "the kind is not followed again: %v", c.Pending())
	require.NoError(t, server.Admin.Delete(t.Context(), entry).Err)
}

// TestStateWithoutThePermissionsForAudits takes away what only audits need. Gatewarden judges all
// the same, and the state names the permission that is missing.
func TestStateWithoutThePermissionsForAudits(t *testing.T) {
	s, err := apiserver.Start(t.Context(), apiserver.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop()) })
	binding := &unstructured.Unstructured{}
	binding.SetAPIVersion("rbac.authorization.k8s.io/v1")
	binding.SetKind("RoleBinding")
	binding.SetNamespace(cluster.DefaultConfigMaps)
	binding.SetName("gatewarden")
	require.NoError(t, s.Client().Get(t.Context(), client.ObjectKeyFromObject(binding), binding))
	require.NoError(t, s.Admin.Delete(t.Context(), binding.DeepCopy()).Err)

	var log apiserver.Log
	c, w, stop := follow(t, s, &log)
	t.Cleanup(stop) // before the server is stopped, which waits for open watches
	require.Eventually(t, c.Synced, patience, poll, "not synced: %v", c.Pending())
	lacking := func(kind resource.Kind) string { return w.Snapshot().Lacking(kind) }
	require.Eventually(t, func() bool { return strings.Contains(lacking(resource.KindConfigMap), "forbidden") }, patience, poll)
	assert.Contains(t, lacking(resource.KindConfigMap), `cannot list resource "configmaps" in API group "" in the namespace "istio-system"`)
	require.Eventually(t, func() bool { return lacking(resource.KindNode) == "" }, patience, poll, "Nodes are permitted")
	require.Eventually(t, func() bool { return lacking(resource.KindCertificate) == "the cluster does not serve them" }, patience, poll)
	assert.Empty(t, lacking(resource.KindGateway))

	binding.SetResourceVersion("")
	binding.SetUID("")
	require.NoError(t, s.Admin.Create(t.Context(), binding).Err)
	require.Eventually(t, func() bool { return lacking(resource.KindConfigMap) == "" }, patience, poll, "not listed when it is permitted")
}
