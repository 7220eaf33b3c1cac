// Package ledger races changes that conflict against each other, through several real replicas of
// gatewarden before a real API server, and counts how many pairs were both admitted. The replicas
// stand behind a proxy that gives each request to another one.
package ledger

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/gatewarden/gatewarden/test/apiserver"
)

// Replicas are gatewardens behind a proxy.
type Replicas struct {
	server *apiserver.Server
	// holdable replicas have a proxy more before the API server, by which watches can be held back.
	holdable bool
	program  string
	args     []string
	out      io.Writer
	trust    *tls.Config
	client   http.RoundTripper
	next     atomic.Uint64
	proxy    *http.Server

	mu      sync.Mutex
	running []*Replica
}

// Replica is one of them.
type Replica struct {
	*apiserver.Process
	way     *apiserver.Proxy
	watches *watches
}

// Start starts a proxy at the address at which the API server calls gatewarden, and replicas behind it
// with the arguments. Only of holdable ones watches can be held back, which takes time at each request.
func Start(ctx context.Context, s *apiserver.Server, program string, n int, holdable bool, out io.Writer, args ...string) (_ *Replicas, err error) {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.GuardCA())
	r := &Replicas{
		server: s, program: program, holdable: holdable, args: args, out: out,
		trust:  &tls.Config{RootCAs: pool},
		client: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 100},
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Stop())
		}
	}()
	for range n {
		if err := r.Add(ctx); err != nil {
			return nil, err
		}
	}
	listener, err := net.Listen("tcp", s.GuardAddress())
	if err != nil {
		return nil, err
	}
	r.proxy = &http.Server{Handler: r, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(out, "proxy: ", 0)}
	go func() {
		dir := s.GuardCertDir()
		_ = r.proxy.ServeTLS(listener, filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")) // until Stop
	}()
	return r, nil
}

// Add starts one more replica, whose requests to the API server come through a proxy.
func (r *Replicas) Add(ctx context.Context) error {
	to, err := url.Parse(r.server.Config.Host)
	if err != nil {
		return err
	}
	next, ca := to.Host, []byte(nil)
	var watches *watches
	if r.holdable {
		if watches, err = startWatches(r.server, to, r.out); err != nil {
			return err
		}
		next, ca = watches.address(), r.server.GuardCA()
	}
	way, err := apiserver.StartProxy("127.0.0.1:0", func() string { return next })
	if err != nil {
		return errors.Join(err, watches.stop())
	}
	p, err := r.server.Launch(ctx, apiserver.Replica{
		Program: r.program, Output: r.out, APIServer: way.Address(), APIServerCA: ca,
		Arguments: append([]string{"--cert-dir", r.server.GuardCertDir()}, r.args...),
	})
	if err != nil {
		return errors.Join(err, way.Stop(), watches.stop())
	}
	r.mu.Lock()
	r.running = append(r.running, &Replica{p, way, watches})
	r.mu.Unlock()
	return p.WaitUntilReady(ctx, r.trust)
}

// Delay holds back all that the replicas and the API server tell each other.
func (r *Replicas) Delay(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, replica := range r.running {
		replica.way.Delay(d)
	}
}

// Hold holds back what some watches tell, in most of the replicas, so that those that know less judge
// beside one that knows more; nil ends it. The replicas have to be holdable.
func (r *Replicas) Hold(which func(path string) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, replica := range r.running {
		if which == nil || i <= len(r.running)/2 {
			replica.watches.hold(which)
		}
	}
}

// Kill ends the oldest replica at once.
func (r *Replicas) Kill() error {
	r.mu.Lock()
	victim := r.running[0]
	r.running = slices.Delete(slices.Clone(r.running), 0, 1)
	r.mu.Unlock()
	return errors.Join(victim.Kill(), victim.way.Stop(), victim.watches.stop())
}

// Stop ends the proxy and the replicas.
func (r *Replicas) Stop() error {
	var errs []error
	if r.proxy != nil {
		errs = append(errs, r.proxy.Close())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, replica := range r.running {
		errs = append(errs, replica.Stop(), replica.way.Stop(), replica.watches.stop())
	}
	r.running = nil
	return errors.Join(errs...)
}

// ServeHTTP passes a request on to the next replica, or to the one after it if that one is gone.
func (r *Replicas) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	running := slices.Clone(r.running)
	r.mu.Unlock()
	first := r.next.Add(1)
	for i := range running {
		replica := running[(first+uint64(i))%uint64(len(running))]
		u := *q.URL
		u.Scheme, u.Host = "https", replica.Address
		out, err := http.NewRequestWithContext(q.Context(), q.Method, u.String(), bytes.NewReader(body))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		out.Header = q.Header.Clone()
		response, err := r.client.RoundTrip(out)
		if errors.As(err, new(*net.OpError)) {
			continue // as endpoints of a Service are taken out
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", response.Header.Get("Content-Type"))
		w.WriteHeader(response.StatusCode)
		_, _ = io.Copy(w, response.Body)
		_ = response.Body.Close()
		return
	}
	http.Error(w, "no replica", http.StatusBadGateway)
}

// unlimited is a client that neither waits before its requests nor makes one again by itself.
func unlimited(config *rest.Config) (dynamic.Interface, error) {
	config = rest.CopyConfig(config)
	config.QPS = -1
	config.WarningHandler = rest.NoWarnings{}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &once{next} })
	return dynamic.NewForConfig(config)
}

// once takes away what client-go makes a request again for.
type once struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (o *once) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := o.RoundTripper.RoundTrip(r)
	if response != nil {
		response.Header.Del("Retry-After")
	}
	return response, err
}

// Config is the configuration of the replicas: deployKF's, with Istio's Ingresses on its gateway.
func Config(dir string) (string, error) {
	content, err := os.ReadFile("../../deploy/base/config.yaml")
	if err != nil {
		return "", err
	}
	content = bytes.Replace(content, []byte("mesh:\n"), []byte("mesh:\n  ingressSelector: deploykf-gateway\n"), 1)
	path := filepath.Join(dir, "config.yaml")
	return path, os.WriteFile(path, content, 0o600)
}

// tally is how many there were of each answer.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

func (t *tally) add(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = map[string]int{}
	}
	t.counts[what]++
}

func (t *tally) get(what string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.counts[what]
}

func (t *tally) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return fmt.Sprint(t.counts)
}
