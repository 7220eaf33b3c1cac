package policy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/manifest"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
)

// mapped makes the map of manifests, each a second younger than the one before it, in lines:
//
//	0.0.0.0_443                                   a listener
//	  refused                                     by the proxy
//	  a/gw[0]                                     a server, a "-" before one that is dropped
//	    a/vs spec.tcp[0]                          a route of its connections
//	  sni app.example.org a/gw[0]                 a server name
//	  https.443.https.gw.a app.example.org        a virtual host, with "redirect" if it is one
//	    a/vs spec.http[0] prefix /a               a route, a "-" before one that is not there
//	    a/vs spec.http[1] any path < 1            a route, shadowed by the first one
//	left out a/gw spec
func mapped(t *testing.T, manifests string) string {
	t.Helper()
	docs, err := manifest.Read([]string{manifest.Stdin}, strings.NewReader(manifests))
	require.NoError(t, err)
	w := state.NewWriter()
	for i, d := range docs {
		require.NotNil(t, d.Object, "%s", d.KindName)
		d.Object.GetMeta().Created = time.Date(2026, 1, 1, 0, 0, i, 0, time.UTC)
		w.Apply(d.Object)
	}
	cfg := deploykf.Default()
	cfg.Mesh.IngressService = "deploykf-gateway" // by the label of the guarded pods
	w.TranslateBy(cfg.Mesh.Translation())
	maps := newWorld(w.Snapshot(), cfg).Maps()
	require.Len(t, maps, 1)
	return described(maps[0])
}

func described(m *Map) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	server := func(s *MergedServer) string {
		return fmt.Sprintf("%s/%s[%d]", s.Gateway.Namespace, s.Gateway.Name, s.Index)
	}
	mark := func(why string) string {
		if why == "" {
			return ""
		}
		return "-"
	}
	for _, l := range m.Listeners {
		line("%s", l.Name)
		for range l.Refused {
			line("  refused")
		}
		for _, s := range l.Servers {
			line("  %s%s", mark(s.Dropped), server(s))
			for _, c := range s.Connections {
				line("    %s%s/%s %s", mark(c.Dropped), c.Route.Namespace, c.Route.Name, c.Field)
			}
		}
		for _, n := range l.Names() {
			line("  sni %s %s", n.Name, server(n.Servers[0]))
		}
		for _, t := range l.Routes {
			for _, h := range t.Hosts {
				redirect := ""
				if h.Redirect != nil {
					redirect = " redirect"
				}
				line("  %s %s%s", t.Name, h.Host, redirect)
				for _, r := range h.Routes {
					shadow := ""
					for i, o := range h.Routes {
						if o == r.ShadowedBy {
							shadow = fmt.Sprintf(" < %d", i+1)
						}
					}
					line("    %s%s/%s %s %s%s", mark(r.Unreached), r.Object.Namespace, r.Object.Name, r.Field, r.Match.URI, shadow)
				}
			}
		}
	}
	for _, l := range m.LeftOut {
		line("left out %s/%s %s", l.Gateway.Namespace, l.Gateway.Name, l.Field)
	}
	return b.String()
}

// gatewayYAML and routeYAML write manifests. A server is "port protocol hosts [bind]", with "~"
// behind the protocol for one that redirects, and the mode of TLS behind a colon.
func gatewayYAML(key string, servers ...string) string {
	namespace, name, _ := strings.Cut(key, "/")
	var b strings.Builder
	fmt.Fprintf(&b, "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: %s, namespace: %s}\n", name, namespace)
	b.WriteString("spec:\n  selector: {istio: deploykf-gateway}\n  servers:\n")
	for i, s := range servers {
		f := strings.Fields(s)
		protocol, mode, _ := strings.Cut(f[1], ":")
		tls := ""
		switch {
		case strings.HasSuffix(protocol, "~"):
			protocol, tls = strings.TrimSuffix(protocol, "~"), "tls: {httpsRedirect: true}"
		case mode != "":
			tls = fmt.Sprintf("tls: {mode: %s, credentialName: c}", mode)
		case protocol == "HTTPS":
			tls = "tls: {mode: SIMPLE, credentialName: c}"
		}
		bind := ""
		if len(f) > 3 {
			bind = "bind: " + f[3]
		}
		fmt.Fprintf(&b, "  - {port: {number: %s, name: p%d, protocol: %s}, hosts: ['%s'], %s, %s}\n",
			f[0], i, protocol, strings.ReplaceAll(f[2], ",", "','"), tls, bind)
	}
	return strings.NewReplacer(", , ", ", ", ", }", "}").Replace(b.String())
}

