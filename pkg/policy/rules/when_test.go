package rules

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/test/worlds"
)

// A denial tells who loses, and whether now or when something is re-created.
func TestDenialsTellWhen(t *testing.T) {
	aged := func(g *resource.Gateway, seconds int64) *resource.Gateway {
		g.Created = time.Unix(seconds, 0)
		return g
	}
	owners := func() *resource.Gateway { return aged(gw(guarded, "443 HTTPS */"+h), 50) }
	anyHost := func() *resource.Gateway { return aged(gw(guarded, "443 HTTPS *"), 50) }
	for _, v := range []struct {
		name  string
		world []resource.Object
		bare  bool
		new   *resource.Gateway
		rule  string
		want  string
	}{
		{"younger", []resource.Object{owners()}, false, gw("team-a/x", "443 HTTPS "+h), "GWD201", "drops this server with all of its hosts now, and the other one as soon as its Gateway is re-created"},
		{"stored, and younger", []resource.Object{owners()}, false, aged(gw("team-a/x", "443 HTTPS "+h), 51), "GWD201", "drops this server with all of its hosts now"},
		{"stored, and older", []resource.Object{owners()}, false, aged(gw("team-a/x", "443 HTTPS "+h), 49), "GWD201", "drops the other one with all of its hosts now, because this Gateway is older"},
		{"as old, and before it by name", []resource.Object{owners()}, false, aged(gw("team-a/a", "443 HTTPS "+h), 50), "GWD201", "because this Gateway is older"},
		{"as old, and behind it by name", []resource.Object{owners()}, false, aged(gw("team-a/x", "443 HTTPS "+h), 50), "GWD201", "drops this server"},
		{"of unknown age", []resource.Object{gw(guarded, "443 HTTPS */"+h)}, false, gw("team-a/x", "443 HTTPS "+h), "GWD201", "drops the server of the younger Gateway"},
		{"before the owner's exists", nil, true, gw("team-a/x", "443 HTTPS "+h), "GWD201", "drops the other one with all of its hosts when it comes"},
		{"in another spelling", []resource.Object{owners()}, false, gw("team-a/x", "443 HTTPS ./"+h), "GWD201", "refuses the whole listener 0.0.0.0_443 from now on"},
		{"by another bind", []resource.Object{owners()}, false, gw("team-a/x", "443 HTTPS "+h+" bind=0.0.0.0"), "GWD201", "refuses the whole listener 0.0.0.0_443 from now on"},
		{"plain text after TLS", []resource.Object{owners()}, false, gw("team-a/x", "443 HTTP x.org"), "GWD101", "plain text is served on the TLS listener 0.0.0.0_443 now, and the other server is silently dropped as soon as"},
		{"plain text after TLS for every host", []resource.Object{anyHost()}, false, gw("team-a/x", "443 HTTP x.org"), "GWD101", "refuses the whole listener 0.0.0.0_443 from now on"},
		{"plain text before TLS", []resource.Object{owners()}, false, aged(gw("team-a/x", "443 HTTP x.org"), 49), "GWD101", "drops the other one"},
		{"TLS after plain text", nil, false, gw("team-a/x", "80 HTTPS x.org"), "GWD101", "drops the server of the younger"},
		{"two tenants", []resource.Object{aged(gw("team-b/y", "9443 HTTPS x.org"), 50)}, false, gw("team-a/x", "9443 HTTPS x.org"), "GWD206", "drops this server with all of its hosts now, and the other one as soon as its Gateway"},
	} {
		t.Run(v.name, func(t *testing.T) {
			base := worlds.Base()
			if v.bare {
				base = nil
			}
			d := policy.NewEngine(deploykf.Default(), All()).Decide(worlds.Snapshot(base, v.world), create(v.new))
			require.True(t, d.Denied())
			for _, f := range d.Findings {
				if f.Rule == v.rule {
					assert.Contains(t, f.Message, v.want)
					return
				}
			}
			assert.Fail(t, v.rule+" says nothing", "%v", d.Findings)
		})
	}
}

// Istio takes what it makes of an Ingress for older than everything.
func TestIngressesAreOlderThanEverything(t *testing.T) {
	mine := gw("team-a/x", "443 HTTPS "+h)
	mine.Created = time.Unix(1, 0)
	ingress := gw("istio-system/made", "443 HTTPS "+h)
	ingress.Origin = &resource.Origin{Key: resource.Key{Kind: resource.KindIngress, Namespace: "team-b", Name: "i"}}
	w := policy.NewEngine(deploykf.Default(), All()).World(worlds.Snapshot([]resource.Object{mine}))
	assert.Equal(t, policy.Younger, w.SeniorityOf(mine, ingress.Key()))
	assert.Equal(t, policy.Older, w.SeniorityOf(ingress, mine.Key()))
}
