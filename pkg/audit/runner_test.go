package audit_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/audit"
	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
)

const interval = 10 * time.Minute

// listener is a sink that keeps what it was told.
type listener struct {
	outcomes []audit.Outcome
	err      error
}

func (*listener) Name() string { return "test" }

func (s *listener) Tell(_ context.Context, o audit.Outcome) error {
	s.outcomes = append(s.outcomes, o)
	return s.err
}

// running is a Runner that runs in a bubble of synctest.
type running struct {
	*audit.Runner
	writer *state.Writer
	synced atomic.Bool
	sink   *listener
	told   []bool // of each audit
	log    bytes.Buffer
}

// bubble runs a test in a bubble in which a Runner runs on the owner's objects.
func bubble(t *testing.T, test func(t *testing.T, r *running)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &running{writer: state.NewWriter(), sink: &listener{}}
		r.apply(t, owner)
		r.synced.Store(true)
		changes := slices.DeleteFunc(rules.All(), func(r *policy.Rule) bool { return len(r.Operations) == 0 })
		engine := policy.NewEngine(deploykf.Default(), changes)
		r.Runner = audit.NewRunner(audit.Runner{
			Engine:   func() *policy.Engine { return engine },
			State:    func() (*state.Snapshot, bool) { return r.writer.Snapshot(), r.synced.Load() },
			Interval: interval, Sinks: []audit.Sink{r.sink}, Log: slog.New(slog.NewTextHandler(&r.log, nil)),
			Done: func(told bool) { r.told = append(r.told, told) },
		})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); r.Run(ctx) }()
		test(t, r)
		stop()
		<-done
	})
}

func (r *running) apply(t *testing.T, world string) {
	t.Helper()
	snapshot(t, world).Each(resource.KindGateway, "", func(o resource.Object) bool { r.writer.Apply(o); return true })
}

// after lets time pass and returns how many audits there were since the test began.
func (r *running) after(d time.Duration) int {
	time.Sleep(d)
	synctest.Wait()
	return len(r.sink.outcomes)
}

func (r *running) last() audit.Outcome { return r.sink.outcomes[len(r.sink.outcomes)-1] }

func TestRunnerTellsWhatIsNewAndWhatIsResolved(t *testing.T) {
	bubble(t, func(t *testing.T, r *running) {
		require.Equal(t, 1, r.after(time.Second))
		assert.Empty(t, r.last().Findings)
		assert.Empty(t, r.last().Gaps, "manifests are all that there is")

		r.apply(t, gateway("a/x", 1, "deploykf.example.com"))
		assert.Equal(t, 1, r.after(3*time.Second), "the state has to rest")
		require.Equal(t, 2, r.after(5*time.Second))
		require.Len(t, r.last().New, 1)
		thief := r.last().New[0].ID()
		assert.Equal(t, "GWD201", thief.Rule)
		assert.Len(t, r.last().Findings, 1)

		r.apply(t, gateway("a/y", 1, "shop.example.org"))
		require.Equal(t, 3, r.after(10*time.Second))
		assert.Empty(t, r.last().New)
		assert.Len(t, r.last().Known, 1)

		r.writer.Delete(thief.Key)
		require.Equal(t, 4, r.after(10*time.Second))
		assert.Equal(t, []audit.ID{thief}, r.last().Resolved)
		assert.Empty(t, r.last().Findings)
	})
}

func TestRunnerAuditsAtTheIntervalAndWhenItIsWoken(t *testing.T) {
	bubble(t, func(t *testing.T, r *running) {
		require.Equal(t, 1, r.after(interval-2*time.Second))
		require.Equal(t, 2, r.after(4*time.Second))
		require.Equal(t, 2, r.after(time.Minute))
		r.Wake()
		require.Equal(t, 3, r.after(time.Minute))
	})
}

// A state that never rests is audited all the same, but not all the time.
func TestRunnerWaitsForChangesToEnd(t *testing.T) {
	bubble(t, func(t *testing.T, r *running) {
		require.Equal(t, 1, r.after(time.Second))
		for range 300 {
			r.apply(t, owner)
			r.after(time.Second)
		}
		assert.Len(t, r.sink.outcomes, 1+4, "once in a little more than a minute")
	})
}

func TestRunnerWaitsForTheState(t *testing.T) {
	bubble(t, func(t *testing.T, r *running) {
		require.Equal(t, 1, r.after(time.Second))
		r.synced.Store(false)
		r.apply(t, gateway("a/x", 1, "deploykf.example.com"))
		require.Equal(t, 1, r.after(2*interval))
		r.synced.Store(true)
		require.Equal(t, 2, r.after(10*time.Second))
	})
}

func TestRunnerTriesAgainSoonWhatCouldNotBeTold(t *testing.T) {
	bubble(t, func(t *testing.T, r *running) {
		r.sink.err = errors.New("nobody listens")
		require.Equal(t, 1, r.after(30*time.Second))
		assert.Contains(t, r.log.String(), `sink=test problem="nobody listens"`)
		require.Equal(t, 2, r.after(time.Minute))
		r.sink.err = nil
		require.Equal(t, 3, r.after(time.Minute))
		require.Equal(t, 3, r.after(interval/2))
		assert.Equal(t, []bool{false, false, true}, r.told)
	})
}

// What a kind's objects depend on may not be listed: that is told, too.
func TestRunnerTellsGaps(t *testing.T) {
	bubble(t, func(t *testing.T, r *running) {
		r.writer.SetComplete(true)
		r.writer.SetUnread(resource.KindNode, "may not list nodes")
		r.after(10 * time.Second)
		require.Len(t, r.last().Gaps, 1)
		assert.Equal(t, resource.KindNode, r.last().Gaps[0].API.Kind)
	})
}

// A fault of a rule must not end the server.
func TestRunnerSurvivesAPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := state.NewWriter()
		broken := atomic.Bool{}
		broken.Store(true)
		engine := policy.NewEngine(deploykf.Default(), []*policy.Rule{{ID: "GWD799", Standing: func(*policy.World, func(resource.Key, policy.Fault)) {
			if broken.Load() {
				panic("broken")
			}
		}}})
		var log bytes.Buffer
		sink := &listener{}
		var told []bool
		r := audit.NewRunner(audit.Runner{
			Engine: func() *policy.Engine { return engine }, State: func() (*state.Snapshot, bool) { return w.Snapshot(), true },
			Interval: interval, Sinks: []audit.Sink{sink}, Log: slog.New(slog.NewTextHandler(&log, nil)),
			Done: func(ok bool) { told = append(told, ok) },
		})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); r.Run(ctx) }()
		time.Sleep(30 * time.Second)
		synctest.Wait()
		assert.Empty(t, sink.outcomes)
		assert.Contains(t, log.String(), "panic=broken")
		broken.Store(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Len(t, sink.outcomes, 1)
		assert.Equal(t, []bool{false, true}, told)
		stop()
		<-done
	})
}
