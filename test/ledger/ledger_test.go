package ledger

import (
	"context"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gatewarden/gatewarden/pkg/ledgerstore"
	"github.com/gatewarden/gatewarden/test/apiserver"
)

// together is how many pairs race at the same time.
const together = 8

// whole skips what takes minutes, unless the whole proof is asked for.
func whole(t *testing.T) {
	t.Helper()
	if os.Getenv("PAIRS") == "" {
		t.Skip("run it with \"make races\"")
	}
}

// pairs is how many pairs race in all.
func pairs(t *testing.T) int {
	t.Helper()
	text := os.Getenv("PAIRS")
	if text == "" {
		return 120
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, "PAIRS")
	return n
}

// world is an API server with the objects of deployKF.
type world struct {
	*apiserver.Server
	client  dynamic.Interface
	program string
	dir     string
	log     *os.File
	// holdable is set if watches are to be held back.
	holdable bool
	rounds   atomic.Int64 // of failures, or of bursts
}

func newWorld(t *testing.T, o apiserver.Options) *world {
	t.Helper()
	ctx := t.Context()
	w := &world{dir: t.TempDir()}
	var err error
	w.program, err = apiserver.BuildGuard(ctx, w.dir)
	require.NoError(t, err)
	w.Server, err = apiserver.Start(ctx, o)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, w.Stop()) })
	objects, err := apiserver.ReadObjects("../../examples/deploykf/namespaces.yaml", "../../examples/deploykf/gateways.yaml",
		"../../examples/deploykf/routes.yaml", "../../examples/deploykf/workload.yaml")
	require.NoError(t, err)
	require.NoError(t, w.Admin.Load(ctx, objects...))
	for _, team := range []string{"team-a", "team-b", "team-c"} {
		require.NoError(t, w.Admin.Load(ctx, object(with(route, "TEAM", team, "GATEWAY", "none", "HOST", "none.example.org", "PATH", "/none/"), 0)))
	}
	w.client, err = unlimited(w.Config)
	require.NoError(t, err)
	require.NoError(t, write(ctx, w.client, object(with(https, "web-N", "any", "TEAM", "team-c", "PORT", "9443", "HOST", "*"), 0)))
	path := w.dir + "/log"
	if dir := os.Getenv("RACES_LOG"); dir != "" {
		path = dir
	}
	w.log, err = os.Create(path)
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			content, _ := os.ReadFile(path)
			t.Log(string(content[max(0, len(content)-20000):]))
		}
		_ = w.log.Close()
	})
	return w
}

// start starts three replicas with the ledger somewhere.
func (w *world) start(t *testing.T, where string) *Replicas {
	t.Helper()
	config, err := Config(w.dir)
	require.NoError(t, err)
	r, err := Start(t.Context(), w.Server, w.program, 3, w.holdable, w.log, "--config", config, "--ledger", where, "--log-level", "warn")
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, w.Uninstall(context.WithoutCancel(t.Context())))
		assert.NoError(t, r.Stop())
	})
	require.NoError(t, w.Register(t.Context()))
	return r
}

// races runs n pairs and counts the answers: of each pair, and of those of both of which were admitted.
func (w *world) races(t *testing.T, first, n int) *tally {
	t.Helper()
	result := &tally{}
	w.racesInto(t, result, first, n)
	return result
}

func (w *world) racesInto(t *testing.T, result *tally, first, n int) {
	t.Helper()
	var next atomic.Int64
	next.Store(int64(first))
	var group sync.WaitGroup
	for range together {
		group.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= first+n {
					return
				}
				c := &contests[i%len(contests)]
				o, err := c.race(t.Context(), w.client, i)
				if err != nil {
					t.Logf("%s: %v", c.name, err)
					result.add(unprepared)
					continue
				}
				for _, a := range o.answers {
					result.add(a)
				}
				switch {
				case c.both(o):
					result.add(bothAdmitted)
					result.add(bothAdmitted + " (" + c.name + ")")
				case slices.Contains(o.answers[:], admitted):
					result.add(oneAdmitted)
				default:
					result.add(noneAdmitted)
				}
			}
		})
	}
	group.Wait()
}

