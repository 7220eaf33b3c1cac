package ledger

import (
	"maps"
	"slices"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
)

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
