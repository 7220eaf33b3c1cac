package auditsink

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// Lease is the name of the Lease that the replica holds that writes to the cluster.
const Lease = "gatewarden-audit"

// Nothing is lost while nobody leads, so the Lease is renewed at leisure. That a replica gives it
// back at its end must fit in the grace period of deploy/base/deployment.yaml.
const (
	leaseDuration = 30 * time.Second
	renewDeadline = 10 * time.Second
	retryPeriod   = 5 * time.Second
)

// Leadership tells whether this replica is the one that writes to the cluster.
type Leadership struct {
	elector *leaderelection.LeaderElector
	// leading is a context that ends with the leadership that was won last.
	leading atomic.Pointer[context.Context]
}

// NewLeadership makes a candidate for the Lease of a namespace. The identity is that of no other
// replica. Won is called whenever it has become the leader.
func NewLeadership(config *rest.Config, namespace, identity string, log *slog.Logger, won func()) (*Leadership, error) {
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
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: namespace, Name: Lease},
			Client:     client,
			LockConfig: resourcelock.ResourceLockConfig{Identity: identity},
		},
		LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod,
		ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) {
				l.leading.Store(&ctx)
				log.Info("this replica writes what audits find from now on", "lease", namespace+"/"+Lease)
				won()
			},
			OnStoppedLeading: func() {
				if l.leading.Swap(nil) != nil { // its context has ended already
					log.Info("another one writes what audits find from now on", "lease", namespace+"/"+Lease)
				}
			},
		},
	})
	return l, err
}

// Run is a candidate, and a leader, again and again until the context ends.
func (l *Leadership) Run(ctx context.Context) {
	for ctx.Err() == nil {
		l.elector.Run(ctx)
	}
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
