package scenarios

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"
	jsondiff "gomodules.xyz/jsonpatch/v2"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/gatewarden/gatewarden/pkg/manifest"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
	"github.com/gatewarden/gatewarden/pkg/state"
	"github.com/gatewarden/gatewarden/pkg/webhook"
)

// Webhook tells a story to gatewarden's handlers behind a TLS server, in the order in which
// the API server calls them: first the one that changes the object, then the one that
// judges what came of it.
func Webhook(ctx context.Context, base []manifest.Document, s *Story) (Outcome, error) {
	w, err := NewWorld(base, s)
	if err != nil {
		return Outcome{}, err
	}
	change, err := w.Change(s)
	if err != nil {
		return Outcome{}, err
	}
	engine := policy.NewEngine(s.Configuration, rules.All())
	server := httptest.NewTLSServer(webhook.New(webhook.Options{
		Engine: func() *policy.Engine { return engine },
		State:  func() (*state.Snapshot, bool) { return w.Snapshot, true },
	}))
	defer server.Close()

	request, err := admissionRequest(w, s, change)
	if err != nil {
		return Outcome{}, err
	}
	out := Outcome{}
	if s.isWorkload() && change.New != nil {
		answer, err := review(ctx, server, webhook.MutatePath, request)
		if err != nil {
			return out, err
		}
		if !answer.Allowed {
			return out, fmt.Errorf("%s refused the object: %v", webhook.MutatePath, answer.Result)
		}
		if out.Patched = len(answer.Patch) > 0; out.Patched {
			if request.Object.Raw, err = applyPatch(request.Object.Raw, answer.Patch); err != nil {
				return out, err
			}
		}
	}
	answer, err := review(ctx, server, webhook.ValidatePath, request)
	if err != nil {
		return out, err
	}
	out.Denied, out.Stored = !answer.Allowed, request.Object.Raw
	if out.Denied {
		if out.Findings, err = denials(answer.Result); err != nil {
			return out, err
		}
	}
	warned, err := warnings(answer.Warnings)
	out.Findings = append(out.Findings, warned...)
	return out, err
}

// admissionRequest makes the request as the API server does.
func admissionRequest(w *World, s *Story, c policy.Change) (*admissionv1.AdmissionRequest, error) {
	d := s.Request
	version := d.APIVersion[strings.LastIndexByte(d.APIVersion, '/')+1:]
	kind := metav1.GroupVersionKind{Group: d.API.Group, Version: version, Kind: d.KindName}
	resource := metav1.GroupVersionResource{Group: d.API.Group, Version: version, Resource: d.API.Resource}
	old, err := w.stored(c.Old)
	if err != nil {
		return nil, err
	}
	r := &admissionv1.AdmissionRequest{
		UID:             types.UID(s.Name),
		Kind:            kind,
		Resource:        resource,
		RequestKind:     &kind,
		RequestResource: &resource,
		Namespace:       d.Namespace,
		Name:            d.Name,
		Operation:       admissionv1.Operation(c.Operation),
		UserInfo:        authenticationv1.UserInfo{Username: s.User, Groups: s.Groups},
		OldObject:       runtime.RawExtension{Raw: old},
	}
	if c.New != nil {
		r.Object.Raw = d.Raw
	}
	if c.New != nil && c.Old != nil {
		r.Object.Raw, err = withCreated(d.Raw, c.Old.GetMeta().Created)
	}
	return r, err
}

// review posts a request and returns the answer.
func review(ctx context.Context, server *httptest.Server, path string, q *admissionv1.AdmissionRequest) (*admissionv1.AdmissionResponse, error) {
	in := admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "AdmissionReview"},
		Request:  q,
	}
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	post.Header.Set("Content-Type", "application/json")
	response, err := server.Client().Do(post)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	var out admissionv1.AdmissionReview
	if err := json.Unmarshal(text, &out); response.StatusCode != http.StatusOK || err != nil {
		return nil, fmt.Errorf("%s answered %s: %s", path, response.Status, text)
	}
	if out.Response == nil || out.Response.UID != q.UID {
		return nil, fmt.Errorf("%s answered another request: %s", path, text)
	}
	return out.Response, nil
}

// denials reads the findings of a denial, which are in it twice: as text in the message and
// as data in the causes.
func denials(status *metav1.Status) ([]Finding, error) {
	if status == nil || status.Details == nil || len(status.Details.Causes) == 0 {
		return nil, fmt.Errorf("a denial without causes: %v", status)
	}
	var out []Finding
	for _, c := range status.Details.Causes {
		if !strings.Contains(status.Message, string(c.Type)) || !strings.Contains(status.Message, c.Message) {
			return nil, fmt.Errorf("the message does not hold the cause %s: %s", c.Type, status.Message)
		}
		out = append(out, Finding{Rule: string(c.Type), Effect: policy.Deny, Field: c.Field, Message: c.Message})
	}
	return out, nil
}

// warnings reads the findings of the warnings that are gatewarden's.
func warnings(texts []string) ([]Finding, error) {
	const prefix = "GWD"
	var out []Finding
	for _, text := range texts {
		if !strings.HasPrefix(text, prefix) {
			continue
		}
		head, rest, ok := strings.Cut(text, ": ")
		id, _, named := strings.Cut(head, " ")
		if !ok || !named {
			return nil, fmt.Errorf("the warning %q does not begin with a rule's ID and name", text)
		}
		f := Finding{Rule: id, Effect: policy.Warn, Message: rest}
		if field, message, ok := strings.Cut(rest, ": "); ok && isField(field) {
			f.Field, f.Message = field, message
		}
		out = append(out, f)
	}
	return out, nil
}

// isField tells the path of a field from the beginning of a sentence.
func isField(s string) bool {
	return slices.ContainsFunc([]string{"spec", "metadata"}, func(root string) bool {
		return s == root || strings.HasPrefix(s, root+".")
	}) && !strings.Contains(s, " ")
}

// patched applies the operations of a JSON Patch.
func patched(raw []byte, operations []jsondiff.Operation) ([]byte, error) {
	if len(operations) == 0 {
		return raw, nil
	}
	patch, err := json.Marshal(operations)
	if err != nil {
		return nil, err
	}
	return applyPatch(raw, patch)
}

func applyPatch(raw, patch []byte) ([]byte, error) {
	p, err := jsonpatch.DecodePatch(patch)
	if err != nil {
		return nil, err
	}
	return p.Apply(raw)
}
