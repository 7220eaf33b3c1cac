package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cert-manager/cert-manager/pkg/util/pki"
	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"

	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/servingcert"
)

const (
	// patience bounds what a test waits for. Nothing takes that long unless it is broken.
	patience = 30 * time.Second
	poll     = 2 * time.Millisecond
	repo     = "../.."
)

// output is a buffer that is read while it is written.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// served is a running serve command.
type served struct {
	t        *testing.T
	client   *http.Client
	url      string
	metrics  string
	out, err *output
	stop     context.CancelFunc // as a signal does
	done     chan error
}

var readyLine = regexp.MustCompile(`gatewarden is ready: serving at (https://\S+), metrics: (\S+)\n`)

// serve runs the command until the end of the test. Only ready is waited for if ca is not
// empty: it is the file with what the client trusts.
func serve(t *testing.T, ca string, args ...string) *served {
	t.Helper()
	var o serveOptions
	cmd := &cobra.Command{}
	o.bind(cmd)
	require.NoError(t, cmd.ParseFlags(append([]string{"--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"}, args...)))
	require.NoError(t, o.validate())
	ctx, stop := context.WithCancel(t.Context())
	s := &served{t: t, out: &output{}, err: &output{}, stop: stop, done: make(chan error, 1)}
	go func() { s.done <- runServe(ctx, streams{In: strings.NewReader(""), Out: s.out, Err: s.err}, o) }()
	t.Cleanup(func() {
		stop()
		assert.NoError(t, s.wait())
	})
	if ca != "" {
		s.await()
		s.client = trusting(t, ca)
	}
	return s
}

// wait returns how the command ended. It may be called again.
func (s *served) wait() error {
	select {
	case err := <-s.done:
		s.done <- err
		return err
	case <-time.After(patience):
		return fmt.Errorf("the command does not end: %s", s.err)
	}
}

// await waits for the line that says "ready".
func (s *served) await() {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		m := readyLine.FindStringSubmatch(s.err.String())
		if m != nil {
			s.url, s.metrics = m[1], m[2]
		}
		return m != nil
	}, patience, poll, "not ready")
}

// trusting makes a client that trusts the certificates of a file.
func trusting(t *testing.T, ca string) *http.Client {
	t.Helper()
	content, err := os.ReadFile(ca)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(content))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

func (s *served) get(path string) (int, string) {
	s.t.Helper()
	response, err := s.client.Get(s.url + path)
	require.NoError(s.t, err)
	defer func() { assert.NoError(s.t, response.Body.Close()) }()
	return answerOf(s.t, response)
}

func (s *served) post(path, contentType, body string) (int, string) {
	s.t.Helper()
	response, err := s.client.Post(s.url+path, contentType, strings.NewReader(body))
	require.NoError(s.t, err)
	defer func() { assert.NoError(s.t, response.Body.Close()) }()
	return answerOf(s.t, response)
}

func answerOf(t *testing.T, response *http.Response) (int, string) {
	t.Helper()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(body)
}

func example(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(repo, examplesDir, file))
	require.NoError(t, err)
	return string(content)
}

// judged posts a review and returns the verdict.
func (s *served) judged(body string) *admissionv1.AdmissionResponse {
	s.t.Helper()
	status, answer := s.post("/validate", "application/json", body)
	require.Equal(s.t, http.StatusOK, status, answer)
	var review admissionv1.AdmissionReview
	require.NoError(s.t, json.Unmarshal([]byte(answer), &review))
	require.NotNil(s.t, review.Response)
	return review.Response
}

// onADesk are the arguments of a server without a cluster, and the file of its CA.
func onADesk(t *testing.T) (string, []string) {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.crt")
	return ca, []string{"--self-signed", "--ca-file", ca, "--cluster", filepath.Join(repo, "examples/deploykf")}
}

// scrape returns what /metrics shows.
func (s *served) scrape() string {
	s.t.Helper()
	response, err := http.Get(s.metrics)
	require.NoError(s.t, err)
	defer func() { assert.NoError(s.t, response.Body.Close()) }()
	_, body := answerOf(s.t, response)
	return body
}

