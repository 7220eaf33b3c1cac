package rules

import (
	_ "embed"
	"fmt"

	"github.com/gatewarden/gatewarden/pkg/hostname"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd104_listener_refused.md
var listenerRefusedPage string

// listenerRefused finds servers by which the proxy refuses a listener as a whole. For TLS: a
// partial wildcard, and one name in two spellings. Istio looks for duplicates by the string
// (CheckDuplicates in istio.io/istio pilot/pkg/model/gateway.go), the proxy by the name, so a
// spelling that Istio lets pass gives two filter chains for one SNI. For plain text: see
// policy.World.Splits.
func listenerRefused() *policy.Rule {
	return &policy.Rule{
		ID: "GWD104", Name: "listener-refused", Page: listenerRefusedPage, Effect: policy.Deny,
		Summary: "A Gateway's server makes the proxy refuse a port as a whole, by its TLS host, its bind or its protocol.",
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
				} else {
					listenerSplitBy(w, gw, &e, report)
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
	refused := func(i int, why, fix, subject string, rival resource.Key, through ...resource.Key) {
		whom := e.Guard.Name
		var related []resource.Key
		if rival != (resource.Key{}) {
			related = append(append(related, rival), through...)
			if !shared {
				whom = name(rival)
			}
		}
		if kin := e.Kin(); len(kin) > 0 {
			whom = fmt.Sprintf("%s of %s", name(kin[0].Gateway), e.Guard.Name)
			related = append(related, kin[0].Gateway)
		}
		report(policy.Fault{
			Effect:  policy.Deny,
			Field:   hostField(e.Server.Index, i),
			Message: fmt.Sprintf("%s, so %s, %s included. %s", why, refuses(&e.Server), whom, fix),
			Related: related, Rival: rival,
			Place: labels(e.Pods.Labels), Subject: listenerOf(e) + subject,
		})
	}
	for i, h := range e.Server.Hosts {
		if !e.Server.ByName(h.Name) {
			continue
		}
		if shared && h.Name.PartialWildcard() {
			refused(i, fmt.Sprintf("%q has a wildcard for a part of a label, which no TLS server name can have", h.Host),
				`Write whole labels: "*.example.org".`, "partial|"+string(h.Name), resource.Key{})
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
		same := first.key == h.Key && first.bind == e.Server.Bind || first.server == e.Server.Index && first.host == h.Host
		if shared && again && !same {
			refused(i, fmt.Sprintf("%q is the same TLS server name as %q in spec.servers[%d], written another way", h.Key, first.key, first.server),
				"Keep one of the two.", "self|"+string(h.Name), resource.Key{})
		}
		if o, b := serverNameOf(w, e, h.Name); o != nil && !policy.Passthrough(e.Server.Server) && (shared || o.Namespace != e.Server.Gateway.Namespace) {
			refused(i, fmt.Sprintf("%q is a server name of a TLS route of %s through %s", h.Host, name(o.Key()), name(b.Gateway.Key())),
				"Choose another host, or agree with the other owner.", string(h.Name)+"|"+o.Key().String(), o.Key(), b.Gateway.Key())
		}
		eachTwin(w, e, h.Name, func(o policy.HostPlace) bool {
			if alike(e, h, &o) || !o.Server.ByName(h.Name) {
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

// serverNameOf returns a VirtualService with a TLS route for the server name on the listener
// of the encountered server, and where it is bound. The names of such routes need not be among
// the hosts of their Gateway, and Istio does not compare them with those of TLS servers.
func serverNameOf(w *policy.World, e *policy.Encounter, n hostname.Name) (found *resource.VirtualService, at *policy.Binding) {
	w.Snapshot.RoutesOn(n, "", func(v *resource.VirtualService) bool {
		bindings := w.Bindings(v, nil)
		for i := range bindings {
			b := &bindings[i]
			if b.Pods != e.Pods || b.Server.Gateway == e.Server.Gateway || !policy.RoutesTLS(b.Server.Server) || !b.Server.SharesListener(&e.Server) || sameServer(w.EncounterOf(b), n) {
				continue
			}
			for _, c := range l4Claims(v, b) {
				if c.name == n {
					found, at = v, b
					return false
				}
			}
		}
		return true
	})
	return found, at
}

// listenerSplitBy reports a plain-text server that Istio does not merge with another one on
// its listener, so that the proxy gets two filter chains for every connection.
func listenerSplitBy(w *policy.World, gw *resource.Gateway, e *policy.Encounter, report func(policy.Fault)) {
	split, found := w.Splits(gw, e)
	if !found || split.Harmed == nil && !e.Owners {
		return // on a port without anybody else a Gateway may break what is its own
	}
	rival, whom := name(split.Server.Gateway), e.Guard.Name
	if split.Harmed != nil {
		whom = name(split.Harmed.Gateway)
	}
	f := policy.Fault{
		Effect:  policy.Deny,
		Field:   serverField(e.Server.Index, "bind"),
		Related: []resource.Key{split.Server.Gateway},
		Place:   labels(e.Pods.Labels), Subject: listenerOf(e) + fmt.Sprintf("split|%s|%s|%s", e.Server.Bind, e.Server.Protocol, split.Server.Gateway),
	}
	var why, fix string
	switch between := split.Between; {
	case between == nil:
		why = fmt.Sprintf("%s and %s of %s are one address in two spellings, which Istio does not merge", bind(&e.Server), bind(split.Server), rival)
		fix = "Write the address as the other does: leave bind empty."
	case between == &e.Server:
		why = fmt.Sprintf("%s comes between servers of %s and others that Istio merges only while there is no other bind on the port", bind(&e.Server), rival)
		fix = "Leave bind empty, or use another port."
	default:
		f.Field = serverField(e.Server.Index, "port.protocol")
		f.Related = append(f.Related, between.Gateway)
		why = fmt.Sprintf("Istio does not merge %s with %s of %s once %s of %s comes between them, which depends on their age",
			e.Server.Protocol, split.Server.Protocol, rival, bind(between), name(between.Gateway))
		fix = fmt.Sprintf("Write %s, which serves the same.", split.Server.Protocol)
	}
	f.Message = fmt.Sprintf("%s, so the proxy refuses the whole port %s: running pods keep the last good state, new pods serve nobody there, %s included. %s",
		why, ports(&e.Server), whom, fix)
	report(f)
}

// bind writes the bind of a server for people.
func bind(s *policy.Server) string {
	if s.Bind == "" {
		return "no bind"
	}
	return "bind " + s.Bind
}
