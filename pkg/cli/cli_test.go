package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gomodules.xyz/jsonpatch/v2"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
)

// asCommand makes the test binary behave as the command, so that exit codes are those of a
// real process.
const asCommand = "GATEWARDEN_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

type result struct {
	code     int
	out, err string
}

func main(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var out, err bytes.Buffer
	code := Main(args, strings.NewReader(stdin), &out, &err)
	return result{code, out.String(), err.String()}
}

// answer is the JSON that check promises, and nothing else.
type answer struct {
	Decisions []struct {
		Object struct {
			APIVersion string `json:"apiVersion"`
			Kind       string `json:"kind"`
			Namespace  string `json:"namespace"`
			Name       string `json:"name"`
			File       string `json:"file"`
			Line       int    `json:"line"`
		} `json:"object"`
		Operation policy.Operation      `json:"operation"`
		Decision  string                `json:"decision"`
		Patch     []jsonpatch.Operation `json:"patch"`
		Findings  []struct {
			Rule    string        `json:"rule"`
			Name    string        `json:"name"`
			Effect  policy.Effect `json:"effect"`
			Carried bool          `json:"carried"`
			Field   string        `json:"field"`
			Message string        `json:"message"`
			Related []string      `json:"related"`
		} `json:"findings"`
	} `json:"decisions"`
}

// check runs "check -o json" and returns the answer, with one "operation kind name:
// decision" for each object.
func check(t *testing.T, stdin string, code int, args ...string) (answer, []string) {
	t.Helper()
	r := main(t, stdin, append([]string{"check", "-o", "json"}, args...)...)
	require.Equal(t, code, r.code, "%s%s", r.out, r.err)
	assert.Empty(t, r.err)
	var a answer
	d := json.NewDecoder(strings.NewReader(r.out))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&a))
	var lines []string
	for _, e := range a.Decisions {
		lines = append(lines, fmt.Sprintf("%s %s %s: %s", e.Operation, e.Object.Kind, e.Object.Name, e.Decision))
	}
	return a, lines
}

func TestCheckAllows(t *testing.T) {
	a, lines := check(t, "", exitAllowed, "--cluster", "testdata/cluster.yaml", "testdata/shop.yaml")
	assert.Equal(t, []string{"CREATE Gateway shop: allow", "CREATE Service shop: allow"}, lines,
		"the Secret is of a kind that is not read, so nothing is decided about it")
	assert.Equal(t, "testdata/shop.yaml", a.Decisions[1].Object.File)
	assert.Equal(t, 15, a.Decisions[1].Object.Line)
	assert.Equal(t, "v1", a.Decisions[1].Object.APIVersion)
	assert.Equal(t, "shop", a.Decisions[1].Object.Namespace)
}

func TestCheckDenies(t *testing.T) {
	a, lines := check(t, "", exitDenied, "--cluster", "testdata/cluster.yaml", "testdata/thief.yaml", "testdata/shop.yaml")
	assert.Equal(t, []string{"CREATE Gateway thief: deny", "CREATE Gateway shop: allow", "CREATE Service shop: allow"}, lines)
	require.NotEmpty(t, a.Decisions[0].Findings)
	f := a.Decisions[0].Findings[0]
	assert.Equal(t, policy.Deny, f.Effect)
	assert.Equal(t, "spec.servers[0].hosts[0]", f.Field)
	assert.Contains(t, f.Related, "Gateway deploykf-istio-gateway/deploykf-gateway")
}

func TestCheckWithoutAClusterUsesTheConfiguration(t *testing.T) {
	check(t, "", exitDenied, "testdata/thief.yaml")
	check(t, "", exitAllowed, "--config", "testdata/config.yaml", "testdata/thief.yaml")
}

func TestCheckAppliesInOrder(t *testing.T) {
	_, lines := check(t, "", exitDenied, "--cluster", "testdata/cluster.yaml", "testdata/twins.yaml")
	assert.Equal(t, []string{
		"CREATE Gateway first: allow",
		"CREATE Gateway second: deny", // the first is there already
		"UPDATE Gateway first: allow", // and the second is not: it was denied
	}, lines)
}

func TestCheckReadsStandardInput(t *testing.T) {
	thief, err := os.ReadFile("testdata/thief.yaml")
	require.NoError(t, err)
	a, _ := check(t, string(thief), exitDenied, "-")
	assert.Equal(t, "stdin", a.Decisions[0].Object.File)
	assert.Equal(t, 2, a.Decisions[0].Object.Line)
}

