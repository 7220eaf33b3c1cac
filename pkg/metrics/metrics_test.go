package metrics_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/metrics"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// newPrometheus returns one that shows everything.
func newPrometheus() *metrics.Prometheus {
	p := metrics.NewPrometheus()
	p.Show(metrics.Sources{
		Version: "v1.2.3",
		Commit:  "c0ffee",
		Ready:   func() bool { return false },
		Objects: func() map[resource.Kind]int { return map[resource.Kind]int{resource.KindGateway: 3} },
		Age:     func() time.Duration { return 1500 * time.Millisecond },
		Leading: func() bool { return true },
		Configuration: func() metrics.Configuration {
			return metrics.Configuration{
				Loaded: time.UnixMilli(1_900_000_000_250), Openings: 1, Live: 2, Expired: 3,
				NextExpiry: time.Unix(1_900_000_100, 0),
			}
		},
		Generation: func() uint64 { return 42 },
		Synced:     func() bool { return true },
		NotBefore:  func() time.Time { return time.Time{} },
		NotAfter:   func() time.Time { return time.Unix(1_900_000_000, 0) },
		WatchLost: func() map[resource.Kind]time.Duration {
			return map[resource.Kind]time.Duration{resource.KindGateway: 2500 * time.Millisecond, resource.KindPod: 0}
		},
	})
	return p
}

