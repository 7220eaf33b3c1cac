package deploy_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/test/module"
)

// privateKey is a private key in PEM: its first line, and the beginning of its content.
var privateKey = regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{16}`)

// Whoever reads the repository must not be able to serve in gatewarden's name.
func TestNoPrivateKeyIsTrackedOrAboutToBe(t *testing.T) {
	root, err := module.Dir(t.Context(), module.Gatewarden)
	require.NoError(t, err)
	git := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = root
		out, err := cmd.Output()
		require.NoError(t, err, "git %s", strings.Join(args, " "))
		return string(out)
	}
	files := strings.Split(strings.TrimSuffix(git("ls-files", "-z", "--cached", "--others", "--exclude-standard"), "\x00"), "\x00")
	require.Contains(t, files, "go.mod")
	for _, file := range files {
		content, err := os.ReadFile(filepath.Join(root, file))
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted, and not yet committed
		}
		require.NoError(t, err)
		assert.False(t, privateKey.Match(content), "%s holds a private key", file)
	}
	// git check-ignore fails if any of them is not ignored.
	git("check-ignore", "certs/dev/tls.key", "certs/dev/tls.crt")
}
