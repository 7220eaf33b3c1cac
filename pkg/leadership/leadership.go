// Package leadership lets one of several replicas write to the cluster, by a Lease. It must be
// no harm if two of them do for a moment: a leader learns of another one only when its next
// renewal fails.
package leadership

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	coordination "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationv1apply "k8s.io/client-go/applyconfigurations/coordination/v1"
	coordinationv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// Lease is the name of the Lease that the leader holds.
const Lease = "gatewarden"

// fieldManager is who has made the Lease.
const fieldManager = "gatewarden-leadership"

// Duration is how long a Lease lasts that is not renewed, and so how long nobody may lead.
// Nothing is lost meanwhile, so the Lease is renewed at leisure.
const Duration = 30 * time.Second

// That a replica gives the Lease back at its end must fit in the grace period of
// deploy/base/deployment.yaml.
const (
	renewDeadline = 10 * time.Second
	retryPeriod   = 5 * time.Second
)

// Leadership tells whether this replica is the leader. The zero value never is. Its methods are
// safe for concurrent use, but for Run, which may be called once.
type Leadership struct {
	elector *leaderelection.LeaderElector
	// leading is a context that ends with the leadership that was won last.
	leading atomic.Pointer[context.Context]

	mu  sync.Mutex
	won []func()
}

// New makes a candidate for the Lease of a namespace. The identity is that of no other replica.
func New(config *rest.Config, namespace, identity string, log *slog.Logger) (*Leadership, error) {
	config = rest.CopyConfig(config)
	// A request that hangs must not cost the leadership.
	config.Timeout = renewDeadline / 2
	client, err := coordinationv1.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	l := &Leadership{}
	l.elector, err = leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Name: Lease,
		Lock: &lock{
			LeaseLock: &resourcelock.LeaseLock{
				LeaseMeta:  metav1.ObjectMeta{Namespace: namespace, Name: Lease},
				Client:     client,
				LockConfig: resourcelock.ResourceLockConfig{Identity: identity},
			},
			leases: client.Leases(namespace),
		},
		LeaseDuration: Duration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod,
		ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) {
				log.Info("this replica leads from now on: it writes to the cluster", "lease", namespace+"/"+Lease)
				l.Lead(ctx)
			},
			OnStoppedLeading: func() {
				if l.leading.Swap(nil) != nil { // its context has ended already
					log.Info("this replica leads no more", "lease", namespace+"/"+Lease)
				}
			},
		},
	})
	return l, err
}

// lock makes its Lease by server-side apply. That is a patch of a name, and so the API server asks for the
// permission to create with that name, which a plain create does not have (patch.go in k8s.io/apiserver
// pkg/endpoints/handlers).
type lock struct {
	*resourcelock.LeaseLock
	leases coordinationv1.LeaseInterface
}

// Create makes the Lease and takes it, unless somebody else has.
func (l *lock) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	empty := coordinationv1apply.Lease(l.LeaseMeta.Name, l.LeaseMeta.Namespace)
	if _, err := l.leases.Apply(ctx, empty, metav1.ApplyOptions{FieldManager: fieldManager}); err != nil {
		return err
	}
	there, _, err := l.Get(ctx) // which Update writes over, if nobody has since
	if err != nil {
		return err
	}
	if there.HolderIdentity != "" {
		return apierrors.NewAlreadyExists(coordination.Resource("leases"), l.LeaseMeta.Name)
	}
	return l.Update(ctx, record)
}

// OnWon has f called whenever this replica becomes the leader. It must return soon.
func (l *Leadership) OnWon(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.won = append(l.won, f)
}

// Run is a candidate, and a leader, again and again until the context ends.
func (l *Leadership) Run(ctx context.Context) {
	for ctx.Err() == nil {
		l.elector.Run(ctx)
	}
}

// Lead makes this replica the leader until the context ends, whoever else leads: for a process
// that is alone.
func (l *Leadership) Lead(ctx context.Context) {
	l.leading.Store(&ctx)
	l.mu.Lock()
	won := l.won
	l.mu.Unlock()
	for _, f := range won {
		f()
	}
}

// Leading reports whether this replica is the leader.
func (l *Leadership) Leading() bool {
	current := l.leading.Load()
	return current != nil && (*current).Err() == nil
}

// Of returns a context that ends with ctx or with the leadership, and whether there is one.
func (l *Leadership) Of(ctx context.Context) (_ context.Context, end context.CancelFunc, leading bool) {
	ctx, cancel := context.WithCancel(ctx)
	current := l.leading.Load()
	if current == nil || (*current).Err() != nil {
		return ctx, cancel, false
	}
	stop := context.AfterFunc(*current, cancel)
	return ctx, func() { stop(); cancel() }, true
}
