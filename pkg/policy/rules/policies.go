package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// reach is what somebody else's policy does, to which of the owner's servers.
type reach struct {
	what    string
	servers []string // "Gateway namespace/name|index"
}

// reachesNoFurther reports whether a policy does to fewer of the owner's servers what it did
// before, or to the same.
func reachesNoFurther(old, now policy.Fault) bool {
	o, n := old.Data.(reach), now.Data.(reach)
	return o.what == n.what && !slices.ContainsFunc(n.servers, func(s string) bool { return !slices.Contains(o.servers, s) })
}

// forGuardedServers asks what is to be said of each of the owner's servers on pods that
// somebody else's policy selects, and reports it once for a guarded gateway, with all the
// servers of which it is said. What is said identifies the fault together with them.
func forGuardedServers[V comparable](
	w *policy.World, o resource.Object, t *resource.Target, report func(policy.Fault),
	say func(g *policy.Guard, p *policy.PodSet, s *policy.Server) (V, bool),
	fault func(g *policy.Guard, servers string, v V) policy.Fault,
) {
	key := o.Key()
	for _, g := range w.Guards {
		if g.IsOwners(key) {
			continue
		}
		var said []V
		of := map[V][]*policy.Server{}
		for _, p := range g.Pods {
			if !p.SelectedBy(key.Namespace, t, w.Config.Mesh.RootNamespace) {
				continue
			}
			for i := range p.Servers {
				s := &p.Servers[i]
				v, ok := say(g, p, s)
				if !ok {
					continue
				}
				if len(of[v]) == 0 {
					said = append(said, v)
				}
				if !slices.ContainsFunc(of[v], func(o *policy.Server) bool { return o.Gateway == s.Gateway && o.Index == s.Index }) {
					of[v] = append(of[v], s)
				}
			}
		}
		for _, v := range said {
			f := fault(g, guardedServers(g, of[v]), v)
			r := reach{what: g.Name + "|" + f.Subject}
			for _, s := range of[v] {
				r.servers = append(r.servers, fmt.Sprintf("%s|%d", s.Gateway, s.Index))
				if !slices.Contains(f.Related, s.Gateway) {
					f.Related = append(f.Related, s.Gateway)
				}
			}
			f.Data, f.Subject = r, fmt.Sprint(r)
			report(f)
		}
	}
}

// guardedServers writes some of the owner's servers for people: "ports 80 and 443 of Gateway
// ns/web of deployKF".
func guardedServers(g *policy.Guard, servers []*policy.Server) string {
	const most = 4 // that anybody reads
	var gateways []resource.Key
	of := map[resource.Key][]string{}
	for i, s := range servers {
		if i == most {
			break
		}
		if len(of[s.Gateway]) == 0 {
			gateways = append(gateways, s.Gateway)
		}
		of[s.Gateway] = append(of[s.Gateway], ports(s))
	}
	var out []string
	for _, k := range gateways {
		one := "port "
		if len(of[k]) > 1 {
			one = "ports "
		}
		out = append(out, one+and(of[k])+" of "+name(k))
	}
	if more := len(servers) - most; more > 0 {
		out = append(out, fmt.Sprintf("%d more", more))
	}
	return and(out) + " of " + g.Name
}

// and writes a list for people.
func and(l []string) string {
	if len(l) < 2 {
		return strings.Join(l, "")
	}
	return strings.Join(l[:len(l)-1], ", ") + " and " + l[len(l)-1]
}

// elsewhere is the way out that every policy on the guarded pods has.
const elsewhere = "Select other pods"

// policyReads are the kinds that tell which pods of a guarded gateway a policy selects.
var policyReads = slices.Concat(gatewayReads, []resource.Kind{resource.KindNamespace})
