package main

import (
	"context"
	"fmt"
	"time"

	"github.com/gatewarden/gatewarden/pkg/decode"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
	"github.com/gatewarden/gatewarden/test/worlds"
)

// eventRow is what one watch event costs in a state of so many objects.
type eventRow struct {
	Objects int `json:"objects"`
	// Publish is for an object that was decoded, and Decoded with that.
	Publish     time.Duration `json:"publish"`
	Decoded     time.Duration `json:"decoded"`
	Allocations int64         `json:"allocations"`
}

// memoryRow is what a server of so many objects takes.
type memoryRow struct {
	World         string `json:"world"`
	Objects       int    `json:"objects"`
	Heap          uint64 `json:"heap"`
	HeapPerObject uint64 `json:"heapPerObject"`
	// First is what is resident when nobody has asked anything yet, and Resident what is after
	// requests and events.
	First        uint64        `json:"first"`
	Resident     uint64        `json:"resident"`
	LongestPause time.Duration `json:"longestPause"`
	Collections  uint64        `json:"collections"`
}

// measureEvents publishes objects that are there already, as they come from a watch.
func measureEvents(sizes []int, slice time.Duration) []eventRow {
	var out []eventRow
	for _, n := range sizes {
		shape := worlds.Shape{Objects: n, Seed: seed}
		writer := state.NewWriter()
		writer.Apply(worlds.Base()...)
		fill(writer, shape)
		type event struct {
			api    resource.API
			raw    []byte
			object resource.Object
		}
		var events []event
		i := 0
		for m := range shape.Manifests() {
			if i++; i%max(1, n/1000) == 0 {
				o := m.Decode(i)
				events = append(events, event{m.API, m.Stored(i).JSON(), o})
			}
		}
		next := 0
		publish := func() {
			next++
			writer.Apply(events[next%len(events)].object)
		}
		decoded := func() {
			next++
			e := &events[next%len(events)]
			o, err := decode.Object(e.api, e.raw)
			if err != nil {
				panic(err) // it was read once already
			}
			writer.Apply(o)
		}
		took := fastest(slice, publish, decoded)
		allocations, _ := allocated(publish)
		out = append(out, eventRow{n, took[0], took[1], allocations})
	}
	return out
}

// measureMemory asks servers of two worlds what they take.
func measureMemory(ctx context.Context, n int, p pace) ([]memoryRow, error) {
	var out []memoryRow
	for _, w := range []struct {
		name  string
		shape worlds.Shape
	}{
		{"tenants", worlds.Shape{Objects: n, Seed: seed}},
		{routesWorld, worlds.Shape{Objects: n + n/10, Seed: seed, Mix: worlds.RoutesOnly}},
	} {
		var first, busy memory
		err := withServer(ctx, w.shape, func(server *child) error {
			if err := server.get(ctx, statsPath, &first); err != nil {
				return err
			}
			if err := server.get(ctx, fmt.Sprintf("%s?rate=%d", eventsPath, eventsPerSecond), nil); err != nil {
				return err
			}
			if err := measureDoor(ctx, server, reviews(w.shape, 500), p, &doorRow{Connections: 8}); err != nil {
				return err
			}
			return server.get(ctx, statsPath, &busy)
		})
		if err != nil {
			return nil, err
		}
		out = append(out, memoryRow{
			World: w.name, Objects: busy.Objects, Heap: first.Heap, HeapPerObject: first.Heap / uint64(max(1, first.Objects)),
			First: first.Resident, Resident: busy.Resident, LongestPause: busy.LongestPause, Collections: busy.Collections - first.Collections,
		})
	}
	return out, nil
}
