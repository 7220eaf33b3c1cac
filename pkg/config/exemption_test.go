package config_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

var now = time.Date(2026, time.March, 31, 23, 59, 0, 0, time.UTC)

func TestExempt(t *testing.T) {
	legacy := config.ObjectPattern{Kind: resource.KindGateway, Namespace: "team-*", Name: "old-*"}
	c := (&config.Configuration{Exemptions: []config.Exemption{
		{Users: []string{"alice"}, Groups: []string{"admins"}, Reason: "break glass"},
		{Objects: []config.ObjectPattern{legacy}, Reason: "legacy"},
		{Users: []string{"carol"}, Objects: []config.ObjectPattern{{Namespace: "lab"}}, Reason: "lab"},
		{Users: []string{"dave"}, Rules: []string{"GWD101", "Some-Name"}, Reason: "one rule"},
		{Users: []string{"erin"}, Reason: "a day", Expires: "2026-03-31"},
		{Users: []string{"frank"}, Reason: "a moment", Expires: "2026-03-31T23:59:00Z"},
	}}).AsOf(now)
	at := func(namespace, name string) resource.Key {
		return resource.Key{Kind: resource.KindGateway, Namespace: namespace, Name: name}
	}
	for _, tc := range []struct {
		user   string
		groups []string
		key    resource.Key
		want   string
	}{
		{"alice", nil, at("a", "b"), "break glass"},
		{"bob", []string{"x", "admins"}, at("a", "b"), "break glass"},
		{"bob", []string{"alice"}, at("a", "b"), ""},
		{"", nil, at("a", "b"), ""},
		{"bob", nil, at("team-a", "old-one"), "legacy"},
		{"", nil, at("team-a", "old-one"), "legacy"},
		{"bob", nil, at("team-a", "new-one"), ""},
		{"bob", nil, at("a", "old-one"), ""},
		{"bob", nil, resource.Key{Kind: resource.KindVirtualService, Namespace: "team-a", Name: "old-one"}, ""},
		{"carol", nil, at("lab", "x"), "lab"},
		{"carol", nil, at("prod", "x"), ""},
		{"bob", nil, at("lab", "x"), ""},
		{"dave", nil, at("a", "b"), ""},
		{"erin", nil, at("a", "b"), "a day"},
		{"frank", nil, at("a", "b"), ""},
	} {
		assert.Equal(t, tc.want, c.Exempt(tc.user, tc.groups, tc.key), "%+v", tc)
	}
	assert.Equal(t, "one rule", c.ExemptFrom("dave", nil, at("a", "b"), "GWD101", "x"))
	assert.Equal(t, "one rule", c.ExemptFrom("dave", nil, at("a", "b"), "GWD999", "some-name"))
	assert.Empty(t, c.ExemptFrom("dave", nil, at("a", "b"), "GWD102", "x"))
	assert.Equal(t, "legacy", c.ExemptFrom("", nil, at("team-a", "old-one"), "GWD102", "x"), "an audit asks without a requester")
	assert.Empty(t, c.ExemptFrom("", nil, at("a", "b"), "GWD101", "x"))
	assert.Empty(t, deploykf.Default().Exempt("", nil, at("a", "b")))
}

// An exemption that expires counts to its end, and never where nobody has told the time.
func TestExpiry(t *testing.T) {
	c := &config.Configuration{Exemptions: []config.Exemption{
		{Users: []string{"erin"}, Reason: "a move", Expires: "2026-03-31"},
		{Users: []string{"frank"}, Reason: "for good"},
	}}
	key := resource.Key{Kind: resource.KindGateway, Namespace: "a", Name: "b"}
	assert.Empty(t, c.Exempt("erin", nil, key), "there is no time")
	assert.Equal(t, "for good", c.Exempt("frank", nil, key))
	assert.Equal(t, "a move", c.AsOf(now).Exempt("erin", nil, key))
	assert.Empty(t, c.AsOf(now).Expired())
	later := c.AsOf(now.Add(time.Minute))
	assert.Empty(t, later.Exempt("erin", nil, key))
	require.Len(t, later.Expired(), 1)
	for _, part := range []string{"exemptions[0]", "a move", "2026-03-31"} {
		assert.Contains(t, later.Expired()[0], part)
	}
	assert.Equal(t, "for good", later.Exempt("frank", nil, key))
	assert.Equal(t, "a move", later.AsOf(now).Exempt("erin", nil, key), "a configuration can be asked as of several times")
}

