package ledger

import (
	"fmt"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
)

// The model drives real Cores through every order of events that a small cluster can have: replicas
// that judge, crash and start, watches that lag and break, requests that are stored late or never, and
// reservations that are withdrawn, expire and are removed. What is around the Cores is a model of an
// API server: two logs, of objects and of the ledger, which each replica reads at its own pace.
//
// Time is not counted. A lifetime is over when the model says so, and it only says so when the request
// can not be stored any more: that is what a lifetime is for.

// omission is a step of the protocol that is left out, to show that the model finds it.
type omission string

const (
	nothing omission = ""
	// without waiting until the own reservation was seen.
	ownEvent omission = "own event"
	// an entry that was removed is dropped, without a look at what is stored.
	holding omission = "holding after removal"
	// one whose lifetime is over is dropped, without a look at what is stored.
	liveRead omission = "live read"
	// a replica that starts lists the state before the ledger.
	ledgerFirst omission = "ledger before state"
	// after a ledger's list that may have missed something, the state is not listed again.
	stateAgain omission = "state after a gap"
	// the snapshot to judge by is taken before the reservations.
	pendingFirst omission = "reservations before snapshot"
	// what is stored is recognised by what it says, and not by UID and version.
	versions omission = "versions"
	// an object that the state does not have counts as deleted.
	thereBefore omission = "there before it was gone"
	// a change is judged on the state alone.
	worlds omission = "worlds"
)

// request is a change that somebody asks for, and what became of it.
type request struct {
	name      string
	operation policy.Operation
	object    string // its name
	host      string // that it has then
	after     int    // the request that is stored before this one begins, or -1

	phase   phase
	replica int
	change  Change
	entry   *Reservation   // once it is written
	before  []*Reservation // what it is to be judged with
	taken   *state.Snapshot
}

type phase uint8

const (
	idle     phase = iota
	reserved       // it was allowed on the state alone, and its entry is in the ledger
	looked         // and what is before it is known
	blocked        // by one that is before it
	admitted       // and may be stored
	over           // stored, refused, or given up
)

// event is an entry of one of the two logs.
type event struct {
	key   resource.Key
	host  string // of the object; empty if it was removed
	uid   string
	at    uint64       // its version, or its revision
	entry *Reservation // of the ledger
	gone  bool         // the entry was removed
}

// replica is one that judges.
type replica struct {
	core     *Core // nil while it does not run
	snapshot *state.Snapshot
	state    int // how much of the state's log it has read
	ledger   int
	list     uint64 // the list of the ledger after which the state is to be listed; 0 for none
	first    bool   // the state has not been listed at all
	// asked is what it found stored, for an entry.
	asked string
	live  Live
}

// world is all there is.
type world struct {
	omit     omission
	strict   bool // what is judged: see denied
	requests []request
	replicas []replica
	made     snapshots
	objects  []event
	entries  []event
	// version and revision are the last ones of the two logs.
	version  uint64
	revision Revision
	// what may still happen.
	crashes, gaps int
}

const kind = resource.KindGateway

func key(name string) resource.Key { return resource.Key{Kind: kind, Namespace: "n", Name: name} }

func hostOf(o resource.Object) string { return o.(*resource.Gateway).Servers[0].Hosts[0] }

func gateway(name, host, uid string, version uint64) *resource.Gateway {
	return &resource.Gateway{
		Meta:    resource.Meta{Namespace: "n", Name: name, UID: uid, Version: version},
		Servers: []resource.Server{{Port: 443, Protocol: "HTTPS", Hosts: []string{host}}},
	}
}

// judge is the one rule of the model: nobody may have a host that somebody else has. In a strict world
// it is that somebody has to be left who has the host "strict".
func (w *world) judge(c *Change) Judge {
	return func(s *state.Snapshot) policy.Decision {
		denied := false
		left := false
		s.Each(kind, "", func(o resource.Object) bool {
			host := hostOf(o)
			if o.Key() != c.Key {
				denied = denied || c.Object != nil && host == hostOf(c.Object)
				left = left || host == "strict"
			}
			return true
		})
		if w.strict {
			denied = !left
		}
		if denied {
			return policy.Decision{Findings: []policy.Finding{{Effect: policy.Deny}}}
		}
		return policy.Decision{}
	}
}

// snapshots are those that were made, by what was stored.
type snapshots map[string]*state.Snapshot

// snapshot returns the state after so many events.
func (w *world) snapshot(events int) *state.Snapshot {
	var b []byte
	for _, e := range w.objects[:events] {
		b = append(append(append(append(b, e.key.Name...), ':'), e.host...), e.uid...)
	}
	if s := w.made[string(b)]; s != nil {
		return s
	}
	s := state.NewWriter().Snapshot()
	for k, e := range present(w.objects[:events]) {
		s = s.With(gateway(k.Name, e.host, e.uid, e.at))
	}
	w.made[string(b)] = s
	return s
}

// stored returns what the API server has.
func (w *world) stored() map[resource.Key]event { return present(w.objects) }

// present returns what is there after some events.
func present(events []event) map[resource.Key]event {
	out := map[resource.Key]event{}
	for _, e := range events {
		if e.host == "" {
			delete(out, e.key)
		} else {
			out[e.key] = e
		}
	}
	return out
}

// wrong says what must not be, or "".
func (w *world) wrong() string {
	has, strict := map[string]resource.Key{}, false
	for k, e := range w.stored() {
		if other, taken := has[e.host]; taken && e.host != "strict" {
			return fmt.Sprintf("%s and %s both have the host %s", k, other, e.host)
		}
		has[e.host] = k
		strict = strict || e.host == "strict"
	}
	if w.strict && !strict {
		return "nobody is left who is strict"
	}
	return ""
}
