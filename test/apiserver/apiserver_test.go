package apiserver_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/gatewarden/gatewarden/pkg/cluster"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/test/apiserver"
	"github.com/gatewarden/gatewarden/test/deploy"
)

// server is shared by the tests of this package: it takes seconds to start.
var server *apiserver.Server

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	ctrllog.SetLogger(logr.Discard()) // what envtest says when it installs is no news
	if server, err = apiserver.Start(context.Background(), apiserver.Options{CertManager: true}); err != nil {
		return 1, err
	}
	code = m.Run()
	return code, server.Stop()
}

func object(namespace, name, apiVersion, kind string, spec map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": apiVersion, "kind": kind,
		"metadata": map[string]any{"namespace": namespace, "name": name},
		"spec":     spec,
	}}
}

func deployment(namespace, name, container string, annotations map[string]any) *unstructured.Unstructured {
	labels := map[string]any{"app": name}
	return object(namespace, name, "apps/v1", "Deployment", map[string]any{
		"selector": map[string]any{"matchLabels": labels},
		"template": map[string]any{
			"metadata": map[string]any{"labels": labels, "annotations": annotations},
			"spec":     map[string]any{"containers": []any{map[string]any{"name": container, "image": "auto"}}},
		},
	})
}

func TestGuardMayListAndWatchWhatItReadsAndNothingElse(t *testing.T) {
	config, err := server.GuardConfig(t.Context())
	require.NoError(t, err)
	c, err := client.New(config, client.Options{})
	require.NoError(t, err)

	for _, api := range resource.APIs {
		namespace := ""
		if api.Kind == resource.KindConfigMap {
			namespace = cluster.DefaultConfigMaps
		}
		list := &unstructured.UnstructuredList{}
		list.SetAPIVersion(groupVersion(api))
		list.SetKind(api.Name() + "List")
		require.NoError(t, c.List(t.Context(), list, client.InNamespace(namespace)), "listing %s", api.Resource)
		assert.True(t, allowed(t, c, namespace, api.Group, api.Resource, "watch"), "watching %s", api.Resource)
		for _, verb := range []string{"get", "create", "update", "patch", "delete", "deletecollection"} {
			assert.False(t, allowed(t, c, namespace, api.Group, api.Resource, verb), "%s %s", verb, api.Resource)
		}
	}
	for _, resource := range []string{"secrets", "configmaps", "serviceaccounts"} {
		for _, verb := range []string{"get", "list", "watch"} {
			assert.False(t, allowed(t, c, "", "", resource, verb), "%s %s", verb, resource)
		}
	}
}

func groupVersion(api resource.API) string {
	if api.Group == "" {
		return api.Versions[0]
	}
	return api.Group + "/" + api.Versions[0]
}

// allowed asks the API server as the user of the client; "" are all namespaces.
func allowed(t *testing.T, c client.Client, namespace, group, resource, verb string) bool {
	t.Helper()
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Group: group, Resource: resource, Verb: verb},
	}}
	require.NoError(t, c.Create(t.Context(), review))
	return review.Status.Allowed
}

