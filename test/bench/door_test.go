package main

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/metrics"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
	"github.com/gatewarden/gatewarden/pkg/state"
	"github.com/gatewarden/gatewarden/pkg/webhook"
	"github.com/gatewarden/gatewarden/test/worlds"
)

// answer is a ResponseWriter that keeps no more than what a test looks at.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header            { return a.header }
func (a *answer) WriteHeader(status int)         { a.status = status }
func (a *answer) Write(body []byte) (int, error) { return a.body.Write(body) }

// doorOf is the handler as "serve" wires it, over a world of so many objects.
func doorOf(shape worlds.Shape) http.Handler {
	engine := policy.NewEngine(deploykf.Default(), rules.All())
	snapshot := worlds.Snapshot(worlds.Base(), shape.Decoded())
	return webhook.New(webhook.Options{
		Engine:   func() *policy.Engine { return engine },
		State:    func() (*state.Snapshot, bool) { return snapshot, true },
		Recorder: metrics.NewPrometheus(),
		Log:      slog.New(slog.NewJSONHandler(io.Discard, nil)),
	})
}

// post sends a review and returns the answer.
func post(t testing.TB, h http.Handler, path string, body []byte) *answer {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, path, bytes.NewReader(body))
	if err != nil {
		panic(err) // the path is a constant
	}
	r.Header.Set("Content-Type", "application/json")
	a := &answer{header: http.Header{}, status: http.StatusOK}
	h.ServeHTTP(a, r)
	return a
}

// A request allocates as much at any size of the cluster, and little more than one that is only read
// and allowed.
func TestDoorAllocations(t *testing.T) {
	shape := worlds.Shape{Objects: 2000, Seed: seed}
	bodies := reviews(shape, 50)
	handler := doorOf(shape)
	i := 0
	allocs := testing.AllocsPerRun(2*len(bodies), func() {
		i++
		a := post(t, handler, webhook.ValidatePath, bodies[i%len(bodies)])
		if a.status != http.StatusOK || !bytes.Contains(a.body.Bytes(), allowed) {
			t.Fatalf("%d: %s", a.status, a.body.String())
		}
	})
	assert.LessOrEqual(t, allocs, 145.0)
}

// BenchmarkDoor shows what a request costs without its way over the network, and what one costs
// that is only read and allowed.
func BenchmarkDoor(b *testing.B) {
	shape := worlds.Shape{Objects: 10_000, Seed: 1}
	bodies := reviews(shape, 100)
	for _, c := range []struct {
		name    string
		handler http.Handler
		path    string
	}{
		{"floor", http.HandlerFunc(floor), floorPath},
		{"gatewarden", doorOf(shape), webhook.ValidatePath},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			answers := make(chan *answer)
			for i := 0; b.Loop(); i++ {
				// As a server of HTTP/2 does, each with a stack that is small yet.
				go func() { answers <- post(b, c.handler, c.path, bodies[i%len(bodies)]) }()
				if a := <-answers; !bytes.Contains(a.body.Bytes(), allowed) {
					b.Fatalf("%d: %s", a.status, a.body.String())
				}
			}
		})
	}
}
