package failure_test

import (
	"context"
	"flag"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gatewarden/gatewarden/test/apiserver"
)

// lasting is how long a fault lasts that could last for minutes. "make soak" has them do so.
var lasting = flag.Duration("lasting", 3*time.Second, "how long faults last")

// own starts an API server for one test.
func own(t *testing.T, o apiserver.Options) *apiserver.Server {
	t.Helper()
	o.RequestTimeout = 10 * time.Second
	s, err := apiserver.Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop()) })
	return s
}

// TestTheAPIServerRestarts holds that an API server which comes up admits nothing unasked, and that
// replicas judge again without help.
func TestTheAPIServerRestarts(t *testing.T) {
	s := own(t, apiserver.Options{})
	_, balancer, requests := filed(t, s)
	require.NoError(t, s.StopAPIServer(t.TempDir()))
	require.NoError(t, s.StartAPIServer())
	ready(t, balancer, 2)
	judged(t, requests)
	assert.NotEmpty(t, requests.Tally().Of(apiserver.Unanswered), "it was not down")
	before := requests.Tally().Others
	judged(t, requests)
	assert.Len(t, requests.Tally().Others, len(before))
}

// TestEtcdIsSlow has everything that passes between kube-apiserver and etcd wait. No call fails.
func TestEtcdIsSlow(t *testing.T) {
	s := own(t, apiserver.Options{EtcdProxy: true})
	_, _, requests := filed(t, s)
	s.Etcd.Delay(300 * time.Millisecond)
	end := time.Now().Add(*lasting)
	for time.Now().Before(end) {
		judged(t, requests)
		// What is stored passes by etcd several times, and comes back to the replicas.
		stored := object("default", "slow", "v1", "ConfigMap", nil)
		require.NoError(t, s.Admin.Create(t.Context(), stored).Err)
		require.NoError(t, s.Admin.Delete(t.Context(), stored).Err)
	}
	s.Etcd.Delay(0)
	judged(t, requests)
	none(t, requests)
}

// cut starts two replicas behind a Proxy each, before the API server.
func cut(t *testing.T) ([]*apiserver.Proxy, *apiserver.Balancer) {
	t.Helper()
	ways := make([]*apiserver.Proxy, 2)
	replicas := make([]apiserver.Replica, 2)
	for i := range ways {
		way, err := apiserver.StartProxy("127.0.0.1:0", server.Address)
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, way.Stop()) })
		ways[i] = way
		replicas[i] = apiserver.Replica{APIServer: way.Address(), Arguments: []string{"--cert-dir", server.GuardCertDir()}}
	}
	_, balancer := guards(t, server, replicas...)
	ready(t, balancer, 2)
	trusting(t, server, server.GuardCA())
	return ways, balancer
}

// TestWatchesBreak cuts the replicas off from the API server, which can still call them. One that
// does not know what there is judges nothing, and while another one is ready that judges instead.
func TestWatchesBreak(t *testing.T) {
	ways, balancer := cut(t)
	requests := stream(t, server)
	for _, way := range ways {
		start, before := time.Now(), requests.Tally().Others
		way.Cut()
		ready(t, balancer, 1)
		judged(t, requests)
		lost := requests.Tally().Others[len(before):]
		within(t, lost, start, time.Now())
		assert.LessOrEqual(t, len(lost), 20, "a replica that is not ready is called again and again")
		t.Logf("%d calls were lost when one of two replicas was cut off", len(lost))
		time.Sleep(*lasting)
		judged(t, requests)
		assert.Len(t, requests.Tally().Others[len(before):], len(lost))
		way.Mend()
		ready(t, balancer, 2)
	}
	start, before := time.Now(), requests.Tally().Others
	for _, way := range ways {
		way.Cut()
	}
	ready(t, balancer, 0)
	time.Sleep(*lasting)
	for _, way := range ways {
		way.Mend()
	}
	ready(t, balancer, 2)
	end := time.Now()
	judged(t, requests)
	lost := requests.Tally().Others[len(before):]
	within(t, lost, start, end)
	assert.NotEmpty(t, lost)
	judged(t, requests)
	assert.Len(t, requests.Tally().Others[len(before):], len(lost))
}

