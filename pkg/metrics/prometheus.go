package metrics

import (
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

// namespace is the prefix of every metric of gatewarden's own.
const namespace = "gatewarden"

// other replaces a label's value outside of its known set. Whoever reaches the port can
// send any operation and kind; each would otherwise be a time series for ever.
const other = "other"

// Sources are read at each scrape. Those that are nil have no series.
type Sources struct {
	// Version and Commit are those of the running program, for gatewarden_build_info.
	Version, Commit string
	// Ready reports whether requests are judged.
	Ready func() bool
	// Generation is that of the current snapshot.
	Generation func() uint64
	// Objects are how many objects of each kind the current snapshot has.
	Objects func() map[resource.Kind]int
	// Synced reports whether the state is complete enough to judge by.
	Synced func() bool
	// Age is how long ago the API server was last heard of the kind of which that is longest ago.
	Age func() time.Duration
	// WatchLost tells how long each watched kind has been without a watch, zero while one is
	// running.
	WatchLost func() map[resource.Kind]time.Duration
	// NotBefore and NotAfter are the period of the serving certificate's validity; the zero time
	// while there is none.
	NotBefore, NotAfter func() time.Time
	// Configuration tells of the one in force.
	Configuration func() Configuration
	// Leading reports whether this replica is the one that writes to the cluster.
	Leading func() bool
	// Held is the number of changes that are on their way, as far as is known.
	Held func() int
}

// Configuration describes the configuration in force.
type Configuration struct {
	// Current reports whether it is what the file says now.
	Current bool
	// Loaded is when it was read.
	Loaded time.Time
	// Openings counts what in it lets everybody or everything through.
	Openings int
	// Live and Expired count its exemptions.
	Live, Expired int
	// NextExpiry is when the next one expires; zero for never.
	NextExpiry time.Time
}

// series collects the series of a metric that are read at each scrape.
type series struct {
	*prometheus.Desc
	collect func(emit func(value float64, labels ...string))
}

// newSeries makes a gauge with labels whose values come from a small and closed set.
func newSeries(name, help string, labels []string, collect func(emit func(value float64, labels ...string))) series {
	return series{prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil), collect}
}

// Describe sends the one description.
func (s series) Describe(out chan<- *prometheus.Desc) { out <- s.Desc }

// Collect sends a gauge for each series.
func (s series) Collect(out chan<- prometheus.Metric) {
	s.collect(func(value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(s.Desc, prometheus.GaugeValue, value, labels...)
	})
}

// Prometheus is a Recorder with a registry of its own, so that nothing a library registers
// globally is served along.
type Prometheus struct {
	registry    *prometheus.Registry
	requests    *prometheus.CounterVec
	duration    *prometheus.HistogramVec
	findings    *prometheus.CounterVec
	panics      prometheus.Counter
	undecodable *prometheus.CounterVec
	reloads     *prometheus.CounterVec
	audits      *prometheus.CounterVec
	audit       *lastAudit
	ledger      *Ledger
}

var _ Recorder = (*Prometheus)(nil)

// NewPrometheus returns a Recorder. What it does not count itself, Show has it show.
func NewPrometheus() *Prometheus {
	p := &Prometheus{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "admission_requests_total",
			Help: "Admission requests that were answered, by how they ended.",
		}, []string{"endpoint", "operation", "kind", "decision"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "admission_duration_seconds",
			Help: "Time from the first byte of an admission request's body to its answer.",
			// A decision takes tens of microseconds; 14 doublings of 50 µs reach 0.4 s,
			// by which the API server's time-out of a few seconds is still far away.
			Buckets: prometheus.ExponentialBuckets(50e-6, 2, 14),
		}, []string{"endpoint"}),
		findings: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "findings_total",
			Help: "Findings in admission decisions, by rule and effect.",
		}, []string{"rule", "effect"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Name: "panics_total",
			Help: "Requests that ran into a panic and were answered with HTTP status 500.",
		}),
		undecodable: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "undecodable_objects_total",
			Help: "Objects of the cluster that could not be read and are left out of the state.",
		}, []string{"kind"}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "config_reloads_total",
			Help: "Changes of the configuration file, by result: ok, or failed and the old one kept.",
		}, []string{"result"}),
		audits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "audits_total",
			Help: "Audits, by result: ok, or failed if not everything could be audited or told.",
		}, []string{"result"}),
		audit:  newLastAudit(),
		ledger: newLedger(),
	}
	p.registry.MustRegister(p.ledger.collectors()...)
	p.registry.MustRegister(
		p.requests, p.duration, p.findings, p.panics, p.undecodable, p.reloads, p.audits, p.audit,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	// A counter that appears with its first failure has not increased, for all that Prometheus
	// knows. Those that are alerted on are there from the start.
	for _, ok := range []bool{true, false} {
		p.reloads.WithLabelValues(result(ok))
		p.audits.WithLabelValues(result(ok))
	}
	for _, endpoint := range []string{"validate", "mutate"} {
		for _, d := range []Decision{Invalid, Unready} {
			p.requests.WithLabelValues(endpoint, "", "", string(d))
		}
	}
	return p
}

