package monitoring

import (
	"fmt"
	"time"
)

// alertTest is what Prometheus has scraped every 30 seconds, and the labels of the alerts that fire
// at the end, beside name and severity.
type alertTest struct {
	series string
	end    time.Duration
	want   []map[string]string
}

// pod are the labels of an alert about one replica.
func pod(name string, more ...string) map[string]string {
	out := map[string]string{"pod": name}
	for i := 0; i < len(more); i += 2 {
		out[more[i]] = more[i+1]
	}
	return out
}

const (
	// judged are requests that were all answered with a verdict.
	judged = `gatewarden_admission_requests_total{decision="allowed",endpoint="validate",pod="a"} 0+10x300
gatewarden_admission_requests_total{decision="denied",endpoint="validate",pod="a"} 0+10x300
gatewarden_admission_requests_total{decision="invalid",endpoint="validate",pod="a"} 0+10x300
`
	rejection = `apiserver_admission_webhook_rejection_count{type="validating",operation="CREATE",rejection_code="0",`
	failOpen  = `apiserver_admission_webhook_fail_open_count{type="validating",`
	week      = 7 * 24 * time.Hour
)

// alertTests are for each alert cases in which it fires, and near misses.
var alertTests = map[string]map[string]alertTest{
	"GatewardenNoReplica": {
		"nothing is scraped": {`other 1x60`, 5 * time.Minute, []map[string]string{{}}},
		"none is ready": {
			`gatewarden_ready{pod="a"} 0x60
			 gatewarden_ready{pod="b"} 0x60`, 5 * time.Minute, []map[string]string{{}},
		},
		"one is ready": {
			`gatewarden_ready{pod="a"} 0x60
			 gatewarden_ready{pod="b"} 1x60`, 5 * time.Minute, nil,
		},
		"for a moment": {`gatewarden_ready{pod="a"} 1x4 0x2 1x60`, 5 * time.Minute, nil},
	},
	"GatewardenNotReady": {
		"one of two": {
			`gatewarden_ready{pod="a"} 0x60
			 gatewarden_ready{pod="b"} 1x60`, 10 * time.Minute, []map[string]string{pod("a")},
		},
		"it starts": {`gatewarden_ready{pod="a"} 0x4 1x60`, 10 * time.Minute, nil},
	},
	"GatewardenNotScraped": {
		"one of two": {
			`up{job="gatewarden",pod="a"} 0x60
			 up{job="gatewarden",pod="b"} 1x60`, 10 * time.Minute, []map[string]string{pod("a", "job", "gatewarden")},
		},
		"somebody else": {`up{job="other",pod="a"} 0x60`, 10 * time.Minute, nil},
	},
	"GatewardenUnreachable": {
		"refused for it": {
			rejection + `error_type="calling_webhook_error",name="gateways.gatewarden.io"} 0 1+1x20`,
			10 * time.Minute, []map[string]string{{"name": "gateways.gatewarden.io"}},
		},
		"denied by it": {rejection + `error_type="no_error",name="gateways.gatewarden.io"} 0 1+1x20`, 10 * time.Minute, nil},
		"another webhook": {
			rejection + `error_type="calling_webhook_error",name="validate.other.io"} 0 1+1x20`, 10 * time.Minute, nil,
		},
		"it is over": {rejection + `error_type="calling_webhook_error",name="gateways.gatewarden.io"} 0 1 2 2x40`, 10 * time.Minute, nil},
	},
	"GatewardenPassedOver": {
		"passed unjudged": {
			failOpen + `name="pods.gatewarden.io"} 0 1+1x20`, 10 * time.Minute, []map[string]string{{"name": "pods.gatewarden.io"}},
		},
		"another webhook": {failOpen + `name="pods.other.io"} 0 1+1x20`, 10 * time.Minute, nil},
	},
	"GatewardenCallsFail": {
		"unready": {
			judged + `gatewarden_admission_requests_total{decision="unready",endpoint="validate",pod="a"} 0+1x60`,
			15 * time.Minute, []map[string]string{{"decision": "unready"}},
		},
		"failed": {
			judged + `gatewarden_admission_requests_total{decision="failed",endpoint="mutate",pod="a"} 0+1x60`,
			15 * time.Minute, []map[string]string{{"decision": "failed"}},
		},
		"judged": {judged, 15 * time.Minute, nil},
		"at a start": {
			judged + `gatewarden_admission_requests_total{decision="unready",endpoint="validate",pod="a"} 0 2x60`, 15 * time.Minute, nil,
		},
	},
	"GatewardenPanics": {
		"one":      {`gatewarden_panics_total{pod="a"} 0x4 1x20`, 5 * time.Minute, []map[string]string{pod("a")}},
		"none":     {`gatewarden_panics_total{pod="a"} 0x60`, 5 * time.Minute, nil},
		"long ago": {`gatewarden_panics_total{pod="a"} 0x4 1x60`, 25 * time.Minute, nil},
	},
	"GatewardenSlow": {
		"three of a hundred": {
			`gatewarden_admission_duration_seconds_bucket{endpoint="validate",le="0.2048",pod="a"} 0+97x60
			 gatewarden_admission_duration_seconds_bucket{endpoint="validate",le="0.4096",pod="a"} 0+100x60
			 gatewarden_admission_duration_seconds_bucket{endpoint="validate",le="+Inf",pod="a"} 0+100x60`,
			20 * time.Minute, []map[string]string{{"endpoint": "validate"}},
		},
		"one of a thousand": {
			`gatewarden_admission_duration_seconds_bucket{endpoint="validate",le="0.0512",pod="a"} 0+999x60
			 gatewarden_admission_duration_seconds_bucket{endpoint="validate",le="0.4096",pod="a"} 0+1000x60
			 gatewarden_admission_duration_seconds_bucket{endpoint="validate",le="+Inf",pod="a"} 0+1000x60`,
			20 * time.Minute, nil,
		},
		"nobody asks": {
			`gatewarden_admission_duration_seconds_bucket{endpoint="validate",le="0.0512",pod="a"} 0x60
			 gatewarden_admission_duration_seconds_bucket{endpoint="validate",le="+Inf",pod="a"} 7x60`,
			20 * time.Minute, nil,
		},
	},
	"GatewardenReservationsFail": {
		"again and again": {`gatewarden_ledger_reserve_failures_total{pod="a"} 0+1x60`, 15 * time.Minute, []map[string]string{{}}},
		"one":             {`gatewarden_ledger_reserve_failures_total{pod="a"} 0x4 1x60`, 15 * time.Minute, nil},
	},
	"GatewardenWatchLost": {
		"for minutes": {
			`gatewarden_watch_lost_seconds{kind="Gateway",pod="a"} 0 30+30x10
			 gatewarden_watch_lost_seconds{kind="Pod",pod="a"} 0x10`,
			5 * time.Minute, []map[string]string{pod("a", "kind", "Gateway")},
		},
		"for a restart of the API server": {`gatewarden_watch_lost_seconds{kind="Gateway",pod="a"} 0 30 59 0x20`, 5 * time.Minute, nil},
	},
	"GatewardenStateOld": {
		"silence":           {`gatewarden_snapshot_age_seconds{pod="a"} 0+30x60`, 15 * time.Minute, []map[string]string{pod("a")}},
		"between bookmarks": {`gatewarden_snapshot_age_seconds{pod="a"} 0 30 60 10 40 70 0 30 60 10 40 70 0 30 60 10 40 70 75x20`, 15 * time.Minute, nil},
	},
	"GatewardenUndecodable": {
		"one":      {`gatewarden_undecodable_objects_total{kind="Gateway",pod="a"} 0x4 1x20`, 5 * time.Minute, []map[string]string{pod("a", "kind", "Gateway")}},
		"long ago": {`gatewarden_undecodable_objects_total{kind="Gateway",pod="a"} 0x4 1x60`, 25 * time.Minute, nil},
	},
	"GatewardenCertificateNotRenewed": {
		"a sixth of a week is left": certificate(week, week/6, 20*time.Minute, pod("a")),
		"it is about to be renewed": certificate(week, week*33/100, 20*time.Minute),
		"a month of three is left":  certificate(13*week, 4*week, 20*time.Minute),
		"two weeks of three months": certificate(13*week, 2*week, 20*time.Minute, pod("a")),
		"there is none": {
			`gatewarden_certificate_not_before_seconds{pod="a"} 0x60
			 gatewarden_certificate_not_after_seconds{pod="a"} 0x60`, 20 * time.Minute, []map[string]string{pod("a")},
		},
	},
	"GatewardenCertificateExpires": {
		"in hours":              certificate(week, 20*time.Hour, 10*time.Minute, pod("a")),
		"it has expired":        certificate(week, -time.Hour, 10*time.Minute, pod("a")),
		"in days":               certificate(week, 26*time.Hour, 10*time.Minute),
		"one that is so short":  certificate(30*time.Hour, 20*time.Hour, 10*time.Minute),
		"one that is shortened": certificate(30*time.Hour, 5*time.Hour, 10*time.Minute, pod("a")),
	},
	"GatewardenConfigurationNotTaken": {
		"wrong":    {`gatewarden_config_last_reload_successful{pod="a"} 1x4 0x40`, 10 * time.Minute, []map[string]string{pod("a")}},
		"mended":   {`gatewarden_config_last_reload_successful{pod="a"} 1x4 0x6 1x40`, 10 * time.Minute, nil},
		"in force": {`gatewarden_config_last_reload_successful{pod="a"} 1x40`, 10 * time.Minute, nil},
	},
	"GatewardenConfigurationOpen": {
		"open": {
			`gatewarden_config_openings{pod="a"} 1x60
			 gatewarden_config_openings{pod="b"} 1x60`, 20 * time.Minute, []map[string]string{{}},
		},
		"an emergency": {`gatewarden_config_openings{pod="a"} 0x4 1x20 0x40`, 20 * time.Minute, nil},
		"shut":         {`gatewarden_config_openings{pod="a"} 0x60`, 20 * time.Minute, nil},
	},
	"GatewardenExemptionExpired": {
		"one":  {exemptions("1x60", "2x60"), 20 * time.Minute, []map[string]string{{}}},
		"none": {exemptions("0x60", "2x60"), 20 * time.Minute, nil},
	},
	"GatewardenExemptionExpires": {
		"in two days": {
			`gatewarden_config_next_exemption_expiry_timestamp_seconds{pod="a"} 172800x10
			 gatewarden_config_next_exemption_expiry_timestamp_seconds{pod="b"} 172800x10`, time.Minute, []map[string]string{{}},
		},
		"in four days": {`gatewarden_config_next_exemption_expiry_timestamp_seconds{pod="a"} 345600x10`, time.Minute, nil},
		"never":        {exemptions("0x10", "2x10"), time.Minute, nil},
	},
	"GatewardenFindings": {
		"refused today": {
			`gatewarden_audit_findings{effect="deny",exported_namespace="team-a",rule="GWD201",pod="a"} 2x60
			 gatewarden_audit_findings{effect="deny",exported_namespace="team-a",rule="GWD201",pod="b"} 2x60
			 gatewarden_audit_findings{effect="deny",exported_namespace="",rule="GWD505",pod="a"} 1x60`,
			20 * time.Minute, []map[string]string{{"rule": "GWD201", "exported_namespace": "team-a"}, {"rule": "GWD505"}},
		},
		"only warned of": {`gatewarden_audit_findings{effect="warn",exported_namespace="team-a",rule="GWD306",pod="a"} 2x60`, 20 * time.Minute, nil},
		"resolved":       {`gatewarden_audit_findings{effect="deny",exported_namespace="team-a",rule="GWD201",pod="a"} 2x20 _x40`, 20 * time.Minute, nil},
	},
	"GatewardenAuditStale": {
		"for an hour":  {`gatewarden_audit_last_success_timestamp_seconds{pod="a"} 60x200`, 70 * time.Minute, []map[string]string{pod("a")}},
		"for a while":  {`gatewarden_audit_last_success_timestamp_seconds{pod="a"} 60x200`, 50 * time.Minute, nil},
		"there is one": {`gatewarden_audit_last_success_timestamp_seconds{pod="a"} 0+30x200`, 70 * time.Minute, nil},
	},
	"GatewardenAuditNotTold": {
		"again and again": {`gatewarden_audits_total{pod="a",result="failed"} 0+1x60`, 15 * time.Minute, []map[string]string{pod("a", "result", "failed")}},
		"now and then": {
			`gatewarden_audits_total{pod="a",result="failed"} 0x4 1x20 2x40
			 gatewarden_audits_total{pod="a",result="ok"} 0+1x60`, 15 * time.Minute, nil,
		},
	},
	"GatewardenNoLeader": {
		"none of two": {
			`gatewarden_leading{pod="a"} 0x60
			 gatewarden_leading{pod="b"} 0x60`, 10 * time.Minute, []map[string]string{{}},
		},
		"one of two": {
			`gatewarden_leading{pod="a"} 0x60
			 gatewarden_leading{pod="b"} 1x60`, 10 * time.Minute, nil,
		},
		"nothing is written": {`gatewarden_ready{pod="a"} 1x60`, 10 * time.Minute, nil},
	},
}

// certificate is one that is valid for a time, of which some is left at the end.
func certificate(validity, left, end time.Duration, want ...map[string]string) alertTest {
	notAfter := end + left
	return alertTest{
		fmt.Sprintf("gatewarden_certificate_not_before_seconds{pod=\"a\"} %dx60\ngatewarden_certificate_not_after_seconds{pod=\"a\"} %dx60",
			int((notAfter - validity).Seconds()), int(notAfter.Seconds())), end, want,
	}
}

// exemptions are those of two replicas.
func exemptions(expired, live string) string {
	var out string
	for _, pod := range []string{"a", "b"} {
		out += fmt.Sprintf("gatewarden_config_exemptions{pod=%q,state=\"expired\"} %s\ngatewarden_config_exemptions{pod=%q,state=\"live\"} %s\n",
			pod, expired, pod, live)
	}
	return out
}
