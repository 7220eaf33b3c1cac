// Package ledgerstore runs the protocol of package ledger: it keeps the ledger in ConfigMaps of a
// cluster, or in memory for a server that is alone, and lets a change through when it may be stored
// beside all that are on their way.
package ledgerstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/util/uuid"

	"github.com/gatewarden/gatewarden/pkg/ledger"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
)

// The default times.
const (
	// DefaultLifetime is how long a reservation is held at least, if nothing tells what became of its
	// change: as long as a request may take in kube-apiserver (--request-timeout, 60 s by default), and
	// what etcd may take beyond that, which is 5 s and two of its election time-outs (ReqTimeout in
	// go.etcd.io/etcd/server/v3 config/config.go).
	DefaultLifetime = 75 * time.Second
	// DefaultWait is how long a change waits for another one that is in its way.
	DefaultWait = 2 * time.Second
	// DefaultReserve is how long it may take to write a reservation and to see it, which is some
	// milliseconds: as long as it leaves a webhook with a time-out of 5 s the time to answer.
	DefaultReserve = 4 * time.Second
)

const (
	// margin is how long after its lifetime a reservation is removed, which spares the replicas to
	// look at the stored object for its removal.
	margin = 15 * time.Second
	// tick is how often it is looked whether a reservation's lifetime is over.
	tick = time.Second
	// again is when a stored object is looked at again that the state does not show.
	again = 5 * time.Second
	// parallel bounds the requests that are made of a tick.
	parallel = 8
	// requestTimeout bounds each of them.
	requestTimeout = 10 * time.Second
)

// Store is where the ledger is.
type Store interface {
	// Reserve enters a change under an ID, and returns the entry's revision. An error does not mean
	// that there is no entry.
	Reserve(ctx context.Context, id string, c ledger.Change, raw []byte) (ledger.Revision, error)
	// Remove removes an entry. One that is not there is no error.
	Remove(ctx context.Context, id string) error
	// Run tells a Sink of all entries, in the order of their revisions, until the context ends.
	Run(ctx context.Context, s Sink)
}

// Sink is told what happens in a ledger: first what there is, and then each event once, in order.
type Sink interface {
	Listed(all []*ledger.Reservation, at ledger.Revision)
	Added(r *ledger.Reservation)
	Removed(id string, at ledger.Revision)
	Reached(at ledger.Revision)
}

// Recorder is told what a Gate does. Implementations are safe for concurrent use and return at once.
type Recorder interface {
	// Reserved records how long it took to write a reservation and to see it.
	Reserved(time.Duration)
	// ReserveFailed records that a reservation could not be written, or not be seen in time.
	ReserveFailed()
	// Conflict records that a change met another one on its way, and whether it was refused for it.
	// Otherwise it was told what became of the other one while it waited.
	Conflict(refused bool)
	// Settled records what a look at a stored object told of a reservation, a ledger.Outcome.
	Settled(outcome string)
}

type discard struct{}

func (discard) Reserved(time.Duration) {}
func (discard) ReserveFailed()         {}
func (discard) Conflict(bool)          {}
func (discard) Settled(string)         {}

// Options are what a Gate works with. Store, Writer and State are required.
type Options struct {
	Store Store
	// Writer is that of the state. The Gate observes it.
	Writer *state.Writer
	// State returns the current snapshot to judge by, and whether it is complete enough.
	State func() (snapshot *state.Snapshot, synced bool)
	// Relist asks for a list of every kind of the state, from what is stored now. The channel is
	// closed when the state has all of them. Default: the state never changes.
	Relist func() <-chan struct{}
	// Live reads what is stored of an object now: not what an API server has in memory. Default:
	// nothing is stored.
	Live func(ctx context.Context, key resource.Key) (ledger.Live, error)
	// Replica is the name of this one.
	Replica string
	// Lifetime, Wait and Reserve default to the constants of their names.
	Lifetime, Wait, Reserve time.Duration
	// Recorder defaults to one that records nothing.
	Recorder Recorder
	// Log gets what happens. Default: nothing is logged.
	Log *slog.Logger
}