// What becomes of a pair.
const (
	bothAdmitted = "both admitted"
	oneAdmitted  = "at most one admitted, or in an order that allows both"
	noneAdmitted = "none admitted"
	// unprepared pairs did not race: what has to be there first could not be written.
	unprepared = "not prepared"
)

// Each pair is one of which one is denied if the other is there: else nothing is proved.
func (w *world) checkContests(t *testing.T) {
	t.Helper()
	for i, c := range contests {
		for _, order := range [][2]string{{c.one, c.two}, {c.two, c.one}} {
			want := denied
			if c.ordered && order[0] == c.two {
				want = admitted
			}
			n := 5000 + i
			for _, manifest := range c.before {
				require.NoError(t, write(t.Context(), w.client, object(manifest, n)), c.name)
			}
			first, second := object(order[0], n), object(order[1], n)
			require.NoError(t, write(t.Context(), w.client, first), c.name)
			assert.Equal(t, want, answer(write(t.Context(), w.client, second)), "%s: %s %s after the other", c.name, second.GetKind(), second.GetNamespace())
			for _, manifest := range append([]string{c.one, c.two}, c.before...) {
				o := object(manifest, n)
				_ = of(w.client, o).Delete(t.Context(), o.GetName(), metav1.DeleteOptions{}) // one of them is not there
			}
		}
	}
}

func TestRaces(t *testing.T) {
	w := newWorld(t, apiserver.Options{})
	n := pairs(t)
	t.Run("without a ledger", func(t *testing.T) {
		w.start(t, "off")
		result := w.races(t, 10000, min(n, 400))
		t.Log(result)
		assert.Positive(t, result.get(bothAdmitted), "the races are too slow to prove anything")
	})
	t.Run("with a ledger", func(t *testing.T) {
		w.start(t, "cluster")
		w.checkContests(t)
		w.checkReservations(t)
		result := w.races(t, 20000, n)
		t.Log(result)
		assert.Zero(t, result.get(bothAdmitted))
		// Whoever is first is admitted. On a machine that stands still for seconds nobody may be judged.
		assert.LessOrEqual(t, result.get(noneAdmitted)+result.get(unprepared), 1+n/100)
	})
}

// failClosed has the API server refuse what gatewarden does not judge, for every kind. As it is installed,
// kinds that clusters can not do without are stored then, without its word.
func (w *world) failClosed(t *testing.T) {
	t.Helper()
	hooks := w.client.Resource(schema.GroupVersionResource{
		Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations",
	})
	c, err := hooks.Get(t.Context(), "gatewarden", metav1.GetOptions{})
	require.NoError(t, err)
	list, _, err := unstructured.NestedSlice(c.Object, "webhooks")
	require.NoError(t, err)
	for _, hook := range list {
		hook.(map[string]any)["failurePolicy"] = "Fail"
	}
	require.NoError(t, unstructured.SetNestedSlice(c.Object, list, "webhooks"))
	_, err = hooks.Update(t.Context(), c, metav1.UpdateOptions{})
	require.NoError(t, err)
	time.Sleep(2 * time.Second) // the API server notices by a watch
}

// The same while replicas are killed and start, everything or what watches tell is held back for some
// time, and the API server restarts.
func TestRacesUnderFailures(t *testing.T) {
	whole(t)
	w := newWorld(t, apiserver.Options{RequestTimeout: 10 * time.Second})
	w.holdable = true
	r := w.start(t, "cluster")
	w.failClosed(t)
	keep := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() { failed <- disturb(ctx, w, r, keep) }()
	total, first := &tally{}, 30000
	// As many races as are asked for, without those that nobody could judge: there are many in a moment
	// in which each fails at once.
	for total.get(oneAdmitted)+total.get(bothAdmitted) < pairs(t) && len(failed) == 0 {
		unjudged := total.get(noneAdmitted) + total.get(unprepared)
		w.racesInto(t, total, first, together)
		first += together
		if total.get(noneAdmitted)+total.get(unprepared) >= unjudged+together {
			time.Sleep(200 * time.Millisecond)
		}
	}
	cancel()
	require.NoError(t, <-failed)
	t.Logf("%d rounds of failures: %s", w.rounds.Load(), total)
	assert.Zero(t, total.get(bothAdmitted))
	assert.Positive(t, w.rounds.Load(), "nothing has failed: race more pairs")
}

