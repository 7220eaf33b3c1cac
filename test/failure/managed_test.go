package failure_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"testing"
	"time"

	cmapi "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/cert"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gatewarden/gatewarden/pkg/report"
	"github.com/gatewarden/gatewarden/pkg/servingcert"
	"github.com/gatewarden/gatewarden/test/apiserver"
)

// managed starts two replicas that make their certificates themselves, from nothing: neither the
// Secret nor a caBundle is there before.
func managed(t *testing.T, args ...string) ([]*replica, *apiserver.Stream) {
	t.Helper()
	r := apiserver.Replica{Arguments: args}
	return managedBy(t, r, r)
}

// managedBy is managed with replicas that may differ.
func managedBy(t *testing.T, replicas ...apiserver.Replica) ([]*replica, *apiserver.Stream) {
	t.Helper()
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		require.NoError(t, server.Uninstall(ctx))
		require.NoError(t, server.Client().Delete(ctx, secret()))
	})
	require.NoError(t, server.InstallUntrusting(t.Context()))
	for i := range replicas {
		replicas[i].Arguments = append([]string{"--self-managed", "--self-managed-host", "localhost"}, replicas[i].Arguments...)
	}
	started, balancer := guards(t, server, replicas...)
	ready(t, balancer, 2)
	require.NoError(t, server.WaitUntilJudged(t.Context()))
	return started, stream(t, server)
}

func secret() *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: apiserver.Namespace, Name: servingcert.AuthoritySecret}}
}

// authority is the CA in the Secret, or empty while there is none.
func authority(t *testing.T) string {
	t.Helper()
	s := secret()
	require.NoError(t, client.IgnoreNotFound(server.Client().Get(t.Context(), client.ObjectKeyFromObject(s), s)))
	return string(s.Data[corev1.TLSCertKey])
}

// trusted waits until all webhooks trust exactly the CAs, in this order.
func trusted(t *testing.T, authorities ...string) {
	t.Helper()
	want := ""
	for _, a := range authorities {
		want += a
	}
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		bundles, err := server.CABundles(context.Background())
		assert.NoError(t, err)
		assert.NotEmpty(t, bundles)
		for name, bundle := range bundles {
			assert.Equal(t, want, bundle, name)
		}
	}, patience, poll)
}

// newCA waits for another CA in the Secret, and until every replica shows another leaf, which is
// of that one.
func newCA(t *testing.T, old string, replicas []*replica) string {
	t.Helper()
	require.Eventually(t, func() bool { a := authority(t); return a != "" && a != old }, patience, poll)
	current := authority(t)
	trusted(t, current, old)
	for _, r := range replicas {
		require.Eventually(t, func() bool { return signed(t, served(t, r), current) }, patience, poll)
	}
	return current
}

// TestManagedRotates lives through a CA and several leaves, which are made to be short. No call
// fails, nor does any new connection.
func TestManagedRotates(t *testing.T) {
	replicas, requests := managed(t, "--certificate-duration", "15s", "--ca-duration", "45s")
	shake := handshakes(t, server, "localhost", replicas...)
	first := authority(t)
	for _, r := range replicas {
		leaf := served(t, r)
		require.Eventually(t, func() bool { return string(served(t, r)) != string(leaf) }, patience, poll, "the leaf is not renewed")
	}
	second := newCA(t, first, replicas)
	judged(t, requests)
	trusted(t, second) // the old one is forgotten when no leaf of it can be shown any more
	judged(t, requests)
	none(t, requests)
	shake()
}

// TestManagedHeals takes away what the replicas have made.
func TestManagedHeals(t *testing.T) {
	replicas, requests := managed(t)
	shake := handshakes(t, server, "localhost", replicas...)
	first := authority(t)
	trusted(t, first)

	// Another CA takes the place of one that was removed or garbled. No call fails.
	require.NoError(t, server.Client().Delete(t.Context(), secret()))
	second := newCA(t, first, replicas)
	for _, r := range replicas {
		tells(t, r, second, first)
	}
	judged(t, requests)
	garbled := secret()
	require.NoError(t, server.Client().Get(t.Context(), client.ObjectKeyFromObject(garbled), garbled))
	garbled.Data[corev1.TLSPrivateKeyKey] = []byte("no key")
	require.NoError(t, server.Client().Update(t.Context(), garbled))
	require.Eventually(t, func() bool { return authority(t) != second }, patience, poll)
	third := authority(t)
	trusted(t, third, second, first)
	for _, r := range replicas {
		require.Eventually(t, func() bool { return signed(t, served(t, r), third) }, patience, poll)
	}
	judged(t, requests)
	none(t, requests)
	shake()

	// Without a caBundle the API server calls nobody, until it is there again.
	for _, bundle := range []string{"no PEM", "", first} {
		before := requests.Tally()
		start := time.Now()
		require.NoError(t, server.SetCABundle(t.Context(), []byte(bundle)))
		trusted(t, third, second, first)
		healed := time.Now()
		judged(t, requests)
		for _, o := range requests.Tally().Others[len(before.Others):] {
			assert.Equal(t, apiserver.Unjudged, o.Verdict, o)
			assert.True(t, o.End.After(start) && o.Start.Before(healed.Add(time.Second)), "%s: healed at %s", o, healed)
		}
		t.Logf("%d requests were refused in the %s without a caBundle", len(requests.Tally().Others)-len(before.Others), healed.Sub(start).Round(time.Millisecond))
	}
}

