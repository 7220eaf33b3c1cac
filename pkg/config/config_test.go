package config_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// What Default returns is a valid file, and reads back as itself.
func TestDefaultLoads(t *testing.T) {
	data, err := yaml.Marshal(deploykf.Default())
	require.NoError(t, err)
	c, err := config.Load(data, "default.yaml")
	require.NoError(t, err)
	assert.Equal(t, deploykf.Default(), c)
}

func TestLoadSetsDefaults(t *testing.T) {
	c, err := config.Load([]byte(`
apiVersion: config.gatewarden.io/v1alpha1
kind: Configuration
guardedGateways:
- name: shared
  namespace: gateways
  gateways: [web]
  podLabels: {app: gateway}
  servers:
  - {gateway: web, port: 443, protocol: HTTPS, hosts: [a.example.org]}
  - {gateway: web, port: 80, protocol: HTTP, hosts: [a.example.org]}
`), "c.yaml")
	require.NoError(t, err)
	assert.Equal(t, "istio-system", c.Mesh.RootNamespace)
	assert.Equal(t, config.HostAware, c.GuardedGateways[0].Sharing)
	assert.Equal(t, []string{"*"}, c.Mesh.DefaultVirtualServiceExportTo)
	assert.Equal(t, "SIMPLE", c.GuardedGateways[0].Servers[0].TLSMode)
	assert.Empty(t, c.GuardedGateways[0].Servers[1].TLSMode)
}

