// Package cluster keeps a state.Writer in step with a live cluster: it lists and watches
// every kind of resource.APIs that the cluster serves, which needs the verbs list and watch
// on them and nothing else.
//
// Events are decoded into the slim types of package resource as they arrive; full objects
// are not kept. An object that can not be read is left out, logged and counted, because a
// state with one object too few is better than no state at all.
//
// # What synced means
//
// While Synced, the state holds what the API server had stored at most Options.Grace ago,
// and usually what it has stored now:
//
//   - Every kind that the cluster serves was listed by a consistent read: not from what an API
//     server happens to have in memory, but as if from etcd.
//   - Since then a watch of it is running, or was until less than Options.Grace ago. A watch
//     that is back within that time, as after an ordinary time-out, goes on at the last
//     resource version that was seen, and the API server sends first what happened meanwhile.
//     One that is cut as soon as it begins does not count as back.
//   - After a longer loss, the state is not synced until the kind was listed again by a
//     consistent read: what was stored while nobody watched is in the state by then.
//   - A kind is known to be served until discovery has left it out in several successive
//     rounds, and in each of them the kind's own list was answered with "not found". Discovery
//     alone proves nothing: an API server that is starting answers it before it knows of its
//     CustomResourceDefinitions. Until it is certain the last known objects are kept, and the
//     state is not synced. This is so for kinds that were never seen, too.
//
// Kinds that only audits read (resource.ForAudits) take no part in this: whether they may be read,
// or are served at all, makes no difference to being synced. While one of them is not watched the
// state says why (state.Snapshot.Lacking).
//
// What can not be noticed is a connection that is silently dead, until the pings of HTTP/2
// fail, and a kind whose CustomResourceDefinition was installed since the last round.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"

	"github.com/gatewarden/gatewarden/pkg/gatewaypod"
	"github.com/gatewarden/gatewarden/pkg/metrics"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
)

// DefaultInterval is how often the cluster is asked which kinds it serves. It is how long
// the first objects of a kind whose CustomResourceDefinition was just installed may stay
// unknown. One round costs one request, and one for each API group of resource.APIs.
const DefaultInterval = 10 * time.Second

// DefaultGrace is how long a kind may be without a watch before the state counts as out of
// date. An ordinary end of a watch is over in milliseconds; a restart of the API server is
// not.
const DefaultGrace = 3 * time.Second

// DefaultConfigMaps is where Istio is installed unless it is told otherwise.
const DefaultConfigMaps = "istio-system"

// hurry is the interval while it is not known what the cluster serves: nothing can be judged
// until then, so waiting is expensive.
const hurry = time.Second

// glance is the interval while the only question is whether kinds exist of which nothing was ever seen,
// as at each start in a cluster without the Gateway API. If one of them comes after all, it has come
// as late as one whose CustomResourceDefinition was just installed.
const glance = 200 * time.Millisecond

// Discovery tells what a cluster serves. discovery.DiscoveryClient of client-go implements
// it.
type Discovery interface {
	ServerGroupsWithContext(ctx context.Context) (*metav1.APIGroupList, error)
	ServerResourcesForGroupVersionWithContext(ctx context.Context, groupVersion string) (*metav1.APIResourceList, error)
}

// Options are what a Cluster works with. Dynamic, Discovery and Writer are required.
type Options struct {
	// Dynamic makes the requests. One of NewClient spares half of the work of reading objects.
	Dynamic   dynamic.Interface
	Discovery Discovery
	Writer    *state.Writer
	// Recorder is told of objects that can not be read. Default: metrics.Discard.
	Recorder metrics.Recorder
	// Log gets what happens. Default: nothing is logged.
	Log *slog.Logger
	// Interval between two looks at what the cluster serves. Default: DefaultInterval.
	Interval time.Duration
	// ConfigMaps is the namespace in which Istio's ConfigMaps are. Those of others are not read, so
	// that a Role there is all it takes. Default: DefaultConfigMaps.
	ConfigMaps string
	// Grace is how long a kind may be without a watch while the state counts as current.
	// Default: DefaultGrace.
	Grace time.Duration
}

// Cluster watches a cluster. Its methods are safe for concurrent use.
type Cluster struct {
	o       Options
	synced  atomic.Bool
	wake    chan struct{}  // asks for a round soon
	running sync.WaitGroup // the reflectors

	mu         sync.Mutex
	discovered bool  // one round of discovery has succeeded
	changing   bool  // a round has not started all of its watches yet
	problem    error // of the last round
	watches    map[resource.Kind]*kindWatch
	// presence is what is known of the kinds that discovery leaves out.
	presence map[resource.Kind]*presence
	// relists counts the calls of Relist, and relisting are those that are not over.
	relists   uint64
	relisting map[uint64]chan struct{}
}

