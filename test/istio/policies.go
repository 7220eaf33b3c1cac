package main

import (
	"fmt"
	"maps"
	"slices"

	security "istio.io/api/security/v1beta1"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/pkg/security/authn"
)

// workload is a pod of a protected namespace, by what policies ask of it.
type workload struct {
	namespace string
	labels    map[string]string
}

// policyPorts are the container ports that policies of random worlds are about, and 0 for all
// others.
var policyPorts = []uint32{0, 8082, 9090}

// modes returns what workloads enforce on their ports, as Istio composes it.
func modes(objects []*object, root string, w workload) (map[uint32]model.MutualTLSMode, error) {
	s, err := translate(objects, pods{Namespace: w.namespace, Labels: w.labels})
	if err != nil {
		return nil, err
	}
	matcher := model.PolicyMatcherFor(w.namespace, w.labels, false)
	merged := authn.ComposePeerAuthentication(root, s.push.AuthnPolicies.GetPeerAuthenticationsForWorkload(matcher))
	out := map[uint32]model.MutualTLSMode{}
	for _, p := range policyPorts {
		out[p] = merged.Mode
		if mode, set := merged.PerPort[p]; set {
			out[p] = mode
		}
	}
	return out, nil
}

// protected returns the pods of protected namespaces, and those that may come: one without
// labels in each, and one that the changed policy selects.
//
// A world without Namespaces does not tell what runs there: then every workload counts that
// its policies can tell apart.
func (j *judge) protected() (there, coming []workload) {
	if !j.world.complete() {
		return j.distinct(), nil
	}
	names := map[string]bool{}
	for _, o := range j.world.existing {
		if o.kind == "Namespace" && j.protects(o) {
			names[o.name] = true
			coming = append(coming, workload{namespace: o.name})
		}
	}
	for _, o := range j.world.existing {
		if o.kind == "Pod" && names[o.namespace] {
			there = append(there, workload{o.namespace, o.labels()})
		}
	}
	if c := j.world.changed(); names[c.namespace] {
		if l := c.config.Spec.(*security.PeerAuthentication).GetSelector().GetMatchLabels(); len(l) > 0 {
			coming = append(coming, workload{c.namespace, l})
		}
	}
	return there, coming
}

// complete reports whether the world tells of all that runs in it.
func (w *world) complete() bool {
	return slices.ContainsFunc(w.existing, func(o *object) bool { return o.kind == "Namespace" })
}

// distinct returns workloads of the protected namespaces that have policies: one without
// labels in each, one for each selector, and one for each two of them.
func (j *judge) distinct() []workload {
	selectors := map[string][]map[string]string{}
	for _, o := range append(slices.Clone(j.world.existing), j.world.changed()) {
		if o.kind == "PeerAuthentication" {
			selectors[o.namespace] = append(selectors[o.namespace], o.config.Spec.(*security.PeerAuthentication).GetSelector().GetMatchLabels())
		}
	}
	var out []workload
	for _, ns := range j.cfg.ProtectedNamespaces.Names {
		if len(selectors[ns]) == 0 {
			continue
		}
		out = append(out, workload{namespace: ns})
		for _, a := range selectors[ns] {
			for _, b := range selectors[ns] {
				both := map[string]string{}
				maps.Copy(both, a)
				maps.Copy(both, b)
				if len(both) > 0 {
					out = append(out, workload{ns, both})
				}
			}
		}
	}
	return out
}

// protects reports whether a Namespace is protected.
func (j *judge) protects(o *object) bool {
	p := j.cfg.ProtectedNamespaces
	if slices.Contains(p.Names, o.name) {
		return true
	}
	for k, v := range p.Labels {
		if o.labels()[k] != v {
			return false
		}
	}
	return len(p.Labels) > 0
}

// policyHarms returns what a change of a PeerAuthentication takes from protected workloads: a
// STRICT mode, or, since whatever sets PERMISSIVE or DISABLE for them is denied, a mode that
// it weakens.
func (j *judge) policyHarms() ([]harm, error) {
	root := j.cfg.Mesh.RootNamespace
	there, coming := j.protected()
	orders := j.world.orders(shuffles)
	if j.world.new == nil {
		orders = orders[:1] // a policy that does not count may go
	}
	var out []harm
	for i, o := range orders {
		for _, w := range there {
			was, err := modes(o.before, root, w)
			if err != nil {
				return nil, err
			}
			is, err := modes(o.after, root, w)
			if err != nil {
				return nil, err
			}
			for _, p := range policyPorts {
				if was[p] == model.MTLSStrict && is[p] != model.MTLSStrict {
					out = append(out, harm{fmt.Sprintf("%s %v on port %d enforced %v, now %v", w.namespace, w.labels, p, was[p], is[p]), i == 0})
				}
			}
		}
	}
	if j.world.new == nil {
		return out, nil
	}
	oldest := j.world.order(slices.DeleteFunc(slices.Clone(j.world.existing), func(o *object) bool { return o == j.world.old }), 0)
	for _, w := range slices.Concat(there, coming) {
		weak, err := j.weakens(oldest.after, j.world.new, root, w)
		if err != nil {
			return nil, err
		}
		before := map[uint32]model.MutualTLSMode{}
		if j.world.old != nil {
			if before, err = j.weakens(oldest.before, j.world.old, root, w); err != nil {
				return nil, err
			}
		}
		for _, p := range sortedKeys(weak) {
			// The modes are ordered by what they let in.
			if had, set := before[p]; !set || had == model.MTLSPermissive && weak[p] == model.MTLSDisable {
				out = append(out, harm{what: fmt.Sprintf("%s %v on port %d is made %v", w.namespace, w.labels, p, weak[p])})
			}
		}
	}
	return out, nil
}

