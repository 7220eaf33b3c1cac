package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

// settled is how long a watch has to run until its end counts as the end of a watch that
// worked. Before that, the API server may not have sent what happened before it began.
const settled = time.Second

// slow is how long the Reflector of a kind waits at most that nothing but audits reads.
const slow = time.Minute

// backoff is how long the Reflector of a kind waits between attempts: 0.2 s at first, 2 s to
// 3 s at last. client-go's default of up to a minute is meant for thousands of clients; here
// each second is one in which changes are refused. A cluster's two or three replicas ask for
// some dozens of kinds, so an API server that is down or forbids it sees some ten requests a
// second from each.
func backoff(kind resource.Kind) *wait.Backoff {
	longest := 2 * time.Second
	if resource.ForAudits(kind) {
		longest = slow
	}
	return &wait.Backoff{Duration: 200 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 10, Cap: longest}
}

// consistent makes a request for objects one that is answered with what is stored now. A
// Reflector is content with what an API server has in memory, if that is not older than what
// it has seen before; among several API servers one may be far behind.
func consistent(o metav1.ListOptions) metav1.ListOptions {
	o.ResourceVersion = ""
	if o.SendInitialEvents == nil { // a stream of initial events needs the field
		o.ResourceVersionMatch = ""
	}
	return o
}

// kindWatch is the watch of one kind: a Reflector, and what is known of its requests.
type kindWatch struct {
	cluster *Cluster
	kind    resource.Kind
	gvr     schema.GroupVersionResource
	cancel  context.CancelFunc
	store   *store
	// heard is when the API server last sent anything, in nanoseconds since 1970; 0 for never.
	heard atomic.Int64

	// The following are guarded by Cluster.mu.
	ended   bool
	listed  bool      // the state holds the kind's objects, and is current enough
	once    bool      // they were listed at least once
	since   time.Time // when they were listed last
	warned  bool      // the loss was logged
	problem error
	stream  *stream     // the watch request that is open, or nil
	current time.Time   // when the state was last known to be current, if none is running
	timer   *time.Timer // ends the grace
	// listing and relisted are how often Relist had been called when the list began that began last,
	// and the one that the state holds.
	listing, relisted uint64
}

// stream is an open watch request.
type stream struct {
	watch.Interface
	watch  *kindWatch
	once   sync.Once
	opened time.Time
	// behind is set while the state does not hold yet what the stream begins with. It is
	// guarded by Cluster.mu.
	behind bool
}

// Stop ends the stream. The Reflector calls it whenever it is done with a stream, and it is
// done with one when it ends.
func (s *stream) Stop() {
	s.Interface.Stop()
	s.once.Do(func() { s.watch.closed(s) })
}

// running reports whether the state follows the cluster. The caller holds Cluster.mu.
func (w *kindWatch) running() bool { return w.stream != nil && !w.stream.behind }

// pending says why the kind is not listed. The caller holds Cluster.mu.
func (w *kindWatch) pending() error {
	name := w.gvr.GroupResource()
	switch {
	case w.once && w.problem != nil:
		return fmt.Errorf("%s have not been watched since %s: %w", name, stamp(w.current), w.problem)
	case w.once:
		return fmt.Errorf("%s have not been watched since %s, and are being listed again", name, stamp(w.current))
	case w.problem != nil:
		return fmt.Errorf("%s cannot be listed: %w", name, w.problem)
	}
	return fmt.Errorf("%s are being listed", name)
}

// stamp is how a point in time is told.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// note remembers how the last request ended. One that is not found may be the first sign of
// a kind that is gone.
func (w *kindWatch) note(err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	w.cluster.mu.Lock()
	w.problem = err
	listed := w.listed
	w.cluster.mu.Unlock()
	if err != nil && !listed {
		w.cluster.unread(w.kind, err.Error())
	}
	if apierrors.IsNotFound(err) {
		select {
		case w.cluster.wake <- struct{}{}:
		default: // it is awake
		}
	}
}

