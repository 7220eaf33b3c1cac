package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/manifest"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// What is written of a configuration is read as what it was.
func TestConfigurationsReadBack(t *testing.T) {
	for variant := range installations {
		cfg, err := configuration(variant)
		require.NoError(t, err)
		out, err := config.Marshal(cfg, variant, map[string]string{"guardedGateways[0].domains": "two\nlines"})
		require.NoError(t, err)
		assert.Contains(t, string(out), "  # two\n  # lines\n  domains:")
		back, err := config.Load(out, variant)
		require.NoError(t, err)
		assert.Equal(t, cfg, back, variant)
	}
}

// replace fills a configuration's own names into manifests: %N its namespace, %L its labels,
// %H its domain, %S the port of its TLS server and %P the Service's, %W that of plain HTTP.
func replace(g *config.GuardedGateway, text string) string {
	var labels []string
	for _, k := range slices.Sorted(maps.Keys(g.PodLabels)) {
		labels = append(labels, k+": "+g.PodLabels[k])
	}
	tls, plain := g.Servers[0], g.Servers[1]
	public := tls.PublicPort
	if public == 0 {
		public = tls.Port
	}
	return strings.NewReplacer(
		"%N", g.Namespace, "%L", "{"+strings.Join(labels, ", ")+"}", "%H", g.Domains[0],
		"%S", fmt.Sprint(tls.Port), "%P", fmt.Sprint(public), "%W", fmt.Sprint(plain.Port),
	).Replace(text)
}

const service = `
apiVersion: v1
kind: Service
metadata: {name: front, namespace: %N}
spec:
  selector: %L
  ports: [{name: https, port: %P, targetPort: %S}]
`

func gateway(port, protocol, host string) string {
	tls := ""
	if protocol == "HTTPS" {
		tls = ", tls: {mode: SIMPLE, credentialName: mine}"
	}
	return `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web, namespace: team-a}
spec:
  selector: %L
  servers: [{port: {number: ` + port + `, name: web, protocol: ` + protocol + `}, hosts: ["` + host + `"]` + tls + `}]
`
}

func route(path string) string {
	return `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: team-a}
spec:
  gateways: [%N/deploykf-gateway]
  hosts: ["%H"]
  http:
  - match: [{uri: {prefix: ` + path + `}}]
    route: [{destination: {host: web}}]
`
}

const permissive = `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: deploykf-auth}
spec: {mtls: {mode: PERMISSIVE}}
`

// Under each configuration, before anything of deployKF exists, nobody gets what is
// deployKF's, and everybody what is his own.
func TestAttacks(t *testing.T) {
	for _, variant := range slices.Sorted(maps.Keys(installations)) {
		cfg, err := configuration(variant)
		require.NoError(t, err)
		g := &cfg.GuardedGateways[0]
		dedicated := variant == "v0.1.3"
		tools := variant != variantDefault
		sni := variant != "nosni"
		for name, tc := range map[string]struct {
			object string
			denied bool
		}{
			"the host":                            {gateway("%S", "HTTPS", "%H"), true},
			"the host, through the Service":       {gateway("%P", "HTTPS", "%H"), true},
			"the host in capitals":                {gateway("%S", "HTTPS", "DeployKF.Example.com"), true},
			"the host for a namespace":            {gateway("%S", "HTTPS", "team-a/%H"), true},
			"a subdomain":                         {gateway("%S", "HTTPS", "minio-api.%H"), true},
			"a subdomain of no tool":              {gateway("%S", "HTTPS", "new.%H"), true},
			"the host in plain text":              {gateway("%W", "HTTP", "%H"), true},
			"another protocol":                    {gateway("%S", "TCP", "*"), true},
			"another protocol, for plain text":    {gateway("%W", "HTTPS", "app.example.org"), true},
			"everything":                          {gateway("%S", "HTTPS", "*"), dedicated || !sni},
			"a host of its own":                   {gateway("%S", "HTTPS", "app.example.org"), dedicated},
			"a host and port of its own":          {gateway("9443", "HTTPS", "app.example.org"), dedicated},
			"every path":                          {route("/"), true},
			"the path of a tool":                  {route("/dex/"), true},
			"a path of its own, that is nobody's": {route("/mine/"), true},
			"a notebook of its own":               {route("/notebook/team-a/one/"), !tools},
			"a notebook of another's":             {route("/notebook/team-b/one/"), true},
			"a namespace without mutual TLS":      {permissive, true},
		} {
			t.Run(variant+"/"+name, func(t *testing.T) {
				for _, there := range []string{"", replace(g, service)} {
					d := judge(t, cfg, there, replace(g, tc.object))
					assert.Equal(t, tc.denied, d.Denied(), "%v", d.Findings)
				}
			})
		}
	}
}

