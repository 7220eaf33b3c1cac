package main

import (
	"encoding/json"
	"slices"
)

// shrink makes a world smaller for as long as fails holds for it: without objects, and
// without elements of the lists in them.
func shrink(w *world, fails func(*world) bool) *world {
	for again := true; again; {
		again = false
		for i := 0; i < len(w.existing); i++ {
			if w.existing[i] == w.old || w.existing[i].owners() || w.existing[i].kind == "Namespace" {
				continue
			}
			c := *w
			c.existing = slices.Delete(slices.Clone(w.existing), i, i+1)
			if fails(&c) {
				w, again = &c, true
				i--
			}
		}
		for _, o := range append(slices.Clone(w.existing), w.new) {
			if o == nil || o != w.new && o.owners() {
				continue
			}
			for _, smaller := range reductions(o) {
				c := w.with(o, smaller)
				if fails(c) {
					w, again = c, true
					break
				}
			}
		}
	}
	return w
}

// with returns the world with one object in the place of another.
func (w *world) with(from, to *object) *world {
	c := *w
	c.existing = slices.Clone(w.existing)
	for i, o := range c.existing {
		if o == from {
			c.existing[i] = to
		}
	}
	if c.old == from {
		c.old = to
	}
	if c.new == from {
		c.new = to
	}
	return &c
}

// reductions returns the valid objects that lack one element of one list or one field of the
// specification.
func reductions(o *object) []*object {
	var out []*object
	count := 0
	for target := 0; ; target++ {
		var v map[string]any
		if json.Unmarshal(o.raw, &v) != nil {
			return out
		}
		count = 0
		cut(v["spec"], &count, target)
		if count <= target {
			return out
		}
		raw, err := json.Marshal(v)
		if err != nil {
			return out
		}
		if smaller, err := newObject(raw); err == nil {
			out = append(out, smaller)
		}
	}
}

// cut takes away the target-th part of a value, counting parts as it goes.
func cut(v any, count *int, target int) any {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range sortedKeys(v) {
			if *count == target {
				*count++
				delete(v, k)
				continue
			}
			*count++
			v[k] = cut(v[k], count, target)
		}
	case []any:
		out := []any{}
		for _, e := range v {
			if *count == target {
				*count++
				continue
			}
			*count++
			out = append(out, cut(e, count, target))
		}
		return out
	}
	return v
}

// owners reports whether the object is one of the owner's Gateways. Without them gatewarden
// assumes what the configuration tells, and the two would judge different worlds.
func (o *object) owners() bool {
	return o.kind == "Gateway" && o.namespace == gatewayNamespace && (o.name == "deploykf-gateway" || o.name == "deploykf-gateway-https-redirect")
}