// TestWhatCameUnwatchedIsKnownBeforeAnythingIsJudged stores a tenant's Gateway while the replicas are
// cut off. Nobody gets its host, not even in the moment in which they are back.
func TestWhatCameUnwatchedIsKnownBeforeAnythingIsJudged(t *testing.T) {
	ways, balancer := cut(t)
	for _, way := range ways {
		way.Cut()
	}
	ready(t, balancer, 0)
	require.NoError(t, server.Uninstall(t.Context()))
	first, second := gateway("team-a", "first", "shop.example.org"), gateway("team-b", "second", "shop.example.org")
	require.EventuallyWithT(t, func(t *assert.CollectT) { // when the API server has seen that
		assert.NoError(t, server.Admin.Load(context.Background(), namespace("team-b"), first))
	}, patience, poll)
	t.Cleanup(func() { require.NoError(t, server.Admin.Delete(context.WithoutCancel(t.Context()), first).Err) })
	require.NoError(t, server.Install(t.Context()))
	ask := func() error { return server.Admin.Create(t.Context(), second, client.DryRunAll).Err }
	require.Eventually(t, func() bool { return ask() != nil }, patience, poll, "the API server does not ask")

	for _, way := range ways {
		way.Mend()
	}
	end := time.Now().Add(patience)
	for {
		err := ask()
		require.Error(t, err, "somebody gets a host that is taken")
		if strings.Contains(err.Error(), "GWD206") {
			break
		}
		require.ErrorContains(t, err, "failed calling webhook")
		require.True(t, time.Now().Before(end), "nobody judges: %v", err)
		time.Sleep(time.Millisecond)
	}
}

func namespace(name string) *unstructured.Unstructured {
	return object("", name, "v1", "Namespace", nil)
}

// TestDefinitionsComeAndGo takes the definition of a kind away and gives it back. The replicas need
// some seconds to be sure that it is gone, and to know what there is of it.
func TestDefinitionsComeAndGo(t *testing.T) {
	_, balancer, requests := filed(t, server)
	definition := object("", "serviceentries.networking.istio.io", "apiextensions.k8s.io/v1", "CustomResourceDefinition", nil)
	require.NoError(t, server.Client().Get(t.Context(), client.ObjectKeyFromObject(definition), definition))
	back := object("", definition.GetName(), "apiextensions.k8s.io/v1", "CustomResourceDefinition", map[string]any{"spec": definition.Object["spec"]})
	entry := object("default", "entry", "networking.istio.io/v1", "ServiceEntry", map[string]any{"spec": map[string]any{
		"hosts": []any{"deploykf.example.com"}, "location": "MESH_EXTERNAL",
		"ports": []any{map[string]any{"number": int64(80), "name": "http", "protocol": "HTTP"}}, "resolution": "DNS",
	}})
	for range 2 {
		start, before := time.Now(), requests.Tally().Others
		require.NoError(t, server.Admin.Delete(t.Context(), definition).Err)
		require.Eventually(t, func() bool {
			return apierrors.IsNotFound(server.Client().Get(t.Context(), client.ObjectKeyFromObject(definition), definition.DeepCopy()))
		}, patience, poll)
		time.Sleep(*lasting)
		ready(t, balancer, 2)
		judged(t, requests)
		require.NoError(t, server.Admin.Create(t.Context(), back).Err)
		require.EventuallyWithT(t, func(t *assert.CollectT) {
			a := server.Admin.Create(context.Background(), entry, client.DryRunAll)
			assert.NoError(t, a.Err)
			assert.Contains(t, strings.Join(a.Warnings, ""), "GWD312")
		}, patience, poll, "the kind is not judged again")
		ready(t, balancer, 2)
		within(t, requests.Tally().Others[len(before):], start, time.Now())
		judged(t, requests)
	}
	t.Logf("%d calls were not judged", len(requests.Tally().Others))
}

func gateway(namespace, name, host string) *unstructured.Unstructured {
	return object(namespace, name, "networking.istio.io/v1", "Gateway", map[string]any{"spec": map[string]any{
		"selector": map[string]any{"app": "deploykf-gateway", "istio": "deploykf-gateway"},
		"servers": []any{map[string]any{
			"port":  map[string]any{"number": int64(443), "name": "https", "protocol": "HTTPS"},
			"hosts": []any{host},
			"tls":   map[string]any{"mode": "SIMPLE", "credentialName": "cert"},
		}},
	}})
}