// New returns a Cluster that does nothing until Run.
func New(o Options) *Cluster {
	if o.Recorder == nil {
		o.Recorder = metrics.Discard{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Interval == 0 {
		o.Interval = DefaultInterval
	}
	if o.Grace == 0 {
		o.Grace = DefaultGrace
	}
	if o.ConfigMaps == "" {
		o.ConfigMaps = DefaultConfigMaps
	}
	for _, api := range resource.APIs {
		if resource.ForAudits(api.Kind) {
			o.Writer.SetUnread(api.Kind, "they have not been listed yet")
		}
	}
	return &Cluster{
		o: o, wake: make(chan struct{}, 1),
		watches: map[resource.Kind]*kindWatch{}, presence: map[resource.Kind]*presence{}, relisting: map[uint64]chan struct{}{},
	}
}

// Run watches until the context ends, and returns when every watch has stopped.
func (c *Cluster) Run(ctx context.Context) {
	defer c.stopAll()
	for {
		wait := min(c.round(ctx), c.o.Interval)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
			continue
		case <-c.wake:
			// Not at once: whoever wakes it may do so at every failed request.
			timer.Reset(min(hurry, wait))
			select {
			case <-ctx.Done():
			case <-timer.C:
				continue
			}
		}
		timer.Stop()
		return
	}
}

// Synced reports whether the state is complete and current, in the sense of the package
// comment. It turns false again for the moment in which a kind that was just installed is
// listed for the first time.
func (c *Cluster) Synced() bool { return c.synced.Load() }

// Pending returns nil when Synced, else what is missing, since when, and why.
func (c *Cluster) Pending() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.discovered {
		if c.problem != nil {
			return fmt.Errorf("the cluster cannot be asked which kinds it serves: %w", c.problem)
		}
		return errors.New("the cluster has not been asked yet which kinds it serves")
	}
	for _, api := range needed() {
		if p := c.presence[api.Kind]; p != nil && !p.absent {
			return p.doubt(api)
		}
	}
	for _, api := range needed() {
		if w := c.watches[api.Kind]; w != nil && !w.listed {
			return w.pending()
		}
	}
	if c.changing {
		return errors.New("the kinds that the cluster serves have just changed")
	}
	return nil
}

// Relist asks for a list of every kind without which nothing is judged. The channel is closed when the
// state has, of each of them, what was stored after this call. It stays synced if that is over within
// Options.Grace.
func (c *Cluster) Relist() <-chan struct{} {
	done := make(chan struct{})
	var streams []*stream
	c.mu.Lock()
	c.relists++
	c.relisting[c.relists] = done
	for kind, w := range c.watches {
		if w.stream != nil && !resource.ForAudits(kind) {
			streams = append(streams, w.stream)
		}
	}
	c.mu.Unlock()
	for _, s := range streams {
		s.Stop() // it does not go on where it ended: see outdated
	}
	return done
}

// Resource tells as what a kind is watched, or false if it is not.
func (c *Cluster) Resource(kind resource.Kind) (schema.GroupVersionResource, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.watches[kind]
	if w == nil {
		return schema.GroupVersionResource{}, false
	}
	return w.gvr, true
}

// needed are the kinds without which nothing is judged.
func needed() []resource.API {
	return slices.DeleteFunc(slices.Clone(resource.APIs), func(a resource.API) bool { return resource.ForAudits(a.Kind) })
}

// Lost tells for each kind that the cluster serves, and without which nothing is judged, how long
// it has been without a watch: zero while one is running.
func (c *Cluster) Lost() map[resource.Kind]time.Duration {
	out := map[resource.Kind]time.Duration{}
	for _, w := range c.Watched() {
		if !resource.ForAudits(w.Kind) {
			out[w.Kind] = w.Lost
		}
	}
	return out
}

// round compares what the cluster serves with what is watched. A round that fails changes nothing. It
// returns how long to wait until the next one.
func (c *Cluster) round(ctx context.Context) time.Duration {
	served, err := c.served(ctx)
	if err != nil {
		c.mu.Lock()
		c.problem = err
		certain := c.certain()
		c.mu.Unlock()
		if ctx.Err() == nil {
			c.o.Log.Warn("the cluster cannot be asked which kinds it serves", "problem", err.Error())
		}
		if certain {
			return c.o.Interval
		}
		return hurry
	}
	missing := c.compare(served)
	c.settle()
	c.probeAll(ctx, missing, served)
	for _, api := range resource.APIs {
		gvr, available := served[api.Kind]
		if !available {
			continue
		}
		c.mu.Lock()
		w := c.watches[api.Kind]
		c.mu.Unlock()
		if w != nil && w.gvr != gvr {
			c.end(w)
			w = nil
		}
		if w == nil {
			c.start(ctx, api, gvr)
		}
	}
	c.mu.Lock()
	c.changing = false
	wait := c.pause()
	c.mu.Unlock()
	c.settle()
	return wait
}