func TestServeAudits(t *testing.T) {
	ca, args := onADesk(t)
	thief := filepath.Join(t.TempDir(), "thief.yaml")
	require.NoError(t, os.WriteFile(thief, []byte(`
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: thief, namespace: team-a}
spec:
  selector: {app: deploykf-gateway}
  servers:
  - {port: {name: https, number: 443, protocol: HTTPS}, hosts: ["deploykf.example.com"], tls: {mode: SIMPLE, credentialName: own}}
`), 0o600))
	s := serve(t, ca, append(args, "--cluster", thief)...)
	require.Eventually(t, func() bool {
		return strings.Contains(s.scrape(), `gatewarden_audit_findings{effect="deny",namespace="team-a",rule="GWD201"} 1`)
	}, patience, 20*poll)
	assert.Contains(t, s.scrape(), "gatewarden_audit_gaps 0\n")
	assert.Contains(t, s.err.String(), `"msg":"found","effect":"deny","object":"Gateway team-a/thief","finding":"GWD201 host-conflict: `)
}

func TestServeAuditsNothingIfToldSo(t *testing.T) {
	ca, args := onADesk(t)
	s := serve(t, ca, append(args, "--audit-interval", "0")...)
	// Longer than an audit takes to begin. Not assert.Never: it does not wait for its condition, which
	// then asks a server that has ended.
	for range 20 {
		require.NotContains(t, s.scrape(), "gatewarden_audit_")
		time.Sleep(50 * poll)
	}
}

func TestServeEndToEnd(t *testing.T) {
	t.Chdir(repo) // where "make run" runs it
	ca := filepath.Join(t.TempDir(), "ca.crt")
	s := serve(t, ca, "--self-signed", "--ca-file", ca, "--cluster", "examples/deploykf", "--print-examples")

	content := func(path string) string {
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		return string(b)
	}
	assert.True(t, s.judged(content("examples/requests/allowed.json")).Allowed)
	denied := s.judged(content("examples/requests/denied.json"))
	assert.False(t, denied.Allowed)
	assert.Contains(t, denied.Result.Message, "deploykf.example.com")
	assert.EqualValues(t, "6f1c2b9e-0c5b-4f0e-9a53-0a2f3e1d7c02", denied.UID)

	for _, path := range []string{"/healthz", "/readyz"} {
		status, body := s.get(path)
		assert.Equal(t, http.StatusOK, status)
		assert.Equal(t, "ok\n", body)
	}
	response, err := http.Get(s.metrics)
	require.NoError(t, err)
	defer func() { assert.NoError(t, response.Body.Close()) }()
	_, metrics := answerOf(t, response)
	for _, want := range []string{
		`gatewarden_admission_requests_total{decision="denied",endpoint="validate",kind="Gateway",operation="CREATE"} 1`,
		`gatewarden_admission_requests_total{decision="allowed",endpoint="validate",kind="Gateway",operation="CREATE"} 1`,
		"gatewarden_ready 1\n", "gatewarden_synced 1\n", "gatewarden_snapshot_generation 1\n",
		`gatewarden_snapshot_objects{kind="Gateway"} 2`, `gatewarden_snapshot_objects{kind="Pod"} 0`,
		"gatewarden_certificate_not_after_seconds 1.", "gatewarden_certificate_not_before_seconds 1.", "gatewarden_config_last_reload_successful 1\n",
	} {
		assert.Contains(t, metrics, want)
	}
	assert.Equal(t, 2, strings.Count(s.out.String(), "curl -sS --cacert "+ca+" "))
	assert.Contains(t, s.out.String(), "@examples/requests/denied.json "+s.url+"/validate\n")
	assert.Contains(t, s.err.String(), `"decision":"denied"`)
	info, err := os.Stat(ca)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o644), info.Mode().Perm())

	s.stop()
	assert.NoError(t, s.wait())
	_, err = net.Dial("tcp", strings.TrimPrefix(s.url, "https://"))
	assert.Error(t, err, "still listening")
}

