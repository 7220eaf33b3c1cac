package report_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/audit"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/report"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// fullAudit is an audit in which everything that a report can hold occurs once.
func fullAudit() report.Audit {
	on := func(kind resource.Kind, namespace, name, source string, f policy.Finding) audit.Finding {
		return audit.Finding{ObjectFinding: policy.ObjectFinding{
			Key: resource.Key{Kind: kind, Namespace: namespace, Name: name}, Finding: f,
		}, Source: source}
	}
	return report.Audit{
		Result: audit.Result{Judged: 12, Findings: []audit.Finding{
			on(resource.KindDeployment, "apps", "proxy", "", policy.Finding{
				Rule: "GWD602", Name: "a-note", Effect: policy.Note, Field: "spec.template", Message: "Something is missing. Add it.", Subject: "sysctl",
			}),
			on(resource.KindGateway, "shop", "front", "shop/gateway.yaml:12", policy.Finding{
				Rule: "GWD201", Name: "first-rule", Effect: policy.Deny, Field: "spec.servers[0].hosts[1]", Subject: "shared[443]|a.org",
				Message: "The host <a.org> is served by somebody else. Use another one.",
				Related: []resource.Key{{Kind: resource.KindGateway, Namespace: "platform", Name: "shared"}, {Kind: resource.KindNamespace, Name: "platform"}},
			}),
			on(resource.KindGateway, "shop", "front", "shop/gateway.yaml:12", policy.Finding{
				Rule: "GWD204", Name: "second-rule", Effect: policy.Warn, Field: "spec.servers[0].hosts[2]", Subject: "shared[443]|*.org", Message: "It is wide. Narrow it.",
			}),
			on(resource.KindGateway, "apps", "open", "", policy.Finding{
				Rule: "GWD201", Name: "first-rule", Effect: policy.Note, Field: "spec.servers[0].hosts[0]", Subject: "shared[443]|b.org", Message: "The host is served by somebody else. Use another one.",
				Exempt: "the move",
			}),
			on(resource.KindKubernetesGateway, "shop", "another", "shop/gateway.yaml:40", policy.Finding{
				Rule: "GWD204", Name: "second-rule", Effect: policy.Warn, Field: "spec.listeners[0]", Subject: "shared[443]|*.net", Message: "It is wide. Narrow it.",
			}),
			on(resource.KindNamespace, "", "shop", "stdin:1", policy.Finding{
				Rule: "GWD701", Name: "third-rule", Effect: policy.Warn, Message: "The namespace lacks a label. Add it.", Subject: "label",
			}),
			on(resource.KindGatewayClass, "", "istio", "", policy.Finding{
				Rule: "GWD702", Name: "fourth-rule", Effect: policy.Note, Message: "Nobody uses it. Remove it.", Subject: "unused",
			}),
		}},
		Notes: []string{"exemptions[0] (the move) expired on 2026-01-31 and no longer counts"},
		NotChecked: []audit.Gap{
			{API: resource.ByKind(resource.KindPod), Verb: "list", Rules: []string{"GWD201", "GWD204"}},
			{API: resource.ByKind(resource.KindConfigMap), Verb: "list", Namespace: "istio-system", Rules: []string{"GWD701"}},
			{API: resource.ByKind(resource.KindSidecar), Verb: "list", Rules: []string{"GWD507"}},
		},
	}
}

// comparedAudit is a full audit that had some of its findings before, and one more.
func comparedAudit() report.Audit {
	a := fullAudit()
	earlier := []audit.ID{{Rule: "GWD301", Key: resource.Key{Kind: resource.KindVirtualService, Namespace: "shop", Name: "gone"}, Subject: "x"}}
	for _, f := range a.Findings[1:] {
		earlier = append(earlier, f.ID())
	}
	c := audit.Compare(earlier, a.Findings)
	a.Baseline = &c
	return a
}

func TestAuditGolden(t *testing.T) {
	for _, tc := range []struct {
		file   string
		write  func(*bytes.Buffer, report.Audit) error
		report report.Audit
	}{
		{"audit.txt", auditText, fullAudit()},
		{"audit.json", auditJSON, fullAudit()},
		{"audit-baseline.txt", auditText, comparedAudit()},
		{"audit-baseline.json", auditJSON, comparedAudit()},
		{"audit-empty.txt", auditText, report.Audit{}},
		{"audit-empty.json", auditJSON, report.Audit{}},
	} {
		t.Run(tc.file, func(t *testing.T) {
			var got bytes.Buffer
			require.NoError(t, tc.write(&got, tc.report))
			golden(t, tc.file, got.Bytes())
		})
	}
}

func auditText(b *bytes.Buffer, a report.Audit) error {
	return report.AuditText(b, a, report.TextOptions{})
}
func auditJSON(b *bytes.Buffer, a report.Audit) error { return report.AuditJSON(b, a) }

func TestAuditDenied(t *testing.T) {
	assert.True(t, fullAudit().Denied())
	assert.False(t, comparedAudit().Denied(), "what is new is a note")
	assert.False(t, report.Audit{}.Denied())
}

func TestAuditTextShowsControlCharactersAndColours(t *testing.T) {
	a := fullAudit()
	a.Findings[1].Key.Name = "a\x1b[2Jb"
	var b bytes.Buffer
	require.NoError(t, auditText(&b, a))
	assert.Contains(t, b.String(), `  Gateway a\x1b[2Jb (shop/gateway.yaml:12)`)
	b.Reset()
	require.NoError(t, report.AuditText(&b, fullAudit(), report.TextOptions{Color: true}))
	assert.Contains(t, b.String(), "\x1b[31mdeny\x1b[0m GWD201")
}

// What an audit writes is the next one's baseline, whether it was compared itself or not.
func TestReadBaseline(t *testing.T) {
	for name, a := range map[string]report.Audit{"full": fullAudit(), "compared": comparedAudit()} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			require.NoError(t, auditJSON(&b, a))
			ids, err := report.ReadBaseline(b.Bytes())
			require.NoError(t, err)
			c := audit.Compare(ids, fullAudit().Findings)
			assert.Empty(t, c.New)
			assert.Empty(t, c.Resolved)
			assert.Len(t, c.Known, 7)
		})
	}
	var b bytes.Buffer
	require.NoError(t, auditJSON(&b, fullAudit()))
	older := strings.ReplaceAll(b.String(), "networking.istio.io/v1", "networking.istio.io/v1alpha3")
	older = strings.ReplaceAll(older, `"kind": "GatewayClass"`, `"kind": "NoSuchKind"`)
	ids, err := report.ReadBaseline([]byte(older))
	require.NoError(t, err)
	c := audit.Compare(ids, fullAudit().Findings)
	assert.Len(t, c.Known, 6, "the version is no part of an identity")
	assert.Len(t, c.New, 1)

	for in, want := range map[string]string{
		"":                  "this is no JSON output of an audit: unexpected end of JSON input",
		`{"decisions": []}`: `this is no JSON output of an audit: it has no findings; write one with "-o json"`,
		`[]`:                "this is no JSON output of an audit: ",
	} {
		_, err := report.ReadBaseline([]byte(in))
		assert.ErrorContains(t, err, want)
	}
	ids, err = report.ReadBaseline([]byte(`{"findings": []}`))
	require.NoError(t, err)
	assert.Empty(t, ids)
}
