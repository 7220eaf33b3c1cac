package ledger

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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

func (w *world) clone() *world {
	out := *w
	out.requests = slices.Clone(w.requests)
	out.replicas = slices.Clone(w.replicas)
	for i := range out.replicas {
		if c := out.replicas[i].core; c != nil {
			out.replicas[i].core = c.clone()
		}
	}
	out.objects, out.entries = slices.Clip(w.objects), slices.Clip(w.entries)
	return &out
}

func (c *Core) clone() *Core {
	out := *c
	out.held, out.byKey = map[string]*held{}, map[resource.Key][]*held{}
	for id, h := range c.held {
		copied := *h
		out.held[id] = &copied
		out.byKey[h.Key] = append(out.byKey[h.Key], &copied)
	}
	out.entries = maps.Clone(c.entries)
	return &out
}

// print is equal for worlds that go on alike. Replicas are alike, so their order does not matter.
func (w *world) print() [sha256.Size]byte {
	b := make([]byte, 0, 512)
	prints := make([]string, len(w.replicas))
	for i := range w.replicas {
		prints[i] = w.replicas[i].print()
	}
	places := make([]int, len(prints))
	for i := range places {
		places[i] = i
	}
	slices.SortStableFunc(places, func(i, j int) int { return strings.Compare(prints[i], prints[j]) })
	for _, i := range places {
		b = append(append(b, prints[i]...), '\n')
	}
	for _, r := range w.requests {
		b = append(b, byte(r.phase))
		if r.phase == idle || r.phase == over {
			continue
		}
		b = append(b, byte(slices.Index(places, r.replica)), byte(r.change.Before))
		if r.phase == looked {
			for _, p := range r.before {
				b = append(b, p.ID...)
			}
		}
		if r.taken != nil {
			r.taken.Each(kind, "", func(o resource.Object) bool {
				b = append(append(b, o.GetMeta().Name...), hostOf(o)...)
				return true
			})
		}
		b = append(b, ';')
	}
	for _, e := range w.objects {
		b = append(append(append(b, '|'), e.key.Name...), e.host...)
	}
	for _, e := range w.entries {
		b = append(append(b, '/'), e.entry.ID...)
		if e.gone {
			b = append(b, '-')
		}
	}
	b = append(b, byte(w.crashes), byte(w.gaps))
	return sha256.Sum256(b)
}

func (r *replica) print() string {
	b := []byte{byte(r.state), byte(r.ledger), byte(r.list)}
	if r.first {
		b = append(b, '1')
	}
	b = append(b, r.asked...)
	if r.live.Present {
		b = append(append(b, r.live.UID...), byte(r.live.Version))
	}
	if r.core == nil {
		return string(b)
	}
	b = append(b, '!', byte(r.core.upTo), byte(r.core.lists), byte(r.core.complete), byte(r.core.needed))
	for _, id := range slices.Sorted(maps.Keys(r.core.held)) {
		b = append(b, id...)
		h := r.core.held[id]
		if h.removed {
			b = append(b, '-')
		}
		if h.Operation == policy.Delete { // the rest matters for it alone
			b = append(b, byte(h.mark))
			if h.there {
				b = append(b, '+')
			}
		}
	}
	b = append(b, '=')
	for _, id := range slices.Sorted(maps.Keys(r.core.entries)) {
		b = append(b, id...)
	}
	return string(b)
}

// step is something that can happen next.
type step struct {
	who  string
	what string
	to   string
	do   func(*world)
}

func (s step) String() string { return strings.TrimSpace(s.who + " " + s.what + " " + s.to) }

// numbers name replicas.
var numbers = []string{"replica 0", "replica 1", "replica 2"}

