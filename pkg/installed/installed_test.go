package installed

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"
	"sigs.k8s.io/yaml"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// cluster makes a cluster of manifests in namespace gw.
func cluster(t *testing.T, manifests string) *fake.FakeDynamicClient {
	t.Helper()
	lists := map[schema.GroupVersionResource]string{}
	for _, kind := range kinds {
		api := resource.ByKind(kind)
		for _, v := range api.Versions {
			lists[schema.GroupVersionResource{Group: api.Group, Version: v, Resource: api.Resource}] = string(kind) + "List"
		}
	}
	d := fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), lists)
	for _, text := range strings.Split(manifests, "---") {
		o := &unstructured.Unstructured{}
		require.NoError(t, yaml.Unmarshal([]byte(text), &o.Object))
		api, ok := resource.Lookup(o.GetAPIVersion(), o.GetKind())
		require.True(t, ok)
		// The fake takes the plural of Gateway for gatewaies if it is left to guess.
		gvr := o.GroupVersionKind().GroupVersion().WithResource(api.Resource)
		require.NoError(t, d.Tracker().Create(gvr, o, o.GetNamespace()))
	}
	return d
}

// answer makes a cluster answer lists of a resource with an error.
func answer(d *fake.FakeDynamicClient, name string, err func(schema.GroupResource) error) {
	d.PrependReactor("list", name, func(a clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, err(a.GetResource().GroupResource())
	})
}

const shared = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: shared, namespace: gw}
spec:
  selector: {app: shared}
  servers:
  - {port: {number: 18443, name: https, protocol: HTTPS}, hosts: [a.example.org], tls: {mode: SIMPLE, credentialName: c}}
  - {port: {number: 18080, name: http, protocol: HTTP}, hosts: [a.example.org], tls: {httpsRedirect: true}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shared, namespace: gw}
