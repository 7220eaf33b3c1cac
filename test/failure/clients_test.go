package failure_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/cli"
)

// slowly hands out one byte at a time until it is closed.
type slowly struct{ done chan struct{} }

func (s slowly) Read(p []byte) (int, error) {
	select {
	case <-s.done:
		return 0, errors.New("cut off")
	case <-time.After(50 * time.Millisecond):
		p[0] = ' '
		return 1, nil
	}
}

// TestBodiesAreHugeSlowOrCutOff sends a replica what no API server sends. Nobody else waits for it.
func TestBodiesAreHugeSlowOrCutOff(t *testing.T) {
	replicas, balancer, requests := filed(t, server)
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	clients := &http.Client{Transport: transport}
	var all sync.WaitGroup
	done := make(chan struct{})
	statuses := make(chan int, 200)
	for _, r := range replicas {
		url := "https://" + r.Address + "/validate"
		for range 10 {
			all.Go(func() { // some MiB too many
				response, err := clients.Post(url, "application/json", bytes.NewReader(bytes.Repeat([]byte(" "), 16<<20)))
				if err == nil { // else the replica has hung up before all was sent
					_ = response.Body.Close()
					statuses <- response.StatusCode
				}
			})
			all.Go(func() { // slow, and cut off in the end
				response, err := clients.Post(url, "application/json", io.NopCloser(slowly{done}))
				assert.Error(t, err)
				if err == nil {
					_ = response.Body.Close()
				}
			})
			all.Go(func() { // half of a review
				response, err := clients.Post(url, "application/json", strings.NewReader(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"`))
				if assert.NoError(t, err) {
					_ = response.Body.Close()
					assert.Equal(t, http.StatusBadRequest, response.StatusCode)
				}
			})
		}
	}
	judged(t, requests)
	judged(t, requests)
	close(done)
	all.Wait()
	close(statuses)
	for status := range statuses {
		assert.Equal(t, http.StatusRequestEntityTooLarge, status)
	}
	judged(t, requests)
	none(t, requests)
	ready(t, balancer, 2)
}

// TestConnectionsStayOpenAndSayNothing holds a thousand connections to each replica, half of them
// without a handshake.
func TestConnectionsStayOpenAndSayNothing(t *testing.T) {
	replicas, balancer, requests := filed(t, server)
	for _, r := range replicas {
		for i := range 1000 {
			conn, err := net.Dial("tcp", r.Address)
			require.NoError(t, err)
			t.Cleanup(func() { _ = conn.Close() })
			if i%2 == 0 {
				secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
				require.NoError(t, secure.HandshakeContext(t.Context()))
			}
		}
		judged(t, requests)
	}
	end := time.Now().Add(*lasting)
	for time.Now().Before(end) {
		judged(t, requests)
	}
	none(t, requests)
	ready(t, balancer, 2)
}

// TestTheConfigurationBecomesInvalid garbles the configuration file of both replicas. The last good
// one stays in force.
func TestTheConfigurationBecomesInvalid(t *testing.T) {
	var good, complaints bytes.Buffer
	require.Zero(t, cli.Main([]string{"config"}, strings.NewReader(""), &good, &complaints), complaints.String())
	file := filepath.Join(t.TempDir(), "config.yaml")
	write := func(content []byte) { require.NoError(t, os.WriteFile(file, content, 0o600)) }
	write(good.Bytes())
	replicas, balancer, requests := filed(t, server, "--config", file)
	said := func(text string) {
		for _, r := range replicas {
			require.Eventually(t, func() bool { return strings.Contains(r.log.String(), text) }, patience, poll, text)
		}
		judged(t, requests)
	}
	write([]byte("guardedGateways: nonsense\n"))
	said("the configuration is wrong")
	write(fmt.Appendf(nil, "%srules:\n  GWD208: \"off\"\n", good.Bytes()))
	said("the configuration was read again")
	none(t, requests)
	ready(t, balancer, 2)
}
