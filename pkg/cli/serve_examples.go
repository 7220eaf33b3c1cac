package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// examplesDir is where the requests are that --print-examples shows, in a checkout of the
// repository.
const examplesDir = "examples/requests"

// examples are the requests, and what becomes of them in the world of examples/deploykf.
var examples = []struct{ file, about string }{
	{"allowed.json", "allowed: team-a serves app.example.org on the shared gateway"},
	{"denied.json", "denied: team-a takes deploykf.example.com from deployKF"},
}

// checkExamples fails early if the requests are not there.
func checkExamples() error {
	for _, e := range examples {
		if _, err := os.Stat(filepath.Join(examplesDir, e.file)); err != nil {
			return fmt.Errorf("--print-examples: %w; run it in the root of gatewarden's repository", err)
		}
	}
	return nil
}

// printExamples prints commands that can be pasted into a shell as they are.
func printExamples(w io.Writer, caFile, address string) error {
	for _, e := range examples {
		_, err := fmt.Fprintf(w, "\n# %s\ncurl -sS --cacert %s -H 'Content-Type: application/json' --data-binary @%s https://%s/validate\n",
			e.about, quote(caFile), filepath.Join(examplesDir, e.file), address)
		if err != nil {
			return err
		}
	}
	return nil
}

// quote makes a word of a POSIX shell.
func quote(s string) string {
	if strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("/._-+:@%", r)
	}) < 0 && s != "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
