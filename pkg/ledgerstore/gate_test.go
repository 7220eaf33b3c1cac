package ledgerstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/ledger"
	"github.com/gatewarden/gatewarden/pkg/ledgerstore"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
)

// patience bounds what a test waits for. Nothing takes that long unless it is broken.
const patience = 20 * time.Second

// counts is a Recorder.
type counts struct {
	mu                                sync.Mutex
	reserved, failed, waited, refused int
	settled                           []string
}

func (c *counts) Reserved(time.Duration) { c.add(&c.reserved) }
func (c *counts) ReserveFailed()         { c.add(&c.failed) }
func (c *counts) Conflict(refused bool) {
	if refused {
		c.add(&c.refused)
	} else {
		c.add(&c.waited)
	}
}

func (c *counts) Settled(outcome string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settled = append(c.settled, outcome)
}

func (c *counts) add(n *int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*n++
}

func (c *counts) get(n *int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return *n
}

// replica is a running Gate.
type replica struct {
	*ledgerstore.Gate
	writer *state.Writer
	counts *counts
	synced atomic.Bool
}

func start(t *testing.T, o ledgerstore.Options) *replica {
	t.Helper()
	r := &replica{writer: state.NewWriter(), counts: &counts{}}
	r.synced.Store(true)
	o.Writer, o.Recorder, o.Replica = r.writer, r.counts, "this one"
	o.State = func() (*state.Snapshot, bool) { return r.writer.Snapshot(), r.synced.Load() }
	if o.Store == nil {
		o.Store = &ledgerstore.Memory{}
	}
	r.Gate = ledgerstore.NewGate(o)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
	<-r.Listed()
	// A change that needs nothing tells when it is ready.
	require.Eventually(t, func() bool {
		_, _, err := r.Admit(t.Context(), ledger.Change{Key: key("probe"), Operation: policy.Delete}, nil, denies)
		return err == nil
	}, patience, time.Millisecond)
	require.Eventually(t, func() bool { return r.Held() == 0 }, patience, time.Millisecond, "a change that is denied holds nothing")
	return r
}

func denies(*state.Snapshot) policy.Decision {
	return policy.Decision{Findings: []policy.Finding{{Rule: "GWD201", Effect: policy.Deny}}}
}

func key(name string) resource.Key {
	return resource.Key{Kind: resource.KindGateway, Namespace: "n", Name: name}
}

func gateway(name, host string) *resource.Gateway {
	return &resource.Gateway{
		Meta:    resource.Meta{Namespace: "n", Name: name, UID: "uid of " + name, Version: 5},
		Servers: []resource.Server{{Hosts: []string{host}}},
	}
}

// create asks for a Gateway that nobody else may have the host of.
func (r *replica) create(ctx context.Context, name, host string) (ledger.Verdict, *ledger.Refusal, error) {
	o := gateway(name, host)
	return r.Admit(ctx, ledger.Change{Key: key(name), Operation: policy.Create, Object: o, UID: o.UID, Requester: "user of " + name}, nil,
		func(s *state.Snapshot) policy.Decision {
			var d policy.Decision
			s.Each(resource.KindGateway, "", func(other resource.Object) bool {
				if other.Key() != key(name) && other.(*resource.Gateway).Servers[0].Hosts[0] == host {
					d = denies(nil)
				}
				return true
			})
			return d
		})
}

func TestOfManyThatConflictOneIsAdmitted(t *testing.T) {
	r := start(t, ledgerstore.Options{Wait: time.Millisecond})
	var admitted, refused atomic.Int32
	var group sync.WaitGroup
	for i := range 50 {
		group.Go(func() {
			verdict, refusal, err := r.create(t.Context(), fmt.Sprint("g", i), "h")
			switch {
			case assert.NoError(t, err) && refusal != nil:
				refused.Add(1)
				assert.NotEmpty(t, refusal.By)
				assert.True(t, verdict.Decision.Denied())
			case !verdict.Decision.Denied():
				admitted.Add(1)
			}
		})
	}
	group.Wait()
	assert.EqualValues(t, 1, admitted.Load())
	assert.EqualValues(t, 49, refused.Load())
	assert.Equal(t, 49, r.counts.get(&r.counts.refused))
}

