// Package report turns decisions into text for people and JSON for programs.
//
// It writes to an io.Writer and decides nothing: whether the output is a terminal, and
// where it goes, is the caller's to know. That keeps it usable by every door and makes
// its output a function of its input, which golden files compare.
package report

import (
	"encoding/json"
	"io"

	"gomodules.xyz/jsonpatch/v2"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// Object tells which object a decision is about, and where it was read.
type Object struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Namespace is empty for an object of a cluster-scoped kind.
	Namespace string `json:"namespace"`
	// Name is empty for an object whose name the API server makes up.
	Name string `json:"name"`
	// File is the path of the file, or "stdin".
	File string `json:"file"`
	// Line is the first line of the object in File, counted from 1.
	Line int `json:"line"`
	// Display is the name to show to people where Name is empty.
	Display string `json:"-"`
}

// Decision is a policy.Decision about an object of a file.
type Decision struct {
	Object    Object
	Operation policy.Operation
	// Patch is what the mutating door changes before the object is judged; empty for an
	// object that is right as it is.
	Patch []jsonpatch.Operation
	policy.Decision
}

// Report is the outcome of one run, in the order in which the objects were judged.
type Report struct {
	Decisions []Decision
	// PassedOver are the objects of kinds that no rule reads. No decision is made about
	// them.
	PassedOver []Object
	// Notes are sentences about what everything was judged by.
	Notes []string
}

// Denied reports whether any decision is a denial.
func (r Report) Denied() bool {
	for _, d := range r.Decisions {
		if d.Denied() {
			return true
		}
	}
	return false
}

// document is the JSON form of a Report. Programs read it: fields are added, never
// renamed or removed.
type document struct {
	Decisions []decision `json:"decisions"`
	Notes     []string   `json:"notes,omitempty"`
}

type decision struct {
	Object    Object                `json:"object"`
	Operation policy.Operation      `json:"operation"`
	Decision  string                `json:"decision"`
	Patch     []jsonpatch.Operation `json:"patch,omitempty"`
	Findings  []finding             `json:"findings"`
}

type finding struct {
	Rule    string        `json:"rule"`
	Name    string        `json:"name"`
	Effect  policy.Effect `json:"effect"`
	Carried bool          `json:"carried,omitempty"`
	Exempt  string        `json:"exempt,omitempty"`
	Field   string        `json:"field"`
	Message string        `json:"message"`
	Related []string      `json:"related"`
}

// JSON writes the decisions of a report as one indented JSON document. Lists are never
// null. Objects that were passed over are left out, because nothing was decided about
// them.
func JSON(w io.Writer, r Report) error {
	doc := document{Decisions: make([]decision, 0, len(r.Decisions)), Notes: r.Notes}
	for _, d := range r.Decisions {
		out := decision{
			Object: d.Object, Operation: d.Operation, Decision: "allow",
			Patch: d.Patch, Findings: make([]finding, 0, len(d.Findings)),
		}
		if d.Denied() {
			out.Decision = "deny"
		}
		for _, f := range d.Findings {
			out.Findings = append(out.Findings, finding{
				Rule: f.Rule, Name: f.Name, Effect: f.Effect, Carried: f.Carried, Exempt: f.Exempt,
				Field: f.Field, Message: f.Message, Related: names(f.Related),
			})
		}
		doc.Decisions = append(doc.Decisions, out)
	}
	return encode(w, doc)
}

// names returns the names of objects, never nil.
func names(keys []resource.Key) []string {
	out := make([]string, 0, len(keys))
	for _, k := range keys {
		out = append(out, k.String())
	}
	return out
}

func encode(w io.Writer, doc any) error {
	enc := json.NewEncoder(w)
	// Messages name paths and hosts: "<" and "&" are theirs, and this is no web page.
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(doc)
}
