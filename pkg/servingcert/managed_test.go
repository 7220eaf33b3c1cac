package servingcert

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestManagedShowsALeafWhenItIsTrusted(t *testing.T) {
	start := time.Now().Add(-30 * time.Minute) // all leaves are valid now, as Healthy sees it
	first, second := newCA(t, "ca", start, 24*time.Hour), newCA(t, "ca", start, 24*time.Hour)
	placeholder, err := NewSelfSigned([]string{"localhost"}, 0)
	require.NoError(t, err)
	m := &Managed{settle: 5 * time.Second}
	m.shown.Store(&shown{placeholder.current.Load(), errors.New("nothing yet")})
	leaf := func(c ca, made time.Duration) *tls.Certificate {
		l := c.leaf(t, start.Add(made), time.Hour)
		return &tls.Certificate{Certificate: [][]byte{l.Raw}, Leaf: l}
	}
	one, both, other := []configuration{holding(encode(t, first))}, []configuration{holding(encode(t, first, second))}, []configuration{holding(encode(t, second))}
	offer := func(c *tls.Certificate, there []configuration, at time.Duration) *tls.Certificate {
		m.offer(c, there, start.Add(at))
		got, err := m.GetCertificate(nil)
		require.NoError(t, err)
		return got
	}

	// At the start there is nothing better, but it is told that nobody trusts it.
	a := leaf(first, 0)
	assert.Same(t, a, offer(a, []configuration{holding("")}, time.Second))
	assert.ErrorContains(t, m.Healthy(), "the caBundle of webhook a.gatewarden.io of ValidatingWebhookConfiguration gatewarden does not have its CA")
	assert.True(t, m.NotAfter().IsZero())
	offer(a, one, 10*time.Second)
	assert.ErrorContains(t, m.Healthy(), "it will be in 5s")
	offer(a, one, 12*time.Second)
	assert.ErrorContains(t, m.Healthy(), "it will be in 3s")
	offer(a, one, 15*time.Second)
	assert.NoError(t, m.Healthy())
	assert.Equal(t, a.Leaf.NotAfter, m.NotAfter())

	// The next one of the same CA must be as old as a clock may be behind.
	b := leaf(first, 20*time.Second)
	assert.Same(t, a, offer(b, one, 21*time.Second))
	assert.NoError(t, m.Healthy())
	assert.Same(t, b, offer(b, one, 26*time.Second))

	// One of another CA waits until every webhook has trusted that for as long.
	c := leaf(second, 30*time.Second)
	assert.Same(t, b, offer(c, one, time.Minute))
	assert.Same(t, b, offer(c, append(one, both...), time.Minute))
	assert.Same(t, b, offer(c, both, 2*time.Minute))
	assert.Same(t, b, offer(c, one, 2*time.Minute+4*time.Second), "somebody takes the new CA away")
	assert.Same(t, b, offer(c, both, 2*time.Minute+6*time.Second))
	assert.Same(t, b, offer(c, both, 2*time.Minute+10*time.Second))
	assert.NoError(t, m.Healthy())
	assert.Same(t, c, offer(c, both, 2*time.Minute+11*time.Second))

	// If the old CA is trusted no more there is nothing to wait for.
	d := leaf(first, 3*time.Minute)
	assert.Same(t, c, offer(d, other, 3*time.Minute))
	assert.Same(t, d, offer(d, one, 4*time.Minute))

	// Without any configuration nobody calls.
	e := leaf(second, 5*time.Minute)
	assert.Same(t, d, offer(e, nil, 5*time.Minute+time.Second))
	assert.Same(t, e, offer(e, nil, 5*time.Minute+7*time.Second))

	// What has expired is not kept, and not hidden.
	f := leaf(first, 70*time.Minute)
	assert.Same(t, f, offer(f, other, 71*time.Minute))
	assert.ErrorContains(t, m.Healthy(), "does not have its CA")
}

