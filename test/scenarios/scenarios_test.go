package scenarios_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/gatewarden/gatewarden/pkg/audit"
	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/manifest"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
	"github.com/gatewarden/gatewarden/test/scenarios"
)

// baseDir is the folder of the base "deploykf".
const baseDir = "../../examples/deploykf"

func load(t *testing.T) ([]*scenarios.Story, []manifest.Document) {
	t.Helper()
	stories, err := scenarios.Load(".")
	require.NoError(t, err)
	require.NotEmpty(t, stories)
	base, err := manifest.Read([]string{baseDir}, nil)
	require.NoError(t, err)
	return stories, base
}

// tell tells all the stories at a door.
func tell(t *testing.T, door string, stories []*scenarios.Story, judge func(*testing.T, *scenarios.Story) (scenarios.Outcome, error)) {
	t.Helper()
	told := 0
	for _, s := range stories {
		if !s.GoesThrough(door) {
			continue
		}
		told++
		t.Run(s.Name, func(t *testing.T) {
			outcome, err := judge(t, s)
			require.NoError(t, err, s.Description)
			assert.Empty(t, strings.Join(s.Compare(outcome), "\n"), s.Description)
		})
	}
	assert.NotZero(t, told)
}

func TestEngine(t *testing.T) {
	stories, base := load(t)
	tell(t, scenarios.DoorEngine, stories, func(_ *testing.T, s *scenarios.Story) (scenarios.Outcome, error) {
		return scenarios.Engine(base, s)
	})
}

func TestCLI(t *testing.T) {
	stories, _ := load(t)
	tell(t, scenarios.DoorCLI, stories, func(_ *testing.T, s *scenarios.Story) (scenarios.Outcome, error) {
		return scenarios.CLI(baseDir, s)
	})
}

func TestWebhook(t *testing.T) {
	stories, base := load(t)
	tell(t, scenarios.DoorWebhook, stories, func(t *testing.T, s *scenarios.Story) (scenarios.Outcome, error) {
		return scenarios.Webhook(t.Context(), base, s)
	})
}

// The stories that begin with an empty cluster are told first.
func TestAPIServer(t *testing.T) {
	log.SetLogger(logr.Discard()) // controller-runtime's: what goes wrong comes back as an error
	stories, base := load(t)
	server, err := scenarios.StartServer(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, server.Stop()) })

	for _, b := range []string{scenarios.BaseNone, scenarios.BaseDeployKF} {
		if b == scenarios.BaseDeployKF {
			require.NoError(t, server.LoadBase(t.Context(), base))
		}
		var told []*scenarios.Story
		for _, s := range stories {
			if s.Base == b {
				told = append(told, s)
			}
		}
		t.Run(b, func(t *testing.T) {
			tell(t, scenarios.DoorAPIServer, told, func(t *testing.T, s *scenarios.Story) (scenarios.Outcome, error) {
				return server.Tell(t.Context(), s)
			})
		})
	}
}

func TestEveryRuleFiresInAStoryAndNearlyInAnother(t *testing.T) {
	stories, _ := load(t)
	for _, r := range rules.All() {
		fires, missed := false, false
		for _, s := range stories {
			missed = missed || s.NearMiss == r.ID
			for _, f := range s.Want.Findings {
				fires = fires || f.Rule == r.ID && f.Effect == r.Effect
			}
		}
		assert.True(t, fires, "no story in which %s has the effect %s", r.ID, r.Effect)
		assert.True(t, missed, "no story with nearMiss: %s", r.ID)
	}
}

