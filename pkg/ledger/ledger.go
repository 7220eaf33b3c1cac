// Package ledger is the core of the protocol by which two changes that conflict are never both
// admitted, however many replicas judge them at the same time. docs/ledger.md tells the protocol and
// what it rests on.
//
// A replica announces a change before it admits it: it enters a Reservation into the ledger, which
// all replicas watch. The revision of that entry puts all reservations into one order. Then it waits
// until it has seen its own, and so every one before it, and judges the change again: on the state,
// and on the state as it will be with those that are on their way. A Core is what one replica knows of
// the ledger, and holds each reservation until it is certain what became of its change.
//
// Nothing here asks anybody, waits, or looks at a clock: events and times come in, and answers go out.
// Package ledgerstore does the rest, and a test drives this package through all orders of events.
package ledger

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
)

// Revision is the place of an entry in the order of all entries of the ledger.
type Revision uint64

// Change is a change on its way.
type Change struct {
	Key       resource.Key
	Operation policy.Operation
	// Object is the object as it is to be stored; nil for a delete.
	Object resource.Object
	// UID is that of the object, which the API server gives to a new one before it asks for
	// admission. Empty if it was not told.
	UID string
	// Before is the version of the stored object that is updated or deleted. The API server stores
	// the change only over that very version (GuaranteedUpdate and Delete in k8s.io/apiserver
	// pkg/storage/etcd3/store.go); for another one it asks for admission again. Zero for a
	// create, or if it was not told.
	Before uint64
	// Request is the UID of the admission request.
	Request string
	// Requester is the name of who asked for it.
	Requester string
	// Replica is the one that judges it.
	Replica string
}

// Reservation is an entry of the ledger. It is never changed.
type Reservation struct {
	// ID is the entry's name.
	ID string
	// Revision is that of its creation.
	Revision Revision
	Change
	// Unreadable says why the entry can not be read, or is empty. While one is held that can not,
	// nothing can be admitted: it may stand in the way of anything.
	Unreadable string
}

// Live is what is stored of an object now, by a consistent read.
type Live struct {
	Present     bool
	UID         string
	Version     uint64
	Terminating bool
}

// held is a reservation of which it is not known yet what became of its change.
type held struct {
	*Reservation
	seen time.Duration
	// removed is set when the entry is not in the ledger any more. The fate of its change is sealed
	// then: either it was refused, or its request has ended.
	removed bool
	// there is set when the state has held the object that is to be deleted, or is certain to be newer:
	// then the object is deleted if it is not there.
	there bool
	// mark is the number of lists of the state that had been asked for when it was seen.
	mark uint64
	// ask is when the stored object is to be looked at, once that tells what became of the change.
	ask time.Duration
}

// entry is what is kept of an entry for as long as it is in the ledger.
type entry struct {
	seen    time.Duration
	replica string
}

// Options are the times that a Core counts by.
type Options struct {
	// Lifetime is longer than an admission request can take from its reservation to being stored.
	Lifetime time.Duration
	// Again is how long after a look at a stored object the next one comes, if the state does not
	// show by then what the look told.
	Again time.Duration
}

// Core is what one replica knows of the ledger. It is not safe for concurrent use.
type Core struct {
	o Options
	// held are the reservations that matter, by ID and by the key of their object.
	held  map[string]*held
	byKey map[resource.Key][]*held
	// entries are those in the ledger, by ID.
	entries map[string]entry
	// upTo is the revision up to which everything in the ledger was seen.
	upTo Revision
	// lists counts the lists of the state that were asked for, and complete is the last that is.
	// Nothing is told until the one that is needed is: see Listed.
	lists, complete, needed uint64
}

// New returns a Core that knows nothing yet.
func New(o Options) *Core {
	return &Core{o: o, held: map[string]*held{}, byKey: map[resource.Key][]*held{}, entries: map[string]entry{}}
}

// Listed takes note of all entries that there are at a revision. What was entered and removed unseen
// before is not among them; it is in the state, if it was stored, once every kind was listed after
// this, which StateListed has to tell by the number that is returned.
func (c *Core) Listed(all []*Reservation, at Revision, now time.Duration, s *state.Snapshot) (list uint64) {
	there := make(map[string]bool, len(all))
	for _, r := range all {
		there[r.ID] = true
		c.Added(r, now, s)
	}
	for id := range c.entries {
		if !there[id] {
			c.Removed(id, at, now)
		}
	}
	c.Reached(at)
	c.needed = c.Relist()
	return c.needed
}

