package ledger

import (
	"crypto/sha256"
	"maps"
	"slices"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

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
