package backstop

import (
	"slices"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// protectedLabels are the labels of protected namespaces, or nothing if they can not be
// written: with fewer of them more namespaces would be protected.
func protectedLabels(cfg *config.Configuration) string {
	if labels := cfg.ProtectedNamespaces.Labels; !unclear(labels) {
		return pairs(labels)
	}
	return ""
}

// podsWithoutSidecar are the lines of PodsKey. A policy that selects no pod without a sidecar
// and none of a gateway is never without effect, whatever else it selects. Of a namespace in
// which that can not be told there is no line.
func (p *parameters) podsWithoutSidecar() []string {
	namespaces := slices.Clone(p.config.ProtectedNamespaces.Names)
	namespaces = append(namespaces, p.world.ProtectedNamespaces()...)
	slices.Sort(namespaces)
	var out []string
	for _, ns := range slices.Compact(namespaces) {
		if !plain(ns) || slices.ContainsFunc(p.world.Guards, func(g *policy.Guard) bool { return g.Namespace == ns }) {
			continue // or it has a gateway's pods, by labels that nobody has told yet
		}
		labels, clear := map[string]bool{}, true
		p.world.EachPod(ns, func(pod *resource.Workload, gateway bool) bool {
			if gateway || !p.world.HasSidecar(pod) {
				clear = !unclear(pod.Pod.Labels)
				for k, v := range pod.Pod.Labels {
					labels[k+"="+v] = true
				}
			}
			return clear && len(labels) <= maxLabels
		})
		if !clear || len(labels) > maxLabels {
			continue
		}
		list := make([]string, 0, len(labels))
		for pair := range labels {
			list = append(list, pair)
		}
		out = append(out, ns+"\t"+words(list))
	}
	return out
}

// permissivePolicies are the lines of PermissiveKey.
func (p *parameters) permissivePolicies() []string {
	var out []string
	for _, r := range p.config.PermissivePolicies {
		if plain(r.Namespace + r.Name) {
			out = append(out, r.Namespace+"/"+r.Name+"\t"+pairs(r.Selector))
		}
	}
	return out
}

// meshWide tells who hears a policy for the whole mesh, whatever it was before: protected
// namespaces without a mode of their own, unless they have nothing but gateways' pods.
func (p *parameters) meshWide() string {
	known := p.world.ProtectedNamespaces()
	if len(known) == 0 {
		return "*"
	}
	root := p.config.Mesh.RootNamespace
	policies := p.world.PoliciesWith(resource.Key{}, nil, policy.AsStored)
	var out []string
	for _, ns := range known {
		if ns != root && policies.NamespaceMode(ns) == resource.ModeUnset && !p.world.OnlyGateways(ns) {
			out = append(out, ns)
		}
	}
	return strings.Join(out, " ")
}
