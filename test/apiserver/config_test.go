package apiserver_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gatewarden/gatewarden/pkg/cli"
	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
)

// gatewardenConfig runs "gatewarden config" against the server, as gatewarden's own account.
func gatewardenConfig(t *testing.T, args ...string) (code int, out, complaints string) {
	t.Helper()
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, server.WriteGuardKubeconfig(t.Context(), kubeconfig))
	var o, e bytes.Buffer
	code = cli.Main(append([]string{"config", "--kubeconfig", kubeconfig}, args...), strings.NewReader(""), &o, &e)
	return code, o.String(), strings.ReplaceAll(e.String(), kubeconfig, "FILE")
}

// The permissions with which gatewarden serves are enough to write its configuration from the
// cluster.
func TestConfigFromACluster(t *testing.T) {
	code, out, complaints := gatewardenConfig(t)
	assert.Equal(t, 2, code)
	assert.Empty(t, out)
	assert.Equal(t, "gatewarden: --kubeconfig FILE: namespace deploykf-istio-gateway has no Gateway deploykf-gateway or "+
		"deploykf-gateway-https-redirect or deploykf-istio-gateway-https-redirect; it has none; deployKF is to be there by its values\n", complaints)

	const namespace = "my-gateways"
	labels := map[string]any{"app": "front"}
	gateway := func(name string, port int, host string) map[string]any {
		return map[string]any{
			"selector": labels,
			"servers": []any{map[string]any{
				"port": map[string]any{"number": int64(port), "name": "https", "protocol": "HTTPS"}, "hosts": []any{host},
				"tls": map[string]any{"mode": "SIMPLE", "credentialName": name},
			}},
		}
	}
	require.NoError(t, server.Client().Create(t.Context(), object("", namespace, "v1", "Namespace", nil)))
	workload := deployment(namespace, "front", "istio-proxy", nil)
	workload.Object["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)["serviceAccountName"] = "front-account"
	require.NoError(t, server.Admin.Load(t.Context(),
		object(namespace, "deploykf-gateway", "networking.istio.io/v1", "Gateway", gateway("deploykf-gateway", 18443, "*/"+deploykf.DefaultHostname)),
		object(namespace, "shared", "networking.istio.io/v1", "Gateway", gateway("shared", 9443, "shared.example.org")),
		object(namespace, "front", "v1", "Service", map[string]any{
			"selector": labels, "ports": []any{map[string]any{"name": "https", "port": int64(443), "targetPort": int64(18443)}},
		}),
		workload,
	))
	// Audits of other tests would note what it lacks.
	t.Cleanup(func() { assert.NoError(t, server.Client().Delete(context.WithoutCancel(t.Context()), workload)) })

	values := filepath.Join(t.TempDir(), "values.yaml")
	require.NoError(t, os.WriteFile(values, []byte("deploykf_core: {deploykf_istio_gateway: {namespace: "+namespace+", "+
		"charts: {istioGateway: {enabled: false}}, gateway: {selectorLabels: {app: front, istio: ~}}}}\n"), 0o600))
	code, out, complaints = gatewardenConfig(t, "--deploykf-values", values, "--gateway", namespace+"/shared")
	require.Equal(t, 0, code, complaints)
	c, err := rules.Load([]byte(out), "stdout")
	require.NoError(t, err)
	require.Len(t, c.GuardedGateways, 2)
	g := c.GuardedGateways[0]
	assert.Equal(t, "front-account", g.ServiceAccount)
	assert.Contains(t, g.Servers, config.Server{
		Gateway: "deploykf-gateway", Port: 18443, PublicPort: 443, Protocol: "HTTPS", TLSMode: "SIMPLE", Hosts: []string{"*/" + deploykf.DefaultHostname},
	})
	assert.Equal(t, []string{"shared"}, c.GuardedGateways[1].Gateways)
	for _, part := range []string{
		`guardedGateways[0].serviceAccount: the values say "deploykf-gateway", the pods have front-account`,
		"guardedGateways[0].servers: the values say HTTPS SIMPLE on 443",
		"the cluster has HTTPS SIMPLE on 18443 behind 443",
		"Gateway deploykf-gateway-https-redirect",
	} {
		assert.Contains(t, complaints, part)
	}
	assert.NotContains(t, complaints, "podLabels")
	assert.Contains(t, out, "# the values say", "the comments say so, too")

	// Half of the permissions.
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "gatewarden"}}
	key := client.ObjectKeyFromObject(role)
	require.NoError(t, server.Client().Get(t.Context(), key, role))
	full := role.DeepCopy()
	role.Rules = []rbacv1.PolicyRule{{APIGroups: []string{"networking.istio.io"}, Resources: []string{"gateways", "virtualservices"}, Verbs: []string{"list"}}}
	require.NoError(t, server.Client().Update(t.Context(), role))
	t.Cleanup(func() {
		full.ResourceVersion = ""
		require.NoError(t, server.Client().Update(context.WithoutCancel(t.Context()), full))
	})
	require.Eventually(t, func() bool {
		code, _, complaints = gatewardenConfig(t, "--gateway", namespace+"/shared")
		return code == 2
	}, patience, 100*poll, "the permissions have changed")
	assert.Equal(t, "gatewarden: --kubeconfig FILE: --gateway my-gateways/shared: namespace my-gateways: the user may not list services, "+
		"deployments.apps, daemonsets.apps, statefulsets.apps: permit the verb list on them\n", complaints)
}