func TestServeAnswersBadRequestsOverTLS(t *testing.T) {
	ca, args := onADesk(t)
	s := serve(t, ca, args...)
	for name, test := range map[string]struct {
		contentType, body string
		status            int
		want              string
	}{
		"no JSON":    {"application/json", "x", 400, "body: is not valid JSON at byte 1"},
		"no request": {"application/json", `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`, 400, "request: is missing"},
		"too large":  {"application/json", strings.Repeat(" ", 8<<20), 413, "body: is larger than 7340032 bytes"},
		"YAML":       {"application/yaml", "a: b", 415, `Content-Type "application/yaml" is not supported`},
	} {
		t.Run(name, func(t *testing.T) {
			for _, path := range []string{"/validate", "/mutate"} {
				status, body := s.post(path, test.contentType, test.body)
				assert.Equal(t, test.status, status)
				assert.Contains(t, body, test.want)
				assert.Equal(t, 1, strings.Count(body, "\n"))
			}
		})
	}
	status, body := s.get("/validate")
	assert.Equal(t, http.StatusMethodNotAllowed, status)
	assert.Equal(t, "method GET is not allowed: use POST\n", body)
}

func TestServeAcceptsTLS13OnlyUnlessTold(t *testing.T) {
	dial := func(s *served, ca string) error {
		config := trusting(t, ca).Transport.(*http.Transport).TLSClientConfig
		config.MaxVersion = tls.VersionTLS12
		conn, err := tls.Dial("tcp", strings.TrimPrefix(s.url, "https://"), config)
		if err == nil {
			assert.NoError(t, conn.Close())
		}
		return err
	}
	ca, args := onADesk(t)
	assert.ErrorContains(t, dial(serve(t, ca, args...), ca), "protocol version")
	assert.NoError(t, dial(serve(t, ca, append(args, "--tls-min-version", "1.2")...), ca))
}

// TestServeIsUnreadyUntilSynced serves beside an API server that does not answer.
func TestServeIsUnreadyUntilSynced(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close()) // whoever connects is refused
	dir := t.TempDir()
	kubeconfig := filepath.Join(dir, "kubeconfig")
	require.NoError(t, os.WriteFile(kubeconfig, fmt.Appendf(nil,
		"apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n"+
			"clusters: [{name: c, cluster: {server: 'http://%s'}}]\nusers: [{name: u, user: {}}]\n", listener.Addr()), 0o600))
	ca := filepath.Join(dir, "ca.crt")
	port, err := freePort("127.0.0.1")
	require.NoError(t, err)
	s := serve(t, "", "--self-signed", "--ca-file", ca, "--kubeconfig", kubeconfig, "--listen", fmt.Sprintf("127.0.0.1:%d", port))
	s.url = fmt.Sprintf("https://127.0.0.1:%d", port)

	require.Eventually(t, func() bool { _, err := os.Stat(ca); return err == nil }, patience, poll)
	s.client = trusting(t, ca)
	require.Eventually(t, func() bool {
		response, err := s.client.Get(s.url + "/healthz")
		if err != nil {
			return false
		}
		defer func() { assert.NoError(t, response.Body.Close()) }()
		status, _ := answerOf(t, response)
		return status == http.StatusOK
	}, patience, poll, "not alive")
	require.Eventually(t, func() bool {
		_, body := s.get("/readyz")
		return strings.Contains(body, "connection refused")
	}, patience, poll, "the reason is not told")

	status, body := s.get("/readyz")
	assert.Equal(t, http.StatusServiceUnavailable, status)
	assert.True(t, strings.HasPrefix(body, "not ready: the cluster cannot be asked which kinds it serves: "), body)
	for _, path := range []string{"/validate", "/mutate"} {
		status, body = s.post(path, "application/json", example(t, "denied.json"))
		assert.Equal(t, http.StatusServiceUnavailable, status, body)
	}
	assert.NotContains(t, s.err.String(), "is ready")
}

// newCertificate makes a folder's files, and returns the CA that signed them.
func newCertificate(t *testing.T) (cert, key, ca []byte) {
	t.Helper()
	source, err := servingcert.NewSelfSigned([]string{"127.0.0.1"}, 0)
	require.NoError(t, err)
	pair, err := source.GetCertificate(nil)
	require.NoError(t, err)
	cert, err = pki.EncodeX509(pair.Leaf)
	require.NoError(t, err)
	key, err = pki.EncodePKCS8PrivateKey(pair.PrivateKey)
	require.NoError(t, err)
	return cert, key, source.CABundle()
}

