package auditsink

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/gatewarden/gatewarden/pkg/audit"
	"github.com/gatewarden/gatewarden/pkg/leadership"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// recording is a sink for Events on a client that keeps them.
type recording struct {
	*Events
	t      *testing.T
	client *fake.Clientset
	now    time.Time
}

func newRecording(t *testing.T, client *fake.Clientset) *recording {
	return &recording{NewEvents(client.EventsV1(), &leadership.Leadership{}, "replica"), t, client, time.Unix(1_900_000_000, 0)}
}

// lead makes the sink the leader's until it is called again.
func (r *recording) lead() (lose context.CancelFunc) {
	ctx, lose := context.WithCancel(r.t.Context())
	r.leader.Lead(ctx)
	return lose
}

// tell tells an outcome, some time after the last one.
func (r *recording) tell(after time.Duration, findings ...audit.Finding) error {
	r.now = r.now.Add(after)
	return r.Tell(r.t.Context(), audit.Outcome{Result: audit.Result{Findings: findings}, Ended: r.now})
}

// events are those that there are: type, reason, object and note.
func events(t *testing.T, client *fake.Clientset) []string {
	list, err := client.EventsV1().Events("").List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	var out []string
	for _, e := range list.Items {
		note, _, _ := strings.Cut(e.Note, ". ")
		out = append(out, fmt.Sprintf("%s %s %s/%s %s", e.Type, e.Reason, e.Regarding.Namespace, e.Regarding.Name, note))
	}
	return out
}

func fault(effect policy.Effect, name string) audit.Finding {
	return audit.Finding{UID: "uid-of-" + name, ObjectFinding: policy.ObjectFinding{
		Key: resource.Key{Kind: resource.KindGateway, Namespace: "a", Name: name},
		Finding: policy.Finding{
			Rule: "GWD201", Name: "host-conflict", Effect: effect, Message: "It clashes. Choose another host.",
			Related: []resource.Key{{Kind: resource.KindNamespace, Name: "b"}},
		},
	}}
}

func TestEventsTellWhatAppearsAndWhatIsResolved(t *testing.T) {
	client := fake.NewClientset()
	r := newRecording(t, client)
	r.lead()
	thief := fault(policy.Deny, "thief")
	require.NoError(t, r.tell(0, thief, fault(policy.Note, "noted")))
	const appeared = "Warning HostConflict a/thief GWD201 host-conflict: It clashes"
	assert.Equal(t, []string{appeared}, events(t, client))
	list, err := client.EventsV1().Events("a").List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	e := list.Items[0]
	assert.Equal(t, "networking.istio.io/v1", e.Regarding.APIVersion)
	assert.Equal(t, "Gateway", e.Regarding.Kind)
	assert.EqualValues(t, "uid-of-thief", e.Regarding.UID)
	assert.Equal(t, "v1", e.Related.APIVersion)
	assert.Equal(t, "Namespace", e.Related.Kind)

	require.NoError(t, r.tell(2*time.Hour, thief))
	assert.Len(t, events(t, client), 1, "none while it stays")

	require.NoError(t, r.tell(time.Minute))
	const resolved = "Normal HostConflict a/thief Resolved: GWD201 host-conflict: It clashes"
	assert.ElementsMatch(t, []string{appeared, resolved}, events(t, client))

	require.NoError(t, r.tell(time.Minute, thief))
	assert.ElementsMatch(t, []string{appeared, resolved, appeared}, events(t, client), "it appears again")
	require.NoError(t, r.tell(time.Minute, fault(policy.Note, "thief")))
	assert.ElementsMatch(t, []string{appeared, resolved, appeared, resolved}, events(t, client), "a note is none")
}

// Cluster-scoped objects have their Events in default, as those of Nodes are.
func TestEventsOfClusterScopedObjects(t *testing.T) {
	client := fake.NewClientset()
	r := newRecording(t, client)
	r.lead()
	f := fault(policy.Warn, "x")
	f.Key = resource.Key{Kind: resource.KindNamespace, Name: "team"}
	require.NoError(t, r.tell(0, f))
	list, err := client.EventsV1().Events("default").List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, list.Items, 1)
	assert.Equal(t, "team", list.Items[0].Regarding.Name)
}

func TestOnlyTheLeaderWritesEvents(t *testing.T) {
	client := fake.NewClientset()
	one, two := newRecording(t, client), newRecording(t, client)
	lose := one.lead()
	first, second, third := fault(policy.Deny, "first"), fault(policy.Deny, "second"), fault(policy.Deny, "third")
	require.NoError(t, one.tell(0, first))
	require.NoError(t, two.tell(0, first))
	assert.Len(t, events(t, client), 1)

	// What was found just before the leader was lost may not have been told by it.
	lose()
	for _, r := range []*recording{one, two} {
		require.NoError(t, r.tell(time.Hour, first, second))
	}
	assert.Len(t, events(t, client), 1)
	client.ClearActions()
	two.lead()
	require.NoError(t, two.tell(time.Second, first, second, third))
	assert.Len(t, client.Actions(), 2, "the first one was told long ago")
	assert.Len(t, events(t, client), 3)

	// One that starts tells everything, but not twice.
	three := newRecording(t, client)
	three.lead()
	require.NoError(t, three.tell(0, first, second, third))
	assert.Len(t, events(t, client), 3)
}

func TestEventsAreBoundedAndTheWorstComeFirst(t *testing.T) {
	client := fake.NewClientset()
	r := newRecording(t, client)
	r.lead()
	var all []audit.Finding
	for i := range 70 {
		all = append(all, fault(policy.Warn, fmt.Sprint("warned", i)))
	}
	all = append(all, fault(policy.Deny, "denied"))
	assert.EqualError(t, r.tell(0, all...), "21 more Events are left for the next audits")
	assert.Len(t, events(t, client), 50)
	assert.Contains(t, strings.Join(events(t, client), "\n"), "a/denied")
	require.NoError(t, r.tell(time.Minute, all...))
	assert.Len(t, events(t, client), 71)
}

func TestEventsThatFailAreWrittenLater(t *testing.T) {
	client := fake.NewClientset()
	broken := true
	client.PrependReactor("create", "events", func(a clienttesting.Action) (bool, runtime.Object, error) {
		create, _ := a.(clienttesting.CreateAction)
		event, _ := create.GetObject().(*eventsv1.Event)
		return broken && event.Regarding.Name == "one", nil, errors.New("not today")
	})
	r := newRecording(t, client)
	r.lead()
	one, two := fault(policy.Deny, "one"), fault(policy.Deny, "two")
	assert.EqualError(t, r.tell(0, one, two), "the Event on Gateway a/one: not today")
	assert.Len(t, events(t, client), 1)
	broken = false
	require.NoError(t, r.tell(time.Minute, one, two))
	assert.Len(t, events(t, client), 2)
}

func TestReasonsOfAllRules(t *testing.T) {
	assert.Equal(t, "HostUnderGuardedWildcard", camelCase("host-under-guarded-wildcard"))
	for _, r := range rules.All() {
		assert.Regexp(t, `^[A-Z][A-Za-z0-9]{3,127}$`, camelCase(r.Name))
	}
}

func TestCut(t *testing.T) {
	assert.Equal(t, "abcdef", cut("abcdef", 6))
	assert.Equal(t, "ab…", cut("abcdef", 5))
	assert.Equal(t, "aé…", cut("aéééé", 7), "no half of a letter")
	assert.Len(t, cut(strings.Repeat("x", 5000), noteLimit), noteLimit)
}
