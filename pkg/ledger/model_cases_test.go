package ledger

import (
	"maps"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/state"
)

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