// TestServeRotatesCertificatesWithoutAFailedCall replaces the files in the way that the
// kubelet does, by a symbolic link, while requests come in on new connections.
func TestServeRotatesCertificatesWithoutAFailedCall(t *testing.T) {
	dir := t.TempDir()
	var bundle []byte
	issue := func(version string) {
		cert, key, ca := newCertificate(t)
		bundle = append(bundle, ca...)
		require.NoError(t, os.Mkdir(filepath.Join(dir, version), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, version, servingcert.CertFile), cert, 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(dir, version, servingcert.KeyFile), key, 0o600))
	}
	publish := func(version string) {
		require.NoError(t, os.Symlink(version, filepath.Join(dir, "..new")))
		require.NoError(t, os.Rename(filepath.Join(dir, "..new"), filepath.Join(dir, "..data")))
	}
	issue("one")
	issue("two")
	publish("one")
	for _, file := range []string{servingcert.CertFile, servingcert.KeyFile} {
		require.NoError(t, os.Symlink(filepath.Join("..data", file), filepath.Join(dir, file)))
	}
	ca := filepath.Join(t.TempDir(), "ca.crt")
	require.NoError(t, os.WriteFile(ca, bundle, 0o600))
	s := serve(t, ca, "--cert-dir", dir, "--cluster", filepath.Join(repo, "examples/deploykf"))

	body := example(t, "denied.json")
	issuer := func() string {
		// A new connection each time: one that is open keeps its certificate.
		s.client.CloseIdleConnections()
		response, err := s.client.Post(s.url+"/validate", "application/json", strings.NewReader(body))
		if !assert.NoError(t, err) {
			return ""
		}
		defer func() { assert.NoError(t, response.Body.Close()) }()
		status, answer := answerOf(t, response)
		assert.Equal(t, http.StatusOK, status, answer)
		return string(response.TLS.PeerCertificates[0].AuthorityKeyId)
	}
	first := issuer()
	publish("two")
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "one")))
	require.Eventually(t, func() bool { return issuer() != first }, patience, poll, "the new certificate is not used")
	assert.NotEmpty(t, issuer())
}

// TestServeFinishesRequestsThatAreOnTheirWay ends the server while a request is half sent.
func TestServeFinishesRequestsThatAreOnTheirWay(t *testing.T) {
	ca, args := onADesk(t)
	s := serve(t, ca, args...)
	address := strings.TrimPrefix(s.url, "https://")
	config := trusting(t, ca).Transport.(*http.Transport).TLSClientConfig
	conn, err := tls.Dial("tcp", address, config)
	require.NoError(t, err)
	defer func() { assert.NoError(t, conn.Close()) }()

	body := example(t, "denied.json")
	_, err = fmt.Fprintf(conn, "POST /validate HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", len(body))
	require.NoError(t, err)
	// The server asks for the body when the handler begins to read it.
	const proceed = "HTTP/1.1 100 Continue\r\n\r\n"
	got := make([]byte, len(proceed))
	_, err = io.ReadFull(conn, got)
	require.NoError(t, err)
	require.Equal(t, proceed, string(got))

	s.stop()
	require.Eventually(t, func() bool {
		other, err := net.Dial("tcp", address)
		if err == nil {
			assert.NoError(t, other.Close())
		}
		return err != nil
	}, patience, poll, "new connections are still accepted")
	_, err = io.WriteString(conn, body)
	require.NoError(t, err)
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	assert.Contains(t, string(answer), "HTTP/1.1 200 OK")
	assert.Contains(t, string(answer), `"allowed":false`)
	assert.NoError(t, s.wait())
}

func TestServeDrains(t *testing.T) {
	ca, args := onADesk(t)
	s := serve(t, ca, append(args, "--drain", "1s")...)
	began := time.Now()
	s.stop()
	require.Eventually(t, func() bool {
		status, body := s.get("/readyz")
		return status == http.StatusServiceUnavailable && body == "not ready: shutting down\n"
	}, patience, poll)
	assert.True(t, s.judged(example(t, "allowed.json")).Allowed, "requests are answered while it drains")
	assert.NoError(t, s.wait())
	assert.GreaterOrEqual(t, time.Since(began), time.Second)
}

