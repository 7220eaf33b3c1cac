// Package metrics counts and times what gatewarden does. The doors speak to the Recorder
// interface; Prometheus is its one implementation for production, Discard the one for
// those who do not care.
package metrics

import (
	"time"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

// Decision is how a request ended. It is the label "decision", so the set is small and
// closed.
type Decision string

// The ways in which a request ends.
const (
	Allowed Decision = "allowed" // judged, and admitted
	Patched Decision = "patched" // admitted with a patch
	Denied  Decision = "denied"  // judged, and refused
	// Busy was refused for now, because another change is on its way that it conflicts with.
	Busy Decision = "busy"
	// Exempt was admitted unjudged because of its requester.
	Exempt Decision = "exempt"
	// OutOfScope was admitted unjudged because no rule is about it.
	OutOfScope Decision = "out_of_scope"
	// Undecodable was refused because the object could not be read.
	Undecodable Decision = "undecodable"
	// Invalid got an HTTP status from 400 to 499: it was no admission request, or none of the
	// API server's.
	Invalid Decision = "invalid"
	// Unready got HTTP status 503.
	Unready Decision = "unready"
	// Failed got HTTP status 500: it ran into a fault of gatewarden.
	Failed Decision = "failed"
)

// Admission describes one request that was answered.
type Admission struct {
	Endpoint  string // "validate" or "mutate"
	Operation string // of the request; empty if it could not be read
	Kind      string // of the request; empty if it could not be read
	Decision  Decision
	Duration  time.Duration
}

// Audit describes what an audit found.
type Audit struct {
	Findings map[Found]int
	// Gaps is the number of kinds that it could not see.
	Gaps  int
	Ended time.Time
	Took  time.Duration
}

// Found is what findings of an audit are counted by: the rule's ID, the name of the effect, and
// the object's namespace, empty for an object without one.
type Found struct{ Rule, Effect, Namespace string }

// Recorder is told what happens. Implementations are safe for concurrent use and return
// at once.
type Recorder interface {
	// Admission records a request that was answered.
	Admission(Admission)
	// Finding records a finding by its rule ID and the name of its effect.
	Finding(rule, effect string)
	// Panic records that a handler panicked and was recovered.
	Panic()
	// Undecodable records that an object of a watched cluster could not be read and is
	// left out of the state.
	Undecodable(kind resource.Kind)
	// Reload records that the configuration file changed or can not be read any more, and
	// whether the new content was taken.
	Reload(ok bool)
	// Audit records the audit that ended last.
	Audit(Audit)
	// Audited records that an audit ended, and whether everything that it found could be told.
	Audited(told bool)
}

// Discard is a Recorder that records nothing.
type Discard struct{}

// Admission does nothing.
func (Discard) Admission(Admission) {}

// Finding does nothing.
func (Discard) Finding(string, string) {}

// Panic does nothing.
func (Discard) Panic() {}

// Undecodable does nothing.
func (Discard) Undecodable(resource.Kind) {}

// Reload does nothing.
func (Discard) Reload(bool) {}

// Audit does nothing.
func (Discard) Audit(Audit) {}

// Audited does nothing.
func (Discard) Audited(bool) {}
