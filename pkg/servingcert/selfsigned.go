package servingcert

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	cmapi "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/cert-manager/cert-manager/pkg/util/pki"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/wait"
)

const (
	// authorityLifetime is how long the CA lives. It ends with the process in any case;
	// it is long because a CA that changes under a running process would have to be
	// brought to every client.
	authorityLifetime = 10 * 365 * 24 * time.Hour
	// backdate is how far before their making certificates become valid, so that a client
	// whose clock is a little behind accepts a new one.
	backdate = 5 * time.Minute
	// lookInterval is how often it is looked whether the certificate has to be renewed. It is by the
	// time of day that it ends, which a timer does not go by.
	lookInterval = time.Minute
)

// DefaultLifetime is how long a self-signed serving certificate lives.
const DefaultLifetime = 90 * 24 * time.Hour

// SelfSigned is a certificate signed by a CA that is made at the start and lives as long as
// the process. Neither key is ever written anywhere.
type SelfSigned struct {
	dnsNames  []string
	ips       []string
	lifetime  time.Duration
	authority *x509.Certificate
	key       *ecdsa.PrivateKey
	bundle    []byte
	current   atomic.Pointer[tls.Certificate]
}

var _ Source = (*SelfSigned)(nil)

// NewSelfSigned makes a CA and a certificate for the hosts, which are DNS names or IP
// addresses; the lifetime is that of the certificate, and zero means DefaultLifetime. The
// CA is valid for ten years.
func NewSelfSigned(hosts []string, lifetime time.Duration) (*SelfSigned, error) {
	if lifetime == 0 {
		lifetime = DefaultLifetime
	}
	s := &SelfSigned{lifetime: lifetime}
	for _, h := range hosts {
		switch {
		case h == "":
			return nil, errors.New("an empty host: name a DNS name or an IP address")
		case net.ParseIP(h) != nil:
			s.ips = append(s.ips, h)
		case !isName(h):
			return nil, fmt.Errorf("host %q is neither a DNS name nor an IP address", h)
		default:
			s.dnsNames = append(s.dnsNames, h)
		}
	}
	if len(hosts) == 0 {
		return nil, errors.New("no host: name at least one DNS name or IP address")
	}
	var err error
	if s.key, err = pki.GenerateECPrivateKey(pki.ECCurve256); err != nil {
		return nil, fmt.Errorf("self-signed certificate: %w", err)
	}
	authority := cmapi.CertificateSpec{CommonName: "gatewarden-ca", IsCA: true}
	if s.bundle, s.authority, err = s.sign(authority, authorityLifetime, s.key, nil); err != nil {
		return nil, fmt.Errorf("self-signed certificate: %w", err)
	}
	if err := s.renew(); err != nil {
		return nil, err
	}
	return s, nil
}

// isName reports whether a client can verify a certificate by the name: a DNS name in any
// case, with or without a wildcard as its first label.
func isName(host string) bool {
	host = strings.ToLower(host)
	return len(validation.IsDNS1123Subdomain(host)) == 0 || len(validation.IsWildcardDNS1123Subdomain(host)) == 0
}

// sign makes a certificate for the key. A nil issuer signs itself.
func (s *SelfSigned) sign(spec cmapi.CertificateSpec, lifetime time.Duration, key *ecdsa.PrivateKey, issuer *x509.Certificate) ([]byte, *x509.Certificate, error) {
	spec.PrivateKey = &cmapi.CertificatePrivateKey{Algorithm: cmapi.ECDSAKeyAlgorithm, Size: pki.ECCurve256}
	template, err := pki.CertificateTemplateFromCertificate(&cmapi.Certificate{Spec: spec})
	if err != nil {
		return nil, nil, err
	}
	template.NotBefore = time.Now().Add(-backdate)
	template.NotAfter = time.Now().Add(lifetime)
	if issuer == nil {
		issuer = template
	}
	return pki.SignCertificate(template, issuer, key.Public(), s.key)
}

// renew makes a new key and certificate.
func (s *SelfSigned) renew() error {
	key, err := pki.GenerateECPrivateKey(pki.ECCurve256)
	if err != nil {
		return fmt.Errorf("self-signed certificate: %w", err)
	}
	spec := cmapi.CertificateSpec{
		CommonName:  "gatewarden",
		DNSNames:    s.dnsNames,
		IPAddresses: s.ips,
		Usages:      []cmapi.KeyUsage{cmapi.UsageDigitalSignature, cmapi.UsageServerAuth},
	}
	_, leaf, err := s.sign(spec, s.lifetime, key, s.authority)
	if err != nil {
		return fmt.Errorf("self-signed certificate: %w", err)
	}
	s.current.Store(&tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf})
	return nil
}

// Start renews the certificate after two thirds of its lifetime, and when it is not valid, as after
// somebody has set the clock. While a renewal fails the old certificate stays in use.
func (s *SelfSigned) Start(ctx context.Context) error {
	wait.UntilWithContext(ctx, func(context.Context) {
		leaf, now := s.current.Load().Leaf, time.Now()
		if valid(leaf, now) != nil || !now.Before(leaf.NotAfter.Add(-s.lifetime/3)) {
			_ = s.renew() // it is tried again at the next look
		}
	}, min(lookInterval, s.lifetime/10))
	return nil
}

// GetCertificate returns the current certificate.
func (s *SelfSigned) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return s.current.Load(), nil
}

// Healthy returns an error while the certificate is expired, which happens only if renewals
// fail for a third of its lifetime, or while the process was suspended.
func (s *SelfSigned) Healthy() error { return valid(s.current.Load().Leaf, time.Now()) }

// NotAfter is the end of the certificate's validity.
func (s *SelfSigned) NotAfter() time.Time { return s.current.Load().Leaf.NotAfter }

// CABundle is the PEM of the CA. It does not change.
func (s *SelfSigned) CABundle() []byte { return s.bundle }
