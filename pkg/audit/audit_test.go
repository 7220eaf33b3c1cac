package audit_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/audit"
	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/manifest"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
)

// owner is the least of deployKF that its defaults recognize.
const owner = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: deploykf-gateway, namespace: deploykf-istio-gateway, creationTimestamp: "2024-01-01T00:00:00Z"}
spec:
  selector: {app: deploykf-gateway}
  servers:
  - {port: {name: https, number: 443, protocol: HTTPS}, hosts: ["*/deploykf.example.com"], tls: {mode: SIMPLE, credentialName: cert}}
---
`

// gateway is a Gateway on deployKF's pods, with a day of January 2025 as its age.
func gateway(name string, day int, hosts ...string) string {
	namespace, name, _ := strings.Cut(name, "/")
	return fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: %s, namespace: %s, creationTimestamp: "2025-01-%02dT00:00:00Z"}
spec:
  selector: {app: deploykf-gateway}
  servers:
  - {port: {name: https, number: 443, protocol: HTTPS}, hosts: ["%s"], tls: {mode: SIMPLE, credentialName: own}}
---
`, name, namespace, day, strings.Join(hosts, `", "`))
}

func route(name string, day int, gateway, host, match string) string {
	namespace, name, _ := strings.Cut(name, "/")
	return fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: %s, namespace: %s, creationTimestamp: "2025-01-%02dT00:00:00Z"}
spec:
  gateways: [%s]
  hosts: [%s]
  http: [{match: [%s], route: [{destination: {host: backend}}]}]
---
`, name, namespace, day, gateway, host, match)
}

func workload(kind string, labels string) string {
	return fmt.Sprintf(`
