package webhook

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gatewarden/gatewarden/pkg/decode"
	"github.com/gatewarden/gatewarden/pkg/ledger"
	"github.com/gatewarden/gatewarden/pkg/metrics"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// The API server passes warnings on as HTTP headers. From 4,096 characters in all it cuts
// every warning to 256 (truncateAtTotalRunes and truncateItemRunes in k8s.io/apiserver
// pkg/endpoints/filters/warning.go), which would take the end off each, where the fix is.
// Bytes are counted here, of which there are never fewer than characters.
const (
	maxWarning  = 255
	maxWarnings = 4095
)

// maxListed is how many denials the message spells out; status.details.causes has them all.
const maxListed = 20

// rulesAnnotation is the key of the audit annotation with the IDs of the rules that found
// something. The API server puts the webhook's name and a slash before it.
const rulesAnnotation = "rules"

// encode makes the answer to a request.
func encode(q *admissionv1.AdmissionRequest, r *admissionv1.AdmissionResponse) ([]byte, error) {
	r.UID = q.UID
	return json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: reviewVersion, Kind: reviewKind},
		Response: r,
	})
}

// respond makes the response to a decision about an object.
func respond(q *admissionv1.AdmissionRequest, o resource.Object, d policy.Decision) *admissionv1.AdmissionResponse {
	r := &admissionv1.AdmissionResponse{Allowed: !d.Denied(), Warnings: warnings(d.Of(policy.Warn))}
	if ids := ruleIDs(d.Findings); len(ids) > 0 {
		r.AuditAnnotations = map[string]string{rulesAnnotation: strings.Join(ids, ",")}
	}
	if r.Allowed {
		return r
	}
	denials := d.Of(policy.Deny)
	// Both must be set: the API server turns a code below 400 into 400 (ToStatusErr in
	// k8s.io/apiserver pkg/admission/plugin/webhook/errors).
	r.Result = failure(q, o.GetMeta(), http.StatusForbidden, metav1.StatusReasonForbidden, message(q, o, denials), causes(denials))
	return r
}

// causes makes data of denials.
func causes(denials []policy.Finding) []metav1.StatusCause {
	out := make([]metav1.StatusCause, len(denials))
	for i, f := range denials {
		out[i] = metav1.StatusCause{Type: metav1.CauseType(f.Rule), Message: f.Message, Field: f.Field}
	}
	return out
}

// maxInTheWay is how many changes in the way a refusal names.
const maxInTheWay = 5

// busy makes the response to a change that can not be admitted while others are on their way. The
// code makes clients try again by themselves (IsRetryableError and withRetry in k8s.io/client-go rest).
func busy(q *admissionv1.AdmissionRequest, o resource.Object, r *ledger.Refusal) *admissionv1.AdmissionResponse {
	var names []string
	for i, by := range r.By {
		if i == maxInTheWay {
			names = append(names, fmt.Sprintf("%d more", len(r.By)-i))
			break
		}
		names = append(names, fmt.Sprintf("%s of %s by %s", by.Operation, by.Key, by.Requester))
	}
	denials := r.Decision.Of(policy.Deny)
	text := message(q, o, denials) + fmt.Sprintf("\nThat is so if a change is stored that is on its way: %s. "+
		"If it is not, its claim is free again at %s at the latest; try again.",
		oneLine(strings.Join(names, ", ")), r.Until.UTC().Format("15:04:05 MST"))
	status := failure(q, o.GetMeta(), http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests, text, causes(denials))
	status.Details.RetryAfterSeconds = int32(r.After.Seconds())
	return &admissionv1.AdmissionResponse{
		Result:           status,
		AuditAnnotations: map[string]string{rulesAnnotation: strings.Join(ruleIDs(r.Decision.Findings), ",")},
	}
}

// message is what kubectl prints after "denied the request: ".
func message(q *admissionv1.AdmissionRequest, o resource.Object, denials []policy.Finding) string {
	key := o.Key()
	key.Name = o.GetMeta().DisplayName()
	var b strings.Builder
	fmt.Fprintf(&b, "gatewarden denies %s of %s:", q.Operation, key)
	for i, f := range denials {
		if i == maxListed {
			fmt.Fprintf(&b, "\nand %d more, see status.details.causes", len(denials)-i)
			break
		}
		b.WriteString("\n" + oneLine(f.String()))
	}
	return b.String()
}

// undecodable is the outcome of a request whose object can not be read.
func undecodable(q *admissionv1.AdmissionRequest, err error) outcome {
	cause := metav1.StatusCause{Type: metav1.CauseTypeFieldValueInvalid, Message: err.Error()}
	if field := (*decode.Error)(nil); errors.As(err, &field) {
		cause.Field, cause.Message = field.Field, field.Detail
	}
	m := &resource.Meta{Name: q.Name, Namespace: q.Namespace}
	kind := resource.Kind(q.Kind.Kind)
	if api, known := resource.Lookup(metav1.GroupVersion{Group: q.Kind.Group, Version: q.Kind.Version}.String(), q.Kind.Kind); known {
		kind = api.Kind
	}
	key := resource.Key{Kind: kind, Namespace: m.Namespace, Name: m.DisplayName()}
	text := fmt.Sprintf("gatewarden cannot read %s: %s", key, oneLine(err.Error()))
	return outcome{
		decision: metrics.Undecodable,
		reason:   oneLine(err.Error()),
		response: &admissionv1.AdmissionResponse{
			Result: failure(q, m, http.StatusBadRequest, metav1.StatusReasonBadRequest, text, []metav1.StatusCause{cause}),
		},
	}
}

func failure(q *admissionv1.AdmissionRequest, m *resource.Meta, code int32, reason metav1.StatusReason, text string, causes []metav1.StatusCause) *metav1.Status {
	return &metav1.Status{
		Status:  metav1.StatusFailure,
		Code:    code,
		Reason:  reason,
		Message: text,
		Details: &metav1.StatusDetails{Name: m.Name, Group: q.Kind.Group, Kind: q.Kind.Kind, Causes: causes},
	}
}

// warnings makes one line of each finding, as many as fit.
func warnings(findings []policy.Finding) []string {
	var out []string
	total := 0
	for i, f := range findings {
		w := oneLine(f.String())
		if see := "see gatewarden rules " + f.Rule; len(w) > maxWarning {
			w = truncate(w, maxWarning-len(see)-1) + " " + see
		}
		// A line that says how many are left out has to fit behind this one, unless this
		// is the last.
		left := len(findings) - i
		rest := fmt.Sprintf("gatewarden: further warnings that are not shown: %d", left)
		if reserve := len(rest); total+len(w)+reserve > maxWarnings && (left > 1 || total+len(w) > maxWarnings) {
			return append(out, rest)
		}
		out = append(out, w)
		total += len(w)
	}
	return out
}

// oneLine makes a text safe to be put on one line of a terminal and into an HTTP header,
// which the API server does with warnings: no line breaks, no control characters, valid
// UTF-8.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// truncate cuts a text to size bytes at most, the ellipsis included, and never within a
// character.
func truncate(s string, size int) string {
	const ellipsis = "…"
	if len(s) <= size {
		return s
	}
	end := size - len(ellipsis)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + ellipsis
}
