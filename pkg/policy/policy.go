// Package policy is the vocabulary and the engine of gatewarden: a Change is judged
// against a state.Snapshot by Rules, which gives Findings, summed in a Decision.
//
// Everything here is pure: no clock, no I/O, no logging, no context. A decision is a
// function of the snapshot, the configuration and the change, and of nothing else. The
// doors (admission, check, audit) differ only in where those come from.
package policy

import (
	"fmt"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

// Operation is what a change does to its object.
type Operation string

// The operations that rules judge. CONNECT and subresources never reach the engine.
const (
	Create Operation = "CREATE"
	Update Operation = "UPDATE"
	Delete Operation = "DELETE"
)

// Requester is who asks for a change, as the API server authenticated it.
type Requester struct {
	Name   string
	Groups []string
}

// Change is one object about to be created, updated or deleted.
type Change struct {
	Operation Operation
	// Old is the stored object; nil at CREATE.
	Old resource.Object
	// New is the object as it is to be stored; nil at DELETE.
	New       resource.Object
	Requester Requester
	DryRun    bool
}

// Object is the object that the change is about: the new one, or at DELETE the old one.
func (c Change) Object() resource.Object {
	if c.New != nil {
		return c.New
	}
	return c.Old
}

// Effect is what a finding does to the decision.
type Effect uint8

// The effects, in rising order.
const (
	Note Effect = iota // shown by check and audit, not to the requester of an admission
	Warn               // admitted, and the requester is told
	Deny               // not admitted
)

func (e Effect) String() string {
	switch e {
	case Deny:
		return "deny"
	case Warn:
		return "warn"
	}
	return "note"
}

// MarshalText makes an Effect its name in JSON.
func (e Effect) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText reads an effect's name.
func (e *Effect) UnmarshalText(b []byte) error {
	switch string(b) {
	case "deny":
		*e = Deny
	case "warn":
		*e = Warn
	case "note":
		*e = Note
	default:
		return fmt.Errorf("%q is no effect: use deny, warn or note", b)
	}
	return nil
}

// Fault is one thing that is wrong with an object in a world, as a rule reports it.
type Fault struct {
	// Effect is what a new fault does. A fault that was there before the change never
	// does more than Warn.
	Effect Effect
	// Field is the path of the field that is wrong, for example
	// "spec.servers[0].hosts[1]".
	Field string
	// Message says what happens to whom, and how to fix it, in one or two sentences
	// that stand without the field or the rule ID before them.
	Message string
	// Related are the other objects that take part.
	Related []resource.Key
	// Subject identifies the fault among the faults of one rule and object, across
	// edits that do not change its nature (a reordered list, another server name): the
	// port and host that clash, for example. Faults with equal rule and subject in the
	// old and the new object are one fault, carried.
	Subject string
	// Place tells faults with one subject apart that are met on several sets of pods. It is
	// part of the identity within a decision only: between two audits a release may give all
	// pods other labels.
	Place string
	// Of is the object that the fault is found on when that one is judged, if the object here
	// only brings it into effect. Audits judge both and pass over the fault of this one.
	Of resource.Key
	// Rival is the other side of a clash in which neither object is the owner's. Who was there
	// first has the claim, so audits tell the younger of the two.
	Rival resource.Key
	// Data is what the rule's Eases compares. It may be nil.
	Data any
}

// Finding is a Fault in a Decision.
type Finding struct {
	Rule    string         // "GWD201"
	Name    string         // "host-conflict"
	Effect  Effect         // after the ratchet
	Carried bool           // the fault was there before the change
	Field   string         //
	Message string         //
	Related []resource.Key //
	Subject string         // identifies the fault among those of the rule and object: see Fault
	Exempt  string         // the reason for which it does nothing, or empty
	Rival   resource.Key   // the other side of a clash of tenants: see Fault
}

// String is the one line that people see: "GWD201 host-conflict: FIELD: MESSAGE".
func (f Finding) String() string {
	s := f.Rule + " " + f.Name
	if f.Carried {
		s += " (was there before)"
	}
	if f.Exempt != "" {
		s += " (exempt: " + f.Exempt + ")"
	}
	s += ": "
	if f.Field != "" {
		s += f.Field + ": "
	}
	return s + f.Message
}

// ObjectFinding is a Finding, and the object that it is about.
type ObjectFinding struct {
	Key resource.Key
	Finding
}

// Decision sums up the findings of one change.
type Decision struct {
	// Findings are ordered by effect, the worst first, then by rule and field.
	Findings []Finding
	// Exempt is the reason for which the requester was not judged, or empty.
	Exempt string
	// Generation is that of the snapshot that the change was judged against.
	Generation uint64
}

// Denied reports whether the change must not be admitted.
func (d Decision) Denied() bool {
	return len(d.Findings) > 0 && d.Findings[0].Effect == Deny
}

// Of returns the findings with an effect.
func (d Decision) Of(e Effect) []Finding {
	var out []Finding
	for _, f := range d.Findings {
		if f.Effect == e {
			out = append(out, f)
		}
	}
	return out
}

// Rule is one rule: what it judges, what it reads, and how.
type Rule struct {
	// ID is "GWD" and three digits. It is never given to another rule.
	ID string
	// Name is the kebab-case name.
	Name string
	// Summary is one sentence in the present tense that says what the rule finds.
	Summary string
	// Page is the rule's page in Markdown: what, why, how to fix it.
	Page string
	// Effect is the strongest effect of the rule's faults.
	Effect Effect
	// Kinds are the kinds of objects that the rule judges.
	Kinds []resource.Kind
	// Operations are the operations that the rule judges. A rule without any is judged by
	// audits only.
	Operations []Operation
	// Reads are the kinds of other objects that the rule's verdict depends on.
	Reads []resource.Kind
	// Object reports the faults that an object has in a world in which it stands (or
	// would stand: the object itself need not be in the world's snapshot, and what the
	// snapshot holds under its key is disregarded). It is judged before and after a
	// CREATE or UPDATE; the difference is what is new. It may be nil.
	Object func(w *World, o resource.Object, report func(Fault))
	// Eases reports whether the new fault is no worse than the old one, though it is another:
	// half of a repair, which must not be refused. It may be nil.
	Eases func(old, now Fault) bool
	// Transition reports what a change takes away, which no look at one object alone can
	// show. All its faults are new. It may be nil.
	Transition func(before, after *World, c Change, report func(Fault))
	// Standing reports what is wrong with the installation as a whole, each on the object to
	// mend, which need not exist. Only audits ask it: no change is to blame. It may be nil.
	Standing func(w *World, report func(on resource.Key, f Fault))
}

// Judges reports whether the rule judges the operation on the kind.
func (r *Rule) Judges(kind resource.Kind, op Operation) bool {
	for _, k := range r.Kinds {
		if k == kind {
			for _, o := range r.Operations {
				if o == op {
					return true
				}
			}
		}
	}
	return false
}