func TestCounts(t *testing.T) {
	p := newPrometheus()
	p.Admission(metrics.Admission{Endpoint: "validate", Operation: "CREATE", Kind: "Gateway", Decision: metrics.Denied, Duration: time.Millisecond})
	p.Admission(metrics.Admission{Endpoint: "validate", Operation: "made up", Kind: "Secret", Decision: metrics.OutOfScope})
	p.Admission(metrics.Admission{Endpoint: "mutate", Decision: metrics.Invalid})
	p.Finding("GWD201", "deny")
	p.Panic()
	p.Undecodable(resource.KindGateway)
	p.Reload(true)
	p.Reload(false)
	p.Audited(true)
	p.Audited(true)

	require.NoError(t, testutil.GatherAndCompare(p.Gatherer(), strings.NewReader(`
# HELP gatewarden_admission_requests_total Admission requests that were answered, by how they ended.
# TYPE gatewarden_admission_requests_total counter
gatewarden_admission_requests_total{decision="denied",endpoint="validate",kind="Gateway",operation="CREATE"} 1
gatewarden_admission_requests_total{decision="invalid",endpoint="mutate",kind="",operation=""} 1
gatewarden_admission_requests_total{decision="invalid",endpoint="validate",kind="",operation=""} 0
gatewarden_admission_requests_total{decision="out_of_scope",endpoint="validate",kind="other",operation="other"} 1
gatewarden_admission_requests_total{decision="unready",endpoint="mutate",kind="",operation=""} 0
gatewarden_admission_requests_total{decision="unready",endpoint="validate",kind="",operation=""} 0
# HELP gatewarden_audits_total Audits, by result: ok, or failed if not everything could be audited or told.
# TYPE gatewarden_audits_total counter
gatewarden_audits_total{result="failed"} 0
gatewarden_audits_total{result="ok"} 2
# HELP gatewarden_certificate_not_after_seconds End of the serving certificate's validity, in seconds since 1970; 0 without one.
# TYPE gatewarden_certificate_not_after_seconds gauge
gatewarden_certificate_not_after_seconds 1.9e+09
# HELP gatewarden_certificate_not_before_seconds Beginning of the serving certificate's validity, in seconds since 1970; 0 without one.
# TYPE gatewarden_certificate_not_before_seconds gauge
gatewarden_certificate_not_before_seconds 0
# HELP gatewarden_config_exemptions Exemptions of the configuration in force, by state: live, or expired and without effect.
# TYPE gatewarden_config_exemptions gauge
gatewarden_config_exemptions{state="expired"} 3
gatewarden_config_exemptions{state="live"} 2
# HELP gatewarden_config_last_reload_success_timestamp_seconds When the configuration in force was read, in seconds since 1970.
# TYPE gatewarden_config_last_reload_success_timestamp_seconds gauge
gatewarden_config_last_reload_success_timestamp_seconds 1.90000000025e+09
# HELP gatewarden_config_last_reload_successful 1 while the configuration in force is what the file says, else 0.
# TYPE gatewarden_config_last_reload_successful gauge
gatewarden_config_last_reload_successful 0
# HELP gatewarden_config_next_exemption_expiry_timestamp_seconds When the next exemption expires, in seconds since 1970; none if none does.
# TYPE gatewarden_config_next_exemption_expiry_timestamp_seconds gauge
gatewarden_config_next_exemption_expiry_timestamp_seconds 1.9000001e+09
# HELP gatewarden_config_openings What in the configuration in force lets everybody or everything through.
# TYPE gatewarden_config_openings gauge
gatewarden_config_openings 1
# HELP gatewarden_config_reloads_total Changes of the configuration file, by result: ok, or failed and the old one kept.
# TYPE gatewarden_config_reloads_total counter
gatewarden_config_reloads_total{result="failed"} 1
gatewarden_config_reloads_total{result="ok"} 1
# HELP gatewarden_findings_total Findings in admission decisions, by rule and effect.
# TYPE gatewarden_findings_total counter
gatewarden_findings_total{effect="deny",rule="GWD201"} 1
# HELP gatewarden_leading 1 while this replica is the one that writes to the cluster, else 0.
# TYPE gatewarden_leading gauge
gatewarden_leading 1
# HELP gatewarden_panics_total Requests that ran into a panic and were answered with HTTP status 500.
# TYPE gatewarden_panics_total counter
gatewarden_panics_total 1
# HELP gatewarden_ready 1 while requests are judged, else 0: they get HTTP status 503.
# TYPE gatewarden_ready gauge
gatewarden_ready 0
# HELP gatewarden_snapshot_age_seconds Time since the API server was last heard of the kind of which that is longest ago.
# TYPE gatewarden_snapshot_age_seconds gauge
gatewarden_snapshot_age_seconds 1.5
# HELP gatewarden_snapshot_generation Generation of the state that changes are judged against.
# TYPE gatewarden_snapshot_generation gauge
gatewarden_snapshot_generation 42
# HELP gatewarden_snapshot_objects Objects in the state that changes are judged against, by kind.
# TYPE gatewarden_snapshot_objects gauge
gatewarden_snapshot_objects{kind="Gateway"} 3
# HELP gatewarden_synced 1 when the state is complete enough to judge by, else 0.
# TYPE gatewarden_synced gauge
gatewarden_synced 1
# HELP gatewarden_undecodable_objects_total Objects of the cluster that could not be read and are left out of the state.
# TYPE gatewarden_undecodable_objects_total counter
gatewarden_undecodable_objects_total{kind="Gateway"} 1
# HELP gatewarden_watch_lost_seconds Time since the kind was last watched; 0 while it is.
# TYPE gatewarden_watch_lost_seconds gauge
gatewarden_watch_lost_seconds{kind="Gateway"} 2.5
gatewarden_watch_lost_seconds{kind="Pod"} 0
`),
		"gatewarden_admission_requests_total", "gatewarden_audits_total", "gatewarden_certificate_not_after_seconds", "gatewarden_certificate_not_before_seconds",
		"gatewarden_config_exemptions", "gatewarden_config_last_reload_success_timestamp_seconds",
		"gatewarden_config_last_reload_successful", "gatewarden_config_next_exemption_expiry_timestamp_seconds",
		"gatewarden_config_openings", "gatewarden_config_reloads_total", "gatewarden_findings_total",
		"gatewarden_leading", "gatewarden_panics_total", "gatewarden_ready", "gatewarden_snapshot_age_seconds",
		"gatewarden_snapshot_generation", "gatewarden_snapshot_objects", "gatewarden_synced",
		"gatewarden_undecodable_objects_total",
		"gatewarden_watch_lost_seconds"))
}

func TestHandlerServesBuildProcessAndHistogram(t *testing.T) {
	p := newPrometheus()
	p.Admission(metrics.Admission{Endpoint: "validate", Duration: 60 * time.Microsecond})

	w := httptest.NewRecorder()
	p.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	body := w.Body.String()

	assert.Equal(t, 200, w.Code)
	assert.Contains(t, body, `gatewarden_build_info{commit="c0ffee",go_version="go1.`)
	assert.Contains(t, body, `version="v1.2.3"} 1`)
	assert.Contains(t, body, `gatewarden_admission_duration_seconds_bucket{endpoint="validate",le="5e-05"} 0`)
	assert.Contains(t, body, `gatewarden_admission_duration_seconds_bucket{endpoint="validate",le="0.0001"} 1`)
	assert.Contains(t, body, "go_goroutines ")
	assert.Contains(t, body, "process_open_fds ")
}

