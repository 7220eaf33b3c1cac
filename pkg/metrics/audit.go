package metrics

import (
	"cmp"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// auditNamespaces is how many namespaces the findings of an audit are told apart by. Where
	// there are more, those with the most findings are.
	auditNamespaces = 200
	// otherNamespaces stands for all others. No namespace can have that name.
	otherNamespaces = "_other"
)

// lastAudit collects what the last audit found. It is collected as a whole, so that no scrape
// sees a half of it, and what is resolved has no series any more. There is nothing to collect
// before the first audit.
type lastAudit struct {
	audit                          atomic.Pointer[Audit]
	findings, gaps, success, lasts *prometheus.Desc
}

func newLastAudit() *lastAudit {
	description := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, "audit", name), help, labels, nil)
	}
	return &lastAudit{
		findings: description("findings", "What the last audit found, by rule, effect and namespace.", "rule", "effect", "namespace"),
		gaps:     description("gaps", "Kinds that the last audit could not see for want of a permission."),
		success:  description("last_success_timestamp_seconds", "When the last audit ended, in seconds since 1970."),
		lasts:    description("duration_seconds", "How long the last audit took, its pauses included."),
	}
}

func (l *lastAudit) set(a Audit) {
	a.Findings = bounded(a.Findings)
	l.audit.Store(&a)
}

// Describe sends the descriptions.
func (l *lastAudit) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{l.findings, l.gaps, l.success, l.lasts} {
		out <- d
	}
}

// Collect sends one gauge for each rule, effect and namespace with findings, and those of the
// audit itself.
func (l *lastAudit) Collect(out chan<- prometheus.Metric) {
	a := l.audit.Load()
	if a == nil {
		return
	}
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	for f, n := range a.Findings {
		gauge(l.findings, float64(n), f.Rule, f.Effect, f.Namespace)
	}
	gauge(l.gaps, float64(a.Gaps))
	gauge(l.success, seconds(a.Ended))
	gauge(l.lasts, a.Took.Seconds())
}

// bounded bounds the label "namespace".
func bounded(findings map[Found]int) map[Found]int {
	in := map[string]int{}
	for f, n := range findings {
		in[f.Namespace] += n
	}
	names := slices.SortedFunc(maps.Keys(in), func(a, b string) int { return cmp.Or(cmp.Compare(in[b], in[a]), cmp.Compare(a, b)) })
	rest := map[string]bool{}
	for _, name := range names[min(len(names), auditNamespaces):] {
		rest[name] = true
	}
	out := map[Found]int{}
	for f, n := range findings {
		if rest[f.Namespace] {
			f.Namespace = otherNamespaces
		}
		out[f] += n
	}
	return out
}
