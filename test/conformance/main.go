// Command conformance replays folders of recorded objects against gatewarden's rules and
// says where they disagree with what was recorded.
//
//	go run ./test/conformance DIR
//
// A folder holds one of two formats, told apart by the names of its files:
//
//   - Objects of deployKF, in files named <variant>__<kind>__<namespace>__<name>.yaml. All of
//     them are real: none may be denied, warned about or patched in the world of its variant,
//     under the configuration that the values of the variant lead to. See deploykf.go and
//     values.go.
//   - Worlds with one change each and the verdict that Istio's behaviour asks for. See
//     istio.go.
//
// It exits with 0 if everything agrees, with 1 if anything is denied that should not be or
// the other way round, and with 2 if it could not run.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/gatewarden/gatewarden/pkg/policy"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "conformance: name one folder of recorded objects")
		os.Exit(2)
	}
	agrees, err := run(os.Args[1], os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(2)
	}
	if !agrees {
		os.Exit(1)
	}
}

// run replays a folder, writes what came out, and reports whether everything agrees.
func run(dir string, out io.Writer) (bool, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return false, err
	}
	if len(files) == 0 {
		return false, fmt.Errorf("%s: no *.yaml files; name a folder that holds some", dir)
	}
	named := 0
	for _, f := range files {
		if strings.Contains(filepath.Base(f), variantEnd) {
			named++
		}
	}
	var rows []row
	switch named {
	case len(files):
		rows, err = replayObjects(files)
	case 0:
		rows, err = replayWorlds(files)
	default:
		err = errors.New("some files are named <variant>" + variantEnd + "… and some are not; keep the two formats in folders of their own")
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", dir, err)
	}
	return writeRows(out, rows)
}

// The verdicts on a change, as recorded files spell them, and what else can come out.
const (
	allow     = "allow"
	warn      = "warn"
	deny      = "deny"
	patch     = "patch"
	notJudged = "not judged"
)

// row is one judged change.
type row struct {
	id            string
	expected, got string
	findings      []policy.Finding
	// why is what the recording says about its outcome.
	why string
	// tolerant accepts a warning where nothing was expected.
	tolerant bool
	// strict takes a warning for a disagreement.
	strict bool
	// refused is the message by which the backstop refuses the change too, or empty.
	refused string
}

// verdict sums up a decision.
func verdict(d policy.Decision) string {
	switch {
	case d.Denied():
		return deny
	case len(d.Of(policy.Warn)) > 0:
		return warn
	}
	return allow
}

// disagrees reports whether the row is wrong: denied where it should not be, or the other
// way round, or patched at all, or refused by the backstop alone.
func (r row) disagrees() bool {
	if r.got == notJudged {
		return false
	}
	return r.refused != "" && r.got != deny || (r.got == deny) != (r.expected == deny) || r.got == patch || r.strict && r.got != r.expected
}

// differs reports whether the row warns where it should not, or the other way round.
func (r row) differs() bool {
	return r.got != notJudged && !r.disagrees() && r.got != r.expected && !r.tolerant
}

func (r row) rules() string {
	var ids []string
	for _, f := range r.findings {
		if f.Effect > policy.Note {
			ids = append(ids, f.Rule)
		}
	}
	return strings.Join(ids, ",")
}

// writeRows writes a table of all rows, then the ones that are wrong in full.
func writeRows(out io.Writer, rows []row) (bool, error) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tEXPECTED\tGOT\tRULES")
	var wrong, different []row
	skipped, refused := 0, 0
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.id, r.expected, r.got, r.rules())
		if r.refused != "" {
			refused++
		}
		switch {
		case r.got == notJudged:
			skipped++
		case r.disagrees():
			wrong = append(wrong, r)
		case r.differs():
			different = append(different, r)
		}
	}
	if err := w.Flush(); err != nil {
		return false, err
	}
	details(out, "Warnings that differ", different)
	details(out, "Disagreements", wrong)
	_, err := fmt.Fprintf(out, "\n%d judged, %d not judged: %d disagree, %d differ in a warning, %d are refused without gatewarden, too\n",
		len(rows)-skipped, skipped, len(wrong), len(different), refused)
	return len(wrong) == 0, err
}

func details(out io.Writer, title string, rows []row) {
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(out, "\n%s:\n", title)
	for _, r := range rows {
		fmt.Fprintf(out, "  %s: expected %s, got %s\n", r.id, r.expected, r.got)
		if r.why != "" {
			fmt.Fprintf(out, "    recorded: %s\n", strings.Join(strings.Fields(r.why), " "))
		}
		if r.refused != "" {
			fmt.Fprintf(out, "    the backstop refuses it: %s\n", r.refused)
		}
		for _, f := range r.findings {
			fmt.Fprintf(out, "    %s %s\n", f.Effect, f)
		}
	}
}