func TestMetricsFollowPrometheusConventions(t *testing.T) {
	p := newPrometheus()
	p.Admission(metrics.Admission{Endpoint: "validate"})
	p.Finding("GWD201", "deny")
	problems, err := testutil.GatherAndLint(p.Gatherer())
	require.NoError(t, err)
	assert.Empty(t, problems)
}

// A server without a cluster has neither watches nor Leases.
func TestWhatIsNotThereHasNoSeries(t *testing.T) {
	p := metrics.NewPrometheus()
	p.Show(metrics.Sources{Configuration: func() metrics.Configuration { return metrics.Configuration{Current: true} }})
	w := httptest.NewRecorder()
	p.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	assert.Contains(t, w.Body.String(), "gatewarden_build_info{")
	assert.Contains(t, w.Body.String(), "gatewarden_config_last_reload_successful 1\n")
	for _, name := range []string{"snapshot", "watch", "leading", "ready", "synced", "certificate", "config_next"} {
		assert.NotContains(t, w.Body.String(), "gatewarden_"+name)
	}
}

func TestDiscardImplementsRecorder(t *testing.T) {
	var r metrics.Recorder = metrics.Discard{}
	r.Admission(metrics.Admission{})
	r.Finding("", "")
	r.Panic()
	r.Undecodable(resource.KindPod)
	r.Reload(true)
	r.Audit(metrics.Audit{})
	r.Audited(true)
}

func TestAuditShowsTheLastOne(t *testing.T) {
	p := newPrometheus()
	count := func() int {
		n, err := testutil.GatherAndCount(p.Gatherer(), "gatewarden_audit_findings", "gatewarden_audit_gaps",
			"gatewarden_audit_last_success_timestamp_seconds", "gatewarden_audit_duration_seconds")
		require.NoError(t, err)
		return n
	}
	assert.Zero(t, count(), "there was none")
	assert.Nil(t, p.LastAudit())
	p.Audit(metrics.Audit{Findings: map[metrics.Found]int{{"GWD201", "deny", "a"}: 1, {"GWD201", "warn", "b"}: 2}})
	assert.Equal(t, 2+3, count())
	p.Audit(metrics.Audit{
		Findings: map[metrics.Found]int{{"GWD709", "note", ""}: 3}, Gaps: 2,
		Ended: time.UnixMilli(1_900_000_000_500), Took: 1500 * time.Millisecond,
	})
	assert.Equal(t, 2, p.LastAudit().Gaps)
	require.NoError(t, testutil.GatherAndCompare(p.Gatherer(), strings.NewReader(`
# HELP gatewarden_audit_duration_seconds How long the last audit took, its pauses included.
# TYPE gatewarden_audit_duration_seconds gauge
gatewarden_audit_duration_seconds 1.5
# HELP gatewarden_audit_findings What the last audit found, by rule, effect and namespace.
# TYPE gatewarden_audit_findings gauge
gatewarden_audit_findings{effect="note",namespace="",rule="GWD709"} 3
# HELP gatewarden_audit_gaps Kinds that the last audit could not see for want of a permission.
# TYPE gatewarden_audit_gaps gauge
gatewarden_audit_gaps 2
# HELP gatewarden_audit_last_success_timestamp_seconds When the last audit ended, in seconds since 1970.
# TYPE gatewarden_audit_last_success_timestamp_seconds gauge
gatewarden_audit_last_success_timestamp_seconds 1.9000000005e+09
`), "gatewarden_audit_findings", "gatewarden_audit_gaps", "gatewarden_audit_last_success_timestamp_seconds", "gatewarden_audit_duration_seconds"))
	problems, err := testutil.GatherAndLint(p.Gatherer())
	require.NoError(t, err)
	assert.Empty(t, problems)
}

// Whoever may make namespaces must not be able to make any number of series.
func TestAuditBoundsItsNamespaces(t *testing.T) {
	p := newPrometheus()
	findings := map[metrics.Found]int{{"GWD201", "deny", "many"}: 5}
	for i := range 1000 {
		findings[metrics.Found{Rule: "GWD201", Effect: "deny", Namespace: fmt.Sprint("ns", i)}] = 1
	}
	p.Audit(metrics.Audit{Findings: findings})
	n, err := testutil.GatherAndCount(p.Gatherer(), "gatewarden_audit_findings")
	require.NoError(t, err)
	assert.Equal(t, 201, n)
	w := httptest.NewRecorder()
	p.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	assert.Contains(t, w.Body.String(), `namespace="many",rule="GWD201"} 5`)
	assert.Contains(t, w.Body.String(), `namespace="_other",rule="GWD201"} 801`)
}
