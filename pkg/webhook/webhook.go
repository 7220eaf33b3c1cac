// Package webhook is the admission door: it turns an AdmissionReview into a policy.Change,
// lets an engine decide, and turns the decision into a response.
//
// It answers in two ways that the API server treats very differently. A review that was
// judged gets HTTP status 200, whatever the verdict; "allowed: false" rejects the request
// even under failurePolicy Ignore. A review that can not be judged (not ready, not an
// AdmissionReview, a fault of gatewarden's own) gets another HTTP status, and the
// failurePolicy of the webhook configuration decides. controller-runtime's
// admission.Webhook answers the second kind with status 200 too, which is why the handlers
// here are gatewarden's own.
package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gatewarden/gatewarden/pkg/ledger"
	"github.com/gatewarden/gatewarden/pkg/metrics"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/state"
)

// The paths that a Handler serves.
const (
	ValidatePath = "/validate"
	MutatePath   = "/mutate"
	HealthPath   = "/healthz"
	ReadyPath    = "/readyz"
)

// readTimeout is how long a client may take to send its request's body. The API server
// gives a webhook 30 seconds at most (timeoutSeconds in
// k8s.io/api/admissionregistration/v1), so a body that takes longer is read for nobody.
const readTimeout = 30 * time.Second

// Options are what a Handler works with. Engine and State are required.
type Options struct {
	// Engine returns the engine to judge by. It is asked once for each request, so that
	// a new configuration can take the place of the old one.
	Engine func() *policy.Engine
	// State returns the current snapshot, and whether it is complete enough to judge by.
	// It is asked once for each request.
	State func() (snapshot *state.Snapshot, synced bool)
	// NotReady returns why nothing can be judged beyond an incomplete state, for example
	// a certificate that has expired, or nil. Default: never.
	NotReady func() error
	// Caller returns nil if a connection is of somebody who may ask for decisions, else why not
	// and the HTTP status that says so. Probes are for everybody. Default: everybody may ask.
	Caller func(*tls.ConnectionState) (status int, problem error)
	// Ledger admits a change only if it may be stored beside all that are on their way. Default:
	// the state alone decides, and two changes that conflict may be admitted at the same time.
	Ledger Ledger
	// Recorder is told of every request. Default: metrics.Discard.
	Recorder metrics.Recorder
	// Log gets one line for each request that LogDecisions is about. Default: nothing is logged.
	Log *slog.Logger
	// LogDecisions says which requests that is. Default: LogAll.
	LogDecisions LogDecisions
}

// Ledger knows which changes are on their way. ledgerstore.Gate implements it.
type Ledger interface {
	// Admit decides a change that the state allows. raw is what decode.Prune leaves of its object.
	// There is a Refusal if another change is in its way, and an error if that can not be told. The
	// context ends when nobody waits for the answer any more.
	Admit(ctx context.Context, c ledger.Change, raw []byte, judge ledger.Judge) (ledger.Verdict, *ledger.Refusal, error)
}

// Handler serves the admission endpoints and the probes. It is safe for concurrent use.
type Handler struct {
	o        Options
	mux      *http.ServeMux
	sampler  sampler
	draining atomic.Bool
}

