package rules

import (
	_ "embed"
	"fmt"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd206_tenant_host_conflict.md
var tenantHostConflictPage string

// tenantHostConflict finds hosts of servers with a tls block that another tenant, or another
// server of the same Gateway, has already on the listener. Istio keeps the older server and
// drops the other with all of its hosts; on plain-text HTTP too, where the block can only
// redirect (CheckDuplicates in istio.io/istio pilot/pkg/model/gateway.go is asked wherever
// there is one).
func tenantHostConflict() *policy.Rule {
	return &policy.Rule{
		ID: "GWD206", Name: "tenant-host-conflict", Page: tenantHostConflictPage, Effect: policy.Deny,
		Summary: "A Gateway's server with a tls block claims a host that another Gateway has on the same port.",
		Kinds:   []resource.Kind{resource.KindGateway}, Operations: createUpdate, Reads: gatewayReads,
		Object: func(w *policy.World, o resource.Object, report func(policy.Fault)) {
			gw, ok := o.(*resource.Gateway)
			if !ok {
				return
			}
			first := map[string]int{} // listener and key of a host, and the server that has it
			for _, e := range w.Encounters(gw) {
				if e.Server.TLS == nil {
					continue
				}
				for i, h := range e.Server.Hosts {
					id := fmt.Sprintf("%p|%v|%s|%s", e.Pods, e.Server.Ports, e.Server.Bind, h.Key)
					if s, seen := first[id]; !seen {
						first[id] = e.Server.Index
					} else if s != e.Server.Index {
						report(policy.Fault{
							Effect: policy.Warn,
							Field:  hostField(e.Server.Index, i),
							Message: fmt.Sprintf("host %s is in spec.servers[%d] on the same port already: Istio drops this server with all of its hosts. "+
								"List each host once.", h.Key, s),
							Subject: fmt.Sprintf("self|%v|%s", e.Server.Ports, h.Key),
						})
					}
					if e.Server.TLS.HTTPSRedirect {
						continue // whichever of two redirects stays does the same
					}
					eachTwin(w, &e, h.Name, func(t twin) bool {
						if t.host.Key != h.Key || t.server.Bind != e.Server.Bind {
							return true // listener-refused says it, or it is no duplicate to Istio
						}
						f := policy.Fault{
							Effect: policy.Deny,
							Field:  hostField(e.Server.Index, i),
							Message: fmt.Sprintf("host %s on port %s is served by %s on the same pods: Istio keeps whichever is older and silently drops the other one's "+
								"whole server, which turns when one of them is re-created. Choose another host, or agree with namespace %s.",
								h.Name, ports(&e.Server), name(t.server.Gateway), t.server.Gateway.Namespace),
							Related: []resource.Key{t.server.Gateway},
							Subject: fmt.Sprintf("%v|%s|%s", e.Server.Ports, h.Key, t.server.Gateway),
						}
						if t.server.Gateway.Namespace == gw.Namespace {
							f.Effect = policy.Warn
							f.Message = fmt.Sprintf("%s on port %s is in %s too: Istio drops the younger server with all of its hosts. Take it out of one.",
								h.Name, ports(&e.Server), name(t.server.Gateway))
						}
						report(f)
						return f.Effect != policy.Deny
					})
				}
			}
		},
	}
}
