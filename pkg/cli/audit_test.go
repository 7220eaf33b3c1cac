package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/policy"
)

// auditAnswer is the JSON that audit promises, and nothing else.
type auditAnswer struct {
	Findings   []auditFinding `json:"findings"`
	Judged     int            `json:"judged"`
	Notes      []string       `json:"notes"`
	NotChecked []struct {
		Verb      string   `json:"verb"`
		Group     string   `json:"group"`
		Resource  string   `json:"resource"`
		Namespace string   `json:"namespace"`
		Rules     []string `json:"rules"`
	} `json:"notChecked"`
	Baseline *struct {
		Known    []auditIdentity `json:"known"`
		Resolved []auditIdentity `json:"resolved"`
	} `json:"baseline"`
}

type auditFinding struct {
	auditIdentity
	Name    string        `json:"name"`
	Exempt  string        `json:"exempt"`
	Effect  policy.Effect `json:"effect"`
	Field   string        `json:"field"`
	Message string        `json:"message"`
	Related []string      `json:"related"`
}

type auditIdentity struct {
	Rule   string `json:"rule"`
	Object struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Namespace  string `json:"namespace"`
		Name       string `json:"name"`
		File       string `json:"file"`
		Line       int    `json:"line"`
	} `json:"object"`
	Subject string `json:"subject"`
}

func (i auditIdentity) String() string {
	return i.Rule + " " + i.Object.Kind + " " + i.Object.Namespace + "/" + i.Object.Name
}

// auditOf runs "audit -o json" on manifests and returns the answer, with its output.
func auditOf(t *testing.T, code int, args ...string) (auditAnswer, string) {
	t.Helper()
	r := main(t, "", append([]string{"audit", "-o", "json"}, args...)...)
	require.Equal(t, code, r.code, "%s%s", r.out, r.err)
	assert.Empty(t, r.err)
	var a auditAnswer
	d := json.NewDecoder(strings.NewReader(r.out))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&a))
	return a, r.out
}

// notable returns the findings that are more than notes: manifests never hold everything that
// deployKF asks of an installation, and what could not be checked is noted.
func (a auditAnswer) notable() []string {
	var out []string
	for _, f := range a.Findings {
		if f.Effect > policy.Note {
			out = append(out, f.String())
		}
	}
	return out
}

const (
	auditWorld = "testdata/audit.yaml"
	auditThief = "testdata/thief.yaml"
	auditTwins = "testdata/twins.yaml"
)

func TestAudit(t *testing.T) {
	a, _ := auditOf(t, exitAllowed, "--cluster", auditWorld)
	assert.Empty(t, a.notable())
	assert.Equal(t, 3, a.Judged)
	assert.NotNil(t, a.NotChecked)
	assert.Nil(t, a.Baseline)

	a, _ = auditOf(t, exitDenied, "--cluster", auditWorld, "--cluster", auditThief)
	require.Equal(t, []string{"GWD201 Gateway shop/thief"}, a.notable())
	f := a.Findings[slices.IndexFunc(a.Findings, func(f auditFinding) bool { return f.Effect == policy.Deny })]
	assert.Equal(t, policy.Deny, f.Effect)
	assert.Equal(t, "spec.servers[0].hosts[0]", f.Field)
	assert.Equal(t, []string{"Gateway deploykf-istio-gateway/deploykf-gateway"}, f.Related)
	assert.Equal(t, "networking.istio.io/v1", f.Object.APIVersion)
	assert.Equal(t, auditThief, f.Object.File)
	assert.Equal(t, 2, f.Object.Line)
}

func TestAuditText(t *testing.T) {
	r := main(t, "", "audit", "--cluster", auditWorld, "--cluster", auditThief, "--cluster", auditTwins)
	assert.Equal(t, exitDenied, r.code)
	assert.Empty(t, r.err)
	assert.Contains(t, r.out, "shop\n  Gateway thief ("+auditThief+":2)\n    deny GWD201 host-conflict at spec.servers[0].hosts[0]\n")
	assert.Contains(t, r.out, "team-b\n  Gateway second ("+auditTwins+":12)\n    deny GWD206 ")
	assert.True(t, strings.HasSuffix(r.out, "\n6 objects judged: 6 found, on 6 objects: 2 that would be denied, 0 warnings, 4 notes\n"), r.out)
	assert.NotContains(t, r.out, "\x1b", "no colour where there is no terminal")
	r = main(t, "", "audit", "--cluster", auditWorld)
	assert.Equal(t, exitAllowed, r.code)
	assert.Contains(t, r.out, "not checked: no ConfigMap istio")
	assert.True(t, strings.HasSuffix(r.out, "\n3 objects judged: 4 found, on 4 objects: 0 that would be denied, 0 warnings, 4 notes\n"), r.out)
}

