package apiserver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	openreports "github.com/openreports/reports-api/apis/openreports.io/v1alpha1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/gatewarden/gatewarden/pkg/auditsink"
	"github.com/gatewarden/gatewarden/pkg/cli"
	"github.com/gatewarden/gatewarden/pkg/leadership"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
	"github.com/gatewarden/gatewarden/pkg/report"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/test/apiserver"
	"github.com/gatewarden/gatewarden/test/module"
)

// telling bounds how long it takes until a change was audited and told, or the Lease changes hands.
const telling = 60 * time.Second

var metricsLine = regexp.MustCompile(`metrics: (\S+)\n`)

// guard is a running gatewarden program that audits.
type guard struct {
	t   *testing.T
	log *logs
}

// audits starts gatewarden with the rules that judge changes alone: of an installation there is
// nothing on this API server.
func audits(t *testing.T, args ...string) *guard {
	t.Helper()
	var configuration, complaints bytes.Buffer
	require.Equal(t, 0, cli.Main([]string{"config"}, strings.NewReader(""), &configuration, &complaints), complaints.String())
	configuration.WriteString("rules:\n")
	for _, r := range rules.All() {
		if len(r.Operations) == 0 {
			fmt.Fprintf(&configuration, "  %s: \"off\"\n", r.ID)
		}
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "config.yaml")
	require.NoError(t, os.WriteFile(path, configuration.Bytes(), 0o600))
	program, err := apiserver.BuildGuard(t.Context(), dir)
	require.NoError(t, err)
	g := &guard{t, &logs{}}
	p, err := server.StartGuard(t.Context(), program, g.log, append([]string{"--config", path, "--audit-interval", "10s"}, args...)...)
	require.NoError(t, err, g.log.String())
	t.Cleanup(func() {
		assert.NoError(t, p.Stop())
		if t.Failed() {
			t.Log(g.log.String())
		}
	})
	return g
}

// get returns what a path beside /metrics shows.
func (g *guard) get(t require.TestingT, path string) string {
	m := metricsLine.FindStringSubmatch(g.log.String())
	require.NotNil(t, m, "it is not ready")
	response, err := http.Get(strings.TrimSuffix(m[1], "/metrics") + path)
	require.NoError(t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return string(body)
}

// scrape returns the lines of what /metrics shows.
func (g *guard) scrape(t require.TestingT) []string { return strings.Split(g.get(t, "/metrics"), "\n") }

// series are those of a metric, by what follows its name.
func (g *guard) series(t require.TestingT, metric string) []string {
	var out []string
	for _, line := range g.scrape(t) {
		if series, ok := strings.CutPrefix(line, metric); ok && strings.IndexAny(series, " {") == 0 {
			out = append(out, series)
		}
	}
	return out
}

// found are the series of gatewarden_audit_findings for the namespace of these tests; others leave
// objects in theirs.
func (g *guard) found(t require.TestingT) []string {
	require.NotEmpty(t, g.series(t, "gatewarden_audit_last_success_timestamp_seconds"), "there was no audit yet")
	return slices.DeleteFunc(g.series(t, "gatewarden_audit_findings"), func(s string) bool { return !strings.Contains(s, `namespace="default"`) })
}

// written are the Events of gatewarden, as kubectl get events shows them.
func written(t require.TestingT) []string {
	list := &corev1.EventList{}
	require.NoError(t, server.Client().List(context.Background(), list, client.MatchingFields{"reportingComponent": auditsink.Controller}))
	var out []string
	for _, e := range list.Items {
		o := e.InvolvedObject
		out = append(out, fmt.Sprintf("%s %s %s %s/%s %s", e.Type, e.Reason, o.Kind, o.Namespace, o.Name, o.UID))
	}
	slices.Sort(out)
	return out
}

// forget removes gatewarden's Events and its Lease at the end of the test.
func forget(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		assert.NoError(t, server.Client().DeleteAllOf(ctx, &eventsv1.Event{}, client.InNamespace("default")))
		assert.NoError(t, client.IgnoreNotFound(server.Client().Delete(ctx, lease(""))))
	})
}

func lease(holder string) *coordinationv1.Lease {
	now := metav1.NewMicroTime(time.Now())
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: apiserver.Namespace, Name: leadership.Lease},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity: &holder, LeaseDurationSeconds: ptr.To(int32(3600)), AcquireTime: &now, RenewTime: &now,
		},
	}
}

