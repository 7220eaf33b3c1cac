package scenarios

import (
	"time"

	"github.com/gatewarden/gatewarden/pkg/audit"
	"github.com/gatewarden/gatewarden/pkg/decode"
	"github.com/gatewarden/gatewarden/pkg/manifest"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
	"github.com/gatewarden/gatewarden/pkg/state"
)

// standing asks the rules that only audits judge what they find in a snapshot.
func standing(e *policy.Engine, s *state.Snapshot) Outcome {
	out := Outcome{Notes: true, Related: true}
	for _, f := range audit.Run(e, s).Findings {
		if r := rules.Find(f.Rule); len(r.Operations) == 0 {
			out.Findings = append(out.Findings, findingOf(f))
		}
	}
	return out
}

func findingOf(f audit.Finding) Finding {
	return Finding{f.Rule, f.Effect, f.Field, f.Message, f.Key.String(), names(f.Related)}
}

// Audit returns what an audit finds on the object of a story's request, as if nobody had judged
// it when it was stored, and on what else.
func Audit(base []manifest.Document, s *Story) (on []Finding, elsewhere []audit.Finding, err error) {
	w, err := NewWorld(base, s)
	if err != nil {
		return nil, nil, err
	}
	o, err := decode.Object(s.Request.API, s.Request.Raw)
	if err != nil {
		return nil, nil, err
	}
	m := o.GetMeta()
	if m.Name == "" {
		m.Name = m.GenerateName + "00001"
	}
	if old := w.Snapshot.Get(o.Key()); old != nil {
		m.Created = old.GetMeta().Created
	} else {
		m.Created = epoch.Add(24 * time.Hour) // it is the youngest
	}
	r := audit.Run(policy.NewEngine(s.Configuration, rules.All()), w.Snapshot.With(o))
	for _, f := range r.Findings {
		if f.Key == o.Key() {
			on = append(on, findingOf(f))
		} else {
			elsewhere = append(elsewhere, f)
		}
	}
	return on, elsewhere, nil
}
