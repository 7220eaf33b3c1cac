package cli

import (
	"context"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gatewarden/gatewarden/pkg/state"
)

func TestCollector(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	set := func() int {
		percent := debug.SetGCPercent(100)
		debug.SetGCPercent(percent)
		return percent
	}
	ended, end := context.WithCancel(t.Context())
	end()

	t.Setenv("GOGC", "")
	c := collector{}
	c.start()
	assert.Equal(t, 30, set(), "while the cluster is listed")
	c.run(ended)
	assert.Equal(t, state.CollectorPercent(aliveHeap()), set())
	assert.NotZero(t, aliveHeap())

	debug.SetGCPercent(77)
	t.Setenv("GOGC", "77")
	c.start()
	c.run(ended)
	assert.Equal(t, 77, set(), "whoever set it knows better")
}
