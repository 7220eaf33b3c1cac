package webhook

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"

	admissionv1 "k8s.io/api/admission/v1"

	"github.com/gatewarden/gatewarden/pkg/decode"
	"github.com/gatewarden/gatewarden/pkg/gatewaypod"
	"github.com/gatewarden/gatewarden/pkg/ledger"
	"github.com/gatewarden/gatewarden/pkg/metrics"
	"github.com/gatewarden/gatewarden/pkg/mutate"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
)

// SelfTestAnnotation is on an object that istiod sends as a dry run to learn whether Istio's
// own validation webhook works: it waits for that one to refuse it (createInvalidGateway in
// istio.io/istio pkg/webhooks/validation/controller/controller.go). If gatewarden refused it,
// istiod would take that for its own webhook's answer.
const SelfTestAnnotation = "internal.istio.io/webhook-always-reject"

// call is one request on its way.
type call struct {
	request  *admissionv1.AdmissionRequest // nil until the body was read
	snapshot *state.Snapshot
	engine   *policy.Engine
	ledger   Ledger          // nil for none
	ctx      context.Context // ends when nobody waits for the answer any more
	log      *slog.Logger
}

// outcome is how a request ends: with a response, or with a problem.
type outcome struct {
	decision metrics.Decision
	response *admissionv1.AdmissionResponse
	problem  string // one line; not empty means that there is no response
	findings []policy.Finding
	rules    []string // the IDs in findings, each once
	reason   string   // for logs: why the request was not judged
}

// allow is the outcome of a request that is not judged.
func allow(d metrics.Decision, reason string) outcome {
	return outcome{decision: d, reason: reason, response: &admissionv1.AdmissionResponse{Allowed: true}}
}

// scope returns the API of a request's object, or false and an outcome if the request is
// none of gatewarden's business. The kind is that of request.kind and not of
// request.requestKind: with matchPolicy Equivalent, the API server converts the object to
// the former.
func (c *call) scope(handles func(resource.Kind, policy.Operation) bool) (resource.API, outcome, bool) {
	q := c.request
	gvk := q.Kind
	version := gvk.Version
	if gvk.Group != "" {
		version = gvk.Group + "/" + gvk.Version
	}
	api, known := resource.Lookup(version, gvk.Kind)
	if !known || q.SubResource != "" || q.Operation == admissionv1.Connect || !handles(api.Kind, policy.Operation(q.Operation)) {
		return api, allow(metrics.OutOfScope, ""), false
	}
	key := resource.Key{Kind: api.Kind, Name: q.Name}
	if api.Namespaced {
		key.Namespace = q.Namespace
	}
	if reason := c.engine.Config().Exempt(q.UserInfo.Username, q.UserInfo.Groups, key); reason != "" {
		return api, allow(metrics.Exempt, reason), false
	}
	return api, outcome{}, true
}

// validate decides a request to ValidatePath.
func validate(c *call) outcome {
	api, out, ok := c.scope(c.engine.Judges)
	if !ok {
		return out
	}
	q := c.request
	change := policy.Change{
		Operation: policy.Operation(q.Operation),
		Requester: policy.Requester{Name: q.UserInfo.Username, Groups: q.UserInfo.Groups},
		DryRun:    q.DryRun != nil && *q.DryRun,
	}
	if change.Operation == policy.Delete {
		if absent(q.OldObject.Raw) {
			return missing("request.oldObject", q.Operation)
		}
		if change.Old = c.old(api); change.Old == nil {
			return allow(metrics.Allowed, "the object to delete cannot be read")
		}
		return c.decide(api, change)
	}
	if absent(q.Object.Raw) {
		return missing("request.object", q.Operation)
	}
	if change.DryRun && isSelfTest(q.Object.Raw) {
		return allow(metrics.OutOfScope, "istiod tests its own webhook")
	}
	var err error
	if change.New, err = c.decode(api, q.Object.Raw); err != nil {
		if c.wasUndecodable(api, err) {
			out := allow(metrics.Allowed, oneLine(err.Error()))
			out.response.Warnings = []string{truncate(oneLine("gatewarden cannot read the object, as it could not before: "+err.Error()), maxWarning)}
			return out
		}
		return undecodable(q, err)
	}
	if change.Operation == policy.Update {
		change.Old = c.old(api)
	}
	return c.decide(api, change)
}

// mutateWorkload decides a request to MutatePath.
func mutateWorkload(c *call) outcome {
	api, out, ok := c.scope(func(kind resource.Kind, op policy.Operation) bool {
		return gatewaypod.Handles(kind) && op != policy.Delete
	})
	if !ok {
		return out
	}
	q := c.request
	if absent(q.Object.Raw) {
		return missing("request.object", q.Operation)
	}
	object, err := c.decode(api, q.Object.Raw)
	if err != nil {
		return undecodable(q, err)
	}
	workload, ok := object.(*resource.Workload)
	if !ok {
		return allow(metrics.OutOfScope, "")
	}
	operations, err := mutate.Patch(c.engine.World(c.snapshot), workload, q.Object.Raw)
	if err != nil {
		return undecodable(q, err)
	}
	if len(operations) == 0 {
		return allow(metrics.Allowed, "")
	}
	patch, err := json.Marshal(operations)
	if err != nil {
		panic(err) // the operations are made of strings and of what came from JSON
	}
	out = allow(metrics.Patched, "")
	patchType := admissionv1.PatchTypeJSONPatch
	out.response.Patch, out.response.PatchType = patch, &patchType
	return out
}

