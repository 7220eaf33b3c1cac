package webhook_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gatewarden/gatewarden/pkg/metrics"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/webhook"
)

func TestDenialIsReadableAndData(t *testing.T) {
	d := newDoor(t, finding("GWD901",
		policy.Fault{Effect: policy.Deny, Field: "spec.servers[0].hosts[1]", Message: "Host a\nis taken."},
		policy.Fault{Effect: policy.Deny, Message: "All of it is wrong."},
		policy.Fault{Effect: policy.Warn, Field: "spec.selector", Message: "Odd."},
		policy.Fault{Effect: policy.Note, Message: "By the way."},
	))
	r := d.post(webhook.ValidatePath, review(nil))

	assert.Equal(t, "u-1", string(r.UID))
	assert.False(t, r.Allowed)
	assert.Nil(t, r.Patch)
	assert.Nil(t, r.PatchType)
	assert.Equal(t, &metav1.Status{
		Status: "Failure", Code: 403, Reason: metav1.StatusReasonForbidden,
		Message: "gatewarden denies CREATE of Gateway team-a/web:\n" +
			"GWD901 test-rule: spec.servers[0].hosts[1]: Host a is taken.\n" +
			"GWD901 test-rule: All of it is wrong.",
		Details: &metav1.StatusDetails{
			Name: "web", Group: "networking.istio.io", Kind: "Gateway",
			Causes: []metav1.StatusCause{
				{Type: "GWD901", Field: "spec.servers[0].hosts[1]", Message: "Host a\nis taken."},
				{Type: "GWD901", Message: "All of it is wrong."},
			},
		},
	}, r.Result)
	assert.Equal(t, []string{"GWD901 test-rule: spec.selector: Odd."}, r.Warnings)
	assert.Equal(t, map[string]string{"rules": "GWD901"}, r.AuditAnnotations)
}

func TestDenialDoesNotListHundredsOfReasons(t *testing.T) {
	var faults []policy.Fault
	for i := range 50 {
		faults = append(faults, policy.Fault{Effect: policy.Deny, Message: fmt.Sprintf("Reason %d.", i)})
	}
	r := newDoor(t, finding("GWD901", faults...)).post(webhook.ValidatePath, review(nil))
	assert.Len(t, strings.Split(r.Result.Message, "\n"), 22)
	assert.True(t, strings.HasSuffix(r.Result.Message, "\nand 30 more, see status.details.causes"))
	assert.Len(t, r.Result.Details.Causes, 50)
}

func TestWarningsFitTheAPIServersLimits(t *testing.T) {
	var faults []policy.Fault
	for i := range 40 {
		faults = append(faults, policy.Fault{Effect: policy.Warn, Field: fmt.Sprintf("spec.servers[%d]", i), Message: "Zeile\r\neins\x00: " + strings.Repeat("ä", 200)})
	}
	r := newDoor(t, finding("GWD901", faults...)).post(webhook.ValidatePath, review(nil))
	assert.True(t, r.Allowed)
	assert.Nil(t, r.Result)
	total := 0
	for _, w := range r.Warnings[:len(r.Warnings)-1] {
		total += len(w)
		assert.True(t, strings.HasPrefix(w, "GWD901 test-rule: spec.servers["), w)
		assert.True(t, strings.HasSuffix(w, "ä… see gatewarden rules GWD901"), w)
		assert.LessOrEqual(t, len(w), 255)
		assert.Greater(t, len(w), 250)
		assert.True(t, utf8.ValidString(w))
		assert.NotContains(t, w, "\n")
	}
	last := r.Warnings[len(r.Warnings)-1]
	assert.Equal(t, fmt.Sprintf("gatewarden: further warnings that are not shown: %d", 40-(len(r.Warnings)-1)), last)
	assert.Less(t, total+len(last), 4096)
	assert.Greater(t, total, 3700)
}