// routeYAML writes a VirtualService with HTTP routes to one destination, each with the matches
// that are given, and more of its spec.
func routeYAML(key, gateways, hosts, more string, matches ...string) string {
	namespace, name, _ := strings.Cut(key, "/")
	var b strings.Builder
	fmt.Fprintf(&b, "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: %s, namespace: %s}\nspec:\n", name, namespace)
	if gateways != "" {
		fmt.Fprintf(&b, "  gateways: [%s]\n", gateways)
	}
	if hosts != "" {
		fmt.Fprintf(&b, "  hosts: [%s]\n", hosts)
	}
	if more != "" {
		fmt.Fprintf(&b, "  %s\n", more)
	}
	if len(matches) > 0 {
		b.WriteString("  http:\n")
	}
	for _, m := range matches {
		if !strings.Contains(m, "delegate:") {
			m += "\n    route: [{destination: {host: x}}]"
		}
		fmt.Fprintf(&b, "  - %s\n", strings.TrimLeft(m, "\n "))
	}
	return b.String()
}

func path(kind, value string) string { return fmt.Sprintf("match: [{uri: {%s: '%s'}}]", kind, value) }

func TestMap(t *testing.T) {
	const any = "name: all"
	for name, c := range map[string]struct {
		manifests []string
		want      string
	}{
		"an older host drops the whole server": {
			[]string{gatewayYAML("a/one", "443 HTTPS app.example.org"), gatewayYAML("b/two", "443 HTTPS other.example.org,*/app.example.org")},
			`0.0.0.0_443
  a/one[0]
  -b/two[0]
  sni app.example.org a/one[0]
`},
		"another spelling is refused": {
			[]string{gatewayYAML("a/one", "443 HTTPS app.example.org"), gatewayYAML("b/two", "443 HTTPS ./app.example.org")},
			`0.0.0.0_443
  refused
  a/one[0]
  b/two[0]
  sni app.example.org a/one[0]
  sni app.example.org b/two[0]
`},
		"a dropped server keeps its hosts": {
			[]string{gatewayYAML("a/one", "443 HTTP one.example.org"), gatewayYAML("b/two", "443 HTTPS app.example.org"), gatewayYAML("c/three", "443 HTTPS app.example.org 10.0.0.1", "443 HTTPS app.example.org")},
			`0.0.0.0_443
  a/one[0]
  -b/two[0]
  -c/three[1]
  sni * a/one[0]
10.0.0.1_443
  c/three[0]
  sni app.example.org c/three[0]
`},
		"plain text behind TLS is kept": {
			[]string{gatewayYAML("a/one", "443 HTTPS app.example.org"), gatewayYAML("b/two", "443 HTTP *")},
			`0.0.0.0_443
  a/one[0]
  b/two[0]
  sni app.example.org a/one[0]
  sni * b/two[0]
`},
		"plain text behind TLS for every name is refused": {
			[]string{gatewayYAML("a/one", "443 HTTPS *"), gatewayYAML("b/two", "443 HTTP *")},
			`0.0.0.0_443
  refused
  a/one[0]
  b/two[0]
  sni * a/one[0]
  sni * b/two[0]
`},
		"binds of one address are two chains": {
			[]string{gatewayYAML("a/one", "80 HTTP *"), gatewayYAML("b/two", "80 HTTP * 0.0.0.0")},
			`0.0.0.0_80
  refused
  a/one[0]
  b/two[0]
  sni * a/one[0]
  sni * b/two[0]
`},
		"protocols merge unless a bind comes between": {
			[]string{gatewayYAML("a/one", "80 HTTP *"), gatewayYAML("b/two", "80 GRPC *"), gatewayYAML("c/three", "80 HTTP * 10.0.0.1"), gatewayYAML("d/four", "80 GRPC *")},
			`0.0.0.0_80
  refused
  a/one[0]
  b/two[0]
  d/four[0]
  sni * a/one[0]
  sni * d/four[0]
10.0.0.1_80
  c/three[0]
  sni * c/three[0]
`},
		"names from the most specific": {
			[]string{gatewayYAML("a/one", "443 HTTPS *.example.org"), gatewayYAML("b/two", "443 HTTPS *"), gatewayYAML("c/three", "443 HTTPS *.b.example.org,b.example.org")},
			`0.0.0.0_443
  a/one[0]
  b/two[0]
  c/three[0]
  sni b.example.org c/three[0]
  sni *.b.example.org c/three[0]
  sni *.example.org a/one[0]
  sni * b/two[0]
`},
		"any of several names is every name": {
			[]string{gatewayYAML("a/one", "443 HTTPS app.example.org,*")},
			`0.0.0.0_443
  a/one[0]
  sni * a/one[0]
`},
		"a partial wildcard is refused": {
			[]string{gatewayYAML("a/one", "443 HTTPS *-app.example.org")},
			`0.0.0.0_443
  refused
  a/one[0]
  sni *-app.example.org a/one[0]
`},
		"a Service leads to a port, the older one": {
			[]string{`---
apiVersion: v1
kind: Service
metadata: {name: z, namespace: deploykf-istio-gateway}
spec: {selector: {istio: deploykf-gateway}, ports: [{port: 443, targetPort: 8443}]}
---
apiVersion: v1
kind: Service
metadata: {name: a, namespace: deploykf-istio-gateway}
spec: {selector: {istio: deploykf-gateway}, ports: [{port: 443, targetPort: 9443}]}
`, gatewayYAML("a/one", "443 HTTPS app.example.org"), gatewayYAML("b/two", "9443 HTTPS app.example.org", "8443 HTTPS app.example.org")},
			`0.0.0.0_8443
  a/one[0]
  -b/two[1]
  sni app.example.org a/one[0]
0.0.0.0_9443
  b/two[0]
  sni app.example.org b/two[0]
`},
		"tiers before age, catch-alls last": {
			[]string{
				gatewayYAML("deploykf-istio-gateway/gw", "80 HTTP *"),
				routeYAML("a/old", "deploykf-istio-gateway/gw", "app.example.org", "", path("prefix", "/a"), path("prefix", "/")),
				routeYAML("b/young", "deploykf-istio-gateway/gw", "app.example.org", "", path("prefix", "/b")),
				routeYAML("c/named", "deploykf-istio-gateway/gw", "app.example.org", "exportTo: [deploykf-istio-gateway]", path("prefix", "/a/b"), path("exact", "/")),
				routeYAML("deploykf-istio-gateway/private", "gw", "app.example.org", "exportTo: ['.']", path("prefix", "/c"), any),
				routeYAML("deploykf-istio-gateway/wanted", "deploykf-istio-gateway/gw", "app.example.org", "", path("prefix", "/w")),
				routeYAML("d/unseen", "deploykf-istio-gateway/gw", "app.example.org", "exportTo: ['.']", any),
			},
			`0.0.0.0_80
  deploykf-istio-gateway/gw[0]
  sni * deploykf-istio-gateway/gw[0]
  http.80 app.example.org
    deploykf-istio-gateway/private spec.http[0].match[0] prefix /c
    c/named spec.http[0].match[0] prefix /a/b
    c/named spec.http[1].match[0] exact /
    a/old spec.http[0].match[0] prefix /a
    b/young spec.http[0].match[0] prefix /b
    deploykf-istio-gateway/wanted spec.http[0].match[0] prefix /w
    deploykf-istio-gateway/private spec.http[1] any path
    a/old spec.http[1].match[0] prefix / < 7
`},
		"virtual hosts are shared in plain text, and not in TLS": {
			[]string{
				gatewayYAML("a/one", "80 HTTP *.example.org", "443 HTTPS *.example.org"),
				gatewayYAML("b/two", "80 HTTP~ app.example.org", "443 HTTPS app.example.org"),
				routeYAML("a/vs", "one", "app.example.org", "", any),
				routeYAML("b/vs", "two", "'*'", "", path("prefix", "/b")),
			},
			`0.0.0.0_80
  a/one[0]
  b/two[0]
  sni * a/one[0]
  http.80 app.example.org redirect
    b/vs spec.http[0].match[0] prefix /b
    a/vs spec.http[0] any path
0.0.0.0_443
  a/one[1]
  b/two[1]
  sni app.example.org b/two[1]
  sni *.example.org a/one[1]
  https.443.p1.one.a app.example.org
    a/vs spec.http[0] any path
  https.443.p1.two.b app.example.org
    b/vs spec.http[0].match[0] prefix /b
`},
		"matches for another port or Gateway": {
			[]string{
				gatewayYAML("a/one", "80 HTTP *", "443 HTTPS *"),
				routeYAML("a/vs", "a/one, a/other", "app.example.org", "",
					"match: [{port: 80, uri: {prefix: /p}}]", "match: [{gateways: [other], uri: {prefix: /o}}, {gateways: [one.a], uri: {prefix: /g}}]"),
			},
			`0.0.0.0_80
  a/one[0]
  sni * a/one[0]
  http.80 app.example.org
    a/vs spec.http[0].match[0] prefix /p
    a/vs spec.http[1].match[1] prefix /g
0.0.0.0_443
  a/one[1]
  sni * a/one[1]
  https.443.p1.one.a app.example.org
    a/vs spec.http[1].match[1] prefix /g
`},
		"what is behind a catch-all of its own": {
			[]string{gatewayYAML("a/one", "80 HTTP *"), routeYAML("a/vs", "one", "app.example.org", "", path("prefix", "/a"), any, path("prefix", "/b"))},
			`0.0.0.0_80
  a/one[0]
  sni * a/one[0]
  http.80 app.example.org
    a/vs spec.http[0].match[0] prefix /a
    -a/vs spec.http[2].match[0] prefix /b
    a/vs spec.http[1] any path
`},
		"what is handed over": {
			[]string{
				gatewayYAML("a/one", "80 HTTP *"),
				routeYAML("a/root", "one", "app.example.org", "", path("prefix", "/a")+"\n    delegate: {name: part, namespace: b}", path("prefix", "/n")+"\n    delegate: {name: none}"),
				routeYAML("b/part", "", "", "", path("prefix", "/a/b"), path("prefix", "/x"), any),
			},
			`0.0.0.0_80
  a/one[0]
  sni * a/one[0]
  http.80 app.example.org
    b/part spec.http[0].match[0] prefix /a/b
    -b/part spec.http[1].match[0] prefix /x
    b/part spec.http[2] prefix /a
    -a/root spec.http[1].delegate prefix /n
`},
		"TCP and TLS routes": {
			[]string{
				gatewayYAML("a/one", "9000 TCP *", "9443 TLS:PASSTHROUGH *.example.org", "9001 TCP *"),
				routeYAML("a/vs", "one", "'*'", "tcp: [{match: [{port: 9000}], route: [{destination: {host: x}}]}]"),
				routeYAML("b/vs", "a/one", "'*'", "tcp: [{match: [{port: 9000}], route: [{destination: {host: x}}]}]"),
				routeYAML("a/tls", "one", "'*.example.org'", "tls: [{match: [{sniHosts: [a.example.org]}, {sniHosts: [b.example.org, a.example.org]}, {sniHosts: ['*.example.org']}], route: [{destination: {host: x}}]}]"),
			},
			`0.0.0.0_9000
  a/one[0]
    a/vs spec.tcp[0]
    -b/vs spec.tcp[0]
  sni * a/one[0]
0.0.0.0_9001
  a/one[2]
0.0.0.0_9443
  a/one[1]
    a/tls spec.tls[0].match[0]
    -a/tls spec.tls[0].match[1]
    a/tls spec.tls[0].match[2]
  sni a.example.org a/one[1]
  sni *.example.org a/one[1]
`},
		"an Ingress comes first": {
			[]string{gatewayYAML("a/one", "443 HTTPS app.example.org"), `---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: in, namespace: b, annotations: {kubernetes.io/ingress.class: istio}}
spec:
  tls: [{hosts: [app.example.org], secretName: s}]
  rules: [{host: app.example.org, http: {paths: [{path: /i, pathType: Exact, backend: {service: {name: x, port: {number: 80}}}}]}}]
`},
			`0.0.0.0_80
  b/in[1]
  sni * b/in[1]
  http.80 app.example.org
    b/in~0~istio-autogenerated-k8s-ingress spec.rules[0].http.paths[0] exact /i
0.0.0.0_443
  b/in[0]
  -a/one[0]
  sni app.example.org b/in[0]
  https.443.https-443-ingress-in-b-0.in-istio-autogenerated-k8s-ingress-b.istio-system app.example.org
    b/in~0~istio-autogenerated-k8s-ingress spec.rules[0].http.paths[0] exact /i
`},
		"a managed Gateway beside others": {
			[]string{
				gatewayYAML("a/one", "80 HTTP *"),
				strings.Replace(gatewayYAML("b/two", "80 HTTP *"), "namespace: b}", "namespace: b, annotations: {internal.istio.io/gateway-semantics: gateway, internal.istio.io/service-account-name: x}}", 1),
			},
			`0.0.0.0_80
  b/two[0]
  sni * b/two[0]
left out a/one spec
`},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, c.want, mapped(t, strings.Join(c.manifests, "")))
		})
	}
}