// disturb goes on until the context ends. It leaves everything running.
func disturb(ctx context.Context, w *world, r *Replicas, keep string) error {
	pause := func(d time.Duration) {
		select {
		case <-ctx.Done():
		case <-time.After(d):
		}
	}
	for ctx.Err() == nil {
		pause(2 * time.Second)
		if err := r.Kill(); err != nil {
			return err
		}
		pause(2 * time.Second)
		if err := r.Add(context.WithoutCancel(ctx)); err != nil {
			return err
		}
		pause(2 * time.Second)
		for i := range 3 { // each another time
			r.Delay(time.Duration(i+1) * 300 * time.Millisecond)
			pause(3 * time.Second)
		}
		r.Delay(0)
		pause(2 * time.Second)
		for _, which := range []func(string) bool{stateWatches, everyWatch} {
			r.Hold(which)
			pause(4 * time.Second)
			r.Hold(nil)
			pause(2 * time.Second)
		}
		if err := w.StopAPIServer(keep); err != nil {
			return err
		}
		if err := w.StartAPIServer(); err != nil {
			return err
		}
		w.rounds.Add(1)
		pause(10 * time.Second)
	}
	return nil
}

// Changes that are in nobody's way are admitted, however many come at the same time.
func TestThroughput(t *testing.T) {
	whole(t)
	w := newWorld(t, apiserver.Options{})
	n := pairs(t)
	took := map[string]time.Duration{}
	p99 := map[string]time.Duration{}
	for i, where := range []string{"off", "cluster"} {
		t.Run(where, func(t *testing.T) {
			w.start(t, where)
			began := time.Now()
			var next atomic.Int64
			var mu sync.Mutex
			var times []time.Duration
			var group sync.WaitGroup
			for range 32 {
				group.Go(func() {
					for {
						k := int(next.Add(1)) - 1
						if k >= n {
							return
						}
						o := object(with(https, "TEAM", []string{"team-a", "team-b", "team-c"}[k%3], "PORT", "443", "HOST", "t-N.example.org"), (i+4)*100000+k)
						start := time.Now()
						_, err := of(w.client, o).Create(t.Context(), o, metav1.CreateOptions{})
						mu.Lock()
						times = append(times, time.Since(start))
						mu.Unlock()
						assert.NoError(t, err)
					}
				})
			}
			group.Wait()
			took[where] = time.Since(began)
			slices.Sort(times)
			p99[where] = times[len(times)*99/100]
			t.Logf("%d creates in %s: %.0f a second, p50 %s, p99 %s", n, took[where], float64(n)/took[where].Seconds(), times[len(times)/2], p99[where])
		})
	}
	t.Logf("with the ledger: %.2f of the throughput, %.2f times the p99", took["off"].Seconds()/took["cluster"].Seconds(), p99["cluster"].Seconds()/p99["off"].Seconds())
}

