package apiserver

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Proxy passes TCP connections on, and can be made to do that badly.
type Proxy struct {
	listener net.Listener
	choose   func() string // the address of a new connection; "" refuses it
	group    sync.WaitGroup

	mu    sync.Mutex
	delay time.Duration
	cut   bool
	open  map[net.Conn]bool
}

// StartProxy listens at an address and passes each connection on to what choose returns at its
// beginning; an empty address refuses the connection.
func StartProxy(listen string, choose func() string) (*Proxy, error) {
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: listener, choose: choose, open: map[net.Conn]bool{}}
	p.group.Go(p.accept)
	return p, nil
}

// Address is where the Proxy listens.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Delay makes everything that passes wait, in both directions, from now on.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// Cut closes all connections and refuses new ones, until Mend.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = true
	p.closeAll()
}

// Mend lets connections pass again.
func (p *Proxy) Mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = false
}

// Stop closes everything. Nil has nothing to close.
func (p *Proxy) Stop() error {
	if p == nil {
		return nil
	}
	err := p.listener.Close()
	p.Cut()
	p.group.Wait()
	return err
}

func (p *Proxy) closeAll() {
	for c := range p.open {
		_ = c.Close()
	}
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.group.Go(func() { p.serve(c) })
	}
}

// track keeps the connection to be closed by Cut. It reports false if it is already.
func (p *Proxy) track(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[c] = true
	return !p.cut
}

func (p *Proxy) release(c net.Conn) {
	_ = c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
}

func (p *Proxy) serve(from net.Conn) {
	defer p.release(from)
	if !p.track(from) {
		return
	}
	address := p.choose()
	if address == "" {
		return
	}
	to, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer p.release(to)
	if !p.track(to) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { p.copy(to, from) })
	both.Go(func() { p.copy(from, to) })
	both.Wait()
}

// copy passes bytes on until either side ends, and then ends both.
func (p *Proxy) copy(to, from net.Conn) {
	defer func() { _, _ = to.Close(), from.Close() }()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			p.mu.Lock()
			delay := p.delay
			p.mu.Unlock()
			time.Sleep(delay)
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// probeInterval is how often a Balancer looks which replicas are ready.
const probeInterval = 100 * time.Millisecond

// Balancer stands for a Service: it passes each new connection on to one of the replicas that
// are ready, in turn, as kube-proxy does for the ones whose readiness probe succeeds.
// Connections that are there stay where they are.
type Balancer struct {
	*Proxy
	stop chan struct{}

	mu       sync.Mutex
	replicas []string
	ready    []string
	turn     int
}

// StartBalancer starts a Balancer before the replicas, named by the addresses at which they serve.
func StartBalancer(listen string, replicas ...string) (*Balancer, error) {
	b := newBalancer(replicas)
	proxy, err := StartProxy(listen, b.next)
	if err != nil {
		return nil, err
	}
	b.run(proxy)
	return b, nil
}

func newBalancer(replicas []string) *Balancer {
	return &Balancer{stop: make(chan struct{}), replicas: replicas}
}

// run looks which replicas are ready, for the Proxy that asks next.
func (b *Balancer) run(proxy *Proxy) {
	b.Proxy = proxy
	b.group.Go(b.probe)
}

// Add has connections passed on to one more replica.
func (b *Balancer) Add(replica string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.replicas = append(slices.Clone(b.replicas), replica)
}

// Ready are the replicas that were ready when it was last looked.
func (b *Balancer) Ready() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.ready)
}

// Stop closes everything.
func (b *Balancer) Stop() error {
	close(b.stop)
	return b.Proxy.Stop()
}

func (b *Balancer) next() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.ready) == 0 {
		return ""
	}
	b.turn++
	return b.ready[b.turn%len(b.ready)]
}

func (b *Balancer) probe() {
	probes := probeClient(nil)
	defer probes.CloseIdleConnections()
	for {
		b.mu.Lock()
		replicas := b.replicas
		b.mu.Unlock()
		var ready []string
		for _, address := range replicas {
			if response, err := probes.Get("https://" + address + "/readyz"); err == nil {
				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
				if response.StatusCode == http.StatusOK {
					ready = append(ready, address)
				}
			}
		}
		b.mu.Lock()
		b.ready = ready
		b.mu.Unlock()
		select {
		case <-b.stop:
			return
		case <-time.After(probeInterval):
		}
	}
}

// probeClient asks like a kubelet: by a new connection each time, and without a look at the
// certificate unless the configuration has one.
func probeClient(config *tls.Config) *http.Client {
	if config == nil {
		config = &tls.Config{InsecureSkipVerify: true}
	}
	return &http.Client{
		Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true},
		Timeout:   time.Second,
	}
}