// New returns a Handler. It panics if Engine or State is missing.
func New(o Options) *Handler {
	if o.Engine == nil || o.State == nil {
		panic("webhook: Options.Engine and Options.State are required")
	}
	if o.NotReady == nil {
		o.NotReady = func() error { return nil }
	}
	if o.Caller == nil {
		o.Caller = func(*tls.ConnectionState) (int, error) { return 0, nil }
	}
	if o.Recorder == nil {
		o.Recorder = metrics.Discard{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.LogDecisions == "" {
		o.LogDecisions = LogAll
	}
	h := &Handler{o: o, mux: http.NewServeMux(), sampler: sampler{log: o.Log}}
	h.mux.Handle(ValidatePath, h.endpoint("validate", validate))
	h.mux.Handle(MutatePath, h.endpoint("mutate", mutateWorkload))
	h.mux.HandleFunc(HealthPath, func(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "ok") })
	h.mux.HandleFunc(ReadyPath, h.serveReady)
	return h
}

// ServeHTTP serves the paths of this package, and 404 for everything else.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// Drain makes the readiness probe fail from now on, so that no new connection is sent here,
// while requests are still answered: those that are on their way must not be lost. Connections that are
// there end with an answer.
func (h *Handler) Drain() { h.draining.Store(true) }

// Ready returns nil when a request would be judged, else the reason why not.
func (h *Handler) Ready() error {
	if h.draining.Load() {
		return errors.New("shutting down")
	}
	_, err := h.judgeable()
	return err
}

// errUnsynced is told while the state is incomplete.
var errUnsynced = errors.New("the state of the cluster is not loaded yet: try again in a moment")

// judgeable returns the snapshot to judge by.
func (h *Handler) judgeable() (*state.Snapshot, error) {
	snapshot, synced := h.o.State()
	// The second reason is usually the more exact one.
	if err := h.o.NotReady(); err != nil {
		return nil, err
	}
	if !synced {
		return nil, errUnsynced
	}
	return snapshot, nil
}

func (h *Handler) serveReady(w http.ResponseWriter, _ *http.Request) {
	if err := h.Ready(); err != nil {
		plain(w, http.StatusServiceUnavailable, "not ready: "+err.Error())
		return
	}
	plain(w, http.StatusOK, "ok")
}

// endpoint wraps a decision: it reads the review, writes the answer, and keeps the record.
// Nothing is written before the decision is complete, so that whatever goes wrong on the
// way still gets a well-formed answer.
func (h *Handler) endpoint(name string, decide func(*call) outcome) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		makeRoom()
		c := &call{log: h.o.Log}
		status, body := http.StatusInternalServerError, []byte(nil)
		var out outcome
		defer func() {
			if p := recover(); p != nil {
				h.o.Recorder.Panic()
				h.o.Log.Error("a request caused a panic", "endpoint", name, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
				status, out = http.StatusInternalServerError, outcome{
					decision: metrics.Failed,
					problem:  "gatewarden failed to judge this request; its log says why",
				}
			}
			h.record(r, name, c, out, status, time.Since(start))
			if status == http.StatusServiceUnavailable || h.draining.Load() {
				// An API server calls by one connection for as long as that is open, though
				// another replica may be ready. By the next one it finds that. At the end
				// Server.Shutdown of net/http closes what is idle at that instant, and a call that is
				// just being sent would be lost; by HTTP/2 this says first that no more may come.
				w.Header().Set("Connection", "close")
			}
			if status == http.StatusOK {
				writeBody(w, status, "application/json", append(body, '\n'))
				return
			}
			plain(w, status, out.problem)
		}()
		status, body, out = h.serve(w, r, c, decide)
	})
}

// makeRoom makes the stack of a goroutine as large as a request needs, at once. A server of HTTP/2
// begins each request on a small one, which would grow by and by and be copied each time: a tenth of
// what a request took.
//
//go:noinline
func makeRoom() {
	var room [20 << 10]byte
	occupy(&room)
}

//go:noinline
func occupy(*[20 << 10]byte) {}

// serve handles one request up to the bytes of its answer.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request, c *call, decide func(*call) outcome) (int, []byte, outcome) {
	if status, err := h.o.Caller(r.TLS); err != nil {
		return status, nil, outcome{decision: metrics.Invalid, problem: err.Error()}
	}
	snapshot, err := h.judgeable()
	if err != nil {
		return http.StatusServiceUnavailable, nil, outcome{decision: metrics.Unready, problem: "not ready: " + err.Error()}
	}
	c.snapshot, c.engine, c.ledger = snapshot, h.o.Engine(), h.o.Ledger
	ctx, cancel := context.WithTimeout(r.Context(), patience(r))
	defer cancel()
	c.ctx = ctx
	request, bad := read(w, r)
	if bad != nil {
		return bad.status, nil, outcome{decision: metrics.Invalid, problem: bad.text}
	}
	c.request = request
	out := decide(c)
	switch {
	case out.problem != "" && out.decision == metrics.Unready:
		return http.StatusServiceUnavailable, nil, out
	case out.problem != "":
		return http.StatusBadRequest, nil, out
	}
	body, err := encode(request, out.response)
	if err != nil {
		panic(err) // the response is made of strings and numbers only
	}
	return http.StatusOK, body, out
}

