package cli

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/report"
)

// status asks a server for its status.
func (s *served) status(method, query, accept string) (status int, contentType, body string) {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), method, strings.Replace(s.metrics, "/metrics", "/statusz", 1)+query, nil)
	require.NoError(s.t, err)
	request.Header.Set("Accept", accept)
	response, err := http.DefaultClient.Do(request)
	require.NoError(s.t, err)
	defer func() { assert.NoError(s.t, response.Body.Close()) }()
	status, body = answerOf(s.t, response)
	return status, response.Header.Get("Content-Type"), body
}

// passing is what differs from one run to the next, and what stands for it in golden files.
var passing = []struct {
	what *regexp.Regexp
	by   string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "TIME"},
	{regexp.MustCompile(`(TIME, )\S+ ago`), "${1}AGO ago"},
	{regexp.MustCompile(`(expires TIME, in )\S+`), "${1}LEFT"},
	{regexp.MustCompile(`(took )\S+`), "${1}LONG"},
	{regexp.MustCompile(`("took": )"[^"]+"`), `${1}"LONG"`},
	{regexp.MustCompile(`gatewarden \S+, commit \S+, go\S+`), "gatewarden VERSION, commit COMMIT, GO"},
	{regexp.MustCompile(`(CA sha256 )\w+`), "${1}DIGEST"},
	{regexp.MustCompile(`("authorities": \[\s+\{\s+"sha256": )"\w+"`), `${1}"DIGEST"`},
	{regexp.MustCompile(`("version|"commit|"goVersion)": "[^"]+"`), `${1}": "BUILD"`},
}

func settled(s string) string {
	for _, p := range passing {
		s = p.what.ReplaceAllString(s, p.by)
	}
	return s
}

func TestStatusGolden(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(path, []byte(configuration("one.example.com")+
		"exemptions:\n- {groups: [\"system:authenticated\"], reason: everything}\n"+
		"- {users: [ann], reason: a move, expires: 2020-01-31}\n- {users: [bob], reason: another, expires: 2999-12-31}\n"), 0o600))
	for file, args := range map[string][]string{
		"deploykf": nil,
		"other":    {"--config", path, "--audit-interval", "0"},
	} {
		t.Run(file, func(t *testing.T) {
			ca, more := onADesk(t)
			s := serve(t, ca, append(more, args...)...)
			if args == nil {
				require.Eventually(t, func() bool { return strings.Contains(s.scrape(), "gatewarden_audits_total{result=\"ok\"} 1") }, patience, 20*poll)
			}
			clean := func(body string) string { return strings.ReplaceAll(settled(body), path, "CONFIG") }
			code, contentType, body := s.status(http.MethodGet, "", "")
			assert.Equal(t, http.StatusOK, code)
			assert.Equal(t, "text/plain; charset=utf-8", contentType)
			golden(t, filepath.Join("testdata", "status", file+".txt"), clean(body))
			_, _, body = s.status(http.MethodGet, "?format=json", "")
			golden(t, filepath.Join("testdata", "status", file+".json"), clean(body))
			assert.NotContains(t, body, "null")
			assert.True(t, json.Valid([]byte(body)))
			assert.NotContains(t, body, "PRIVATE KEY")
		})
	}
}

func TestStatusIsGivenAsItIsAskedFor(t *testing.T) {
	ca, args := onADesk(t)
	s := serve(t, ca, args...)
	const text, js = "text/plain; charset=utf-8", "application/json"
	for _, test := range []struct{ query, accept, want string }{
		{"", "", text},
		{"", "*/*", text},
		{"", js, js},
		{"", "application/json;q=0.9, text/plain", js},
		{"", "text/html,application/xhtml+xml,application/json", text},
		{"?format=text", js, text},
		{"?format=json", "text/plain", js},
	} {
		code, contentType, body := s.status(http.MethodGet, test.query, test.accept)
		assert.Equal(t, http.StatusOK, code)
		assert.Equal(t, test.want, contentType, test)
		assert.Equal(t, test.want == js, json.Valid([]byte(body)), test)
	}
	code, _, body := s.status(http.MethodGet, "?format=yaml", "")
	assert.Equal(t, http.StatusBadRequest, code)
	assert.Equal(t, "format \"yaml\": use text or json\n", body)
	code, _, _ = s.status(http.MethodPost, "", "")
	assert.Equal(t, http.StatusMethodNotAllowed, code)
	code, _, body = s.status(http.MethodHead, "", "")
	assert.Equal(t, http.StatusOK, code)
	assert.Empty(t, body)

	// It is for those who may see metrics, and not for everybody who reaches the webhooks.
	code, _ = s.get("/statusz")
	assert.Equal(t, http.StatusNotFound, code)
}

// What goes wrong is told in one line each, whatever is in it.
func TestStatusTextKeepsItsLines(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, report.StatusText(&b, report.Status{
		NotReady:    "one\ntwo\x1b[31m",
		Certificate: report.CertificateStatus{Mode: "files", Problem: "it\texpired"},
		Kinds:       []report.KindStatus{{Kind: "Gateway", Resource: "gateways/v1", Lost: report.Duration(90e9), Problem: "no\nroute"}},
	}))
	assert.Contains(t, b.String(), `no: one\ntwo\x1b[31m`)
	assert.Contains(t, b.String(), `problem: it\texpired`)
	assert.Contains(t, b.String(), `lost for 1m30s: no\nroute`)
}
