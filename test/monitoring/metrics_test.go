package monitoring

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/metrics"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// known are the metrics that there are: the labels of each with the values that they may have. No
// value at all stands for any.
type known map[string]map[string]map[string]bool

// target are the labels that the Prometheus Operator gives to what it scrapes
// (generateServiceMonitorConfig in github.com/prometheus-operator/prometheus-operator
// pkg/prometheus/promcfg.go).
var target = []string{"job", "instance", "namespace", "service", "pod", "container", "endpoint"}

// monitor is what the ServiceMonitor makes of the labels.
func monitor(t *testing.T) *monitoringv1.Endpoint {
	t.Helper()
	m := read[monitoringv1.ServiceMonitor](t, "servicemonitor.yaml")
	require.Len(t, m.Spec.Endpoints, 1)
	return &m.Spec.Endpoints[0]
}

// dropped reports whether the ServiceMonitor drops a label of its targets.
func dropped(t *testing.T, label string) bool {
	t.Helper()
	for _, r := range monitor(t).RelabelConfigs {
		if strings.EqualFold(r.Action, "labeldrop") && regexp.MustCompile("^(?:"+r.Regex+")$").MatchString(label) {
			return true
		}
	}
	return false
}

// recorded has gatewarden record one of everything.
func recorded(t *testing.T) prometheus.Gatherer {
	t.Helper()
	p := metrics.NewPrometheus()
	for _, d := range []metrics.Decision{
		metrics.Allowed, metrics.Patched, metrics.Denied, metrics.Busy, metrics.Exempt, metrics.OutOfScope,
		metrics.Undecodable, metrics.Invalid, metrics.Unready, metrics.Failed,
	} {
		for _, endpoint := range []string{"validate", "mutate"} {
			p.Admission(metrics.Admission{Endpoint: endpoint, Operation: "CREATE", Kind: "Gateway", Decision: d})
		}
	}
	found := map[metrics.Found]int{}
	for _, effect := range []string{"deny", "warn", "note"} {
		p.Finding("GWD201", effect)
		found[metrics.Found{Rule: "GWD201", Effect: effect, Namespace: "a"}] = 1
	}
	p.Undecodable(resource.KindGateway)
	p.Panic()
	p.Ledger().Reserved(time.Millisecond)
	p.Ledger().Settled("stored")
	p.Audit(metrics.Audit{Findings: found, Ended: time.Unix(1, 0)})
	some := func() time.Time { return time.Unix(1, 0) }
	p.Show(metrics.Sources{
		Ready: func() bool { return true }, Synced: func() bool { return true }, Leading: func() bool { return true },
		Held:       func() int { return 1 },
		Generation: func() uint64 { return 1 }, Age: func() time.Duration { return 1 },
		Objects: func() map[resource.Kind]int { return map[resource.Kind]int{resource.KindGateway: 1} },
		WatchLost: func() map[resource.Kind]time.Duration {
			return map[resource.Kind]time.Duration{resource.KindGateway: 1}
		},
		NotBefore: some, NotAfter: some,
		Configuration: func() metrics.Configuration { return metrics.Configuration{NextExpiry: some()} },
	})
	return p.Gatherer()
}

// metricsThatThereAre are gatewarden's, as the ServiceMonitor has them, and what others tell of it.
func metricsThatThereAre(t *testing.T) known {
	t.Helper()
	out := known{"up": {}}
	out.add(t, recorded(t))
	for name, of := range out {
		for label, values := range maps.Clone(of) {
			// The labels of its kinds and rules are many: the ones above are examples.
			if label == "kind" || label == "rule" || label == "version" || label == "commit" {
				clear(values)
			}
			if slices.Contains(target, label) && !dropped(t, label) {
				// What Prometheus makes of it, because the target has that label already.
				of["exported_"+label] = map[string]bool{}
				delete(of, label)
			}
		}
		for _, label := range target {
			if !dropped(t, label) {
				out[name][label] = map[string]bool{}
			}
		}
	}
	maps.Copy(out, fromTheAPIServer)
	return out
}

// fromTheAPIServer are metrics of Kubernetes' own (newAdmissionMetrics in k8s.io/apiserver
// pkg/admission/metrics/metrics.go).
var fromTheAPIServer = known{
	"apiserver_admission_webhook_rejection_count": {
		"name": {}, "type": {}, "operation": {}, "rejection_code": {},
		"error_type": {"calling_webhook_error": true, "apiserver_internal_error": true, "no_error": true},
	},
	"apiserver_admission_webhook_fail_open_count": {"name": {}, "type": {}},
}