func TestShadows(t *testing.T) {
	m := func(text string) *resource.HTTPMatch {
		out := &resource.HTTPMatch{}
		kind, value, _ := strings.Cut(text, " ")
		kind, out.IgnoreURICase = strings.CutSuffix(kind, "~")
		kind, out.Conditioned = strings.CutSuffix(kind, "?")
		out.URI.Type = map[string]resource.MatchType{"exact": resource.MatchExact, "prefix": resource.MatchPrefix, "regex": resource.MatchRegex}[kind]
		out.URI.Value = value
		return out
	}
	for _, c := range []struct {
		m, o string
		want bool
	}{
		{"any", "prefix /a", true},
		{"any", "any", true},
		{"any", "regex /a.*", true},
		{"any", "regex .*", false}, // "OPTIONS *"
		{"any", "prefix? /a", true},
		{"any?", "prefix /a", false},
		{"prefix /a", "prefix /ab", true},
		{"prefix /a/", "prefix /a", false},
		{"prefix /a", "exact /a", true},
		{"prefix /a", "any", false},
		{"prefix /a", "regex /a/[0-9]+", true},
		{"prefix /a", "regex /[ab]", false},
		{"prefix /a", "regex /a|/b", false},
		{"prefix /a", "prefix~ /a", false},
		{"prefix /1", "prefix~ /1", true},
		{"prefix~ /A", "prefix /a", true},
		{"prefix~ /A", "prefix~ /a/b", true},
		{"prefix~ /a", "regex /A/.*", true},
		{"prefix /A", "prefix /a", false},
		{"exact /a", "exact /a", true},
		{"exact /a", "exact~ /a", false},
		{"exact /a", "prefix /a", false},
		{"exact /a", "regex /a", false},
		{"regex .*", "any", true},
		{"regex .*", "prefix~ /a", true},
		{"regex .*", "regex /a", true},
		{"regex /a.*", "exact /ab", true},
		{"regex /a", "exact /ab", false},
		{"regex /a.*", "prefix /a", false},
		{"regex /a.*", "regex /a.*", true},
		{"regex~ /A", "exact /a", false},
		{"regex~ /A", "exact /A", true},
		{"regex /(", "exact /(", false},
	} {
		assert.Equal(t, c.want, shadows(m(c.m), m(c.o)), "%s before %s", c.m, c.o)
	}
}