// The webhook configurations are registered while nothing serves at their address: what
// the API server refuses is what it would send, and the rest never depends on gatewarden.
func TestRequestsThatDependOnGatewarden(t *testing.T) {
	require.NoError(t, server.Install(t.Context()))
	t.Cleanup(func() { require.NoError(t, server.Uninstall(context.Background())) })
	gateway := map[string]any{
		"selector": map[string]any{"app": "deploykf-gateway"},
		"servers": []any{map[string]any{
			"port":  map[string]any{"number": int64(443), "name": "tcp", "protocol": "TCP"},
			"hosts": []any{"*"},
		}},
	}
	mtls := map[string]any{"mtls": map[string]any{"mode": "PERMISSIVE"}}
	template := map[string]any{"inject.istio.io/templates": "gateway"}

	require.EventuallyWithT(t, func(t *assert.CollectT) {
		o := object("default", "first", "networking.istio.io/v1", "Gateway", gateway)
		requireSent(t, server.Admin.Create(context.Background(), o, client.DryRunAll))
	}, 30*time.Second, 50*time.Millisecond, "the API server takes notice of the webhook configurations")

	for _, version := range []string{"v1", "v1beta1", "v1alpha3"} {
		o := object("default", "depends", "networking.istio.io/"+version, "Gateway", gateway)
		requireSent(t, server.Admin.Create(t.Context(), o, client.DryRunAll), version)
	}
	requireSent(t, server.Admin.Create(t.Context(),
		object("default", "depends", "security.istio.io/v1beta1", "PeerAuthentication", mtls), client.DryRunAll))
	requireSent(t, server.Admin.Create(t.Context(),
		deployment("default", "gateway", "istio-proxy", nil), client.DryRunAll))
	requireSent(t, server.Admin.Create(t.Context(),
		deployment("default", "templated", "main", template), client.DryRunAll))

	independent := []*unstructured.Unstructured{
		deployment("default", "application", "main", nil),
		deployment("default", "annotated", "main", map[string]any{"prometheus.io/scrape": "true"}),
		deployment("kube-system", "gateway", "istio-proxy", nil),
		object("kube-system", "independent", "networking.istio.io/v1", "Gateway", gateway),
		deployment("gatewarden", "gateway", "istio-proxy", nil),
		object("gatewarden", "independent", "networking.istio.io/v1", "Gateway", gateway),
		object("gatewarden", "independent", "security.istio.io/v1", "PeerAuthentication", mtls),
	}
	for _, o := range independent {
		a := server.Admin.Create(t.Context(), o, client.DryRunAll)
		require.NoError(t, a.Err, "%s %s/%s", o.GetKind(), o.GetNamespace(), o.GetName())
	}

	// Inside of gatewarden's namespace a policy can be made without it; its removal there
	// does not depend on it either, or the namespace could never be removed.
	stored := object("gatewarden", "stored", "security.istio.io/v1", "PeerAuthentication", mtls)
	require.NoError(t, server.Admin.Create(t.Context(), stored).Err)
	require.NoError(t, server.Admin.Delete(t.Context(), stored).Err)
}

// requireSent requires that the API server tried to call gatewarden and refuses the request
// because nobody answered.
func requireSent(t require.TestingT, a apiserver.Answer, about ...any) {
	require.ErrorContains(t, a.Err, "failed calling webhook", about...)
	require.ErrorContains(t, a.Err, ".gatewarden.io", about...)
}

func TestAPIServerAcceptsTheCertManagerOverlay(t *testing.T) {
	objects, err := deploy.Render(t.Context(), deploy.CertManager)
	require.NoError(t, err)
	for _, o := range objects {
		a := server.Admin.Apply(t.Context(), o, client.DryRunAll)
		require.NoError(t, a.Err, "%s %s", o.GetKind(), o.GetName())
		assert.Empty(t, a.Warnings, "%s %s", o.GetKind(), o.GetName())
	}
}

func TestMissingAssetsAreNamedWithTheCommandThatBuildsThem(t *testing.T) {
	dir := t.TempDir()
	_, err := apiserver.Start(t.Context(), apiserver.Options{Assets: dir})
	require.ErrorContains(t, err, dir)
	require.ErrorContains(t, err, "make controlplane")
}

func TestUsersAreTheirOwnAndWarningsReachTheirRequest(t *testing.T) {
	u, err := server.User("somebody@example.org", "team-a")
	require.NoError(t, err)
	review := object("", "", "authentication.k8s.io/v1", "SelfSubjectReview", nil)
	a := u.Create(t.Context(), review)
	require.NoError(t, a.Err)
	name, _, _ := unstructured.NestedString(a.Object.Object, "status", "userInfo", "username")
	assert.Equal(t, "somebody@example.org", name)
	groups, _, _ := unstructured.NestedStringSlice(a.Object.Object, "status", "userInfo", "groups")
	assert.Contains(t, groups, "team-a")

	// A field that the schema does not have is dropped with a warning.
	odd := object("default", "odd", "v1", "ConfigMap", nil)
	a = u.Create(t.Context(), odd, client.DryRunAll)
	require.NoError(t, a.Err)
	assert.Equal(t, []string{`unknown field "spec"`}, a.Warnings)
	assert.Nil(t, review.Object["status"], "the object that was passed in does not change")
}
