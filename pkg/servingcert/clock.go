package servingcert

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

const (
	// precision is how far apart two clocks may be that are taken for the same: a Date is in whole
	// seconds, and answers take their time.
	precision = 3 * time.Second
	// askInterval is how often the API server is asked for the time while this machine has another one.
	askInterval = 10 * time.Second
	// maxSkew is how far this machine's clock may be from the API server's for it to make a CA. One
	// whose clock goes ahead makes a CA that is not valid yet, for all replicas; so little is waited for.
	maxSkew = 5 * time.Minute
)

// serverClock tells the time by the API server's clock, because it is the API server that looks whether
// a certificate is valid. It reads the Date of answers (RFC 9110, section 6.6.1) and goes on from there
// by the monotonic clock, so it does not follow when somebody sets the clock of this machine. Before
// the first answer it tells the time of this machine.
type serverClock struct{ seen atomic.Pointer[reading] }

// reading is what the API server's clock has shown at an instant of the monotonic clock.
type reading struct{ date, at time.Time }

func (c *serverClock) now() time.Time {
	r := c.seen.Load()
	if r == nil {
		return time.Now()
	}
	return r.date.Add(time.Since(r.at))
}

// skew is how far this machine's clock is ahead of the API server's, or zero if they are as good as
// the same.
func (c *serverClock) skew() time.Duration {
	d := time.Now().Round(0).Sub(c.now().Round(0)) // Round takes off the monotonic clock
	if d.Abs() <= precision {
		return 0
	}
	return d
}

// read takes note of the Date of an answer. What differs by its precision alone is no news: else the
// clock would go back and forth.
func (c *serverClock) read(header http.Header) {
	date, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return // a proxy between may leave it out
	}
	if c.seen.Load() == nil || date.Sub(c.now().Round(0)).Abs() > precision {
		c.seen.Store(&reading{date, time.Now()})
	}
}

// follow reads the time of every answer.
func (c *serverClock) follow(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		response, err := next.RoundTrip(r)
		if err == nil {
			c.read(response.Header)
		}
		return response, err
	})
}

// guard refuses to write while this machine's clock is wrong. DynamicAuthority writes nothing but a CA,
// which is valid from the time of this machine on.
func (c *serverClock) guard(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if skew := c.skew(); skew.Abs() > maxSkew && r.Method == http.MethodPut {
			if r.Body != nil {
				_ = r.Body.Close() // as every RoundTripper has to
			}
			return nil, fmt.Errorf("no CA is made: %s", apart(skew))
		}
		return next.RoundTrip(r)
	})
}

// roundTripper is a function as an http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// apart says which way a clock is wrong, as precisely as it is known.
func apart(skew time.Duration) string {
	way := "ahead of"
	if skew < 0 {
		way = "behind"
	}
	return fmt.Sprintf("the clock of this replica is %s %s that of the API server", skew.Abs().Round(precision), way)
}

// keep asks the API server for the time again and again while this machine has another one, until the
// context ends: either clock may have been set since the last answer.
func (c *serverClock) keep(ctx context.Context, ask func(context.Context)) {
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		if c.skew() != 0 {
			ask(ctx)
		}
	}, askInterval)
}
