package apiserver

import (
	"bytes"
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
	"sync"
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
	return buildGuard(ctx, filepath.Join(dir, "gatewarden"))
}

func buildGuard(ctx context.Context, path string, flags ...string) (string, error) {
	args := append(append([]string{"build", "-o", path}, flags...), module.Gatewarden+"/cmd/gatewarden")
	cmd := exec.CommandContext(ctx, "go", args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building gatewarden: %w\n%s", err, out)
	}
	return path, nil
}

// Log keeps what programs write, for tests to read while they run.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String is all that was written so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Process is a running gatewarden program.
type Process struct {
	// Address is where it serves.
	Address string

	cmd  *exec.Cmd
	done chan struct{} // closed when the program has ended, with err set
	err  error
	dir  string
	// volumes is the folder of what LaunchDeployed mounts, or empty.
	volumes string
}

// Replica is how one of several gatewarden programs is started.
type Replica struct {
	// Program is what BuildGuard built.
	Program string
	// Output gets what the program writes.
	Output io.Writer
	// Address is the host and port to serve at. Default: a free port of the loopback interface.
	Address string
	// APIServer is the host and port of a Proxy before the API server. Default: no Proxy.
	APIServer string
	// APIServerCA has signed the certificate of a Proxy that has one of its own. Default: the API
	// server's CA.
	APIServerCA []byte
	// Arguments are added to those of "gatewarden serve". They have to say where the
	// certificate comes from.
	Arguments []string
	// Clock is the program's time of day, if BuildMovableGuard built it. Default: the machine's.
	Clock *Clock
}

// StartGuard starts a gatewarden program that watches this API server as its own
// ServiceAccount and serves at GuardAddress, and waits until it is ready. The program's
// output goes to out. Arguments are added to those of "gatewarden serve".
func (s *Server) StartGuard(ctx context.Context, program string, out io.Writer, args ...string) (*Process, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(s.GuardCA()) {
		return nil, errors.New("the CA of the serving certificate is no PEM")
	}
	p, err := s.Launch(ctx, Replica{
		Program: program, Output: out, Address: s.GuardAddress(), Arguments: append([]string{"--cert-dir", s.GuardCertDir()}, args...),
	})
	if err != nil {
		return nil, err
	}
	if err := p.WaitUntilReady(ctx, &tls.Config{RootCAs: pool}); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

// Launch starts a gatewarden program that watches this API server as its own ServiceAccount. It
// does not wait: see WaitUntilReady.
func (s *Server) Launch(ctx context.Context, r Replica) (_ *Process, err error) {
	if r.Address == "" {
		if r.Address, err = freeAddress(); err != nil {
			return nil, err
		}
	}
	dir, err := os.MkdirTemp("", "gatewarden-")
	if err != nil {
		return nil, err
	}
	kubeconfig := filepath.Join(dir, "kubeconfig")
	if err := s.writeGuardKubeconfig(ctx, kubeconfig, r); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	p := &Process{Address: r.Address, dir: dir, done: make(chan struct{})}
	p.cmd = exec.Command(r.Program, append([]string{
		"serve",
		"--kubeconfig", kubeconfig,
		"--listen", r.Address,
		"--metrics-listen", "127.0.0.1:0",
	}, r.Arguments...)...)
	if r.Clock != nil {
		p.cmd.Env = append(os.Environ(), clockVariable+"="+r.Clock.file.Name())
	}
	out := r.Output
	p.cmd.Stdout, p.cmd.Stderr = out, out
	// Not in this process's group: an interrupt of the terminal must not end it before its
	// API server has been told that nobody judges any more.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", r.Program, err), os.RemoveAll(dir))
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// PID is the program's number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ended reports whether the program has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Kill ends the program at once, as the loss of its node would.
func (p *Process) Kill() error {
	err := p.cmd.Process.Kill()
	<-p.done
	return errors.Join(err, p.clean())
}

// clean removes what the program has read.
func (p *Process) clean() error { return errors.Join(os.RemoveAll(p.dir), os.RemoveAll(p.volumes)) }

// Stop asks the program to end and waits until it has. The error is that of a program that
// did not end as it should: not in time, or with another exit code than 0.
func (p *Process) Stop() (err error) {
	defer func() { err = errors.Join(err, p.clean()) }()
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

// WaitUntilReady polls /readyz until it answers 200, or the program ends. Without a configuration
// it does so as kubelets do, which take any certificate.
func (p *Process) WaitUntilReady(ctx context.Context, config *tls.Config) error {
	client := probeClient(config)
	url := "https://" + p.Address + "/readyz"
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