// Relist numbers a list of every kind of the state that is asked for now.
func (c *Core) Relist() (list uint64) {
	c.lists++
	return c.lists
}

// StateListed takes note that the state has every kind as it was when a list was asked for, or newer.
func (c *Core) StateListed(list uint64, s *state.Snapshot) {
	c.complete = max(c.complete, list)
	for _, h := range c.held {
		if h.mark < list {
			h.there = true
			c.look(h, s)
		}
	}
}

// Added takes note of an entry.
func (c *Core) Added(r *Reservation, now time.Duration, s *state.Snapshot) {
	if _, known := c.entries[r.ID]; !known {
		c.entries[r.ID] = entry{now, r.Replica}
		h := &held{Reservation: r, seen: now, ask: now + c.o.Lifetime, mark: c.lists}
		c.held[r.ID] = h
		c.byKey[r.Key] = append(c.byKey[r.Key], h)
		c.look(h, s)
	}
	c.Reached(r.Revision)
}

// Removed takes note that an entry is not in the ledger any more. What became of its change is not
// concluded from that, only that it will not be stored any more from now on.
func (c *Core) Removed(id string, at Revision, now time.Duration) {
	delete(c.entries, id)
	if h := c.held[id]; h != nil && !h.removed {
		h.removed, h.ask = true, now
	}
	c.Reached(at)
}

// Reached takes note that everything up to a revision was seen.
func (c *Core) Reached(at Revision) { c.upTo = max(c.upTo, at) }

// StateChanged takes note that the state has other objects under some keys. It reports whether a
// reservation was dropped.
func (c *Core) StateChanged(s *state.Snapshot, changed []resource.Key) bool {
	before := len(c.held)
	for _, key := range changed {
		for _, h := range slices.Clone(c.byKey[key]) {
			c.look(h, s)
		}
	}
	return len(c.held) < before
}

// look drops a reservation if the state shows what became of its change.
func (c *Core) look(h *held, s *state.Snapshot) {
	if h.Unreadable == "" && h.shown(s) {
		c.drop(h)
	}
}

func (c *Core) drop(h *held) {
	delete(c.held, h.ID)
	rest := slices.DeleteFunc(c.byKey[h.Key], func(other *held) bool { return other == h })
	if len(rest) == 0 {
		delete(c.byKey, h.Key)
		return
	}
	c.byKey[h.Key] = rest
}

// shown reports whether a snapshot is certainly not older than the change was stored, or certain that
// it never is. That a snapshot does not have an object proves nothing by itself: it may not have it
// yet.
func (h *held) shown(s *state.Snapshot) bool {
	m := stored(s, h.Key)
	switch h.Operation {
	case policy.Create:
		if h.UID == "" {
			return m != nil && resource.Same(s.Get(h.Key), h.Object)
		}
		return m != nil && m.UID == h.UID
	case policy.Update:
		if h.Before == 0 {
			return m != nil && resource.Same(s.Get(h.Key), h.Object)
		}
		// The change was stored over the version of before, or can not be stored any more.
		return m != nil && m.Version > h.Before
	default:
		if m == nil {
			return h.there
		}
		if h.UID == "" || m.UID == h.UID {
			h.there = true
			// Over another version the deletion is judged anew. With a deletionTimestamp it
			// happens without another word, when the finalizers are gone.
			return h.Before != 0 && m.Version > h.Before && !m.Terminating
		}
		return h.there || h.Before != 0 && m.Version > h.Before
	}
}

// stored returns what a snapshot has under a key that somebody wrote.
func stored(s *state.Snapshot, key resource.Key) *resource.Meta {
	o := s.Get(key)
	if o == nil || o.GetMeta().Origin != nil {
		return nil
	}
	return o.GetMeta()
}

// Questions returns the reservations for which it is time to look at the stored object, and to tell
// Answer.
func (c *Core) Questions(now time.Duration) []*Reservation {
	var out []*Reservation
	for _, h := range c.held {
		if now >= h.ask {
			out = append(out, h.Reservation)
		}
	}
	slices.SortFunc(out, func(a, b *Reservation) int { return cmp.Compare(a.Revision, b.Revision) })
	return out
}

// Outcome is what a look at a stored object told of a change.
type Outcome string

