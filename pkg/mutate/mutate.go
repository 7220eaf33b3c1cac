// Package mutate completes gateway workloads: it computes the JSON Patch that gives a pod
// template the settings without which Istio's gateway pods do not start or can not bind
// their ports. What is needed is decided by package gatewaypod; this package writes it down.
//
// Patches are made from the bytes of the object as they were sent. An object that is decoded
// into a type and encoded again loses the fields that the type does not know yet, so only
// the few maps on the way to a setting are looked at, and nothing else is touched. Applying
// a patch leaves nothing to patch.
package mutate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"gomodules.xyz/jsonpatch/v2"

	"github.com/gatewarden/gatewarden/pkg/gatewaypod"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// Patch returns the operations that complete a Deployment or DaemonSet if it is a gateway
// workload in the world, or nil if nothing is to do: for every other object, for one that is
// already right, and for one that is being deleted. Raw is the JSON of the whole object that
// o was decoded from.
//
// The error names the field of raw that has the wrong type, in the form "field: what is
// wrong"; an object that package decode accepts does not cause one.
func Patch(w *policy.World, o *resource.Workload, raw []byte) ([]jsonpatch.Operation, error) {
	if !gatewaypod.Handles(o.Kind) || o.Terminating ||
		!gatewaypod.IsGateway(&o.Pod, gatewaypod.Selected(w.Guards, o)) {
		return nil, nil
	}
	ports := w.PortsOf(o.Pod.Labels, o.Namespace)
	needs := gatewaypod.Assess(o, ports)
	if !needs.Any() {
		return nil, nil
	}
	e, err := newEditor(raw)
	if err != nil {
		return nil, err
	}
	if needs.Label {
		if err := e.set([]string{"spec", "template", "metadata", "labels"}, gatewaypod.InjectLabel, "true"); err != nil {
			return nil, err
		}
	}
	if needs.Annotation {
		if err := e.set([]string{"spec", "template", "metadata", "annotations"},
			gatewaypod.TemplatesAnnotation, gatewaypod.GatewayTemplate); err != nil {
			return nil, err
		}
	}
	if needs.Sysctl {
		if err := e.setPortSysctl(ports); err != nil {
			return nil, err
		}
	}
	return e.ops, nil
}

// editor collects operations. Root is the object as it will be after them, because two
// settings may need the same parent. It is for looking at only: what goes out are the
// operations, so nothing of the object is ever encoded again.
type editor struct {
	root map[string]any
	ops  []jsonpatch.Operation
}

func newEditor(raw []byte) (*editor, error) {
	var v any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber() // a number that fits no float64 is none of our business
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("object: is not JSON: %w", err)
	}
	root, ok := v.(map[string]any)
	if !ok {
		return nil, wrongType("object", "an object", v)
	}
	return &editor{root: root}, nil
}

// templateDepth is the length of the path spec.template.
const templateDepth = 2

// set adds a member to the object at path. Parents that are absent or null are made by the
// same operation: in Kubernetes' API the two mean the same. The pod template itself has to
// be there.
func (e *editor) set(path []string, name string, value any) error {
	o := e.root
	for i, p := range path {
		next, ok := o[p].(map[string]any)
		switch {
		case ok:
			o = next
			continue
		case o[p] != nil:
			return wrongType(field(path[:i+1]), "an object", o[p])
		case i < templateDepth:
			return fmt.Errorf("%s: is missing: a workload needs a pod template", field(path[:i+1]))
		}
		// Twice, so that a later change of root does not reach into the operation.
		o[p] = nested(path[i+1:], name, value)
		e.add(nested(path[i+1:], name, value), path[:i+1])
		return nil
	}
	o[name] = value
	e.add(value, path, name)
	return nil
}

// nested returns the object that has a member with the value at the end of path.
func nested(path []string, name string, value any) map[string]any {
	o := map[string]any{name: value}
	for i := len(path) - 1; i >= 0; i-- {
		o = map[string]any{path[i]: o}
	}
	return o
}

// add appends an operation. To "add" a member that is there replaces it (RFC 6902, section
// 4.1), which is what a null needs.
func (e *editor) add(value any, path []string, more ...string) {
	e.ops = append(e.ops, jsonpatch.NewOperation("add", pointer(path, more...), value))
}

// setPortSysctl sets the sysctl in the pod's security context. Entries that are there keep
// their place and spelling, and those with other names are not touched.
func (e *editor) setPortSysctl(ports []uint32) error {
	at := []string{"spec", "template", "spec", "securityContext", "sysctls"}
	path, list := at[:4], at[4]
	entry := map[string]any{"name": gatewaypod.PortSysctl, "value": gatewaypod.PortSysctlValue}
	context := e.root
	for _, p := range path {
		context, _ = context[p].(map[string]any) // a nil map has no members: set tells why
	}
	v := context[list]
	if v == nil {
		return e.set(path, list, []any{entry})
	}
	entries, ok := v.([]any)
	if !ok {
		return wrongType(field(at), "a list", v)
	}
	found := false
	for i, v := range entries {
		s, ok := v.(map[string]any)
		if !ok && v != nil {
			return wrongType(fmt.Sprintf("%s[%d]", field(at), i), "an object", v)
		}
		if name, _ := s["name"].(string); !gatewaypod.IsPortSysctl(name) {
			continue
		}
		found = true
		if value, _ := s["value"].(string); !gatewaypod.AllowsPorts(value, ports) {
			e.add(gatewaypod.PortSysctlValue, at, strconv.Itoa(i), "value")
		}
	}
	if !found {
		e.add(entry, at, "-")
	}
	return nil
}

func field(path []string) string { return strings.Join(path, ".") }

// wrongType says what a field has to be, and what it is.
func wrongType(field, want string, v any) error {
	got := "null"
	switch v.(type) {
	case map[string]any:
		got = "an object"
	case []any:
		got = "a list"
	case string:
		got = "a string"
	case json.Number:
		got = "a number"
	case bool:
		got = "a boolean"
	}
	return fmt.Errorf("%s: must be %s, not %s", field, want, got)
}

// pointer joins a path and more parts to a JSON Pointer (RFC 6901).
func pointer(path []string, more ...string) string {
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	var b strings.Builder
	for _, parts := range [][]string{path, more} {
		for _, p := range parts {
			b.WriteString("/" + escape.Replace(p))
		}
	}
	return b.String()
}