apiVersion: apps/v1
kind: %s
metadata: {name: gateway, namespace: deploykf-istio-gateway}
spec: {template: {metadata: {labels: {app: deploykf-gateway, istio: deploykf-gateway, %s}}, spec: {containers: [{name: istio-proxy, image: auto}]}}}
---
`, kind, labels)
}

func snapshot(t *testing.T, world string) *state.Snapshot {
	t.Helper()
	docs, err := manifest.Read([]string{manifest.Stdin}, strings.NewReader(world))
	require.NoError(t, err)
	w := state.NewWriter()
	for _, d := range docs {
		require.NotNil(t, d.Object, "%s:%d", d.File, d.Line)
		w.Apply(d.Object)
	}
	return w.Snapshot()
}

// run audits a world by the rules that judge changes: these worlds are no whole installations.
func run(t *testing.T, world string) audit.Result {
	t.Helper()
	all := slices.DeleteFunc(rules.All(), func(r *policy.Rule) bool { return len(r.Operations) == 0 })
	return audit.Run(policy.NewEngine(deploykf.Default(), all), snapshot(t, world))
}

func told(r audit.Result) []string {
	var out []string
	for _, f := range r.Findings {
		out = append(out, fmt.Sprintf("%s %s %s", f.Effect, f.Rule, f.Key))
	}
	return out
}

// Each clash is told once, on the object that has to give way.
func TestSides(t *testing.T) {
	for name, c := range map[string]struct {
		world string
		want  []string
	}{
		"the owner alone": {owner, nil},
		"a tenant beside the owner": {
			owner + gateway("a/x", 1, "app.a.org"), nil,
		},
		"a tenant's is never the owner's fault": {
			owner + gateway("a/x", 1, "deploykf.example.com"), []string{"deny GWD201 Gateway a/x"},
		},
		"a tenant that was there before the owner": {
			strings.ReplaceAll(owner, "2024", "2026") + gateway("a/x", 1, "deploykf.example.com"), []string{"deny GWD201 Gateway a/x"},
		},
		"two tenants: the younger one": {
			owner + gateway("a/x", 2, "app.org") + gateway("b/y", 1, "app.org"), []string{"deny GWD206 Gateway a/x"},
		},
		"two of one second: as Istio orders them": {
			owner + gateway("b/x", 1, "app.org") + gateway("a/y", 1, "app.org"), []string{"deny GWD206 Gateway a/y"},
		},
		"three tenants: all but the oldest": {
			owner + gateway("a/x", 2, "app.org") + gateway("b/y", 1, "app.org") + gateway("c/z", 3, "app.org"),
			[]string{"deny GWD206 Gateway a/x", "deny GWD206 Gateway c/z"},
		},
		"one namespace": {
			owner + gateway("a/x", 2, "app.org") + gateway("a/y", 1, "app.org"), []string{"warn GWD206 Gateway a/x"},
		},
		"out of the wildcard of an older tenant": {
			owner + gateway("a/x", 2, "x.app.org") + gateway("b/y", 1, "*.app.org"), []string{"deny GWD207 Gateway a/x"},
		},
		"out of the wildcard of a younger tenant": {
			owner + gateway("a/x", 1, "x.app.org") + gateway("b/y", 2, "*.app.org"), []string{"note GWD207 Gateway a/x"},
		},
		"out of the wildcards of an older and a younger tenant": {
			owner + gateway("a/x", 2, "x.app.org") + gateway("b/y", 3, "*.app.org") + gateway("c/z", 1, "*.app.org"),
			[]string{"deny GWD207 Gateway a/x", "deny GWD206 Gateway b/y"},
		},
		"routes of two tenants": {
			owner + gateway("a/x", 1, "*/app.org") + route("a/v", 1, "a/x", "app.org", "{uri: {prefix: /x}}") +
				route("b/v", 2, "a/x", "app.org", "{uri: {prefix: /x/y}}"),
			[]string{"deny GWD307 VirtualService b/v"},
		},
		"a route below a catch-all that came later": {
			owner + gateway("a/x", 1, "*/app.org") + route("a/v", 1, "a/x", "app.org", "{uri: {prefix: /x}}") +
				route("b/v", 2, "a/x", "app.org", "{uri: {prefix: /}}"),
			[]string{"note GWD307 VirtualService a/v"},
		},
		"a route, and not also the Gateway that brings it": {
			owner + strings.NewReplacer("443", "80", "HTTPS", "HTTP", "https", "http", ", tls: {mode: SIMPLE, credentialName: own}", "").
				Replace(gateway("a/x", 1, "*/app.org")) +
				route("a/v", 1, "a/x", "app.org", "{uri: {prefix: /x}}") + route("b/v", 2, "a/x", "app.org", "{uri: {prefix: /x}}"),
			[]string{"deny GWD307 VirtualService b/v"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, c.want, told(run(t, c.world)))
		})
	}
}

// A finding keeps its identity when the pods get other labels or run at all, when the message
// is another, and when the field has moved.
func TestIdentity(t *testing.T) {
	thief := gateway("a/x", 1, "app.org", "deploykf.example.com")
	before := run(t, owner+workload("Deployment", "version: one")+thief)
	after := run(t, owner+workload("Deployment", "version: two")+workload("DaemonSet", "version: three")+gateway("a/x", 1, "deploykf.example.com"))
	id := func(r audit.Result) audit.ID {
		for _, f := range r.Findings {
			if f.Rule == "GWD201" {
				assert.Regexp(t, "^stdin:[0-9]+$", f.Source)
				return f.ID()
			}
		}
		t.Fatal("not found")
		return audit.ID{}
	}
	assert.Equal(t, id(before), id(after))
	assert.NotEqual(t, id(before), id(run(t, owner+gateway("a/x", 1, "DeployKF.example.com")+gateway("a/y", 1, "deploykf.example.com"))), "another spelling")
}

func TestStanding(t *testing.T) {
	missing := resource.Key{Kind: resource.KindPeerAuthentication, Namespace: "x", Name: "default"}
	engine := policy.NewEngine(deploykf.Default(), []*policy.Rule{{ID: "GWD799", Name: "missing", Standing: func(_ *policy.World, report func(resource.Key, policy.Fault)) {
		report(missing, policy.Fault{Effect: policy.Warn, Message: "It is missing. Make it.", Subject: "x"})
	}}})
	r := audit.Run(engine, snapshot(t, owner))
	require.Len(t, r.Findings, 1)
	assert.Equal(t, audit.ID{Rule: "GWD799", Key: missing, Subject: "x"}, r.Findings[0].ID())
	assert.Empty(t, r.Findings[0].Source, "the object does not exist")
	assert.Zero(t, r.Judged)
}

func TestCompare(t *testing.T) {
	finding := func(name string) audit.Finding {
		return audit.Finding{ObjectFinding: policy.ObjectFinding{
			Key:     resource.Key{Kind: resource.KindGateway, Namespace: "a", Name: name},
			Finding: policy.Finding{Rule: "GWD201", Subject: "s", Message: "worded anew"},
		}}
	}
	one, two, three := finding("one"), finding("two"), finding("three")
	c := audit.Compare([]audit.ID{three.ID(), one.ID(), three.ID()}, []audit.Finding{one, two})
	assert.Equal(t, audit.Comparison{New: []audit.Finding{two}, Known: []audit.Finding{one}, Resolved: []audit.ID{three.ID()}}, c)
	assert.Equal(t, audit.Comparison{New: []audit.Finding{one}}, audit.Compare(nil, []audit.Finding{one}))
}

func TestGap(t *testing.T) {
	all := []*policy.Rule{
		{ID: "GWD001", Kinds: []resource.Kind{resource.KindPod}},
		{ID: "GWD002", Reads: []resource.Kind{resource.KindPod}},
		{ID: "GWD003", Reads: []resource.Kind{resource.KindService}},
	}
	e := policy.NewEngine(deploykf.Default(), all)
	g := audit.NewGap(resource.ByKind(resource.KindPod), "list", e)
	assert.Equal(t, []string{"GWD001", "GWD002"}, g.Rules)
	assert.Equal(t, `list pods in API group ""`, g.Permission())
	assert.Equal(t, "list gateways in API group networking.istio.io", audit.NewGap(resource.ByKind(resource.KindGateway), "list", e).Permission())
	assert.Equal(t, `list configmaps in API group "" in namespace istio-system`, audit.NewGap(resource.ByKind(resource.KindConfigMap), "list", e).Permission())
}
