package backstop_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/state"
	"github.com/gatewarden/gatewarden/test/backstop"
	"github.com/gatewarden/gatewarden/test/scenarios"
)

// baseDir is the folder of deployKF's objects.
const baseDir = "../../examples/deploykf"

func load(t *testing.T) *backstop.Policy {
	t.Helper()
	p, err := backstop.Load(t.Context())
	require.NoError(t, err)
	return p
}

// refuses asks the policy about a change, and holds it to what the engine says of it: what the
// one refuses the other denies, by the rule that the message tells.
func refuses(t *testing.T, p *backstop.Policy, e *policy.Engine, s *state.Snapshot, c policy.Change) string {
	t.Helper()
	message, err := p.Change(e, s, c)
	require.NoError(t, err)
	if message != "" {
		assert.Contains(t, backstop.Denied(e, s, c), backstop.RuleOf(message), message)
	}
	return message
}

func readStories(t *testing.T) []*scenarios.Story {
	t.Helper()
	stories, err := scenarios.Load("../scenarios")
	require.NoError(t, err)
	require.NotEmpty(t, stories)
	return stories
}
