// Package cluster keeps a state.Writer in step with a live cluster: it lists and watches
// every kind of resource.APIs that the cluster serves, which needs the verbs list and watch
// on them and nothing else.
//
// Events are decoded into the slim types of package resource as they arrive; full objects
// are not kept. An object that can not be read is left out, logged and counted, because a
// state with one object too few is better than no state at all.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"

	"github.com/gatewarden/gatewarden/pkg/metrics"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
)

// DefaultInterval is how often the cluster is asked which kinds it serves. It is how long
// the first objects of a kind whose CustomResourceDefinition was just installed may stay
// unknown. One round costs one request, and one for each API group of resource.APIs.
const DefaultInterval = 10 * time.Second

// firstRetry is the interval while no round has succeeded yet: nothing can be judged until
// then, so waiting is expensive.
const firstRetry = time.Second

// Discovery tells what a cluster serves. discovery.DiscoveryClient of client-go implements
// it.
type Discovery interface {
	ServerGroupsWithContext(ctx context.Context) (*metav1.APIGroupList, error)
	ServerResourcesForGroupVersionWithContext(ctx context.Context, groupVersion string) (*metav1.APIResourceList, error)
}

// Options are what a Cluster works with. Dynamic, Discovery and Writer are required.
type Options struct {
	Dynamic   dynamic.Interface
	Discovery Discovery
	Writer    *state.Writer
	// Recorder is told of objects that can not be read. Default: metrics.Discard.
	Recorder metrics.Recorder
	// Log gets what happens. Default: nothing is logged.
	Log *slog.Logger
	// Interval between two looks at what the cluster serves. Default: DefaultInterval.
	Interval time.Duration
}

// Cluster watches a cluster. Its methods are safe for concurrent use.
type Cluster struct {
	o      Options
	synced atomic.Bool

	mu         sync.Mutex
	discovered bool  // one round of discovery has succeeded
	changing   bool  // a round has not started all of its watches yet
	problem    error // of the last round
	watches    map[resource.Kind]*kindWatch
}

// kindWatch is the running watch of one kind.
type kindWatch struct {
	gvr    schema.GroupVersionResource
	cancel context.CancelFunc
	done   chan struct{} // closed when the watch has ended
	// The following are guarded by Cluster.mu.
	listed  bool
	problem error // of the last list or watch request
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
	return &Cluster{o: o, watches: map[resource.Kind]*kindWatch{}}
}

