// Package auditsink passes on what audits find: to the log, to metrics, and to those who look at
// a cluster, as Events on the objects and as reports of openreports.io.
package auditsink

import (
	"cmp"
	"context"
	"log/slog"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/gatewarden/gatewarden/pkg/audit"
	"github.com/gatewarden/gatewarden/pkg/metrics"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// logged bounds the lines for the findings of one audit.
const logged = 100

// Log writes a line for each finding that is new or resolved.
type Log struct{ Log *slog.Logger }

// Name names the sink.
func (Log) Name() string { return "log" }

// Tell logs what changed since the audit before.
func (l Log) Tell(ctx context.Context, o audit.Outcome) error {
	level := slog.LevelDebug
	if len(o.New)+len(o.Resolved) > 0 {
		level = slog.LevelInfo
	}
	l.Log.Log(ctx, level, "audited", "judged", o.Judged, "findings", len(o.Findings),
		"new", len(o.New), "resolved", len(o.Resolved), "gaps", len(o.Gaps), "took", o.Took.String())
	lines := 0
	line := func(level slog.Level, message string, args ...any) {
		if lines++; lines <= logged {
			l.Log.Log(ctx, level, message, args...)
		}
	}
	for _, f := range worstFirst(o.New) {
		level := slog.LevelWarn
		if f.Effect == policy.Note {
			level = slog.LevelInfo
		}
		line(level, "found", "effect", f.Effect.String(), "object", f.Key.String(), "finding", f.String())
	}
	for _, id := range o.Resolved {
		line(slog.LevelInfo, "resolved", "object", id.Key.String(), "rule", id.Rule)
	}
	if lines > logged {
		l.Log.WarnContext(ctx, "there is more that is new or resolved than is logged", "left out", lines-logged)
	}
	return nil
}

// worstFirst returns findings by effect, the worst first, and else in their order.
func worstFirst(findings []audit.Finding) []audit.Finding {
	return slices.SortedStableFunc(slices.Values(findings), func(a, b audit.Finding) int { return cmp.Compare(b.Effect, a.Effect) })
}

// Metrics counts what there is.
type Metrics struct{ Recorder metrics.Recorder }

// Name names the sink.
func (Metrics) Name() string { return "metrics" }

// Tell counts the findings.
func (m Metrics) Tell(_ context.Context, o audit.Outcome) error {
	a := metrics.Audit{Findings: map[metrics.Found]int{}, Gaps: len(o.Gaps), Ended: o.Ended, Took: o.Took}
	for _, f := range o.Findings {
		a.Findings[metrics.Found{Rule: f.Rule, Effect: f.Effect.String(), Namespace: f.Namespace()}]++
	}
	m.Recorder.Audit(a)
	return nil
}

// reference names an object as the API does.
func reference(k resource.Key) corev1.ObjectReference {
	api := resource.ByKind(k.Kind)
	return corev1.ObjectReference{APIVersion: api.APIVersion(), Kind: api.Name(), Namespace: k.Namespace, Name: k.Name}
}

// subject names the object that a finding is about.
func subject(f audit.Finding) corev1.ObjectReference {
	r := reference(f.Key)
	r.UID = types.UID(f.UID)
	return r
}
