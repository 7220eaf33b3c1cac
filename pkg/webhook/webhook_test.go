package webhook_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/metrics"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
	"github.com/gatewarden/gatewarden/pkg/webhook"
)

// records keeps what a Recorder is told.
type records struct {
	metrics.Discard
	mu         sync.Mutex
	admissions []metrics.Admission
	findings   []string
	panics     int
}

func (r *records) Admission(a metrics.Admission) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a.Duration = 0
	r.admissions = append(r.admissions, a)
}

func (r *records) Finding(rule, effect string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.findings = append(r.findings, rule+" "+effect)
}

func (r *records) Panic() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.panics++
}

// door is a Handler with everything around it.
type door struct {
	*webhook.Handler
	options  webhook.Options
	t        *testing.T
	writer   *state.Writer
	records  *records
	log      *bytes.Buffer
	engine   *policy.Engine
	synced   bool
	notReady error
	caller   func(*tls.ConnectionState) (int, error)
}

// newDoor returns a door behind which the rules judge.
func newDoor(t *testing.T, rules ...*policy.Rule) *door {
	t.Helper()
	cfg := deploykf.Default()
	cfg.Exemptions = []config.Exemption{{Users: []string{"root"}, Groups: []string{"system:masters"}, Reason: "break glass"}}
	d := &door{
		t: t, writer: state.NewWriter(), records: &records{}, log: &bytes.Buffer{},
		engine: policy.NewEngine(cfg, rules), synced: true,
		caller: func(*tls.ConnectionState) (int, error) { return 0, nil },
	}
	d.options = webhook.Options{
		Engine:   func() *policy.Engine { return d.engine },
		State:    func() (*state.Snapshot, bool) { return d.writer.Snapshot(), d.synced },
		NotReady: func() error { return d.notReady },
		Caller:   func(c *tls.ConnectionState) (int, error) { return d.caller(c) },
		Recorder: d.records,
		Log:      slog.New(slog.NewJSONHandler(d.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	d.Handler = webhook.New(d.options)
	return d
}

func (d *door) request(method, path, contentType, body string) *httptest.ResponseRecorder {
	d.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w
}

// post sends a review and returns the response to it, which must be well formed.
func (d *door) post(path, review string) *admissionv1.AdmissionResponse {
	d.t.Helper()
	w := d.request(http.MethodPost, path, "application/json", review)
	require.Equal(d.t, http.StatusOK, w.Code, w.Body.String())
	assert.Equal(d.t, "application/json", w.Header().Get("Content-Type"))
	var out admissionv1.AdmissionReview
	require.NoError(d.t, json.Unmarshal(w.Body.Bytes(), &out))
	assert.Equal(d.t, "admission.k8s.io/v1", out.APIVersion)
	assert.Equal(d.t, "AdmissionReview", out.Kind)
	assert.Nil(d.t, out.Request)
	require.NotNil(d.t, out.Response)
	return out.Response
}

// review makes an AdmissionReview of the fields of its request, which replace those of a
// CREATE of a Gateway.
func review(fields map[string]any) string {
	request := map[string]any{
		"uid":       "u-1",
		"kind":      map[string]any{"group": "networking.istio.io", "version": "v1", "kind": "Gateway"},
		"resource":  map[string]any{"group": "networking.istio.io", "version": "v1", "resource": "gateways"},
		"name":      "web",
		"namespace": "team-a",
		"operation": "CREATE",
		"userInfo":  map[string]any{"username": "ann", "groups": []string{"devs"}},
		"object":    gateway("web", nil),
	}
	for k, v := range fields {
		request[k] = v
	}
	b, err := json.Marshal(map[string]any{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
	if err != nil {
		panic(err)
	}
	return string(b)
}

func gateway(name string, annotations map[string]string) map[string]any {
	return map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "Gateway",
		"metadata": map[string]any{"name": name, "namespace": "team-a", "annotations": annotations},
		"spec":     map[string]any{"selector": map[string]string{"app": "x"}},
	}
}

// unreadable has a port that is no number.
var unreadable = map[string]any{
	"apiVersion": "networking.istio.io/v1", "kind": "Gateway",
	"metadata": map[string]any{"name": "web", "namespace": "team-a"},
	"spec": map[string]any{"servers": []any{map[string]any{
		"port": map[string]any{"number": "http", "name": "http", "protocol": "HTTP"}, "hosts": []string{"a.example.com"},
	}}},
}

// finding is a rule about Gateways that always reports the same faults.
func finding(id string, faults ...policy.Fault) *policy.Rule {
	return &policy.Rule{
		ID: id, Name: "test-rule",
		Kinds:      []resource.Kind{resource.KindGateway},
		Operations: []policy.Operation{policy.Create, policy.Update},
		Object: func(_ *policy.World, _ resource.Object, report func(policy.Fault)) {
			for i, f := range faults {
				if f.Subject == "" {
					f.Subject = fmt.Sprint(i)
				}
				report(f)
			}
		},
	}
}

// watching is a rule about all operations on Gateways that keeps the changes it is shown.
func watching(changes *[]policy.Change) *policy.Rule {
	return &policy.Rule{
		ID: "GWD998", Name: "test-watch",
		Kinds:      []resource.Kind{resource.KindGateway},
		Operations: []policy.Operation{policy.Create, policy.Update, policy.Delete},
		Transition: func(_, _ *policy.World, c policy.Change, _ func(policy.Fault)) { *changes = append(*changes, c) },
	}
}

func TestNewNeedsEngineAndState(t *testing.T) {
	assert.Panics(t, func() { webhook.New(webhook.Options{}) })
}

// TestOthersGetNoDecision holds that who may not ask does not even learn whether there is an answer.
func TestOthersGetNoDecision(t *testing.T) {
	d := newDoor(t, finding("GWD901", policy.Fault{Effect: policy.Deny}))
	d.notReady = errors.New("the serving certificate expired")
	d.caller = func(*tls.ConnectionState) (int, error) {
		return http.StatusUnauthorized, errors.New("there is no client certificate")
	}
	for _, path := range []string{webhook.ValidatePath, webhook.MutatePath} {
		w := d.request(http.MethodPost, path, "application/json", review(nil))
		assert.Equal(t, http.StatusUnauthorized, w.Code)
		assert.Equal(t, "there is no client certificate\n", w.Body.String())
	}
	assert.Equal(t, metrics.Invalid, d.records.admissions[0].Decision)
	assert.Contains(t, d.log.String(), `"status":401,"problem":"there is no client certificate"`)
	d.notReady = nil
	for _, path := range []string{webhook.ReadyPath, webhook.HealthPath} {
		assert.Equal(t, http.StatusOK, d.request(http.MethodGet, path, "", "").Code, "probes are for everybody")
	}
}

func TestNotReady(t *testing.T) {
	d := newDoor(t, finding("GWD901", policy.Fault{Effect: policy.Deny}))
	for name, test := range map[string]struct {
		synced   bool
		notReady error
		want     string
	}{
		"not synced":     {false, nil, "not ready: the state of the cluster is not loaded yet: try again in a moment\n"},
		"no certificate": {true, errors.New("the serving certificate expired"), "not ready: the serving certificate expired\n"},
		"both":           {false, errors.New("gateways cannot be listed"), "not ready: gateways cannot be listed\n"},
	} {
		t.Run(name, func(t *testing.T) {
			d.synced, d.notReady = test.synced, test.notReady
			for _, path := range []string{webhook.ValidatePath, webhook.MutatePath} {
				// Whatever is posted: that it can not be judged comes first.
				for _, body := range []string{review(nil), "nonsense"} {
					w := d.request(http.MethodPost, path, "application/json", body)
					assert.Equal(t, http.StatusServiceUnavailable, w.Code)
					assert.Equal(t, "text/plain; charset=utf-8", w.Header().Get("Content-Type"))
					assert.Equal(t, test.want, w.Body.String())
					assert.Equal(t, "close", w.Header().Get("Connection"), "the API server stays at a replica that is not ready")
				}
			}
			w := d.request(http.MethodGet, webhook.ReadyPath, "", "")
			assert.Equal(t, http.StatusServiceUnavailable, w.Code)
			assert.Equal(t, test.want, w.Body.String())
			assert.Equal(t, http.StatusOK, d.request(http.MethodGet, webhook.HealthPath, "", "").Code, "alive while not ready")
		})
	}
	d.synced, d.notReady = true, nil
	assert.Equal(t, http.StatusOK, d.request(http.MethodGet, webhook.ReadyPath, "", "").Code)
	assert.Equal(t, metrics.Unready, d.records.admissions[0].Decision)
}

func TestDrainStopsReadinessOnly(t *testing.T) {
	d := newDoor(t)
	d.Drain()
	w := d.request(http.MethodGet, webhook.ReadyPath, "", "")
	assert.Equal(t, http.StatusServiceUnavailable, w.Code)
	assert.Equal(t, "not ready: shutting down\n", w.Body.String())
	assert.True(t, d.post(webhook.ValidatePath, review(nil)).Allowed, "requests on their way must be answered")
}

// An API server has left before the connections are closed, so that no call is being sent then.
func TestDrainEndsConnections(t *testing.T) {
	d := newDoor(t)
	ask := func() string {
		w := d.request(http.MethodPost, webhook.ValidatePath, "application/json", review(nil))
		assert.Equal(t, http.StatusOK, w.Code)
		return w.Header().Get("Connection")
	}
	assert.Empty(t, ask())
	d.Drain()
	assert.Equal(t, "close", ask())
}

func TestOtherPathsAreNotFound(t *testing.T) {
	assert.Equal(t, http.StatusNotFound, newDoor(t).request(http.MethodPost, "/other", "application/json", review(nil)).Code)
}

func TestBadRequests(t *testing.T) {
	const js = "application/json"
	with := func(field string, value any) string { return review(map[string]any{field: value}) }
	for name, test := range map[string]struct {
		method, contentType, body string
		status                    int
		want                      string
	}{
		"method":               {"GET", js, "", 405, "method GET is not allowed: use POST"},
		"content type":         {"POST", "text/yaml", review(nil), 415, `Content-Type "text/yaml" is not supported: send application/json`},
		"no content type":      {"POST", "", review(nil), 415, `Content-Type "" is not supported: send application/json`},
		"empty":                {"POST", js, "", 400, "body: is empty: send an AdmissionReview of admission.k8s.io/v1"},
		"not JSON":             {"POST", js, "apiVersion: v1", 400, "body: is not valid JSON at byte 1: invalid character 'a' looking for beginning of value"},
		"cut off":              {"POST", js, review(nil)[:100], 400, "body: is not valid JSON at byte 100: unexpected end of JSON input"},
		"two documents":        {"POST", js, review(nil) + "{}", 400, fmt.Sprintf("body: is not valid JSON at byte %d: invalid character '{' after top-level value", len(review(nil))+1)},
		"a list":               {"POST", js, "[]", 400, "body: must not be of type array: send an AdmissionReview of admission.k8s.io/v1"},
		"null":                 {"POST", js, "null", 400, `apiVersion: "" is not supported: send admission.k8s.io/v1 (admissionReviewVersions: [v1] in the webhook configuration)`},
		"other version":        {"POST", js, `{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview"}`, 400, `apiVersion: "admission.k8s.io/v1beta1" is not supported: send admission.k8s.io/v1 (admissionReviewVersions: [v1] in the webhook configuration)`},
		"other kind":           {"POST", js, `{"apiVersion":"admission.k8s.io/v1","kind":"Pod"}`, 400, `kind: "Pod" is not supported: send an AdmissionReview`},
		"no request":           {"POST", js, `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"1"}}`, 400, "request: is missing: an AdmissionReview that is sent to a webhook must have one"},
		"request is text":      {"POST", js, `{"request":"x"}`, 400, "request: must not be of type string: send an AdmissionReview of admission.k8s.io/v1"},
		"no uid":               {"POST", js, with("uid", ""), 400, "request.uid: is empty: set it, the response is matched by it"},
		"uid is a number":      {"POST", js, with("uid", 7), 400, "request.uid: must not be of type number: send an AdmissionReview of admission.k8s.io/v1"},
		"no kind":              {"POST", js, with("kind", map[string]any{}), 400, "request.kind: has no kind or no version: set both to those of request.object"},
		"no operation":         {"POST", js, with("operation", ""), 400, `request.operation: "" is no operation: use CREATE, UPDATE, DELETE or CONNECT`},
		"another operation":    {"POST", js, with("operation", "PATCH"), 400, `request.operation: "PATCH" is no operation: use CREATE, UPDATE, DELETE or CONNECT`},
		"create of nothing":    {"POST", js, with("object", nil), 400, "request.object: is missing: a request for CREATE must have it"},
		"update with nothing":  {"POST", js, review(map[string]any{"operation": "UPDATE", "object": nil}), 400, "request.object: is missing: a request for UPDATE must have it"},
		"deletion of nothing":  {"POST", js, with("operation", "DELETE"), 400, "request.oldObject: is missing: a request for DELETE must have it"},
		"a long wrong version": {"POST", js, `{"apiVersion":"` + strings.Repeat("ä", 1000) + `"}`, 400, `apiVersion: "` + strings.Repeat("ä", 48) + `…" is not supported: send admission.k8s.io/v1 (admissionReviewVersions: [v1] in the webhook configuration)`},
		"too large":            {"POST", js, `{"a":"` + strings.Repeat("x", 7<<20) + `"}`, 413, "body: is larger than 7340032 bytes, the most that two objects can take"},
	} {
		t.Run(name, func(t *testing.T) {
			var changes []policy.Change
			d := newDoor(t, watching(&changes))
			w := d.request(test.method, webhook.ValidatePath, test.contentType, test.body)
			assert.Equal(t, test.status, w.Code)
			assert.Equal(t, test.want+"\n", w.Body.String())
			assert.Equal(t, "text/plain; charset=utf-8", w.Header().Get("Content-Type"))
			assert.Empty(t, changes)
			if test.status == http.StatusMethodNotAllowed {
				assert.Equal(t, "POST", w.Header().Get("Allow"))
			}
			require.Len(t, d.records.admissions, 1)
			assert.Equal(t, metrics.Invalid, d.records.admissions[0].Decision)
		})
	}
}

func TestContentTypeMayHaveParameters(t *testing.T) {
	w := newDoor(t).request(http.MethodPost, webhook.ValidatePath, "application/json; charset=utf-8", review(nil))
	assert.Equal(t, http.StatusOK, w.Code)
}

func TestPanicIsAnsweredAndCounted(t *testing.T) {
	d := newDoor(t, &policy.Rule{
		ID: "GWD999", Kinds: []resource.Kind{resource.KindGateway}, Operations: []policy.Operation{policy.Create},
		Object: func(*policy.World, resource.Object, func(policy.Fault)) { panic("a rule is wrong") },
	})
	w := d.request(http.MethodPost, webhook.ValidatePath, "application/json", review(nil))
	assert.Equal(t, http.StatusInternalServerError, w.Code)
	assert.Equal(t, "gatewarden failed to judge this request; its log says why\n", w.Body.String())
	assert.Equal(t, 1, d.records.panics)
	assert.Equal(t, []metrics.Admission{{Endpoint: "validate", Operation: "CREATE", Kind: "Gateway", Decision: metrics.Failed}}, d.records.admissions)
	assert.Contains(t, d.log.String(), "a rule is wrong")
	assert.Contains(t, d.log.String(), "webhook_test.go", "no stack")

	assert.True(t, d.post(webhook.ValidatePath, review(map[string]any{"operation": "CONNECT"})).Allowed, "the next request")
}

func TestLogLine(t *testing.T) {
	d := newDoor(t, finding("GWD901", policy.Fault{Effect: policy.Deny, Message: "no"}, policy.Fault{Effect: policy.Warn, Message: "hm"}))
	d.writer.Apply(&resource.Namespace{Meta: resource.Meta{Name: "team-a"}})
	d.post(webhook.ValidatePath, review(map[string]any{"dryRun": true}))

	var line map[string]any
	require.NoError(t, json.Unmarshal(d.log.Bytes(), &line), "one line: %s", d.log)
	delete(line, "time")
	delete(line, "seconds")
	assert.Equal(t, map[string]any{
		"level": "INFO", "msg": "decision", "endpoint": "validate", "decision": "denied",
		"uid": "u-1", "operation": "CREATE", "kind": "Gateway", "namespace": "team-a", "name": "web",
		"user": "ann", "dryRun": true, "generation": 1.0, "rules": []any{"GWD901"},
	}, line)
	assert.Equal(t, []string{"GWD901 deny", "GWD901 warn"}, d.records.findings)
}
