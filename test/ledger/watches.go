package ledger

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/gatewarden/gatewarden/test/apiserver"
)

// watches is a proxy before an API server that can hold back what watches tell, while all other
// requests are answered.
type watches struct {
	server *http.Server
	listen net.Listener

	mu      sync.Mutex
	held    func(path string) bool // nil while nothing is held back
	release chan struct{}          // closed when it is not any more
}

// startWatches starts a proxy before the API server, with the certificate of the guards.
func startWatches(s *apiserver.Server, to *url.URL, out io.Writer) (_ *watches, err error) {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.Config.CAData)
	w := &watches{}
	if w.listen, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) },
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}, ForceAttemptHTTP2: true,
		},
		FlushInterval: -1, // each event at once
		ErrorLog:      log.New(out, "proxy of watches: ", 0),
		ModifyResponse: func(r *http.Response) error {
			if r.Request.URL.Query().Get("watch") == "true" {
				r.Body = &watchBody{ReadCloser: r.Body, of: w, request: r.Request}
			}
			return nil
		},
	}
	w.server = &http.Server{Handler: proxy, ReadHeaderTimeout: time.Minute, ErrorLog: proxy.ErrorLog}
	dir := s.GuardCertDir()
	go func() {
		_ = w.server.ServeTLS(w.listen, filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")) // until stop
	}()
	return w, nil
}

// address is where the proxy listens.
func (w *watches) address() string { return w.listen.Addr().String() }

// hold holds back what watches of some paths tell from now on, until it is called again; nil is for none.
func (w *watches) hold(which func(path string) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.release != nil {
		close(w.release)
		w.release = nil
	}
	if w.held = which; which != nil {
		w.release = make(chan struct{})
	}
}

// wait returns when nothing of the path is held back, or the request has ended.
func (w *watches) wait(r *http.Request) {
	for {
		w.mu.Lock()
		held, release := w.held != nil && w.held(r.URL.Path), w.release
		w.mu.Unlock()
		if !held {
			return
		}
		select {
		case <-release:
		case <-r.Context().Done():
			return
		}
	}
}

// stop ends the proxy. Nil has nothing to end.
func (w *watches) stop() error {
	if w == nil {
		return nil
	}
	w.hold(nil)
	return w.server.Close()
}

// watchBody is what a watch tells.
type watchBody struct {
	io.ReadCloser
	of      *watches
	request *http.Request
}

// Read implements io.Reader.
func (b *watchBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.of.wait(b.request)
	return n, err
}

// What can be held back.
var (
	everyWatch = func(string) bool { return true }
	// Those of the state alone leave the ledger up to date, so that changes are admitted meanwhile.
	stateWatches = func(path string) bool {
		return !strings.HasSuffix(path, "/namespaces/"+apiserver.Namespace+"/configmaps")
	}
)