// Gate lets changes through. Its methods are safe for concurrent use.
type Gate struct {
	o     Options
	start time.Time
	// listed is closed when the ledger was listed for the first time.
	listed     chan struct{}
	onceListed sync.Once
	questions  chan struct{} // asks for a look at stored objects soon
	background sync.WaitGroup
	relisting  sync.Mutex // held while a list of the state is asked for

	mu   sync.Mutex
	core *ledger.Core
	// waiting are those who wait until everything up to their revision was seen.
	waiting map[ledger.Revision]chan struct{}
	// moved is closed, and made anew, when a reservation is dropped and when the ledger is ready.
	moved chan struct{}
	// relists are the lists of the ledger after which the state is being listed; the last one counts.
	relists chan relist
}

// relist is a list of the ledger, and the channel that is closed when the state was listed after it.
type relist struct {
	list uint64
	done <-chan struct{}
}

// NewGate returns a Gate that lets nothing through until Run.
func NewGate(o Options) *Gate {
	if o.Lifetime == 0 {
		o.Lifetime = DefaultLifetime
	}
	if o.Wait == 0 {
		o.Wait = DefaultWait
	}
	if o.Reserve == 0 {
		o.Reserve = DefaultReserve
	}
	if o.Relist == nil {
		done := make(chan struct{})
		close(done)
		o.Relist = func() <-chan struct{} { return done }
	}
	if o.Live == nil {
		o.Live = func(context.Context, resource.Key) (ledger.Live, error) { return ledger.Live{}, nil }
	}
	if o.Recorder == nil {
		o.Recorder = discard{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	g := &Gate{
		o: o, start: time.Now(), listed: make(chan struct{}), questions: make(chan struct{}, 1),
		core:    ledger.New(ledger.Options{Lifetime: o.Lifetime, Again: again}),
		waiting: map[ledger.Revision]chan struct{}{}, moved: make(chan struct{}), relists: make(chan relist, 1),
	}
	o.Writer.Observe(g.stateChanged)
	return g
}

// now is the time since the Gate was made, by the clock that is never set.
func (g *Gate) now() time.Duration { return time.Since(g.start) }

// Listed is closed when the ledger was listed for the first time. What is listed of the state after
// that need not be listed again.
func (g *Gate) Listed() <-chan struct{} { return g.listed }

// Held is the number of reservations that are held.
func (g *Gate) Held() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.core.Len()
}

// Run keeps the ledger until the context ends.
func (g *Gate) Run(ctx context.Context) {
	var group sync.WaitGroup
	group.Go(func() { g.o.Store.Run(ctx, (*sink)(g)) })
	group.Go(func() { g.followRelists(ctx) })
	group.Go(func() { every(ctx, g.questions, g.settle) })
	group.Go(func() { every(ctx, nil, g.collect) })
	group.Wait()
	g.background.Wait()
}

// stateChanged takes note that a snapshot was published that has other objects under some keys.
func (g *Gate) stateChanged(s *state.Snapshot, changed []resource.Key) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.core.StateChanged(s, changed) {
		g.move()
	}
}

// move wakes those who wait for anything to be dropped. The caller holds g.mu.
func (g *Gate) move() {
	close(g.moved)
	g.moved = make(chan struct{})
}

// Admit decides a change that may be admitted as far as the state tells. It reserves it, and judges it
// with all that are on their way before it. There is an error if that can not be done, and a Refusal
// if one of those is in its way and stays there. raw is what decode.Prune leaves of the object.
//
// The context should end some time before whoever waits for the answer takes none for one: a
// reservation is withdrawn only until then. When it can not be judged, and failurePolicy lets the
// change through, it is held as long as one that was admitted.
func (g *Gate) Admit(ctx context.Context, c ledger.Change, raw []byte, judge ledger.Judge) (ledger.Verdict, *ledger.Refusal, error) {
	c.Replica = g.o.Replica
	if err := g.ready(); err != nil {
		return ledger.Verdict{}, nil, err
	}
	id := string(uuid.NewUUID())
	own, err := g.reserve(ctx, id, c, raw)
	if err != nil {
		g.o.Recorder.ReserveFailed()
		return ledger.Verdict{}, nil, err
	}
	deadline := time.NewTimer(g.o.Wait)
	defer deadline.Stop()
	met, late := false, false
	for {
		verdict, moved, err := g.judge(own, c.Key, judge)
		switch {
		case err != nil && !errors.Is(err, ledger.ErrUnlisted):
			return verdict, nil, err
		case err == nil && len(verdict.By) == 0:
			if met {
				g.o.Recorder.Conflict(false)
			}
			if verdict.Decision.Denied() {
				g.withdraw(ctx, id)
			}
			return verdict, nil, nil
		case late && err != nil:
			return verdict, nil, err
		case late:
			g.o.Recorder.Conflict(true)
			g.withdraw(ctx, id)
			return verdict, g.refusal(verdict), nil
		}
		met = met || err == nil
		select {
		case <-moved:
		case <-deadline.C:
			late = true
		case <-ctx.Done():
			late = true
		}
	}
}

