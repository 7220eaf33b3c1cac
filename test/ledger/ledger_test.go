package ledger

import (
	"context"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"

	"github.com/gatewarden/gatewarden/test/apiserver"
)

// together is how many pairs race at the same time.
const together = 8

// pairs is how many pairs race in all.
func pairs(t *testing.T) int {
	t.Helper()
	text := os.Getenv("PAIRS")
	if text == "" {
		return 120
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, "PAIRS")
	return n
}

// world is an API server with the objects of deployKF.
type world struct {
	*apiserver.Server
	client  dynamic.Interface
	program string
	dir     string
	log     *os.File
}

func newWorld(t *testing.T) *world {
	t.Helper()
	ctx := t.Context()
	w := &world{dir: t.TempDir()}
	var err error
	w.program, err = apiserver.BuildGuard(ctx, w.dir)
	require.NoError(t, err)
	w.Server, err = apiserver.Start(ctx, apiserver.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, w.Stop()) })
	objects, err := apiserver.ReadObjects("../../examples/deploykf/namespaces.yaml", "../../examples/deploykf/gateways.yaml",
		"../../examples/deploykf/routes.yaml", "../../examples/deploykf/workload.yaml")
	require.NoError(t, err)
	require.NoError(t, w.Admin.Load(ctx, objects...))
	for _, team := range []string{"team-a", "team-b", "team-c"} {
		require.NoError(t, w.Admin.Load(ctx, object(with(route, "TEAM", team, "GATEWAY", "none", "HOST", "none.example.org", "PATH", "/none/"), 0)))
	}
	w.client, err = unlimited(w.Config)
	require.NoError(t, err)
	require.NoError(t, write(ctx, w.client, object(with(https, "web-N", "any", "TEAM", "team-c", "PORT", "9443", "HOST", "*"), 0)))
	path := w.dir + "/log"
	if dir := os.Getenv("RACES_LOG"); dir != "" {
		path = dir
	}
	w.log, err = os.Create(path)
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			content, _ := os.ReadFile(path)
			t.Log(string(content[max(0, len(content)-20000):]))
		}
		_ = w.log.Close()
	})
	return w
}

// start starts three replicas with the ledger somewhere.
func (w *world) start(t *testing.T, where string) *Replicas {
	t.Helper()
	config, err := Config(w.dir)
	require.NoError(t, err)
	r, err := Start(t.Context(), w.Server, w.program, 3, w.log, "--config", config, "--ledger", where, "--log-level", "warn")
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, w.Uninstall(context.WithoutCancel(t.Context())))
		assert.NoError(t, r.Stop())
	})
	require.NoError(t, w.Register(t.Context()))
	return r
}

// races runs n pairs and counts the answers: of each pair, and of those of both of which were admitted.
func (w *world) races(t *testing.T, first, n int) *tally {
	t.Helper()
	result := &tally{}
	var next atomic.Int64
	next.Store(int64(first))
	var group sync.WaitGroup
	for range together {
		group.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= first+n {
					return
				}
				c := &contests[i%len(contests)]
				o, err := c.race(t.Context(), w.client, i)
				if err != nil {
					result.add("error: " + err.Error())
					continue
				}
				for _, a := range o.answers {
					result.add(a)
				}
				switch {
				case c.both(o):
					result.add(bothAdmitted)
					result.add(bothAdmitted + " (" + c.name + ")")
				case slices.Contains(o.answers[:], admitted):
					result.add(oneAdmitted)
				default:
					result.add(noneAdmitted)
				}
			}
		})
	}
	group.Wait()
	return result
}

// What becomes of a pair.
const (
	bothAdmitted = "both admitted"
	oneAdmitted  = "at most one admitted, or in an order that allows both"
	noneAdmitted = "none admitted"
)

// Each pair is one of which one is denied if the other is there: else nothing is proved.
func (w *world) checkContests(t *testing.T) {
	t.Helper()
	for i, c := range contests {
		for _, order := range [][2]string{{c.one, c.two}, {c.two, c.one}} {
			want := denied
			if c.ordered && order[0] == c.two {
				want = admitted
			}
			n := 5000 + i
			for _, manifest := range c.before {
				require.NoError(t, write(t.Context(), w.client, object(manifest, n)), c.name)
			}
			first, second := object(order[0], n), object(order[1], n)
			require.NoError(t, write(t.Context(), w.client, first), c.name)
			assert.Equal(t, want, answer(write(t.Context(), w.client, second)), "%s: %s %s after the other", c.name, second.GetKind(), second.GetNamespace())
			for _, manifest := range append([]string{c.one, c.two}, c.before...) {
				o := object(manifest, n)
				_ = of(w.client, o).Delete(t.Context(), o.GetName(), metav1.DeleteOptions{}) // one of them is not there
			}
		}
	}
}

func TestRaces(t *testing.T) {
	w := newWorld(t)
	n := pairs(t)
	t.Run("without a ledger", func(t *testing.T) {
		w.start(t, "off")
		result := w.races(t, 10000, min(n, 400))
		t.Log(result)
		assert.Positive(t, result.get(bothAdmitted), "the races are too slow to prove anything")
	})
	t.Run("with a ledger", func(t *testing.T) {
		w.start(t, "cluster")
		w.checkContests(t)
		result := w.races(t, 20000, n)
		t.Log(result)
		assert.Zero(t, result.get(bothAdmitted))
		assert.Zero(t, result.get(noneAdmitted), "whoever is first is admitted")
		for what := range result.counts {
			assert.False(t, strings.HasPrefix(what, "error") || strings.HasPrefix(what, unjudged), what)
		}
	})
}
