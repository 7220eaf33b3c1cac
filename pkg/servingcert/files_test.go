package servingcert_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cert-manager/cert-manager/pkg/util/pki"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/servingcert"
)

// pair is a self-signed certificate and its key, in PEM.
type pair struct{ cert, key []byte }

// newPair makes a certificate for localhost that is valid from start on.
func newPair(t *testing.T, name string, start time.Time, lifetime time.Duration) pair {
	t.Helper()
	key, err := pki.GenerateECPrivateKey(pki.ECCurve256)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"},
		NotBefore: start, NotAfter: start.Add(lifetime),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	cert, _, err := pki.SignCertificate(template, template, key.Public(), key)
	require.NoError(t, err)
	return pair{cert, encodeKey(t, key)}
}

func encodeKey(t *testing.T, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	b, err := pki.EncodePKCS8PrivateKey(key)
	require.NoError(t, err)
	return b
}

// write replaces a file by renaming, so that no reader sees half of it.
func write(t *testing.T, dir, name string, content []byte) {
	t.Helper()
	tmp := filepath.Join(dir, "."+name)
	require.NoError(t, os.WriteFile(tmp, content, 0o600))
	require.NoError(t, os.Rename(tmp, filepath.Join(dir, name)))
}

func writePair(t *testing.T, dir string, p pair) {
	t.Helper()
	write(t, dir, servingcert.CertFile, p.cert)
	write(t, dir, servingcert.KeyFile, p.key)
}

func start(t *testing.T, s servingcert.Source) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-done)
	})
}

func TestFilesReportWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	_, err := servingcert.NewFiles(dir)
	require.ErrorContains(t, err, dir)
	assert.ErrorContains(t, err, "it must hold tls.crt and tls.key")

	write(t, dir, servingcert.CertFile, []byte("no PEM"))
	write(t, dir, servingcert.KeyFile, []byte("no PEM"))
	_, err = servingcert.NewFiles(dir)
	assert.ErrorContains(t, err, dir)
}

func TestFilesHealthFollowsValidity(t *testing.T) {
	for name, test := range map[string]struct {
		start time.Time
		want  string
	}{
		"valid":         {time.Now().Add(-time.Minute), ""},
		"expired":       {time.Now().Add(-2 * time.Hour), "expired at"},
		"not yet valid": {time.Now().Add(time.Hour), "check the clocks"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			writePair(t, dir, newPair(t, "one", test.start, time.Hour))
			s, err := servingcert.NewFiles(dir)
			require.NoError(t, err)
			start(t, s)

			assert.WithinDuration(t, test.start.Add(time.Hour), s.NotAfter(), time.Second)
			assert.Nil(t, s.CABundle())
			if test.want == "" {
				assert.NoError(t, s.Healthy())
			} else {
				assert.ErrorContains(t, s.Healthy(), test.want)
				assert.ErrorContains(t, s.Healthy(), filepath.Join(dir, servingcert.CertFile))
			}
		})
	}
}

// TestFilesWaitUntilANewCertificateIsValid replaces a certificate by one that a clock which is
// ahead has made.
func TestFilesWaitUntilANewCertificateIsValid(t *testing.T) {
	dir := t.TempDir()
	first := newPair(t, "first", time.Now().Add(-time.Minute), time.Hour)
	writePair(t, dir, first)
	s, err := servingcert.NewFiles(dir)
	require.NoError(t, err)
	start(t, s)
	begin := time.Now().Add(3 * time.Second).Truncate(time.Second)
	writePair(t, dir, newPair(t, "second", begin, 2*time.Hour))
	for {
		require.NoError(t, s.Healthy())
		c, err := s.GetCertificate(nil)
		require.NoError(t, err)
		if c.Leaf.Subject.CommonName == "second" {
			break
		}
		require.Less(t, time.Since(begin), 30*time.Second, "the new one is never used")
		time.Sleep(time.Millisecond)
	}
	assert.False(t, time.Now().Before(begin), "it was used too early")
	assert.Equal(t, begin.Add(2*time.Hour).UTC(), s.NotAfter())
}

// TestFilesRotateWithoutAFailedCall shakes hands all the time while the files are replaced,
// one after the other, so that the pair does not fit together in between.
func TestFilesRotateWithoutAFailedCall(t *testing.T) {
	dir := t.TempDir()
	first := newPair(t, "first", time.Now().Add(-time.Minute), time.Hour)
	second := newPair(t, "second", time.Now().Add(-time.Minute), time.Hour)
	writePair(t, dir, first)
	s, err := servingcert.NewFiles(dir)
	require.NoError(t, err)
	start(t, s)

	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetCertificate: s.GetCertificate, MinVersion: tls.VersionTLS13})
	require.NoError(t, err)
	defer func() { assert.NoError(t, listener.Close()) }()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go handshake(conn)
		}
	}()

	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(first.cert))
	require.True(t, pool.AppendCertsFromPEM(second.cert))
	var calls atomic.Int64
	served := func() string {
		conn, err := tls.Dial("tcp", listener.Addr().String(), &tls.Config{RootCAs: pool, ServerName: "localhost", MinVersion: tls.VersionTLS13})
		if !assert.NoError(t, err) {
			return ""
		}
		defer func() { assert.NoError(t, conn.Close()) }()
		calls.Add(1)
		return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
	}

	require.Equal(t, "first", served())
	write(t, dir, servingcert.CertFile, second.cert)
	for range 20 {
		require.Equal(t, "first", served(), "a pair that does not fit together was taken")
	}
	write(t, dir, servingcert.KeyFile, second.key)
	require.Eventually(t, func() bool { return served() == "second" }, 30*time.Second, time.Millisecond)
	assert.Greater(t, calls.Load(), int64(21))
	assert.NoError(t, s.Healthy())
}

// handshake completes the handshake and waits for the client to close.
func handshake(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	_, _ = conn.Read(make([]byte, 1))
}