// Every fault of a file is told, each on a line that names the file and the field.
func TestLoadRefuses(t *testing.T) {
	valid := func() *config.Configuration { return deploykf.Default() }
	for name, c := range map[string]struct {
		change func(*config.Configuration)
		want   string
	}{
		"version":      {func(c *config.Configuration) { c.APIVersion = "v2" }, "apiVersion"},
		"kind":         {func(c *config.Configuration) { c.Kind = "Config" }, "kind"},
		"no gateway":   {func(c *config.Configuration) { c.GuardedGateways = nil }, "guardedGateways"},
		"ingress mode": {func(c *config.Configuration) { c.Mesh.IngressControllerMode = "SOME" }, "mesh.ingressControllerMode"},
		"name":         {func(c *config.Configuration) { c.GuardedGateways[0].Name = "" }, "guardedGateways[0].name"},
		"same name":    {func(c *config.Configuration) { c.GuardedGateways = append(c.GuardedGateways, c.GuardedGateways[0]) }, "guardedGateways[1].name"},
		"namespace":    {func(c *config.Configuration) { c.GuardedGateways[0].Namespace = "A b" }, "guardedGateways[0].namespace"},
		"gateways":     {func(c *config.Configuration) { c.GuardedGateways[0].Gateways = nil }, "guardedGateways[0].gateways"},
		"labels":       {func(c *config.Configuration) { c.GuardedGateways[0].PodLabels = nil }, "guardedGateways[0].podLabels"},
		"sharing":      {func(c *config.Configuration) { c.GuardedGateways[0].Sharing = "Everything" }, "guardedGateways[0].sharing"},
		"account":      {func(c *config.Configuration) { c.GuardedGateways[0].ServiceAccount = "A b" }, "guardedGateways[0].serviceAccount"},
		"public port":  {func(c *config.Configuration) { c.GuardedGateways[0].Servers[0].PublicPort = 70000 }, "servers[0].publicPort"},
		"port":         {func(c *config.Configuration) { c.GuardedGateways[0].Servers[0].Port = 70000 }, "servers[0].port"},
		"server":       {func(c *config.Configuration) { c.GuardedGateways[0].Servers[0].Gateway = "x" }, "servers[0].gateway"},
		"protocol":     {func(c *config.Configuration) { c.GuardedGateways[0].Servers[0].Protocol = "" }, "servers[0].protocol"},
		"no protocol":  {func(c *config.Configuration) { c.GuardedGateways[0].Servers[0].Protocol = "FOO" }, "servers[0].protocol"},
		"tls mode":     {func(c *config.Configuration) { c.GuardedGateways[0].Servers[0].TLSMode = "WRONG" }, "servers[0].tlsMode"},
		"host":         {func(c *config.Configuration) { c.GuardedGateways[0].Servers[0].Hosts = []string{"a..b"} }, "servers[0].hosts[0]"},
		"label key":    {func(c *config.Configuration) { c.ProtectedNamespaces.Labels = map[string]string{"bad key!": "x"} }, "protectedNamespaces.labels"},
		"label value":  {func(c *config.Configuration) { c.GuardedGateways[0].PodLabels = map[string]string{"a": "b c"} }, "podLabels[a]"},
		"hosts":        {func(c *config.Configuration) { c.GuardedGateways[0].Servers[0].Hosts = nil }, "servers[0].hosts"},
		"domain":       {func(c *config.Configuration) { c.GuardedGateways[0].Domains = []string{"*.a.org"} }, "domains[0]"},
		"owner kind":   {func(c *config.Configuration) { c.GuardedGateways[0].OwnerObjects[0].Kind = "Secret" }, "ownerObjects[0].kind"},
		"owner name":   {func(c *config.Configuration) { c.GuardedGateways[0].OwnerObjects[0].Name = "" }, "ownerObjects[0].name"},
		"owner ns":     {func(c *config.Configuration) { c.GuardedGateways[0].OwnerObjects[0].Namespace = "" }, "ownerObjects[0].namespace"},
		"header":       {func(c *config.Configuration) { c.GuardedGateways[0].IdentityHeaders[0] = "kubeflow userid" }, "identityHeaders[0]"},
		"same header": {func(c *config.Configuration) {
			c.GuardedGateways[0].IdentityHeaders = []string{"x-user", "X-User"}
		}, "identityHeaders[1]"},
		"route name":   {func(c *config.Configuration) { c.GuardedGateways[0].ReservedRoutes[0].Name = "" }, "reservedRoutes[0].name"},
		"route owners": {func(c *config.Configuration) { c.GuardedGateways[0].ReservedRoutes[0].Owners = nil }, "reservedRoutes[0].owners"},
		"route owner":  {func(c *config.Configuration) { c.GuardedGateways[0].ReservedRoutes[0].Owners[0].Name = "" }, "reservedRoutes[0].owners[0].name"},
		"route reason": {func(c *config.Configuration) { c.GuardedGateways[0].ReservedRoutes[0].Reason = "" }, "reservedRoutes[0].reason"},
		"same route": {func(c *config.Configuration) {
			r := c.GuardedGateways[0].ReservedRoutes
			c.GuardedGateways[0].ReservedRoutes = append(r, r[0])
		}, "reservedRoutes[6].name"},
		"tenant path":  {func(c *config.Configuration) { c.GuardedGateways[0].TenantPaths = []string{"/x{namespace}/"} }, "tenantPaths[0]"},
		"open path":    {func(c *config.Configuration) { c.GuardedGateways[0].TenantPaths = []string{"/x/{namespace}"} }, "tenantPaths[0]"},
		"protected":    {func(c *config.Configuration) { c.ProtectedNamespaces.Names = []string{""} }, "protectedNamespaces.names[0]"},
		"policy name":  {func(c *config.Configuration) { c.PermissivePolicies[0].Name = "" }, "permissivePolicies[0].name"},
		"policy scope": {func(c *config.Configuration) { c.PermissivePolicies[0].Selector = nil }, "permissivePolicies[0].selector"},
		"owner": {func(c *config.Configuration) {
			c.GuardedGateways[0].OwnerRequesters = []config.OwnerRequester{{Namespaces: []string{"x"}}}
		}, "ownerRequesters[0].users"},
		"owner where": {func(c *config.Configuration) {
			c.GuardedGateways[0].OwnerRequesters = []config.OwnerRequester{{Users: []string{"x"}}}
		}, "ownerRequesters[0].namespaces"},
		"owner nobody": {func(c *config.Configuration) {
			c.GuardedGateways[0].OwnerRequesters = []config.OwnerRequester{{Users: []string{""}, Namespaces: []string{"x"}}}
		}, "ownerRequesters[0].users[0]"},
		"effect":    {func(c *config.Configuration) { c.Rules = map[string]config.Effect{"GWD101": "mute"} }, "rules[GWD101]"},
		"effect on": {func(c *config.Configuration) { c.Rules = map[string]config.Effect{"GWD101": "true"} }, "rules[GWD101]"},
		"expiry": {func(c *config.Configuration) {
			c.Exemptions = []config.Exemption{{Users: []string{"x"}, Reason: "x", Expires: "next week"}}
		}, "exemptions[0].expires"},
		"exempt all": {func(c *config.Configuration) {
			c.Exemptions = []config.Exemption{{Objects: []config.ObjectPattern{{}}, Reason: "x"}}
		}, "exemptions[0].objects[0]"},
		"exempt kind": {func(c *config.Configuration) {
			c.Exemptions = []config.Exemption{{Objects: []config.ObjectPattern{{Kind: "Secret"}}, Reason: "x"}}
		}, "exemptions[0].objects[0].kind"},
		"exempt nobody": {func(c *config.Configuration) { c.Exemptions = []config.Exemption{{Users: []string{""}, Reason: "x"}} }, "exemptions[0].users[0]"},
		"who":           {func(c *config.Configuration) { c.Exemptions = []config.Exemption{{Reason: "x"}} }, "exemptions[0].users"},
		"why":           {func(c *config.Configuration) { c.Exemptions = []config.Exemption{{Users: []string{"x"}}} }, "exemptions[0].reason"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := valid()
			c.change(cfg)
			data, err := yaml.Marshal(cfg)
			require.NoError(t, err)
			_, err = config.Load(data, "file.yaml")
			require.Error(t, err)
			for _, line := range strings.Split(err.Error(), "\n") {
				assert.True(t, strings.HasPrefix(line, "file.yaml: "), line)
			}
			assert.Contains(t, err.Error(), c.want)
		})
	}
	for text, want := range map[string]string{
		"apiVersion: config.gatewarden.io/v1alpha1\nkind: Configuration\nguardedGateway: []": `unknown field "guardedGateway"`,
		"kind: [": "line",
		"apiVersion: config.gatewarden.io/v1alpha1\nkind: Configuration\nMesh: {}": `unknown field "Mesh"`,
		"kind: Configuration\n---\nfoo: bar":                                       "more than one YAML document",
		"guardedGateways: {}":                                                      "guardedGateways: must not be a JSON object",
		"apiVersion: config.gatewarden.io/v1alpha1\nkind: Configuration\nmesh: []": "mesh",
	} {
		_, err := config.Load([]byte(text), "file.yaml")
		require.Error(t, err)
		assert.NotContains(t, err.Error(), "\n")
		assert.Contains(t, err.Error(), want)
	}
}

