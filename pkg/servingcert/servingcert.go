// Package servingcert provides the certificate that the webhook server shows: from files
// that somebody else renews, or self-signed in memory for trying things out and for
// installations without cert-manager.
package servingcert

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// Source provides a serving certificate and keeps it current. Its methods are safe for
// concurrent use.
type Source interface {
	// GetCertificate returns the current certificate; its signature is that of
	// tls.Config.GetCertificate. It never blocks on I/O.
	GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Start keeps the certificate current until the context ends, and then returns nil. An
	// error means that the certificate will not be renewed any more.
	Start(ctx context.Context) error
	// Healthy returns nil while the certificate is one that a client can accept now, else
	// an error that says why it is not.
	Healthy() error
	// NotAfter is the end of the certificate's validity.
	NotAfter() time.Time
	// CABundle is the PEM of the CA that a client has to trust, or nil if the source does
	// not know it.
	CABundle() []byte
}

// errNone is the state of a source that has no certificate (yet).
var errNone = errors.New("there is no serving certificate")

// valid checks the period of validity. A certificate that is not valid yet is as useless
// as one that has expired: the API server refuses both.
func valid(leaf *x509.Certificate, now time.Time) error {
	switch {
	case leaf == nil:
		return errNone
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("the serving certificate is valid from %s only: check the clocks",
			leaf.NotBefore.UTC().Format(time.RFC3339))
	case !now.Before(leaf.NotAfter):
		return fmt.Errorf("the serving certificate expired at %s: renew it",
			leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}
