package cluster_test

import (
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/gatewarden/gatewarden/pkg/cluster"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

var gateways = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "gateways"}

// listing decides how the lists of Gateways are answered: as they are while it is unset.
type listing struct {
	mu     sync.Mutex
	answer func() (bool, runtime.Object, error)
}

func (l *listing) set(answer func() (bool, runtime.Object, error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answer = answer
}

func (l *listing) of(client *dynamicfake.FakeDynamicClient) {
	client.PrependReactor("list", "gateways", func(a clienttesting.Action) (bool, runtime.Object, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.answer == nil || a.GetResource().Group != gateways.Group {
			return false, nil, nil
		}
		return l.answer()
	})
}

func starting() (bool, runtime.Object, error) {
	return true, nil, apierrors.NewServiceUnavailable("the server is starting")
}

// An API server that is starting answers discovery before it knows of its custom resources.
func TestClusterKeepsAKindThatDiscoveryForgets(t *testing.T) {
	client := newClient(t, object("networking.istio.io/v1", "Gateway", "a", "g"))
	var gatewayList listing
	gatewayList.of(client)
	w := run(t, client, nil, core, istio)
	eventually(t, w.Synced, "not synced")

	gatewayList.set(starting)
	w.discovery.set(nil, core)
	eventually(t, func() bool { return !w.Synced() }, "synced while it is in doubt what the cluster serves")
	eventually(t, func() bool {
		err := w.Pending()
		return err != nil && apierrors.IsServiceUnavailable(errors.Unwrap(err)) &&
			strings.HasPrefix(err.Error(), "gateways.networking.istio.io are missing from what the cluster says it serves since 2")
	}, "the reason is not told")
	w.rounds(10)
	assert.True(t, w.has(resource.KindGateway, "a", "g")(), "the last known objects were dropped")
	assert.False(t, w.Synced())

	gatewayList.set(nil)
	w.discovery.set(nil, core, istio)
	eventually(t, w.Synced, "not synced again")
	assert.True(t, w.has(resource.KindGateway, "a", "g")())
	assert.NotContains(t, w.log.String(), "resource=gateways.networking.istio.io msg=\"the cluster does not serve")
}

// A kind whose list is answered is there, whatever discovery says.
func TestClusterBelievesAListMoreThanDiscovery(t *testing.T) {
	client := newClient(t, object("networking.istio.io/v1", "Gateway", "a", "g"))
	var gatewayList listing
	gatewayList.of(client)
	gatewayList.set(func() (bool, runtime.Object, error) {
		list, err := client.Tracker().List(gateways, gateways.GroupVersion().WithKind("Gateway"), "")
		return true, list, err
	})
	w := run(t, client, nil, core)
	eventually(t, w.Synced, "not synced")
	assert.True(t, w.has(resource.KindGateway, "a", "g")(), "synced without a kind that is there")
	w.rounds(10)
	assert.True(t, w.has(resource.KindGateway, "a", "g")())
	// Not while the list is being asked for.
	eventually(t, w.Synced, "not synced again")
}

// A gatewarden that starts together with its API server has no last known objects to keep.
func TestClusterIsNotSyncedUntilAbsenceIsCertain(t *testing.T) {
	client := newClient(t, object("networking.istio.io/v1", "Gateway", "a", "g"))
	var gatewayList listing
	gatewayList.of(client)
	gatewayList.set(starting)
	w := run(t, client, nil, core)
	w.rounds(10)
	assert.False(t, w.Synced(), "synced without the kinds that the API server does not know of yet")
	gatewayList.set(nil)
	w.discovery.set(nil, core, istio)
	eventually(t, w.Synced, "not synced")
	assert.True(t, w.has(resource.KindGateway, "a", "g")())
}

// One "not found" between other answers is not enough.
func TestClusterCountsSuccessiveAnswersOnly(t *testing.T) {
	client := newClient(t, object("networking.istio.io/v1", "Gateway", "a", "g"))
	var gatewayList listing
	gatewayList.of(client)
	w := run(t, client, nil, core, istio)
	eventually(t, w.Synced, "not synced")

	n := 0
	gatewayList.set(func() (bool, runtime.Object, error) {
		// The kind is asked for in its three versions until one is not "not found".
		if n++; n%7 == 0 {
			return starting()
		}
		return true, nil, apierrors.NewNotFound(gateways.GroupResource(), "")
	})
	w.discovery.set(nil, core)
	w.rounds(20)
	assert.True(t, w.has(resource.KindGateway, "a", "g")())
	assert.False(t, w.Synced())
}

// rounds waits until the cluster was asked n times more which kinds it serves.
func (w *world) rounds(n int) {
	reached := make(chan struct{})
	w.discovery.mu.Lock()
	w.discovery.until, w.discovery.reached = w.discovery.asked+n, reached
	w.discovery.mu.Unlock()
	<-reached
}

// watching decides whether Gateways can be watched.
type watching struct {
	mu      sync.Mutex
	problem error
	streams []*watch.RaceFreeFakeWatcher
	brief   bool // streams end after their first event
}

func (g *watching) of(client *dynamicfake.FakeDynamicClient) {
	client.PrependWatchReactor("gateways", func(a clienttesting.Action) (bool, watch.Interface, error) {
		if a.GetResource().Group != gateways.Group {
			return false, nil, nil
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.problem != nil {
			return true, nil, g.problem
		}
		s := watch.NewRaceFreeFake()
		// With an event, the end of a stream is no reason for the Reflector to list again.
		s.Action(watch.Bookmark, object("networking.istio.io/v1", "Gateway", "", ""))
		if g.brief {
			s.Stop()
		}
		g.streams = append(g.streams, s)
		return true, s, nil
	})
}

// cut ends all streams, and makes new ones fail.
func (g *watching) cut(problem error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.problem = problem
	for _, s := range g.streams {
		s.Stop()
	}
	g.streams = nil
}

func (g *watching) restore() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.problem, g.brief = nil, false
}

// refused is what the dynamic client returns while no API server listens, which the Reflector
// takes for a reason to go on where it was.
var refused = &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}

