package rules

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	backstops "github.com/gatewarden/gatewarden/pkg/backstop"
	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/test/backstop"
	"github.com/gatewarden/gatewarden/test/worlds"
)

// The backstop may be weaker than the engine, but never stronger: what the API server refuses
// by itself, a rule denies, and one with the ID that the message tells.
func TestBackstopRefusesNothingThatTheEngineAdmits(t *testing.T) {
	p, err := backstop.Load(t.Context())
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		e := policy.NewEngine(drawConfiguration(t), All())
		for range 3 {
			s := w.Snapshot()
			c := rapid.Custom(func(t *rapid.T) policy.Change { return drawChange(t, s) }).Filter(backstop.Judges).Draw(t, "change")
			c.Requester = policy.Requester{
				Name:   rapid.SampledFrom([]string{"tenant", "argo", "breaker"}).Draw(t, "user"),
				Groups: rapid.SampledFrom([][]string{nil, {"system:authenticated"}, {"ops"}}).Draw(t, "groups"),
			}
			message, err := p.Change(e, s, c)
			require.NoError(t, err)
			if message != "" {
				assert.Contains(t, backstop.Denied(e, s, c), backstop.RuleOf(message), message)
			}
			if rapid.Bool().Draw(t, "admit") {
				w.Apply(c.New)
			}
		}
	})
}

// What the engine lets pass for a reason of its own, and how near the backstop comes to it.
func TestBackstopLetsPass(t *testing.T) {
	p, err := backstop.Load(t.Context())
	require.NoError(t, err)
	selecting := func(labels map[string]string, servers ...string) *resource.Gateway {
		return with(gw("team-a/x", servers...), func(g *resource.Gateway) { g.Selector = labels })
	}
	revision := map[string]string{"istio": "deploykf-gateway", "istio.io/rev": "default"}
	served := func(g *resource.Gateway) *resource.Gateway {
		return with(g, func(g *resource.Gateway) {
			g.Annotations = map[string]string{gatewayServiceAnnotation: "deploykf-gateway.deploykf-istio-gateway.svc.cluster.local"}
		})
	}
	ours := func(g *resource.Gateway) *resource.Gateway {
		g.Namespace = "deploykf-istio-gateway"
		return g
	}
	route := func(paths ...string) *resource.VirtualService { return vs("team-a/x", guarded, h, paths...) }
	kubeflow := func(mode resource.MTLSMode, selector map[string]string, ports map[uint32]resource.MTLSMode) *resource.PeerAuthentication {
		return with(pa("kubeflow/x", mode, selector), func(o *resource.PeerAuthentication) { o.Ports = ports })
	}
	app, narrower := map[string]string{"app": "a"}, map[string]string{"app": "a", "tier": "b"}
	minio := map[string]string{"app.kubernetes.io/component": "minio", "app.kubernetes.io/name": "deploykf-minio", "more": "labels"}
	weak := map[uint32]resource.MTLSMode{8080: resource.ModePermissive}
	for _, c := range []struct {
		name    string
		world   []resource.Object
		change  policy.Change
		refused string // the rule, or empty
	}{
		{name: "a host that was there by a label that injection adds", change: update(selecting(revision, "443 HTTPS "+h), selecting(podLabels, "443 HTTPS "+h))},
		{name: "a host that was elsewhere", change: update(selecting(map[string]string{"istio": "other"}, "443 HTTPS "+h), selecting(podLabels, "443 HTTPS "+h)), refused: "GWD201"},
		{name: "a host that was there by the Service", change: update(served(ours(gw("x/x", "443 HTTPS "+h))), ours(gw("x/x", "443 HTTPS "+h)))},
		{name: "a host that was on another port", change: update(gw("team-a/x", "8443 HTTPS "+h), gw("team-a/x", "443 HTTPS "+h)), refused: "GWD201"},
		{name: "by a label that nobody has", change: create(selecting(map[string]string{"istio": "deploykf-gateway", "tier": "b"}, "443 HTTPS "+h))},
		{name: "any host beside others stands for all of them", world: []resource.Object{server443("*/*")}, change: update(gw("team-a/x", "443 HTTPS */*"), gw("team-a/x", "443 HTTPS */*,"+h))},
		{name: "a short name of the host of another", change: create(gw("team-a/x", "443 HTTPS my"+h))},
		{name: "a wildcard around the host", change: create(gw("team-a/x", "443 HTTPS *.example.com"))},

		{name: "a challenge from the pods' namespace", change: create(vs("deploykf-istio-gateway/x", guarded, h, "exact /.well-known/acme-challenge/token"))},
		{name: "a challenge from elsewhere", change: create(route("exact /.well-known/acme-challenge/token")), refused: "GWD301"},
		{name: "an exact path that was there", change: update(route("exact /x"), route("exact /x", "prefix /notebook/team-a/"))},
		{name: "every path that was there", change: update(route("all"), route("all"))},
		{name: "an expression that was there", change: update(route("regex .*"), route("regex .*", "prefix /notebook/team-a/"))},
		{name: "a narrower path", change: update(route("prefix /x/"), route("exact /x/y"))},
		{name: "a narrower path than all, which is asked last", change: update(route("prefix /"), route("prefix /x")), refused: "GWD301"},
		{name: "another path", change: update(route("exact /x"), route("prefix /x")), refused: "GWD301"},
		{name: "a path in any letter case", change: update(matching(route("prefix /x/"), func(m *resource.HTTPMatch) { m.IgnoreURICase = true }), matching(route("prefix /x/y"), func(m *resource.HTTPMatch) { m.IgnoreURICase = true }))},
		{name: "a tenant's path in any letter case", change: create(matching(route("prefix /notebook/team-a/"), func(m *resource.HTTPMatch) { m.IgnoreURICase = true })), refused: "GWD301"},
		{name: "a path that was on another Gateway", change: update(vs("team-a/x", "own", h, "prefix /x"), route("prefix /x")), refused: "GWD301"},
		{name: "a Gateway of the name in its own namespace", change: create(vs("team-a/x", "./deploykf-gateway", h, "all"))},
		{name: "a path with the name of another namespace", change: create(route("prefix /notebook/team-ab/")), refused: "GWD302"},

		{name: "a mode that was there", change: update(kubeflow(resource.ModePermissive, app, nil), kubeflow(resource.ModePermissive, narrower, weak))},
		{name: "half of a repair", change: update(kubeflow(resource.ModeDisable, app, nil), kubeflow(resource.ModePermissive, app, nil))},
		{name: "one port of what was open", change: update(kubeflow(resource.ModeDisable, app, nil), kubeflow(resource.ModeStrict, app, weak))},
		{name: "a port that was open", change: update(kubeflow(resource.ModeStrict, app, weak), kubeflow(resource.ModeUnset, app, weak))},
		{name: "a policy that is meant to be so", change: create(pa("deploykf-minio/deploykf-minio-mtls", resource.ModePermissive, minio))},
		{name: "another mode than the one that is meant", change: create(pa("deploykf-minio/deploykf-minio-mtls", resource.ModeDisable, minio)), refused: "GWD501"},
		{name: "for more workloads", change: update(kubeflow(resource.ModePermissive, narrower, nil), kubeflow(resource.ModePermissive, app, nil)), refused: "GWD501"},
		{name: "a worse mode", change: update(kubeflow(resource.ModePermissive, app, nil), kubeflow(resource.ModeDisable, app, nil)), refused: "GWD501"},
		{name: "one more port", change: update(kubeflow(resource.ModeStrict, app, nil), kubeflow(resource.ModeStrict, app, weak)), refused: "GWD501"},
		{name: "ports without a selector", change: create(kubeflow(resource.ModeStrict, nil, weak))},
		{name: "pods without a sidecar", world: []resource.Object{pod("kubeflow/x", map[string]string{"app": "a", inject: "false"})}, change: create(kubeflow(resource.ModePermissive, app, nil))},
		{name: "more than pods without a sidecar", world: []resource.Object{pod("kubeflow/x", map[string]string{"app": "a", inject: "false"})}, change: create(kubeflow(resource.ModePermissive, narrower, nil)), refused: "GWD501"},
		{name: "a selector in the root namespace", change: create(pa("istio-system/x", resource.ModePermissive, app))},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, s := policy.NewEngine(deploykf.Default(), All()), worlds.Snapshot(worlds.Base(), c.world)
			message, err := p.Change(e, s, c.change)
			require.NoError(t, err)
			denied := backstop.Denied(e, s, c.change)
			if c.refused == "" {
				assert.Empty(t, message)
				for _, id := range backstops.Rules {
					assert.NotContains(t, denied, id, "the engine lets it pass, too")
				}
				return
			}
			assert.Equal(t, c.refused, backstop.RuleOf(message))
			assert.Contains(t, denied, c.refused)
		})
	}
}

