package servingcert_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/servingcert"
)

// verify checks the current certificate as a client does.
func verify(t *testing.T, s servingcert.Source, bundle []byte, host string) *x509.Certificate {
	t.Helper()
	cert, err := s.GetCertificate(nil)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(bundle))
	_, err = cert.Leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: host, CurrentTime: time.Now()})
	require.NoError(t, err, host)
	return cert.Leaf
}

func TestSelfSignedIsValidForItsHostsOnly(t *testing.T) {
	s, err := servingcert.NewSelfSigned([]string{"localhost", "gatewarden.gatewarden.svc", "127.0.0.1", "::1"}, 0)
	require.NoError(t, err)

	for _, host := range []string{"localhost", "gatewarden.gatewarden.svc", "127.0.0.1", "::1"} {
		verify(t, s, s.CABundle(), host)
	}
	cert, err := s.GetCertificate(nil)
	require.NoError(t, err)
	assert.Error(t, cert.Leaf.VerifyHostname("elsewhere.example.com"))
	assert.False(t, cert.Leaf.IsCA)
	assert.Equal(t, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, cert.Leaf.ExtKeyUsage)
	assert.NoError(t, s.Healthy())
	assert.WithinDuration(t, time.Now().Add(servingcert.DefaultLifetime), s.NotAfter(), time.Minute)
}

func TestSelfSignedRefusesBadHosts(t *testing.T) {
	_, err := servingcert.NewSelfSigned(nil, 0)
	assert.ErrorContains(t, err, "no host")
	_, err = servingcert.NewSelfSigned([]string{"localhost", ""}, 0)
	assert.ErrorContains(t, err, "empty host")
	for _, host := range []string{"bad host!", "localhost:9443", "https://localhost", "a..b", "*", "a.*.b"} {
		_, err = servingcert.NewSelfSigned([]string{host}, 0)
		assert.ErrorContains(t, err, fmt.Sprintf("host %q is neither a DNS name nor an IP address", host))
	}
	for _, host := range []string{"localhost", "LocalHost", "*.example.com", "fe80::1", "xn--bcher-kva.example"} {
		_, err = servingcert.NewSelfSigned([]string{host}, 0)
		assert.NoError(t, err)
	}
}

func TestSelfSignedRenewsAtTwoThirdsUnderOneCA(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := servingcert.NewSelfSigned([]string{"localhost"}, 90*time.Hour)
		require.NoError(t, err)
		bundle := s.CABundle()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Start(ctx) }()

		first := verify(t, s, bundle, "localhost")
		<-time.After(59 * time.Hour)
		assert.Equal(t, first.Raw, verify(t, s, bundle, "localhost").Raw, "renewed too early")
		<-time.After(2 * time.Hour)
		synctest.Wait()
		second := verify(t, s, bundle, "localhost")
		assert.NotEqual(t, first.Raw, second.Raw, "not renewed")
		assert.NotEqual(t, first.PublicKey, second.PublicKey, "the key was kept")
		<-time.After(1000 * time.Hour)
		synctest.Wait()
		verify(t, s, bundle, "localhost")
		assert.NoError(t, s.Healthy())

		cancel()
		assert.NoError(t, <-done)
	})
}

func TestSelfSignedIsUnhealthyWhenNobodyRenewsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := servingcert.NewSelfSigned([]string{"localhost"}, time.Hour)
		require.NoError(t, err)
		<-time.After(time.Hour)
		assert.ErrorContains(t, s.Healthy(), "expired at 2000-01-01T01:00:00Z")
	})
}