func TestClusterIsNotSyncedWhileAKindIsNotWatched(t *testing.T) {
	for name, problem := range map[string]error{
		"refused":  refused,
		"starting": apierrors.NewServiceUnavailable("the server is starting"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := newClient(t, object("networking.istio.io/v1", "Gateway", "a", "g"))
			var gatewayList listing
			gatewayList.of(client)
			var gatewayWatch watching
			gatewayWatch.of(client)
			w := run(t, client, nil, core, istio)
			eventually(t, w.Synced, "not synced")
			eventually(t, func() bool { lost, known := w.Lost()[resource.KindGateway]; return known && lost == 0 }, "not watched")

			before := w.watched(resource.KindGateway)
			assert.Equal(t, "gateways.networking.istio.io/v1", before.Resource)
			assert.True(t, before.Current)
			assert.False(t, before.Listed.IsZero())
			assert.NoError(t, before.Problem)

			gatewayWatch.cut(problem)
			gatewayList.set(func() (bool, runtime.Object, error) { return true, nil, problem })
			eventually(t, func() bool { return w.Lost()[resource.KindGateway] > 0 }, "the loss is not noticed")
			// Nobody tells of this one: it is in the next list only.
			require.NoError(t, client.Tracker().Create(gateways, object("networking.istio.io/v1", "Gateway", "a", "meanwhile"), "a"))
			eventually(t, func() bool { return !w.Synced() }, "synced without a watch")
			assert.ErrorContains(t, w.Pending(), "gateways.networking.istio.io have not been watched since 2")
			assert.ErrorIs(t, w.Pending(), problem)
			assert.GreaterOrEqual(t, w.Lost()[resource.KindGateway], grace)
			lost := w.watched(resource.KindGateway)
			assert.False(t, lost.Current)
			assert.ErrorIs(t, lost.Problem, problem)
			assert.Equal(t, before.Listed, lost.Listed)
			assert.True(t, w.has(resource.KindGateway, "a", "g")(), "the last known objects were dropped")
			assert.Contains(t, w.log.String(), `level=WARN msg="the kind is not watched: nothing is judged until it is" resource=gateways.networking.istio.io since=2`)

			gatewayWatch.restore()
			gatewayList.set(nil)
			eventually(t, w.Synced, "not synced with a watch")
			assert.True(t, w.has(resource.KindGateway, "a", "meanwhile")(), "synced without what was created meanwhile")
			require.NoError(t, w.Pending())
			eventually(t, func() bool { return w.Lost()[resource.KindGateway] == 0 }, "not watched again")
			assert.True(t, w.watched(resource.KindGateway).Listed.After(before.Listed))
			assert.Contains(t, w.log.String(), `level=INFO msg="the watch is back" resource=gateways.networking.istio.io`)
		})
	}
}

