package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Ledger counts what becomes of changes among others that are on their way. Its methods are safe for
// concurrent use. ledgerstore.Gate is told to use it.
type Ledger struct {
	reserved  prometheus.Histogram
	failures  prometheus.Counter
	conflicts *prometheus.CounterVec
	settled   *prometheus.CounterVec
}

func newLedger() *Ledger {
	const subsystem = "ledger"
	l := &Ledger{
		reserved: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "reserve_duration_seconds",
			Help: "Time that it took to write a reservation and to see it come back from the watch.",
			// An API server takes some milliseconds; 13 doublings of 1 ms reach 4 s, beyond which
			// nobody waits.
			Buckets: prometheus.ExponentialBuckets(1e-3, 2, 13),
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "reserve_failures_total",
			Help: "Reservations that could not be written, or not be seen in time: the request got HTTP status 503.",
		}),
		conflicts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "conflicts_total",
			Help: "Changes that met a conflicting one on its way, by result: waited until its end was known, or refused for now.",
		}, []string{"result"}),
		settled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "settled_total",
			Help: "Looks at stored objects of which no watch told in time what became of a change, by outcome.",
		}, []string{"outcome"}),
	}
	for _, result := range []string{waited, refused} {
		l.conflicts.WithLabelValues(result)
	}
	return l
}

// The results of a conflict.
const (
	waited  = "waited"
	refused = "refused"
)

func (l *Ledger) collectors() []prometheus.Collector {
	return []prometheus.Collector{l.reserved, l.failures, l.conflicts, l.settled}
}

// Reserved records how long it took to write a reservation and to see it.
func (l *Ledger) Reserved(took time.Duration) { l.reserved.Observe(took.Seconds()) }

// ReserveFailed records that a reservation could not be written, or not be seen in time.
func (l *Ledger) ReserveFailed() { l.failures.Inc() }

// Conflict records that a change met another one on its way, and whether it was refused for it.
func (l *Ledger) Conflict(wasRefused bool) {
	result := waited
	if wasRefused {
		result = refused
	}
	l.conflicts.WithLabelValues(result).Inc()
}

// Settled records what a look at a stored object told, which is one of a few words.
func (l *Ledger) Settled(outcome string) { l.settled.WithLabelValues(outcome).Inc() }