func TestCheckGeneratedNamesAreCreates(t *testing.T) {
	a, lines := check(t, "", exitAllowed, "--cluster", "testdata/cluster.yaml", "testdata/generated.yaml")
	assert.Equal(t, []string{"CREATE VirtualService : allow", "CREATE VirtualService : allow"}, lines)
	assert.NotNil(t, a.Decisions[0].Findings)
	r := main(t, "", "check", "testdata/generated.yaml")
	assert.Contains(t, r.out, "VirtualService team-a/nb-… CREATE: allowed")
}

func TestCheckPatchesGatewayWorkloads(t *testing.T) {
	a, lines := check(t, "", exitAllowed, "--cluster", "testdata/cluster.yaml", "testdata/proxy.yaml")
	assert.Equal(t, []string{"CREATE Deployment deploykf-gateway: allow"}, lines)
	var paths []string
	for _, op := range a.Decisions[0].Patch {
		paths = append(paths, op.Path)
	}
	assert.Contains(t, strings.Join(paths, "\n"), "/spec/template/")
	a, _ = check(t, "", exitAllowed, "--cluster", "testdata/cluster.yaml", "testdata/cluster.yaml")
	for _, d := range a.Decisions {
		assert.Empty(t, d.Patch, "not a gateway workload: %s", d.Object.Name)
	}
}

// The API server gives an Ingress without a class the default one, of which a file says nothing.
func TestCheckGivesIngressesTheDefaultClass(t *testing.T) {
	class := func(name, controller, isDefault string) string {
		return fmt.Sprintf(`
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: %s, annotations: {ingressclass.kubernetes.io/is-default-class: %q}}
spec: {controller: %s}
---`, name, isDefault, controller)
	}
	ingress := func(more string) string {
		return `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop, namespace: team-a}
spec:
  ` + more + `
  tls: [{hosts: [deploykf.example.com], secretName: cert}]
---`
	}
	const istio, other = "istio.io/ingress-controller", "k8s.io/ingress-nginx"
	for name, c := range map[string]struct {
		stdin string
		code  int
	}{
		"the default class is Istio's":             {class("mesh", istio, "true") + ingress(""), 1},
		"it is another one's":                      {class("web", other, "true") + class("mesh", istio, "false") + ingress(""), 0},
		"of several the youngest is Istio's":       {class("a", other, "true") + class("b", istio, "true") + ingress(""), 1},
		"of several the youngest is another one's": {class("a", istio, "true") + class("b", other, "true") + ingress(""), 0},
		"the Ingress names a class":                {class("web", other, "false") + class("mesh", istio, "true") + ingress("ingressClassName: web"), 0},
		"there is none":                            {class("mesh", istio, "false") + ingress(""), 0},
		"a stored one keeps its class":             {class("web", other, "false") + ingress("ingressClassName: web") + class("mesh", istio, "true") + ingress(""), 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := main(t, c.stdin, "check", "--config", "testdata/ingress.yaml", "--cluster", "../../examples/deploykf", "-")
			assert.Equal(t, c.code, r.code, "%s%s", r.out, r.err)
		})
	}
}

func TestCheckDelete(t *testing.T) {
	policyOf := func(name string) string {
		return "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: " + name + ", namespace: deploykf-auth}\n"
	}
	_, lines := check(t, policyOf("dex-mtls"), exitDenied, "--cluster", "testdata/cluster.yaml", "--delete", "-")
	assert.Equal(t, []string{"DELETE PeerAuthentication dex-mtls: deny"}, lines,
		"what is stored counts, and not what the candidate says")
	_, lines = check(t, policyOf("other"), exitAllowed, "--cluster", "testdata/cluster.yaml", "--delete", "-", "testdata/shop.yaml")
	assert.Equal(t, []string{
		"DELETE PeerAuthentication other: allow", "DELETE Gateway shop: allow", "DELETE Service shop: allow",
	}, lines)
}

func TestCheckReapplyPasses(t *testing.T) {
	_, lines := check(t, "", exitAllowed, "--cluster", "testdata/cluster.yaml", "--cluster", "testdata/thief.yaml",
		"testdata/thief.yaml")
	assert.Equal(t, []string{"UPDATE Gateway thief: allow"}, lines)
}