// weakens returns the ports on which a policy makes a workload weak: those that were STRICT if
// it said so.
func (j *judge) weakens(objects []*object, policy *object, root string, w workload) (map[uint32]model.MutualTLSMode, error) {
	strict := *policy
	cfg := policy.config.DeepCopy()
	strict.config = &cfg
	spec := cfg.Spec.(*security.PeerAuthentication)
	weak := func(m *security.PeerAuthentication_MutualTLS) bool {
		return m.GetMode() == security.PeerAuthentication_MutualTLS_PERMISSIVE || m.GetMode() == security.PeerAuthentication_MutualTLS_DISABLE
	}
	said := false
	for _, m := range spec.PortLevelMtls {
		if weak(m) {
			m.Mode, said = security.PeerAuthentication_MutualTLS_STRICT, true
		}
	}
	if weak(spec.Mtls) {
		spec.Mtls.Mode, said = security.PeerAuthentication_MutualTLS_STRICT, true
	}
	out := map[uint32]model.MutualTLSMode{}
	if !said {
		return out, nil
	}
	is, err := modes(objects, root, w)
	if err != nil {
		return nil, err
	}
	replaced := slices.Clone(objects)
	replaced[slices.Index(replaced, policy)] = &strict
	would, err := modes(replaced, root, w)
	if err != nil {
		return nil, err
	}
	for _, p := range policyPorts {
		if would[p] != is[p] {
			out[p] = is[p]
		}
	}
	return out, nil
}

// policyWorld draws a world of workloads and policies with a change to one.
func (g *generator) policyWorld(id string) (*world, error) {
	w := &world{id: id, pods: pods{gatewayNamespace, g.labels()}}
	for _, n := range []struct {
		name   string
		labels fields
	}{
		{"deploykf-dashboard", nil}, {"team-1", fields{"app.kubernetes.io/part-of": "kubeflow-profile"}}, {"elsewhere", nil}, {"istio-system", nil},
	} {
		ns, err := written("v1", "Namespace", "", n.name, nil, fields{"labels": n.labels})
		if err != nil {
			return nil, err
		}
		w.existing = append(w.existing, ns)
		for _, app := range []string{"a", "b"} {
			pod, err := written("v1", "Pod", n.name, app, fields{"containers": []any{fields{"name": "app"}}},
				fields{"labels": fields{"app": app, "security.istio.io/tlsMode": "istio"}})
			if err != nil {
				return nil, err
			}
			w.existing = append(w.existing, pod)
		}
	}
	for range g.r.IntN(5) {
		p, err := g.policy()
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(w.existing, func(o *object) bool { return o.key() == p.key() }) {
			w.existing = slices.Insert(w.existing, len(w.existing)-g.r.IntN(2), p)
		}
	}
	var err error
	if w.new, err = g.policy(); err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(w.existing, func(o *object) bool { return o.key() == w.new.key() }); i >= 0 {
		w.old = w.existing[i]
		if g.chance(3) {
			w.new = nil
		}
	}
	return w, nil
}

func (g *generator) policy() (*object, error) {
	mode := func() fields { return fields{"mode": pick(g, "UNSET", "STRICT", "STRICT", "PERMISSIVE", "DISABLE")} }
	for {
		spec := fields{}
		if !g.chance(5) {
			spec["mtls"] = mode()
		}
		if !g.chance(3) {
			spec["selector"] = fields{"matchLabels": fields{"app": pick(g, "a", "b")}}
			if g.chance(3) {
				spec["portLevelMtls"] = fields{pick(g, "8082", "9090"): mode()}
			}
		}
		namespace := pick(g, "deploykf-dashboard", "deploykf-dashboard", "team-1", "elsewhere", "istio-system")
		if o, err := written("security.istio.io/v1", "PeerAuthentication", namespace, pick(g, "x", "y", "z"), spec, nil); err == nil {
			return o, nil
		}
	}
}
