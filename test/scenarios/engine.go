package scenarios

import (
	"github.com/gatewarden/gatewarden/pkg/manifest"
	"github.com/gatewarden/gatewarden/pkg/mutate"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// Engine tells a story to the engine itself, and to what makes the patches. The object is
// judged as it was sent, which is when there is something to note about it.
func Engine(base []manifest.Document, s *Story) (Outcome, error) {
	w, err := NewWorld(base, s)
	if err != nil {
		return Outcome{}, err
	}
	engine := policy.NewEngine(s.Configuration, rules.All())
	if s.IsAudit() {
		return standing(engine, w.Snapshot), nil
	}
	change, err := w.Change(s)
	if err != nil {
		return Outcome{}, err
	}
	d := engine.Decide(w.Snapshot, change)
	out := Outcome{Denied: d.Denied(), Notes: true, Related: true, Stored: s.Request.Raw}
	for _, f := range d.Findings {
		out.Findings = append(out.Findings, Finding{Rule: f.Rule, Effect: f.Effect, Field: f.Field, Message: f.Message, Related: names(f.Related)})
	}
	if workload, ok := change.New.(*resource.Workload); ok && d.Exempt == "" {
		operations, err := mutate.Patch(engine.World(w.Snapshot), workload, s.Request.Raw)
		if err != nil {
			return out, err
		}
		out.Patched = len(operations) > 0
		if out.Stored, err = patched(s.Request.Raw, operations); err != nil {
			return out, err
		}
	}
	return out, nil
}

func names(keys []resource.Key) []string {
	out := make([]string, len(keys))
	for i, k := range keys {
		out[i] = k.String()
	}
	return out
}