// add adds what is gathered.
func (k known) add(t *testing.T, gatherer prometheus.Gatherer) {
	t.Helper()
	families, err := gatherer.Gather()
	require.NoError(t, err)
	for _, f := range families {
		names := []string{f.GetName()}
		if f.GetType() == dto.MetricType_HISTOGRAM {
			names = []string{f.GetName() + "_bucket", f.GetName() + "_sum", f.GetName() + "_count"}
		}
		for i, name := range names {
			of := map[string]map[string]bool{}
			for _, m := range f.GetMetric() {
				for _, pair := range m.GetLabel() {
					if of[pair.GetName()] == nil {
						of[pair.GetName()] = map[string]bool{}
					}
					of[pair.GetName()][pair.GetValue()] = true
				}
			}
			if f.GetType() == dto.MetricType_HISTOGRAM && i == 0 {
				of["le"] = map[string]bool{}
			}
			k[name] = of
		}
	}
}

// check looks at every selector of an expression, and returns the labels that its result may have.
func (k known) check(t *testing.T, expr string) []string {
	t.Helper()
	e, err := promQL.ParseExpr(expr)
	require.NoError(t, err, expr)
	parser.Inspect(e, func(node parser.Node, _ []parser.Node) error {
		if v, ok := node.(*parser.VectorSelector); ok {
			k.selects(t, v)
		}
		if a, ok := node.(*parser.AggregateExpr); ok {
			have := k.labels(a.Expr)
			for _, label := range a.Grouping {
				assert.Contains(t, have, label, "%s: nothing has this label", a)
			}
		}
		return nil
	})
	return k.labels(e)
}

// selects looks at one selector.
func (k known) selects(t *testing.T, v *parser.VectorSelector) {
	t.Helper()
	of, there := k[v.Name]
	if !assert.True(t, there, "%s: there is no such metric", v) {
		return
	}
	for _, m := range v.LabelMatchers {
		if m.Name == labels.MetricName {
			continue
		}
		values, has := of[m.Name]
		if !assert.True(t, has, "%s: the metric has no label %s", v, m.Name) || len(values) == 0 {
			continue
		}
		switch m.Type {
		case labels.MatchEqual, labels.MatchNotEqual:
			assert.True(t, values[m.Value] || m.Value == "", "%s: %s is never %q", v, m.Name, m.Value)
		case labels.MatchRegexp, labels.MatchNotRegexp:
			for _, value := range m.SetMatches() {
				assert.True(t, values[value], "%s: %s is never %q", v, m.Name, value)
			}
			assert.NotEmpty(t, m.SetMatches(), "%s: name the values of %s", v, m.Name)
		}
	}
}

// labels are those that the result of an expression may have.
func (k known) labels(e parser.Expr) []string {
	switch e := e.(type) {
	case *parser.AggregateExpr:
		if !e.Without {
			return e.Grouping
		}
	case *parser.VectorSelector:
		return slices.Collect(maps.Keys(k[e.Name]))
	case *parser.BinaryExpr:
		if left := k.labels(e.LHS); len(left) > 0 {
			return left
		}
		return k.labels(e.RHS)
	}
	var out []string
	for child := range parser.ChildrenIter(e) {
		if c, ok := child.(parser.Expr); ok {
			out = append(out, k.labels(c)...)
		}
	}
	return out
}

// The Operator's labels would take the place of the metrics' own without a word.
func TestServiceMonitorKeepsTheLabelsOfTheMetrics(t *testing.T) {
	e := monitor(t)
	assert.False(t, e.HonorLabels)
	assert.Equal(t, "http-metrics", e.Port)
	assert.Equal(t, "/metrics", e.Path)
	own := known{}
	own.add(t, recorded(t))
	for name, of := range own {
		for label := range of {
			if slices.Contains(target, label) {
				assert.True(t, dropped(t, label) || label == "namespace", "%s: its label %s would be exported_%s", name, label, label)
			}
		}
	}
	for _, label := range []string{"job", "instance", "namespace", "pod"} {
		assert.False(t, dropped(t, label), "%s tells replicas apart", label)
	}
}

// docs/operations.md lists every metric of gatewarden's own, and no other.
func TestMetricsAreDocumented(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(repo, "docs", "operations.md"))
	require.NoError(t, err)
	documented := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(gatewarden_[a-z_]+)").FindAllStringSubmatch(string(content), -1) {
		documented[m[1]] = true
	}
	families, err := recorded(t).Gather()
	require.NoError(t, err)
	var there []string
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "gatewarden_") {
			there = append(there, f.GetName())
		}
	}
	assert.ElementsMatch(t, there, slices.Collect(maps.Keys(documented)))
}
