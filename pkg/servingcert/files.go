package servingcert

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
)

// The names of the files in the folder, which are the keys of a Secret of type
// kubernetes.io/tls (TLSCertKey and TLSPrivateKeyKey in k8s.io/api/core/v1).
const (
	CertFile = "tls.crt"
	KeyFile  = "tls.key"
)

// Files is a certificate in a folder, re-read when it changes. A pair that does not fit
// together, as it can be seen between the writing of two files, is passed over, and so is one
// that has expired or is not valid yet: the last good one stays in use for as long as it is valid.
type Files struct {
	dir     string
	watcher *certwatcher.CertWatcher
	used    atomic.Pointer[tls.Certificate]
}

var _ Source = (*Files)(nil)

// NewFiles reads CertFile and KeyFile in the folder. The error names the folder.
func NewFiles(dir string) (*Files, error) {
	w, err := certwatcher.New(filepath.Join(dir, CertFile), filepath.Join(dir, KeyFile))
	if err != nil {
		return nil, fmt.Errorf("certificate folder %s: %w: it must hold %s and %s, a PEM certificate and its private key",
			dir, err, CertFile, KeyFile)
	}
	f := &Files{dir: dir, watcher: w}
	f.current()
	w.RegisterCallback(func(read tls.Certificate) { // which must not ask the watcher
		if used := f.used.Load(); better(used.Leaf, read.Leaf, time.Now()) {
			ctrllog.Log.Error(valid(read.Leaf, time.Now()), "a new serving certificate is not used while the old one is valid",
				"folder", dir, "until", used.Leaf.NotAfter.UTC().Format(time.RFC3339))
		}
	})
	return f, nil
}

// current is the pair that was read last, or the one that was used before as long as that is
// better.
func (f *Files) current() *tls.Certificate {
	read, err := f.watcher.GetCertificate(nil)
	used := f.used.Load()
	if err != nil || used != nil && better(used.Leaf, read.Leaf, time.Now()) {
		return used
	}
	f.used.Store(read)
	return read
}

// better reports whether the old certificate is to be used rather than the new one.
func better(old, next *x509.Certificate, now time.Time) bool {
	return valid(old, now) == nil && valid(next, now) != nil
}

// Start watches the files, and reads them every ten seconds besides: a change of a mounted
// Secret swaps a symbolic link of its folder, and not every file system tells of that.
func (f *Files) Start(ctx context.Context) error {
	if err := f.watcher.Start(ctx); err != nil && ctx.Err() == nil {
		return fmt.Errorf("certificate folder %s: cannot be watched: %w", f.dir, err)
	}
	return nil
}

// GetCertificate returns the pair that is in use.
func (f *Files) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return f.current(), nil
}

// Healthy returns an error while the certificate is expired or not yet valid.
func (f *Files) Healthy() error {
	if err := valid(f.current().Leaf, time.Now()); err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(f.dir, CertFile), err)
	}
	return nil
}

// NotAfter is the end of the certificate's validity.
func (f *Files) NotAfter() time.Time { return f.current().Leaf.NotAfter }

// CABundle is nil: whoever writes the files tells the clients whom to trust.
func (f *Files) CABundle() []byte { return nil }
