package webhook_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/webhook"
)

// logging makes a door that logs some decisions.
func logging(t *testing.T, which webhook.LogDecisions, rules ...*policy.Rule) *door {
	t.Helper()
	d := newDoor(t, rules...)
	d.options.LogDecisions = which
	d.Handler = webhook.New(d.options)
	return d
}

// lines are what was logged, each as message, decision and, if there is one, number.
func (d *door) lines() []string {
	d.t.Helper()
	var out []string
	for line := range strings.Lines(d.log.String()) {
		var l struct {
			Msg, Decision, Endpoint, Kind string
			LeftOut                       int
		}
		require.NoError(d.t, json.Unmarshal([]byte(line), &l))
		text := l.Msg + ": " + l.Decision
		if l.LeftOut > 0 {
			text += fmt.Sprintf(" %s %s %d", l.Endpoint, l.Kind, l.LeftOut)
		}
		out = append(out, text)
	}
	d.log.Reset()
	return out
}

// The lines of what is left out at times.
const (
	allowedLine = "decision: allowed"
	outside     = "decision: out_of_scope"
)

func repeated(n int, line string) []string {
	var out []string
	for range n {
		out = append(out, line)
	}
	return out
}

func TestSampledLogsSomeOfWhatIsPlainlyAllowedAndCountsTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := logging(t, webhook.LogSampled, finding("GWD901"))
		for range 25 {
			d.post(webhook.ValidatePath, review(nil))
		}
		assert.Equal(t, repeated(webhook.SampleSize, allowedLine), d.lines())

		// Another class has lines of its own.
		secret := review(map[string]any{"kind": map[string]any{"group": "", "version": "v1", "kind": "Secret"}})
		for range 12 {
			d.post(webhook.ValidatePath, secret)
		}
		assert.Equal(t, repeated(webhook.SampleSize, outside), d.lines())

		time.Sleep(webhook.SamplePeriod)
		synctest.Wait()
		assert.Equal(t, []string{
			"decisions were left out of the log: out_of_scope validate  2",
			"decisions were left out of the log: allowed validate Gateway 15",
		}, d.lines())

		// A new period begins with its first decision, and what is not left out needs no line.
		time.Sleep(10 * webhook.SamplePeriod)
		d.post(webhook.ValidatePath, review(nil))
		assert.Equal(t, []string{allowedLine}, d.lines())
		time.Sleep(2 * webhook.SamplePeriod)
		synctest.Wait()
		assert.Empty(t, d.lines())

		// What is not told at the end is told then.
		for range 11 {
			d.post(webhook.ValidatePath, review(nil))
		}
		d.lines()
		d.Flush()
		assert.Equal(t, []string{"decisions were left out of the log: allowed validate Gateway 1"}, d.lines())
		d.Flush()
		assert.Empty(t, d.lines())
	})
}

// What was refused or could not be judged is what one looks for in a log, and so is who was exempt.
func TestNothingButWhatIsPlainlyAllowedIsLeftOut(t *testing.T) {
	for _, which := range []webhook.LogDecisions{webhook.LogSampled, webhook.LogDenied} {
		t.Run(string(which), func(t *testing.T) {
			const many = 3 * webhook.SampleSize
			for name, test := range map[string]struct {
				effect policy.Effect
				body   string
				want   string
			}{
				"denied":     {policy.Deny, review(nil), "decision: denied"},
				"warned of":  {policy.Warn, review(nil), allowedLine},
				"noted":      {policy.Note, review(nil), allowedLine},
				"exempt":     {policy.Deny, review(map[string]any{"userInfo": map[string]any{"username": "root"}}), "decision: exempt"},
				"unreadable": {policy.Deny, review(map[string]any{"object": unreadable}), "decision: undecodable"},
				"no review":  {policy.Deny, "nonsense", "decision: invalid"},
			} {
				t.Run(name, func(t *testing.T) {
					d := logging(t, which, finding("GWD901", policy.Fault{Effect: test.effect, Message: "m"}))
					for range many {
						d.request(http.MethodPost, webhook.ValidatePath, "application/json", test.body)
					}
					assert.Equal(t, repeated(many, test.want), d.lines())
					d.Flush()
					assert.Empty(t, d.lines())
				})
			}
			t.Run("unready", func(t *testing.T) {
				d := logging(t, which)
				d.synced = false
				for range many {
					d.request(http.MethodPost, webhook.ValidatePath, "application/json", review(nil))
				}
				assert.Equal(t, repeated(many, "decision: unready"), d.lines())
			})
		})
	}
}

func TestDeniedLogsNothingOfWhatIsPlainlyAllowed(t *testing.T) {
	d := logging(t, webhook.LogDenied)
	for range 3 * webhook.SampleSize {
		d.post(webhook.ValidatePath, review(nil))
	}
	d.Flush()
	assert.Empty(t, d.lines())
	assert.Len(t, d.records.admissions, 3*webhook.SampleSize, "it is counted all the same")
}

func TestAllIsTheDefault(t *testing.T) {
	d := newDoor(t, finding("GWD901"))
	for range 3 * webhook.SampleSize {
		d.post(webhook.ValidatePath, review(nil))
	}
	assert.Equal(t, repeated(3*webhook.SampleSize, allowedLine), d.lines())
}

// Nobody can make the counts grow by sending what does not exist.
func TestClassesAreBounded(t *testing.T) {
	d := logging(t, webhook.LogSampled)
	for i := range 100 {
		d.post(webhook.ValidatePath, review(map[string]any{
			"kind": map[string]any{"group": "made.up", "version": "v1", "kind": fmt.Sprint("Kind", i)},
		}))
	}
	d.lines()
	d.Flush()
	assert.Equal(t, []string{fmt.Sprintf("decisions were left out of the log: out_of_scope validate  %d", 100-webhook.SampleSize)}, d.lines())
}

func TestParseLogDecisions(t *testing.T) {
	for _, s := range []string{"all", "sampled", "denied"} {
		d, err := webhook.ParseLogDecisions(s)
		require.NoError(t, err)
		assert.EqualValues(t, s, d)
	}
	_, err := webhook.ParseLogDecisions("some")
	assert.EqualError(t, err, `"some": use all, sampled or denied`)
}
