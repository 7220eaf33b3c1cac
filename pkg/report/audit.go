package report

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/audit"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// Audit is the outcome of an audit.
type Audit struct {
	audit.Result
	// NotChecked is what the audit could not see.
	NotChecked []audit.Gap
	// Baseline is how it differs from an earlier audit; nil if it was compared with none.
	// Then only what is new is reported.
	Baseline *audit.Comparison
	// Notes are sentences about what everything was judged by.
	Notes []string
}

// reported returns the findings to report.
func (a Audit) reported() []audit.Finding {
	if a.Baseline != nil {
		return a.Baseline.New
	}
	return a.Findings
}

// Denied reports whether any finding that is reported is one that denies.
func (a Audit) Denied() bool {
	return slices.ContainsFunc(a.reported(), func(f audit.Finding) bool { return f.Effect == policy.Deny })
}

// objectOf tells which object a finding is about.
func objectOf(f audit.Finding) Object {
	o := objectAt(f.Key)
	if file, line, ok := cutLast(f.Source, ":"); ok {
		if n, err := strconv.Atoi(line); err == nil {
			o.File, o.Line = file, n
		}
	}
	return o
}

// objectAt names an object as a manifest does.
func objectAt(k resource.Key) Object {
	api := resource.ByKind(k.Kind)
	return Object{APIVersion: api.APIVersion(), Kind: api.Name(), Namespace: k.Namespace, Name: k.Name}
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// auditDocument is the JSON form of an Audit. Programs read it, a later audit among them:
// fields are added, never renamed or removed.
type auditDocument struct {
	Findings   []auditFinding `json:"findings"`
	Judged     int            `json:"judged"`
	NotChecked []gap          `json:"notChecked"`
	Notes      []string       `json:"notes,omitempty"`
	Baseline   *comparison    `json:"baseline,omitempty"`
}

type auditFinding struct {
	identity
	Name    string        `json:"name"`
	Effect  policy.Effect `json:"effect"`
	Exempt  string        `json:"exempt,omitempty"`
	Field   string        `json:"field"`
	Message string        `json:"message"`
	Related []string      `json:"related"`
}

// identity is what a later audit compares by.
type identity struct {
	Rule    string `json:"rule"`
	Object  Object `json:"object"`
	Subject string `json:"subject"`
}

type gap struct {
	Verb      string   `json:"verb"`
	Group     string   `json:"group"`
	Resource  string   `json:"resource"`
	Namespace string   `json:"namespace,omitempty"`
	Rules     []string `json:"rules"`
}

type comparison struct {
	Known    []identity `json:"known"`
	Resolved []identity `json:"resolved"`
}

// AuditJSON writes an audit as one indented JSON document. Lists are never null. With a
// baseline the findings are those that are new; the known ones are told by their identity, so
// that this document can be the next audit's baseline.
func AuditJSON(w io.Writer, a Audit) error {
	doc := auditDocument{
		Findings: make([]auditFinding, 0, len(a.reported())), Judged: a.Judged, Notes: a.Notes,
		NotChecked: make([]gap, 0, len(a.NotChecked)),
	}
	for _, f := range a.reported() {
		doc.Findings = append(doc.Findings, auditFinding{
			identity: identity{f.Rule, objectOf(f), f.Subject}, Name: f.Name, Effect: f.Effect, Exempt: f.Exempt,
			Field: f.Field, Message: f.Message, Related: names(f.Related),
		})
	}
	for _, g := range a.NotChecked {
		doc.NotChecked = append(doc.NotChecked, gap{g.Verb, g.API.Group, g.API.Resource, g.Namespace, append([]string{}, g.Rules...)})
	}
	if a.Baseline != nil {
		doc.Baseline = &comparison{Known: []identity{}, Resolved: []identity{}}
		for _, f := range a.Baseline.Known {
			doc.Baseline.Known = append(doc.Baseline.Known, identity{f.Rule, objectOf(f), f.Subject})
		}
		for _, id := range a.Baseline.Resolved {
			gone := audit.Finding{ObjectFinding: policy.ObjectFinding{Key: id.Key}}
			doc.Baseline.Resolved = append(doc.Baseline.Resolved, identity{id.Rule, objectOf(gone), id.Subject})
		}
	}
	return encode(w, doc)
}

// ReadBaseline reads what AuditJSON wrote.
func ReadBaseline(data []byte) ([]audit.ID, error) {
	var doc struct {
		Findings *[]identity `json:"findings"`
		Baseline comparison  `json:"baseline"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("this is no JSON output of an audit: %w", err)
	}
	if doc.Findings == nil {
		return nil, errors.New("this is no JSON output of an audit: it has no findings; write one with \"-o json\"")
	}
	var out []audit.ID
	for _, f := range append(*doc.Findings, doc.Baseline.Known...) {
		if kind, known := kindOf(f.Object); known { // else no rule of this version can find it again
			out = append(out, audit.ID{Rule: f.Rule, Key: resource.Key{Kind: kind, Namespace: f.Object.Namespace, Name: f.Object.Name}, Subject: f.Subject})
		}
	}
	return out, nil
}

// kindOf returns the kind of an object, in whatever version it was written.
func kindOf(o Object) (resource.Kind, bool) {
	group, _, found := strings.Cut(o.APIVersion, "/")
	if !found {
		group = ""
	}
	i := slices.IndexFunc(resource.APIs, func(a resource.API) bool { return a.Group == group && a.Name() == o.Kind })
	if i < 0 {
		return "", false
	}
	return resource.APIs[i].Kind, true
}

// AuditText writes an audit for people: by namespace and object, the worst first, and a summary
// as the last line.
func AuditText(w io.Writer, a Audit, opts TextOptions) error {
	t := &text{color: opts.Color}
	for _, ns := range grouped(a.reported(), audit.Finding.Namespace) {
		heading := ns[0].Namespace()
		if heading == "" {
			heading = "(no namespace)"
		}
		t.line("%s", t.paint(bold, clean(heading)))
		for _, object := range grouped(ns, func(f audit.Finding) resource.Key { return f.Key }) {
			at := ""
			if source := object[0].Source; source != "" {
				at = " (" + clean(source) + ")"
			}
			t.line("  %s%s", clean(string(object[0].Key.Kind)+" "+object[0].Key.Name), at)
			for _, f := range object {
				t.finding("    ", f.Finding)
			}
		}
	}
	t.notes(a.Notes)
	for _, g := range a.NotChecked {
		t.line("%s: not checked: %s: gatewarden lacks the permission to %s; %s on it",
			t.effect(policy.Warn), clean(string(g.API.Kind)), g.Permission(), dependents(len(g.Rules)))
	}
	if a.Baseline != nil {
		for _, id := range a.Baseline.Resolved {
			t.line("%s: %s on %s", t.paint(green, "resolved"), clean(id.Rule), clean(id.Key.String()))
		}
	}
	t.auditSummary(a)
	_, err := w.Write(t.Bytes())
	return err
}

func dependents(rules int) string {
	if rules == 1 {
		return "1 rule depends"
	}
	return plural(rules, "rule") + " depend"
}

// grouped returns findings in groups, that with the worst effect first, and those that are
// equal in this in the order of their keys' first appearance.
func grouped[K comparable](findings []audit.Finding, key func(audit.Finding) K) [][]audit.Finding {
	at := map[K]int{}
	var out [][]audit.Finding
	for _, f := range findings {
		i, ok := at[key(f)]
		if !ok {
			i = len(out)
			at[key(f)] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], f)
	}
	slices.SortStableFunc(out, func(a, b []audit.Finding) int { return cmp.Compare(worst(b), worst(a)) })
	return out
}

func worst(findings []audit.Finding) policy.Effect {
	e := policy.Note
	for _, f := range findings {
		e = max(e, f.Effect)
	}
	return e
}

func (t *text) auditSummary(a Audit) {
	found := a.reported()
	if len(found) > 0 {
		t.line("%s: \"gatewarden rules ID\" explains a rule, why it matters and how to fix it", t.effect(policy.Note))
	}
	s := plural(a.Judged, "object") + " judged: "
	what := "found"
	if a.Baseline != nil {
		what = "new"
	}
	if len(found) == 0 {
		s += "nothing " + what
	} else {
		r := audit.Result{Findings: found}
		s += fmt.Sprintf("%d %s, on %s: %d that would be denied, %s, %s", len(found), what,
			plural(len(grouped(found, func(f audit.Finding) resource.Key { return f.Key })), "object"),
			r.Count(policy.Deny), plural(r.Count(policy.Warn), "warning"), plural(r.Count(policy.Note), "note"))
	}
	if a.Baseline != nil {
		s += fmt.Sprintf("; %d known, %d resolved", len(a.Baseline.Known), len(a.Baseline.Resolved))
	}
	if len(a.NotChecked) > 0 {
		s += "; " + plural(len(a.NotChecked), "kind") + " not checked"
	}
	t.line("%s", s)
}
