package main

import (
	"encoding/json"
	"fmt"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/decode"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
)

// decide asks gatewarden's engine for its verdict.
func decide(w *world, cfg *config.Configuration) (policy.Decision, error) {
	read := func(o *object, age int) (resource.Object, error) {
		api, known := resource.Lookup(o.apiVersion, o.kind)
		if !known {
			return nil, nil
		}
		out, err := decode.Object(api, o.raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", o.key(), err)
		}
		out.GetMeta().Created = created(age)
		return out, nil
	}
	s := state.NewWriter()
	pod, err := gatewayPod(w.pods)
	if err != nil {
		return policy.Decision{}, err
	}
	s.Apply(pod)
	c := policy.Change{Operation: policy.Operation(w.operation())}
	for i, o := range w.existing {
		there, err := read(o, i)
		if err != nil {
			return policy.Decision{}, err
		}
		if there == nil {
			continue
		}
		s.Apply(there)
		if o == w.old {
			c.Old = there
		}
	}
	if w.new != nil {
		if c.New, err = read(w.new, len(w.existing)); err != nil || c.New == nil {
			return policy.Decision{}, fmt.Errorf("%s is not judged: %w", w.new.key(), err)
		}
		c.New.GetMeta().Created = created(len(w.existing))
		if c.Old != nil {
			c.New.GetMeta().Created = c.Old.GetMeta().Created
		}
	}
	s.SetComplete(w.complete())
	return policy.NewEngine(cfg, rules.All()).Decide(s.Snapshot(), c), nil
}

// gatewayPod is the pod that the world's proxy runs in.
func gatewayPod(p pods) (resource.Object, error) {
	raw, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Pod",
		"metadata": map[string]any{"namespace": p.Namespace, "name": "gateway", "labels": p.Labels},
		"spec":     map[string]any{"containers": []any{map[string]any{"name": "istio-proxy", "image": "auto"}}},
		"status":   map[string]any{"podIP": podIP, "podIPs": []any{map[string]any{"ip": podIP}}},
	})
	if err != nil {
		return nil, err
	}
	return decode.Object(resource.ByKind(resource.KindPod), raw)
}
