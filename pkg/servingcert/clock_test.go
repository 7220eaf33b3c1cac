package servingcert

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// answers is an API server whose clock is ahead by some time.
type answers struct {
	ahead time.Duration
	asked []string
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	a.asked = append(a.asked, r.Method)
	date := time.Now().Add(a.ahead).UTC().Format(http.TimeFormat)
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Header: http.Header{"Date": {date}}}, nil
}

// closing tells whether it was closed.
type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Close() error { c.closed = true; return nil }

func TestServerClockIsThatOfTheAPIServer(t *testing.T) {
	var clock serverClock
	assert.Zero(t, clock.skew(), "nothing is known yet")
	server := &answers{}
	through := clock.guard(clock.follow(server))
	ask := func(method string) (*closing, error) {
		body := &closing{Reader: strings.NewReader("{}")}
		r, err := http.NewRequestWithContext(t.Context(), method, "https://localhost", body)
		require.NoError(t, err)
		response, err := through.RoundTrip(r)
		if err == nil {
			_ = response.Body.Close()
		}
		return body, err
	}
	for _, ahead := range []time.Duration{0, 5 * time.Hour, 0, -5 * time.Hour, 200 * time.Millisecond} {
		server.ahead = ahead
		_, err := ask(http.MethodGet)
		require.NoError(t, err)
		assert.WithinDuration(t, time.Now().Add(ahead), clock.now(), precision)
		assert.InDelta(t, -ahead, clock.skew(), float64(precision))
		server.asked = nil
		body, err := ask(http.MethodPut)
		if ahead.Abs() < time.Hour {
			assert.NoError(t, err)
			assert.Zero(t, clock.skew())
			continue
		}
		way := "behind"
		if ahead < 0 {
			way = "ahead of"
		}
		assert.ErrorContains(t, err, "no CA is made: the clock of this replica is ")
		assert.ErrorContains(t, err, way+" that of the API server")
		assert.True(t, body.closed)
		assert.Empty(t, server.asked)
	}
	clock.read(http.Header{})
	clock.read(http.Header{"Date": {"yesterday"}})
	assert.Zero(t, clock.skew())
}

// The Date is cut to seconds, and the clock goes on evenly all the same.
func TestServerClockDoesNotWaver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var clock serverClock
		for range 50 {
			clock.read(http.Header{"Date": {time.Now().UTC().Format(http.TimeFormat)}})
			assert.WithinDuration(t, time.Now(), clock.now(), 0)
			time.Sleep(300 * time.Millisecond)
		}
	})
}

func TestServerClockAsksWhileTheClocksDiffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var clock serverClock
		var asked int
		done := make(chan struct{})
		go func() {
			defer close(done)
			clock.keep(ctx, func(context.Context) { asked++ })
		}()
		time.Sleep(time.Hour)
		synctest.Wait()
		assert.Zero(t, asked)
		clock.read(http.Header{"Date": {time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)}})
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Equal(t, 6, asked)
		cancel()
		<-done
	})
}

// It ends by the time of day, whatever timers say.
func TestSelfSignedRenewsWhatIsNotValid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := NewSelfSigned([]string{"localhost"}, 90*time.Hour)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Start(ctx) }()
		for _, by := range []time.Duration{-91 * time.Hour, 3 * time.Hour} {
			leaf := *s.current.Load().Leaf
			leaf.NotBefore, leaf.NotAfter = leaf.NotBefore.Add(by), leaf.NotAfter.Add(by)
			s.current.Store(&tls.Certificate{Leaf: &leaf})
			require.Error(t, s.Healthy())
			time.Sleep(lookInterval)
			synctest.Wait()
			assert.NoError(t, s.Healthy())
		}
		cancel()
		assert.NoError(t, <-done)
	})
}
