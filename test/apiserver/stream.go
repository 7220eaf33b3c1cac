package apiserver

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// streamClients is how many clients of a Stream ask at the same time.
const streamClients = 4

// streamPause is how long a client of a Stream waits before it asks again.
const streamPause = 5 * time.Millisecond

// Verdict is what became of one request of a Stream.
type Verdict string

// The verdicts. Those of requests that were judged as they should have been are Right; Unjudged
// is what failurePolicy Fail makes of a call that failed, and Unanswered what the API server
// itself could not answer. The other two must never be.
const (
	Right         Verdict = "right"
	WrongAdmitted Verdict = "a conflicting object was admitted"
	WrongRefused  Verdict = "a valid object was refused"
	Unjudged      Verdict = "the webhook was not asked or did not answer"
	Unanswered    Verdict = "the API server did not answer"
)

// Outcome is one request of a Stream whose verdict is not Right.
type Outcome struct {
	Verdict    Verdict
	Request    string
	Start, End time.Time
	Err        error
}

func (o Outcome) String() string {
	return fmt.Sprintf("%s to %s: %s: %s: %v", o.Start.Format("15:04:05.000"), o.End.Format("15:04:05.000"), o.Request, o.Verdict, o.Err)
}

// Tally is what became of the requests of a Stream so far.
type Tally struct {
	// Admitted and Denied are how many requests were judged rightly.
	Admitted, Denied int
	// Others are all other outcomes, in the order of their ends.
	Others []Outcome
}

// Of returns the outcomes of some verdicts.
func (t Tally) Of(verdicts ...Verdict) []Outcome {
	return slices.DeleteFunc(slices.Clone(t.Others), func(o Outcome) bool { return !slices.Contains(verdicts, o.Verdict) })
}

// Stream asks the API server for valid changes and for conflicting ones, as dry runs, again and
// again by several clients, and counts what is answered. The guard must guard deployKF's
// default gateway.
type Stream struct {
	cancel context.CancelFunc
	group  sync.WaitGroup

	mu    sync.Mutex
	tally Tally
}

// probes are the requests of a Stream. Those with a rule conflict with what deployKF has by its
// configuration alone, so that they do whatever else is stored.
func probes() []streamProbe {
	gateway := func(host string) map[string]any {
		return map[string]any{
			"selector": map[string]any{"app": "deploykf-gateway", "istio": "deploykf-gateway"},
			"servers": []any{map[string]any{
				"port":  map[string]any{"number": int64(443), "name": "https", "protocol": "HTTPS"},
				"hosts": []any{host},
				"tls":   map[string]any{"mode": "SIMPLE", "credentialName": "cert"},
			}},
		}
	}
	route := func(path string) map[string]any {
		return map[string]any{
			"gateways": []any{"deploykf-istio-gateway/deploykf-gateway"},
			"hosts":    []any{"deploykf.example.com"},
			"http": []any{map[string]any{
				"match": []any{map[string]any{"uri": map[string]any{"prefix": path}}},
				"route": []any{map[string]any{"destination": map[string]any{"host": "app.default.svc.cluster.local"}}},
			}},
		}
	}
	mtls := func(mode string) map[string]any { return map[string]any{"mtls": map[string]any{"mode": mode}} }
	return []streamProbe{
		{"", probe("networking.istio.io/v1", "Gateway", gateway("stream.example.org"))},
		{"GWD201", probe("networking.istio.io/v1", "Gateway", gateway("deploykf.example.com"))},
		{"", probe("networking.istio.io/v1", "VirtualService", route("/notebook/default/stream/"))},
		{"GWD301", probe("networking.istio.io/v1", "VirtualService", route("/stream/"))},
		{"", probe("security.istio.io/v1", "PeerAuthentication", mtls("STRICT"))},
		{"GWD501", inNamespace("istio-system", probe("security.istio.io/v1", "PeerAuthentication", mtls("PERMISSIVE")))},
	}
}

type streamProbe struct {
	rule   string // that denies it; empty for one that is valid
	object *unstructured.Unstructured
}

func inNamespace(namespace string, o *unstructured.Unstructured) *unstructured.Unstructured {
	o.SetNamespace(namespace)
	return o
}

// StartStream starts a Stream, which ends with the context or by Stop.
func (s *Server) StartStream(ctx context.Context) *Stream {
	ctx, cancel := context.WithCancel(ctx)
	out := &Stream{cancel: cancel}
	all := probes()
	for i := range streamClients {
		out.group.Go(func() {
			for n := i; ctx.Err() == nil; n++ {
				out.ask(ctx, s.Admin, all[n%len(all)])
				select {
				case <-ctx.Done():
				case <-time.After(streamPause):
				}
			}
		})
	}
	return out
}

// Stop ends the Stream and returns what became of all of its requests.
func (s *Stream) Stop() Tally {
	s.cancel()
	s.group.Wait()
	return s.Tally()
}

// Tally returns what became of the requests so far.
func (s *Stream) Tally() Tally {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.tally
	out.Others = slices.Clone(out.Others)
	return out
}

func (s *Stream) ask(ctx context.Context, u *User, p streamProbe) {
	o := Outcome{Request: "CREATE of " + describe(p.object), Start: time.Now()}
	o.Err = u.Create(ctx, p.object, client.DryRunAll).Err
	o.End = time.Now()
	if o.Err != nil && ctx.Err() != nil {
		return // it was cut off by the end of the stream
	}
	o.Verdict = p.verdict(o.Err)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case o.Verdict != Right:
		s.tally.Others = append(s.tally.Others, o)
	case p.rule == "":
		s.tally.Admitted++
	default:
		s.tally.Denied++
	}
}

// verdict reads an answer.
func (p streamProbe) verdict(err error) Verdict {
	switch {
	case err == nil && p.rule == "":
		return Right
	case err == nil:
		return WrongAdmitted
	case strings.Contains(err.Error(), "failed calling webhook"):
		return Unjudged
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), "gatewarden denies"):
		if p.rule != "" && strings.Contains(err.Error(), p.rule) {
			return Right
		}
		return WrongRefused
	}
	return Unanswered
}
