package webhook_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"

	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
	"github.com/gatewarden/gatewarden/pkg/state"
	"github.com/gatewarden/gatewarden/pkg/webhook"
	"github.com/gatewarden/gatewarden/test/worlds"
)

// FuzzHandler posts anything to both endpoints, with the real rules behind them. Each
// answer must be one that the API server understands: a review with the UID that was sent,
// or one line of text with a status of 400 to 499. A fault of gatewarden's own (500) is
// none of them.
func FuzzHandler(f *testing.F) {
	for _, seed := range []string{
		"", "{}", "null", "[]", `{"request":{}}`,
		review(nil),
		review(map[string]any{"object": unreadable}),
		review(map[string]any{"operation": "UPDATE", "oldObject": unreadable}),
		review(map[string]any{"operation": "DELETE", "oldObject": gateway("web", nil)}),
		review(map[string]any{"dryRun": true, "object": gateway("t", map[string]string{"internal.istio.io/webhook-always-reject": "x"})}),
		review(map[string]any{"uid": "\xff", "object": 1}),
		deploymentReview("CREATE", deployment(map[string]string{"app": "deploykf-gateway", "istio": "deploykf-gateway"}, nil)),
		review(map[string]any{
			"kind":   map[string]any{"group": "networking.istio.io", "version": "v1", "kind": "VirtualService"},
			"object": map[string]any{"spec": map[string]any{"hosts": []string{"*"}, "gateways": []string{"deploykf-istio-gateway/deploykf-gateway"}}},
		}),
		review(map[string]any{
			"kind":   map[string]any{"group": "security.istio.io", "version": "v1", "kind": "PeerAuthentication"},
			"object": map[string]any{"spec": map[string]any{"mtls": map[string]any{"mode": "PERMISSIVE"}}},
		}),
	} {
		f.Add(seed)
	}
	for i, m := range worlds.Samples() {
		f.Add(string(m.Review([]string{"CREATE", "UPDATE", "DELETE"}[i%3], i)))
	}
	engine := policy.NewEngine(deploykf.Default(), rules.All())
	snapshot := worlds.Snapshot(worlds.Base())
	handler := webhook.New(webhook.Options{
		Engine: func() *policy.Engine { return engine },
		State:  func() (*state.Snapshot, bool) { return snapshot, true },
	})
	f.Fuzz(func(t *testing.T, body string) {
		for _, path := range []string{webhook.ValidatePath, webhook.MutatePath} {
			r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			checkAnswer(t, body, w)
		}
	})
}

func checkAnswer(t *testing.T, body string, w *httptest.ResponseRecorder) {
	t.Helper()
	if w.Code != http.StatusOK {
		text := w.Body.String()
		if w.Code < 400 || w.Code > 499 || len(text) < 2 || strings.Index(text, "\n") != len(text)-1 {
			t.Fatalf("status %d with %q", w.Code, text)
		}
		return
	}
	var sent, got admissionv1.AdmissionReview
	if err := json.Unmarshal([]byte(body), &sent); err != nil {
		t.Fatalf("answered with 200 what is no JSON: %v", err)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatalf("the answer is no JSON: %v", err)
	}
	r := got.Response
	switch {
	case r == nil || got.Kind != "AdmissionReview" || got.APIVersion != "admission.k8s.io/v1":
		t.Fatalf("the answer is no review: %s", w.Body)
	case r.UID != sent.Request.UID:
		t.Fatalf("uid %q became %q", sent.Request.UID, r.UID)
	case !r.Allowed && (r.Result == nil || r.Result.Code < 400 || r.Result.Message == "" || r.Result.Reason == ""):
		t.Fatalf("a refusal without a reason: %s", w.Body)
	case (len(r.Patch) == 0) != (r.PatchType == nil):
		t.Fatalf("patch and patchType do not fit together: %s", w.Body)
	}
	total := 0
	for _, warning := range r.Warnings {
		total += len(warning)
		if len(warning) > 255 || strings.ContainsAny(warning, "\r\n\x00") {
			t.Fatalf("warning %q", warning)
		}
	}
	if total >= 4096 {
		t.Fatalf("%d bytes of warnings", total)
	}
}
