package report_test

import (
	"bytes"
	"encoding/xml"
	"testing"

	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/report"
)

var aTool = report.Tool{Version: "v1.2.3", Rules: []*policy.Rule{
	{ID: "GWD201", Name: "first-rule", Summary: "It finds the first thing.", Page: "# GWD201\n\nWhy.\n", Effect: policy.Deny},
	{ID: "GWD204", Name: "second-rule", Summary: "It finds the second thing.", Page: "# GWD204\n", Effect: policy.Warn},
	{ID: "GWD507", Name: "blind-rule", Summary: "It could not look.", Page: "# GWD507\n", Effect: policy.Warn},
	{ID: "GWD509", Name: "content-rule", Summary: "It finds nothing.", Page: "# GWD509\n", Effect: policy.Warn},
	{ID: "GWD602", Name: "a-note", Summary: "It notes.", Page: "# GWD602\n", Effect: policy.Note},
	{ID: "GWD701", Name: "third-rule", Summary: "It audits.", Page: "# GWD701\n", Effect: policy.Warn},
	{ID: "GWD702", Name: "fourth-rule", Summary: "It audits, too.", Page: "# GWD702\n", Effect: policy.Warn},
}}

func TestFormatsForPrograms(t *testing.T) {
	for _, tc := range []struct {
		file  string
		write func(*bytes.Buffer) error
	}{
		{"full.sarif", func(b *bytes.Buffer) error { return report.SARIF(b, full(), aTool) }},
		{"audit.sarif", func(b *bytes.Buffer) error { return report.AuditSARIF(b, fullAudit(), aTool) }},
		{"full.junit.xml", func(b *bytes.Buffer) error { return report.JUnit(b, full()) }},
		{"audit.junit.xml", func(b *bytes.Buffer) error { return report.AuditJUnit(b, fullAudit(), aTool) }},
	} {
		t.Run(tc.file, func(t *testing.T) {
			var got bytes.Buffer
			require.NoError(t, tc.write(&got))
			golden(t, tc.file, got.Bytes())
		})
	}
}

// A SARIF log reads back, holds to the schema, and has a fingerprint for each result that no
// other one has: code hosts tell old alerts from new ones by it.
func TestSARIFIsValid(t *testing.T) {
	for name, write := range map[string]func(*bytes.Buffer) error{
		"check": func(b *bytes.Buffer) error { return report.SARIF(b, full(), aTool) },
		"audit": func(b *bytes.Buffer) error { return report.AuditSARIF(b, fullAudit(), aTool) },
		"empty": func(b *bytes.Buffer) error { return report.AuditSARIF(b, report.Audit{}, aTool) },
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			require.NoError(t, write(&b))
			log, err := sarif.FromBytes(b.Bytes())
			require.NoError(t, err)
			require.NoError(t, log.Validate())
			require.Len(t, log.Runs, 1)
			seen := map[string]bool{}
			for _, r := range log.Runs[0].Results {
				for _, f := range r.PartialFingerprints {
					assert.False(t, seen[f], *r.RuleID)
					seen[f] = true
				}
			}
			assert.Len(t, seen, len(log.Runs[0].Results))
		})
	}
}

// JUnit counts what CI fails by: denials, and nothing else.
func TestJUnitCountsDenials(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, report.AuditJUnit(&b, fullAudit(), aTool))
	var suites struct {
		Failures int `xml:"failures,attr"`
		Skipped  int `xml:"skipped,attr"`
		Suites   []struct {
			Name  string `xml:"name,attr"`
			Tests int    `xml:"tests,attr"`
		} `xml:"testsuite"`
	}
	require.NoError(t, xml.Unmarshal(b.Bytes(), &suites))
	assert.Equal(t, 1, suites.Failures)
	assert.Equal(t, 1, suites.Skipped, "what could not be checked is no success")
	assert.Len(t, suites.Suites, len(aTool.Rules))
	for _, s := range suites.Suites {
		assert.NotZero(t, s.Tests, s.Name)
	}
}

// Code hosts find a file by a URI relative to the root of the repository, in which a colon must
// not look like the end of a scheme. What came from standard input is in no file.
func TestSARIFNamesFiles(t *testing.T) {
	for file, want := range map[string]string{
		"team/gateway.yaml":     "team/gateway.yaml",
		"./team/../gateway.yml": "gateway.yml",
		"a b/100%.yaml":         "a%20b/100%25.yaml",
		"a:b.yaml":              "./a:b.yaml",
		"/srv/a.yaml":           "file:///srv/a.yaml",
		"stdin":                 "",
	} {
		r := full()
		r.Decisions = r.Decisions[:1]
		r.Decisions[0].Object.File = file
		var b bytes.Buffer
		require.NoError(t, report.SARIF(&b, r, aTool))
		log, err := sarif.FromBytes(b.Bytes())
		require.NoError(t, err)
		require.NoError(t, log.Validate())
		at := log.Runs[0].Results[0].Locations[0].PhysicalLocation
		if want == "" {
			assert.Nil(t, at)
			continue
		}
		assert.Equal(t, want, *at.ArtifactLocation.URI)
	}
}
