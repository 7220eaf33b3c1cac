package servingcert

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"path/filepath"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
)

// The names of the files in the folder, which are the keys of a Secret of type
// kubernetes.io/tls (TLSCertKey and TLSPrivateKeyKey in k8s.io/api/core/v1).
const (
	CertFile = "tls.crt"
	KeyFile  = "tls.key"
)

// Files is a certificate in a folder, re-read when it changes. A pair that does not fit
// together, as it can be seen between the writing of two files, is passed over: the last
// good one stays in use.
type Files struct {
	dir     string
	watcher *certwatcher.CertWatcher
}

var _ Source = (*Files)(nil)

// NewFiles reads CertFile and KeyFile in the folder. The error names the folder.
func NewFiles(dir string) (*Files, error) {
	w, err := certwatcher.New(filepath.Join(dir, CertFile), filepath.Join(dir, KeyFile))
	if err != nil {
		return nil, fmt.Errorf("certificate folder %s: %w: it must hold %s and %s, a PEM certificate and its private key",
			dir, err, CertFile, KeyFile)
	}
	return &Files{dir: dir, watcher: w}, nil
}

// Start watches the files, and reads them every ten seconds besides: a change of a mounted
// Secret swaps a symbolic link of its folder, and not every file system tells of that.
func (f *Files) Start(ctx context.Context) error {
	if err := f.watcher.Start(ctx); err != nil && ctx.Err() == nil {
		return fmt.Errorf("certificate folder %s: cannot be watched: %w", f.dir, err)
	}
	return nil
}

// GetCertificate returns the pair that was read last.
func (f *Files) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return f.watcher.GetCertificate(hello)
}

// Healthy returns an error while the certificate is expired or not yet valid.
func (f *Files) Healthy() error {
	if err := valid(f.leaf(), time.Now()); err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(f.dir, CertFile), err)
	}
	return nil
}

// NotAfter is the end of the certificate's validity.
func (f *Files) NotAfter() time.Time {
	if leaf := f.leaf(); leaf != nil {
		return leaf.NotAfter
	}
	return time.Time{}
}

// CABundle is nil: whoever writes the files tells the clients whom to trust.
func (f *Files) CABundle() []byte { return nil }

// leaf is the current certificate. tls.X509KeyPair, by which certwatcher reads it, fills
// Leaf.
func (f *Files) leaf() *x509.Certificate {
	cert, err := f.watcher.GetCertificate(nil)
	if err != nil || cert == nil {
		return nil
	}
	return cert.Leaf
}
