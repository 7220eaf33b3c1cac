package failure_test

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cmapi "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/servingcert"
	"github.com/gatewarden/gatewarden/test/apiserver"
)

// pair is a certificate for the address of the guard, its key, and what signed it, in PEM.
type pair struct{ cert, key, ca []byte }

func newPair(t *testing.T, lifetime time.Duration) pair {
	t.Helper()
	source, err := servingcert.NewSelfSigned([]string{"127.0.0.1"}, lifetime)
	require.NoError(t, err)
	made, err := source.GetCertificate(nil)
	require.NoError(t, err)
	key, err := x509.MarshalPKCS8PrivateKey(made.PrivateKey)
	require.NoError(t, err)
	return pair{
		cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: made.Certificate[0]}),
		key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
		ca:   source.CABundle(),
	}
}

// pairFor is a pair that is valid from a time to another one.
func pairFor(t *testing.T, from, to time.Time) pair {
	t.Helper()
	certificate, key := selfSigned(t, cmapi.CertificateSpec{
		CommonName: "gatewarden", IPAddresses: []string{"127.0.0.1"},
		Usages: []cmapi.KeyUsage{cmapi.UsageServerAuth, cmapi.UsageDigitalSignature, cmapi.UsageCertSign},
	}, from, to)
	return pair{certificate, key, certificate}
}

// mounted is a folder like that of a mounted Secret: its files are links into a folder, which is a
// link by itself and changes in one step.
type mounted struct{ dir string }

func (m mounted) set(t *testing.T, p pair) {
	t.Helper()
	version, err := os.MkdirTemp(m.dir, "..")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(version, servingcert.CertFile), p.cert, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(version, servingcert.KeyFile), p.key, 0o600))
	next := filepath.Join(m.dir, "..next")
	require.NoError(t, os.Symlink(filepath.Base(version), next))
	require.NoError(t, os.Rename(next, filepath.Join(m.dir, "..data")))
	for _, file := range []string{servingcert.CertFile, servingcert.KeyFile} {
		if link := filepath.Join(m.dir, file); !exists(link) {
			require.NoError(t, os.Symlink(filepath.Join("..data", file), link))
		}
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// TestFilesRotate replaces the certificate and its CA in the files of two replicas: in one step, as
// a kubelet does, and one file after the other. No call fails.
func TestFilesRotate(t *testing.T) {
	first, second := newPair(t, time.Hour), newPair(t, time.Hour)
	secret, folder := mounted{t.TempDir()}, t.TempDir()
	secret.set(t, first)
	replace := func(name string, content []byte) {
		next := filepath.Join(folder, "next")
		require.NoError(t, os.WriteFile(next, content, 0o600))
		require.NoError(t, os.Rename(next, filepath.Join(folder, name)))
	}
	replace(servingcert.CertFile, first.cert)
	replace(servingcert.KeyFile, first.key)
	replicas, balancer := guards(t, server,
		apiserver.Replica{Arguments: []string{"--cert-dir", secret.dir}},
		apiserver.Replica{Arguments: []string{"--cert-dir", folder}},
	)
	ready(t, balancer, 2)
	trusting(t, server, first.ca)
	requests := stream(t, server)
	shake := handshakes(t, server, "127.0.0.1", replicas...)

	// The API server has to trust both before the first one shows the second.
	require.NoError(t, server.SetCABundle(t.Context(), append(first.ca, second.ca...)))
	judged(t, requests)
	replace(servingcert.CertFile, second.cert)
	secret.set(t, second)
	judged(t, requests)
	assert.Equal(t, first.cert, served(t, replicas[1]), "a pair that does not fit together was taken")
	replace(servingcert.KeyFile, second.key)
	for _, r := range replicas {
		require.Eventually(t, func() bool { return string(served(t, r)) == string(second.cert) }, patience, poll)
	}
	judged(t, requests)
	require.NoError(t, server.SetCABundle(t.Context(), second.ca))
	judged(t, requests)
	none(t, requests)
	shake()
}

// TestTheCertificateRunsOut lets a certificate expire that nobody renews. The replicas say that they
// are not ready, and why; what is guarded can not be changed until there is another certificate.
func TestTheCertificateRunsOut(t *testing.T) {
	short, next := newPair(t, 30*time.Second), newPair(t, time.Hour)
	end := time.Now().Add(30 * time.Second)
	secret := mounted{t.TempDir()}
	secret.set(t, short)
	args := []string{"--cert-dir", secret.dir}
	replicas, balancer := guards(t, server, apiserver.Replica{Arguments: args}, apiserver.Replica{Arguments: args})
	ready(t, balancer, 2)
	trusting(t, server, append(short.ca, next.ca...))
	requests := stream(t, server)
	none(t, requests)
	ready(t, balancer, 0)
	for _, r := range replicas {
		require.Eventually(t, func() bool { return strings.Contains(r.log.String(), "the serving certificate expired at") }, patience, poll)
	}
	secret.set(t, next)
	ready(t, balancer, 2)
	mended := time.Now()
	judged(t, requests)
	within(t, requests.Tally().Others, end.Add(-time.Second), mended) // certificates end at a whole second
	assert.NotEmpty(t, requests.Tally().Others)
}
