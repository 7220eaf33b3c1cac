package webhook_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gatewarden/gatewarden/pkg/ledger"
	"github.com/gatewarden/gatewarden/pkg/metrics"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
	"github.com/gatewarden/gatewarden/pkg/webhook"
)

// fakeLedger answers what it is told to, and remembers what it was asked.
type fakeLedger struct {
	asked    []ledger.Change
	raw      string
	deadline time.Time
	answer   func(ledger.Judge) (ledger.Verdict, *ledger.Refusal, error)
}

func (f *fakeLedger) Admit(ctx context.Context, c ledger.Change, raw []byte, judge ledger.Judge) (ledger.Verdict, *ledger.Refusal, error) {
	f.asked = append(f.asked, c)
	f.raw = string(raw)
	f.deadline, _ = ctx.Deadline()
	return f.answer(judge)
}

func newLedgerDoor(t *testing.T, rules ...*policy.Rule) (*door, *fakeLedger) {
	t.Helper()
	d := newDoor(t, rules...)
	f := &fakeLedger{answer: func(judge ledger.Judge) (ledger.Verdict, *ledger.Refusal, error) {
		return ledger.Verdict{Decision: judge(d.writer.Snapshot())}, nil, nil
	}}
	d.Handler = webhook.New(webhook.Options{
		Engine:   func() *policy.Engine { return d.engine },
		State:    func() (*state.Snapshot, bool) { return d.writer.Snapshot(), d.synced },
		Recorder: d.records,
		Ledger:   f,
	})
	return d, f
}

// finds is a rule that finds the same in every Gateway.
func finds(effect policy.Effect) *policy.Rule {
	return &policy.Rule{
		ID: "GWD901", Name: "test", Effect: effect, Kinds: []resource.Kind{resource.KindGateway},
		Operations: []policy.Operation{policy.Create, policy.Update, policy.Delete},
		Object: func(_ *policy.World, _ resource.Object, report func(policy.Fault)) {
			report(policy.Fault{Effect: effect, Field: "spec", Message: "it is so"})
		},
	}
}

func stored(name, version, port string) map[string]any {
	o := gateway(name, nil)
	o["metadata"].(map[string]any)["resourceVersion"] = version
	o["metadata"].(map[string]any)["uid"] = "uid-1"
	o["spec"] = map[string]any{"selector": map[string]string{"app": port}}
	return o
}

func TestOnlyWhatCouldBeInTheWayIsReserved(t *testing.T) {
	for name, c := range map[string]struct {
		rule   *policy.Rule
		fields map[string]any
		want   int
	}{
		"a create":                  {finds(policy.Warn), nil, 1},
		"an update":                 {finds(policy.Warn), map[string]any{"operation": "UPDATE", "oldObject": stored("web", "7", "a"), "object": stored("web", "7", "b")}, 1},
		"a delete":                  {finds(policy.Warn), map[string]any{"operation": "DELETE", "object": nil, "oldObject": stored("web", "7", "a")}, 1},
		"an update of nothing read": {finds(policy.Warn), map[string]any{"operation": "UPDATE", "oldObject": stored("web", "7", "a"), "object": stored("web", "7", "a")}, 0},
		"a dry run":                 {finds(policy.Warn), map[string]any{"dryRun": true}, 0},
		"what is denied":            {finds(policy.Deny), nil, 0},
		"who is exempt":             {finds(policy.Deny), map[string]any{"userInfo": map[string]any{"username": "root"}}, 0},
		"another kind":              {finds(policy.Deny), map[string]any{"kind": map[string]any{"version": "v1", "kind": "Secret"}}, 0},
	} {
		d, f := newLedgerDoor(t, c.rule)
		d.post(webhook.ValidatePath, review(c.fields))
		assert.Len(t, f.asked, c.want, name)
	}
}

func TestAReservationTellsTheChange(t *testing.T) {
	d, f := newLedgerDoor(t, finds(policy.Warn))
	r := d.post(webhook.ValidatePath+"?timeout=20s", review(map[string]any{
		"operation": "UPDATE", "oldObject": stored("web", "7", "a"), "object": stored("web", "7", "b"),
	}))
	assert.True(t, r.Allowed)
	assert.Len(t, r.Warnings, 1)
	require.Len(t, f.asked, 1)
	c := f.asked[0]
	assert.Equal(t, resource.Key{Kind: resource.KindGateway, Namespace: "team-a", Name: "web"}, c.Key)
	assert.Equal(t, "uid-1", c.UID)
	assert.EqualValues(t, 7, c.Before)
	assert.Equal(t, "u-1", c.Request)
	assert.Equal(t, "ann", c.Requester)
	assert.Contains(t, f.raw, `"app":"b"`)
	left := time.Until(f.deadline)
	assert.Greater(t, left, 10*time.Second)
	assert.Less(t, left, 20*time.Second)
}

func TestARefusalForNowSaysWhoIsInTheWay(t *testing.T) {
	d, f := newLedgerDoor(t, finds(policy.Warn))
	f.answer = func(ledger.Judge) (ledger.Verdict, *ledger.Refusal, error) {
		v := ledger.Verdict{
			Decision: policy.Decision{Findings: []policy.Finding{{Rule: "GWD901", Name: "test", Effect: policy.Deny, Field: "spec", Message: "it would clash"}}},
			By: []*ledger.Reservation{{Change: ledger.Change{
				Key: resource.Key{Kind: resource.KindGateway, Namespace: "team-b", Name: "other"}, Operation: policy.Create, Requester: "bob",
			}}},
		}
		return v, &ledger.Refusal{Verdict: v, Until: time.Date(2026, 3, 1, 10, 11, 12, 0, time.UTC), After: 8 * time.Second}, nil
	}
	r := d.post(webhook.ValidatePath, review(nil))
	require.False(t, r.Allowed)
	assert.EqualValues(t, http.StatusTooManyRequests, r.Result.Code)
	assert.Equal(t, metav1.StatusReasonTooManyRequests, r.Result.Reason)
	assert.EqualValues(t, 8, r.Result.Details.RetryAfterSeconds)
	assert.Equal(t, []metav1.StatusCause{{Type: "GWD901", Message: "it would clash", Field: "spec"}}, r.Result.Details.Causes)
	for _, part := range []string{"GWD901 test: spec: it would clash", "CREATE of Gateway team-b/other by bob", "free again at 10:11:12 UTC", "try again"} {
		assert.Contains(t, r.Result.Message, part)
	}
	assert.Equal(t, metrics.Busy, d.records.admissions[0].Decision)
}

func TestWhatTheLedgerCannotTellIsNotJudged(t *testing.T) {
	d, f := newLedgerDoor(t, finds(policy.Warn))
	f.answer = func(ledger.Judge) (ledger.Verdict, *ledger.Refusal, error) {
		return ledger.Verdict{}, nil, errors.New("the ledger\nis gone")
	}
	w := d.request(http.MethodPost, webhook.ValidatePath, "application/json", review(nil))
	assert.Equal(t, http.StatusServiceUnavailable, w.Code)
	assert.Equal(t, "not ready: the ledger is gone", strings.TrimSpace(w.Body.String()))
	assert.Equal(t, metrics.Unready, d.records.admissions[0].Decision)
}
