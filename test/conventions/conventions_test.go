// Package conventions holds what the repository promises about itself as tests: the walls
// between packages, package comments, and pages that name what exists.
package conventions

import (
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/policy/rules"
)

const root = "../.."

func output(t *testing.T, name string, args ...string) []string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = root
	out, err := cmd.Output()
	require.NoError(t, err, "%s %v", name, args)
	return strings.Fields(string(out))
}

// The import closures that must stay small: what decides knows nothing of transport,
// clients, metrics or time limits.
func TestWalls(t *testing.T) {
	const module = "github.com/gatewarden/gatewarden/"
	for pkg, forbidden := range map[string]*regexp.Regexp{
		"pkg/policy/rules": regexp.MustCompile(`^(net/http|k8s\.io/client-go.*|sigs\.k8s\.io/controller-runtime.*|k8s\.io/api/.*|github\.com/prometheus/.*)$`),
		"pkg/hostname":     regexp.MustCompile(`^[^/]*\.[^/]*/`),
		"pkg/radix":        regexp.MustCompile(`^[^/]*\.[^/]*/`),
		"pkg/resource":     regexp.MustCompile(`^(k8s\.io|istio\.io|sigs\.k8s\.io)/`),
		"pkg/state":        regexp.MustCompile(`^(k8s\.io/client-go.*|` + module + `pkg/policy.*)$`),
		"pkg/decode":       regexp.MustCompile(`^(k8s\.io/client-go.*|` + module + `pkg/(policy|state).*)$`),
		"pkg/manifest":     regexp.MustCompile(`^` + module + `pkg/(policy|state).*$`),
		"pkg/cluster":      regexp.MustCompile(`^` + module + `pkg/policy.*$`),
		"pkg/webhook":      regexp.MustCompile(`^` + module + `pkg/cluster$`),
		"pkg/audit":        regexp.MustCompile(`^(net/http|k8s\.io/client-go.*|sigs\.k8s\.io/controller-runtime.*|k8s\.io/api/.*)$`),
		"pkg/report":       regexp.MustCompile(`^(k8s\.io/client-go.*|k8s\.io/api/.*)$`),
	} {
		for _, dep := range output(t, "go", "list", "-deps", "./"+pkg) {
			if dep != module+pkg && !strings.HasPrefix(dep, "vendor/") {
				assert.NotRegexp(t, forbidden, dep, "%s must not import %s", pkg, dep)
			}
		}
	}
}

// Every package says what it is for.
func TestPackageComments(t *testing.T) {
	for _, dir := range output(t, "go", "list", "-f", "{{.Dir}}", "./...") {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		require.NoError(t, err)
		found := false
		for _, f := range files {
			parsed, err := parser.ParseFile(token.NewFileSet(), f, nil, parser.PackageClauseOnly|parser.ParseComments)
			require.NoError(t, err)
			found = found || parsed.Doc != nil
		}
		assert.True(t, found, "%s has no package comment", dir)
	}
}

// tracked returns the files that git tracks.
func tracked(t *testing.T) []string { return output(t, "git", "ls-files") }

// ARCHITECTURE.md names every package, and none that is gone.
func TestArchitectureNamesPackages(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(root, "ARCHITECTURE.md"))
	require.NoError(t, err)
	text := string(data)
	exists := map[string]bool{}
	for _, f := range tracked(t) {
		if strings.HasSuffix(f, ".go") {
			exists[filepath.Dir(f)] = true
		}
	}
	for dir := range exists {
		if strings.HasPrefix(dir, "pkg/") || strings.HasPrefix(dir, "cmd/") {
			assert.Contains(t, text, "`"+dir+"`", "ARCHITECTURE.md does not name %s", dir)
		}
	}
	for _, m := range regexp.MustCompile("`((?:pkg|cmd|test)/[a-z/]+)`").FindAllStringSubmatch(text, -1) {
		_, err := os.Stat(filepath.Join(root, m[1]))
		assert.NoError(t, err, "ARCHITECTURE.md names %s", m[1])
	}
}

// The README's table of rules is the rules'.
func TestReadmeListsRules(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	for _, r := range rules.All() {
		assert.Contains(t, string(data), "| "+r.ID+" | "+r.Name+" | "+r.Effect.String()+" | "+r.Summary+" |")
	}
}

// The README's configuration is one that gatewarden takes, and one that lets nothing through.
func TestReadmeConfigurationLoads(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	block := regexp.MustCompile("(?s)```yaml\n(apiVersion: config.*?)```").FindSubmatch(data)
	require.NotNil(t, block)
	c, err := rules.Load(block[1], "README.md")
	require.NoError(t, err)
	assert.Empty(t, rules.Openings(c))
}