// Show has the sources read at each scrape. It may be called once.
func (p *Prometheus) Show(s Sources) {
	show := func(known bool, name, help string, labels []string, collect func(emit func(value float64, labels ...string))) {
		if known {
			p.registry.MustRegister(newSeries(name, help, labels, collect))
		}
	}
	show(true, "build_info", "Always 1; the labels tell what is running.", []string{"version", "commit", "go_version"},
		func(emit func(float64, ...string)) { emit(1, s.Version, s.Commit, runtime.Version()) })
	show(s.Ready != nil, "ready", "1 while requests are judged, else 0: they get HTTP status 503.", nil,
		func(emit func(float64, ...string)) { emit(bit(s.Ready())) })
	show(s.Generation != nil, "snapshot_generation", "Generation of the state that changes are judged against.", nil,
		func(emit func(float64, ...string)) { emit(float64(s.Generation())) })
	show(s.Objects != nil, "snapshot_objects", "Objects in the state that changes are judged against, by kind.", []string{"kind"},
		func(emit func(float64, ...string)) {
			for kind, n := range s.Objects() {
				emit(float64(n), string(kind))
			}
		})
	show(s.Synced != nil, "synced", "1 when the state is complete enough to judge by, else 0.", nil,
		func(emit func(float64, ...string)) { emit(bit(s.Synced())) })
	show(s.Age != nil, "snapshot_age_seconds", "Time since the API server was last heard of the kind of which that is longest ago.", nil,
		func(emit func(float64, ...string)) { emit(s.Age().Seconds()) })
	show(s.WatchLost != nil, "watch_lost_seconds", "Time since the kind was last watched; 0 while it is.", []string{"kind"},
		func(emit func(float64, ...string)) {
			for kind, lost := range s.WatchLost() {
				emit(lost.Seconds(), string(kind))
			}
		})
	show(s.NotBefore != nil, "certificate_not_before_seconds", "Beginning of the serving certificate's validity, in seconds since 1970; 0 without one.", nil,
		func(emit func(float64, ...string)) { emit(seconds(s.NotBefore())) })
	show(s.NotAfter != nil, "certificate_not_after_seconds", "End of the serving certificate's validity, in seconds since 1970; 0 without one.", nil,
		func(emit func(float64, ...string)) { emit(seconds(s.NotAfter())) })
	show(s.Leading != nil, "leading", "1 while this replica is the one that writes to the cluster, else 0.", nil,
		func(emit func(float64, ...string)) { emit(bit(s.Leading())) })
	show(s.Held != nil, "ledger_reservations", "Reservations that are held: changes of which it is not known yet whether they are stored.", nil,
		func(emit func(float64, ...string)) { emit(float64(s.Held())) })
	if s.Configuration != nil {
		p.registry.MustRegister(newConfiguration(s.Configuration))
	}
}

// bit is how a gauge tells yes from no.
func bit(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// seconds is how a gauge tells a time; 0 for the zero time.
func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

// Handler serves the metrics in the formats that Prometheus asks for.
func (p *Prometheus) Handler() http.Handler {
	return promhttp.HandlerFor(p.registry, promhttp.HandlerOpts{Registry: p.registry})
}

// Gatherer gives access to the metrics without HTTP.
func (p *Prometheus) Gatherer() prometheus.Gatherer { return p.registry }

// Admission records a request that was answered.
func (p *Prometheus) Admission(a Admission) {
	p.requests.WithLabelValues(a.Endpoint, operation(a.Operation), kind(a.Kind), string(a.Decision)).Inc()
	p.duration.WithLabelValues(a.Endpoint).Observe(a.Duration.Seconds())
}

// Ledger returns what counts for the ledger.
func (p *Prometheus) Ledger() *Ledger { return p.ledger }

// Finding records a finding.
func (p *Prometheus) Finding(rule, effect string) { p.findings.WithLabelValues(rule, effect).Inc() }

// Panic records a recovered panic.
func (p *Prometheus) Panic() { p.panics.Inc() }

// Undecodable records an object that was left out of the state.
func (p *Prometheus) Undecodable(k resource.Kind) { p.undecodable.WithLabelValues(string(k)).Inc() }

// Reload records a change of the configuration file.
func (p *Prometheus) Reload(ok bool) { p.reloads.WithLabelValues(result(ok)).Inc() }

// Audited records that an audit ended.
func (p *Prometheus) Audited(told bool) { p.audits.WithLabelValues(result(told)).Inc() }

// result is the label "result".
func result(ok bool) string {
	if ok {
		return "ok"
	}
	return "failed"
}

// Audit records the audit that ended last.
func (p *Prometheus) Audit(a Audit) { p.audit.set(a) }

// LastAudit returns the audit that ended last, or nil if none has. It is only to be read.
func (p *Prometheus) LastAudit() *Audit { return p.audit.audit.Load() }

// operation bounds the label "operation". The values are those of Operation in
// k8s.io/api/admission/v1.
func operation(s string) string {
	switch s {
	case "CREATE", "UPDATE", "DELETE", "CONNECT", "":
		return s
	}
	return other
}

// kind bounds the label "kind".
func kind(s string) string {
	if s == "" {
		return s
	}
	for _, a := range resource.APIs {
		if string(a.Kind) == s {
			return s
		}
	}
	return other
}
