package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"

	"go.yaml.in/yaml/v3"
	networking "istio.io/api/networking/v1alpha3"
)

// world is a state of a cluster, and one change to it.
type world struct {
	id string
	// existing are the objects that are there, the oldest first.
	existing []*object
	// old and new are the changed object before and after; nil for none. An old one is among
	// existing.
	old, new *object
	pods     pods
	// recorded is what was once seen of it, for a world that was recorded.
	recorded recorded
}

type recorded struct{ outcome, effect, why string }

// operation returns the change as admission calls it.
func (w *world) operation() string {
	switch {
	case w.old == nil:
		return "CREATE"
	case w.new == nil:
		return "DELETE"
	}
	return "UPDATE"
}

// changed returns the object that the change is about.
func (w *world) changed() *object {
	if w.new != nil {
		return w.new
	}
	return w.old
}

// order is a world's objects by age, the oldest first, before and after the change.
type order struct{ before, after []*object }

// orders returns the world as it stands, and then under other ages of its objects: whoever
// re-creates an object makes it the youngest.
func (w *world) orders(shuffles int) []order {
	rest := slices.DeleteFunc(slices.Clone(w.existing), func(o *object) bool { return o == w.old })
	reversed := slices.Clone(rest)
	slices.Reverse(reversed)
	place := slices.Index(w.existing, w.old)
	if place < 0 {
		place = len(rest)
	}
	out := []order{
		w.order(rest, place), w.order(rest, 0), w.order(rest, len(rest)),
		w.order(reversed, 0), w.order(reversed, len(rest)),
	}
	if w.old == nil {
		out = slices.Delete(out, 2, 3) // it is the youngest already
	}
	r := rand.New(rand.NewPCG(1, uint64(len(rest))))
	for range shuffles {
		some := slices.Clone(rest)
		r.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
		out = append(out, w.order(some, r.IntN(len(some)+1)))
	}
	return out
}

func (w *world) order(rest []*object, place int) order {
	with := func(o *object) []*object {
		if o == nil {
			return rest
		}
		return slices.Insert(slices.Clone(rest), place, o)
	}
	return order{with(w.old), with(w.new)}
}

// alone adds to the orders of a change of a Gateway those in which it has only one of its
// servers. What is wrong with one must not hide behind another: a later edit would bring it
// to light, and then it was there before.
func (w *world) alone(orders []order) []order {
	if w.new == nil || w.new.kind != "Gateway" {
		return orders
	}
	out := orders
	for i := range w.new.config.Spec.(*networking.Gateway).Servers {
		if len(w.new.config.Spec.(*networking.Gateway).Servers) == 1 {
			break
		}
		for _, o := range orders {
			after := slices.Clone(o.after)
			after[slices.Index(after, w.new)] = w.new.only(i)
			out = append(out, order{o.before, after})
		}
	}
	return out
}

// recording is the format of a recorded world: see test/conformance.
type recording struct {
	ID          string            `json:"id"`
	Description string            `json:"description"`
	Operation   string            `json:"operation"`
	Existing    []json.RawMessage `json:"existing"`
	Companions  []json.RawMessage `json:"companions"`
	Incoming    json.RawMessage   `json:"incoming"`
	GatewayPods pods              `json:"gatewayPods"`
	Outcome     string            `json:"outcome"`
	Why         string            `json:"why"`
	Istio       map[string]string `json:"istio"`
}

// readWorld reads a recorded world.
func readWorld(data []byte) (*world, error) {
	var r recording
	var v any
	if err := yaml.Unmarshal(data, &v); err != nil {
		return nil, err
	}
	encoded, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(encoded))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return nil, err
	}
	w := &world{id: r.ID, pods: r.GatewayPods, recorded: recorded{r.Outcome, r.Istio["effect"], r.Why}}
	for _, raw := range slices.Concat(r.Existing, r.Companions) {
		o, err := newObject(raw)
		if err != nil {
			return nil, err
		}
		w.existing = append(w.existing, o)
	}
	incoming, err := newObject(r.Incoming)
	if err != nil {
		return nil, err
	}
	if r.Operation != "CREATE" {
		i := slices.IndexFunc(w.existing, func(o *object) bool { return o.key() == incoming.key() })
		if i < 0 {
			return nil, fmt.Errorf("%s is not among the existing objects", incoming.key())
		}
		w.old = w.existing[i]
	}
	if r.Operation != "DELETE" {
		w.new = incoming
	}
	return w, nil
}

// write returns the world in the format that readWorld reads.
func (w *world) write() ([]byte, error) {
	r := recording{ID: w.id, Operation: w.operation(), Incoming: w.changed().raw, GatewayPods: w.pods}
	for _, o := range w.existing {
		r.Existing = append(r.Existing, o.raw)
	}
	encoded, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	var v map[string]any
	if err := json.Unmarshal(encoded, &v); err != nil {
		return nil, err
	}
	for k, value := range v {
		if value == nil || value == "" {
			delete(v, k)
		}
	}
	return yaml.Marshal(v)
}
