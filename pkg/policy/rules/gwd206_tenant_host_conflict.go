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
							Place: labels(e.Pods.Labels), Subject: listenerOf(&e) + "self|" + h.Key,
						})
					}
					eachTwin(w, &e, h.Name, func(t policy.HostPlace) bool {
						if !alike(&e, h, &t) || redirectsAlike(t.Server, &e.Server) {
							return true // listener-refused says it, or it makes no difference
						}
						f := policy.Fault{
							Effect: policy.Deny,
							Field:  hostField(e.Server.Index, i),
							Message: fmt.Sprintf("host %s on port %s is served by %s on the same pods: %s. Choose another host, or agree with namespace %s.",
								h.Name, ports(&e.Server), name(t.Server.Gateway), dropped(w, &e, t.Server.Gateway), t.Server.Gateway.Namespace),
							Related: []resource.Key{t.Server.Gateway}, Rival: t.Server.Gateway,
							Place: labels(e.Pods.Labels), Subject: listenerOf(&e) + fmt.Sprintf("%s|%s", h.Key, t.Server.Gateway),
						}
						if t.Server.Gateway.Namespace == gw.Namespace || e.Owners {
							f.Effect = policy.Warn
							f.Message = fmt.Sprintf("%s on port %s is in %s too: Istio drops the younger server with all of its hosts. Take it out of one.",
								h.Name, ports(&e.Server), name(t.Server.Gateway))
						}
						report(f)
						return f.Effect != policy.Deny
					})
				}
			}
		},
	}
}

// redirectsAlike reports whether two plain-text servers do nothing but redirect, for the same
// hosts: it makes no difference then which of them Istio keeps.
func redirectsAlike(a, b *policy.Server) bool {
	if a.Family != policy.PlainHTTP || !a.TLS.HTTPSRedirect || !b.TLS.HTTPSRedirect || len(a.Hosts) != len(b.Hosts) {
		return false
	}
	has := map[string]bool{}
	for _, h := range a.Hosts {
		has[h.Key] = true
	}
	for _, h := range b.Hosts {
		if !has[h.Key] {
			return false
		}
	}
	return true
}
