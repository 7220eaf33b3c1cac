package rules

import (
	_ "embed"
	"fmt"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd105_tenant_protocol_conflict.md
var tenantProtocolConflictPage string

// tenantProtocolConflict finds servers whose protocol can not share a port with that of
// another tenant's Gateway on the same pods. What protocol-conflict says about the owner's
// ports goes for everybody's: mergeGateways in istio.io/istio pilot/pkg/model/gateway.go keeps
// the older of the two.
func tenantProtocolConflict() *policy.Rule {
	return &policy.Rule{
		ID: "GWD105", Name: "tenant-protocol-conflict", Page: tenantProtocolConflictPage, Effect: policy.Deny,
		Summary: "A Gateway server uses another protocol family than a Gateway of another namespace on the same port.",
		Kinds:   []resource.Kind{resource.KindGateway}, Operations: createUpdate, Reads: gatewayReads,
		Object: func(w *policy.World, o resource.Object, report func(policy.Fault)) {
			gw, ok := o.(*resource.Gateway)
			if !ok {
				return
			}
			for _, e := range w.Encounters(gw) {
				if t := protocolRival(w, &e); t != nil {
					f := policy.Fault{
						Effect: policy.Deny,
						Field:  serverField(e.Server.Index, "port"),
						Message: fmt.Sprintf("%s (%s) on port %s, where %s serves %s (%s) on the same pods: %s. Use another port, or agree with namespace %s.",
							e.Server.Protocol, e.Server.Family, ports(&e.Server), name(t.Gateway), t.Protocol, t.Family, displaced(w, &e, t), t.Gateway.Namespace),
						Related: []resource.Key{t.Gateway}, Rival: t.Gateway,
						Place: labels(e.Pods.Labels), Subject: listenerOf(&e) + fmt.Sprintf("%s|%s", e.Server.Family, t.Gateway),
					}
					if t.Gateway.Namespace == gw.Namespace || e.Owners {
						f.Effect = policy.Warn
						f.Message = fmt.Sprintf("%s on port %s, where %s serves %s: Istio keeps the older one and drops the other. Use another port.",
							e.Server.Protocol, ports(&e.Server), name(t.Gateway), t.Protocol)
					}
					report(f)
				}
			}
		},
	}
}

// protocolRival returns a server of another tenant's Gateway that can not share the listener
// with the encountered one, or nil: one of another namespace if there is any, the oldest.
func protocolRival(w *policy.World, e *policy.Encounter) *policy.Server {
	var found *policy.Server
	var of *resource.Gateway
	worse := func(o *resource.Gateway) bool {
		foreign := o.Namespace != e.Server.Gateway.Namespace
		if of == nil || foreign != (of.Namespace != e.Server.Gateway.Namespace) {
			return of == nil || foreign
		}
		return resource.ByAge(&o.Meta, &of.Meta) < 0
	}
	look := func(o *resource.Gateway) bool {
		if o.Key() == e.Server.Gateway || e.Guard.IsOwners(o.Key()) || !worse(o) {
			return true
		}
		table := w.HostsOf(e.Pods, o)
		if table == nil {
			return true
		}
		for i := range table.Servers {
			s := &table.Servers[i]
			alike := s.Family == e.Server.Family && s.Family != policy.Opaque
			if !alike && s.SharesListener(&e.Server) {
				found, of = s, o
				break
			}
		}
		return true
	}
	for _, port := range e.Pods.Sources(e.Server.Ports) {
		for _, family := range resource.Families {
			if family != e.Server.Family || family == policy.Opaque {
				w.Snapshot.GatewaysOnPort(port, family, look)
			}
		}
	}
	return found
}
