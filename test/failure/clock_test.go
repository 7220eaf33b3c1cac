package failure_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gatewarden/gatewarden/pkg/cli"
	"github.com/gatewarden/gatewarden/test/apiserver"
)

const day = 24 * time.Hour

// movable builds the program whose time can be moved, once. That takes a minute or two the first time,
// because everything that it consists of is built anew.
var movable = sync.OnceValues(func() (string, error) { return apiserver.BuildMovableGuard(context.Background(), programs) })

// clocks makes a clock for each of two replicas.
func clocks(t *testing.T) [2]*apiserver.Clock {
	t.Helper()
	var out [2]*apiserver.Clock
	for i := range out {
		clock, err := apiserver.NewClock(t.TempDir())
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, clock.Close()) })
		out[i] = clock
	}
	return out
}

// clocked are two replicas with a clock each.
func clocked(t *testing.T, args ...string) ([2]*apiserver.Clock, []apiserver.Replica) {
	t.Helper()
	path, err := movable()
	require.NoError(t, err)
	times := clocks(t)
	var replicas []apiserver.Replica
	for _, c := range times {
		replicas = append(replicas, apiserver.Replica{Program: path, Clock: c, Arguments: append([]string{"--ledger", "cluster"}, args...)})
	}
	return times, replicas
}

// said waits until a replica has logged a text some times.
func said(t *testing.T, r *replica, times int, text string) {
	t.Helper()
	require.Eventually(t, func() bool { return strings.Count(r.log.String(), text) >= times }, patience, poll, "%q is not said", text)
}

// clash stores a Gateway, and sees that nobody gets its host. The stream's requests are dry runs, of
// which the ledger does not know.
func clash(t *testing.T) {
	t.Helper()
	first, second := gateway("team-a", "first", "shop.example.org"), gateway("team-b", "second", "shop.example.org")
	require.NoError(t, server.Admin.Load(t.Context(), namespace("team-a"), namespace("team-b")))
	require.NoError(t, server.Admin.Create(t.Context(), first).Err)
	require.ErrorContains(t, server.Admin.Create(t.Context(), second).Err, "GWD206")
	require.NoError(t, server.Admin.Delete(t.Context(), first).Err)
	require.Eventually(t, func() bool { return server.Admin.Create(t.Context(), second).Err == nil }, patience, poll, "what is gone is in the way")
	require.NoError(t, server.Admin.Delete(t.Context(), second).Err)
}

// TestTheClockJumps sets the clocks of two replicas forth and back, away from that of the API server and
// from each other. While the certificate is valid nobody notices. When it is not, for one replica,
// that one is not called, and for both nobody judges until the clocks are right again.
func TestTheClockJumps(t *testing.T) {
	made := time.Now()
	secret := mounted{t.TempDir()}
	long := pairFor(t, made.Add(-30*day), made.Add(30*day))
	secret.set(t, long)
	times, replicas := clocked(t, "--cert-dir", secret.dir)
	guards, balancer := guards(t, server, replicas...)
	ready(t, balancer, 2)
	trusting(t, server, long.ca)
	requests := stream(t, server)
	jumps := []time.Duration{5 * time.Hour, -5 * time.Hour, 20 * day, -20 * day, 0}
	for _, by := range jumps {
		require.NoError(t, times[0].Move(by))
		require.NoError(t, times[1].Move(-by/2))
		end := time.Now().Add(*lasting / time.Duration(len(jumps)))
		for time.Now().Before(end) {
			judged(t, requests)
			clash(t)
		}
		none(t, requests)
		assert.Len(t, balancer.Ready(), 2)
	}

	for i, out := range []struct {
		by   time.Duration
		says string
	}{{40 * day, "the serving certificate expired at"}, {-40 * day, "the serving certificate is valid from"}} {
		start, before := time.Now(), requests.Tally().Others
		require.NoError(t, times[i].Move(out.by))
		ready(t, balancer, 1-i)
		said(t, guards[i], 1, out.says)
		if i == 0 {
			judged(t, requests)
			lost := requests.Tally().Others[len(before):]
			within(t, lost, start, time.Now())
			assert.LessOrEqual(t, len(lost), 20, "a replica that is not ready is called again and again")
			t.Logf("%d calls were lost when the clock of one of two replicas jumped", len(lost))
		}
	}
	before := len(requests.Tally().Others)
	require.Eventually(t, func() bool { return len(requests.Tally().Others) > before+settled }, patience, poll, "somebody judges")
	for _, c := range times {
		require.NoError(t, c.Move(0))
	}
	ready(t, balancer, 2)
	judged(t, requests)
	lost := requests.Tally().Others
	assert.Empty(t, apiserver.Tally{Others: lost}.Of(apiserver.Unanswered))
	judged(t, requests)
	clash(t)
	assert.Len(t, requests.Tally().Others, len(lost))
}

