package rules

import (
	"fmt"
	"slices"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// forGuardedServers calls f for each of the owner's servers on pods that somebody else's policy
// selects, with the pods.
func forGuardedServers(w *policy.World, o resource.Object, t *resource.Target, f func(g *policy.Guard, p *policy.PodSet, s *policy.Server)) {
	key := o.Key()
	for _, g := range w.Guards {
		if g.IsOwners(key) {
			continue
		}
		for _, p := range g.Pods {
			if !p.SelectedBy(key.Namespace, t, w.Config.Mesh.RootNamespace) {
				continue
			}
			for i := range p.Servers {
				f(g, p, &p.Servers[i])
			}
		}
	}
}

// guardedServer writes one of the owner's servers for people.
func guardedServer(g *policy.Guard, s *policy.Server) string {
	return fmt.Sprintf("port %s of %s of %s", ports(s), name(s.Gateway), g.Name)
}

// elsewhere is the way out that every policy on the guarded pods has.
const elsewhere = "Select other pods"

// policyReads are the kinds that tell which pods of a guarded gateway a policy selects.
var policyReads = slices.Concat(gatewayReads, []resource.Kind{resource.KindNamespace})
