package conventions

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// link is one in Markdown to a file of the repository or to a heading.
var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// prose is a page without its blocks of code, in which nothing is a heading or a link.
func prose(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, path))
	require.NoError(t, err)
	var out strings.Builder
	code := false
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			code = !code
		} else if !code {
			out.WriteString(line)
		}
	}
	return out.String()
}

// anchors are the fragments by which a page's headings are linked to on GitHub.
func anchors(page string) map[string]bool {
	out := map[string]bool{}
	for line := range strings.Lines(page) {
		title, heading := strings.CutPrefix(strings.TrimLeft(line, "#"), " ")
		if !strings.HasPrefix(line, "#") || !heading {
			continue
		}
		out[strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, strings.TrimSpace(title))] = true
	}
	return out
}

// Links between the pages lead somewhere.
func TestLinksLeadSomewhere(t *testing.T) {
	found := 0
	for _, path := range tracked(t) {
		if filepath.Ext(path) != ".md" {
			continue
		}
		for _, m := range link.FindAllStringSubmatch(prose(t, path), -1) {
			file, fragment, _ := strings.Cut(m[1], "#")
			if strings.Contains(m[1], "://") {
				continue
			}
			found++
			target := path
			if file != "" {
				target = filepath.Join(filepath.Dir(path), file)
			}
			info, err := os.Stat(filepath.Join(root, target))
			if !assert.NoError(t, err, "%s: the link to %s", path, m[1]) || fragment == "" || info.IsDir() {
				continue
			}
			assert.Contains(t, anchors(prose(t, target)), fragment, "%s: the link to %s", path, m[1])
		}
	}
	assert.Greater(t, found, 5, "links are not found")
}