func (g *Gate) ready() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.core.Ready()
}

// reserve writes a reservation, and waits until it was seen.
func (g *Gate) reserve(ctx context.Context, id string, c ledger.Change, raw []byte) (ledger.Revision, error) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, g.o.Reserve)
	defer cancel()
	own, err := g.o.Store.Reserve(ctx, id, c, raw)
	if err != nil {
		return 0, fmt.Errorf("the change cannot be entered into the ledger: %w", err)
	}
	g.mu.Lock()
	seen := make(chan struct{})
	if g.core.Seen(own) {
		close(seen)
	} else {
		g.waiting[own] = seen
	}
	g.mu.Unlock()
	select {
	case <-seen:
		g.o.Recorder.Reserved(time.Since(began))
		return own, nil
	case <-ctx.Done():
		g.mu.Lock()
		delete(g.waiting, own)
		g.mu.Unlock()
		return 0, ledger.ErrUnseen
	}
}

// judge judges a change once. What it returns last is closed when that may turn out otherwise.
func (g *Gate) judge(own ledger.Revision, key resource.Key, judge ledger.Judge) (ledger.Verdict, <-chan struct{}, error) {
	g.mu.Lock()
	before, err := g.core.Before(own, key)
	moved := g.moved
	g.mu.Unlock()
	if err != nil {
		return ledger.Verdict{}, moved, err
	}
	// After the reservations: what is none any more is in here.
	s, synced := g.o.State()
	if !synced {
		return ledger.Verdict{}, moved, errUnsynced
	}
	return ledger.Decide(s, before, judge), moved, nil
}

var errUnsynced = errors.New("the state of the cluster is being loaded again: try again in a moment")

// withdraw removes the reservation of a change that is refused, unless the refusal may come too late
// to be heard.
func (g *Gate) withdraw(ctx context.Context, id string) {
	if ctx.Err() != nil {
		return
	}
	ctx = context.WithoutCancel(ctx)
	g.background.Go(func() {
		if err := g.remove(ctx, id); err != nil {
			g.o.Log.Warn("a reservation cannot be withdrawn and is held until its lifetime is over", "reservation", id, "problem", err.Error())
		}
	})
}

func (g *Gate) remove(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return g.o.Store.Remove(ctx, id)
}

// attempts is how often client-go makes a request that is answered with 429 and a time to wait
// (maxRetries in k8s.io/client-go rest/request.go).
const attempts = 10

// refusal tells until when the changes in the way are held.
func (g *Gate) refusal(v ledger.Verdict) *ledger.Refusal {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := &ledger.Refusal{Verdict: v, After: time.Second}
	now := g.now()
	left := time.Duration(0)
	for _, r := range v.By {
		seen, held := g.core.SeenAt(r.ID)
		if held {
			left = max(left, seen+g.o.Lifetime-now)
		}
	}
	out.Until = time.Now().Add(left + 2*tick)
	// So that a client which tries again by itself goes on until it is certain.
	out.After = max(out.After, (left / (attempts - 1)).Round(time.Second))
	return out
}

// followRelists tells the core when the state was listed after the ledger.
func (g *Gate) followRelists(ctx context.Context) {
	var current relist
	for {
		select {
		case <-ctx.Done():
			return
		case current = <-g.relists:
		case <-current.done:
			g.mu.Lock()
			g.core.StateListed(current.list, g.o.Writer.Snapshot())
			g.move()
			g.mu.Unlock()
			current.done = nil
		}
	}
}

// every calls f each tick, and when it is asked for.
func every(ctx context.Context, asked <-chan struct{}, f func(context.Context)) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-asked:
		}
		f(ctx)
	}
}