func (w *world) steps() []step {
	var out []step
	add := func(who, what, to string, do func(*world)) { out = append(out, step{who, what, to, do}) }
	for i := range w.requests {
		w.stepsOf(i, add)
	}
	for i := range w.replicas {
		r := &w.replicas[i]
		name := numbers[i]
		switch {
		case r.core == nil:
			add(name, "starts", "", func(w *world) { w.start(i) })
			continue
		case r.core.needed == 0:
			add(name, "lists the ledger", "", func(w *world) { w.listLedger(i) })
			continue
		case r.list != 0:
			add(name, "lists the state", "", func(w *world) { w.listState(i) })
		}
		if w.crashes > 0 {
			add(name, "crashes", "", func(w *world) { w.crash(i) })
		}
		if r.state < len(w.objects) && !r.first {
			add(name, "gets an event of the state", "", func(w *world) { w.readState(i) })
		}
		if r.ledger < len(w.entries) {
			add(name, "gets an event of the ledger", "", func(w *world) { w.readLedger(i) })
			if w.gaps > 0 {
				add(name, "lists the ledger again", "", func(w *world) { w.gaps--; w.listLedger(i) })
			}
		}
		w.stepsOfEntries(i, name, add)
	}
	return out
}

// stepsOf are the next steps of a request.
func (w *world) stepsOf(i int, add func(who, what, to string, do func(*world))) {
	r := &w.requests[i]
	name := r.name
	running := r.phase > idle && r.phase < admitted
	if running && w.replicas[r.replica].core == nil {
		return // it crashed, and the call with it: see crash
	}
	switch r.phase {
	case idle:
		if r.after >= 0 && w.requests[r.after].phase != over {
			return
		}
		for j := range w.replicas {
			if w.replicas[j].core != nil && !w.replicas[j].first {
				add(name, "comes to", numbers[j], func(w *world) { w.come(i, j) })
			}
		}
	case reserved, blocked:
		core := w.replicas[r.replica].core
		if core.Ready() == nil && (core.Seen(r.entry.Revision) || w.omit == ownEvent) {
			add(name, "looks at what is before it", "", func(w *world) { w.look(i) })
		}
		if r.phase == blocked {
			add(name, "is refused for now", "", func(w *world) { w.refuse(i) })
		} else {
			add(name, "is given up", "", func(w *world) { w.requests[i].phase = over })
		}
	case looked:
		add(name, "is judged", "", func(w *world) { w.decide(i) })
	case admitted:
		if w.storable(r) {
			add(name, "is stored", "", func(w *world) { w.store(i) })
		}
		add(name, "is not stored", "", func(w *world) { w.requests[i].phase = over })
	}
}

// stepsOfEntries are what a replica may do about the entries it knows.
func (w *world) stepsOfEntries(i int, name string, add func(who, what, to string, do func(*world))) {
	r := &w.replicas[i]
	if r.asked != "" {
		add(name, "is told what is stored", "", func(w *world) { w.answer(i) })
	} else {
		removed := r.core.Questions(0)
		for _, h := range r.core.held {
			if w.ended(h.ID) || slices.Contains(removed, h.Reservation) {
				add(name, "asks what is stored of", h.ID, func(w *world) { w.ask(i, h.ID) })
			}
		}
	}
	for id := range r.core.entries {
		if w.ended(id) && w.has(id) {
			add(name, "removes the entry of", id, func(w *world) { w.remove(id) })
		}
	}
}

// ended reports whether a request can not be stored any more. No lifetime is over before.
func (w *world) ended(id string) bool {
	i := slices.IndexFunc(w.requests, func(r request) bool { return r.name == id })
	return w.requests[i].phase == over
}

func (w *world) has(id string) bool {
	there := false
	for _, e := range w.entries {
		if e.entry.ID == id {
			there = !e.gone
		}
	}
	return there
}

