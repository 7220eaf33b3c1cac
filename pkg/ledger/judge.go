package ledger

import (
	"time"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/state"
)

// Judge judges a change in a world.
type Judge func(*state.Snapshot) policy.Decision

// Verdict is what becomes of a change among others that are on their way.
type Verdict struct {
	// Decision is that on the state or, if By are the reason for a refusal, on the state as it will be
	// with them.
	Decision policy.Decision
	// By are the changes on their way for which the change can not be admitted now. It may be
	// admitted once it is known that one of them was not stored. Empty if the Decision stands.
	By []*Reservation
}

// Refusal is a Verdict by which a change can not be admitted now.
type Refusal struct {
	Verdict
	// Until is when the claims of By are free again at the latest, if they are not stored.
	Until time.Time
	// After is how long to wait before the next attempt.
	After time.Duration
}

// Decide judges a change on a snapshot, and on what it becomes with each of the changes before it and
// with all of them. Each of them may be stored or not; no two of them conflict, or only one would have
// been admitted.
//
// The snapshot itself still has what is to be updated or deleted, so that what a change gives up is
// kept for it as long as what it takes.
func Decide(s *state.Snapshot, before []*Reservation, judge Judge) Verdict {
	d := judge(s)
	if d.Denied() {
		return Verdict{Decision: d}
	}
	all := s
	for _, r := range before {
		if in := judge(r.onto(s)); in.Denied() {
			return Verdict{Decision: in, By: []*Reservation{r}}
		}
		all = r.onto(all)
	}
	if len(before) > 1 {
		if in := judge(all); in.Denied() {
			return Verdict{Decision: in, By: before}
		}
	}
	return Verdict{Decision: d}
}

// onto returns a snapshot with the change.
func (r *Reservation) onto(s *state.Snapshot) *state.Snapshot {
	if r.Object == nil {
		return s.Without(r.Key)
	}
	return s.With(r.Object)
}
