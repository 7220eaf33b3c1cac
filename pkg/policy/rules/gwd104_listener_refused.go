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
	return &policy.Rule{
		ID: "GWD104", Name: "listener-refused", Page: listenerRefusedPage, Effect: policy.Deny,
		Summary: "A Gateway's TLS host makes the proxy refuse a guarded port as a whole.",
		Kinds:   []resource.Kind{resource.KindGateway}, Operations: createUpdate, Reads: gatewayReads,
		Object: func(w *policy.World, o resource.Object, report func(policy.Fault)) {
			gw, ok := o.(*resource.Gateway)
			if !ok {
				return
			}
			seen := map[string]spelling{}
			for _, e := range w.Encounters(gw) {
				if e.Server.Family == policy.TLS {
					listenerRefusedBy(w, &e, seen, report)
				}
			}
		},
	}
}

// spelling is how a name was written in a server that came before.
type spelling struct {
	host, key, bind string
	server          int
}

func listenerRefusedBy(w *policy.World, e *policy.Encounter, seen map[string]spelling, report func(policy.Fault)) {
	// On a port without the owner or anybody else a Gateway may break what is its own.
	shared := e.Owners || len(e.Kin()) > 0
	refused := func(i int, why, fix, subject string, related ...resource.Key) {
		whom := e.Guard.Name
		if !shared && len(related) > 0 {
			whom = name(related[0])
		}
		if kin := e.Kin(); len(kin) > 0 {
			whom = fmt.Sprintf("%s of %s", name(kin[0].Gateway), e.Guard.Name)
			related = append(related, kin[0].Gateway)
		}
		report(policy.Fault{
			Effect:  policy.Deny,
			Field:   hostField(e.Server.Index, i),
			Message: fmt.Sprintf("%s, so %s, %s included. %s", why, refuses(&e.Server), whom, fix),
			Related: related,
			Subject: place(e) + subject,
		})
	}
	for i, h := range e.Server.Hosts {
		if shared && h.Name.PartialWildcard() {
			refused(i, fmt.Sprintf("%q has a wildcard for a part of a label, which no TLS server name can have", h.Host),
				`Write whole labels: "*.example.org".`, "partial|"+string(h.Name))
			continue
		}
		id := fmt.Sprintf("%p|%v|%s|%s", e.Pods, e.Server.Ports, policy.Address(e.Server.Bind), h.Name)
		first, again := seen[id]
		if !again {
			seen[id] = spelling{h.Host, h.Key, e.Server.Bind, e.Server.Index}
		}
		// Within a server Istio drops what repeats a name in the same letter case, whatever
		// namespace is before it (GetSNIHostsForServer in istio.io/istio
		// pilot/pkg/model/gateway.go).
		alike := first.key == h.Key && first.bind == e.Server.Bind || first.server == e.Server.Index && first.host == h.Host
		if shared && again && !alike {
			refused(i, fmt.Sprintf("%q is the same TLS server name as %q in spec.servers[%d], written another way", h.Key, first.key, first.server),
				"Keep one of the two.", "self|"+string(h.Name))
		}
		eachTwin(w, e, h.Name, func(o policy.HostPlace) bool {
			if o.Host.Key == h.Key && o.Server.Bind == e.Server.Bind {
				return true // Istio drops the younger one: see tenant-host-conflict
			}
			if !shared && o.Server.Gateway.Namespace == e.Server.Gateway.Namespace {
				return true
			}
			refused(i, fmt.Sprintf("%q is the same TLS server name as %q of %s, written another way", h.Key, o.Host.Key, name(o.Server.Gateway)),
				"Choose another host, or agree with the other owner.", string(h.Name)+"|"+o.Server.Gateway.String(), o.Server.Gateway)
			return false
		})
	}
}
