package cluster_test

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"

	"github.com/gatewarden/gatewarden/pkg/cluster"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func node(name, kernel string) *unstructured.Unstructured {
	o := object("v1", "Node", "", name)
	o.Object["status"] = map[string]any{"nodeInfo": map[string]any{"kernelVersion": kernel}}
	return o
}

// What only audits read keeps nobody from judging, and the state says what is missing.
func TestClusterDoesWithoutWhatOnlyAuditsRead(t *testing.T) {
	client := newClient(t, object("v1", "Service", "a", "s"), node("n", "5.15.0"))
	var permitted atomic.Bool
	client.PrependReactor("list", "nodes", func(a clienttesting.Action) (bool, runtime.Object, error) {
		return !permitted.Load(), nil, apierrors.NewForbidden(a.GetResource().GroupResource(), "", errors.New("who are you"))
	})
	w := run(t, client, nil, core, apps)
	lacking := func(kind resource.Kind) string { return w.writer.Snapshot().Lacking(kind) }
	eventually(t, w.Synced, "not synced without permission to list Nodes")
	require.NoError(t, w.Pending())
	assert.NotContains(t, w.Lost(), resource.KindNode)
	assert.True(t, w.writer.Snapshot().Complete())
	assert.Empty(t, lacking(resource.KindService))
	eventually(t, func() bool { return lacking(resource.KindNode) == `nodes is forbidden: who are you` }, "the permission is not told")
	eventually(t, func() bool { return lacking(resource.KindCertificate) == "the cluster does not serve them" }, "it is not told that there are none")
	eventually(t, func() bool { return lacking(resource.KindConfigMap) == "" }, "ConfigMaps are not listed")

	permitted.Store(true)
	eventually(t, w.has(resource.KindNode, "", "n"), "not listed when it is permitted")
	eventually(t, func() bool { return lacking(resource.KindNode) == "" }, "still told to be missing")
	n := w.writer.Snapshot().Get(resource.Key{Kind: resource.KindNode, Name: "n"}).(*resource.Node)
	assert.Equal(t, "5.15.0", n.Kernel, "the status is read")
}

// Of ConfigMaps only those are asked for that Istio's charts label, in Istio's namespace.
func TestClusterAsksForIstiosConfigMapsOnly(t *testing.T) {
	istios := func(namespace, name, label string) *unstructured.Unstructured {
		o := object("v1", "ConfigMap", namespace, name)
		o.Object["data"] = map[string]any{"mesh": "trustDomain: td"}
		if label != "" {
			o.SetLabels(map[string]string{label: "default"})
		}
		return o
	}
	client := newClient(t,
		istios(cluster.DefaultConfigMaps, "istio", "istio.io/rev"), istios("team-a", "istio", "istio.io/rev"), istios(cluster.DefaultConfigMaps, "istio-lock", ""))
	var elsewhere atomic.Bool
	client.PrependReactor("*", "configmaps", func(a clienttesting.Action) (bool, runtime.Object, error) {
		if a.GetNamespace() != cluster.DefaultConfigMaps {
			elsewhere.Store(true)
		}
		return false, nil, nil
	})
	w := run(t, client, nil, core)
	eventually(t, w.has(resource.KindConfigMap, cluster.DefaultConfigMaps, "istio"), "not listed")
	assert.False(t, w.has(resource.KindConfigMap, "team-a", "istio")())
	assert.False(t, w.has(resource.KindConfigMap, cluster.DefaultConfigMaps, "istio-lock")())
	assert.False(t, elsewhere.Load(), "ConfigMaps of other namespaces were asked for")
}