func TestCheckExemptsRequesters(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config.yaml")
	base, err := os.ReadFile("testdata/config.yaml")
	require.NoError(t, err)
	text := strings.ReplaceAll(string(base), "other.example.net", "deploykf.example.com") +
		"exemptions: [{groups: [admins], reason: break glass}]\n"
	text = strings.ReplaceAll(text, "podLabels: {app: other}", "podLabels: {app: deploykf-gateway}")
	require.NoError(t, os.WriteFile(config, []byte(text), 0o600))
	check(t, "", exitDenied, "--config", config, "--user", "eve", "--group", "users", "testdata/thief.yaml")
	r := main(t, "", "check", "--config", config, "--user", "ann", "--group", "users", "--group", "admins", "testdata/thief.yaml")
	assert.Equal(t, exitAllowed, r.code)
	assert.Contains(t, r.out, "allowed (exempt: break glass)")
}

func TestCheckText(t *testing.T) {
	r := main(t, "", "check", "--cluster", "testdata/cluster.yaml", "testdata/thief.yaml", "testdata/shop.yaml")
	assert.Equal(t, exitDenied, r.code)
	assert.Contains(t, r.out, "testdata/thief.yaml:2 Gateway shop/thief CREATE: denied\n  deny GWD")
	assert.Contains(t, r.out, "note: passed over 1 object that gatewarden does not judge: v1 Secret (1)\n")
	assert.True(t, strings.HasSuffix(r.out, "3 objects judged: 2 allowed, 1 denied\n"), r.out)
	assert.NotContains(t, r.out, "\x1b", "no colour where there is no terminal")
}

// Nothing that could be taken for a verdict is written when the command could not run, and
// one line says which file, line, field or flag is to blame.
func TestCheckCannotRun(t *testing.T) {
	for name, tc := range map[string]struct {
		stdin string
		args  []string
		want  []string
	}{
		"no paths":           {args: []string{}, want: []string{"no PATH given"}},
		"missing file":       {args: []string{"testdata/nowhere"}, want: []string{"testdata/nowhere"}},
		"missing state":      {args: []string{"--cluster", "testdata/nowhere", "testdata/shop.yaml"}, want: []string{"testdata/nowhere"}},
		"missing config":     {args: []string{"--config", "nowhere.yaml", "testdata/shop.yaml"}, want: []string{"--config nowhere.yaml", "no such file"}},
		"no YAML":            {stdin: "a: [", args: []string{"testdata/shop.yaml", "-"}, want: []string{"stdin:"}},
		"unknown flag":       {args: []string{"--frobnicate", "testdata/shop.yaml"}, want: []string{"--frobnicate"}},
		"unknown output":     {args: []string{"-o", "xml", "testdata/shop.yaml"}, want: []string{`--output "xml"`, "use text, json, sarif or junit"}},
		"input read twice":   {args: []string{"--cluster", "-", "-"}, want: []string{"standard input"}},
		"port out of range":  {stdin: strings.ReplaceAll(read("testdata/shop.yaml"), "number: 443", "number: 70000"), args: []string{"-"}, want: []string{"stdin:1", "spec.servers[0].port.number"}},
		"config with a typo": {stdin: "", args: []string{"--config", "testdata/shop.yaml", "testdata/shop.yaml"}, want: []string{"testdata/shop.yaml"}},
	} {
		t.Run(name, func(t *testing.T) {
			cannotRun(t, tc.stdin, append([]string{"check", "-o", "json"}, tc.args...), tc.want)
		})
	}
}

// cannotRun expects a command to say in one line why it can not run, besides where its usage
// is to be found, and to write nothing.
func cannotRun(t *testing.T, stdin string, args, want []string) {
	t.Helper()
	r := main(t, stdin, args...)
	assert.Equal(t, exitFailed, r.code, "%s%s", r.out, r.err)
	assert.Empty(t, r.out)
	lines := strings.Split(strings.TrimSpace(r.err), "\n")
	for _, w := range want {
		assert.Contains(t, lines[0], w)
	}
	if len(lines) > 1 {
		assert.Equal(t, []string{lines[0], `Run "gatewarden ` + args[0] + ` --help" for usage.`}, lines)
	}
}