func (w *world) come(i, j int) {
	r := &w.requests[i]
	r.replica = j
	c := Change{Key: key(r.object), Operation: r.operation, Request: r.name}
	now, exists := w.stored()[c.Key]
	if exists == (r.operation == policy.Create) {
		r.phase = over // the API server answers that there is one, or none
		return
	}
	c.UID, c.Before = now.uid, now.at
	if r.operation == policy.Create {
		c.UID = "uid of " + r.name
	}
	if r.operation != policy.Delete {
		c.Object = gateway(r.object, r.host, c.UID, 0)
	}
	r.change = c
	if w.omit == versions {
		r.change.UID, r.change.Before = "", 0
	}
	if w.judge(&r.change)(w.replicas[j].snapshot).Denied() {
		r.phase = over
		return
	}
	w.revision++
	r.entry = &Reservation{ID: r.name, Revision: w.revision, Change: r.change}
	w.entries = append(w.entries, event{entry: r.entry, at: uint64(w.revision)})
	r.phase = reserved
	r.change.Before = c.Before // what the API server compares
	if w.omit == pendingFirst {
		r.taken = w.replicas[j].snapshot
	}
}

func (w *world) look(i int) {
	r := &w.requests[i]
	core := w.replicas[r.replica].core
	if w.omit == ownEvent {
		core = core.clone()
		core.Reached(r.entry.Revision)
	}
	before, err := core.Before(r.entry.Revision, r.change.Key)
	if err != nil {
		panic(err)
	}
	r.before, r.phase = before, looked
	if w.omit == worlds {
		r.before = nil
	}
}

func (w *world) decide(i int) {
	r := &w.requests[i]
	s := w.replicas[r.replica].snapshot
	if w.omit == pendingFirst {
		s = r.taken
	}
	v := Decide(s, r.before, w.judge(&r.change))
	switch {
	case len(v.By) > 0:
		r.phase = blocked
	case v.Decision.Denied():
		w.refuse(i)
	default:
		r.phase = admitted
	}
}

// refuse ends a request, and withdraws its entry.
func (w *world) refuse(i int) {
	w.requests[i].phase = over
	w.remove(w.requests[i].entry.ID)
}

func (w *world) remove(id string) {
	if !w.has(id) {
		return
	}
	w.revision++
	i := slices.IndexFunc(w.requests, func(r request) bool { return r.name == id })
	w.entries = append(w.entries, event{entry: w.requests[i].entry, gone: true, at: uint64(w.revision)})
}

// storable reports whether the API server would still store the change.
func (w *world) storable(r *request) bool {
	now, exists := w.stored()[r.change.Key]
	if r.operation == policy.Create {
		return !exists
	}
	return exists && now.at == r.change.Before
}

func (w *world) store(i int) {
	r := &w.requests[i]
	w.version++
	e := event{key: r.change.Key, at: w.version}
	if r.operation != policy.Delete {
		e.host, e.uid = r.host, r.change.UID
		if w.omit == versions {
			e.uid = "uid of " + r.name
		}
	}
	w.objects = append(w.objects, e)
	r.phase = over
}

func (w *world) crash(i int) {
	w.crashes--
	w.replicas[i] = replica{snapshot: state.NewWriter().Snapshot()}
	for j := range w.requests {
		// The call fails. failurePolicy is Fail: what it lets through by itself was not admitted.
		if r := &w.requests[j]; r.replica == i && r.phase > idle && r.phase < admitted {
			r.phase = over
		}
	}
}

// start lists the ledger, and lets the state be listed after it.
func (w *world) start(i int) {
	r := &w.replicas[i]
	r.core = New(Options{Lifetime: 1})
	r.first = true
	if w.omit == ledgerFirst {
		w.listState(i)
		return
	}
	w.listLedger(i)
}

func (w *world) listLedger(i int) {
	r := &w.replicas[i]
	var all []*Reservation
	for _, e := range w.entries {
		if !e.gone && w.has(e.entry.ID) {
			all = append(all, e.entry)
		}
	}
	r.list = r.core.Listed(all, w.revision, 0, r.snapshot)
	r.ledger = len(w.entries)
	if w.omit == stateAgain && !r.first || w.omit == ledgerFirst {
		r.core.StateListed(r.list, r.snapshot)
		r.list = 0
	}
}

