package servingcert

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/flowcontrol"
)

const (
	// fieldManager is who has written a caBundle, as kubectl get --show-managed-fields tells.
	fieldManager = "gatewarden-servingcert"
	// maxAuthorities bounds a bundle when CAs are replaced faster than they are forgotten. Replicas
	// take to the newest within seconds.
	maxAuthorities = 8
	// writeTimeout bounds the writing of one configuration.
	writeTimeout = 5 * time.Second
)

// bundler knows which CAs the webhook configurations have to trust, and writes them there.
type bundler struct {
	// keep is how long after the making of a CA leaves of the one before may be shown.
	keep time.Duration
	log  *slog.Logger
	// known are the CAs that were in the Secret since this process has started, by their DER.
	known map[string]*x509.Certificate
	// written is what was written last into each configuration.
	written map[string]string
	// limit slows down a quarrel with somebody who writes the same fields again and again.
	limit flowcontrol.PassiveRateLimiter
	// failed is the error of the last write, to be told once.
	failed string
}

func newBundler(keep time.Duration, log *slog.Logger) bundler {
	return bundler{
		keep: keep, log: log, known: map[string]*x509.Certificate{}, written: map[string]string{},
		limit: flowcontrol.NewTokenBucketPassiveRateLimiter(1, 10),
	}
}

// remember keeps a CA that was in the Secret.
func (b *bundler) remember(ca *x509.Certificate) { b.known[string(ca.Raw)] = ca }

// bundle returns what the configurations have to trust: the CA, and those that it replaced not
// long ago or that replace it. Those are the ones that were in the Secret, and, as another replica
// may have been there to see that, those in the configurations that look like them.
func (b *bundler) bundle(ca *x509.Certificate, configurations []configuration, now time.Time) []byte {
	all := maps.Clone(b.known)
	for _, c := range configurations {
		for _, w := range c.webhooks {
			found, err := cert.ParseCertsPEM([]byte(w.bundle))
			if err != nil {
				continue // somebody has garbled it
			}
			for _, f := range found {
				if f.IsCA && bytes.Equal(f.RawSubject, ca.RawSubject) && f.CheckSignatureFrom(f) == nil {
					all[string(f.Raw)] = f
				}
			}
		}
	}
	delete(all, string(ca.Raw))
	others := slices.SortedFunc(maps.Values(all), func(x, y *x509.Certificate) int {
		if c := y.NotBefore.Compare(x.NotBefore); c != 0 {
			return c
		}
		return bytes.Compare(x.Raw, y.Raw)
	})
	var out bytes.Buffer
	write := func(c *x509.Certificate) {
		_ = pem.Encode(&out, &pem.Block{Type: cert.CertificateBlockType, Bytes: c.Raw}) // a Buffer takes all
	}
	write(ca)
	n := 1
	for _, c := range others {
		replaced := !c.NotBefore.After(ca.NotBefore)
		early := c.NotBefore.After(now.Add(maxSkew)) // it was discarded
		if n == maxAuthorities || early || now.After(c.NotAfter) || replaced && now.After(ca.NotBefore.Add(b.keep)) {
			delete(b.known, string(c.Raw))
			continue
		}
		write(c)
		n++
	}
	return out.Bytes()
}

// write writes the bundle into each webhook of the configurations that has another one.
func (b *bundler) write(ctx context.Context, bundle []byte, configurations []configuration) {
	for _, c := range configurations {
		patch := []operation{{Op: "test", Path: "/metadata/resourceVersion", Value: c.version}}
		for i, w := range c.webhooks {
			if w.bundle != string(bundle) {
				// Adding what is there replaces it. In JSON bytes are in base64.
				patch = append(patch, operation{"add", fmt.Sprintf("/webhooks/%d/clientConfig/caBundle", i), bundle})
			}
		}
		if len(patch) == 1 || !b.limit.TryAccept() {
			continue
		}
		b.apply(ctx, c, patch, string(bundle))
	}
}

// operation is one of a JSON patch.
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

func (b *bundler) apply(ctx context.Context, c configuration, patch []operation, bundle string) {
	raw, err := json.Marshal(patch)
	if err == nil {
		writing, cancel := context.WithTimeout(ctx, writeTimeout)
		err = c.patch(writing, raw)
		cancel()
	}
	switch {
	case err == nil:
		b.failed = ""
		if b.written[c.String()] == bundle {
			b.log.Warn("somebody had changed the caBundle of gatewarden's webhooks: it was written again",
				"configuration", c.String(), "webhooks", len(patch)-1)
		} else {
			b.log.Info("the caBundle was written", "configuration", c.String(), "webhooks", len(patch)-1)
		}
		b.written[c.String()] = bundle
	case ctx.Err() != nil, apierrors.IsConflict(err), apierrors.IsInvalid(err), apierrors.IsNotFound(err):
		// It has changed or is gone. The watch tells soon, and then it is looked at again.
	default:
		if err.Error() != b.failed {
			b.log.Error("the caBundle can not be written: the API server will not trust the next certificate",
				"configuration", c.String(), "problem", err.Error())
		}
		b.failed = err.Error()
	}
}
