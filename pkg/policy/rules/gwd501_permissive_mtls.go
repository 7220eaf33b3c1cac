package rules

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd501_permissive_mtls.md
var permissiveMTLSPage string

// permissiveMTLS finds policies that say PERMISSIVE or DISABLE where protected workloads
// hear it.
func permissiveMTLS() *policy.Rule {
	return &policy.Rule{
		ID: "GWD501", Name: "permissive-mtls", Page: permissiveMTLSPage, Effect: policy.Deny,
		Summary: "A PeerAuthentication sets PERMISSIVE or DISABLE for protected namespaces.",
		Kinds:   []resource.Kind{resource.KindPeerAuthentication}, Operations: createUpdate,
		Reads: sidecarReads,
		Eases: func(old, now policy.Fault) bool { return old.Data.(opening).covers(now.Data.(opening)) },
		Object: func(w *policy.World, o resource.Object, report func(policy.Fault)) {
			p, ok := o.(*resource.PeerAuthentication)
			if !ok {
				return
			}
			for _, weak := range weakSettings(p) {
				if f, found := judgeWeak(w, p, weak); found {
					f.Field, f.Subject = weak.field, weak.field+"="+weak.mode.String()+" "+scopeOf(p)
					f.Data = newOpening(p, weak)
					report(f)
				}
			}
		},
	}
}

// opening is what a policy opens, and for whom. Modes are ordered by what they enforce, so
// DISABLE that becomes PERMISSIVE, or either for fewer workloads, is a step of a repair.
type opening struct {
	namespace string
	selector  map[string]string
	field     string
	mode      resource.MTLSMode
	// apart are the fields of the policy's ports, for which the mode of all others does not count.
	apart []string
}

func newOpening(p *resource.PeerAuthentication, weak setting) opening {
	return opening{p.Namespace, p.Selector, weak.field, weak.mode, portFields(p)}
}

// covers reports whether everything that n opens was opened by o.
func (o opening) covers(n opening) bool {
	field := o.field == n.field || o.field == wholeMode && !slices.Contains(o.apart, n.field)
	return o.namespace == n.namespace && field && o.mode <= n.mode && resource.Selects(o.selector, n.selector)
}

// wholeMode is the field of the mode for all ports that have none of their own.
const wholeMode = "spec.mtls.mode"

func modeField(port uint32) string { return fmt.Sprintf("spec.portLevelMtls[%d].mode", port) }

// setting is one mode that a policy sets.
type setting struct {
	field string
	mode  resource.MTLSMode
	port  bool
}

// weakSettings returns what a policy sets to PERMISSIVE or DISABLE, ports in rising order.
func weakSettings(p *resource.PeerAuthentication) []setting {
	weak := func(m resource.MTLSMode) bool { return m == resource.ModePermissive || m == resource.ModeDisable }
	var out []setting
	if weak(p.Mode) {
		out = append(out, setting{wholeMode, p.Mode, false})
	}
	for _, port := range slices.Sorted(maps.Keys(p.Ports)) {
		if weak(p.Ports[port]) {
			out = append(out, setting{modeField(port), p.Ports[port], true})
		}
	}
	return out
}

// portFields returns the fields of the modes that a policy sets for single ports.
func portFields(p *resource.PeerAuthentication) []string {
	var out []string
	for port, mode := range p.Ports {
		if mode != resource.ModeUnset {
			out = append(out, modeField(port))
		}
	}
	return out
}

// scopeOf writes which workloads a policy is for, so that a policy that widens its scope is
// a new fault.
func scopeOf(p *resource.PeerAuthentication) string {
	return p.Namespace + "{" + labels(p.Selector) + "}"
}

// labels writes labels as a selector on the command line: "a=1,b=2".
func labels(l map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(l)) {
		out = append(out, k+"="+l[k])
	}
	return strings.Join(out, ",")
}

