package auditsink_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/audit"
	"github.com/gatewarden/gatewarden/pkg/auditsink"
	"github.com/gatewarden/gatewarden/pkg/metrics"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func finding(effect policy.Effect, namespace, name string) audit.Finding {
	return audit.Finding{ObjectFinding: policy.ObjectFinding{
		Key:     resource.Key{Kind: resource.KindGateway, Namespace: namespace, Name: name},
		Finding: policy.Finding{Rule: "GWD201", Name: "host-conflict", Effect: effect, Field: "spec", Message: "It clashes. Choose another host."},
	}}
}

func outcome(findings ...audit.Finding) audit.Outcome {
	return audit.Outcome{
		Result: audit.Result{Findings: findings}, Comparison: audit.Comparison{New: findings},
		Ended: time.Unix(1_900_000_000, 0), Took: 1500 * time.Millisecond,
	}
}

func TestLogTellsWhatChanged(t *testing.T) {
	var b bytes.Buffer
	log := auditsink.Log{Log: slog.New(slog.NewTextHandler(&b, nil))}
	o := outcome(finding(policy.Note, "a", "noted"), finding(policy.Deny, "b", "denied"))
	o.Resolved = []audit.ID{finding(policy.Deny, "c", "gone").ID()}
	require.NoError(t, log.Tell(t.Context(), o))
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	require.Len(t, lines, 4)
	assert.Contains(t, lines[0], "level=INFO msg=audited judged=0 findings=2 new=2 resolved=1 gaps=0 took=1.5s")
	assert.Contains(t, lines[1], `level=WARN msg=found effect=deny object="Gateway b/denied" finding="GWD201 host-conflict: spec: It clashes. Choose another host."`)
	assert.Contains(t, lines[2], `level=INFO msg=found effect=note object="Gateway a/noted"`)
	assert.Contains(t, lines[3], `level=INFO msg=resolved object="Gateway c/gone" rule=GWD201`)

	b.Reset()
	o.New, o.Known, o.Resolved = nil, o.New, nil
	require.NoError(t, log.Tell(t.Context(), o))
	assert.Empty(t, b.String(), "nothing changed")
}

func TestLogIsBounded(t *testing.T) {
	var b bytes.Buffer
	var findings []audit.Finding
	for i := range 1000 {
		findings = append(findings, finding(policy.Deny, "a", fmt.Sprint(i)))
	}
	require.NoError(t, auditsink.Log{Log: slog.New(slog.NewTextHandler(&b, nil))}.Tell(t.Context(), outcome(findings...)))
	assert.Equal(t, 100, strings.Count(b.String(), "msg=found"))
	assert.Contains(t, b.String(), `"left out"=900`)
}

func TestMetricsCountWhatThereIs(t *testing.T) {
	p := metrics.NewPrometheus()
	namespace := audit.Finding{ObjectFinding: policy.ObjectFinding{
		Key: resource.Key{Kind: resource.KindNamespace, Name: "a"}, Finding: policy.Finding{Rule: "GWD505", Effect: policy.Warn},
	}}
	sink := auditsink.Metrics{Recorder: p}
	require.NoError(t, sink.Tell(t.Context(), outcome(finding(policy.Deny, "a", "x"), finding(policy.Deny, "a", "y"), namespace)))
	require.NoError(t, testutil.GatherAndCompare(p.Gatherer(), strings.NewReader(`
# HELP gatewarden_audit_findings What the last audit found, by rule, effect and namespace.
# TYPE gatewarden_audit_findings gauge
gatewarden_audit_findings{effect="deny",namespace="a",rule="GWD201"} 2
gatewarden_audit_findings{effect="warn",namespace="a",rule="GWD505"} 1
`), "gatewarden_audit_findings"))
}
