package apiserver

import (
	"bytes"
	"context"
	_ "embed" // for the file that moves the time
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// clockVariable names the file of a Clock in the environment of a program.
const clockVariable = "GATEWARDEN_TEST_CLOCK"

//go:embed testdata/moved.go
var movedSource []byte

// BuildMovableGuard is BuildGuard for a program whose time of day a Clock moves. Its source is the same,
// that of its dependencies too: only time.Now of the standard library is built from another file,
// which is the toolchain's with one call replaced. So whatever reads the time of day reads the moved
// one, the checks of certificates in crypto/x509 included, and nothing else does: timers, deadlines and
// differences of times are by the monotonic clock, as they are when somebody sets a machine's time.
func BuildMovableGuard(ctx context.Context, dir string) (string, error) {
	overlay, err := moveTime(ctx, dir)
	if err != nil {
		return "", fmt.Errorf("a program whose time can be moved: %w", err)
	}
	return buildGuard(ctx, filepath.Join(dir, "gatewarden-movable"), "-overlay", overlay)
}

// moveTime writes an overlay, as go build takes it, and returns its path.
func moveTime(ctx context.Context, dir string) (string, error) {
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOROOT: %w", err)
	}
	library := filepath.Join(strings.TrimSpace(string(root)), "src", "time")
	original := filepath.Join(library, "time.go")
	source, err := os.ReadFile(original)
	if err != nil {
		return "", err
	}
	// Now, and nothing else in the file, reads the time of day by it.
	const reads = ":= runtimeNow()\n"
	if n := bytes.Count(source, []byte(reads)); n != 1 {
		return "", fmt.Errorf("%s reads the time %d times by %q, which this was written for: see what time.Now does in this version of Go",
			original, n, strings.TrimSpace(reads))
	}
	replaced := map[string]string{}
	for name, content := range map[string][]byte{
		"time.go":  bytes.Replace(source, []byte(reads), []byte(":= movedNow()\n"), 1),
		"moved.go": movedSource,
	} {
		replaced[filepath.Join(library, name)] = filepath.Join(dir, name)
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return "", err
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, overlay, 0o600)
}

// Clock is the time of day of a program that BuildMovableGuard built, as Replica.Clock.
type Clock struct{ file *os.File }

// NewClock makes a Clock that goes right, in a folder. It has to be closed after the program.
func NewClock(dir string) (*Clock, error) {
	file, err := os.CreateTemp(dir, "clock-*")
	if err != nil {
		return nil, err
	}
	c := &Clock{file}
	if err := c.Move(0); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return c, nil
}

// Move sets the time of day to what it really is and some whole seconds more, or less, from now on.
func (c *Clock) Move(by time.Duration) error {
	// Eight bytes at once, which the program has in its memory.
	_, err := c.file.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(int64(by/time.Second))), 0)
	return err
}

// Close closes the file.
func (c *Clock) Close() error { return c.file.Close() }