// The requests that wait for gatewarden must not take the seats that it needs to answer them.
func TestABurstDoesNotStarveTheLedger(t *testing.T) {
	whole(t)
	w := newWorld(t, apiserver.Options{Flags: map[string]string{"max-requests-inflight": "20", "max-mutating-requests-inflight": "20"}})
	w.start(t, "cluster")
	require.NoError(t, w.Admin.Load(t.Context(), object(`
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: burst}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: burst, namespace: team-a}]
`, 0)))
	config := rest.CopyConfig(w.Config)
	// Of the same priority level as gatewarden's ServiceAccount without a FlowSchema of its own.
	config.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:team-a:burst", Groups: []string{"system:serviceaccounts", "system:authenticated"},
	}
	client, err := unlimited(config)
	require.NoError(t, err)
	burst := func(first int) *tally {
		result := &tally{}
		var group sync.WaitGroup
		for i := range 100 {
			group.Go(func() {
				o := object(with(https, "TEAM", "team-a", "PORT", "443", "HOST", "burst-N.example.org"), first+i)
				_, err := of(client, o).Create(t.Context(), o, metav1.CreateOptions{})
				result.add(answer(err))
			})
		}
		group.Wait()
		return result
	}
	with := burst(900000)
	t.Log("with a priority level of its own:", with)
	assert.Equal(t, 100, with.get(admitted))

	schema := &unstructured.Unstructured{}
	schema.SetAPIVersion("flowcontrol.apiserver.k8s.io/v1")
	schema.SetKind("FlowSchema")
	schema.SetName("gatewarden")
	require.NoError(t, w.Admin.Delete(t.Context(), schema).Err)
	// Until the API server has noticed, nothing is different.
	require.Eventually(t, func() bool {
		without := burst(910000 + 1000*int(w.rounds.Add(1)))
		t.Log("without:", without)
		return without.get(admitted) < 100
	}, 2*time.Minute, time.Second, "the burst is too small to prove anything")
}

// What the protocol takes from an admission request is what is stored then: the UID of what is created,
// however, and the version of what is updated or deleted.
func (w *world) checkReservations(t *testing.T) {
	t.Helper()
	entries := func(o *unstructured.Unstructured) map[string]map[string]string {
		list, err := w.client.Resource(configMaps).Namespace(apiserver.Namespace).List(t.Context(), metav1.ListOptions{LabelSelector: ledgerstore.Label})
		require.NoError(t, err)
		out := map[string]map[string]string{}
		for _, e := range list.Items {
			data, _, err := unstructured.NestedStringMap(e.Object, "data")
			require.NoError(t, err)
			if data["kind"] == o.GetKind() && data["namespace"] == o.GetNamespace() && data["name"] == o.GetName() {
				out[data["operation"]] = data
			}
		}
		return out
	}
	const policy = `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: web-N, namespace: team-a}
spec: {selector: {matchLabels: {app: web}}, mtls: {mode: STRICT}}
`
	own := func(host string) string { return with(https, "TEAM", "team-a", "PORT", "443", "HOST", host) }
	for i, create := range []func(*unstructured.Unstructured) apiserver.Answer{
		func(o *unstructured.Unstructured) apiserver.Answer { return w.Admin.Create(t.Context(), o) },
		func(o *unstructured.Unstructured) apiserver.Answer { return w.Admin.Apply(t.Context(), o) },
	} {
		created := create(object(own("a-N.example.org"), i))
		require.NoError(t, created.Err)
		require.NoError(t, w.Admin.Update(t.Context(), object(own("b-N.example.org"), i)).Err)
		found := entries(created.Object)
		assert.Equal(t, string(created.Object.GetUID()), found["CREATE"]["uid"])
		assert.Equal(t, "0", found["CREATE"]["before"])
		assert.Equal(t, string(created.Object.GetUID()), found["UPDATE"]["uid"])
		assert.Equal(t, created.Object.GetResourceVersion(), found["UPDATE"]["before"])
	}
	deleted := w.Admin.Create(t.Context(), object(policy, 0))
	require.NoError(t, deleted.Err)
	require.NoError(t, w.Admin.Delete(t.Context(), deleted.Object).Err)
	found := entries(deleted.Object)
	assert.Equal(t, string(deleted.Object.GetUID()), found["DELETE"]["uid"])
	assert.Equal(t, deleted.Object.GetResourceVersion(), found["DELETE"]["before"])

	// A dry run and an update of nothing that is judged leave no entry.
	o := object(own("c-N.example.org"), 7)
	require.NoError(t, w.Admin.Create(t.Context(), o, ctrlclient.DryRunAll).Err)
	assert.Empty(t, entries(o))
	require.NoError(t, w.Admin.Create(t.Context(), o).Err)
	same := object(own("c-N.example.org"), 7)
	same.SetLabels(map[string]string{"team": "a"})
	require.NoError(t, w.Admin.Update(t.Context(), same).Err)
	assert.NotContains(t, entries(o), "UPDATE")
}
