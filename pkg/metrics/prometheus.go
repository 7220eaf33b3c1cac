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

// Sources are read at each scrape.
type Sources struct {
	// Version of the running program, for gatewarden_build_info.
	Version string
	// Generation is that of the current snapshot.
	Generation func() uint64
	// Synced reports whether the state is complete enough to judge by.
	Synced func() bool
	// NotAfter is the end of the serving certificate's validity; the zero time while
	// there is none.
	NotAfter func() time.Time
	// WatchLost tells how long each watched kind has been without a watch, zero while one is
	// running. Nil if nothing is watched.
	WatchLost func() map[resource.Kind]time.Duration
}

// watchLost collects Sources.WatchLost. Its label is one of the kinds of resource.APIs.
type watchLost struct {
	description *prometheus.Desc
	source      func() map[resource.Kind]time.Duration
}

// Describe sends the one description.
func (w watchLost) Describe(out chan<- *prometheus.Desc) { out <- w.description }

// Collect sends one gauge for each watched kind.
func (w watchLost) Collect(out chan<- prometheus.Metric) {
	for kind, lost := range w.source() {
		out <- prometheus.MustNewConstMetric(w.description, prometheus.GaugeValue, lost.Seconds(), string(kind))
	}
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
	audit       *lastAudit
}

var _ Recorder = (*Prometheus)(nil)

// NewPrometheus returns a Recorder that reads the sources at each scrape.
func NewPrometheus(s Sources) *Prometheus {
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
		audit: newLastAudit(),
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, value)
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: namespace, Name: "build_info",
		Help:        "Always 1; the labels tell what is running.",
		ConstLabels: prometheus.Labels{"version": s.Version, "go_version": runtime.Version()},
	})
	build.Set(1)
	p.registry.MustRegister(
		p.requests, p.duration, p.findings, p.panics, p.undecodable, p.reloads, p.audit, build,
		gauge("snapshot_generation", "Generation of the state that changes are judged against.",
			func() float64 { return float64(s.Generation()) }),
		gauge("synced", "1 when the state is complete enough to judge by, else 0.",
			func() float64 {
				if s.Synced() {
					return 1
				}
				return 0
			}),
		gauge("certificate_not_after_seconds", "End of the serving certificate's validity, in seconds since 1970; 0 without one.",
			func() float64 {
				t := s.NotAfter()
				if t.IsZero() {
					return 0
				}
				return float64(t.Unix())
			}),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	if s.WatchLost != nil {
		p.registry.MustRegister(watchLost{prometheus.NewDesc(
			prometheus.BuildFQName(namespace, "", "watch_lost_seconds"),
			"Time since the kind was last watched; 0 while it is.", []string{"kind"}, nil), s.WatchLost})
	}
	return p
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

// Finding records a finding.
func (p *Prometheus) Finding(rule, effect string) { p.findings.WithLabelValues(rule, effect).Inc() }

// Panic records a recovered panic.
func (p *Prometheus) Panic() { p.panics.Inc() }

// Undecodable records an object that was left out of the state.
func (p *Prometheus) Undecodable(k resource.Kind) { p.undecodable.WithLabelValues(string(k)).Inc() }

// Reload records a change of the configuration file.
func (p *Prometheus) Reload(ok bool) {
	result := "failed"
	if ok {
		result = "ok"
	}
	p.reloads.WithLabelValues(result).Inc()
}

// Audit records the audit that ended last.
func (p *Prometheus) Audit(a Audit) { p.audit.set(a) }

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