// drawConfiguration draws what an installation may decide about who and what is judged.
func drawConfiguration(t *rapid.T) *config.Configuration {
	cfg := deploykf.Default()
	g := &cfg.GuardedGateways[0]
	if rapid.Bool().Draw(t, "as it is") {
		return cfg
	}
	g.Sharing = rapid.SampledFrom([]config.Sharing{config.HostAware, config.ExclusivePort, config.Dedicated}).Draw(t, "sharing")
	g.TenantPaths = rapid.SampledFrom([][]string{g.TenantPaths, nil, {"/notebook/{namespace}/", "/dex"}, {"/{namespace}/"}}).Draw(t, "paths")
	g.OwnerRequesters = rapid.SampledFrom([][]config.OwnerRequester{
		nil, {{Users: []string{"argo"}, Namespaces: []string{"team-*"}}}, {{Groups: []string{"ops"}, Namespaces: []string{"*"}}},
	}).Draw(t, "owner's requesters")
	cfg.Mesh.ScopeGatewayToNamespace = rapid.IntRange(0, 4).Draw(t, "scope") == 0
	cfg.Mesh.DefaultVirtualServiceExportTo = rapid.SampledFrom([][]string{{"*"}, {"."}, {"deploykf-istio-gateway"}}).Draw(t, "export")
	if rapid.IntRange(0, 4).Draw(t, "rules") == 0 {
		cfg.Rules = map[string]config.Effect{rapid.SampledFrom([]string{"GWD201", "host-under-guarded-wildcard", "GWD203", "GWD301", "GWD302", "permissive-mtls"}).Draw(t, "rule"): rapid.SampledFrom([]config.Effect{config.EffectWarn, config.EffectOff, config.EffectDeny}).Draw(t, "effect")}
	}
	cfg.Exemptions = rapid.SampledFrom([][]config.Exemption{
		nil, nil, {{Users: []string{"breaker"}, Reason: "x"}}, {{Groups: []string{"ops"}, Rules: []string{"host-conflict", "GWD301"}, Reason: "x"}},
		{{Objects: []config.ObjectPattern{{Kind: "Gateway", Namespace: "team-*"}}, Reason: "x"}},
		{{Objects: []config.ObjectPattern{{Name: "x"}}, Rules: []string{"GWD501", "GWD202"}, Reason: "x"}},
		{{Users: []string{"breaker"}, Reason: "x", Expires: "2020-01-01"}},
	}).Draw(t, "exemptions")
	return cfg
}
