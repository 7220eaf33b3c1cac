package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/webhook"
	"github.com/gatewarden/gatewarden/test/worlds"
)

// latencies are those of one handler at one number of connections and objects.
type latencies struct {
	Requests  int           `json:"requests"`
	PerSecond float64       `json:"perSecond"`
	P50       time.Duration `json:"p50"`
	P99       time.Duration `json:"p99"`
	P999      time.Duration `json:"p99_9"`
}

// doorRow compares the door with its floor.
type doorRow struct {
	Objects     int       `json:"objects"`
	Connections int       `json:"connections"`
	Events      int       `json:"eventsPerSecond"`
	Floor       latencies `json:"floor"`
	Gatewarden  latencies `json:"gatewarden"`
	// P50Ratio and P99Ratio are gatewarden's by the floor's, as medians of those of pairs of
	// slices, which a disturbance of the machine meets alike.
	P50Ratio float64 `json:"p50Ratio"`
	P99Ratio float64 `json:"p99Ratio"`
}

// pace is how handlers are asked in turns. A turn has to be long enough for some hundreds of requests
// and short enough for many turns.
type pace struct {
	turns int
	turn  time.Duration
}

// eventsPerSecond is how many objects change while requests come in, in one of the rows.
const eventsPerSecond = 500

// measureDoors asks servers of all sizes, by one and by many connections, and the largest one while
// events come in, too.
func measureDoors(ctx context.Context, sizes []int, p pace) ([]doorRow, error) {
	var out []doorRow
	for i, n := range sizes {
		shape := worlds.Shape{Objects: n, Seed: seed}
		rates := []int{0}
		if i == len(sizes)-1 {
			rates = append(rates, eventsPerSecond)
		}
		err := withServer(ctx, shape, func(server *child) error {
			bodies := reviews(shape, 500)
			for _, rate := range rates {
				if err := server.get(ctx, fmt.Sprintf("%s?rate=%d", eventsPath, rate), nil); err != nil {
					return err
				}
				for _, connections := range []int{1, 32} {
					row := doorRow{Objects: n, Connections: connections, Events: rate}
					if err := measureDoor(ctx, server, bodies, p, &row); err != nil {
						return err
					}
					out = append(out, row)
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// reviews returns reviews of Gateways and VirtualServices about to be created in a world, none of
// which breaks a rule.
func reviews(shape worlds.Shape, n int) [][]byte {
	shape.Objects += 2 * n
	var out [][]byte
	i := 0
	for m := range shape.Manifests() {
		if i++; i <= shape.Objects-2*n || m.API.Kind != resource.KindGateway && m.API.Kind != resource.KindVirtualService {
			continue
		}
		out = append(out, m.Review("CREATE", i))
	}
	return out
}

// measureDoor asks both handlers in turns.
func measureDoor(ctx context.Context, server *child, bodies [][]byte, p pace, row *doorRow) error {
	clients := make([]*http.Client, row.Connections)
	for i := range clients {
		clients[i] = server.client()
		defer clients[i].CloseIdleConnections()
	}
	paths := []string{floorPath, webhook.ValidatePath}
	var all [2][]time.Duration
	var busy [2]time.Duration
	var halves, tails []float64
	for turn := -1; turn < p.turns; turn++ { // the first one only warms up
		var pair [2][]time.Duration
		for i := range paths {
			side := i ^ turn&1 // none is always first
			begin := time.Now()
			took, err := ask(ctx, server, clients, paths[side], bodies, p.turn)
			if err != nil {
				return err
			}
			pair[side] = took
			if turn >= 0 {
				busy[side] += time.Since(begin)
			}
		}
		if turn < 0 {
			continue
		}
		for side := range pair {
			all[side] = append(all[side], pair[side]...)
			slices.Sort(pair[side])
		}
		halves = append(halves, ratio(percentile(pair[1], 0.5), percentile(pair[0], 0.5)))
		tails = append(tails, ratio(percentile(pair[1], 0.99), percentile(pair[0], 0.99)))
	}
	row.Floor, row.Gatewarden = summary(all[0], busy[0]), summary(all[1], busy[1])
	row.P50Ratio, row.P99Ratio = median(halves), median(tails)
	return nil
}

// ask sends reviews by all clients for a time.
func ask(ctx context.Context, server *child, clients []*http.Client, path string, bodies [][]byte, turn time.Duration) ([]time.Duration, error) {
	results := make([][]time.Duration, len(clients))
	errs := make([]error, len(clients))
	end := time.Now().Add(turn)
	var group sync.WaitGroup
	for i, c := range clients {
		group.Go(func() {
			for n := i; time.Now().Before(end) && errs[i] == nil; n++ {
				var took time.Duration
				took, errs[i] = server.review(ctx, c, path, bodies[n%len(bodies)])
				results[i] = append(results[i], took)
			}
		})
	}
	group.Wait()
	return slices.Concat(results...), errors.Join(errs...)
}

// client makes one that has a connection of its own.
func (c *child) client() *http.Client {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(c.CA))
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}, ForceAttemptHTTP2: true,
	}}
}

var allowed = []byte(`"allowed":true`)

// review sends one review that has to be allowed.
func (c *child) review(ctx context.Context, client *http.Client, path string, body []byte) (time.Duration, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+c.Address+path, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	begin := time.Now()
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	answer, err := io.ReadAll(response.Body)
	took := time.Since(begin)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return took, err
	}
	if response.StatusCode != http.StatusOK || !bytes.Contains(answer, allowed) {
		return took, fmt.Errorf("%s answered %s to %s: %s", path, response.Status, body, answer)
	}
	return took, nil
}

// get asks the server about itself, or to do something.
func (c *child) get(ctx context.Context, path string, into any) error {
	client := c.client()
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+c.Address+path, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, response.Status)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(response.Body).Decode(into)
}

func summary(took []time.Duration, busy time.Duration) latencies {
	slices.Sort(took)
	return latencies{
		Requests: len(took), PerSecond: float64(len(took)) / busy.Seconds(),
		P50: percentile(took, 0.5), P99: percentile(took, 0.99), P999: percentile(took, 0.999),
	}
}

// percentile is that of sorted values.
func percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(p*float64(len(sorted))), len(sorted)-1)]
}

func median(of []float64) float64 {
	if len(of) == 0 {
		return 0
	}
	slices.Sort(of)
	return of[len(of)/2]
}

func ratio(a, b time.Duration) float64 { return float64(a) / float64(b) }