func (w *world) listState(i int) {
	r := &w.replicas[i]
	keys := map[resource.Key]bool{}
	for _, e := range w.objects {
		keys[e.key] = true
	}
	r.state, r.first = len(w.objects), false
	r.snapshot = w.snapshot(r.state)
	s := r.snapshot
	r.core.StateChanged(s, slices.Collect(maps.Keys(keys)))
	if r.list != 0 {
		r.core.StateListed(r.list, r.snapshot)
		r.list = 0
	}
}

func (w *world) readState(i int) {
	r := &w.replicas[i]
	e := w.objects[r.state]
	r.state++
	r.snapshot = w.snapshot(r.state)
	r.core.StateChanged(r.snapshot, []resource.Key{e.key})
}

func (w *world) readLedger(i int) {
	r := &w.replicas[i]
	e := w.entries[r.ledger]
	r.ledger++
	if !e.gone {
		r.core.Added(e.entry, 0, r.snapshot)
		if h := r.core.held[e.entry.ID]; h != nil && w.omit == thereBefore {
			h.there = true
			r.core.look(h, r.snapshot)
		}
		return
	}
	r.core.Removed(e.entry.ID, Revision(e.at), 0)
	if w.omit == holding {
		r.core.Answer(e.entry.ID, Live{}, 0, r.snapshot)
	}
}

func (w *world) ask(i int, id string) {
	r := &w.replicas[i]
	r.asked, r.live = id, Live{}
	if now, exists := w.stored()[r.core.held[id].Key]; exists {
		r.live = Live{Present: true, UID: now.uid, Version: now.at}
	}
	if w.omit == liveRead {
		r.live = Live{}
	}
}

func (w *world) answer(i int) {
	r := &w.replicas[i]
	if r.core.Answer(r.asked, r.live, 0, r.snapshot) == Unclear && r.list == 0 {
		r.list = r.core.Relist()
	}
	r.asked, r.live = "", Live{}
}

// explore goes through all worlds that can follow, and returns how many there are and the way to a
// wrong one, if there is any.
func explore(first *world) (worlds int, fault string) {
	seen := map[[sha256.Size]byte]bool{}
	var path []string
	var visit func(w *world) string
	visit = func(w *world) string {
		p := w.print()
		if seen[p] {
			return ""
		}
		seen[p] = true
		if problem := w.wrong(); problem != "" {
			return strings.Join(path, "\n") + "\n=> " + problem
		}
		for _, s := range w.steps() {
			next := w.clone()
			s.do(next)
			path = append(path, s.String())
			if found := visit(next); found != "" {
				return found
			}
			path = path[:len(path)-1]
		}
		return ""
	}
	fault = visit(first)
	return len(seen), fault
}

// newWorld has running replicas that know everything.
func newWorld(replicas int, omit omission, objects []event, requests ...request) *world {
	w := &world{omit: omit, requests: requests, made: snapshots{}}
	for _, e := range objects {
		w.version++
		e.at = w.version
		e.uid = "uid of the first " + e.key.Name
		w.objects = append(w.objects, e)
	}
	for i := range replicas {
		w.replicas = append(w.replicas, replica{snapshot: state.NewWriter().Snapshot()})
		w.start(i)
		if w.replicas[i].first {
			w.listState(i)
		}
		if omit == ledgerFirst {
			w.listLedger(i)
		}
	}
	return w
}

// behind makes a replica have read no more than so many events of the state.
func (w *world) behind(i, events int) *world {
	w.replicas[i].state, w.replicas[i].snapshot = events, w.snapshot(events)
	return w
}

func create(name, object, host string) request {
	return request{name: name, operation: policy.Create, object: object, host: host, after: -1}
}

func update(name, object, host string) request {
	return request{name: name, operation: policy.Update, object: object, host: host, after: -1}
}

func remove(name, object string) request {
	return request{name: name, operation: policy.Delete, object: object, after: -1}
}

func (r request) following(i int) request { r.after = i; return r }

