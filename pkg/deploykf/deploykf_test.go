package deploykf

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// under puts values below the section of the gateway.
func under(text string) string {
	return "deploykf_core:\n  deploykf_istio_gateway:\n    " + strings.ReplaceAll(text, "\n", "\n    ") + "\n"
}

func read(t *testing.T, v Version, texts ...string) (*Installation, []string) {
	t.Helper()
	i, remarks, err := Read(v, files(texts)...)
	require.NoError(t, err)
	return i, remarks
}

func files(texts []string) []File {
	var out []File
	for n, text := range texts {
		out = append(out, File{Name: string(rune('a'+n)) + ".yaml", Data: []byte(text)})
	}
	return out
}

func TestDefaultsOfValues(t *testing.T) {
	i, remarks := read(t, Latest, "deploykf_core: {}\n")
	assert.Empty(t, remarks)
	assert.Equal(t, DefaultInstallation(Latest), i)
	i.WithAllTools()
	assert.Equal(t, Default(), i.Configuration())
}

// Maps are merged by their keys, everything else is replaced, and null is the default again.
func TestFilesAreMerged(t *testing.T) {
	i, _ := read(t, Latest,
		under("namespace: one\ngateway:\n  hostname: a.example.org\n  ports: {http: 8080, https: 8443}\n  selectorLabels: {app: mine, team: x}")+"kubeflow_tools: {katib: {enabled: true}}\n",
		under("namespace: ~\ngateway:\n  ports: {https: '9443'}\n  selectorLabels: {istio: ~}")+"kubeflow_tools: {volumes: {enabled: true}}\n",
	)
	assert.Equal(t, "deploykf-istio-gateway", i.Namespace)
	assert.Equal(t, "a.example.org", i.Hostname)
	assert.Equal(t, Ports{8080, 8080}, i.HTTP)
	assert.Equal(t, Ports{9443, 9443}, i.HTTPS)
	assert.Equal(t, map[string]string{"app": "mine", "team": "x"}, i.SelectorLabels)
	assert.True(t, i.Katib)
	assert.True(t, i.Volumes)
	i, _ = read(t, Latest, under("gateway: {hostname: a.example.org}"), under("gateway: ~"))
	assert.Equal(t, DefaultHostname, i.Hostname)
	i, _ = read(t, Latest, under("gateway: ~"), under("gateway: {hostname: a.example.org}"))
	assert.Equal(t, "a.example.org", i.Hostname)
}

func TestOwnGateway(t *testing.T) {
	i, _ := read(t, Latest, under("namespace: mine\ncharts: {istioGateway: {enabled: false}}\ngateway: {ports: {http: 18080, https: 18443}}\n"+
		"gatewayDeployment: {serviceAccount: {name: account}}\ngatewayService: {ports: {http: 80, https: 443}}"))
	g := i.Configuration().GuardedGateways[0]
	assert.Equal(t, "mine", g.Namespace)
	assert.Equal(t, "account", g.ServiceAccount)
	assert.Equal(t, uint32(18443), g.Servers[0].Port)
	assert.Equal(t, uint32(443), g.Servers[0].PublicPort)
	assert.Equal(t, uint32(80), g.Servers[1].PublicPort)
	assert.Equal(t, []string{"mine/" + DefaultHostname}, g.Servers[1].Hosts)
	for _, o := range g.OwnerObjects {
		assert.NotContains(t, []resource.Kind{resource.KindService, resource.KindDeployment, resource.KindDaemonSet}, o.Kind, "they are somebody else's")
	}
	assert.Contains(t, i.Configuration().ProtectedNamespaces.Names, "mine")
}

// Only what is enabled is on the gateway.
func TestTools(t *testing.T) {
	i, _ := read(t, Latest, "kubeflow_tools: {notebooks: {enabled: true}}\ndeploykf_opt: {deploykf_minio: {enabled: true, namespace: store}}\n")
	c := i.Configuration()
	g := c.GuardedGateways[0]
	assert.Equal(t, []string{"*/" + DefaultHostname, "store/minio-api." + DefaultHostname, "store/minio-console." + DefaultHostname}, g.Servers[0].Hosts)
	assert.Equal(t, []string{"/notebook/{namespace}/", "/workspace/connect/{namespace}/"}, g.TenantPaths)
	owns := func(ns, name string) bool {
		return g.IsOwners(resource.Key{Kind: resource.KindVirtualService, Namespace: ns, Name: name})
	}
	assert.True(t, owns("store", "deploykf-minio-api"))
	assert.True(t, owns("kubeflow", "jupyter-web-app-jupyter-web-app"))
	assert.False(t, owns("kubeflow", "katib-ui"))
	assert.False(t, owns("kubeflow-argo-workflows", "argo-server"))
	assert.Contains(t, c.ProtectedNamespaces.Names, "store")
	assert.NotContains(t, c.ProtectedNamespaces.Names, "kubeflow-argo-workflows")
	assert.Len(t, c.PermissivePolicies, 2)
}