// TestServeEndsWithCodeZeroOnSignals starts a process of its own for each signal.
func TestServeEndsWithCodeZeroOnSignals(t *testing.T) {
	signals := []syscall.Signal{syscall.SIGTERM, syscall.SIGINT}
	if !signal.Ignored(syscall.SIGHUP) { // under nohup it is, and serve respects that
		signals = append(signals, syscall.SIGHUP)
	}
	for _, signal := range signals {
		t.Run(signal.String(), func(t *testing.T) {
			_, args := onADesk(t)
			cmd := exec.CommandContext(t.Context(), os.Args[0], append([]string{"serve", "--listen", "127.0.0.1:0", "--metrics-listen", ""}, args...)...)
			cmd.Env = append(os.Environ(), asCommand+"=1")
			errs := &output{}
			cmd.Stderr = errs
			require.NoError(t, cmd.Start())
			ready := assert.Eventually(t, func() bool { return readyLine.MatchString(errs.String()) }, patience, poll, "not ready")
			require.NoError(t, cmd.Process.Signal(signal))
			assert.NoError(t, cmd.Wait(), errs.String())
			if ready {
				assert.Contains(t, errs.String(), "metrics: off\n")
				assert.Contains(t, errs.String(), `"level":"INFO","msg":"stopped"`)
			}
		})
	}
}

