package rules

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/test/worlds"
)

const plain = `
apiVersion: config.gatewarden.io/v1alpha1
kind: Configuration
guardedGateways:
- {name: shared, namespace: gateways, gateways: [web], podLabels: {app: gateway}}
`

func TestLoadKnowsTheRules(t *testing.T) {
	c, err := Load([]byte(plain+"rules: {gwd208: off, foreign-route: warn}\nexemptions: [{users: [a], rules: [Host-Conflict], reason: r}]"), "c.yaml")
	require.NoError(t, err)
	assert.Equal(t, config.EffectOff, c.RuleEffect("GWD208", "shared-credential"))
	_, err = Load([]byte(plain+"rules: {GWD999: off, GWD301: off, foreign-route: warn}\nexemptions: [{users: [a], rules: [GWD101, no-such], reason: r}]"), "c.yaml")
	require.Error(t, err)
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 3)
	for i, want := range []string{`rules[GWD999]: no rule has the ID or name "GWD999"`, "rules[foreign-route]: sets GWD301 again", `exemptions[0].rules[1]: no rule has the ID or name "no-such"`} {
		assert.True(t, strings.HasPrefix(lines[i], "c.yaml: "+want), lines[i])
	}
	_, err = Load([]byte("kind: ["), "c.yaml")
	assert.Error(t, err)
}

func TestOpenings(t *testing.T) {
	c := deploykf.Default()
	assert.Empty(t, Openings(c))
	c.Rules = map[string]config.Effect{}
	for _, r := range All() {
		c.Rules[r.ID] = config.EffectWarn
	}
	require.Len(t, Openings(c), 1)
	assert.Contains(t, Openings(c)[0], "none that denies")
	c.Rules["GWD101"] = config.EffectDeny
	assert.Empty(t, Openings(c))
}

// effects returns the effects that the findings of a rule have, under a configuration.
func effects(t *testing.T, id string, cfg *config.Configuration, c policy.Change) []policy.Finding {
	t.Helper()
	var out []policy.Finding
	for _, f := range policy.NewEngine(cfg, All()).Decide(worlds.Snapshot(worlds.Base(), nil), c).Findings {
		if f.Rule == id {
			out = append(out, f)
		}
	}
	return out
}

// The effect that is set is that of a rule's strongest faults.
func TestEffectsAreSet(t *testing.T) {
	denied, warned := gw("team-a/x", "443 HTTPS "+h), gw("team-a/x", "443 HTTPS *")
	for _, tc := range []struct {
		key    string
		set    config.Effect
		id     string
		change policy.Change
		want   policy.Effect
	}{
		{"GWD201", "", "GWD201", create(denied), policy.Deny},
		{"GWD201", config.EffectDeny, "GWD201", create(denied), policy.Deny},
		{"GWD201", config.EffectWarn, "GWD201", create(denied), policy.Warn},
		{"host-conflict", config.EffectNote, "GWD201", create(denied), policy.Note},
		{"GWD201", config.EffectOff, "GWD201", create(denied), silent},
		{"GWD202", config.EffectOff, "GWD201", create(denied), policy.Deny},
		{"GWD204", config.EffectDeny, "GWD204", create(warned), policy.Deny},
		{"GWD204", config.EffectDeny, "GWD204", update(warned, warned), policy.Warn}, // carried
		{"GWD204", config.EffectNote, "GWD204", update(warned, warned), policy.Note},
	} {
		cfg := deploykf.Default()
		if tc.set != "" {
			cfg.Rules = map[string]config.Effect{tc.key: tc.set}
		}
		got := effects(t, tc.id, cfg, tc.change)
		if tc.want == silent {
			assert.Empty(t, got, "%+v", tc)
			continue
		}
		require.NotEmpty(t, got, "%+v", tc)
		assert.Equal(t, tc.want, got[0].Effect, "%+v", tc)
	}
	// GWD604 warns of a first Service: that is not its strongest effect, and stays.
	cfg := deploykf.Default()
	cfg.Rules = map[string]config.Effect{"GWD604": config.EffectDeny}
	w := worlds.Snapshot(nil, []resource.Object{gw(guarded, "443 HTTPS "+h)})
	d := policy.NewEngine(cfg, All()).Decide(w, create(svc("deploykf-istio-gateway/aaa", 443, 9443)))
	assert.False(t, d.Denied(), d.Findings)
	assert.Len(t, d.Of(policy.Warn), 1)
}

