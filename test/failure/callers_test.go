package failure_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cmapi "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/cert-manager/cert-manager/pkg/util/pki"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/test/apiserver"
)

// The files by which an API server is told which client certificate to send to webhooks, as
// deploy/README.md has them.
const (
	admissionConfiguration = `apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: ValidatingAdmissionWebhook
  configuration: &webhooks
    apiVersion: apiserver.config.k8s.io/v1
    kind: WebhookAdmissionConfiguration
    kubeConfigFile: %[1]s
- name: MutatingAdmissionWebhook
  configuration: *webhooks
`
	webhookKubeconfig = `apiVersion: v1
kind: Config
users:
- name: %q
  user:
    client-certificate: %s
    client-key: %s
`
)

// clientPair is a self-signed client certificate and its key, in PEM.
func clientPair(t *testing.T, name string) (certificate, key []byte) {
	t.Helper()
	return selfSigned(t, cmapi.CertificateSpec{
		CommonName: name, Usages: []cmapi.KeyUsage{cmapi.UsageClientAuth, cmapi.UsageDigitalSignature, cmapi.UsageCertSign},
	}, time.Now().Add(-time.Minute), time.Now().Add(time.Hour))
}

// selfSigned makes a certificate that is a CA, too, valid from a time to another one, and its key, in PEM.
func selfSigned(t *testing.T, spec cmapi.CertificateSpec, from, to time.Time) (certificate, key []byte) {
	t.Helper()
	private, err := pki.GenerateECPrivateKey(pki.ECCurve256)
	require.NoError(t, err)
	spec.IsCA, spec.PrivateKey = true, &cmapi.CertificatePrivateKey{Algorithm: cmapi.ECDSAKeyAlgorithm, Size: pki.ECCurve256}
	template, err := pki.CertificateTemplateFromCertificate(&cmapi.Certificate{Spec: spec})
	require.NoError(t, err)
	template.NotBefore, template.NotAfter = from, to
	certificate, _, err = pki.SignCertificate(template, template, private.Public(), private)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	return certificate, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// presenting starts an API server that sends webhooks a client certificate, which is valid for an hour. It
// returns the file with its CA.
func presenting(t *testing.T) (s *apiserver.Server, trust string) {
	t.Helper()
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, content, 0o600))
		return path
	}
	certificate, key := clientPair(t, "kube-apiserver-webhooks")
	trust = file("ca.crt", certificate)
	kubeconfig := file("kubeconfig", fmt.Appendf(nil, webhookKubeconfig, "*", file("client.crt", certificate), file("client.key", key)))
	s, err := apiserver.Start(t.Context(), apiserver.Options{RequestTimeout: 5 * time.Second, Flags: map[string]string{
		"admission-control-config-file": file("admission.yaml", fmt.Appendf(nil, admissionConfiguration, kubeconfig)),
	}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop()) })
	return s, trust
}

// TestOnlyTheAPIServerMayAsk gives the API server a client certificate, and gatewarden its CA.
func TestOnlyTheAPIServerMayAsk(t *testing.T) {
	s, trust := presenting(t)
	certificate, err := os.ReadFile(trust)
	require.NoError(t, err)
	args := []string{"--cert-dir", s.GuardCertDir(), "--client-ca-file", trust, "--client-cn", "kube-apiserver-webhooks"}
	replicas, balancer := guards(t, s, apiserver.Replica{Arguments: args})
	ready(t, balancer, 1) // as a kubelet sees it, which has no certificate
	trusting(t, s, s.GuardCA())
	requests := stream(t, s)

	foreign, foreignKey := clientPair(t, "kube-apiserver-webhooks")
	stranger, err := tls.X509KeyPair(foreign, foreignKey)
	require.NoError(t, err)
	for name, test := range map[string]struct {
		sent   []tls.Certificate
		path   string
		status int
		want   string
	}{
		"nobody":                 {nil, "/validate", http.StatusUnauthorized, "there is no client certificate"},
		"nobody, to mutate":      {nil, "/mutate", http.StatusUnauthorized, "there is no client certificate"},
		"a stranger":             {[]tls.Certificate{stranger}, "/validate", http.StatusForbidden, "unknown authority"},
		"a probe":                {nil, "/readyz", http.StatusOK, "ok"},
		"a probe of a stranger":  {[]tls.Certificate{stranger}, "/healthz", http.StatusOK, "ok"},
		"an unusual path to ask": {nil, "//validate", http.StatusUnauthorized, "there is no client certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: test.sent}}
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport}
			response, err := client.Post("https://"+replicas[0].Address+test.path, "application/json", strings.NewReader("{}"))
			require.NoError(t, err)
			body, err := io.ReadAll(response.Body)
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			assert.Equal(t, test.status, response.StatusCode)
			assert.Contains(t, string(body), test.want)
		})
	}
	judged(t, requests)
	none(t, requests)

	// Another CA: what the API server sends is not accepted any more, on a connection that is
	// there already, and it is said so.
	require.NoError(t, os.WriteFile(trust, foreign, 0o600))
	require.Eventually(t, func() bool { return len(requests.Tally().Of(apiserver.Unjudged)) > 0 }, patience, poll)
	assert.Contains(t, requests.Tally().Of(apiserver.Unjudged)[0].Err.Error(), "the client certificate of \"kube-apiserver-webhooks\" is not accepted")
	require.NoError(t, os.WriteFile(trust, append(foreign, certificate...), 0o600))
	require.Eventually(t, func() bool { return strings.Count(replicas[0].log.String(), "was read again") == 2 }, patience, poll)
	judged(t, requests)
	assert.Len(t, requests.Tally().Others, len(requests.Tally().Of(apiserver.Unjudged)))
}
