package rules

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
)

// What a rule declares to read decides what is watched, and what gatewarden may read in a
// cluster. readsWhatItDeclares holds a rule to it: where nothing else is there, it says the
// same.
func readsWhatItDeclares(t assert.TestingT, cfg *config.Configuration, r *policy.Rule, s *state.Snapshot, c policy.Change) {
	alone := policy.NewEngine(cfg, []*policy.Rule{r})
	assert.Equal(t, brief(alone.Decide(s, c)), brief(alone.Decide(declared(s, r), c)),
		"%s reads kinds that it does not declare", r.ID)
}

// declared is the part of a snapshot that a rule declares to read.
func declared(s *state.Snapshot, r *policy.Rule) *state.Snapshot {
	w := state.NewWriter()
	for _, a := range resource.APIs {
		if slices.Contains(r.Reads, a.Kind) {
			s.Each(a.Kind, "", func(o resource.Object) bool {
				w.Apply(o)
				return true
			})
		}
	}
	w.SetComplete(s.Complete())
	return w.Snapshot()
}

func TestRulesReadWhatTheyDeclare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, cfg := drawWorld(t), deploykf.Default()
		s, c := w.Snapshot(), drawChange(t, w.Snapshot())
		for _, r := range All() {
			if r.Judges(c.Object().Key().Kind, c.Operation) {
				readsWhatItDeclares(t, cfg, r, s, c)
			}
		}
	})
}
