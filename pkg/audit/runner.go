package audit

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
)

// Outcome is what sinks are told of an audit.
type Outcome struct {
	Result
	// Comparison is how it differs from the audit before, or from nothing.
	Comparison
	// Gaps are the kinds that could not be seen.
	Gaps []Gap
	// Ended is when the audit ended, and Took how long it took, its pauses included.
	Ended time.Time
	Took  time.Duration
}

// Sink passes on what audits find.
type Sink interface {
	// Name is what logs call the sink.
	Name() string
	// Tell is told of every audit, of one at a time. What it can not pass on it keeps for the
	// next audit, which comes sooner after an error: the Comparison of that one knows nothing of
	// what this sink missed.
	Tell(ctx context.Context, o Outcome) error
}

const (
	// look is how often a Runner looks whether anything has changed.
	look = time.Second
	// quiet is how long the state has to rest before a change is audited, and unrest how long a
	// change waits for that: a rollout is one change.
	quiet  = 5 * time.Second
	unrest = time.Minute
	// tellTimeout bounds one telling of one sink.
	tellTimeout = time.Minute
	// retry is when those that failed are told again.
	retry = time.Minute

	// An audit works on one CPU, for slice at a time, and then pauses for pauses times as long as
	// it worked; after it has ended it rests for rests times as long as it took. So it takes a
	// fifth of a CPU while it runs, and a twentieth of one if the state never rests.
	slice  = 10 * time.Millisecond
	pauses = 4
	rests  = 3
)

// Runner audits a state that changes, and tells its sinks.
type Runner struct {
	// Engine returns the engine in force.
	Engine func() *policy.Engine
	// State returns the current snapshot, and whether it is complete enough to judge by.
	State func() (*state.Snapshot, bool)
	// Interval is how long after an audit the next one comes if nothing changes.
	Interval time.Duration
	Sinks    []Sink
	Log      *slog.Logger
	// Done is told of each audit that ended, and whether every sink could pass on what it found.
	// Nil for nobody.
	Done func(told bool)

	wake chan struct{}
	// engine is one of the Runner's own, with the configuration of basis, the one in force: an
	// engine keeps the world that it judged in last, and admissions are to find theirs.
	engine, basis *policy.Engine
	earlier       []ID // of the last audit

	audited   bool // ever
	failed    bool // of the last audit a sink was not told
	ended     time.Time
	took      time.Duration
	last      version // that was audited last
	seen      version // that was seen last
	changed   time.Time
	unchanged time.Time
}

// version is what an audit depends on.
type version struct {
	generation uint64
	engine     *policy.Engine
}

// NewRunner completes a Runner.
func NewRunner(r Runner) *Runner {
	r.wake = make(chan struct{}, 1)
	return &r
}

// Wake has the Runner audit soon, whether anything has changed or not.
func (r *Runner) Wake() {
	select {
	case r.wake <- struct{}{}:
	default: // it was woken already
	}
}

// Run audits until the context ends: once the state is known, a while after it has changed, and
// at the interval.
func (r *Runner) Run(ctx context.Context) {
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	woken := false
	for {
		snapshot, synced := r.State()
		if synced && (r.due(time.Now(), version{snapshot.Generation(), r.Engine()}) || woken) {
			woken = false
			r.audit(ctx, snapshot)
		}
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
			woken = true
		case <-ticker.C:
		}
	}
}

// due reports whether it is time for an audit of a version.
func (r *Runner) due(now time.Time, v version) bool {
	if v != r.seen {
		if r.seen == r.last {
			r.changed = now
		}
		r.seen, r.unchanged = v, now
	}
	switch since := now.Sub(r.ended); {
	case !r.audited:
		return true
	case since < rests*r.took:
		return false
	case since >= r.Interval || r.failed && since >= retry:
		return true
	}
	return v != r.last && (now.Sub(r.unchanged) >= quiet || now.Sub(r.changed) >= unrest)
}

// audit audits a snapshot and tells the sinks. Whatever goes wrong is tried again at the next
// audit.
func (r *Runner) audit(ctx context.Context, s *state.Snapshot) {
	defer func() {
		if p := recover(); p != nil {
			r.failed = true
			r.Log.Error("the audit failed", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			r.done(false)
		}
	}()
	began := time.Now()
	// Before anything can fail: an audit that fails is not repeated at once.
	r.audited, r.failed, r.ended = true, false, began
	r.last = version{s.Generation(), r.Engine()}
	r.seen = r.last
	if r.basis != r.last.engine {
		r.basis = r.last.engine
		r.engine = policy.NewEngine(r.basis.Config(), r.basis.Rules())
	}
	p := pace{ctx, began}
	result, done := run(r.engine, s, p.goOn)
	if !done {
		return
	}
	r.ended = time.Now()
	r.took = r.ended.Sub(began)
	o := Outcome{Result: result, Comparison: Compare(r.earlier, result.Findings), Gaps: gaps(s, r.engine), Ended: r.ended, Took: r.took}
	r.earlier = r.earlier[:0]
	for _, f := range result.Findings {
		r.earlier = append(r.earlier, f.ID())
	}
	for _, sink := range r.Sinks {
		if err := r.tell(ctx, sink, o); err != nil && ctx.Err() == nil {
			r.failed = true
			r.Log.Warn("not everything that the audit found could be told: it will be tried again", "sink", sink.Name(), "problem", err.Error())
		}
	}
	r.done(!r.failed)
}

func (r *Runner) done(told bool) {
	if r.Done != nil {
		r.Done(told)
	}
}

func (r *Runner) tell(ctx context.Context, sink Sink, o Outcome) error {
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	return sink.Tell(ctx, o)
}

// gaps returns the kinds that a cluster does not let see. Manifests are all that there is.
func gaps(s *state.Snapshot, e *policy.Engine) []Gap {
	var out []Gap
	for _, api := range resource.APIs {
		if why := s.Lacking(api.Kind); s.Complete() && why != "" && why != state.NotServed {
			out = append(out, NewGap(api, "list", e))
		}
	}
	return out
}

// pace keeps an audit from taking a CPU for itself: admissions come first.
type pace struct {
	ctx   context.Context
	began time.Time // to work, after the last pause
}

// goOn pauses if it is time to. It reports false once the context has ended.
func (p *pace) goOn() bool {
	worked := time.Since(p.began)
	if worked < slice {
		return true
	}
	timer := time.NewTimer(pauses * worked)
	defer timer.Stop()
	select {
	case <-p.ctx.Done():
		return false
	case <-timer.C:
	}
	p.began = time.Now()
	return true
}
