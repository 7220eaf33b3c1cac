package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"go.yaml.in/yaml/v3"

	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// recording is a world, one change to it, and the verdict that what Istio does with it asks
// for.
type recording struct {
	ID          string           `json:"id"`
	Description string           `json:"description"`
	Operation   policy.Operation `json:"operation"`
	// Existing and then Companions were there before Incoming.
	Existing   []json.RawMessage `json:"existing"`
	Companions []json.RawMessage `json:"companions"`
	Incoming   json.RawMessage   `json:"incoming"`
	// GatewayPods are the pods of the guarded gateway.
	GatewayPods struct {
		Namespace string            `json:"namespace"`
		Labels    map[string]string `json:"labels"`
	} `json:"gatewayPods"`
	// Outcome is deny, warn or allow.
	Outcome string `json:"outcome"`
	Why     string `json:"why"`
	// Istio is the version that was observed, and what it did.
	Istio map[string]string `json:"istio"`
}

func replayWorlds(files []string) ([]row, error) {
	var rows []row
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		r, err := readRecording(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		out, err := r.replay()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		rows = append(rows, out)
	}
	return rows, nil
}

// readRecording reads YAML 1.2, in which "y" is a string: recordings are written by programs,
// and those do not quote it.
func readRecording(data []byte) (recording, error) {
	var r recording
	var v any
	if err := yaml.Unmarshal(data, &v); err != nil {
		return r, err
	}
	encoded, err := json.Marshal(v)
	if err != nil {
		return r, err
	}
	d := json.NewDecoder(bytes.NewReader(encoded))
	d.DisallowUnknownFields()
	return r, d.Decode(&r)
}

func (r recording) replay() (row, error) {
	out := row{id: r.ID, expected: r.Outcome, got: notJudged, why: r.Why}
	if r.Outcome != allow && r.Outcome != warn && r.Outcome != deny {
		return out, fmt.Errorf("outcome: %q is not allow, warn or deny", r.Outcome)
	}
	incoming, known, err := newSource(r.Incoming, "incoming")
	if err != nil {
		return out, err
	}
	if !known || !judged(incoming.api.Kind) {
		return out, nil
	}
	pod, err := r.pod()
	if err != nil {
		return out, err
	}
	there := []source{pod}
	for _, list := range []struct {
		name    string
		objects []json.RawMessage
	}{{"existing", r.Existing}, {"companions", r.Companions}} {
		for i, raw := range list.objects {
			s, known, err := newSource(raw, fmt.Sprintf("%s[%d]", list.name, i))
			if err != nil {
				return out, err
			}
			if known {
				there = append(there, s)
			}
		}
	}
	snapshot, _, err := store(there)
	if err != nil {
		return out, err
	}
	object, err := incoming.decode()
	if err != nil {
		return out, err
	}
	change := policy.Change{Operation: r.Operation, New: object}
	if r.Operation != policy.Create {
		if change.Old = snapshot.Get(object.Key()); change.Old == nil {
			return out, fmt.Errorf("incoming: %s of %s, which is not among the existing objects", r.Operation, object.Key())
		}
		object.GetMeta().Created = change.Old.GetMeta().Created
	}
	if r.Operation == policy.Delete {
		change.New = nil
	}
	cfg := deploykf.Default()
	guard(cfg, r.GatewayPods.Namespace, r.GatewayPods.Labels)
	return out, out.decide(newEngine(cfg), snapshot, change)
}

// pod is one of the guarded gateway's.
func (r recording) pod() (source, error) {
	if len(r.GatewayPods.Labels) == 0 || r.GatewayPods.Namespace == "" {
		return source{}, errors.New("gatewayPods: namespace and labels are required")
	}
	raw, err := json.Marshal(map[string]any{
		"apiVersion": "v1",
		"kind":       "Pod",
		"metadata":   map[string]any{"namespace": r.GatewayPods.Namespace, "name": "gateway", "labels": r.GatewayPods.Labels},
		"spec":       map[string]any{"containers": []any{map[string]any{"name": "istio-proxy", "image": "auto"}}},
	})
	return source{api: resource.ByKind(resource.KindPod), raw: raw, at: "gatewayPods"}, err
}

// newSource finds the kind of an object. It reports false for one that gatewarden does not
// read.
func newSource(raw json.RawMessage, at string) (source, bool, error) {
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return source{}, false, fmt.Errorf("%s: %w", at, err)
	}
	api, known := resource.Lookup(head.APIVersion, head.Kind)
	return source{api: api, raw: raw, at: at}, known, nil
}