func eventually(t *testing.T, condition func(t *assert.CollectT)) {
	t.Helper()
	require.EventuallyWithT(t, condition, telling, 100*time.Millisecond)
}

func TestAuditsAreToldInEventsAndMetrics(t *testing.T) {
	forget(t)
	thief := onTheGateway("thief", "deploykf.example.com")
	plant(t, onTheGateway("harmless", "shop.example.org"), thief)
	stored := thief.DeepCopy()
	require.NoError(t, server.Client().Get(t.Context(), client.ObjectKeyFromObject(thief), stored))

	g := audits(t, "--audit-events")
	const series = `{effect="deny",namespace="default",rule="GWD201"} 1`
	appeared := "Warning HostConflict Gateway default/thief " + string(stored.GetUID())
	eventually(t, func(t *assert.CollectT) {
		assert.Equal(t, []string{series}, g.found(t))
		assert.Equal(t, []string{appeared}, written(t))
	})
	assert.Equal(t, []string{" 1"}, g.series(t, "gatewarden_ready"))
	age, err := strconv.ParseFloat(strings.TrimSpace(g.series(t, "gatewarden_snapshot_age_seconds")[0]), 64)
	require.NoError(t, err)
	assert.Positive(t, age)
	assert.Less(t, age, telling.Seconds(), "each kind was just listed")
	assertStatus(t, g)

	// A repair is no delete.
	repaired := onTheGateway("thief", "other.example.org")
	require.NoError(t, server.Admin.Update(t.Context(), repaired).Err)
	resolved := "Normal HostConflict Gateway default/thief " + string(stored.GetUID())
	eventually(t, func(t *assert.CollectT) {
		assert.Empty(t, g.found(t))
		assert.Equal(t, []string{resolved, appeared}, written(t))
	})
	assert.NotContains(t, g.log.String(), "tried again")
}

// assertStatus looks at what a guard tells of a cluster.
func assertStatus(t *testing.T, g *guard) {
	t.Helper()
	var status report.Status
	require.NoError(t, json.Unmarshal([]byte(g.get(t, "/statusz?format=json")), &status))
	assert.Empty(t, status.NotReady)
	assert.True(t, status.State.Synced)
	assert.Equal(t, server.Config.Host, status.State.Source)
	assert.NotNil(t, status.Leading)
	require.Len(t, status.Gateways, 1)
	i := slices.IndexFunc(status.Kinds, func(k report.KindStatus) bool { return k.Kind == resource.KindGateway })
	gateways := status.Kinds[i]
	assert.Equal(t, "gateways.networking.istio.io/v1", gateways.Resource)
	assert.True(t, gateways.Current)
	assert.Zero(t, gateways.Lost)
	assert.Empty(t, gateways.Problem)
	stored := &unstructured.UnstructuredList{} // other tests leave some, too
	stored.SetAPIVersion("networking.istio.io/v1")
	stored.SetKind("GatewayList")
	require.NoError(t, server.Client().List(t.Context(), stored))
	assert.Len(t, stored.Items, gateways.Objects)
	for _, at := range []*time.Time{gateways.Listed, gateways.Heard} {
		require.NotNil(t, at)
		assert.WithinRange(t, *at, status.Started, status.Now)
	}
}

// While somebody else leads nothing is written, but metrics are shown.
func TestOnlyTheLeaderTells(t *testing.T) {
	forget(t)
	require.NoError(t, server.Client().Create(t.Context(), lease("somebody else")))
	plant(t, onTheGateway("first", "deploykf.example.com"))
	g := audits(t, "--audit-events")
	eventually(t, func(t *assert.CollectT) {
		assert.Equal(t, []string{`{effect="deny",namespace="default",rule="GWD201"} 1`}, g.found(t))
	})
	assert.Empty(t, written(t))
	assert.Equal(t, []string{" 0"}, g.series(t, "gatewarden_leading"))

	require.NoError(t, server.Client().Delete(t.Context(), lease("")))
	eventually(t, func(t *assert.CollectT) { assert.Len(t, written(t), 1) })
	assert.Equal(t, []string{" 1"}, g.series(t, "gatewarden_leading"))

	taken := &coordinationv1.Lease{}
	require.NoError(t, server.Client().Get(t.Context(), client.ObjectKeyFromObject(lease("")), taken))
	taken.Spec = lease("somebody else").Spec
	require.NoError(t, server.Client().Update(t.Context(), taken))
	eventually(t, func(t *assert.CollectT) {
		assert.Contains(t, g.log.String(), "this replica leads no more")
	})
	plant(t, onTheGateway("second", "second.deploykf.example.com"))
	eventually(t, func(t *assert.CollectT) {
		assert.Contains(t, g.found(t), `{effect="deny",namespace="default",rule="GWD203"} 1`)
	})
	assert.Len(t, written(t), 1)
}