// A story that is written wrong must not pass for one that says nothing.
func TestStoriesThatAreWrong(t *testing.T) {
	good := map[string]string{
		"scenario.yaml": "description: A story.\nbase: none\n",
		"request.yaml":  "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: a, namespace: b}\nspec: {}\n",
		"want.yaml":     "decision: allow\n",
	}
	const denied = "decision: deny\nfindings:\n- {rule: GWD201, effect: deny}\n"
	for _, c := range []struct{ name, file, content, want string }{
		{"a file that nobody reads", "wants.yaml", "decision: deny\n", "wants.yaml: nobody reads it"},
		{"a file that nobody reads, in cluster", "cluster/a.yml", "", "cluster/a.yml: nobody reads it"},
		{"a folder that nobody reads", "clusters/a.yaml", "", "clusters: nobody reads it"},
		{"a configuration that nobody reads", "config.yaml", "", "config.yaml: nobody reads it"},
		{"an unknown field", "scenario.yaml", "description: A story.\nbase: none\nnearmis: GWD201\n", "nearmis"},
		{"an unknown base", "scenario.yaml", "description: A story.\nbase: istio\n", "base"},
		{"no description", "scenario.yaml", "base: none\n", "description"},
		{"an unknown operation", "scenario.yaml", "description: A story.\nbase: none\noperation: PATCH\n", "operation"},
		{"an unknown door", "scenario.yaml", "description: A story.\nbase: none\ndoors: [window]\nnotes: none\n", "doors"},
		{"a door without a reason", "scenario.yaml", "description: A story.\nbase: none\ndoors: [engine]\n", "notes"},
		{"an unknown near miss", "scenario.yaml", "description: A story.\nbase: none\nnearMiss: GWD999\n", "GWD999"},
		{"no configuration", "scenario.yaml", "description: A story.\nbase: none\nconfig: config.yaml\n", "config.yaml"},
		{"an unknown rule", "want.yaml", "decision: deny\nfindings:\n- {rule: GWD999, effect: deny}\n", "GWD999"},
		{"an effect that the rule does not have", "want.yaml", "decision: deny\nfindings:\n- {rule: GWD204, effect: deny}\n", "GWD204"},
		{"a decision that is not that of the findings", "want.yaml", strings.Replace(denied, "deny\nf", "allow\nf", 1), "decision"},
		{"a value after no patch", "want.yaml", "decision: allow\nafter: {/spec: 1}\n", "after"},
		{"a rule that only audits judge", "want.yaml", "decision: allow\nfindings:\n- {rule: GWD706, effect: warn}\n", "story of an audit"},
		{"a finding on another object", "want.yaml", strings.Replace(denied, "GWD201", "GWD201, object: Gateway a/b", 1), "object: name the object"},
		{"two objects", "request.yaml", good["request.yaml"] + "---\n" + good["request.yaml"], "one object"},
		{"an object that nobody judges", "request.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n", "one object"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, content := range good {
				write(t, filepath.Join(dir, "story", name), content)
			}
			stories, err := scenarios.Load(dir)
			require.NoError(t, err)
			require.Len(t, stories, 1)
			write(t, filepath.Join(dir, "story", filepath.FromSlash(c.file)), c.content)
			_, err = scenarios.Load(dir)
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, "story story")
		})
	}

	for _, c := range []struct{ name, scenario, want, problem string }{
		{"an audit with a decision", good["scenario.yaml"], "decision: allow\n", "decision"},
		{"an audit with a user", good["scenario.yaml"] + "user: somebody\n", "{}\n", "request.yaml is missing"},
		{"an audit of an object that nobody names", good["scenario.yaml"], "findings:\n- {rule: GWD706, effect: warn}\n", "name the object"},
		{"an audit and a rule of changes", good["scenario.yaml"], "findings:\n- {rule: GWD204, effect: warn, object: Gateway a/b}\n", "rules without operations"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "story", "scenario.yaml"), c.scenario)
			write(t, filepath.Join(dir, "story", "want.yaml"), c.want)
			_, err := scenarios.Load(dir)
			require.ErrorContains(t, err, c.problem)
		})
	}

	t.Run("a near miss that hits", func(t *testing.T) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "story", "scenario.yaml"), good["scenario.yaml"]+"nearMiss: GWD201\n")
		write(t, filepath.Join(dir, "story", "request.yaml"), good["request.yaml"])
		write(t, filepath.Join(dir, "story", "want.yaml"), denied)
		_, err := scenarios.Load(dir)
		require.ErrorContains(t, err, "nearly misses")
	})
}

func write(t *testing.T, path, content string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
}

// An audit finds what admission would have refused, however it came to be there. What only a
// change can show it does not; and what may have been written for the owner, it notes.
func TestAudit(t *testing.T) {
	stories, base := load(t)
	for _, s := range stories {
		if s.IsAudit() || s.Operation == policy.Delete {
			continue
		}
		key := s.Request.Object.Key()
		if s.Configuration.Exempt(s.User, s.Groups, key) != "" {
			continue
		}
		mayBeOwners := slices.ContainsFunc(s.Configuration.GuardedGateways, func(g config.GuardedGateway) bool {
			return g.MayBeWrittenForOwner(key)
		})
		t.Run(s.Name, func(t *testing.T) {
			on, elsewhere, err := scenarios.Audit(base, s)
			require.NoError(t, err)
			for _, w := range s.Want.Findings {
				r := rules.Find(w.Rule)
				i := slices.IndexFunc(on, func(f scenarios.Finding) bool { return f.Rule == w.Rule && (w.Field == "" || f.Field == w.Field) })
				if i < 0 {
					assert.True(t, r.Transition != nil || slices.ContainsFunc(elsewhere, func(f audit.Finding) bool { return f.Rule == w.Rule }), "not found: %s %s", w.Rule, w.Field)
					continue
				}
				if mayBeOwners {
					assert.Equal(t, policy.Note, on[i].Effect, on[i].String())
				} else {
					assert.GreaterOrEqual(t, on[i].Effect, w.Effect, on[i].String())
				}
				on = slices.Delete(on, i, i+1)
			}
			for _, f := range on {
				if len(rules.Find(f.Rule).Operations) > 0 && (!mayBeOwners || f.Effect != policy.Note) {
					t.Errorf("unexpected: %s", f)
				}
			}
		})
	}
}