func TestAllowedAnswersCarryWarnings(t *testing.T) {
	d := newDoor(t, finding("GWD901", policy.Fault{Effect: policy.Warn, Message: "Inert today."}, policy.Fault{Effect: policy.Note, Message: "Fine."}))
	r := d.post(webhook.ValidatePath, review(nil))
	assert.True(t, r.Allowed)
	assert.Equal(t, []string{"GWD901 test-rule: Inert today."}, r.Warnings)
	assert.Equal(t, metrics.Allowed, d.records.admissions[0].Decision)
}

func TestCarriedFindingsWarn(t *testing.T) {
	d := newDoor(t, finding("GWD901", policy.Fault{Effect: policy.Deny, Message: "Wrong."}))
	r := d.post(webhook.ValidatePath, review(map[string]any{"operation": "UPDATE", "oldObject": gateway("web", nil)}))
	assert.True(t, r.Allowed)
	assert.Equal(t, []string{"GWD901 test-rule (was there before): Wrong."}, r.Warnings)
}

func TestOutOfScope(t *testing.T) {
	kind := func(group, version, kind string) map[string]any {
		return map[string]any{"group": group, "version": version, "kind": kind}
	}
	for name, fields := range map[string]map[string]any{
		"kind that is not known":      {"kind": kind("", "v1", "Secret")},
		"kind that no rule judges":    {"kind": kind("apps", "v1", "Deployment")},
		"same kind of another group":  {"kind": kind("gateway.networking.k8s.io", "v1", "Gateway")},
		"version that is not served":  {"kind": kind("networking.istio.io", "v9", "Gateway")},
		"subresource":                 {"subResource": "status"},
		"connect":                     {"operation": "CONNECT"},
		"operation that is not asked": {"operation": "DELETE", "oldObject": gateway("web", nil)},
		"not even an object":          {"kind": kind("", "v1", "Secret"), "object": nil},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoor(t, finding("GWD901", policy.Fault{Effect: policy.Deny}))
			for _, path := range []string{webhook.ValidatePath, webhook.MutatePath} {
				if path == webhook.MutatePath && name == "kind that no rule judges" {
					continue
				}
				r := d.post(path, review(fields))
				assert.Equal(t, &admissionv1.AdmissionResponse{UID: "u-1", Allowed: true}, r)
			}
			for _, a := range d.records.admissions {
				assert.Equal(t, metrics.OutOfScope, a.Decision)
			}
		})
	}
}

func TestExemptRequesterIsNotJudged(t *testing.T) {
	d := newDoor(t, finding("GWD901", policy.Fault{Effect: policy.Deny}))
	for _, user := range []map[string]any{
		{"username": "root"},
		{"username": "ann", "groups": []string{"devs", "system:masters"}},
	} {
		r := d.post(webhook.ValidatePath, review(map[string]any{"userInfo": user, "object": unreadable}))
		assert.True(t, r.Allowed)
	}
	assert.Equal(t, metrics.Exempt, d.records.admissions[0].Decision)
	assert.Contains(t, d.log.String(), "break glass")
}

func TestChangeIsWhatTheRequestSays(t *testing.T) {
	var changes []policy.Change
	d := newDoor(t, watching(&changes))
	last := func(fields map[string]any) policy.Change {
		changes = nil
		require.True(t, d.post(webhook.ValidatePath, review(fields)).Allowed)
		require.Len(t, changes, 1)
		return changes[0]
	}

	c := last(map[string]any{"dryRun": true})
	assert.Equal(t, policy.Create, c.Operation)
	assert.Equal(t, policy.Requester{Name: "ann", Groups: []string{"devs"}}, c.Requester)
	assert.True(t, c.DryRun)
	assert.Nil(t, c.Old)
	assert.Equal(t, resource.Key{Kind: resource.KindGateway, Namespace: "team-a", Name: "web"}, c.New.Key())

	c = last(map[string]any{"operation": "UPDATE", "oldObject": gateway("web", nil)})
	assert.Equal(t, policy.Update, c.Operation)
	assert.NotNil(t, c.Old)
	assert.NotNil(t, c.New)

	c = last(map[string]any{"operation": "DELETE", "object": nil, "oldObject": gateway("web", nil)})
	assert.Equal(t, policy.Delete, c.Operation)
	assert.NotNil(t, c.Old)
	assert.Nil(t, c.New)
}