// An audit tells what is new since another; what it writes is a baseline in turn.
func TestAuditBaseline(t *testing.T) {
	dir := t.TempDir()
	keep := func(name, content string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	_, out := auditOf(t, exitDenied, "--cluster", auditWorld, "--cluster", auditThief)
	first := keep("first.json", out)

	a, _ := auditOf(t, exitAllowed, "--cluster", auditWorld, "--cluster", auditThief, "--baseline", first)
	assert.Empty(t, a.Findings, "a denial that is known is none to fail by")
	require.NotNil(t, a.Baseline)
	assert.Len(t, a.Baseline.Known, 5)
	assert.Empty(t, a.Baseline.Resolved)

	a, out = auditOf(t, exitDenied, "--cluster", auditWorld, "--cluster", auditThief, "--cluster", auditTwins, "--baseline", first)
	require.Len(t, a.Findings, 1)
	assert.Equal(t, "GWD206 Gateway team-b/second", a.Findings[0].String())
	second := keep("second.json", out)

	a, _ = auditOf(t, exitAllowed, "--cluster", auditWorld, "--cluster", auditTwins, "--baseline", second)
	assert.Empty(t, a.Findings)
	require.Len(t, a.Baseline.Resolved, 1)
	assert.Equal(t, "GWD201 Gateway shop/thief", a.Baseline.Resolved[0].String())

	r := main(t, "", "audit", "--cluster", auditWorld, "--cluster", auditTwins, "--baseline", second)
	assert.Equal(t, result{out: "resolved: GWD201 on Gateway shop/thief\n5 objects judged: nothing new; 5 known, 1 resolved\n"}, r)
}

func TestAuditCannotRun(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	silent := file("silent", "apiVersion: v1\nkind: Config\nclusters: [{name: a, cluster: {server: 'http://127.0.0.1:1'}}]\n"+
		"contexts: [{name: a, context: {cluster: a}}]\ncurrent-context: a\n")
	t.Setenv("KUBECONFIG", filepath.Join(dir, "nowhere"))
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"arguments":        {[]string{"testdata"}, `audit takes no arguments, but got "testdata"`},
		"unknown output":   {[]string{"-o", "xml", "--cluster", auditWorld}, `--output "xml": use text`},
		"both sources":     {[]string{"--cluster", auditWorld, "--kubeconfig", silent}, "--cluster and --kubeconfig are both given"},
		"context":          {[]string{"--cluster", auditWorld, "--context", "a"}, "--cluster and --context are both given"},
		"timeout":          {[]string{"--cluster", auditWorld, "--timeout", "0s"}, "--timeout 0s: use a duration of more than 0s"},
		"no manifests":     {[]string{"--cluster", "testdata/nowhere"}, "testdata/nowhere"},
		"no cluster":       {nil, "no cluster is known: give --kubeconfig, or --cluster with manifests"},
		"a silent cluster": {[]string{"--kubeconfig", silent}, "http://127.0.0.1:1: the cluster cannot be asked which kinds it serves: "},
		"no such context":  {[]string{"--kubeconfig", silent, "--context", "b"}, `--kubeconfig ` + silent + `: context "b" does not exist`},
		"no baseline":      {[]string{"--cluster", auditWorld, "--baseline", "nowhere.json"}, "--baseline nowhere.json: no such file or directory"},
		"baseline, text":   {[]string{"--cluster", auditWorld, "--baseline", auditWorld}, "--baseline " + auditWorld + ": this is no JSON output of an audit: "},
		"baseline, other":  {[]string{"--cluster", auditWorld, "--baseline", file("other.json", `{"decisions":[]}`)}, `it has no findings; write one with "-o json"`},
	} {
		t.Run(name, func(t *testing.T) {
			r := main(t, "", append([]string{"audit"}, tc.args...)...)
			assert.Equal(t, exitFailed, r.code, "%s%s", r.out, r.err)
			assert.Empty(t, r.out)
			lines := strings.Split(strings.TrimSpace(r.err), "\n")
			assert.Contains(t, lines[0], tc.want)
			if len(lines) > 1 {
				assert.Equal(t, []string{lines[0], `Run "gatewarden audit --help" for usage.`}, lines)
			}
		})
	}
}

// Programs that read other formats get the same verdict.
func TestOutputsForPrograms(t *testing.T) {
	for _, args := range [][]string{
		{"audit", "--cluster", auditWorld, "--cluster", auditThief},
		{"check", "--cluster", auditWorld, auditThief},
	} {
		for output, want := range map[string]string{"sarif": `"ruleId": "GWD201"`, "junit": `<failure message="testdata/thief.yaml:2: deny GWD201 `} {
			t.Run(args[0]+" "+output, func(t *testing.T) {
				r := main(t, "", append(args[:len(args):len(args)], "-o", output)...)
				assert.Equal(t, exitDenied, r.code)
				assert.Empty(t, r.err)
				assert.Contains(t, r.out, want)
			})
		}
	}
}