func judgeWeak(w *policy.World, p *resource.PeerAuthentication, weak setting) (policy.Fault, bool) {
	root := p.Namespace == w.Config.Mesh.RootNamespace
	inert := func(why string) (policy.Fault, bool) {
		return policy.Fault{Effect: policy.Warn, Message: fmt.Sprintf("%s has no effect: %s. Remove it, so that nobody takes it for one.", weak.mode, why)}, true
	}
	switch {
	case root && len(p.Selector) > 0:
		return inert("Istio ignores policies with a selector in the root namespace")
	case !root && !w.Protected(p.Namespace):
		return policy.Fault{}, false
	case weak.port && len(p.Selector) == 0:
		return inert("Istio reads portLevelMtls only from policies with a selector")
	case isMeant(w.Config, p, weak.mode):
		return policy.Fault{}, false
	case root:
		return judgeMeshWide(w, p, weak)
	case len(p.Selector) == 0:
		return denyWeak(weak, "every workload of namespace "+p.Namespace), true
	case selectsOnlyWithoutSidecar(w, p):
		return inert("no pod that it selects has a sidecar")
	case weak.mode == resource.ModePermissive && selectsOnlyGateway(w, p):
		return inert("it selects only pods of a guarded gateway, whose listeners never ask for it")
	}
	return denyWeak(weak, fmt.Sprintf("the workloads %s of namespace %s", labels(p.Selector), p.Namespace)), true
}

func denyWeak(weak setting, whom string) policy.Fault {
	what := "accept plain text beside mutual TLS"
	if weak.mode == resource.ModeDisable {
		what = "accept only plain text"
	}
	return policy.Fault{
		Effect: policy.Deny,
		Message: fmt.Sprintf("%s makes %s %s. They are protected: whatever reaches their port without the gateway is then trusted. "+
			"Use STRICT, or leave the mode out to inherit it.", weak.mode, whom, what),
	}
}

// judgeMeshWide asks which protected namespaces hear a policy of the whole mesh: those
// without a mode of their own. One that has nothing but gateway pods has no ears.
func judgeMeshWide(w *policy.World, p *resource.PeerAuthentication, weak setting) (policy.Fault, bool) {
	known := w.ProtectedNamespaces()
	policies := w.PoliciesWith(p.Key(), p, policy.Oldest)
	var reached []string
	for _, ns := range known {
		if ns != p.Namespace && policies.NamespaceMode(ns) == resource.ModeUnset && !w.OnlyGateways(ns) {
			reached = append(reached, ns)
		}
	}
	switch {
	case len(reached) > 0:
		return denyWeak(weak, "every workload of the mesh that has no policy of its own, those of "+strings.Join(reached, ", ")+" included,"), true
	case len(known) == 0:
		return denyWeak(weak, "every workload of the mesh that has no policy of its own"), true
	}
	return policy.Fault{
		Effect:  policy.Warn,
		Message: fmt.Sprintf("%s is the mode of all workloads without a policy of their own; protected ones have one. Prefer STRICT, with exceptions.", weak.mode),
	}, true
}

// isMeant reports whether the configuration names the policy as one that is to be
// PERMISSIVE.
func isMeant(cfg *config.Configuration, p *resource.PeerAuthentication, mode resource.MTLSMode) bool {
	return mode == resource.ModePermissive && slices.ContainsFunc(cfg.PermissivePolicies, func(r config.PolicyRef) bool {
		return r.Namespace == p.Namespace && r.Name == p.Name && len(p.Selector) > 0 && resource.Selects(r.Selector, p.Selector)
	})
}

// selectsOnlyWithoutSidecar reports whether a policy selects pods that are known, none of
// which is a gateway's or has a sidecar that would enforce anything.
func selectsOnlyWithoutSidecar(w *policy.World, p *resource.PeerAuthentication) bool {
	some, enforced := false, false
	w.EachPod(p.Namespace, func(pod *resource.Workload, isGateway bool) bool {
		if resource.Selects(p.Selector, pod.Pod.Labels) {
			some, enforced = true, isGateway || w.HasSidecar(pod)
		}
		return !enforced
	})
	return some && !enforced
}

// selectsOnlyGateway reports whether a policy selects pods of a guarded gateway and no
// others that are known.
func selectsOnlyGateway(w *policy.World, p *resource.PeerAuthentication) bool {
	gateway := slices.ContainsFunc(w.Guards, func(g *policy.Guard) bool {
		return g.Namespace == p.Namespace && slices.ContainsFunc(g.Pods, func(pods *policy.PodSet) bool {
			return resource.Selects(p.Selector, pods.Labels)
		})
	})
	others := false
	w.EachPod(p.Namespace, func(pod *resource.Workload, isGateway bool) bool {
		others = !isGateway && resource.Selects(p.Selector, pod.Pod.Labels)
		return gateway && !others
	})
	return gateway && !others
}