func TestNamespaceAndNameAreCompletedFromTheRequest(t *testing.T) {
	var changes []policy.Change
	d := newDoor(t, watching(&changes))
	d.post(webhook.ValidatePath, review(map[string]any{
		"name":   "",
		"object": map[string]any{"metadata": map[string]any{"generateName": "web-"}, "spec": map[string]any{}},
	}))
	require.Len(t, changes, 1)
	assert.Equal(t, resource.Key{Kind: resource.KindGateway, Namespace: "team-a"}, changes[0].New.Key())
	assert.Equal(t, "web-…", changes[0].New.GetMeta().DisplayName())

	d.post(webhook.ValidatePath, review(map[string]any{"object": map[string]any{"metadata": map[string]any{}}}))
	require.Len(t, changes, 2)
	assert.Equal(t, "web", changes[1].New.GetMeta().Name)
}

// TestKindIsTheConvertedOne sends what the API server sends under matchPolicy Equivalent:
// the object in request.kind, while the client used request.requestKind.
func TestKindIsTheConvertedOne(t *testing.T) {
	var changes []policy.Change
	d := newDoor(t, watching(&changes))
	d.post(webhook.ValidatePath, review(map[string]any{
		"requestKind": map[string]any{"group": "networking.istio.io", "version": "v9", "kind": "Gateway"},
	}))
	assert.Len(t, changes, 1)
}

func TestUnreadableNewObjectIsRefusedWithItsField(t *testing.T) {
	var changes []policy.Change
	d := newDoor(t, watching(&changes))
	r := d.post(webhook.ValidatePath, review(map[string]any{"object": unreadable}))
	assert.False(t, r.Allowed)
	require.NotNil(t, r.Result)
	assert.EqualValues(t, 400, r.Result.Code)
	assert.Equal(t, metav1.StatusReasonBadRequest, r.Result.Reason)
	assert.Equal(t, "Failure", r.Result.Status)
	assert.True(t, strings.HasPrefix(r.Result.Message, "gatewarden cannot read Gateway team-a/web: spec.servers[0].port.number: "), r.Result.Message)
	require.Len(t, r.Result.Details.Causes, 1)
	assert.Equal(t, "spec.servers[0].port.number", r.Result.Details.Causes[0].Field)
	assert.Equal(t, metav1.CauseTypeFieldValueInvalid, r.Result.Details.Causes[0].Type)
	assert.NotContains(t, r.Result.Details.Causes[0].Message, "spec.servers")
	assert.Empty(t, changes)
	assert.Equal(t, metrics.Undecodable, d.records.admissions[0].Decision)
}

func TestUnreadableOldObjectNeverBlocks(t *testing.T) {
	var changes []policy.Change
	d := newDoor(t, watching(&changes))

	r := d.post(webhook.ValidatePath, review(map[string]any{"operation": "UPDATE", "oldObject": unreadable}))
	assert.True(t, r.Allowed)
	require.Len(t, changes, 1)
	assert.Equal(t, policy.Update, changes[0].Operation)
	assert.Nil(t, changes[0].Old)

	r = d.post(webhook.ValidatePath, review(map[string]any{"operation": "DELETE", "object": nil, "oldObject": unreadable}))
	assert.True(t, r.Allowed)
	assert.Len(t, changes, 1)
	assert.Contains(t, d.log.String(), "the stored object cannot be read")
}

// TestSelfTestOfIstiodIsLetThrough sends what istiod sends until its own webhook refuses it.
func TestSelfTestOfIstiodIsLetThrough(t *testing.T) {
	d := newDoor(t, finding("GWD901", policy.Fault{Effect: policy.Deny}))
	object := gateway("istiod-test", map[string]string{"internal.istio.io/webhook-always-reject": "true"})
	assert.True(t, d.post(webhook.ValidatePath, review(map[string]any{"object": object, "dryRun": true})).Allowed)
	assert.False(t, d.post(webhook.ValidatePath, review(map[string]any{"object": object})).Allowed,
		"an annotation must not open the door to an object that is stored")
}