func read(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	return string(b)
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestUnwritableOutputIsNoVerdict(t *testing.T) {
	for _, args := range [][]string{
		{"check", "testdata/shop.yaml"}, {"check", "-o", "json", "testdata/thief.yaml"}, {"audit", "--cluster", auditThief}, {"rules"}, {"version"},
	} {
		var err bytes.Buffer
		assert.Equal(t, exitFailed, Main(args, strings.NewReader(""), fullDisk{}, &err), args)
		assert.Equal(t, "gatewarden: standard output: no space left on device\n", err.String())
	}
}

func TestRules(t *testing.T) {
	all := rules.All()
	r := main(t, "", "rules")
	require.Equal(t, exitAllowed, r.code)
	assert.Len(t, strings.Split(strings.TrimSpace(r.out), "\n"), 1+len(all))
	for _, rule := range all {
		assert.Contains(t, r.out, rule.ID)
		for _, id := range []string{rule.ID, rule.Name, strings.ToLower(rule.ID)} {
			page := main(t, "", "rules", id)
			assert.Equal(t, exitAllowed, page.code)
			assert.Equal(t, strings.TrimSpace(rule.Page)+"\n", page.out)
		}
	}
}

func TestUnknownRule(t *testing.T) {
	family := rules.All()[0].ID[:4]
	r := main(t, "", "rules", family+"99")
	assert.Equal(t, exitFailed, r.code)
	assert.Empty(t, r.out)
	assert.Contains(t, r.err, "did you mean "+rules.All()[0].ID)
	assert.Contains(t, r.err, `run "gatewarden rules" for the list`)
	assert.Contains(t, main(t, "", "rules", "nothing").err, `no rule "nothing": run`)
	assert.Equal(t, exitFailed, main(t, "", "rules", "a", "b").code)
}

func TestVersion(t *testing.T) {
	r := main(t, "", "version")
	assert.Equal(t, exitAllowed, r.code)
	assert.Regexp(t, `^gatewarden \S+\ncommit: \S+\ngo: go\S+ \w+/\w+\n$`, r.out)
}

func TestUsage(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"chek", "-o", "json"}, "gatewarden: unknown command \"chek\": did you mean check?\nRun \"gatewarden --help\" for usage.\n"},
		{[]string{"frobnicate"}, "gatewarden: unknown command \"frobnicate\"\nRun \"gatewarden --help\" for usage.\n"},
		{[]string{"--frobnicate"}, "gatewarden: unknown flag: --frobnicate\nRun \"gatewarden --help\" for usage.\n"},
		{[]string{"version", "now"}, "gatewarden: version takes no arguments, but got \"now\"\nRun \"gatewarden version --help\" for usage.\n"},
	} {
		assert.Equal(t, result{code: exitFailed, err: tc.want}, main(t, "", tc.args...))
	}
	r := main(t, "")
	assert.Equal(t, exitFailed, r.code, "no command is no success: a script whose variable is empty must notice")
	assert.Empty(t, r.out)
	assert.Contains(t, r.err, "check")
	assert.Equal(t, exitAllowed, main(t, "", "check", "--help").code)
}

func TestComplainWritesOneLineForEachError(t *testing.T) {
	var b bytes.Buffer
	complain(&b, errors.Join(errors.New("a.yaml:1: broken"), fmt.Errorf("b.yaml: %w,\n  %w", errors.New("one"), errors.New("two"))))
	assert.Equal(t, "gatewarden: a.yaml:1: broken\ngatewarden: b.yaml: one, two\n", b.String())
}

// The exit codes are a contract with scripts, so they are tested where scripts see them.
func TestExitCodesOfTheProcess(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	for _, tc := range []struct {
		want int
		args []string
	}{
		{0, []string{"version"}},
		{0, []string{"check", "testdata/shop.yaml"}},
		{1, []string{"check", "testdata/thief.yaml"}},
		{2, []string{"check", "testdata/nowhere"}},
		{0, []string{"audit", "--cluster", auditWorld}},
		{1, []string{"audit", "--cluster", auditWorld, "--cluster", auditThief}},
		{2, []string{"audit", "--cluster", "testdata/nowhere"}},
		{2, []string{"chek"}},
		{2, nil},
	} {
		cmd := exec.CommandContext(t.Context(), self, tc.args...)
		cmd.Env = append(os.Environ(), asCommand+"=1")
		err := cmd.Run()
		var exit *exec.ExitError
		if err != nil {
			require.ErrorAs(t, err, &exit)
		}
		assert.Equal(t, tc.want, cmd.ProcessState.ExitCode(), tc.args)
	}
}

// An object without a name can not be deleted, and is no reason to judge none of the others.
func TestCheckPassesOverWhatHasNoNameToDelete(t *testing.T) {
	r := main(t, "", "check", "--delete", "testdata/generated.yaml")
	assert.Equal(t, 0, r.code)
	assert.Contains(t, r.out, "note: passed over 2 objects that gatewarden does not judge: networking.istio.io/v1 VirtualService (2)")
}
