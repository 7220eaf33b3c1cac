package webhook

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gatewarden/gatewarden/pkg/metrics"
)

// LogDecisions says which decisions are logged. Whatever was not plainly allowed always is: what was
// refused, warned of or noted, who is exempt, and what could not be judged.
type LogDecisions string

// The choices.
const (
	// LogAll logs every decision.
	LogAll LogDecisions = "all"
	// LogSampled logs some of what is plainly allowed, and how much it leaves out.
	LogSampled LogDecisions = "sampled"
	// LogDenied logs nothing of what is plainly allowed.
	LogDenied LogDecisions = "denied"
)

// ParseLogDecisions reads a choice.
func ParseLogDecisions(s string) (LogDecisions, error) {
	choices := []LogDecisions{LogAll, LogSampled, LogDenied}
	if d := LogDecisions(s); slices.Contains(choices, d) {
		return d, nil
	}
	return "", fmt.Errorf("%q: use all, sampled or denied", s)
}

// SamplePeriod is how long what is plainly allowed is counted for.
const SamplePeriod = time.Minute

// SampleSize is how many decisions of one class are logged in a SamplePeriod. A deployment's worth of
// changes is seen whole; a controller that writes all day is not.
const SampleSize = 10

// class are the decisions that stand for each other in a sample.
type class struct {
	endpoint, operation, kind string
	decision                  metrics.Decision
}

// level is that of a decision's line.
func (o *outcome) level() slog.Level {
	switch o.decision {
	case metrics.OutOfScope:
		return slog.LevelDebug // a wide webhook configuration sends many, and nothing happened
	case metrics.Invalid, metrics.Unready, metrics.Failed:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// plain reports whether nothing is to be said of the decision but that the change may be made.
func (o *outcome) plain() bool {
	switch o.decision {
	case metrics.OutOfScope:
		return true
	case metrics.Allowed, metrics.Patched:
		return len(o.findings) == 0 && o.reason == ""
	}
	return false
}

// sampler chooses what of the plainly allowed is logged. Its methods are safe for concurrent use.
type sampler struct {
	log *slog.Logger

	mu    sync.Mutex
	seen  map[class]int // in the period that runs; nil if none does
	timer *time.Timer   // ends it
}

// admit reports whether a decision is logged. The first one begins a period.
func (s *sampler) admit(c class) bool {
	if c.decision == metrics.OutOfScope {
		// Whoever reaches the port can send any operation and kind.
		c.operation, c.kind = "", ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil {
		s.seen = map[class]int{}
		s.timer = time.AfterFunc(SamplePeriod, s.flush)
	}
	s.seen[c]++
	return s.seen[c] <= SampleSize
}

// flush ends the period and logs what was left out in it.
func (s *sampler) flush() {
	s.mu.Lock()
	seen := s.seen
	s.seen = nil
	if s.timer != nil {
		s.timer.Stop()
	}
	s.mu.Unlock()
	for _, c := range slices.SortedFunc(maps.Keys(seen), func(a, b class) int {
		return cmp.Or(strings.Compare(a.endpoint, b.endpoint), strings.Compare(a.kind, b.kind),
			strings.Compare(a.operation, b.operation), cmp.Compare(a.decision, b.decision))
	}) {
		if left := seen[c] - SampleSize; left > 0 {
			s.log.LogAttrs(context.Background(), (&outcome{decision: c.decision}).level(), "decisions were left out of the log",
				slog.String("endpoint", c.endpoint), slog.String("decision", string(c.decision)),
				slog.String("operation", c.operation), slog.String("kind", c.kind), slog.Int("leftOut", left))
		}
	}
}

// logs reports whether a decision gets a line.
func (h *Handler) logs(ctx context.Context, out *outcome, c class) bool {
	switch {
	case !h.o.Log.Enabled(ctx, out.level()):
		return false
	case !out.plain() || h.o.LogDecisions == LogAll:
		return true
	case h.o.LogDecisions == LogDenied:
		return false
	}
	return h.sampler.admit(c)
}

// Flush logs at once what is left out of the log and was not told yet. It is for the end of serving.
func (h *Handler) Flush() { h.sampler.flush() }
