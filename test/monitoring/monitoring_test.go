// Package monitoring proves that deploy/components/monitoring and docs/operations.md agree with the
// code and with each other: that Prometheus takes the alerts, that each of them fires when it ought
// to and not before, and that every metric and label that an alert or a panel asks for is there.
package monitoring

import (
	"encoding/json"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

const repo = "../.."

var component = filepath.Join(repo, "deploy", "components", "monitoring")

// read decodes a manifest of the component, in which every field has to be known.
func read[T any](t *testing.T, file string) *T {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(component, file))
	require.NoError(t, err)
	out := new(T)
	require.NoError(t, yaml.UnmarshalStrict(content, out), file)
	return out
}

// alertRules are the alerts, as Prometheus reads them.
func alertRules(t *testing.T) []rulefmt.Rule {
	t.Helper()
	// The Prometheus Operator passes the groups on as they are.
	content, err := yaml.Marshal(read[monitoringv1.PrometheusRule](t, "prometheusrule.yaml").Spec)
	require.NoError(t, err)
	groups, errs := rulefmt.Parse(content, false, model.LegacyValidation, promQL, slog.New(slog.DiscardHandler))
	require.Empty(t, errs)
	var out []rulefmt.Rule
	for _, g := range groups.Groups {
		assert.True(t, strings.HasPrefix(g.Name, "gatewarden-"), "%s: groups of all PrometheusRules share their names", g.Name)
		out = append(out, g.Rules...)
	}
	require.NotEmpty(t, out)
	return out
}

var promQL = parser.NewParser(parser.Options{})

func TestAlertsAreComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range alertRules(t) {
		assert.False(t, seen[r.Alert], "%s: is there twice", r.Alert)
		seen[r.Alert] = true
		assert.True(t, strings.HasPrefix(r.Alert, "Gatewarden"), r.Alert)
		assert.Contains(t, []string{"critical", "warning", "info"}, r.Labels["severity"], r.Alert)
		for _, key := range []string{"summary", "description"} {
			assert.Regexp(t, `^\S.*\.$`, r.Annotations[key], "%s: %s", r.Alert, key)
		}
		link, err := url.Parse(r.Annotations["runbook_url"])
		require.NoError(t, err)
		assert.True(t, strings.HasSuffix(link.Path, "/docs/operations.md"), r.Alert)
		assert.Equal(t, strings.ToLower(r.Alert), link.Fragment, r.Alert)
	}
}

func TestEachAlertHasItsParagraphAndEachParagraphItsAlert(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(repo, "docs", "operations.md"))
	require.NoError(t, err)
	paragraphs := map[string]string{}
	for _, section := range strings.Split(string(content), "\n### ")[1:] {
		title, text, _ := strings.Cut(section, "\n")
		text, _, _ = strings.Cut(text, "\n## ")
		paragraphs[title] = strings.TrimSpace(text)
	}
	var alerts []string
	for _, r := range alertRules(t) {
		alerts = append(alerts, r.Alert)
		assert.Greater(t, len(strings.Fields(paragraphs[r.Alert])), 20, "%s: its paragraph says what it means and what to do", r.Alert)
	}
	assert.ElementsMatch(t, alerts, slices.DeleteFunc(slices.Collect(maps.Keys(paragraphs)), func(title string) bool {
		return !strings.HasPrefix(title, "Gatewarden")
	}))
}

// firing evaluates an alert once a minute, as Prometheus does, and returns the labels of those that
// fire at the end.
func firing(t *testing.T, r rulefmt.Rule, series string, end time.Duration) []labels.Labels {
	t.Helper()
	storage := promqltest.LoadedStorage(t, "load 30s\n"+series)
	defer func() { assert.NoError(t, storage.Close()) }()
	engine := promqltest.NewTestEngine(t, false, 5*time.Minute, 1_000_000)
	expr, err := promQL.ParseExpr(r.Expr)
	require.NoError(t, err)
	rule := rules.NewAlertingRule(r.Alert, expr, time.Duration(r.For), time.Duration(r.KeepFiringFor), labels.FromMap(r.Labels),
		labels.FromMap(r.Annotations), labels.EmptyLabels(), "", true, slog.New(slog.DiscardHandler))
	for at := time.Duration(0); at <= end; at += time.Minute {
		_, err := rule.Eval(t.Context(), 0, time.Unix(0, 0).Add(at), rules.EngineQueryFunc(engine, storage), &url.URL{}, 0)
		require.NoError(t, err)
	}
	var out []labels.Labels
	for _, a := range rule.ActiveAlerts() {
		for _, text := range []string{a.Annotations.Get("summary"), a.Annotations.Get("description")} {
			assert.NotContains(t, text, "error expanding template")
			assert.NotContains(t, text, "<no value>")
			assert.NotContains(t, text, "  ", "a label that the alert does not have")
		}
		if a.State == rules.StateFiring {
			out = append(out, a.Labels)
		}
	}
	return out
}

