package scenarios

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/gatewarden/gatewarden/pkg/audit"
	"github.com/gatewarden/gatewarden/pkg/cli"
	"github.com/gatewarden/gatewarden/pkg/decode"
	"github.com/gatewarden/gatewarden/pkg/manifest"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
	"github.com/gatewarden/gatewarden/pkg/resource"
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

// auditByCLI has "gatewarden audit" look at a source of objects.
func auditByCLI(s *Story, source ...string) (Outcome, error) {
	out := Outcome{Notes: true, Related: true}
	args := append([]string{"audit", "-o", "json"}, source...)
	if s.Config != "" {
		args = append(args, "--config", filepath.Join(s.Dir, s.Config))
	}
	var stdout, stderr bytes.Buffer
	code := cli.Main(args, strings.NewReader(""), &stdout, &stderr)
	if stderr.Len() > 0 {
		return out, fmt.Errorf("exit code %d: %s", code, stderr.String())
	}
	var report struct {
		Findings []struct {
			Rule    string                                             `json:"rule"`
			Effect  policy.Effect                                      `json:"effect"`
			Object  struct{ APIVersion, Kind, Namespace, Name string } `json:"object"`
			Field   string                                             `json:"field"`
			Message string                                             `json:"message"`
			Related []string                                           `json:"related"`
		} `json:"findings"`
		NotChecked []any `json:"notChecked"`
	}
	if err := json.Unmarshal(stdout.Bytes(), &report); err != nil {
		return out, fmt.Errorf("exit code %d: %w in %q", code, err, stdout.String())
	}
	if len(report.NotChecked) > 0 {
		return out, fmt.Errorf("gatewarden may not see everything: %v", report.NotChecked)
	}
	want := 0
	for _, f := range report.Findings {
		if f.Effect == policy.Deny {
			want = 1
		}
		if len(rules.Find(f.Rule).Operations) > 0 {
			continue
		}
		api, known := resource.Lookup(f.Object.APIVersion, f.Object.Kind)
		if !known {
			return out, fmt.Errorf("%s is on a %s of %s", f.Rule, f.Object.Kind, f.Object.APIVersion)
		}
		on := resource.Key{Kind: api.Kind, Namespace: f.Object.Namespace, Name: f.Object.Name}
		out.Findings = append(out.Findings, Finding{f.Rule, f.Effect, f.Field, f.Message, on.String(), f.Related})
	}
	if code != want {
		return out, fmt.Errorf("exit code %d for the findings %s", code, stdout.String())
	}
	return out, nil
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