func TestVersions(t *testing.T) {
	for _, s := range []string{"0.1.3", "v0.1.4", "0.1.5"} {
		_, err := ParseVersion(s)
		assert.NoError(t, err)
	}
	_, err := ParseVersion("0.2.0")
	require.Error(t, err)
	assert.Contains(t, err.Error(), "0.1.3, 0.1.4, 0.1.5")

	g := DefaultInstallation(V013).Configuration().GuardedGateways[0]
	assert.Equal(t, config.Dedicated, g.Sharing)
	assert.Equal(t, "deploykf-istio-gateway-https-redirect", g.Servers[1].Gateway)
	assert.Equal(t, []string{g.Namespace + "/" + DefaultHostname, g.Namespace + "/*." + DefaultHostname}, g.Servers[1].Hosts)
	assert.Equal(t, config.HostAware, DefaultInstallation(V014).Configuration().GuardedGateways[0].Sharing)

	i, _ := read(t, V013, under("gateway: {tls: {enabled: false}}"))
	g = i.Configuration().GuardedGateways[0]
	require.Len(t, g.Servers, 1)
	assert.Equal(t, config.Server{Gateway: "deploykf-gateway", Port: 80, Protocol: "HTTP", Hosts: []string{"*/" + DefaultHostname}}, g.Servers[0])

	i, remarks := read(t, V013, under("gateway: {tls: {matchSNI: false}}\ngatewayService: {ports: {https: 444}}"))
	assert.True(t, i.MatchSNI, "0.1.3 does not know it")
	assert.Equal(t, uint32(443), i.HTTPS.Public)
	assert.Len(t, remarks, 2)
	i, _ = read(t, V014, under("gateway: {tls: {matchSNI: false}}"))
	assert.Equal(t, []string{"*"}, i.Configuration().GuardedGateways[0].Servers[0].Hosts)
}

func TestRemarks(t *testing.T) {
	_, remarks := read(t, Latest, under("valuesOverrides: {deployKF: {}}\ngateway: {hostnam: a.org, tls: {matchSni: false}, ports: {https: 8443}}"))
	require.Len(t, remarks, 3)
	for n, want := range []string{"valuesOverrides", "gateway.hostnam", "gateway.tls.matchSni"} {
		assert.True(t, strings.HasPrefix(remarks[n], "a.yaml: deploykf_core.deploykf_istio_gateway."+want+": "), remarks[n])
	}
}

func TestMeshOfValues(t *testing.T) {
	i, _ := read(t, Latest, "deploykf_dependencies: {istio: {namespace: mesh, meshConfig: {ingressControllerMode: 'OFF', defaultVirtualServiceExportTo: ['.']}}}")
	assert.Equal(t, config.Mesh{RootNamespace: "mesh", IngressControllerMode: "OFF", DefaultVirtualServiceExportTo: []string{"."}}, i.Configuration().Mesh)
}