// open begins a watch request for the Reflector. One that goes on where the last one ended is
// refused after a loss that was too long, which makes the Reflector list the kind again: a
// stream that goes on does not tell when it has caught up.
func (w *kindWatch) open(ctx context.Context, client dynamic.ResourceInterface, o metav1.ListOptions) (watch.Interface, error) {
	initial := o.SendInitialEvents != nil && *o.SendInitialEvents
	if initial {
		w.begin()
		o = consistent(o)
	} else if err := w.outdated(); err != nil {
		return nil, err
	}
	events, err := client.Watch(ctx, o)
	w.note(err)
	if err != nil {
		return nil, err
	}
	w.hear()
	c := w.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	if !initial && w.stale() { // the grace ended while the request was on its way
		events.Stop()
		return nil, errOutdated
	}
	s := &stream{Interface: events, watch: w, opened: time.Now(), behind: initial}
	w.stream = s
	w.follow()
	return s, nil
}

// errOutdated is what an API server answers when it does not know any more what happened
// since the resource version at which a watch is to go on.
var errOutdated = apierrors.NewResourceExpired("the kind was not watched for too long: it is listed again")

func (w *kindWatch) outdated() error {
	w.cluster.mu.Lock()
	defer w.cluster.mu.Unlock()
	if w.stale() {
		return errOutdated
	}
	return nil
}

// stale reports whether the kind has to be listed again. The caller holds Cluster.mu.
func (w *kindWatch) stale() bool {
	return !w.listed || w.relisted < w.cluster.relists && !resource.ForAudits(w.kind)
}

// begin takes note that a list is asked for now.
func (w *kindWatch) begin() {
	w.cluster.mu.Lock()
	defer w.cluster.mu.Unlock()
	w.listing = w.cluster.relists
}

// closed takes note that a stream has ended.
func (w *kindWatch) closed(s *stream) {
	w.cluster.mu.Lock()
	defer w.cluster.mu.Unlock()
	if w.stream != s {
		return
	}
	w.stream = nil
	if !s.behind && time.Since(s.opened) >= settled {
		w.current = time.Now()
	}
	w.arm()
}

// hear takes note that the API server has sent something.
func (w *kindWatch) hear() { w.heard.Store(time.Now().UnixNano()) }

// replaced takes note that the state holds what was just listed.
func (w *kindWatch) replaced() {
	w.hear()
	c := w.cluster
	c.mu.Lock()
	now := time.Now()
	w.listed, w.once, w.current, w.since = true, true, now, now
	w.relisted = w.listing
	if w.stream != nil {
		w.stream.behind = false
	}
	w.follow()
	if !w.running() {
		w.arm()
	}
	c.mu.Unlock()
	c.unread(w.kind, "")
	c.settle()
}

// unread notes why the objects of a kind that only audits read are not known, or "" if they are.
func (c *Cluster) unread(kind resource.Kind, why string) {
	if resource.ForAudits(kind) {
		c.o.Writer.SetUnread(kind, why)
	}
}

// follow ends the grace's timer while the state follows the cluster. The caller holds
// Cluster.mu.
func (w *kindWatch) follow() {
	if !w.running() {
		return
	}
	w.timer.Stop()
	if w.warned {
		w.warned = false
		w.cluster.o.Log.Info("the watch is back", "resource", w.gvr.GroupResource().String())
	}
}

// arm begins the grace, or what is left of it. The caller holds Cluster.mu.
func (w *kindWatch) arm() {
	if w.timer != nil {
		w.timer.Stop()
	}
	if !w.ended {
		w.timer = time.AfterFunc(max(0, time.Until(w.current.Add(w.cluster.o.Grace))), w.expire)
	}
}

// expire ends the grace: from now on the kind's state counts as out of date.
func (w *kindWatch) expire() {
	c := w.cluster
	c.mu.Lock()
	// The timer may have fired while it was stopped, or begun anew.
	expired := !w.ended && !w.running() && time.Since(w.current) >= c.o.Grace
	if expired {
		// A first list that takes long is none to warn of.
		if !w.warned && (w.once || w.stream == nil) {
			w.warned = true
			attributes := []any{"resource", w.gvr.GroupResource().String(), "since", stamp(w.current)}
			if w.problem != nil {
				attributes = append(attributes, "problem", w.problem.Error())
			}
			message := "the kind is not watched: nothing is judged until it is"
			if resource.ForAudits(w.kind) {
				message = "the kind is not watched: audits do not check what depends on it"
			}
			c.o.Log.Warn(message, attributes...)
		}
		w.listed = false
	}
	c.mu.Unlock()
	if expired {
		c.mu.Lock()
		why := w.pending().Error()
		c.mu.Unlock()
		c.unread(w.kind, why)
		c.settle()
	}
}