// A replica whose clock is wrong makes leaves that the API server does not accept.
func TestManagedKeepsTheOldLeafWhileTheClockIsWrong(t *testing.T) {
	now := time.Now()
	c := newCA(t, "ca", now.Add(-time.Hour), 1000*time.Hour)
	there := []configuration{holding(encode(t, c))}
	leaf := func(made time.Duration) *tls.Certificate {
		l := c.leaf(t, now.Add(made), 48*time.Hour)
		return &tls.Certificate{Certificate: [][]byte{l.Raw}, Leaf: l}
	}
	var log bytes.Buffer
	m := &Managed{settle: 5 * time.Second, o: ManagedOptions{Log: slog.New(slog.NewTextHandler(&log, nil))}}
	good, early, over := leaf(-time.Minute), leaf(72*time.Hour), leaf(-72*time.Hour)
	m.shown.Store(&shown{cert: good})
	for range 2 {
		m.offer(early, there, now)
	}
	assert.Same(t, good, m.shown.Load().cert)
	assert.NoError(t, m.Healthy())
	assert.Equal(t, 1, bytes.Count(log.Bytes(), []byte("\n")), "it is told once")
	assert.Contains(t, log.String(), "a new serving certificate is not used while the old one is valid")
	log.Reset()
	m.offer(over, there, now)
	assert.Same(t, good, m.shown.Load().cert)
	assert.Contains(t, log.String(), "it is valid from "+over.Leaf.NotBefore.UTC().Format(time.RFC3339))
	m.offer(early, []configuration{holding("no PEM")}, now)
	assert.Same(t, good, m.shown.Load().cert)
	m.offer(early, there, now)
	assert.Same(t, good, m.shown.Load().cert, "the old one is as good as before")

	// It is not hidden when there is nothing better.
	m.shown.Store(&shown{over, nil})
	m.offer(early, there, now)
	assert.Same(t, early, m.shown.Load().cert)
	assert.ErrorContains(t, m.Healthy(), "the serving certificate is not in use: it is valid from "+early.Leaf.NotBefore.UTC().Format(time.RFC3339))

	// When the clock that has gone ahead is set back, the one that is right is shown as ever.
	next := leaf(0)
	m.offer(next, there, now.Add(time.Minute))
	m.offer(next, there, now)
	m.offer(next, there, now.Add(m.settle))
	assert.Same(t, next, m.shown.Load().cert)
	assert.NoError(t, m.Healthy())
}

// A replica whose clock is behind that of the one which made the CA signs leaves that seem to be
// older than the CA.
func TestManagedTrustsALeafThatSeemsOlderThanItsCA(t *testing.T) {
	now := time.Now()
	c := newCA(t, "ca", now, 24*time.Hour)
	name, from := untrusting([]configuration{holding(encode(t, c))}, c.leaf(t, now.Add(-time.Minute), time.Hour))
	assert.Empty(t, name)
	assert.Equal(t, c.NotBefore, from, "but not before its CA is valid")
}

func TestManagedChecksDurations(t *testing.T) {
	assert.NoError(t, CheckDurations(DefaultCADuration, DefaultLeafDuration))
	assert.ErrorContains(t, CheckDurations(time.Hour, time.Second), "can not be renewed in time: use 15s or more")
	assert.ErrorContains(t, CheckDurations(time.Hour, 30*time.Minute), "use 1h30m0s or more, 3 times as much")
}

func TestBetterIsWhatIsValid(t *testing.T) {
	now := time.Now()
	at := func(start, end time.Duration) *x509.Certificate {
		return &x509.Certificate{NotBefore: now.Add(start), NotAfter: now.Add(end)}
	}
	good, expired, early := at(-time.Hour, time.Hour), at(-time.Hour, -time.Minute), at(time.Minute, time.Hour)
	assert.True(t, better(good, expired, now))
	assert.True(t, better(good, early, now))
	assert.False(t, better(good, good, now), "the new one")
	assert.False(t, better(expired, early, now), "neither is valid: the new one")
	assert.False(t, better(expired, good, now))
}