// What can not be meant is one line that names the file and the value.
func TestReadRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		version Version
		text    string
		want    string
	}{
		"no YAML":           {Latest, "a: [", "b.yaml: is no values file"},
		"nothing":           {Latest, "", "b.yaml: is no values file"},
		"a list":            {Latest, "- a\n", "b.yaml: is no values file"},
		"other values":      {Latest, "image: {tag: v1}\n", "b.yaml: is no values file"},
		"a manifest":        {Latest, "apiVersion: v1\nkind: ConfigMap\n", "b.yaml: is no values file"},
		"two documents":     {Latest, "deploykf_core: {}\n---\nargocd: {}\n", "b.yaml: has more than one"},
		"a key twice":       {Latest, "deploykf_core: {}\ndeploykf_core: {}\n", "b.yaml: is no values file"},
		"a section":         {Latest, "deploykf_core: yes please\n", "b.yaml: deploykf_core: must be a map"},
		"a map":             {Latest, under("gateway: x"), "b.yaml: deploykf_core.deploykf_istio_gateway.gateway: must be a map"},
		"a flag":            {Latest, under("gateway: {tls: {matchSNI: 'no'}}"), "gateway.tls.matchSNI: must be true or false"},
		"a port":            {Latest, under("gateway: {ports: {https: 70000}}"), "gateway.ports.https: must be a port"},
		"a part of a port":  {Latest, under("gateway: {ports: {https: 80.5}}"), "gateway.ports.https: must be a port"},
		"no number":         {Latest, under("gateway: {ports: {https: https}}"), "gateway.ports.https: must be a port"},
		"one port":          {Latest, under("gateway: {ports: {https: 80}}"), "gateway.ports.https: must be another port"},
		"a name":            {Latest, under("gateway: {name: A b}"), "gateway.name: must be a name"},
		"no text":           {Latest, under("gateway: {hostname: 5}"), "gateway.hostname: must be a text"},
		"a wildcard":        {Latest, under("gateway: {hostname: '*.example.org'}"), "gateway.hostname: must be a name"},
		"a namespace":       {Latest, under("namespace: a.b"), "deploykf_istio_gateway.namespace: must be a name"},
		"a label":           {Latest, under("gateway: {selectorLabels: {app: 5}}"), "gateway.selectorLabels.app: must be a text"},
		"a label's value":   {Latest, under("gateway: {selectorLabels: {app: a b}}"), "gateway.selectorLabels.app: must be a valid label"},
		"no labels":         {Latest, under("gateway: {selectorLabels: {app: ~, istio: ~}}"), "gateway.selectorLabels: must be one label at least"},
		"labels as a list":  {Latest, under("gateway: {selectorLabels: [app]}"), "gateway.selectorLabels: must be a map"},
		"no gateway":        {Latest, under("enabled: false"), "deploykf_istio_gateway.enabled: must be true"},
		"no TLS":            {V014, under("gateway: {tls: {enabled: false}}"), "gateway.tls.enabled: must be true"},
		"an export":         {Latest, "deploykf_dependencies: {istio: {meshConfig: {defaultVirtualServiceExportTo: x}}}", "defaultVirtualServiceExportTo: must be a list"},
		"an export of what": {Latest, "deploykf_dependencies: {istio: {meshConfig: {defaultVirtualServiceExportTo: [5]}}}", "defaultVirtualServiceExportTo: must be a list"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := Read(tc.version, files([]string{"deploykf_core: {}\n", tc.text})...)
			require.Error(t, err)
			assert.NotContains(t, err.Error(), "\n")
			assert.True(t, strings.HasPrefix(err.Error(), "b.yaml: "), err.Error())
			assert.Contains(t, err.Error(), tc.want)
		})
	}
}

func TestDoubts(t *testing.T) {
	assert.Empty(t, DefaultInstallation(Latest).Doubts([]string{"deploykf-gateway", redirectGateway}))
	assert.Empty(t, DefaultInstallation(Latest).Doubts([]string{redirectGateway, oldRedirectGateway}), "the old one is about to go")
	assert.Empty(t, DefaultInstallation(V013).Doubts([]string{oldRedirectGateway}))
	assert.Contains(t, DefaultInstallation(Latest).Doubts([]string{oldRedirectGateway})[0], "--deploykf-version 0.1.3")
	assert.NotEmpty(t, DefaultInstallation(V013).Doubts([]string{redirectGateway}))
}

// Whatever the files hold, what comes of them is an installation or lines that name a file.
func FuzzRead(f *testing.F) {
	f.Add("deploykf_core: {}", under("gateway: {ports: {http: 8080}, selectorLabels: {app: x}}"))
	f.Add("deploykf_core: &a {deploykf_istio_gateway: {gateway: *a}}", "kubeflow_tools: {katib: {enabled: 1}}")
	f.Add("deploykf_core: {1: 2}", "deploykf_core: ~")
	f.Fuzz(func(t *testing.T, one, two string) {
		for _, v := range Versions {
			i, _, err := Read(v, files([]string{one, two})...)
			if err != nil {
				for line := range strings.SplitSeq(err.Error(), "\n") {
					assert.True(t, strings.HasPrefix(line, "a.yaml: ") || strings.HasPrefix(line, "b.yaml: "), line)
				}
				continue
			}
			require.NotEmpty(t, i.Configuration().GuardedGateways[0].PodLabels)
		}
	})
}

// The names that the login makes an exception of are those of the tools that are there, and up to
// 0.1.3 they count on every Gateway of the pods.
func TestReservedRoutes(t *testing.T) {
	names := func(i *Installation, anywhere bool) []string {
		var out []string
		for _, r := range i.Configuration().GuardedGateways[0].ReservedRoutes {
			assert.Equal(t, anywhere, r.AnyGateway, r.Name)
			out = append(out, r.Name)
		}
		return out
	}
	assert.Equal(t, []string{"dex-route", "oauth2-proxy-route"}, names(DefaultInstallation(V015), false))
	assert.Equal(t, []string{
		"dex-route", "oauth2-proxy-route", "argo-server-route", "minio-api-route", "minio-console-route", "ml-pipeline-ui-route",
	}, names(DefaultInstallation(V014).WithAllTools(), false))
	assert.Equal(t, []string{"dex-route", "oauth2-proxy-route", "https-redirect-route"}, names(DefaultInstallation(V013), true))
}
