package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gatewarden/gatewarden/pkg/policy/rules"
	"github.com/gatewarden/gatewarden/test/apiserver"
)

// The demonstration itself: the real program, in front of a real API server.
func TestEveryAnswerIsTheExpectedOne(t *testing.T) {
	var out bytes.Buffer
	err := run(t.Context(), &out, false)
	require.NoError(t, err, "%s", out.String())
	assert.NotContains(t, out.String(), "UNEXPECTED")
}

func TestStepsExpectRulesThatExist(t *testing.T) {
	steps, err := readSteps("objects")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(steps), 12)
	verdicts := map[string]int{}
	for _, s := range steps {
		verdicts[s.verdict]++
		assert.NotEmpty(t, s.about, "%s says what it tries", s.file)
		if s.rule != "" {
			assert.NotNil(t, rules.Find(s.rule), "%s: no rule %s", s.file, s.rule)
		}
	}
	for _, v := range []string{denied, allowed, patched} {
		assert.Positive(t, verdicts[v], "no step is %s", v)
	}
}

func TestStepsThatCannotBeMeant(t *testing.T) {
	const object = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: b}\n"
	for content, want := range map[string]string{
		object:                         `no comment "# expect: ..."`,
		"# expect: refused\n" + object: `"refused" is no expectation`,
		"# expect: denied\n" + object:  `"denied" is no expectation`,
		"# expect: allowed\n":          "0 objects",
		"# expect: allowed\n" + object + "---\n" + object: "2 objects",
	} {
		path := filepath.Join(t.TempDir(), "step.yaml")
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		_, err := readStep(path)
		require.ErrorContains(t, err, want)
	}
	_, err := readSteps(t.TempDir())
	assert.ErrorContains(t, err, "no *.yaml files", "a demonstration of nothing is no success")
}

// An answer counts only if it is the expected one for the expected reason.
func TestMismatch(t *testing.T) {
	refusal := func(code int32, reason metav1.StatusReason, rule string) error {
		return &apierrors.StatusError{ErrStatus: metav1.Status{
			Code: code, Reason: reason,
			Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Type: metav1.CauseType(rule)}}},
		}}
	}
	forbidden := refusal(403, metav1.StatusReasonForbidden, "GWD201")
	denial, admission := &step{verdict: denied, rule: "GWD201"}, &step{verdict: allowed}
	warning := &step{verdict: allowed, rule: "GWD204"}

	assert.Empty(t, denial.mismatch(apiserver.Answer{Err: forbidden}))
	assert.NotEmpty(t, denial.mismatch(apiserver.Answer{}))
	assert.NotEmpty(t, denial.mismatch(apiserver.Answer{Err: refusal(403, metav1.StatusReasonForbidden, "GWD101")}))
	assert.NotEmpty(t, denial.mismatch(apiserver.Answer{Err: refusal(500, metav1.StatusReasonInternalError, "GWD201")}))

	assert.Empty(t, admission.mismatch(apiserver.Answer{Warnings: []string{"unknown field"}}))
	assert.NotEmpty(t, admission.mismatch(apiserver.Answer{Warnings: []string{"GWD204 broader-wildcard: …"}}))
	assert.NotEmpty(t, admission.mismatch(apiserver.Answer{Err: forbidden}))

	assert.Empty(t, warning.mismatch(apiserver.Answer{Warnings: []string{"GWD204 broader-wildcard: …"}}))
	assert.NotEmpty(t, warning.mismatch(apiserver.Answer{}))
	assert.NotEmpty(t, (&step{verdict: patched}).mismatch(apiserver.Answer{}))
}
