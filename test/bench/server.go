package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/gatewarden/gatewarden/pkg/decode"
	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/metrics"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/servingcert"
	"github.com/gatewarden/gatewarden/pkg/state"
	"github.com/gatewarden/gatewarden/pkg/webhook"
	"github.com/gatewarden/gatewarden/test/worlds"
)

// The paths of a server beside those of package webhook.
const (
	floorPath  = "/floor"
	statsPath  = "/stats"
	eventsPath = "/events"
)

// served is what a server says once it is ready, on its standard output.
type served struct {
	Address string `json:"address"`
	CA      string `json:"ca"`
}

// memory is what a server tells about itself.
type memory struct {
	// Resident is in bytes, of the whole process.
	Resident uint64 `json:"resident"`
	// Heap is what is alive, in bytes, after a collection that was asked for.
	Heap uint64 `json:"heap"`
	// Objects is how many the state has.
	Objects int `json:"objects"`
	// Collections counts those of garbage; LongestPause is of all since the last question, and
	// Events is how many were published.
	Collections  uint64        `json:"collections"`
	LongestPause time.Duration `json:"longestPause"`
	Events       uint64        `json:"events"`
}

// serveAlone is the program in which the door is measured: gatewarden's handler, wired as "serve"
// does, and a floor beside it on the same server. It is a process of its own, so that neither its
// memory nor its collector is shared with the clients.
func serveAlone(args []string) error {
	shape, err := parseShape(args)
	if err != nil {
		return err
	}
	ctrllog.SetLogger(logr.Discard())
	debug.SetGCPercent(state.CollectorPercent(math.MaxUint64)) // as "serve" does until its state is known
	before := settledHeap()
	writer := state.NewWriter()
	cfg := deploykf.Default()
	writer.TranslateBy(cfg.Mesh.Translation())
	writer.Apply(worlds.Base()...)
	fill(writer, shape)
	writer.SetComplete(true)

	engine := policy.NewEngine(cfg, rules.All())
	cert, err := servingcert.NewSelfSigned([]string{"127.0.0.1"}, 0)
	if err != nil {
		return err
	}
	handler := webhook.New(webhook.Options{
		Engine: func() *policy.Engine { return engine },
		State: func() (*state.Snapshot, bool) {
			writer.TranslateBy(engine.Config().Mesh.Translation())
			return writer.Snapshot(), true
		},
		NotReady: cert.Healthy,
		Recorder: metrics.NewPrometheus(),
		Log:      slog.New(slog.NewJSONHandler(os.Stderr, nil)),
	})
	events := &publisher{writer: writer, shape: shape}
	mux := http.NewServeMux()
	mux.Handle("/", handler)
	mux.HandleFunc(floorPath, floor)
	mux.HandleFunc(eventsPath, events.serve)
	mux.HandleFunc(statsPath, func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(takeStock(before, writer.Snapshot(), events))
	})

	port, err := freePort()
	if err != nil {
		return err
	}
	server := ctrlwebhook.NewServer(ctrlwebhook.Options{
		Host: "127.0.0.1", Port: port, WebhookMux: mux,
		TLSOpts: []func(*tls.Config){func(c *tls.Config) { c.MinVersion, c.GetCertificate = tls.VersionTLS13, cert.GetCertificate }},
	})
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() { // whoever started this ends it by closing its input
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	go func() {
		for server.StartedChecker()(nil) != nil && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		debug.FreeOSMemory() // what making the world took
		debug.SetGCPercent(state.CollectorPercent(settledHeap()))
		_ = json.NewEncoder(os.Stdout).Encode(served{net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), string(cert.CABundle())})
	}()
	return server.Start(ctx)
}

// fill puts a world into a state as a watch does: object after object is decoded from what an API
// server sends, and its kind is published as a whole.
func fill(writer *state.Writer, shape worlds.Shape) {
	byKind := map[resource.Kind][]resource.Object{}
	n := 0
	for m := range shape.Manifests() {
		byKind[m.API.Kind] = append(byKind[m.API.Kind], m.Decode(n))
		n++
	}
	for _, api := range resource.APIs {
		writer.Apply(byKind[api.Kind]...)
	}
}

