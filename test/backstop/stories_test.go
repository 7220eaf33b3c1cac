package backstop_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	backstops "github.com/gatewarden/gatewarden/pkg/backstop"
	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/manifest"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
	"github.com/gatewarden/gatewarden/test/backstop"
	"github.com/gatewarden/gatewarden/test/scenarios"
	"github.com/gatewarden/gatewarden/test/worlds"
)

// missed are the stories that the backstop leaves to the webhook although it tells of their
// rules, and why.
var missed = map[string]string{
	"gateway-service-annotation":       "the Gateway is attached to the pods of a Service",
	"route-match-port":                 "a match for one port counts only if the Gateway has it",
	"route-notebook-regex-alternative": "CEL does not tell by what the paths of an expression start",
	"route-notebook-regex-outside":     "CEL does not tell by what the paths of an expression start",
	"route-plaintext-gateway-last":     "the route is stored already, and the Gateway brings it into effect",
	"route-plaintext-own-gateway":      "the VirtualService names a Gateway of its own",
	"route-plaintext-tenant-path":      "the VirtualService names a Gateway of its own",
	"route-update-host":                "the path was there before, on another host",
}

// What the backstop refuses in a story, the story says, and it refuses what it can.
func TestStories(t *testing.T) {
	p := load(t)
	base, err := manifest.Read([]string{baseDir}, nil)
	require.NoError(t, err)
	told := map[string]int{}
	for _, s := range readStories(t) {
		if s.IsAudit() {
			continue
		}
		w, err := scenarios.NewWorld(base, s)
		require.NoError(t, err)
		c, err := w.Change(s)
		require.NoError(t, err)
		if !backstop.Judges(c) {
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			message := refuses(t, p, policy.NewEngine(s.Configuration, rules.All()), w.Snapshot, c)
			var ours []string
			for _, f := range s.Want.Findings {
				if f.Effect == policy.Deny && slices.Contains(backstops.Rules, f.Rule) {
					ours = append(ours, f.Rule)
				}
			}
			if message != "" {
				require.Contains(t, ours, backstop.RuleOf(message), message)
				told[backstop.RuleOf(message)]++
			}
			assert.Equal(t, len(ours) == 0 || missed[s.Name] != "", message == "", "%s %v", message, ours)
		})
	}
	for _, r := range backstops.Rules {
		assert.Positive(t, told[r], r)
	}
	for name := range missed {
		assert.DirExists(t, "../scenarios/"+name)
	}
}

// A cluster that is like a real one is never refused anything, neither when it is made nor later.
func TestTenantsAreLetThrough(t *testing.T) {
	p := load(t)
	tenants := worlds.Shape{Objects: 500, Seed: 1}.Decoded()
	s := worlds.Snapshot(worlds.Base(), tenants)
	e := policy.NewEngine(deploykf.Default(), rules.All())
	for _, o := range append(worlds.Base(), tenants...) {
		assert.Empty(t, refuses(t, p, e, s.Without(o.Key()), policy.Change{Operation: policy.Create, New: o}))
		assert.Empty(t, refuses(t, p, e, s, policy.Change{Operation: policy.Update, Old: o, New: o}))
	}
}
