package cli

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/servingcert"
)

// TestServeLeavesTheCAOfAnotherInstance starts a second instance at an address of the first.
func TestServeLeavesTheCAOfAnotherInstance(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { assert.NoError(t, busy.Close()) }()
	ca, args := onADesk(t)
	require.NoError(t, os.WriteFile(ca, []byte("the first one's"), 0o600))
	for flag, other := range map[string]string{"--listen": "--metrics-listen", "--metrics-listen": "--listen"} {
		t.Run(flag, func(t *testing.T) {
			address := busy.Addr().String()
			got := main(t, "", append([]string{"serve", flag, address, other, "127.0.0.1:0"}, args...)...)
			assert.Equal(t, exitFailed, got.code)
			assert.Contains(t, got.err, flag+" "+address+": ")
			assert.Contains(t, got.err, "address already in use: does another instance run? If so, choose another "+flag+"\n")
			content, err := os.ReadFile(ca)
			require.NoError(t, err)
			assert.Equal(t, "the first one's", string(content))
		})
	}
}

func TestServeRefusesWhatIsNoHostAndNoKubeconfig(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	text, empty := file("text", "hello\n"), file("empty", "")
	pod := file("pod", "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n")
	nowhere := file("nowhere", "apiVersion: v1\nkind: Config\nclusters: [{name: a, cluster: {server: 'http://127.0.0.1:1'}}]\ncontexts: []\ncurrent-context: b\n")
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"host":       {[]string{"--self-signed-host", "bad host!"}, `--self-signed-host: host "bad host!" is neither a DNS name nor an IP address`},
		"text":       {[]string{"--kubeconfig", text}, "--kubeconfig " + text + ": this is no kubeconfig file: "},
		"empty":      {[]string{"--kubeconfig", empty}, "--kubeconfig " + empty + ": this is no kubeconfig file: it names no cluster"},
		"pod":        {[]string{"--kubeconfig", pod}, "--kubeconfig " + pod + ": this is no kubeconfig file: "},
		"folder":     {[]string{"--kubeconfig", dir}, "--kubeconfig: read " + dir + ": is a directory"},
		"no file":    {[]string{"--kubeconfig", filepath.Join(dir, "none")}, "--kubeconfig: open " + filepath.Join(dir, "none") + ": no such file or directory"},
		"no context": {[]string{"--kubeconfig", nowhere}, "--kubeconfig " + nowhere + ": "},
	} {
		t.Run(name, func(t *testing.T) {
			got := main(t, "", append([]string{"serve", "--self-signed", "--listen", "127.0.0.1:0", "--metrics-listen", ""}, test.args...)...)
			assert.Equal(t, exitFailed, got.code)
			assert.Contains(t, got.err, test.want)
			assert.Equal(t, 1, strings.Count(got.err, "\n"), got.err)
		})
	}
}

// certificate is a source whose health a test decides.
type certificate struct {
	servingcert.Source
	bad atomic.Bool
}

func (c *certificate) Healthy() error {
	if c.bad.Load() {
		return errors.New("the serving certificate expired")
	}
	return nil
}

func (c *certificate) NotAfter() time.Time { return time.Unix(1_900_000_000, 0) }

func TestCertificateIsLoggedOncePerChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out output
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		cert := &certificate{}
		cert.bad.Store(true)
		go func() {
			defer close(done)
			watchCertificate(ctx, cert, slog.New(slog.NewTextHandler(&out, nil)))
		}()
		synctest.Wait()
		const wrong = `level=ERROR msg="not ready: the serving certificate expired"`
		assert.Equal(t, 1, strings.Count(out.String(), wrong), "not logged at the start")
		for _, bad := range []bool{true, false, false, true} {
			cert.bad.Store(bad)
			<-time.After(2 * certificatePoll)
			synctest.Wait()
		}
		assert.Equal(t, 2, strings.Count(out.String(), wrong))
		assert.Equal(t, 1, strings.Count(out.String(), `level=INFO msg="the serving certificate is valid again" until=2030-03-17T17:46:40Z`))
		cancel()
		<-done
	})
}
