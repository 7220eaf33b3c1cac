package ledgerstore

import (
	"context"
	"sync"

	"github.com/gatewarden/gatewarden/pkg/ledger"
)

// Memory is a ledger for a server that is alone. Its entries end with it.
type Memory struct {
	mu   sync.Mutex
	last ledger.Revision
	sink Sink
}

var _ Store = (*Memory)(nil)

// Reserve enters a change. It was seen when it returns.
func (m *Memory) Reserve(_ context.Context, id string, c ledger.Change, _ []byte) (ledger.Revision, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last++
	m.sink.Added(&ledger.Reservation{ID: id, Revision: m.last, Change: c})
	return m.last, nil
}

// Remove removes an entry.
func (m *Memory) Remove(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last++
	m.sink.Removed(id, m.last)
	return nil
}

// Run waits until the context ends.
func (m *Memory) Run(ctx context.Context, s Sink) {
	m.mu.Lock()
	m.sink = s
	m.mu.Unlock()
	s.Listed(nil, 0)
	<-ctx.Done()
}