// What YAML makes of a bare off and of a bare date is what was meant.
func TestPlainScalars(t *testing.T) {
	c, err := config.Load([]byte(`
apiVersion: config.gatewarden.io/v1alpha1
kind: Configuration
guardedGateways:
- {name: shared, namespace: gateways, gateways: [web], podLabels: {app: gateway}}
rules: {GWD208: off, foreign-route: warn, GWD101: "off", GWD307: note, gwd204: deny}
exemptions:
- {objects: [{kind: Gateway, name: old-*}], rules: [GWD201], reason: a move, expires: 2026-03-31}
- {groups: [ops], reason: night shift, expires: 2026-03-31T18:00:00+02:00}
`), "c.yaml")
	require.NoError(t, err)
	for id, want := range map[string]config.Effect{
		"GWD208": config.EffectOff, "GWD101": config.EffectOff, "GWD301": config.EffectWarn,
		"GWD307": config.EffectNote, "GWD204": config.EffectDeny, "GWD202": "",
	} {
		name := ""
		if id == "GWD301" {
			name = "foreign-route"
		}
		assert.Equal(t, want, c.RuleEffect(id, name), id)
	}
	assert.Equal(t, "2026-03-31", c.Exemptions[0].Expires)
	out, err := config.Marshal(c, "", nil)
	require.NoError(t, err)
	back, err := config.Load(out, "c.yaml")
	require.NoError(t, err, string(out))
	assert.Equal(t, c, back)
	assert.Len(t, c.AsOf(now).Expired(), 1)
}

func TestOwnerRequesters(t *testing.T) {
	g := &config.GuardedGateway{OwnerRequesters: []config.OwnerRequester{
		{Users: []string{"argo"}, Namespaces: []string{"deploykf-*", "kubeflow"}},
		{Groups: []string{"platform"}, Namespaces: []string{"*"}},
	}}
	for _, tc := range []struct {
		user, group, namespace string
		want                   bool
	}{
		{"argo", "", "deploykf-auth", true},
		{"argo", "", "kubeflow", true},
		{"argo", "", "team-a", false},
		{"argo", "", "", false},
		{"bob", "platform", "team-a", true},
		{"bob", "platform", "", false},
		{"bob", "argo", "kubeflow", false},
		{"", "", "kubeflow", false},
	} {
		key := resource.Key{Kind: resource.KindVirtualService, Namespace: tc.namespace, Name: "x"}
		assert.Equal(t, tc.want, g.WritesForOwner(tc.user, []string{tc.group}, key), "%+v", tc)
	}
}

func TestOpenings(t *testing.T) {
	everything := []config.ObjectPattern{{Namespace: "*"}}
	for name, tc := range map[string]struct {
		change func(*config.Configuration)
		want   string
	}{
		"default": {func(*config.Configuration) {}, ""},
		"everybody": {func(c *config.Configuration) {
			c.Exemptions = []config.Exemption{{Groups: []string{"system:authenticated"}, Reason: "r"}}
		}, "exemptions[0] (r)"},
		"everything": {func(c *config.Configuration) { c.Exemptions = []config.Exemption{{Objects: everything, Reason: "r"}} }, "exemptions[0] (r)"},
		"every Gateway": {func(c *config.Configuration) {
			c.Exemptions = []config.Exemption{{Objects: []config.ObjectPattern{{Kind: "Gateway"}}, Reason: "r"}}
		}, "of kind Gateway"},
		"somebody": {func(c *config.Configuration) {
			c.Exemptions = []config.Exemption{{Groups: []string{"ops"}, Reason: "r"}}
		}, ""},
		"somewhere": {func(c *config.Configuration) {
			c.Exemptions = []config.Exemption{{Objects: []config.ObjectPattern{{Namespace: "a"}}, Reason: "r"}}
		}, ""},
		"one rule": {func(c *config.Configuration) {
			c.Exemptions = []config.Exemption{{Objects: everything, Rules: []string{"GWD101"}, Reason: "r"}}
		}, ""},
		"expired": {func(c *config.Configuration) {
			c.Exemptions = []config.Exemption{{Objects: everything, Expires: "2026-01-01", Reason: "r"}}
		}, ""},
		"owner": {func(c *config.Configuration) {
			c.GuardedGateways[0].OwnerObjects[0].Namespace, c.GuardedGateways[0].OwnerObjects[0].Name = "*", "*"
		}, "ownerObjects[0]"},
		"owners": {func(c *config.Configuration) {
			c.GuardedGateways[0].OwnerRequesters = []config.OwnerRequester{{Groups: []string{"system:authenticated"}, Namespaces: []string{"*"}}}
		}, "ownerRequesters[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			c := deploykf.Default()
			tc.change(c)
			got := c.AsOf(now).Openings()
			if tc.want == "" {
				assert.Empty(t, got)
				return
			}
			require.Len(t, got, 1)
			assert.Contains(t, got[0], tc.want)
		})
	}
}

func TestNextExpiry(t *testing.T) {
	c := &config.Configuration{Exemptions: []config.Exemption{
		{Users: []string{"a"}, Reason: "never ends"},
		{Users: []string{"b"}, Reason: "later", Expires: "2026-06-30"},
		{Users: []string{"c"}, Reason: "next", Expires: "2026-04-02T12:00:00Z"},
		{Users: []string{"d"}, Reason: "over", Expires: "2026-03-01"},
	}}
	assert.Equal(t, time.Date(2026, time.April, 2, 12, 0, 0, 0, time.UTC), c.AsOf(now).NextExpiry())
	assert.Equal(t, time.Date(2026, time.July, 1, 0, 0, 0, 0, time.UTC), c.AsOf(now.AddDate(0, 1, 0)).NextExpiry())
	assert.Zero(t, c.AsOf(now.AddDate(1, 0, 0)).NextExpiry())
	assert.Zero(t, c.NextExpiry(), "nothing that expires counts without a clock")
}
