// Package clientcert tells by its client certificate whether a caller is the API server.
//
// It is not for the TLS handshake to refuse the others: kubelets have no certificate to send with
// their probes, and a caller that is refused by a handshake is not told why. So each request is
// checked by itself, which also ends what a connection was once allowed when the certificate
// expires or its CA is replaced.
package clientcert

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/cert"
)

// reloadInterval is how often the CA is read again. A mounted Secret or ConfigMap takes up to a
// minute to change anyway.
const reloadInterval = 10 * time.Second

// Verifier accepts the certificates of a CA.
type Verifier struct {
	path    string
	names   []string
	log     *slog.Logger
	pool    atomic.Pointer[x509.CertPool]
	content string // what was read last, good or bad
	problem string // why it could not be used; empty if it could
}

// New reads a file with one or more CA certificates in PEM. With names, the common name of a
// certificate has to be one of them.
func New(path string, names []string, log *slog.Logger) (*Verifier, error) {
	v := &Verifier{path: path, names: names, log: log}
	content, pool, err := read(path)
	if err != nil {
		return nil, err
	}
	v.content = content
	v.pool.Store(pool)
	return v, nil
}

func read(path string) (string, *x509.CertPool, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", nil, err
	}
	found, err := cert.ParseCertsPEM(content)
	if err != nil {
		return string(content), nil, fmt.Errorf("%s: %w: it must hold the CA of the API server's client certificate in PEM", path, err)
	}
	pool := x509.NewCertPool()
	for _, c := range found {
		pool.AddCert(c)
	}
	return string(content), pool, nil
}

// Run reads the file again when it changes, until the context ends. While it is wrong the last good
// CA stays in use.
func (v *Verifier) Run(ctx context.Context) {
	wait.UntilWithContext(ctx, func(context.Context) { v.reload() }, reloadInterval)
}

func (v *Verifier) reload() {
	content, pool, err := read(v.path)
	if err != nil {
		if err.Error() != v.problem {
			v.log.Error("the CA of client certificates can not be read: the last good one stays in use", "problem", err.Error())
		}
		v.problem = err.Error()
		return
	}
	if content != v.content || v.problem != "" {
		v.log.Info("the CA of client certificates was read again", "file", v.path)
	}
	v.content, v.problem = content, ""
	v.pool.Store(pool)
}

// Check returns nil if the connection has a certificate that is accepted now, else why not and the
// HTTP status that says so.
func (v *Verifier) Check(connection *tls.ConnectionState) (status int, err error) {
	if connection == nil || len(connection.PeerCertificates) == 0 {
		return http.StatusUnauthorized, errors.New("there is no client certificate: " +
			"tell the API server which one to send by --admission-control-config-file")
	}
	leaf, others := connection.PeerCertificates[0], x509.NewCertPool()
	for _, c := range connection.PeerCertificates[1:] {
		others.AddCert(c)
	}
	_, err = leaf.Verify(x509.VerifyOptions{
		Roots: v.pool.Load(), Intermediates: others, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return http.StatusForbidden, fmt.Errorf("the client certificate of %q is not accepted: %w", leaf.Subject.CommonName, err)
	}
	if len(v.names) > 0 && !slices.Contains(v.names, leaf.Subject.CommonName) {
		return http.StatusForbidden, fmt.Errorf("the client certificate is that of %q: only %s may ask",
			leaf.Subject.CommonName, strings.Join(v.names, " and "))
	}
	return 0, nil
}
