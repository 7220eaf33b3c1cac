package deploy_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/gatewarden/gatewarden/test/deploy"
	"github.com/gatewarden/gatewarden/test/module"
)

// monitored are the objects of the base with the component.
func monitored(t *testing.T) []*unstructured.Unstructured {
	t.Helper()
	root, err := module.Dir(t.Context(), module.Gatewarden)
	require.NoError(t, err)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	to, err := filepath.Rel(dir, filepath.Join(root, "deploy"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "kustomization.yaml"),
		fmt.Appendf(nil, "resources: [%[1]s/base]\ncomponents: [%[1]s/components/monitoring]\n", to), 0o600))
	from, err := filepath.Rel(root, dir)
	require.NoError(t, err)
	objects, err := deploy.Render(t.Context(), from)
	require.NoError(t, err)
	return objects
}

func TestMonitoringFindsTheMetrics(t *testing.T) {
	objects := monitored(t)
	monitor := find[map[string]any](t, objects, "ServiceMonitor")
	selector, _, err := unstructured.NestedStringMap(*monitor, "spec", "selector", "matchLabels")
	require.NoError(t, err)
	service := find[corev1.Service](t, objects, "Service")
	assert.True(t, labels.SelectorFromSet(selector).Matches(labels.Set(service.Labels)))
	endpoints, _, err := unstructured.NestedSlice(*monitor, "spec", "endpoints")
	require.NoError(t, err)
	require.Len(t, endpoints, 1)
	var ports []string
	for _, p := range service.Spec.Ports {
		ports = append(ports, p.Name)
	}
	assert.Contains(t, ports, endpoints[0].(map[string]any)["port"])

	for _, kind := range []string{"ServiceMonitor", "PrometheusRule"} {
		namespace, _, err := unstructured.NestedString(*find[map[string]any](t, objects, kind), "metadata", "namespace")
		require.NoError(t, err)
		assert.Equal(t, service.Namespace, namespace, kind)
	}
	dashboard := find[corev1.ConfigMap](t, objects, "ConfigMap", "gatewarden-dashboard")
	assert.Equal(t, "1", dashboard.Labels["grafana_dashboard"])
	assert.Len(t, dashboard.Data, 1)
	assert.True(t, json.Valid([]byte(dashboard.Data["gatewarden.json"])))
	assert.Len(t, objects, len(base(t))+3, "nothing else is added")
}