// watched is what is told of the watch of a kind.
func (w *world) watched(kind resource.Kind) cluster.Watched {
	for _, k := range w.Watched() {
		if k.Kind == kind {
			return k
		}
	}
	return cluster.Watched{}
}

// Every event and every bookmark is a sign of life.
func TestClusterTellsWhenItLastHeardOfAKind(t *testing.T) {
	client := newClient(t)
	var gatewayWatch watching
	gatewayWatch.of(client)
	w := run(t, client, nil, core, istio)
	eventually(t, w.Synced, "not synced")
	for _, event := range []watch.EventType{watch.Bookmark, watch.Added, watch.Modified, watch.Deleted} {
		// What comes of the events before, and of the beginning, is over.
		var before time.Time
		eventually(t, func() bool {
			last := before
			before = w.watched(resource.KindGateway).Heard
			return !before.IsZero() && before.Equal(last) && time.Since(before) > 5*time.Millisecond
		}, "it never rests")
		gatewayWatch.mu.Lock()
		for _, s := range gatewayWatch.streams {
			s.Action(event, object("networking.istio.io/v1", "Gateway", "a", "g"))
		}
		gatewayWatch.mu.Unlock()
		eventually(t, func() bool { return w.watched(resource.KindGateway).Heard.After(before) }, "not heard of: "+string(event))
	}
}

func TestClusterStaysSyncedWhenAWatchEndsAndBeginsAgain(t *testing.T) {
	client := newClient(t)
	var gatewayWatch watching
	gatewayWatch.of(client)
	w := run(t, client, nil, core, istio)
	eventually(t, w.Synced, "not synced")
	gatewayWatch.cut(nil)
	eventually(t, func() bool {
		assert.True(t, w.Synced())
		gatewayWatch.mu.Lock()
		defer gatewayWatch.mu.Unlock()
		return len(gatewayWatch.streams) > 0 && w.Lost()[resource.KindGateway] == 0
	}, "not watched again")
	assert.True(t, w.Synced())
	assert.NotContains(t, w.log.String(), "WARN")
}

// A proxy that accepts watches and cuts them at once must not be taken for an API server that
// has nothing to tell.
func TestClusterIsNotSyncedWhileWatchesAreCutAtOnce(t *testing.T) {
	client := newClient(t)
	var gatewayWatch watching
	gatewayWatch.of(client)
	w := run(t, client, nil, core, istio)
	eventually(t, w.Synced, "not synced")
	eventually(t, func() bool { lost, known := w.Lost()[resource.KindGateway]; return known && lost == 0 }, "not watched")
	gatewayWatch.mu.Lock()
	gatewayWatch.brief = true
	gatewayWatch.mu.Unlock()
	gatewayWatch.cut(nil)
	eventually(t, func() bool { return !w.Synced() }, "synced without a watch that lasts")
	gatewayWatch.restore()
	eventually(t, w.Synced, "not synced with a watch")
}
