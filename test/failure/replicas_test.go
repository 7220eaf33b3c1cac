package failure_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gatewarden/gatewarden/test/apiserver"
)

// filed starts two replicas with the certificate of the test environment, and a stream.
func filed(t *testing.T, s *apiserver.Server, args ...string) ([]*replica, *apiserver.Balancer, *apiserver.Stream) {
	t.Helper()
	args = append([]string{"--cert-dir", s.GuardCertDir()}, args...)
	replicas, balancer := guards(t, s, apiserver.Replica{Arguments: args}, apiserver.Replica{Arguments: args})
	ready(t, balancer, 2)
	trusting(t, s, s.GuardCA())
	return replicas, balancer, stream(t, s)
}

// again starts a replica at the address of one that has ended.
func again(t *testing.T, s *apiserver.Server, old *replica) *replica {
	t.Helper()
	return launch(t, s, apiserver.Replica{Address: old.Address, Arguments: []string{"--cert-dir", s.GuardCertDir()}})
}

// within demands that what failed was not judged, for the fault alone: it has begun after start and
// ended when requests had been judged again, a moment after end at the latest. What was judged was
// judged rightly in any case.
func within(t *testing.T, outcomes []apiserver.Outcome, start, end time.Time) {
	t.Helper()
	for _, o := range outcomes {
		assert.Equal(t, apiserver.Unjudged, o.Verdict, o)
		assert.True(t, o.End.After(start) && o.Start.Before(end.Add(time.Second)), "%s, and not from %s to %s", o, start, end)
	}
}

// TestReplicasAreKilled kills one replica, which costs the calls that it had, and then all, after
// which what is guarded can not be changed until one is there again.
func TestReplicasAreKilled(t *testing.T) {
	replicas, balancer, requests := filed(t, server)
	start := time.Now()
	require.NoError(t, replicas[0].Kill())
	ready(t, balancer, 1)
	gone := time.Now()
	judged(t, requests)
	one := requests.Tally().Others
	within(t, one, start, gone)
	t.Logf("%d calls were lost with a replica", len(one))
	replicas[0] = again(t, server, replicas[0])
	ready(t, balancer, 2)
	judged(t, requests)
	assert.Len(t, requests.Tally().Others, len(one))

	// The stream demands at its end that no conflicting object was admitted meanwhile.
	start = time.Now()
	for _, r := range replicas {
		require.NoError(t, r.Kill())
	}
	require.Eventually(t, func() bool { return len(requests.Tally().Others) > len(one)+settled }, patience, poll, "somebody judges")
	unguarded := object("default", "unguarded", "v1", "ConfigMap", nil)
	require.NoError(t, server.Admin.Create(t.Context(), unguarded, client.DryRunAll).Err, "what is not guarded does not depend on it")
	for _, r := range replicas {
		again(t, server, r)
	}
	ready(t, balancer, 2)
	end := time.Now()
	judged(t, requests)
	all := requests.Tally().Others
	within(t, all[len(one):], start, end)
	judged(t, requests)
	assert.Len(t, requests.Tally().Others, len(all))
}

// TestReplicasAreRolled replaces one replica after the other, as a rolling update does. No call fails.
func TestReplicasAreRolled(t *testing.T) {
	replicas, balancer, requests := filed(t, server, "--drain", "3s")
	for _, r := range replicas {
		next := launch(t, server, apiserver.Replica{Arguments: []string{"--cert-dir", server.GuardCertDir()}})
		require.NoError(t, next.WaitUntilReady(t.Context(), nil))
		balancer.Add(next.Address)
		ready(t, balancer, 3)
		require.NoError(t, r.Stop())
		ready(t, balancer, 2)
		judged(t, requests)
	}
	none(t, requests)
}