// reported are the results of gatewarden's reports, and the versions of these.
func reported(t require.TestingT) (results, versions []string) {
	list := &openreports.ReportList{}
	u := &unstructured.UnstructuredList{}
	u.SetAPIVersion(openreports.SchemeGroupVersion.String())
	u.SetKind("ReportList")
	require.NoError(t, server.Client().List(context.Background(), u, client.MatchingLabels{auditsink.ManagedBy: auditsink.Source}))
	require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(u.UnstructuredContent(), list, true))
	for _, r := range list.Items {
		versions = append(versions, r.Namespace+"/"+r.Name+" "+r.ResourceVersion)
		for _, result := range r.Results {
			o := result.Subjects[0]
			results = append(results, fmt.Sprintf("%s %s %s %s/%s", result.Result, result.Policy, o.Kind, o.Namespace, o.Name))
		}
	}
	return results, versions
}

// The CustomResourceDefinitions may come and go while gatewarden runs.
func TestAuditsAreToldInReportsWhereThereAreAny(t *testing.T) {
	forget(t)
	thief := onTheGateway("thief", "deploykf.example.com")
	plant(t, thief)
	g := audits(t, "--audit-reports")
	eventually(t, func(t *assert.CollectT) {
		assert.Contains(t, g.log.String(), "this replica leads")
		assert.GreaterOrEqual(t, strings.Count(g.log.String(), `"msg":"audited"`), 1)
	})
	assert.NotContains(t, g.log.String(), "tried again", "no reports, and no error")

	dir, err := module.Dir(t.Context(), module.OpenReports)
	require.NoError(t, err)
	crds := envtest.CRDInstallOptions{Paths: []string{filepath.Join(dir, "config", "crd")}, ErrorIfPathMissing: true}
	_, err = envtest.InstallCRDs(server.Config, crds)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, envtest.UninstallCRDs(server.Config, crds)) })
	foreign := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": openreports.SchemeGroupVersion.String(), "kind": "Report",
		"metadata": map[string]any{"namespace": "default", "name": "another"},
	}}
	plant(t, foreign)

	eventually(t, func(t *assert.CollectT) {
		results, _ := reported(t)
		assert.Equal(t, []string{"fail GWD201 Gateway default/thief"}, results)
	})
	_, before := reported(t)
	audits := g.series(t, "gatewarden_audits_total")
	plant(t, onTheGateway("harmless", "shop.example.org")) // so that there is another audit soon
	eventually(t, func(t *assert.CollectT) { assert.NotEqual(t, audits, g.series(t, "gatewarden_audits_total")) })
	assert.Contains(t, g.series(t, "gatewarden_audits_total"), `{result="failed"} 0`)
	_, after := reported(t)
	assert.Equal(t, before, after, "it is written only if it changes")

	plant(t, onTheGateway("second", "second.deploykf.example.com"))
	eventually(t, func(t *assert.CollectT) {
		results, _ := reported(t)
		assert.Equal(t, []string{"fail GWD203 Gateway default/second", "fail GWD201 Gateway default/thief"}, results)
	})
	for _, name := range []string{"thief", "second"} {
		require.NoError(t, server.Admin.Update(t.Context(), onTheGateway(name, name+".example.org")).Err)
	}
	eventually(t, func(t *assert.CollectT) {
		_, reports := reported(t)
		assert.Empty(t, reports)
	})
	require.NoError(t, server.Client().Get(t.Context(), client.ObjectKeyFromObject(foreign), foreign.DeepCopy()))
	assert.NotContains(t, g.log.String(), "tried again")
}
