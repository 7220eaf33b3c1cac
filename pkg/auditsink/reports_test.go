package auditsink

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/openreports/reports-api/apis/openreports.io/v1alpha1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"
	clientset "k8s.io/client-go/kubernetes/fake"

	"github.com/gatewarden/gatewarden/pkg/audit"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func found(findings ...audit.Finding) audit.Outcome {
	return audit.Outcome{Result: audit.Result{Findings: findings}, Ended: time.Unix(1_900_000_000, 0)}
}

func TestReportsTellEachFindingWhereItIs(t *testing.T) {
	exempt := fault(policy.Note, "exempt")
	exempt.Exempt, exempt.Subject = "moves in March", "443|x"
	elsewhere := fault(policy.Warn, "elsewhere")
	elsewhere.Key.Namespace = "b"
	cluster := fault(policy.Warn, "")
	cluster.Key = resource.Key{Kind: resource.KindNamespace, Name: "team"}
	o := found(fault(policy.Deny, "denied"), exempt, fault(policy.Note, "noted"), elsewhere, cluster)

	got := reports(reportKinds[0], o, nil)
	require.Len(t, got, 2)
	assert.Equal(t, "a", got[0].Namespace)
	assert.Equal(t, v1alpha1.ReportSummary{Fail: 1, Warn: 1, Skip: 1}, got[0].Summary)
	assert.Equal(t, map[string]string{"effect": "note", "exempt": "moves in March", "subject": "443|x"}, got[0].Results[1].Properties)
	assert.EqualValues(t, "skip", got[0].Results[1].Result)
	assert.Equal(t, metav1.Timestamp{Seconds: 1_900_000_000}, got[0].Results[0].Timestamp)
	assert.Equal(t, "b", got[1].Namespace)

	got = reports(reportKinds[1], o, nil)
	require.Len(t, got, 1)
	assert.Equal(t, "ClusterReport", got[0].Kind)
	assert.Empty(t, got[0].Namespace)
	assert.Equal(t, "team", got[0].Results[0].Subjects[0].Name)
}

func TestReportsAreBounded(t *testing.T) {
	var all []audit.Finding
	for i := range 1203 {
		f := fault(policy.Warn, fmt.Sprint(strings.Repeat("n", 240), i))
		f.Message, f.Subject, f.Field = strings.Repeat("é", 4000), strings.Repeat("s", 4000), strings.Repeat("f", 4000)
		all = append(all, f)
	}
	all = append(all, fault(policy.Deny, "denied"))
	got := reports(reportKinds[0], found(all...), nil)
	require.Len(t, got, 5)
	for i, r := range got {
		assert.Regexp(t, ownName, r.Name)
		assert.Len(t, r.Results, 200)
		content, err := json.Marshal(r)
		require.NoError(t, err)
		assert.Less(t, len(content), 1<<20)
		assert.Equal(t, i == 4, r.Annotations[LeftOut] == "204", "204 are left out")
	}
	assert.Equal(t, 1, got[0].Summary.Fail, "the worst is not")
	assert.Equal(t, []string{"gatewarden", "gatewarden-2"}, []string{got[0].Name, got[1].Name})
}

// Only what differs is written, and what is written again keeps its time.
func TestReportsAreWrittenOnlyIfTheyDiffer(t *testing.T) {
	client := fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
		v1alpha1.SchemeGroupVersion.WithResource("reports"):        "ReportList",
		v1alpha1.SchemeGroupVersion.WithResource("clusterreports"): "ClusterReportList",
	})
	leader := newRecording(t, clientset.NewClientset())
	lose := leader.lead()
	sink := NewReports(client, leader.leader)
	verbs := func(o audit.Outcome) []string {
		client.ClearActions()
		require.NoError(t, sink.Tell(t.Context(), o))
		var out []string
		for _, a := range client.Actions() {
			if a.GetVerb() != "list" {
				out = append(out, a.GetVerb()+" "+a.GetNamespace())
			}
		}
		return out
	}
	first := found(fault(policy.Deny, "one"))
	assert.Equal(t, []string{"create a"}, verbs(first))
	later := first
	later.Ended = first.Ended.Add(time.Hour)
	assert.Empty(t, verbs(later))
	later.Findings = append(later.Findings, fault(policy.Deny, "two"))
	assert.Equal(t, []string{"update a"}, verbs(later))
	u, err := client.Resource(v1alpha1.SchemeGroupVersion.WithResource("reports")).Namespace("a").Get(t.Context(), "gatewarden", metav1.GetOptions{})
	require.NoError(t, err)
	report := &v1alpha1.Report{}
	require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, report))
	assert.Equal(t, []int64{first.Ended.Unix(), later.Ended.Unix()}, []int64{report.Results[0].Timestamp.Seconds, report.Results[1].Timestamp.Seconds})
	lose()
	assert.Empty(t, verbs(found()), "another one leads")
	leader.lead()
	assert.Equal(t, []string{"delete a"}, verbs(found()))
}