// TestTheClockJumpsPastManagedCertificates sets the clock of one of two replicas that make their certificates
// by themselves. What it makes meanwhile would not be accepted by the API server, so it keeps what it has, and
// so does the other one. No call fails.
func TestTheClockJumpsPastManagedCertificates(t *testing.T) {
	times, replicas := clocked(t, "--certificate-duration", "72h", "--ca-duration", "720h")
	guards, requests := managedBy(t, replicas...)
	shake := handshakes(t, server, "localhost", guards...)
	ca, leaf := authority(t), served(t, guards[0])
	complaints := strings.Count(guards[0].log.String(), "not ready: ")
	for n, by := range []time.Duration{4 * day, -4 * day, 25 * day} {
		require.NoError(t, times[0].Move(by))
		way := "ahead of"
		if by < 0 {
			way = "behind"
		}
		says := fmt.Sprintf("the clock of this replica is %s %s that of the API server", by.Abs(), way)
		said(t, guards[0], 1, says)
		assert.Contains(t, guards[0].log.String(), "a new serving certificate is not used while the old one is valid")
		if by > 20*day { // two thirds of the CA's time are over for this replica
			said(t, guards[0], 1, "no CA is made: "+says)
		}
		judged(t, requests)
		assert.Equal(t, leaf, served(t, guards[0]))
		assert.Equal(t, ca, authority(t))

		// Right again, it makes another one, which is of that time.
		require.NoError(t, times[0].Move(0))
		require.Eventually(t, func() bool { return !bytes.Equal(leaf, served(t, guards[0])) }, patience, poll, "%d", n)
		leaf = served(t, guards[0])
		judged(t, requests)
	}

	// By a little, it makes one that is valid.
	require.NoError(t, times[0].Move(-8*time.Hour))
	require.Eventually(t, func() bool { return !bytes.Equal(leaf, served(t, guards[0])) }, patience, poll)
	judged(t, requests)
	none(t, requests)
	shake()
	assert.Equal(t, complaints, strings.Count(guards[0].log.String(), "not ready: "), "it is ready all the time")
}

// TestTheClockJumpsPastTheAPIServersCertificates sets the clock of a replica past the ends of the certificates by
// which the API server calls and is called. It takes calls for nobody's, and cannot connect again.
func TestTheClockJumpsPastTheAPIServersCertificates(t *testing.T) {
	s, trust := presenting(t)
	way, err := apiserver.StartProxy("127.0.0.1:0", s.Address)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, way.Stop()) })
	secret := mounted{t.TempDir()}
	long := pairFor(t, time.Now().Add(-30*day), time.Now().Add(5000*day))
	secret.set(t, long)
	times, replicas := clocked(t, "--cert-dir", secret.dir, "--client-ca-file", trust)
	replicas[0].APIServer = way.Address()
	guards, balancer := guards(t, s, replicas[0])
	ready(t, balancer, 1)
	trusting(t, s, long.ca)
	requests := stream(t, s)
	none(t, requests)

	require.NoError(t, times[0].Move(2*time.Hour))
	require.Eventually(t, func() bool { return len(requests.Tally().Others) > settled }, patience, poll, "the client certificate is accepted")
	assert.Contains(t, requests.Tally().Others[settled].Err.Error(), "is not accepted: x509: certificate has expired")
	assert.Len(t, balancer.Ready(), 1)
	require.NoError(t, times[0].Move(0))
	judged(t, requests)

	require.NoError(t, times[0].Move(4000*day))
	way.Cut()
	ready(t, balancer, 0)
	way.Mend()
	said(t, guards[0], 1, "tls: failed to verify certificate: x509: certificate has expired")
	require.NoError(t, times[0].Move(0))
	ready(t, balancer, 1)
	// Watches come back one after the other, and each may be missed for a moment until it has.
	for end := time.Now().Add(patience); ; {
		before := len(requests.Tally().Others)
		judged(t, requests)
		if len(requests.Tally().Others) == before {
			break
		}
		require.True(t, time.Now().Before(end), "calls are lost still: %v", requests.Tally().Others[before:])
	}
}

// TestExemptionsEndByTheClock moves the end of an exemption into the past and back.
func TestExemptionsEndByTheClock(t *testing.T) {
	var good, complaints bytes.Buffer
	require.Zero(t, cli.Main([]string{"config"}, strings.NewReader(""), &good, &complaints), complaints.String())
	file := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, `%s
exemptions:
- reason: it moves
  objects: [{namespace: team-a}]
  expires: %s
`, good.Bytes(), time.Now().Add(3*day).UTC().Format(time.DateOnly)), 0o600))
	times, replicas := clocked(t, "--cert-dir", server.GuardCertDir(), "--config", file)
	_, balancer := guards(t, server, replicas...)
	ready(t, balancer, 2)
	trusting(t, server, server.GuardCA())
	requests := stream(t, server)
	require.NoError(t, server.Admin.Load(t.Context(), namespace("team-a")))
	twin := gateway("team-a", "twin", "deploykf.example.com")
	ask := func() error { return server.Admin.Create(t.Context(), twin, client.DryRunAll).Err }
	require.NoError(t, ask())
	for _, by := range []time.Duration{5 * day, 0} {
		for _, c := range times {
			require.NoError(t, c.Move(by))
		}
		// Of both replicas, each of which looks every ten seconds.
		for asked := 0; asked < 20; asked++ {
			require.Eventually(t, func() bool { return (ask() == nil) == (by == 0) }, patience, poll)
		}
	}
	judged(t, requests)
	none(t, requests)
}