func TestAlertsFireWhenTheyOughtTo(t *testing.T) {
	tested := map[string]bool{}
	for _, r := range alertRules(t) {
		tests, known := alertTests[r.Alert]
		if !assert.True(t, known, "%s: nothing says when it fires", r.Alert) {
			continue
		}
		tested[r.Alert] = true
		var fires, misses int
		for name, test := range tests {
			t.Run(r.Alert+"/"+name, func(t *testing.T) {
				var want []labels.Labels
				for _, l := range test.want {
					want = append(want, labels.FromMap(merged(l, map[string]string{"alertname": r.Alert, "severity": r.Labels["severity"]})))
				}
				assert.ElementsMatch(t, want, firing(t, r, test.series, test.end))
			})
			if len(test.want) > 0 {
				fires++
			} else {
				misses++
			}
		}
		assert.Positive(t, fires, "%s: nothing shows that it fires", r.Alert)
		assert.Positive(t, misses, "%s: nothing shows that it waits", r.Alert)
	}
	assert.Len(t, tested, len(alertTests), "a test of an alert that is not there")
}

func merged(a, b map[string]string) map[string]string {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

// dashboard is what is looked at of a dashboard of Grafana.
type dashboard struct {
	UID    string  `json:"uid"`
	Title  string  `json:"title"`
	Panels []panel `json:"panels"`
}

type panel struct {
	ID          int    `json:"id"`
	Type        string `json:"type"`
	Title       string `json:"title"`
	Description string `json:"description"`
	Datasource  struct {
		UID string `json:"uid"`
	} `json:"datasource"`
	GridPos struct{ X, Y, W, H int } `json:"gridPos"`
	Targets []struct {
		RefID        string `json:"refId"`
		Expr         string `json:"expr"`
		LegendFormat string `json:"legendFormat"`
	} `json:"targets"`
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(component, "dashboard.json"))
	require.NoError(t, err)
	var out dashboard
	require.NoError(t, json.Unmarshal(content, &out))
	return out
}

func TestDashboardIsWellFormed(t *testing.T) {
	d := readDashboard(t)
	assert.Equal(t, "gatewarden", d.UID)
	ids, cells := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		assert.False(t, ids[p.ID], "%s: its ID is taken", p.Title)
		ids[p.ID] = true
		assert.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24, p.Title)
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				assert.Empty(t, cells[[2]int{x, y}], "%s: covers another panel", p.Title)
				cells[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		assert.NotEmpty(t, p.Description, p.Title)
		assert.Equal(t, "${datasource}", p.Datasource.UID, p.Title)
		assert.NotEmpty(t, p.Targets, p.Title)
		refs := map[string]bool{}
		for _, target := range p.Targets {
			assert.False(t, refs[target.RefID], "%s: two targets are called %s", p.Title, target.RefID)
			refs[target.RefID] = true
		}
	}
}

// variables are the dashboard's own and Grafana's, with what stands for them here.
var variables = strings.NewReplacer("$__rate_interval", "5m", "$job", "gatewarden")

var legendLabel = regexp.MustCompile(`{{(\w+)}}`)

func TestPanelsAndAlertsAskForWhatThereIs(t *testing.T) {
	there := metricsThatThereAre(t)
	for _, r := range alertRules(t) {
		t.Run(r.Alert, func(t *testing.T) { there.check(t, r.Expr) })
	}
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			t.Run(p.Title+"/"+target.RefID, func(t *testing.T) {
				have := there.check(t, variables.Replace(target.Expr))
				for _, m := range legendLabel.FindAllStringSubmatch(target.LegendFormat, -1) {
					assert.Contains(t, have, m[1], "the legend shows a label that the result does not have")
				}
			})
		}
	}
}