func TestPatterns(t *testing.T) {
	for pattern, cases := range map[string]map[string]bool{
		"a":       {"a": true, "b": false, "": false},
		"*":       {"a": true, "": true},
		"a*":      {"a": true, "ab": true, "ba": false},
		"*-mid-*": {"x-mid-y": true, "x-mid": false, "-mid-": true},
		"a*a":     {"a": false, "aa": true, "aba": true},
	} {
		for s, want := range cases {
			p := config.ObjectPattern{Kind: resource.KindGateway, Namespace: pattern, Name: "n"}
			assert.Equal(t, want, p.Matches(resource.Key{Kind: resource.KindGateway, Namespace: s, Name: "n"}), "%s against %s", s, pattern)
		}
	}
}

func TestOwnership(t *testing.T) {
	g := &deploykf.Default().GuardedGateways[0]
	key := func(k resource.Kind, ns, n string) resource.Key { return resource.Key{Kind: k, Namespace: ns, Name: n} }
	assert.True(t, g.IsOwners(key(resource.KindGateway, g.Namespace, "deploykf-gateway")))
	assert.False(t, g.IsOwners(key(resource.KindGateway, "team-a", "deploykf-gateway")))
	assert.False(t, g.IsOwners(key(resource.KindGateway, g.Namespace, "other")))
	assert.True(t, g.IsOwners(key(resource.KindVirtualService, "deploykf-auth", "dex")))
	assert.False(t, g.IsOwners(key(resource.KindVirtualService, "deploykf-auth", "other")))
	assert.False(t, g.IsOwners(key(resource.KindGateway, "deploykf-auth", "dex")))
}

func TestReservedRoutes(t *testing.T) {
	g := &deploykf.Default().GuardedGateways[0]
	dex := resource.Key{Kind: resource.KindVirtualService, Namespace: "deploykf-auth", Name: "dex"}
	other := resource.Key{Kind: resource.KindVirtualService, Namespace: "deploykf-auth", Name: "oauth2-proxy"}
	assert.Nil(t, g.Reserved("dex-route", dex, true))
	assert.Equal(t, "dex-route", g.Reserved("dex-route", other, true).Name)
	assert.Nil(t, g.Reserved("dex-route", other, false), "on another Gateway the name means nothing")
	assert.Nil(t, g.Reserved("Dex-route", other, true), "letter case counts")
	assert.Nil(t, g.Reserved("", other, true))
	g.ReservedRoutes[0].AnyGateway = true
	assert.Equal(t, "dex-route", g.Reserved("dex-route", other, false).Name)
	assert.Nil(t, g.Reserved("dex-route", dex, false))
}

func TestIdentityHeaders(t *testing.T) {
	g := &deploykf.Default().GuardedGateways[0]
	assert.True(t, g.IsIdentityHeader("Kubeflow-UserID"))
	assert.False(t, g.IsIdentityHeader("kubeflow-user"))
	assert.False(t, g.IsIdentityHeader(""))
}