// floor is the least that a webhook does: it decodes the review and says yes.
func floor(w http.ResponseWriter, r *http.Request) {
	var review admissionv1.AdmissionReview
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &review)
	}
	if err != nil || review.Request == nil {
		http.Error(w, fmt.Sprint("no review: ", err), http.StatusBadRequest)
		return
	}
	review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true}
	review.Request = nil
	answer, err := json.Marshal(review)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(answer)
}

// publisher publishes watch events at a rate.
type publisher struct {
	writer *state.Writer
	shape  worlds.Shape
	count  atomic.Uint64
	stop   context.CancelFunc
}

// serve begins to publish at the rate that is asked for, 0 for none.
func (p *publisher) serve(w http.ResponseWriter, r *http.Request) {
	rate, err := strconv.Atoi(r.URL.Query().Get("rate"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if p.stop != nil {
		p.stop()
		p.stop = nil
	}
	if rate > 0 {
		var ctx context.Context
		ctx, p.stop = context.WithCancel(context.Background())
		go p.run(ctx, time.Second/time.Duration(rate))
	}
}

// run publishes an object of the world, as if it was written again, each interval. What an API server
// would send is made before, so that no more is done for an event than "serve" does.
func (p *publisher) run(ctx context.Context, interval time.Duration) {
	const ahead = 2000
	type event struct {
		api resource.API
		raw []byte
	}
	pool := make([]event, 0, ahead)
	for m := range p.shape.Manifests() {
		if pool = append(pool, event{m.API, m.Stored(len(pool)).JSON()}); len(pool) == ahead {
			break
		}
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			e := pool[rand.IntN(len(pool))]
			object, err := decode.Object(e.api, e.raw)
			if err != nil {
				panic(err) // the world began with it
			}
			p.writer.Apply(object)
			p.count.Add(1)
		}
	}
}

// settledHeap is what is alive, in bytes.
func settledHeap() uint64 {
	runtime.GC()
	runtime.GC() // what the first one only swept
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// takeStock tells about the process.
func takeStock(before uint64, s *state.Snapshot, events *publisher) memory {
	samples := []runtimemetrics.Sample{{Name: "/sched/pauses/total/gc:seconds"}, {Name: "/gc/cycles/total:gc-cycles"}}
	runtimemetrics.Read(samples)
	out := memory{Objects: s.Len(), Events: events.count.Load(), Collections: samples[1].Value.Uint64(), LongestPause: longest(samples[0].Value.Float64Histogram())}
	out.Resident = resident(os.Getpid())
	out.Heap = settledHeap() - before
	return out
}

// longest is the upper end of the last bucket that has anything.
func longest(h *runtimemetrics.Float64Histogram) time.Duration {
	for i := len(h.Counts) - 1; i >= 0; i-- {
		if h.Counts[i] > 0 {
			return time.Duration(min(h.Buckets[i+1], 60) * float64(time.Second))
		}
	}
	return 0
}

// resident is the memory of a process that is in RAM, in bytes; 0 where there is no /proc.
func resident(pid int) uint64 { return status(pid, "VmRSS:") }

// status reads a size in KiB of /proc/PID/status.
func status(pid int, field string) uint64 {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(data), field)
	number, _, _ := strings.Cut(strings.TrimSpace(after), " ")
	kib, _ := strconv.ParseUint(number, 10, 64)
	return kib << 10
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// child is a server in a process of its own.
type child struct {
	served
	cmd   *exec.Cmd
	input io.Closer
}

// startServer starts this program as a server. Its log goes to a file, as that of a container does.
func startServer(ctx context.Context, shape worlds.Shape) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	log, err := os.CreateTemp("", "gatewarden-bench-*.log")
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	defer func() { _ = os.Remove(log.Name()) }() // it stays open in the server
	c := &child{cmd: exec.CommandContext(ctx, self, append([]string{serverCommand}, shapeArgs(shape)...)...)}
	c.cmd.Stderr = log
	if c.input, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &c.served)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the server did not start: %w", err), c.Close())
	}
	return c, nil
}

// withServer calls f while a server runs.
func withServer(ctx context.Context, shape worlds.Shape, f func(*child) error) error {
	server, err := startServer(ctx, shape)
	if err != nil {
		return err
	}
	return errors.Join(f(server), server.Close())
}

// Close ends the server and waits for it.
func (c *child) Close() error {
	_ = c.input.Close()
	return c.cmd.Wait()
}
