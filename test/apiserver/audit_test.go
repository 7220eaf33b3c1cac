package apiserver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/gatewarden/gatewarden/pkg/cli"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// audited runs "gatewarden audit" on the API server.
func audited(t *testing.T, code int, kubeconfig string, args ...string) string {
	t.Helper()
	var out, err bytes.Buffer
	got := cli.Main(append([]string{"audit", "--kubeconfig", kubeconfig}, args...), strings.NewReader(""), &out, &err)
	require.Equal(t, code, got, "%s%s", out.String(), err.String())
	if code != 2 {
		assert.Empty(t, err.String())
		return out.String()
	}
	assert.Empty(t, out.String())
	return err.String()
}

// faults are the findings of an audit's JSON, one line each, and what it could not see. What the
// installation lacks is left out: there is none.
func faults(t *testing.T, out string) (found, notChecked []string) {
	t.Helper()
	var doc struct {
		Findings []struct {
			Rule, Effect, Field string
			Object              struct{ Kind, Namespace, Name string }
		}
		NotChecked []struct {
			Verb, Group, Resource string
			Rules                 []string
		}
	}
	require.NoError(t, json.Unmarshal([]byte(out), &doc))
	for _, f := range doc.Findings {
		if len(rules.Find(f.Rule).Operations) == 0 {
			continue
		}
		found = append(found, fmt.Sprintf("%s %s %s %s/%s %s", f.Effect, f.Rule, f.Object.Kind, f.Object.Namespace, f.Object.Name, f.Field))
	}
	for _, g := range doc.NotChecked {
		assert.NotEmpty(t, g.Rules)
		notChecked = append(notChecked, strings.TrimSpace(g.Verb+" "+g.Resource+" "+g.Group))
	}
	return found, notChecked
}

// plant stores objects until the end of the test.
func plant(t *testing.T, objects ...*unstructured.Unstructured) {
	t.Helper()
	for _, o := range objects {
		require.NoError(t, server.Admin.Create(t.Context(), o).Err, "%s %s", o.GetKind(), o.GetName())
		t.Cleanup(func() {
			assert.NoError(t, server.Admin.Delete(context.WithoutCancel(t.Context()), o).Err)
		})
	}
}

// onTheGateway is a Gateway on deployKF's pods.
func onTheGateway(name, host string) *unstructured.Unstructured {
	return object("default", name, "networking.istio.io/v1", "Gateway", map[string]any{
		"selector": map[string]any{"app": "deploykf-gateway"},
		"servers": []any{map[string]any{
			"port":  map[string]any{"number": int64(443), "name": "https", "protocol": "HTTPS"},
			"hosts": []any{host},
			"tls":   map[string]any{"mode": "SIMPLE", "credentialName": "own"},
		}},
	})
}

func TestAuditFindsWhatIsPlantedAndNothingElse(t *testing.T) {
	admin := filepath.Join(t.TempDir(), "admin")
	require.NoError(t, server.WriteKubeconfig(admin))
	found, notChecked := faults(t, audited(t, 0, admin, "-o", "json"))
	assert.Empty(t, found)
	assert.Empty(t, notChecked)

	plant(t,
		onTheGateway("thief", "deploykf.example.com"),
		onTheGateway("harmless", "shop.example.org"),
		object("default", "everywhere", "networking.istio.io/v1alpha3", "EnvoyFilter", map[string]any{}),
	)
	out := audited(t, 1, admin, "-o", "json")
	found, notChecked = faults(t, out)
	assert.Equal(t, []string{"deny GWD201 Gateway default/thief spec.servers[0].hosts[0]"}, found)
	assert.Empty(t, notChecked)
	assert.Contains(t, audited(t, 1, admin), "default\n  Gateway thief\n    deny GWD201 host-conflict at spec.servers[0].hosts[0]\n")
}

// What a user may not list is told with the permission that he lacks; the rest is judged.
func TestAuditOfAUserWhoMayNotSeeEverything(t *testing.T) {
	plant(t, onTheGateway("thief", "deploykf.example.com"))
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "some"}}
	var missing []string
	for _, api := range resource.APIs {
		switch api.Kind {
		case resource.KindPod, resource.KindHTTPRoute:
			missing = append(missing, strings.TrimSpace("list "+api.Resource+" "+api.Group))
		default:
			role.Rules = append(role.Rules, rbacv1.PolicyRule{APIGroups: []string{api.Group}, Resources: []string{api.Resource}, Verbs: []string{"list"}})
		}
	}
	require.NoError(t, server.Client().Create(t.Context(), role))
	t.Cleanup(func() { assert.NoError(t, server.Client().Delete(context.WithoutCancel(t.Context()), role)) })
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "some"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "some"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "some"}},
	}
	require.NoError(t, server.Client().Create(t.Context(), binding))
	t.Cleanup(func() { assert.NoError(t, server.Client().Delete(context.WithoutCancel(t.Context()), binding)) })

	some := kubeconfigOf(t, "some")
	found, notChecked := faults(t, audited(t, 1, some, "-o", "json"))
	assert.Equal(t, []string{"deny GWD201 Gateway default/thief spec.servers[0].hosts[0]"}, found)
	assert.Equal(t, missing, notChecked)
	assert.Contains(t, audited(t, 1, some), "warn: not checked: Pod: gatewarden lacks the permission to list pods in API group \"\"; ")

	assert.Regexp(t, `^gatewarden: https?://\S+ lets this user list nothing that a rule is about; among others not gateways\n$`,
		audited(t, 2, kubeconfigOf(t, "nobody"), "-o", "json"))
}

// kubeconfigOf writes a kubeconfig of the administrator that impersonates a user.
func kubeconfigOf(t *testing.T, user string) string {
	t.Helper()
	config := rest.CopyConfig(server.Config)
	path := filepath.Join(t.TempDir(), user)
	require.NoError(t, clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{"c": {Server: config.Host, CertificateAuthorityData: config.CAData}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{"u": {
			ClientCertificateData: config.CertData, ClientKeyData: config.KeyData, Impersonate: user,
		}},
		Contexts:       map[string]*clientcmdapi.Context{"x": {Cluster: "c", AuthInfo: "u"}},
		CurrentContext: "x",
	}, path))
	return path
}