// settle looks at the stored objects of reservations whose change will not be stored any more.
func (g *Gate) settle(ctx context.Context) {
	var unclear atomic.Bool
	g.mu.Lock()
	questions := g.core.Questions(g.now())
	g.mu.Unlock()
	g.each(ctx, len(questions), func(ctx context.Context, i int) {
		q := questions[i]
		live, err := g.o.Live(ctx, q.Key)
		if err != nil {
			if ctx.Err() == nil {
				g.o.Log.Warn("what became of a change cannot be told yet, and it is held on", "object", q.Key.String(), "reservation", q.ID, "problem", err.Error())
			}
			return
		}
		g.mu.Lock()
		outcome := g.core.Answer(q.ID, live, g.now(), g.o.Writer.Snapshot())
		if outcome != ledger.Pending && outcome != ledger.Unclear {
			g.move()
		}
		if outcome == ledger.Unclear {
			unclear.Store(true)
		}
		g.mu.Unlock()
		g.o.Recorder.Settled(string(outcome))
	})
	if unclear.Load() {
		g.relist((*ledger.Core).Relist)
	}
}

// relist asks for a list of the state.
func (g *Gate) relist(number func(*ledger.Core) uint64) {
	g.relisting.Lock()
	defer g.relisting.Unlock()
	g.mu.Lock()
	list := number(g.core)
	g.mu.Unlock()
	// Only now: the state is to be listed after what the number stands for.
	next := relist{list, g.o.Relist()}
	select {
	case <-g.relists: // the one before was not taken up yet
	default:
	}
	g.relists <- next
}

// collect removes entries of the ledger whose lifetime is over: those of this replica first, and later
// those of one that is gone.
func (g *Gate) collect(ctx context.Context) {
	var old []string
	g.mu.Lock()
	now := g.now()
	g.core.Entries(func(id, replica string, seen time.Duration) {
		due := g.o.Lifetime + margin
		if replica != g.o.Replica {
			due += margin
		}
		if now-seen > due {
			old = append(old, id)
		}
	})
	g.mu.Unlock()
	// Each replica begins somewhere else.
	rand.Shuffle(len(old), func(i, j int) { old[i], old[j] = old[j], old[i] })
	g.each(ctx, len(old), func(ctx context.Context, i int) {
		g.mu.Lock()
		there := g.core.Has(old[i])
		g.mu.Unlock()
		if !there { // another replica was faster
			return
		}
		if err := g.o.Store.Remove(ctx, old[i]); err != nil && ctx.Err() == nil {
			g.o.Log.Warn("an old reservation cannot be removed", "reservation", old[i], "problem", err.Error())
		}
	})
}

// each calls f for each of n numbers, some at a time.
func (g *Gate) each(ctx context.Context, n int, f func(context.Context, int)) {
	slots := make(chan struct{}, parallel)
	var group sync.WaitGroup
	for i := range n {
		slots <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		group.Go(func() {
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(ctx, requestTimeout)
			defer cancel()
			f(ctx, i)
		})
	}
	group.Wait()
}

// sink is the Gate as its Store sees it.
type sink Gate

// Listed implements Sink.
func (k *sink) Listed(all []*ledger.Reservation, at ledger.Revision) {
	g := (*Gate)(k)
	g.relist(func(c *ledger.Core) uint64 {
		list := c.Listed(all, at, g.now(), g.o.Writer.Snapshot())
		g.seen()
		g.move()
		return list
	})
	g.onceListed.Do(func() { close(g.listed) })
	g.ask()
}

// Added implements Sink.
func (k *sink) Added(r *ledger.Reservation) {
	g := (*Gate)(k)
	if r.Unreadable != "" {
		g.o.Log.Warn("an entry of the ledger cannot be read: nothing is admitted that could conflict until its lifetime is over", "reservation", r.ID, "problem", r.Unreadable)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.core.Added(r, g.now(), g.o.Writer.Snapshot())
	g.seen()
}

// Removed implements Sink.
func (k *sink) Removed(id string, at ledger.Revision) {
	g := (*Gate)(k)
	g.mu.Lock()
	g.core.Removed(id, at, g.now())
	g.seen()
	_, held := g.core.SeenAt(id)
	g.mu.Unlock()
	if held {
		g.ask()
	}
}

// Reached implements Sink.
func (k *sink) Reached(at ledger.Revision) {
	g := (*Gate)(k)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.core.Reached(at)
	g.seen()
}

// seen wakes those whose reservations were seen. The caller holds g.mu.
func (g *Gate) seen() {
	for own, ch := range g.waiting {
		if g.core.Seen(own) {
			close(ch)
			delete(g.waiting, own)
		}
	}
}

// ask asks for a look at stored objects soon.
func (g *Gate) ask() {
	select {
	case g.questions <- struct{}{}:
	default: // it was asked for
	}
}