func object(name, host string) event { return event{key: key(name), host: host} }

// models are small clusters with all that can happen in them. Those of large take minutes.
var models = map[string]func(omission) *world{
	"two creates": func(o omission) *world {
		w := newWorld(2, o, nil, create("a", "a", "h"), create("b", "b", "h"))
		w.gaps = 1
		return w
	},
	"two creates and a crash": func(o omission) *world {
		w := newWorld(2, o, nil, create("a", "a", "h"), create("b", "b", "h"))
		w.crashes = 1
		return w
	},
	"an update that gives up a host, and who wants it": func(o omission) *world {
		w := newWorld(2, o, []event{object("a", "h")}, update("a", "a", "i"), create("b", "b", "h"))
		w.gaps = 1
		return w
	},
	"an update that takes a host, and who wants it": func(o omission) *world {
		return newWorld(2, o, []event{object("a", "h")}, update("a", "a", "i"), create("b", "b", "i"))
	},
	"two deletes": func(o omission) *world {
		w := newWorld(2, o, []event{object("a", "strict"), object("b", "strict")}, remove("a", "a"), remove("b", "b"))
		w.strict = true
		return w
	},
	"a delete of what one replica does not know yet": func(o omission) *world {
		w := newWorld(2, o, []event{object("b", "strict"), object("a", "strict")}, remove("a", "a"), remove("b", "b"))
		w.strict = true
		return w.behind(1, 1)
	},
	"an update back to what one replica still sees": func(o omission) *world {
		return newWorld(2, o, []event{object("a", "h"), object("a", "i")}, update("a", "a", "h"), create("b", "b", "h")).behind(1, 1)
	},
}

var large = map[string]func(omission) *world{
	"a delete of what is new": func(o omission) *world {
		w := newWorld(2, o, []event{object("b", "strict")},
			create("a0", "a", "strict"), remove("a", "a").following(0), remove("b", "b").following(0))
		w.strict = true
		return w
	},
	"two creates, a crash and a gap": func(o omission) *world {
		w := newWorld(2, o, nil, create("a", "a", "h"), create("b", "b", "h"))
		w.crashes, w.gaps = 1, 1
		return w
	},
	"two creates, three replicas": func(o omission) *world {
		return newWorld(3, o, nil, create("a", "a", "h"), create("b", "b", "h"))
	},
	"three creates": func(o omission) *world {
		return newWorld(2, o, nil, create("a", "a", "h"), create("b", "b", "h"), create("c", "c", "h"))
	},
	"an update that moves on and back": func(o omission) *world {
		return newWorld(2, o, []event{object("a", "h")},
			update("a1", "a", "i"), update("a2", "a", "h").following(0), create("b", "b", "h").following(1))
	},
}

func TestNoOrderOfEventsLetsTwoConflictingChangesThrough(t *testing.T) {
	all := maps.Clone(models)
	if os.Getenv("MODEL") == "all" {
		maps.Copy(all, large)
	}
	for name, model := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			worlds, fault := explore(model(nothing))
			assert.Empty(t, fault)
			t.Logf("%d worlds", worlds)
			assert.Greater(t, worlds, 1000, "hardly anything happens in it")
		})
	}
}

func TestEachStepIsNeeded(t *testing.T) {
	all := maps.Clone(models)
	maps.Copy(all, large)
	for omit, model := range map[omission]string{
		ownEvent:     "two creates",
		holding:      "two creates",
		liveRead:     "two creates",
		ledgerFirst:  "two creates and a crash",
		pendingFirst: "two creates",
		stateAgain:   "two creates",
		worlds:       "two creates",
		versions:     "an update back to what one replica still sees",
		thereBefore:  "a delete of what one replica does not know yet",
	} {
		t.Run(string(omit), func(t *testing.T) {
			t.Parallel()
			_, fault := explore(all[model](omit))
			require.NotEmpty(t, fault)
			t.Log("\n" + fault)
		})
	}
}
