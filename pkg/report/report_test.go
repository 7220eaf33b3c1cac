package report_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gomodules.xyz/jsonpatch/v2"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/report"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

var update = flag.Bool("update", false, "write the golden files anew")

// full is a report in which everything that a report can hold occurs once.
func full() report.Report {
	gateway := func(namespace, name string) resource.Key {
		return resource.Key{Kind: resource.KindGateway, Namespace: namespace, Name: name}
	}
	return report.Report{
		Decisions: []report.Decision{
			{
				Object: report.Object{
					APIVersion: "networking.istio.io/v1", Kind: "Gateway", Namespace: "shop", Name: "front",
					File: "shop/gateway.yaml", Line: 12,
				},
				Operation: policy.Update,
				Decision: policy.Decision{Findings: []policy.Finding{
					{
						Rule: "GWD101", Name: "first-rule", Effect: policy.Deny, Field: "spec.servers[0].hosts[1]",
						Message: "The host is served by somebody else. Use another one.",
						Related: []resource.Key{gateway("platform", "shared"), {Kind: resource.KindNamespace, Name: "platform"}},
					},
					{
						Rule: "GWD102", Name: "second-rule", Effect: policy.Warn, Carried: true, Field: "spec.selector",
						Message: "A < B & C stays as it is written.",
					},
					{Rule: "GWD103", Name: "third-rule", Effect: policy.Note, Message: "Nothing to worry about."},
					{Rule: "GWD104", Name: "fourth-rule", Effect: policy.Note, Exempt: "until the move", Message: "It would be denied."},
				}},
			},
			{
				Object: report.Object{
					APIVersion: "apps/v1", Kind: "Deployment", Namespace: "platform", Name: "proxy", File: "stdin", Line: 1,
				},
				Operation: policy.Create,
				Patch: []jsonpatch.Operation{
					{Operation: "add", Path: "/spec/template/metadata/labels/a~1b", Value: "true"},
					{Operation: "remove", Path: "/spec/paused"},
				},
			},
			{
				Object: report.Object{
					APIVersion: "networking.istio.io/v1", Kind: "VirtualService", Namespace: "shop",
					Display: "made-up-…", File: "routes.yaml", Line: 3,
				},
				Operation: policy.Delete,
				Decision:  policy.Decision{Exempt: "the owner's deployment pipeline"},
			},
		},
		Notes: []string{"exemptions[0] (the move) expired on 2026-01-31 and no longer counts"},
		PassedOver: []report.Object{
			{APIVersion: "v1", Kind: "Secret", Namespace: "shop", Name: "one", File: "rest.yaml", Line: 1},
			{APIVersion: "v1", Kind: "ConfigMap", Namespace: "shop", Name: "two", File: "rest.yaml", Line: 9},
			{APIVersion: "v1", Kind: "Secret", Namespace: "shop", Name: "three", File: "rest.yaml", Line: 17},
		},
	}
}

func TestGolden(t *testing.T) {
	asText := func(opts report.TextOptions) func(*bytes.Buffer, report.Report) error {
		return func(b *bytes.Buffer, r report.Report) error { return report.Text(b, r, opts) }
	}
	asJSON := func(b *bytes.Buffer, r report.Report) error { return report.JSON(b, r) }
	for _, tc := range []struct {
		file   string
		write  func(*bytes.Buffer, report.Report) error
		report report.Report
	}{
		{"full.txt", asText(report.TextOptions{}), full()},
		{"color.txt", asText(report.TextOptions{Color: true}), full()},
		{"full.json", asJSON, full()},
		{"empty.txt", asText(report.TextOptions{}), report.Report{}},
		{"empty.json", asJSON, report.Report{}},
	} {
		t.Run(tc.file, func(t *testing.T) {
			var got bytes.Buffer
			require.NoError(t, tc.write(&got, tc.report))
			golden(t, tc.file, got.Bytes())
		})
	}
}

// golden compares an output with a file.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *update {
		require.NoError(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), string(got), "run the test with -update if the change is meant")
}

func TestJSONListsAreNeverNull(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, report.JSON(&b, report.Report{Decisions: []report.Decision{
		{Decision: policy.Decision{Findings: []policy.Finding{{Rule: "GWD101"}}}}, {},
	}}))
	require.True(t, json.Valid(b.Bytes()))
	assert.NotContains(t, b.String(), "null")
}

func TestDenied(t *testing.T) {
	assert.True(t, full().Denied())
	assert.False(t, report.Report{}.Denied())
	assert.False(t, report.Report{Decisions: full().Decisions[1:]}.Denied())
}

func TestTextShowsControlCharacters(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, report.Text(&b, report.Report{Decisions: []report.Decision{{
		Object:    report.Object{Kind: "Gateway", Namespace: "shop", Name: "a\x1b[2Jb\nc\u202e", File: "f.yaml", Line: 1},
		Operation: policy.Create,
	}}}, report.TextOptions{}))
	assert.Contains(t, b.String(), `f.yaml:1 Gateway shop/a\x1b[2Jb\nc\u202e CREATE: allowed`)
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

func TestWriteErrorsAreReturned(t *testing.T) {
	broken := brokenWriter{errors.New("no space left")}
	assert.ErrorIs(t, report.Text(broken, full(), report.TextOptions{}), broken.err)
	assert.ErrorIs(t, report.JSON(broken, full()), broken.err)
	assert.ErrorIs(t, report.AuditText(broken, fullAudit(), report.TextOptions{}), broken.err)
	assert.ErrorIs(t, report.AuditJSON(broken, fullAudit()), broken.err)
}
