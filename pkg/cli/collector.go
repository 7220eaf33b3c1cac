package cli

import (
	"context"
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/gatewarden/gatewarden/pkg/state"
)

// tuneInterval is how often it is looked how much memory is alive.
const tuneInterval = 10 * time.Second

// collector sets how often garbage is collected, unless the environment does.
type collector struct{ off bool }

// start is for the time in which a cluster is listed, which makes much garbage.
func (c *collector) start() {
	c.off = os.Getenv("GOGC") != ""
	c.set(state.CollectorPercent(math.MaxUint64))
}

func (c *collector) set(percent int) {
	if !c.off {
		debug.SetGCPercent(percent)
	}
}

// run follows the size of the state until the context ends.
func (c *collector) run(ctx context.Context) {
	ticker := time.NewTicker(tuneInterval)
	defer ticker.Stop()
	last := 0
	for {
		// Setting it stops everything for a moment, so a little more or less is no reason.
		if percent := state.CollectorPercent(aliveHeap()); percent*10 < last*9 || percent*10 > last*11 {
			c.set(percent)
			last = percent
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// aliveHeap is what was alive at the last collection, in bytes.
func aliveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