// The outcomes.
const (
	// Pending means that the state does not show yet what is stored.
	Pending Outcome = "pending"
	// NotStored means that the change was not stored, or that something else was since.
	NotStored Outcome = "not_stored"
	// Stored means that it is stored, and that the state shows it.
	Stored Outcome = "stored"
	// Unclear means that an object is deleted that the state does not have, but may not have had yet:
	// ask for a Relist.
	Unclear Outcome = "unclear"
	// Known means that the reservation was dropped meanwhile.
	Known Outcome = "known"
)

// Answer takes note of what is stored of a reservation's object. It must have been read after Questions
// named the reservation.
func (c *Core) Answer(id string, live Live, now time.Duration, s *state.Snapshot) Outcome {
	h := c.held[id]
	if h == nil {
		return Known
	}
	outcome := h.became(live, s)
	if outcome == Pending || outcome == Unclear {
		h.ask = now + c.o.Again
		return outcome
	}
	c.drop(h)
	return outcome
}

// became tells what became of a change that will not be stored from now on.
func (h *held) became(live Live, s *state.Snapshot) Outcome {
	m := stored(s, h.Key)
	switch {
	case h.Unreadable != "":
		return NotStored
	case h.Operation == policy.Delete:
		same := live.Present && (h.UID == "" || live.UID == h.UID)
		switch {
		case same && live.Terminating:
			return Pending
		case same:
			return NotStored
		case m != nil && (h.UID == "" || m.UID == h.UID):
			return Pending
		case !h.there:
			return Unclear
		}
		return Stored
	case !live.Present:
		return NotStored
	case h.Operation == policy.Create && h.UID != "" && live.UID != h.UID:
		return NotStored
	case h.Operation == policy.Update && h.Before != 0 && live.Version <= h.Before:
		return NotStored
	case m == nil || m.Version < live.Version:
		return Pending
	}
	return Stored
}

// The reasons for which nothing can be told of what is on its way.
var (
	// ErrUnlisted means that the ledger, or the state after it, has not been listed.
	ErrUnlisted = errors.New("it is not known yet which changes are on their way: try again in a moment")
	// ErrUnseen means that the replica has not seen all reservations before its own yet.
	ErrUnseen = errors.New("the replica has not seen yet which changes are on their way before this one")
)

// Ready returns nil if what is on its way is known, up to some revision.
func (c *Core) Ready() error {
	if c.needed == 0 || c.complete < c.needed {
		return ErrUnlisted
	}
	return nil
}

// Seen reports whether everything up to a revision was seen.
func (c *Core) Seen(r Revision) bool { return c.upTo >= r }

// Before returns the held reservations before one of a revision about an object, in their order,
// without those of the same object: the API server stores one of those over the other, or none. The
// snapshot to judge by has to be taken after it: what is not among them may be only there.
func (c *Core) Before(own Revision, key resource.Key) ([]*Reservation, error) {
	if err := c.Ready(); err != nil {
		return nil, err
	}
	if !c.Seen(own) {
		return nil, ErrUnseen
	}
	var out []*Reservation
	for _, h := range c.held {
		if h.Revision >= own {
			continue
		}
		if h.Unreadable != "" {
			return nil, fmt.Errorf("the ledger's entry %s cannot be read: %s", h.ID, h.Unreadable)
		}
		if h.Key != key {
			out = append(out, h.Reservation)
		}
	}
	slices.SortFunc(out, func(a, b *Reservation) int { return cmp.Compare(a.Revision, b.Revision) })
	return out, nil
}

// Held returns all held reservations in their order, and when each was seen.
func (c *Core) Held() (out []*Reservation, seen []time.Duration) {
	for _, h := range c.held {
		out = append(out, h.Reservation)
	}
	slices.SortFunc(out, func(a, b *Reservation) int { return cmp.Compare(a.Revision, b.Revision) })
	for _, r := range out {
		seen = append(seen, c.held[r.ID].seen)
	}
	return out, seen
}

// Len is the number of held reservations.
func (c *Core) Len() int { return len(c.held) }

// SeenAt returns when a held reservation was seen.
func (c *Core) SeenAt(id string) (at time.Duration, held bool) {
	if h := c.held[id]; h != nil {
		return h.seen, true
	}
	return 0, false
}

// Entries calls f for each entry of the ledger with the replica that wrote it, and the time at which it
// was seen first.
func (c *Core) Entries(f func(id, replica string, seen time.Duration)) {
	for id, e := range c.entries {
		f(id, e.replica, e.seen)
	}
}

// Has reports whether an entry is in the ledger.
func (c *Core) Has(id string) bool {
	_, there := c.entries[id]
	return there
}
