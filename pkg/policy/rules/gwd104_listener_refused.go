package rules

import (
	_ "embed"
	"fmt"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd104_listener_refused.md
var listenerRefusedPage string

// listenerRefused finds TLS servers by which the proxy refuses a guarded listener as a
// whole: a partial wildcard, and one name in two spellings. Istio looks for duplicates by
// the string (CheckDuplicates in istio.io/istio pilot/pkg/model/gateway.go), the proxy by
// the name, so a spelling that Istio lets pass gives two filter chains for one SNI.
func listenerRefused() *policy.Rule {
	type place struct {
		key, bind string
		server    int
	}
	check := func(w *policy.World, e *policy.Encounter, seen map[string]place, report func(policy.Fault)) {
		if e.Server.Family != policy.TLS || len(e.Kin()) == 0 {
			return
		}
		g := e.Kin()[0]
		refused := func(i int, why, fix, subject string, related ...resource.Key) {
			report(policy.Fault{
				Effect: policy.Deny,
				Field:  hostField(e.Server.Index, i),
				Message: fmt.Sprintf("%s, so the proxy refuses the whole port %s: running pods keep the last good state, new pods serve nobody there, "+
					"%s of %s included. %s", why, ports(&e.Server), name(g.Gateway), e.Guard.Name, fix),
				Related: append(related, g.Gateway),
				Subject: subject,
			})
		}
		for i, h := range e.Server.Hosts {
			if h.Name.PartialWildcard() {
				refused(i, fmt.Sprintf("%q has a wildcard for a part of a label, which no TLS server name can have", h.Host),
					`Write whole labels: "*.example.org".`, "partial|"+string(h.Name))
				continue
			}
			id := fmt.Sprintf("%v|%s|%s", e.Server.Ports, policy.Address(e.Server.Bind), h.Name)
			if first, ok := seen[id]; !ok {
				seen[id] = place{h.Key, e.Server.Bind, e.Server.Index}
			} else if first.server != e.Server.Index && (first.key != h.Key || first.bind != e.Server.Bind) {
				refused(i, fmt.Sprintf("%q is the same TLS server name as %q in spec.servers[%d], written another way", h.Key, first.key, first.server),
					"Keep one of the two.", "self|"+id)
			}
			eachTwin(w, e, h.Name, func(o twin) bool {
				if o.host.Key == h.Key && o.server.Bind == e.Server.Bind {
					return true // Istio drops the younger one: see tenant-host-conflict
				}
				refused(i, fmt.Sprintf("%q is the same TLS server name as %q of %s, written another way", h.Key, o.host.Key, name(o.server.Gateway)),
					"Choose another host, or agree with the other owner.", id+"|"+o.server.Gateway.String(), o.server.Gateway)
				return false
			})
		}
	}
	return &policy.Rule{
		ID: "GWD104", Name: "listener-refused", Page: listenerRefusedPage, Effect: policy.Deny,
		Summary: "A Gateway's TLS host makes the proxy refuse a guarded port as a whole.",
		Kinds:   []resource.Kind{resource.KindGateway}, Operations: createUpdate, Reads: gatewayReads,
		Object: func(w *policy.World, o resource.Object, report func(policy.Fault)) {
			gw, ok := o.(*resource.Gateway)
			if !ok {
				return
			}
			seen := map[*policy.PodSet]map[string]place{}
			for _, e := range w.Encounters(gw) {
				if seen[e.Pods] == nil {
					seen[e.Pods] = map[string]place{}
				}
				check(w, &e, seen[e.Pods], report)
			}
		},
	}
}
