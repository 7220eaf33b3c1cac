package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/gatewarden/gatewarden/pkg/policy"
)

// TextOptions say how Text writes.
type TextOptions struct {
	// Color marks verdicts and effects with ANSI colours. Default: no colour.
	Color bool
}

// The ANSI codes of the colours in use. Only the eight basic colours are used, because
// every terminal's theme keeps them legible.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
	bold   = "1"
)

// Text writes a report for people who are in a hurry: one line for each object with the
// verdict at its end, what is wrong below it, and a summary as the last line.
func Text(w io.Writer, r Report, opts TextOptions) error {
	t := &text{color: opts.Color}
	for _, d := range r.Decisions {
		t.decision(d)
	}
	t.passedOver(r.PassedOver)
	t.notes(r.Notes)
	t.summary(r)
	_, err := w.Write(t.Bytes())
	return err
}

type text struct {
	bytes.Buffer
	color bool
}

func (t *text) line(format string, args ...any) {
	fmt.Fprintf(t, format, args...)
	t.WriteByte('\n')
}

func (t *text) paint(code, s string) string {
	if !t.color {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (t *text) effect(e policy.Effect) string {
	switch e {
	case policy.Deny:
		return t.paint(red, e.String())
	case policy.Warn:
		return t.paint(yellow, e.String())
	}
	return t.paint(cyan, e.String())
}

func (t *text) decision(d Decision) {
	verdict := t.paint(green, "allowed")
	if d.Denied() {
		verdict = t.paint(red, "denied")
	}
	if d.Exempt != "" {
		verdict += " (exempt: " + clean(d.Exempt) + ")"
	}
	t.line("%s %s %s: %s", t.paint(bold, place(d.Object)), title(d.Object), d.Operation, verdict)
	for _, op := range d.Patch {
		t.line("  patch %s %s%s", op.Operation, clean(op.Path), value(op.Value))
	}
	for _, f := range d.Findings {
		t.finding("  ", f)
	}
}

// finding tells a finding, with how to fix it at the end of its message.
func (t *text) finding(indent string, f policy.Finding) {
	at := ""
	if f.Field != "" {
		at = " at " + clean(f.Field)
	}
	if f.Carried {
		at += " (was there before)"
	}
	if f.Exempt != "" {
		at += " (exempt: " + clean(f.Exempt) + ")"
	}
	t.line("%s%s %s %s%s", indent, t.effect(f.Effect), f.Rule, f.Name, at)
	t.line("%s    %s", indent, clean(f.Message))
	if len(f.Related) > 0 {
		t.line("%s    related: %s", indent, clean(strings.Join(names(f.Related), ", ")))
	}
}

// passedOver is one line, however many objects there are: a release's manifests hold
// hundreds that no rule reads, and a line for each would hide the verdicts.
func (t *text) passedOver(objects []Object) {
	if len(objects) == 0 {
		return
	}
	count := map[string]int{}
	var kinds []string
	for _, o := range objects {
		kind := o.APIVersion + " " + o.Kind // the version may be what is not read
		if count[kind]++; count[kind] == 1 {
			kinds = append(kinds, kind)
		}
	}
	slices.Sort(kinds)
	for i, k := range kinds {
		kinds[i] = fmt.Sprintf("%s (%d)", clean(k), count[k])
	}
	t.line("%s: passed over %s that gatewarden does not judge: %s",
		t.effect(policy.Note), plural(len(objects), "object"), strings.Join(kinds, ", "))
}

func (t *text) notes(notes []string) {
	for _, n := range notes {
		t.line("%s: %s", t.effect(policy.Note), clean(n))
	}
}

func (t *text) summary(r Report) {
	var denied, patched, warnings int
	for _, d := range r.Decisions {
		if d.Denied() {
			denied++
		}
		if len(d.Patch) > 0 {
			patched++
		}
		warnings += len(d.Of(policy.Warn))
	}
	s := fmt.Sprintf("%s judged: %d allowed, %d denied", plural(len(r.Decisions), "object"), len(r.Decisions)-denied, denied)
	if patched > 0 {
		s += fmt.Sprintf(", %d patched", patched)
	}
	if warnings > 0 {
		s += ", " + plural(warnings, "warning")
	}
	t.line("%s", s)
}

func plural(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return strconv.Itoa(n) + " " + noun
}

func place(o Object) string { return clean(o.File) + ":" + strconv.Itoa(o.Line) }

func title(o Object) string {
	name := o.shown()
	if o.Namespace != "" {
		name = o.Namespace + "/" + name
	}
	return clean(o.Kind + " " + name)
}

// value shows what a patch operation puts in place. What can not be encoded is left out:
// the path has been said.
func value(v any) string {
	if v == nil {
		return ""
	}
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return " " + clean(string(b))
}

// clean makes control characters visible. Names and hosts come from files of other
// people, and an escape sequence in one of them must not reach the terminal, where it
// could repaint a denial as an approval.
func clean(s string) string {
	if strings.IndexFunc(s, hidden) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if hidden(r) {
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func hidden(r rune) bool { return r != ' ' && !unicode.IsGraphic(r) }
