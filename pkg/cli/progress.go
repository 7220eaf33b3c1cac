package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

const (
	// progressAfter is how long a command may take before it tells how far it is.
	progressAfter = 500 * time.Millisecond
	// progressEvery is how often it does so at most.
	progressEvery = 100 * time.Millisecond
)

// progress is one line on a terminal that tells how far a command is. It is rewritten in place, and
// gone at the end. Where standard error is no terminal, nothing is written: a log keeps every line.
type progress struct {
	w     io.Writer // nil for nothing
	now   func() time.Time
	next  time.Time // when the line may be written again
	width int       // of the line that is there
}

func newProgress(w io.Writer) *progress {
	p := &progress{now: time.Now}
	if terminal(w) {
		p.w = w
	}
	p.next = p.now().Add(progressAfter)
	return p
}

// tell says how far the command is, unless it did so just now. An of of 0 is not known.
func (p *progress) tell(doing string, done, of int) {
	if p.w == nil {
		return
	}
	now := p.now()
	if now.Before(p.next) {
		return
	}
	p.next = now.Add(progressEvery)
	line := fmt.Sprintf("%s: %s", name, doing)
	if of > 0 {
		line += fmt.Sprintf(": %d of %d", done, of)
	}
	p.write(line)
}

// end takes the line away.
func (p *progress) end() {
	if p.width > 0 {
		p.write("")
		fmt.Fprint(p.w, "\r")
	}
}

// write puts a line in place of the one that is there. Blanks are understood by every terminal.
func (p *progress) write(line string) {
	fmt.Fprintf(p.w, "\r%s%s", line, strings.Repeat(" ", max(0, p.width-len(line))))
	p.width = len(line)
}

// terminal reports whether w is a terminal that can rewrite a line.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