// The time-outs of webhooks. The API server tells its own in the URL (callHook in k8s.io/apiserver
// pkg/admission/plugin/webhook/validating/dispatcher.go, by Request.Timeout of k8s.io/client-go rest).
const (
	// usualTimeout is that of the webhook configurations in deploy/base.
	usualTimeout = 5 * time.Second
	// onTheWay is what an answer takes to be heard, and what the request took to be read.
	onTheWay = 500 * time.Millisecond
)

// patience is how long an answer to a request is waited for.
func patience(r *http.Request) time.Duration {
	timeout, err := time.ParseDuration(r.URL.Query().Get("timeout"))
	if err != nil {
		timeout = usualTimeout
	}
	return timeout - onTheWay
}

// record counts and logs one request.
func (h *Handler) record(r *http.Request, endpoint string, c *call, out outcome, status int, took time.Duration) {
	m := metrics.Admission{Endpoint: endpoint, Decision: out.decision, Duration: took}
	if q := c.request; q != nil {
		m.Operation, m.Kind = string(q.Operation), q.Kind.Kind
	}
	h.o.Recorder.Admission(m)
	for _, f := range out.findings {
		h.o.Recorder.Finding(f.Rule, f.Effect.String())
	}
	if h.logs(r.Context(), &out, class{endpoint, m.Operation, m.Kind, m.Decision}) {
		// Not by Logger.LogAttrs, which looks for the line of the source that nobody is told.
		line := slog.NewRecord(time.Now(), out.level(), "decision", 0)
		line.AddAttrs(attributes(r, m, c, out, status)...)
		_ = h.o.Log.Handler().Handle(r.Context(), line) // as Logger does
	}
}

// attributes are what is logged of one request.
func attributes(r *http.Request, m metrics.Admission, c *call, out outcome, status int) []slog.Attr {
	const most = 16
	attrs := append(make([]slog.Attr, 0, most),
		slog.String("endpoint", m.Endpoint),
		slog.String("decision", string(m.Decision)),
		slog.Float64("seconds", m.Duration.Seconds()),
	)
	if q := c.request; q != nil {
		attrs = append(attrs,
			slog.String("uid", string(q.UID)),
			slog.String("operation", m.Operation),
			slog.String("kind", m.Kind),
			slog.String("namespace", q.Namespace),
			slog.String("name", q.Name),
			slog.String("user", q.UserInfo.Username),
			slog.Bool("dryRun", q.DryRun != nil && *q.DryRun),
		)
	}
	if c.snapshot != nil {
		attrs = append(attrs, slog.Uint64("generation", c.snapshot.Generation()))
	}
	if len(out.rules) > 0 {
		attrs = append(attrs, slog.Any("rules", out.rules))
	}
	if out.reason != "" {
		attrs = append(attrs, slog.String("reason", out.reason))
	}
	if out.problem != "" {
		attrs = append(attrs, slog.Int("status", status), slog.String("problem", out.problem), slog.String("remote", r.RemoteAddr))
	}
	return attrs
}

// plain answers with one line of text.
func plain(w http.ResponseWriter, status int, text string) {
	writeBody(w, status, "text/plain; charset=utf-8", []byte(text+"\n"))
}

// writeBody answers. An error of Write means that the client has gone, and nobody is left to
// be told.
func writeBody(w http.ResponseWriter, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = io.Writer(w).Write(body)
}