func TestExemptions(t *testing.T) {
	now := time.Date(2026, time.March, 1, 0, 0, 0, 0, time.UTC)
	denied := create(gw("team-a/x", "443 HTTPS "+h))
	denied.Requester = policy.Requester{Name: "ann", Groups: []string{"devs"}}
	under := func(e config.Exemption) *config.Configuration {
		cfg := deploykf.Default()
		e.Reason = "a move"
		cfg.Exemptions = []config.Exemption{e}
		return cfg.AsOf(now)
	}
	decide := func(e config.Exemption) policy.Decision {
		return policy.NewEngine(under(e), All()).Decide(worlds.Snapshot(worlds.Base(), nil), denied)
	}
	mine := []config.ObjectPattern{{Kind: resource.KindGateway, Namespace: "team-a"}}
	assert.Equal(t, "a move", decide(config.Exemption{Objects: mine}).Exempt)
	assert.Equal(t, "a move", decide(config.Exemption{Groups: []string{"devs"}, Objects: mine, Expires: "2026-03-01"}).Exempt)
	assert.True(t, decide(config.Exemption{Groups: []string{"devs"}, Objects: mine, Expires: "2026-02-28"}).Denied())
	assert.True(t, decide(config.Exemption{Users: []string{"bob"}, Objects: mine}).Denied())
	assert.True(t, decide(config.Exemption{Objects: mine, Rules: []string{"GWD101"}}).Denied())

	d := decide(config.Exemption{Objects: mine, Rules: []string{"host-conflict", "GWD203"}})
	assert.Empty(t, d.Exempt, "the rest of it is judged")
	assert.False(t, d.Denied(), d.Findings)
	require.NotEmpty(t, d.Of(policy.Note))
	f := d.Of(policy.Note)[0]
	assert.Equal(t, "a move", f.Exempt)
	assert.Contains(t, f.String(), "(exempt: a move)")

	audit := func(e config.Exemption) []policy.Finding {
		return policy.NewEngine(under(e), All()).Object(worlds.Snapshot(worlds.Base(), []resource.Object{denied.New}), denied.New)
	}
	assert.Equal(t, policy.Deny, audit(config.Exemption{Users: []string{"ann"}})[0].Effect, "nobody asks an audit")
	assert.Equal(t, policy.Note, audit(config.Exemption{Objects: mine})[0].Effect)
}

// Who writes for the owner is judged as he is, in his namespaces and nowhere else.
func TestOwnerRequesters(t *testing.T) {
	cfg := deploykf.Default()
	cfg.GuardedGateways[0].OwnerRequesters = []config.OwnerRequester{{Users: []string{"argo"}, Namespaces: []string{"kubeflow"}}}
	route := func(key string) *resource.VirtualService { return vs(key, guarded, h, "prefix /new/") }
	decide := func(user string, c policy.Change, world ...resource.Object) policy.Decision {
		c.Requester.Name = user
		return policy.NewEngine(cfg, All()).Decide(worlds.Snapshot(worlds.Base(), world), c)
	}
	assert.True(t, decide("ann", create(route("kubeflow/new"))).Denied())
	assert.Empty(t, decide("argo", create(route("kubeflow/new"))).Findings)
	assert.True(t, decide("argo", create(route("team-a/new"))).Denied(), "who deploys for everybody is not the owner everywhere")
	assert.Empty(t, decide("argo", create(gw("kubeflow/new", "443 HTTPS "+h))).Of(policy.Deny))

	// The object does not tell who wrote it, so the next one is judged for himself.
	there := route("kubeflow/new")
	assert.True(t, decide("ann", update(there, vs("kubeflow/new", guarded, h, "prefix /other/")), there).Denied())
	assert.Empty(t, decide("argo", update(there, vs("kubeflow/new", guarded, h, "prefix /other/")), there).Findings)

	// A world is shared by the decisions of one snapshot: what one counts as is not left there.
	engine, s := policy.NewEngine(cfg, All()), worlds.Snapshot(worlds.Base(), nil)
	c := create(route("kubeflow/new"))
	c.Requester.Name = "argo"
	assert.False(t, engine.Decide(s, c).Denied())
	c.Requester.Name = "ann"
	assert.True(t, engine.Decide(s, c).Denied())
}
