package apiserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/gatewarden/gatewarden/test/module"
)

const (
	// readyTimeout is how long a guard may take until it has listed the cluster.
	readyTimeout = 60 * time.Second
	// stopTimeout is how long a guard may take to finish the requests it has.
	stopTimeout = 30 * time.Second
)

// BuildGuard builds the gatewarden program into a folder and returns its path.
func BuildGuard(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "gatewarden")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, module.Gatewarden+"/cmd/gatewarden")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building gatewarden: %w\n%s", err, out)
	}
	return path, nil
}

// Process is a running gatewarden program.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the program has ended, with err set
	err  error
	dir  string
}

// StartGuard starts a gatewarden program that watches this API server as its own
// ServiceAccount and serves at GuardAddress, and waits until it is ready. The program's
// output goes to out. Arguments are added to those of "gatewarden serve".
func (s *Server) StartGuard(ctx context.Context, program string, out io.Writer, args ...string) (_ *Process, err error) {
	dir, err := os.MkdirTemp("", "gatewarden-")
	if err != nil {
		return nil, err
	}
	kubeconfig := filepath.Join(dir, "kubeconfig")
	if err := s.WriteGuardKubeconfig(ctx, kubeconfig); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	p := &Process{dir: dir, done: make(chan struct{})}
	p.cmd = exec.Command(program, append([]string{
		"serve",
		"--kubeconfig", kubeconfig,
		"--cert-dir", s.GuardCertDir(),
		"--listen", s.GuardAddress(),
		"--metrics-listen", "127.0.0.1:0",
	}, args...)...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	// Not in this process's group: an interrupt of the terminal must not end it before its
	// API server has been told that nobody judges any more.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", program, err), os.RemoveAll(dir))
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	if err := s.waitUntilReady(ctx, p); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

// Stop asks the program to end and waits until it has. The error is that of a program that
// did not end as it should: not in time, or with another exit code than 0.
func (p *Process) Stop() (err error) {
	defer func() { err = errors.Join(err, os.RemoveAll(p.dir)) }()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping gatewarden: %w", err)
	}
	timeout := time.NewTimer(stopTimeout)
	defer timeout.Stop()
	select {
	case <-p.done:
	case <-timeout.C:
		err := p.cmd.Process.Kill()
		<-p.done
		return errors.Join(fmt.Errorf("gatewarden did not end within %s", stopTimeout), err)
	}
	if p.err != nil {
		return fmt.Errorf("gatewarden: %w", p.err)
	}
	return nil
}

// waitUntilReady polls /readyz until it answers 200, or the program ends.
func (s *Server) waitUntilReady(ctx context.Context, p *Process) error {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(s.GuardCA()) {
		return errors.New("the CA of the serving certificate is no PEM")
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	defer client.CloseIdleConnections()
	url := "https://" + s.GuardAddress() + "/readyz"
	var last error
	err := wait.PollUntilContextTimeout(ctx, pollInterval, readyTimeout, true, func(ctx context.Context) (bool, error) {
		select {
		case <-p.done:
			return false, fmt.Errorf("gatewarden ended before it was ready: %w", errors.Join(p.err, last))
		default:
		}
		last = probeReady(ctx, client, url)
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for gatewarden: %w", errors.Join(last, err))
	}
	return nil
}

func probeReady(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, 1024))
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %s", url, response.Status, strings.TrimSpace(string(body)))
	}
	return nil
}