// Run watches until the context ends, and returns when every watch has stopped.
func (c *Cluster) Run(ctx context.Context) {
	defer c.stopAll()
	for {
		wait := c.o.Interval
		if !c.round(ctx) {
			wait = min(firstRetry, wait)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// Synced reports whether every kind that the cluster is known to serve has been listed. It
// turns false again for the moment in which a kind that was just installed is listed for
// the first time.
func (c *Cluster) Synced() bool { return c.synced.Load() }

// Pending returns nil when Synced, else what is missing, and why.
func (c *Cluster) Pending() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.discovered {
		if c.problem != nil {
			return fmt.Errorf("the cluster cannot be asked which kinds it serves: %w", c.problem)
		}
		return errors.New("the cluster has not been asked yet which kinds it serves")
	}
	for _, api := range resource.APIs {
		w := c.watches[api.Kind]
		if w == nil || w.listed {
			continue
		}
		if w.problem != nil {
			return fmt.Errorf("%s cannot be listed: %w", w.gvr.GroupResource(), w.problem)
		}
		return fmt.Errorf("%s are being listed", w.gvr.GroupResource())
	}
	return nil
}

// round compares what the cluster serves with what is watched. It reports whether any round
// has succeeded yet. A round that fails changes nothing.
func (c *Cluster) round(ctx context.Context) bool {
	served, err := c.served(ctx)
	c.mu.Lock()
	c.problem = err
	c.discovered = c.discovered || err == nil
	discovered := c.discovered
	c.mu.Unlock()
	if err != nil {
		if ctx.Err() == nil {
			c.o.Log.Warn("the cluster cannot be asked which kinds it serves", "problem", err.Error())
		}
		return discovered
	}
	// The watches that are started first must not be taken for all of them.
	c.mu.Lock()
	for kind, gvr := range served {
		c.changing = c.changing || c.watches[kind] == nil || c.watches[kind].gvr != gvr
	}
	c.mu.Unlock()
	c.settle()
	for _, api := range resource.APIs {
		gvr, available := served[api.Kind]
		c.mu.Lock()
		w := c.watches[api.Kind]
		c.mu.Unlock()
		if w != nil && (!available || w.gvr != gvr) {
			c.stop(api.Kind, w)
			if !available {
				c.o.Writer.Replace(api.Kind, nil)
				c.o.Log.Info("the cluster does not serve the kind any more", "resource", w.gvr.GroupResource().String())
			}
			w = nil
		}
		if w == nil && available {
			c.start(ctx, api, gvr)
		}
	}
	c.mu.Lock()
	c.changing = false
	c.mu.Unlock()
	c.settle()
	return true
}

// served finds for each kind the version to watch: the one that the cluster prefers in the
// kind's group if it has the kind, else the first of resource.API.Versions that does. All
// have one schema, so any would do.
func (c *Cluster) served(ctx context.Context) (map[resource.Kind]schema.GroupVersionResource, error) {
	groups, err := c.o.Discovery.ServerGroupsWithContext(ctx)
	if err != nil {
		return nil, err
	}
	out := map[resource.Kind]schema.GroupVersionResource{}
	resources := map[schema.GroupVersion][]string{}
	for _, api := range resource.APIs {
		i := slices.IndexFunc(groups.Groups, func(g metav1.APIGroup) bool { return g.Name == api.Group })
		if i < 0 {
			continue
		}
		for _, version := range versions(api, groups.Groups[i]) {
			gv := schema.GroupVersion{Group: api.Group, Version: version}
			names, known := resources[gv]
			if !known {
				if names, err = c.resources(ctx, gv); err != nil {
					return nil, err
				}
				resources[gv] = names
			}
			if slices.Contains(names, api.Resource) {
				out[api.Kind] = gv.WithResource(api.Resource)
				break
			}
		}
	}
	return out, nil
}

// versions returns the versions of an API that a group has, the preferred one first.
func versions(api resource.API, group metav1.APIGroup) []string {
	var out []string
	for _, v := range append([]string{group.PreferredVersion.Version}, api.Versions...) {
		has := slices.ContainsFunc(group.Versions, func(g metav1.GroupVersionForDiscovery) bool { return g.Version == v })
		if has && slices.Contains(api.Versions, v) && !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// resources returns the resources of one version of a group. A version that went away since
// the groups were listed has none.
func (c *Cluster) resources(ctx context.Context, gv schema.GroupVersion) ([]string, error) {
	list, err := c.o.Discovery.ServerResourcesForGroupVersionWithContext(ctx, gv.String())
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", gv, err)
	}
	var out []string
	for _, r := range list.APIResources {
		out = append(out, r.Name)
	}
	return out, nil
}

// start watches a kind.
func (c *Cluster) start(ctx context.Context, api resource.API, gvr schema.GroupVersionResource) {
	ctx, cancel := context.WithCancel(ctx)
	w := &kindWatch{gvr: gvr, cancel: cancel, done: make(chan struct{})}
	c.mu.Lock()
	c.watches[api.Kind] = w
	c.mu.Unlock()

	client := c.o.Dynamic.Resource(gvr)
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			list, err := client.List(ctx, o)
			c.note(w, err)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			events, err := client.Watch(ctx, o)
			c.note(w, err)
			return events, err
		},
	}
	expected := &unstructured.Unstructured{}
	expected.SetGroupVersionKind(gvr.GroupVersion().WithKind(api.Name()))
	s := &store{
		api: api, writer: c.o.Writer, recorder: c.o.Recorder,
		log:    c.o.Log.With("resource", gvr.GroupResource().String()),
		listed: func() { c.markListed(w) },
	}
	reflector := cache.NewReflectorWithOptions(
		cache.ToListWatcherWithWatchListSemantics(lw, c.o.Dynamic), expected, s,
		cache.ReflectorOptions{Name: gvr.GroupResource().String(), TypeDescription: string(api.Kind)})
	c.o.Log.Info("watching", "resource", gvr.String())
	go func() {
		defer close(w.done)
		reflector.RunWithContext(ctx)
	}()
}

// note remembers how the last request of a watch ended.
func (c *Cluster) note(w *kindWatch, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w.problem = err
}

// markListed records that a kind's objects are complete.
func (c *Cluster) markListed(w *kindWatch) {
	c.mu.Lock()
	w.listed = true
	c.mu.Unlock()
	c.settle()
}

// settle works out whether everything is known, and says so when that changes.
func (c *Cluster) settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	synced := c.discovered && !c.changing
	for _, w := range c.watches {
		synced = synced && w.listed
	}
	if c.synced.Load() == synced {
		return
	}
	// The snapshot has to say that it is complete before anybody judges by it.
	c.o.Writer.SetComplete(synced)
	c.synced.Store(synced)
	c.o.Log.Info("the state changed", "synced", synced, "generation", c.o.Writer.Snapshot().Generation())
}

// stop ends a watch and waits for its end, so that it does not write any more.
func (c *Cluster) stop(kind resource.Kind, w *kindWatch) {
	w.cancel()
	<-w.done
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.watches, kind)
}

func (c *Cluster) stopAll() {
	c.mu.Lock()
	watches := make(map[resource.Kind]*kindWatch, len(c.watches))
	for k, w := range c.watches {
		w.cancel()
		watches[k] = w
	}
	c.mu.Unlock()
	for k, w := range watches {
		c.stop(k, w)
	}
}