func TestARefusalTellsWhomItIsFor(t *testing.T) {
	r := start(t, ledgerstore.Options{Wait: time.Millisecond, Lifetime: time.Hour})
	_, refusal, err := r.create(t.Context(), "first", "h")
	require.NoError(t, err)
	require.Nil(t, refusal)
	_, refusal, err = r.create(t.Context(), "second", "h")
	require.NoError(t, err)
	require.NotNil(t, refusal)
	require.Len(t, refusal.By, 1)
	assert.Equal(t, key("first"), refusal.By[0].Key)
	assert.Equal(t, "user of first", refusal.By[0].Requester)
	assert.Equal(t, "this one", refusal.By[0].Replica)
	left := time.Until(refusal.Until)
	assert.Greater(t, left, 59*time.Minute)
	assert.Less(t, left, 61*time.Minute)
	// As often as client-go tries, it takes longer than the claim is held.
	assert.Greater(t, 10*refusal.After, left)

	// The same object may be asked for again, and one that is in nobody's way.
	for _, c := range [][2]string{{"first", "h"}, {"third", "i"}} {
		verdict, refusal, err := r.create(t.Context(), c[0], c[1])
		require.NoError(t, err)
		assert.Nil(t, refusal)
		assert.False(t, verdict.Decision.Denied(), c)
	}
}

func TestOneThatWaitsIsToldWhatBecameOfTheOther(t *testing.T) {
	r := start(t, ledgerstore.Options{Wait: time.Hour})
	_, _, err := r.create(t.Context(), "first", "h")
	require.NoError(t, err)
	ended := make(chan ledger.Verdict)
	go func() {
		verdict, _, _ := r.create(t.Context(), "second", "h")
		ended <- verdict
	}()
	require.Eventually(t, func() bool { return r.Held() == 2 }, patience, time.Millisecond)
	r.writer.Apply(gateway("first", "h"))
	verdict := <-ended
	assert.True(t, verdict.Decision.Denied())
	assert.Empty(t, verdict.By, "it is denied for what is stored")
	require.Eventually(t, func() bool { return r.Held() == 0 }, patience, time.Millisecond)
	assert.Equal(t, 1, r.counts.get(&r.counts.waited))
}

func TestAClaimIsFreeWhenItsLifetimeIsOverAndItWasNotStored(t *testing.T) {
	asked := make(chan resource.Key, 100)
	r := start(t, ledgerstore.Options{
		Wait: patience, Lifetime: 50 * time.Millisecond,
		Live: func(_ context.Context, k resource.Key) (ledger.Live, error) {
			asked <- k
			if k == key("stored") {
				return ledger.Live{Present: true, UID: "uid of stored", Version: 9}, nil
			}
			if k == key("unknown") {
				return ledger.Live{}, errors.New("no answer")
			}
			return ledger.Live{}, nil
		},
	})
	for _, c := range [][2]string{{"gone", "h"}, {"stored", "i"}, {"unknown", "j"}} {
		_, refusal, err := r.create(t.Context(), c[0], c[1])
		require.NoError(t, err)
		require.Nil(t, refusal)
	}
	verdict, refusal, err := r.create(t.Context(), "second", "h")
	require.NoError(t, err)
	assert.Nil(t, refusal)
	assert.False(t, verdict.Decision.Denied())
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	for _, host := range []string{"i", "j"} {
		_, refusal, err = r.create(ctx, "third", host)
		require.Condition(t, func() bool { return err != nil || refusal != nil }, "%s: what is stored, or may be, is held", host)
	}
}

// broken is a Store that cannot be written.
type broken struct{ ledgerstore.Memory }

func (*broken) Reserve(context.Context, string, ledger.Change, []byte) (ledger.Revision, error) {
	return 0, errors.New("forbidden")
}

func TestWhatCannotBeReservedIsNotJudged(t *testing.T) {
	writer := state.NewWriter()
	g := ledgerstore.NewGate(ledgerstore.Options{
		Store: &broken{}, Writer: writer, State: func() (*state.Snapshot, bool) { return writer.Snapshot(), true },
	})
	allow := func(*state.Snapshot) policy.Decision { return policy.Decision{} }
	_, _, err := g.Admit(t.Context(), ledger.Change{Key: key("a")}, nil, allow)
	require.ErrorIs(t, err, ledger.ErrUnlisted)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); g.Run(ctx) }()
	defer func() { cancel(); <-done }()
	require.Eventually(t, func() bool {
		_, _, err := g.Admit(t.Context(), ledger.Change{Key: key("a")}, nil, allow)
		return err != nil && !errors.Is(err, ledger.ErrUnlisted)
	}, patience, time.Millisecond)
	_, _, err = g.Admit(t.Context(), ledger.Change{Key: key("a")}, nil, allow)
	assert.ErrorContains(t, err, "the change cannot be entered into the ledger: forbidden")
}

func TestNothingIsAdmittedWhileTheStateIsLoaded(t *testing.T) {
	r := start(t, ledgerstore.Options{})
	r.synced.Store(false)
	_, _, err := r.create(t.Context(), "a", "h")
	assert.ErrorContains(t, err, "being loaded")
	assert.Equal(t, 1, r.Held(), "failurePolicy may let it through")
}