// pause is how long to wait after a round that succeeded. The caller holds c.mu.
func (c *Cluster) pause() time.Duration {
	wait := c.o.Interval
	for kind, p := range c.presence {
		switch {
		case p.absent || resource.ForAudits(kind):
		case c.watches[kind] != nil || p.problem != nil && !apierrors.IsNotFound(p.problem):
			return hurry
		default:
			wait = glance
		}
	}
	return wait
}

// start watches a kind.
func (c *Cluster) start(ctx context.Context, api resource.API, gvr schema.GroupVersionResource) {
	ctx, cancel := context.WithCancel(ctx)
	w := &kindWatch{cluster: c, kind: api.Kind, gvr: gvr, cancel: cancel, current: time.Now()}
	client, scope := c.client(gvr, api.Kind)
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			if o.Continue == "" {
				w.begin()
			}
			list, err := client.List(ctx, scope(consistent(o)))
			w.note(err)
			if err != nil {
				return nil, err
			}
			return w.store.slimList(list)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return w.open(ctx, client, scope(o))
		},
	}
	s := c.store(api, gvr, w.replaced)
	s.heard = w.hear
	w.store = s
	c.mu.Lock()
	c.watches[api.Kind] = w
	w.arm()
	c.mu.Unlock()
	// No type is expected: watches and lists have different ones, and the store knows them.
	reflector := cache.NewReflectorWithOptions(
		cache.ToListWatcherWithWatchListSemantics(lw, c.o.Dynamic), nil, s,
		cache.ReflectorOptions{Name: gvr.GroupResource().String(), TypeDescription: string(api.Kind), Backoff: backoff(api.Kind)})
	c.o.Log.Info("watching", "resource", gvr.String())
	c.running.Go(func() { reflector.RunWithContext(ctx) })
}

// client makes requests for the objects of a kind that are read, which scope narrows further.
func (c *Cluster) client(gvr schema.GroupVersionResource, kind resource.Kind) (
	client dynamic.ResourceInterface, scope func(metav1.ListOptions) metav1.ListOptions,
) {
	all := c.o.Dynamic.Resource(gvr)
	if kind != resource.KindConfigMap {
		return all, func(o metav1.ListOptions) metav1.ListOptions { return o }
	}
	return all.Namespace(c.o.ConfigMaps), func(o metav1.ListOptions) metav1.ListOptions {
		// The charts of Istio label their ConfigMaps; others in the namespace are locks, which are
		// written all the time.
		o.LabelSelector = gatewaypod.RevisionLabel
		return o
	}
}

// store makes the store of a kind. It calls listed after each list that it has passed on.
func (c *Cluster) store(api resource.API, gvr schema.GroupVersionResource, listed func()) *store {
	return &store{
		api: api, writer: c.o.Writer, recorder: c.o.Recorder,
		log: c.o.Log.With("resource", gvr.GroupResource().String()), listed: listed,
	}
}

// settle works out whether everything is known, and says so when that changes.
func (c *Cluster) settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	synced := c.certain() && !c.changing
	relisted := c.relists
	for kind, w := range c.watches {
		if resource.ForAudits(kind) {
			continue
		}
		synced = synced && w.listed
		relisted = min(relisted, w.relisted)
	}
	for relist, done := range c.relisting {
		if synced && relist <= relisted {
			close(done)
			delete(c.relisting, relist)
		}
	}
	if c.synced.Load() == synced {
		return
	}
	// The snapshot has to say that it is complete before anybody judges by it.
	c.o.Writer.SetComplete(synced)
	c.synced.Store(synced)
	c.o.Log.Info("the state changed", "synced", synced, "generation", c.o.Writer.Snapshot().Generation())
}

// certain reports whether it is known what the cluster serves. The caller holds c.mu.
func (c *Cluster) certain() bool {
	for kind, p := range c.presence {
		if !p.absent && !resource.ForAudits(kind) {
			return false
		}
	}
	return c.discovered
}

// end ends a watch. It does not wait: a request that is on its way may take long, and the
// store does not write any more.
func (c *Cluster) end(w *kindWatch) {
	w.cancel()
	w.store.close()
	c.mu.Lock()
	defer c.mu.Unlock()
	w.ended = true
	w.timer.Stop()
	delete(c.watches, w.kind)
}

func (c *Cluster) stopAll() {
	c.mu.Lock()
	watches := slices.Collect(maps.Values(c.watches))
	c.mu.Unlock()
	for _, w := range watches {
		c.end(w)
	}
	c.running.Wait()
}