// deployment is a gateway workload that lacks everything.
func deployment(labels, annotations map[string]string) map[string]any {
	return map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment",
		"metadata": map[string]any{"name": "gw", "namespace": "team-a"},
		"spec": map[string]any{
			"unknownField": 1.5,
			"template": map[string]any{
				"metadata": map[string]any{"labels": labels, "annotations": annotations},
				"spec":     map[string]any{"containers": []any{map[string]any{"name": "istio-proxy", "image": "auto"}}},
			},
		},
	}
}

func deploymentReview(operation string, object any) string {
	return review(map[string]any{
		"kind": map[string]any{"group": "apps", "version": "v1", "kind": "Deployment"},
		"name": "gw", "operation": operation, "object": object,
	})
}

func TestMutatePatchesOnceAndThenNever(t *testing.T) {
	d := newDoor(t)
	for _, operation := range []string{"CREATE", "UPDATE"} {
		object := deployment(map[string]string{"app": "gw"}, nil)
		r := d.post(webhook.MutatePath, deploymentReview(operation, object))
		require.True(t, r.Allowed)
		require.NotNil(t, r.PatchType)
		assert.Equal(t, admissionv1.PatchTypeJSONPatch, *r.PatchType)
		assert.Nil(t, r.Result)

		patch, err := jsonpatch.DecodePatch(r.Patch)
		require.NoError(t, err)
		raw, err := json.Marshal(object)
		require.NoError(t, err)
		patched, err := patch.Apply(raw)
		require.NoError(t, err)
		assert.Contains(t, string(patched), `"unknownField":1.5`)
		assert.Contains(t, string(patched), "net.ipv4.ip_unprivileged_port_start")

		again := d.post(webhook.MutatePath, deploymentReview(operation, json.RawMessage(patched)))
		assert.Equal(t, &admissionv1.AdmissionResponse{UID: "u-1", Allowed: true}, again)
	}
	assert.Equal(t, metrics.Patched, d.records.admissions[0].Decision)
	assert.Equal(t, metrics.Allowed, d.records.admissions[1].Decision)
}

func TestMutateLeavesTheRestAlone(t *testing.T) {
	d := newDoor(t)
	app := deployment(nil, nil)
	app["spec"].(map[string]any)["template"].(map[string]any)["spec"] = map[string]any{
		"containers": []any{map[string]any{"name": "app", "image": "app:1"}},
	}
	for name, body := range map[string]string{
		"an application": deploymentReview("CREATE", app),
		"a deletion":     deploymentReview("DELETE", nil),
		"a Gateway":      review(nil),
		"a scaling": review(map[string]any{
			"kind":        map[string]any{"group": "autoscaling", "version": "v1", "kind": "Scale"},
			"subResource": "scale", "operation": "UPDATE",
		}),
	} {
		assert.Equal(t, &admissionv1.AdmissionResponse{UID: "u-1", Allowed: true}, d.post(webhook.MutatePath, body), name)
	}
}

func TestMutateRefusesWhatItCannotRead(t *testing.T) {
	d := newDoor(t)
	object := deployment(nil, nil)
	object["spec"].(map[string]any)["template"].(map[string]any)["spec"] = "nothing"
	r := d.post(webhook.MutatePath, deploymentReview("CREATE", object))
	assert.False(t, r.Allowed)
	assert.EqualValues(t, 400, r.Result.Code)
	assert.Contains(t, r.Result.Message, "spec.template.spec")

	w := d.request("POST", webhook.MutatePath, "application/json", deploymentReview("CREATE", nil))
	assert.Equal(t, 400, w.Code)
	assert.Equal(t, "request.object: is missing: a request for CREATE must have it\n", w.Body.String())
}