func TestServeRefusesWhatCannotBeMeant(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { assert.NoError(t, busy.Close()) }()
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	objects := filepath.Join(repo, "examples/deploykf")
	broken := file("broken.yaml", "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: g, namespace: n}\nspec: {selector: 7}\n")
	wrong := file("config.yaml", "apiVersion: config.gatewarden.io/v1alpha1\nkind: Configuration\nguarded: []\n")
	kubeconfig := file("kubeconfig", "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\n"+
		"contexts: [{name: c, context: {cluster: c}}]\ncurrent-context: c\n")
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"argument":             {[]string{"now"}, `serve takes no arguments, but got "now"`},
		"no certificate":       {nil, "no certificate: give --cert-dir, or --self-managed or --self-signed to make one"},
		"two certificates":     {[]string{"--self-signed", "--cert-dir", dir}, "more than one of --cert-dir, --self-managed and --self-signed"},
		"two made ones":        {[]string{"--self-signed", "--self-managed"}, "more than one of --cert-dir, --self-managed and --self-signed"},
		"CA of manifests":      {[]string{"--self-managed", "--cluster", objects}, "--self-managed needs a cluster for its CA"},
		"CA too short":         {[]string{"--self-managed", "--ca-duration", "24h"}, "--ca-duration and --certificate-duration: a CA that is valid for 24h0m0s is too short for certificates that are valid for 168h0m0s"},
		"no managed host":      {[]string{"--self-managed", "--self-managed-host", "a..b", "--kubeconfig", kubeconfig}, `--self-managed: host "a..b" is neither`},
		"managed IP address":   {[]string{"--self-managed", "--self-managed-host", "127.0.0.1", "--kubeconfig", kubeconfig}, `--self-managed: host "127.0.0.1" is an IP address`},
		"clients without CA":   {[]string{"--self-signed", "--client-cn", "x"}, "--client-cn needs --client-ca-file"},
		"no client CA":         {[]string{"--self-signed", "--cluster", objects, "--client-ca-file", filepath.Join(dir, "none")}, "--client-ca-file: "},
		"wrong client CA":      {[]string{"--self-signed", "--cluster", objects, "--client-ca-file", wrong}, "it must hold the CA of the API server's client certificate in PEM"},
		"two states":           {[]string{"--self-signed", "--cluster", objects, "--kubeconfig", "x"}, "--cluster and --kubeconfig are both given"},
		"CA of files":          {[]string{"--cert-dir", dir, "--ca-file", "x"}, "--ca-file needs --self-signed"},
		"examples without CA":  {[]string{"--self-signed", "--print-examples"}, "--print-examples needs --self-signed and --ca-file"},
		"no examples":          {[]string{"--self-signed", "--ca-file", filepath.Join(dir, "ca"), "--print-examples"}, "run it in the root of gatewarden's repository"},
		"audit interval":       {[]string{"--self-signed", "--audit-interval", "600ms"}, "--audit-interval 600ms: use a duration of 10s or more, or 0s for no audits"},
		"events of manifests":  {[]string{"--self-signed", "--cluster", "x", "--audit-events"}, "--audit-events and --audit-reports need a cluster to write to: --cluster takes the state from manifests"},
		"events of no audits":  {[]string{"--self-signed", "--audit-interval", "0", "--audit-reports"}, "--audit-events and --audit-reports need audits: --audit-interval is 0"},
		"backstop's manifests": {[]string{"--self-signed", "--cluster", "x", "--backstop"}, "--backstop needs a cluster to write to: --cluster takes the state from manifests"},
		"drain":                {[]string{"--self-signed", "--drain", "-1s"}, "--drain -1s: use a duration of 0s or more"},
		"address":              {[]string{"--self-signed", "--listen", "9443"}, `--listen "9443": use HOST:PORT or :PORT`},
		"port":                 {[]string{"--self-signed", "--listen", ":70000"}, `--listen ":70000": use HOST:PORT`},
		"metrics port":         {[]string{"--self-signed", "--metrics-listen", "x"}, `--metrics-listen "x": use HOST:PORT`},
		"log decisions":        {[]string{"--self-signed", "--log-decisions", "some"}, `--log-decisions "some": use all, sampled or denied`},
		"log level":            {[]string{"--self-signed", "--log-level", "loud"}, `--log-level "loud": use debug, info, warn or error`},
		"TLS version":          {[]string{"--self-signed", "--tls-min-version", "1.1"}, `--tls-min-version "1.1": use 1.2 or 1.3`},
		"self-signed host":     {[]string{"--self-signed", "--self-signed-host", "", "--cluster", objects}, "--self-signed-host: "},
		"CA file":              {[]string{"--self-signed", "--ca-file", filepath.Join(dir, "none", "ca"), "--cluster", objects}, "--ca-file: "},
		"empty folder":         {[]string{"--cert-dir", t.TempDir(), "--cluster", objects}, "it must hold tls.crt and tls.key"},
		"no config":            {[]string{"--self-signed", "--config", filepath.Join(dir, "none.yaml"), "--cluster", objects}, "none.yaml"},
		"wrong config":         {[]string{"--self-signed", "--config", wrong, "--cluster", objects}, `"guarded"`},
		"no manifests":         {[]string{"--self-signed", "--cluster", filepath.Join(dir, "none")}, "--cluster: "},
		"unreadable manifest":  {[]string{"--self-signed", "--cluster", broken}, "broken.yaml:"},
		"not in a cluster":     {[]string{"--self-signed"}, "give --kubeconfig, or --cluster with manifests"},
		"no kubeconfig":        {[]string{"--self-signed", "--kubeconfig", filepath.Join(dir, "none")}, "--kubeconfig: "},
		"port in use":          {[]string{"--self-signed", "--cluster", objects, "--listen", busy.Addr().String(), "--metrics-listen", ""}, "--listen " + busy.Addr().String()},
		"metrics port in use":  {[]string{"--self-signed", "--cluster", objects, "--listen", "127.0.0.1:0", "--metrics-listen", busy.Addr().String()}, "--metrics-listen " + busy.Addr().String()},
		"address of elsewhere": {[]string{"--self-signed", "--cluster", objects, "--listen", "192.0.2.1:0"}, "--listen 192.0.2.1:0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("KUBERNETES_SERVICE_HOST", "") // not in a cluster, wherever the test runs
			got := main(t, "", append([]string{"serve"}, test.args...)...)
			assert.Equal(t, exitFailed, got.code)
			assert.Contains(t, got.err, test.want)
			assert.Empty(t, got.out)
		})
	}
}

func TestServeReadsManifestsFromStandardInput(t *testing.T) {
	o := serveOptions{cluster: []string{"-"}}
	source, err := o.source(streams{In: strings.NewReader("apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: a}\n")}, deploykf.Default(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	assert.Len(t, objects(source.writer.Snapshot()), 1, "unknown kinds are passed over")
	assert.True(t, source.synced())
	assert.NoError(t, source.pending())
}
