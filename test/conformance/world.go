package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/decode"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
	"github.com/gatewarden/gatewarden/test/backstop"
)

// epoch is when the first object of a world was created. Only the order counts.
var epoch = time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)

// source is an object of a recording: the bytes from which a fresh value can be decoded as
// often as it takes part in a world.
type source struct {
	api resource.API
	raw []byte
	// at is where it was read, for errors.
	at string
}

func (s source) decode() (resource.Object, error) {
	o, err := decode.Object(s.api, s.raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.at, err)
	}
	return o, nil
}

// store makes the state that holds the sources. Each object is a second younger than the
// one before it, and one without a name gets one, as the API server would see to. The keys
// are those under which the sources are stored.
func store(sources []source) (*state.Snapshot, []resource.Key, error) {
	w := state.NewWriter()
	keys := make([]resource.Key, 0, len(sources))
	for i, s := range sources {
		o, err := s.decode()
		if err != nil {
			return nil, nil, err
		}
		m := o.GetMeta()
		if m.Name == "" {
			m.Name = fmt.Sprintf("%s%05d", m.GenerateName, i)
		}
		if m.Created.IsZero() {
			m.Created = epoch.Add(time.Duration(i) * time.Second)
		}
		w.Apply(o)
		keys = append(keys, o.Key())
	}
	return w.Snapshot(), keys, nil
}

// newEngine makes an engine with all rules.
func newEngine(cfg *config.Configuration) *policy.Engine { return policy.NewEngine(cfg, rules.All()) }

// loadBackstop compiles what the API server refuses by itself.
var loadBackstop = sync.OnceValues(func() (*backstop.Policy, error) { return backstop.Load(context.Background()) })

// decide judges a change, and asks the backstop about it.
func (r *row) decide(e *policy.Engine, s *state.Snapshot, c policy.Change) error {
	r.judge(e.Decide(s, c))
	p, err := loadBackstop()
	if err != nil {
		return err
	}
	r.refused, err = p.Change(e, s, c)
	return err
}

// judged reports whether any rule judges the kind. An operation on it that no rule judges,
// such as most deletions, is allowed on purpose and not for want of a rule.
func judged(kind resource.Kind) bool {
	for _, r := range rules.All() {
		if slices.Contains(r.Kinds, kind) {
			return true
		}
	}
	return false
}

// guard moves what a configuration guards to a gateway in another namespace, with other pod
// labels: its servers' hosts for that namespace, its owner's objects there, its namespace's
// protection and its permissive policy go with it.
func guard(cfg *config.Configuration, namespace string, labels map[string]string) {
	g := &cfg.GuardedGateways[0]
	before := g.Namespace
	g.Namespace, g.PodLabels = namespace, labels
	for _, s := range g.Servers {
		for i, h := range s.Hosts {
			if host, ok := strings.CutPrefix(h, before+"/"); ok {
				s.Hosts[i] = namespace + "/" + host
			}
		}
	}
	for i, o := range g.OwnerObjects {
		if o.Namespace == before {
			g.OwnerObjects[i].Namespace = namespace
		}
	}
	for i, n := range cfg.ProtectedNamespaces.Names {
		if n == before {
			cfg.ProtectedNamespaces.Names[i] = namespace
		}
	}
	for i, p := range cfg.PermissivePolicies {
		if p.Namespace == before {
			cfg.PermissivePolicies[i].Namespace = namespace
			cfg.PermissivePolicies[i].Selector = labels
		}
	}
}
