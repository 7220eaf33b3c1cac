// Package failure_test breaks what gatewarden depends on, before a real API server and while a
// stream of valid and conflicting requests is running. In none of its tests may a conflicting
// object be admitted, or a valid one be refused as if it were conflicting; and where a call must
// not fail at all, none does.
package failure_test

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/util/cert"

	"github.com/gatewarden/gatewarden/test/apiserver"
	"github.com/gatewarden/gatewarden/test/deploy"
)

const (
	// patience bounds waiting for what has to come about.
	patience = 90 * time.Second
	poll     = 20 * time.Millisecond
	// settled is how many requests are judged rightly after a fault, to see that it is over.
	settled = 60
)

// server and program are shared by the tests of this package; programs is the folder of what is built.
var (
	server            *apiserver.Server
	program, programs string
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if programs, err = os.MkdirTemp("", "gatewarden-failure-"); err != nil {
		return 1, err
	}
	defer func() { _ = os.RemoveAll(programs) }()
	if program, err = apiserver.BuildGuard(context.Background(), programs); err != nil {
		return 1, err
	}
	if server, err = apiserver.Start(context.Background(), apiserver.Options{
		Kustomization: deploy.SelfManaged, RequestTimeout: 10 * time.Second,
	}); err != nil {
		return 1, err
	}
	code = m.Run()
	return code, server.Stop()
}

// replica is a running gatewarden with its log.
type replica struct {
	*apiserver.Process
	log *apiserver.Log
}

// launch starts a replica and stops it at the end of the test.
func launch(t *testing.T, s *apiserver.Server, r apiserver.Replica) *replica {
	t.Helper()
	return started(t, cmp.Or(r.Program, program), func(common apiserver.Replica) (*apiserver.Process, error) {
		r.Program, r.Output = common.Program, common.Output
		r.Arguments = append([]string{"--audit-interval", "0"}, r.Arguments...)
		return s.Launch(t.Context(), r)
	})
}

// started has a replica started that runs a program, and stops it at the end of the test.
func started(t *testing.T, program string, start func(apiserver.Replica) (*apiserver.Process, error)) *replica {
	t.Helper()
	out := &replica{log: &apiserver.Log{}}
	var err error
	out.Process, err = start(apiserver.Replica{Program: program, Output: out.log})
	require.NoError(t, err)
	t.Cleanup(func() {
		if !out.Ended() {
			assert.NoError(t, out.Stop(), out.log.String())
		}
		if t.Failed() {
			t.Log(out.log.String())
		}
	})
	return out
}

// guards starts replicas and a Balancer before them, at the address that the API server calls.
func guards(t *testing.T, s *apiserver.Server, replicas ...apiserver.Replica) ([]*replica, *apiserver.Balancer) {
	t.Helper()
	var out []*replica
	var addresses []string
	for _, r := range replicas {
		started := launch(t, s, r)
		out = append(out, started)
		addresses = append(addresses, started.Address)
	}
	b, err := apiserver.StartBalancer(s.GuardAddress(), addresses...)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, b.Stop()) })
	return out, b
}

// ready waits until the Balancer has as many replicas to choose from.
func ready(t *testing.T, b *apiserver.Balancer, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return len(b.Ready()) == n }, patience, poll, "%d replicas are not ready", n)
}

// stream starts a stream and sees that it is judged. At the end of the test it demands what has
// to hold in every one.
func stream(t *testing.T, s *apiserver.Server) *apiserver.Stream {
	t.Helper()
	out := s.StartStream(t.Context())
	t.Cleanup(func() {
		tally := out.Stop()
		assert.Empty(t, tally.Of(apiserver.WrongAdmitted, apiserver.WrongRefused))
		t.Logf("%d admitted, %d denied, %d others", tally.Admitted, tally.Denied, len(tally.Others))
	})
	judged(t, out)
	return out
}

// judged waits until more requests were judged rightly.
func judged(t *testing.T, s *apiserver.Stream) {
	t.Helper()
	before := s.Tally()
	require.Eventually(t, func() bool {
		now := s.Tally()
		return now.Admitted >= before.Admitted+settled/2 && now.Denied >= before.Denied+settled/2
	}, patience, poll, "requests are not judged: %v", s.Tally().Others)
}

// none demands that each request was judged.
func none(t *testing.T, s *apiserver.Stream) {
	t.Helper()
	assert.Empty(t, s.Tally().Others)
}

// trusting registers the guards, whose certificate a CA has signed, until the end of the test.
func trusting(t *testing.T, s *apiserver.Server, ca []byte) {
	t.Helper()
	t.Cleanup(func() { require.NoError(t, s.Uninstall(context.WithoutCancel(t.Context()))) })
	require.NoError(t, s.Install(t.Context()))
	require.NoError(t, s.SetCABundle(t.Context(), ca))
	require.NoError(t, s.WaitUntilJudged(t.Context()))
}

// served is the certificate that a replica shows, in PEM.
func served(t *testing.T, r *replica) []byte {
	t.Helper()
	conn, err := tls.Dial("tcp", r.Address, &tls.Config{InsecureSkipVerify: true})
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: conn.ConnectionState().PeerCertificates[0].Raw})
}

// handshakes connects to replicas all the time, as an API server that has just started does: by
// what the webhook configurations trust at that moment. It returns a function that ends it and
// demands that each connection was made.
func handshakes(t *testing.T, s *apiserver.Server, host string, replicas ...*replica) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	var made int
	var failed []string
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			bundles, err := s.CABundles(ctx)
			if err != nil {
				continue // the API server is no subject of this
			}
			for _, bundle := range slices.Compact(slices.Sorted(maps.Values(bundles))) {
				pool := x509.NewCertPool()
				pool.AppendCertsFromPEM([]byte(bundle))
				for _, r := range replicas {
					conn, err := tls.Dial("tcp", r.Address, &tls.Config{RootCAs: pool, ServerName: host})
					if err != nil {
						failed = append(failed, fmt.Sprintf("%s: %s: %v", time.Now().Format("15:04:05.000"), r.Address, err))
						continue
					}
					made++
					_ = conn.Close()
				}
			}
			time.Sleep(poll)
		}
	}()
	return func() {
		cancel()
		<-done
		assert.Empty(t, failed)
		assert.Positive(t, made)
		t.Logf("%d connections", made)
	}
}

// signed reports whether a CA has signed a certificate, both in PEM.
func signed(t *testing.T, certificate []byte, ca string) bool {
	t.Helper()
	certificates, err := cert.ParseCertsPEM(certificate)
	require.NoError(t, err)
	authorities, err := cert.ParseCertsPEM([]byte(ca))
	require.NoError(t, err)
	return certificates[0].CheckSignatureFrom(authorities[0]) == nil
}

func object(namespace, name, apiVersion, kind string, fields map[string]any) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{"namespace": namespace, "name": name},
	}}
	maps.Copy(o.Object, fields)
	return o
}
