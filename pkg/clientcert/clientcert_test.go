package clientcert

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cert-manager/cert-manager/pkg/util/pki"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// authority returns a CA in PEM, and a function that makes a certificate of it.
func authority(t *testing.T) ([]byte, func(name string, use x509.ExtKeyUsage, end time.Time) *x509.Certificate) {
	t.Helper()
	key, err := pki.GenerateECPrivateKey(pki.ECCurve256)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	pem, ca, err := pki.SignCertificate(template, template, key.Public(), key)
	require.NoError(t, err)
	return pem, func(name string, use x509.ExtKeyUsage, end time.Time) *x509.Certificate {
		_, out, err := pki.SignCertificate(&x509.Certificate{
			SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: end,
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{use},
		}, ca, key.Public(), key)
		require.NoError(t, err)
		return out
	}
}

func TestCertificatesThatAreAccepted(t *testing.T) {
	ca, sign := authority(t)
	_, foreign := authority(t)
	later := time.Now().Add(time.Hour)
	file := filepath.Join(t.TempDir(), "ca.crt")
	require.NoError(t, os.WriteFile(file, ca, 0o600))
	good := sign("kube-apiserver", x509.ExtKeyUsageClientAuth, later)
	for name, test := range map[string]struct {
		names  []string
		sent   []*x509.Certificate
		status int
		want   string
	}{
		"of the CA":          {nil, []*x509.Certificate{good}, 0, ""},
		"with its name":      {[]string{"other", "kube-apiserver"}, []*x509.Certificate{good}, 0, ""},
		"none":               {nil, nil, http.StatusUnauthorized, "no client certificate"},
		"another name":       {[]string{"front-proxy", "api"}, []*x509.Certificate{good}, http.StatusForbidden, `that of "kube-apiserver": only front-proxy and api may ask`},
		"another CA":         {nil, []*x509.Certificate{foreign("kube-apiserver", x509.ExtKeyUsageClientAuth, later)}, http.StatusForbidden, "unknown authority"},
		"of a server":        {nil, []*x509.Certificate{sign("kube-apiserver", x509.ExtKeyUsageServerAuth, later)}, http.StatusForbidden, "incompatible key usage"},
		"expired":            {nil, []*x509.Certificate{sign("kube-apiserver", x509.ExtKeyUsageClientAuth, time.Now().Add(-time.Hour))}, http.StatusForbidden, "expired"},
		"a good one beneath": {nil, []*x509.Certificate{foreign("x", x509.ExtKeyUsageClientAuth, later), good}, http.StatusForbidden, "unknown authority"},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := New(file, test.names, slog.New(slog.DiscardHandler))
			require.NoError(t, err)
			status, err := v.Check(&tls.ConnectionState{PeerCertificates: test.sent})
			assert.Equal(t, test.status, status)
			if test.want == "" {
				assert.NoError(t, err)
			} else {
				assert.ErrorContains(t, err, test.want)
			}
		})
	}
	v, err := New(file, nil, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	status, err := v.Check(nil)
	assert.Equal(t, http.StatusUnauthorized, status, "without TLS")
	assert.Error(t, err)
}

func TestTheCAIsReadAgain(t *testing.T) {
	first, one := authority(t)
	second, two := authority(t)
	a := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{one("a", x509.ExtKeyUsageClientAuth, time.Now().Add(time.Hour))}}
	b := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{two("b", x509.ExtKeyUsageClientAuth, time.Now().Add(time.Hour))}}
	file := filepath.Join(t.TempDir(), "ca.crt")
	write := func(content []byte) { require.NoError(t, os.WriteFile(file, content, 0o600)) }
	var log bytes.Buffer

	write([]byte("no PEM"))
	_, err := New(file, nil, slog.New(slog.NewTextHandler(&log, nil)))
	require.ErrorContains(t, err, file)
	write(first)
	v, err := New(file, nil, slog.New(slog.NewTextHandler(&log, nil)))
	require.NoError(t, err)
	accepted := func(c *tls.ConnectionState) bool {
		_, err := v.Check(c)
		return err == nil
	}
	v.reload()
	assert.Empty(t, log.String(), "nothing has changed")
	assert.True(t, accepted(a))
	assert.False(t, accepted(b))

	write([]byte("no PEM"))
	v.reload()
	v.reload()
	assert.Equal(t, 1, bytes.Count(log.Bytes(), []byte("the last good one stays in use")), "it is told once")
	assert.True(t, accepted(a))
	require.NoError(t, os.Remove(file))
	v.reload()
	assert.True(t, accepted(a))

	write(append(first, second...))
	v.reload()
	assert.True(t, accepted(a) && accepted(b))
	write(second)
	v.reload()
	assert.False(t, accepted(a), "a connection that is there already")
	assert.True(t, accepted(b))
}