spec:
  selector: {matchLabels: {app: shared}}
  template:
    metadata: {labels: {app: shared, extra: label}}
    spec: {serviceAccountName: shared-account, containers: [{name: istio-proxy, image: auto}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: other, namespace: gw}
spec:
  selector: {matchLabels: {app: other}}
  template:
    metadata: {labels: {app: other}}
    spec: {containers: [{name: web, image: web}]}
---
apiVersion: v1
kind: Service
metadata: {name: front, namespace: gw}
spec: {selector: {app: shared}, ports: [{port: 443, targetPort: 18443}, {port: 18080}]}
---
apiVersion: v1
kind: Service
metadata: {name: other, namespace: gw}
spec: {selector: {app: other}, ports: [{port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a, namespace: gw}
spec: {hosts: [a.example.org], gateways: [shared]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: b, namespace: gw}
spec: {hosts: [b.example.org], gateways: [other]}
`

// known are the servers of the Gateway.
var known = []config.Server{
	{Gateway: "shared", Port: 18443, PublicPort: 443, Protocol: "HTTPS", TLSMode: "SIMPLE", Hosts: []string{"a.example.org"}},
	{Gateway: "shared", Port: 18080, Protocol: "HTTP", Hosts: []string{"a.example.org"}},
}

func TestGuarded(t *testing.T) {
	g, err := Find(t.Context(), cluster(t, shared), "gw", []string{"shared"})
	require.NoError(t, err)
	c, err := g.Guarded()
	require.NoError(t, err)
	assert.Equal(t, config.GuardedGateway{
		Name: "shared", Namespace: "gw", Gateways: []string{"shared"}, Sharing: config.HostAware,
		PodLabels: map[string]string{"app": "shared"}, ServiceAccount: "shared-account", Servers: known,
		OwnerObjects: []config.ObjectPattern{
			{Kind: resource.KindVirtualService, Namespace: "gw", Name: "a"},
			{Kind: resource.KindService, Namespace: "gw", Name: "front"},
			{Kind: resource.KindDeployment, Namespace: "gw", Name: "shared"},
		},
	}, c)
}

func TestUpdate(t *testing.T) {
	base := func() *config.GuardedGateway {
		return &config.GuardedGateway{
			Namespace: "gw", Gateways: []string{"shared"}, PodLabels: map[string]string{"app": "shared"},
			ServiceAccount: "shared-account", Servers: append([]config.Server(nil), known...),
		}
	}
	for name, tc := range map[string]struct {
		change func(*config.GuardedGateway)
		fields []string
		text   string
	}{
		"the same":        {func(*config.GuardedGateway) {}, nil, ""},
		"another order":   {func(c *config.GuardedGateway) { c.Servers[0], c.Servers[1] = c.Servers[1], c.Servers[0] }, nil, ""},
		"another port":    {func(c *config.GuardedGateway) { c.Servers[0].Port = 8443 }, []string{"servers"}, "the cluster has HTTP on 18080"},
		"another public":  {func(c *config.GuardedGateway) { c.Servers[0].PublicPort = 0 }, []string{"servers"}, "18443 behind 443"},
		"another host":    {func(c *config.GuardedGateway) { c.Servers[1].Hosts = []string{"*"} }, []string{"servers"}, "the values say HTTP on 18080 for *"},
		"other labels":    {func(c *config.GuardedGateway) { c.PodLabels = map[string]string{"app": "x"} }, []string{"podLabels"}, "app=x"},
		"another account": {func(c *config.GuardedGateway) { c.ServiceAccount = "x" }, []string{"serviceAccount"}, "shared-account"},
		"one more Gateway": {func(c *config.GuardedGateway) {
			c.Gateways = append(c.Gateways, "more")
			c.Servers = append(c.Servers, config.Server{Gateway: "more", Port: 80, Protocol: "HTTP", Hosts: []string{"*"}})
		}, []string{"servers"}, "Gateway more of HTTP on 80 for * is not in the cluster"},
	} {
		t.Run(name, func(t *testing.T) {
			c := base()
			tc.change(c)
			g, err := Find(t.Context(), cluster(t, shared), "gw", c.Gateways)
			require.NoError(t, err)
			var fields []string
			var text string
			for _, d := range g.Update(c) {
				fields, text = append(fields, d.Field), d.Text
			}
			assert.Equal(t, tc.fields, fields)
			assert.Contains(t, text, tc.text)
			want := base()
			assert.Equal(t, want.PodLabels, c.PodLabels)
			assert.Equal(t, want.ServiceAccount, c.ServiceAccount)
			assert.Subset(t, c.Servers, want.Servers)
			assert.Len(t, g.Update(c), len(c.Gateways)-1, "all that still differs are the Gateways that are not there")
		})
	}
}

// What stands in the way is one line that names what is missing.
func TestFindFails(t *testing.T) {
	forbidden := func(r schema.GroupResource) error { return apierrors.NewForbidden(r, "", errors.New("no")) }
	for name, tc := range map[string]struct {
		names   []string
		prepare func(*fake.FakeDynamicClient)
		want    []string
	}{
		"no such Gateway": {[]string{"x", "y"}, func(*fake.FakeDynamicClient) {}, []string{"no Gateway x or y", "it has shared"}},
		"no Istio": {[]string{"shared"}, func(d *fake.FakeDynamicClient) {
			answer(d, "gateways", func(r schema.GroupResource) error { return apierrors.NewNotFound(r, "") })
		}, []string{"gateways.networking.istio.io", "Istio is not installed"}},
		"half of the permissions": {[]string{"shared"}, func(d *fake.FakeDynamicClient) {
			answer(d, "services", forbidden)
			answer(d, "deployments", forbidden)
		}, []string{"may not list services, deployments.apps", "namespace gw"}},
		"no credentials": {[]string{"shared"}, func(d *fake.FakeDynamicClient) {
			answer(d, "*", func(schema.GroupResource) error { return apierrors.NewUnauthorized("who") })
		}, []string{"does not know the user"}},
		"no server": {[]string{"shared"}, func(d *fake.FakeDynamicClient) {
			answer(d, "*", func(schema.GroupResource) error { return errors.New("connection refused") })
		}, []string{"can not be asked", "connection refused"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := cluster(t, shared)
			tc.prepare(d)
			_, err := Find(t.Context(), d, "gw", tc.names)
			require.Error(t, err)
			assert.NotContains(t, err.Error(), "\n")
			for _, want := range tc.want {
				assert.Contains(t, err.Error(), want)
			}
		})
	}
}

func TestGatewaysThatCanNotBeGuarded(t *testing.T) {
	for manifests, want := range map[string]string{
		strings.Replace(shared, "selector: {app: shared}\n  servers", "servers", 1):             "has no selector",
		strings.Replace(shared, "labels: {app: shared, extra", "labels: {app: moved, extra", 1): "no Deployment, DaemonSet or StatefulSet of namespace gw",
	} {
		g, err := Find(t.Context(), cluster(t, manifests), "gw", []string{"shared"})
		require.NoError(t, err)
		_, err = g.Guarded()
		require.Error(t, err)
		assert.Contains(t, err.Error(), want)
		assert.NotEmpty(t, g.Update(&config.GuardedGateway{Gateways: []string{"shared"}, PodLabels: map[string]string{"app": "shared"}}))
	}
}

// An older version of the API is asked for where the newer one is not served.
func TestOlderVersions(t *testing.T) {
	d := cluster(t, strings.ReplaceAll(shared, "networking.istio.io/v1\n", "networking.istio.io/v1beta1\n"))
	d.PrependReactor("list", "*", func(a clienttesting.Action) (bool, runtime.Object, error) {
		r := a.GetResource()
		return r.Group == "networking.istio.io" && r.Version == "v1", nil, apierrors.NewNotFound(r.GroupResource(), "")
	})
	g, err := Find(t.Context(), d, "gw", []string{"shared"})
	require.NoError(t, err)
	assert.Equal(t, []string{"shared"}, g.Names())
}