// TestManagedDiscardsACAFromTheFuture has the Secret hold a CA that is not valid for days, as it is when all clocks
// were ahead. Another one takes its place, and no call fails.
func TestManagedDiscardsACAFromTheFuture(t *testing.T) {
	replicas, requests := managed(t)
	shake := handshakes(t, server, "localhost", replicas...)
	first := authority(t)
	certificate, key := selfSigned(t, cmapi.CertificateSpec{
		CommonName: "gatewarden-ca", Usages: []cmapi.KeyUsage{cmapi.UsageDigitalSignature, cmapi.UsageCertSign},
	}, time.Now().Add(10*day), time.Now().Add(400*day))
	early := secret()
	require.NoError(t, server.Client().Get(t.Context(), client.ObjectKeyFromObject(early), early))
	early.Data = map[string][]byte{corev1.TLSCertKey: certificate, corev1.TLSPrivateKeyKey: key, corev1.ServiceAccountRootCAKey: certificate}
	require.NoError(t, server.Client().Update(t.Context(), early))
	var current string
	require.Eventually(t, func() bool {
		current = authority(t)
		return current != "" && current != string(certificate)
	}, patience, poll, "it is kept")
	trusted(t, current, first)
	for _, r := range replicas {
		require.Eventually(t, func() bool { return signed(t, served(t, r), current) }, patience, poll)
	}
	judged(t, requests)
	none(t, requests)
	shake()
}

// tells demands that the status of a replica has the certificate that it shows, and the CAs that are to
// be trusted, in this order.
func tells(t *testing.T, r *replica, authorities ...string) {
	t.Helper()
	parse := func(text string) *x509.Certificate {
		certificates, err := cert.ParseCertsPEM([]byte(text))
		require.NoError(t, err)
		return certificates[0]
	}
	var want []report.AuthorityStatus
	for _, a := range authorities {
		ca := parse(a)
		want = append(want, report.AuthorityStatus{
			SHA256: fmt.Sprintf("%x", sha256.Sum256(ca.Raw)), NotBefore: ca.NotBefore.UTC(), NotAfter: ca.NotAfter.UTC(),
		})
	}
	leaf := parse(string(served(t, r)))
	body := r.beside(t, "/statusz?format=json")
	var got report.Status
	require.NoError(t, json.Unmarshal([]byte(body), &got), body)
	assert.Equal(t, report.CertificateStatus{
		Mode: "self-managed", NotBefore: ptr.To(leaf.NotBefore.UTC()), NotAfter: ptr.To(leaf.NotAfter.UTC()), Authorities: want,
	}, got.Certificate)
	assert.NotContains(t, body, "PRIVATE KEY")
	text := r.beside(t, "/statusz")
	assert.Contains(t, text, "self-managed, expires "+leaf.NotAfter.UTC().Format(time.RFC3339))
	assert.Contains(t, text, "CA sha256 "+want[0].SHA256+", expires "+want[0].NotAfter.Format(time.RFC3339))
}

// metricsLine is what a replica says when it is ready.
var metricsLine = regexp.MustCompile(`metrics: (\S+)/metrics\n`)

// beside returns what a path beside /metrics shows.
func (r *replica) beside(t *testing.T, path string) string {
	t.Helper()
	m := metricsLine.FindStringSubmatch(r.log.String())
	require.NotNil(t, m, "it is not ready")
	response, err := http.Get(m[1] + path)
	require.NoError(t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return string(body)
}

// TestManagedWaitsForPermissions starts a replica in a namespace whose Secrets it may not read. It says
// so, and is not restarted by a kubelet for that.
func TestManagedWaitsForPermissions(t *testing.T) {
	r := launch(t, server, apiserver.Replica{Arguments: []string{"--self-managed", "--namespace", "default"}})
	clients := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	get := func(t require.TestingT, path string) (int, string) {
		response, err := clients.Get("https://" + r.Address + path)
		require.NoError(t, err)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		return response.StatusCode, string(body)
	}
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		status, body := get(t, "/readyz")
		assert.Equal(t, http.StatusServiceUnavailable, status)
		assert.Contains(t, body, "there is no serving certificate (yet): the Secret default/gatewarden-authority can not be watched: ")
		assert.Contains(t, body, "forbidden")
	}, patience, poll)
	status, body := get(t, "/healthz")
	assert.Equal(t, http.StatusOK, status, body)
}