// What the owner installs passes under the configuration of his values, whatever is there
// before it, and what a controller of Kubeflow makes for a profile does.
func TestOwnersObjectsPass(t *testing.T) {
	for _, variant := range slices.Sorted(maps.Keys(installations)) {
		cfg, err := configuration(variant)
		require.NoError(t, err)
		g := &cfg.GuardedGateways[0]
		var objects []string
		for _, s := range g.Servers {
			tls := ""
			if s.TLSMode != "" {
				tls = ", tls: {mode: " + s.TLSMode + ", credentialName: own}"
			}
			objects = append(objects, fmt.Sprintf(`
apiVersion: networking.istio.io/v1beta1
kind: Gateway
metadata: {name: %s, namespace: %%N}
spec:
  selector: %%L
  servers: [{port: {number: %d, name: web, protocol: %s}, hosts: ["%s"]%s}]
`, s.Gateway, s.Port, s.Protocol, strings.Join(s.Hosts, `", "`), tls))
		}
		for _, o := range g.OwnerObjects {
			if o.Kind == resource.KindVirtualService {
				objects = append(objects, strings.NewReplacer("name: web, namespace: team-a", "name: "+o.Name+", namespace: "+o.Namespace).Replace(route("/"+o.Name+"/")))
			}
		}
		for _, p := range cfg.PermissivePolicies {
			labels, err := json.Marshal(p.Selector)
			require.NoError(t, err)
			objects = append(objects, fmt.Sprintf(`
apiVersion: security.istio.io/v1beta1
kind: PeerAuthentication
metadata: {name: %s, namespace: %s}
spec: {selector: {matchLabels: %s}, mtls: {mode: PERMISSIVE}}
`, p.Name, p.Namespace, labels))
		}
		if variant != variantDefault {
			objects = append(objects, route("/notebook/team-a/one/"))
		}
		objects = append(objects, `
apiVersion: security.istio.io/v1beta1
kind: AuthorizationPolicy
metadata: {name: deploykf-istio-gateway--allow, namespace: %N}
spec: {action: ALLOW, selector: {matchLabels: %L}, rules: [{to: [{operation: {ports: ["%S", "%W"]}}]}]}
`, `
apiVersion: networking.istio.io/v1beta1
kind: ServiceEntry
metadata: {name: deploykf-istio-gateway, namespace: %N}
spec:
  workloadSelector: {labels: %L}
  hosts: ["%H"]
  location: MESH_INTERNAL
  ports: [{name: https, number: %P, protocol: HTTPS, targetPort: %S}]
  resolution: STATIC
`)
		there := replace(g, service)
		for i, o := range objects {
			o = replace(g, o)
			for _, before := range []string{"", replace(g, service), there} {
				d := judge(t, cfg, before, o)
				assert.Empty(t, slices.Concat(d.Of(policy.Deny), d.Of(policy.Warn)), "%s: object %d:%s", variant, i, o)
			}
			there += "---" + o
		}
	}
}

// judge asks for a verdict on the creation of an object where others exist.
func judge(t *testing.T, cfg *config.Configuration, there, object string) policy.Decision {
	t.Helper()
	docs, err := manifest.Read([]string{manifest.Stdin}, strings.NewReader(there+"---"+object))
	require.NoError(t, err)
	var sources []source
	for _, d := range docs {
		sources = append(sources, source{api: d.API, raw: d.Raw})
	}
	last := len(docs) - 1
	snapshot, _, err := store(sources[:last])
	require.NoError(t, err)
	return newEngine(cfg).Decide(snapshot, policy.Change{Operation: policy.Create, New: docs[last].Object})
}
