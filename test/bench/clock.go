package main

import (
	"runtime"
	"slices"
	"time"
)

// rounds is how often what is compared is measured, in turns. The fastest round counts: everything
// else that a machine does only makes one slower.
const rounds = 7

// fastest measures functions that are to be compared, and returns how long one call of each takes.
func fastest(slice time.Duration, compared ...func()) []time.Duration {
	calls := make([]int, len(compared))
	best := make([]time.Duration, len(compared))
	for i, f := range compared {
		calls[i] = 1
		for {
			took := repeat(f, calls[i])
			if took >= slice/2 || calls[i] >= 1<<24 {
				break
			}
			calls[i] *= 2
		}
	}
	for range rounds {
		for i, f := range compared {
			if took := repeat(f, calls[i]) / time.Duration(calls[i]); best[i] == 0 || took < best[i] {
				best[i] = took
			}
		}
	}
	return best
}

func repeat(f func(), n int) time.Duration {
	begin := time.Now()
	for range n {
		f()
	}
	return time.Since(begin)
}

// allocated tells how much one call allocates, as the least of some rounds: a collection of garbage
// allocates a little, too.
func allocated(f func()) (objects, bytes int64) {
	const calls = 20
	var counts, sizes []int64
	for range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		repeat(f, calls)
		runtime.ReadMemStats(&after)
		counts = append(counts, int64(after.Mallocs-before.Mallocs)/calls)
		sizes = append(sizes, int64(after.TotalAlloc-before.TotalAlloc)/calls)
	}
	return slices.Min(counts), slices.Min(sizes)
}