// decide asks the engine and, if the change could be in another one's way, the ledger. One that is
// refused anyway is in nobody's, nor is one that nobody will store or that means what is stored.
func (c *call) decide(api resource.API, change policy.Change) outcome {
	d := c.engine.Decide(c.snapshot, change)
	if d.Exempt != "" {
		return allow(metrics.Exempt, d.Exempt)
	}
	if c.ledger == nil || d.Denied() || change.DryRun || change.Operation == policy.Update && resource.Same(change.Old, change.New) {
		return c.decided(change, d)
	}
	entry := ledger.Change{
		Key: change.Object().Key(), Operation: change.Operation, Object: change.New, UID: change.Object().GetMeta().UID,
		Request: string(c.request.UID), Requester: change.Requester.Name,
	}
	if change.Old != nil {
		entry.Before = change.Old.GetMeta().Version
	}
	var raw []byte
	if change.New != nil {
		var err error
		if raw, err = decode.Prune(api, c.request.Object.Raw); err != nil {
			return undecodable(c.request, err)
		}
	}
	verdict, refusal, err := c.ledger.Admit(c.ctx, entry, raw, func(s *state.Snapshot) policy.Decision {
		return c.engine.Decide(s, change)
	})
	switch {
	case err != nil:
		return outcome{decision: metrics.Unready, problem: "not ready: " + oneLine(err.Error())}
	case refusal != nil:
		return outcome{
			decision: metrics.Busy, response: busy(c.request, change.Object(), refusal),
			findings: verdict.Decision.Findings, rules: ruleIDs(verdict.Decision.Findings),
		}
	}
	return c.decided(change, verdict.Decision)
}

// decided is the outcome of a decision that stands.
func (c *call) decided(change policy.Change, d policy.Decision) outcome {
	out := outcome{decision: metrics.Allowed, findings: d.Findings, rules: ruleIDs(d.Findings)}
	if d.Denied() {
		out.decision = metrics.Denied
	}
	out.response = respond(c.request, change.Object(), d)
	return out
}

// decode reads an object. What the API server leaves out of it is taken from the request:
// the namespace may be missing in an object that is created (it is in the URL), and so may
// the name.
func (c *call) decode(api resource.API, raw []byte) (resource.Object, error) {
	o, err := decode.Object(api, raw)
	if err != nil {
		return nil, err
	}
	m := o.GetMeta()
	if api.Namespaced && m.Namespace == "" {
		m.Namespace = c.request.Namespace
	}
	if m.Name == "" {
		m.Name = c.request.Name
	}
	return o, nil
}

// wasUndecodable reports whether the stored object has the same fault already: a change to
// something else in it, or by a controller to its metadata, is not to be refused for that.
func (c *call) wasUndecodable(api resource.API, now error) bool {
	if absent(c.request.OldObject.Raw) {
		return false
	}
	_, before := c.decode(api, c.request.OldObject.Raw)
	return before != nil && before.Error() == now.Error()
}

// old reads the stored object. One that can not be read counts as not there: it was stored
// before gatewarden knew better, or before a version of gatewarden that is stricter, and a
// repair of it must not be refused.
func (c *call) old(api resource.API) resource.Object {
	if absent(c.request.OldObject.Raw) {
		return nil
	}
	o, err := c.decode(api, c.request.OldObject.Raw)
	if err != nil {
		c.log.Warn("the stored object cannot be read and counts as absent",
			"uid", string(c.request.UID), "kind", c.request.Kind.Kind,
			"namespace", c.request.Namespace, "name", c.request.Name, "problem", err.Error())
		return nil
	}
	return o
}

// missing is the outcome of a request without its object.
func missing(field string, op admissionv1.Operation) outcome {
	return outcome{
		decision: metrics.Invalid,
		problem:  field + ": is missing: a request for " + string(op) + " must have it",
	}
}

func isSelfTest(raw []byte) bool {
	var o struct {
		Metadata struct {
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
	}
	if json.Unmarshal(raw, &o) != nil {
		return false
	}
	_, ok := o.Metadata.Annotations[SelfTestAnnotation]
	return ok
}

// ruleIDs returns the IDs of the rules in findings, each once, in the order of the findings.
func ruleIDs(findings []policy.Finding) []string {
	var out []string
	for _, f := range findings {
		if !slices.Contains(out, f.Rule) {
			out = append(out, f.Rule)
		}
	}
	return out
}
