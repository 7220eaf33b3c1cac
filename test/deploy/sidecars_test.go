package deploy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"

	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/gatewaypod"
	"github.com/gatewarden/gatewarden/pkg/policy"
)

// What rules read of a workload's template, the API server has to look for before it calls.
func TestSidecarsWebhookLooksForEveryGap(t *testing.T) {
	webhooks := find[admissionregistrationv1.ValidatingWebhookConfiguration](t, base(t), "ValidatingWebhookConfiguration").Webhooks
	condition := func(webhook, name string) string {
		w := slices.IndexFunc(webhooks, func(w admissionregistrationv1.ValidatingWebhook) bool { return w.Name == webhook })
		require.GreaterOrEqual(t, w, 0, webhook)
		c := slices.IndexFunc(webhooks[w].MatchConditions, func(c admissionregistrationv1.MatchCondition) bool { return c.Name == name })
		require.GreaterOrEqual(t, c, 0, name)
		return webhooks[w].MatchConditions[c].Expression
	}
	gaps := condition("sidecars.gatewarden.io", "bypassed-or-relabelled")
	for _, key := range append(slices.Clone(policy.CaptureAnnotations), policy.TLSModeLabel, gatewaypod.InjectLabel, gatewaypod.RevisionLabel,
		gatewaypod.DataplaneLabel, gatewaypod.BypassAnnotation) {
		assert.Contains(t, gaps, "'"+key+"'")
	}
	assert.Contains(t, gaps, ".hostNetwork")

	// A pod is its own template, and has been injected: what injection writes to all of them is
	// told from what matters by its value.
	pods := condition("pods.gatewarden.io", "relabelled-or-new-and-bypassed")
	for _, key := range append(slices.Clone(policy.CaptureAnnotations), policy.TLSModeLabel, gatewaypod.InjectLabel, gatewaypod.RevisionLabel,
		gatewaypod.DataplaneLabel, gatewaypod.BypassAnnotation) {
		assert.Contains(t, pods, "'"+key+"'")
	}
	assert.Contains(t, pods, ".hostNetwork")
	var ports []string
	for _, p := range policy.ProxyPorts {
		ports = append(ports, fmt.Sprintf("'%d'", p))
	}
	assert.Contains(t, pods, "['', "+strings.Join(ports, ", ")+"]")
	for _, g := range deploykf.Default().GuardedGateways {
		assert.Contains(t, pods, "'"+g.Namespace+"'")
		for key, value := range g.PodLabels {
			assert.Contains(t, pods, fmt.Sprintf("object.metadata.labels['%s'] == '%s'", key, value))
		}
	}
	assert.Contains(t, condition("sidecars.gatewarden.io", "no-gateway-workload"),
		"!("+condition("workloads.gatewarden.io", "gateway-workload")+")", "each workload is sent once")
}
