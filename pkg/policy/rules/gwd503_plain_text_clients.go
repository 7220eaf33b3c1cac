package rules

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/hostname"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd503_plain_text_clients.md
var plainTextClientsPage string

// plainTextClients finds DestinationRules by which clients stop to speak mutual TLS to a
// protected Service. A client's proxy does so by itself (auto mTLS) until a tls block says
// otherwise, and only ISTIO_MUTUAL shows the identity of the mesh
// (buildUpstreamClusterTLSContext in istio.io/istio pilot/pkg/networking/core/cluster_tls.go).
func plainTextClients() *policy.Rule {
	return &policy.Rule{
		ID: "GWD503", Name: "plain-text-clients", Page: plainTextClientsPage, Effect: policy.Deny,
		Summary: "A DestinationRule keeps clients of a protected Service from using mutual TLS.",
		Kinds:   []resource.Kind{resource.KindDestinationRule}, Operations: createUpdate,
		Reads: append([]resource.Kind{resource.KindDestinationRule}, sidecarReads...),
		Object: func(w *policy.World, o resource.Object, report func(policy.Fault)) {
			d, ok := o.(*resource.DestinationRule)
			if !ok || slices.ContainsFunc(w.Guards, func(g *policy.Guard) bool { return g.IsOwners(d.Key()) }) {
				return
			}
			settings := plainSettings(d)
			if len(settings) == 0 {
				return
			}
			services := protectedServices(w, d)
			for _, s := range settings {
				f, found := judgePlain(w, d, s, services)
				if !found && len(services) == 0 {
					f, found = judgeGuardedHost(w, d, s)
				}
				if found {
					f.Field, f.Subject = s.field, s.where+"|"+s.mode+"|"+d.Host
					report(f)
				}
			}
		},
	}
}

// plainSetting is one tls block of a DestinationRule without the mesh's mutual TLS.
type plainSetting struct {
	field, mode string
	where       string          // the subset and port, for telling settings apart
	port        uint32          // 0: every port that others is not for
	others      map[uint32]bool // the ports with settings of their own
}

// reaches reports whether the setting is for any port of a Service; nil is a Service that is
// not known. Settings of a port replace all others (GetPortLevelTrafficPolicy in
// istio.io/istio pilot/pkg/networking/util/util.go).
func (s plainSetting) reaches(svc *resource.Service) bool {
	return svc == nil || slices.ContainsFunc(svc.Ports, func(p resource.ServicePort) bool {
		return p.Port == s.port || s.port == 0 && !s.others[p.Port]
	})
}

func plainSettings(d *resource.DestinationRule) []plainSetting {
	out := plainPolicy("spec.trafficPolicy.", "", &d.Policy)
	for i := range d.Subsets {
		s := &d.Subsets[i]
		out = append(out, plainPolicy(fmt.Sprintf("spec.subsets[%d].trafficPolicy.", i), s.Name, &s.Policy)...)
	}
	return out
}

func plainPolicy(field, subset string, p *resource.TrafficPolicy) []plainSetting {
	var out []plainSetting
	plain := func(mode string) bool { return mode == "DISABLE" || mode == "SIMPLE" || mode == "MUTUAL" }
	others := map[uint32]bool{}
	for i, port := range p.Ports {
		others[port.Port] = true
		if plain(port.TLS) {
			out = append(out, plainSetting{
				field: fmt.Sprintf("%sportLevelSettings[%d].tls.mode", field, i), mode: port.TLS,
				where: fmt.Sprintf("%s:%d", subset, port.Port), port: port.Port,
			})
		}
	}
	if plain(p.TLS) {
		out = append(out, plainSetting{field: field + "tls.mode", mode: p.TLS, where: subset, others: others})
	}
	return out
}

// protectedService is a Service of a protected namespace that a DestinationRule is for.
type protectedService struct {
	namespace, name string            // no name: whatever Services the namespace has
	object          *resource.Service // nil if it is not known
}

func (s protectedService) String() string {
	if s.name == "" {
		return "every Service of namespace " + s.namespace
	}
	return "Service " + s.namespace + "/" + s.name
}

// protectedServices returns the Services of protected namespaces that the host stands for,
// without those whose pods are outside of the mesh. One that does not exist counts if the
// host names it: the DestinationRule would be there first.
func protectedServices(w *policy.World, d *resource.DestinationRule) []protectedService {
	to := policy.DestinationOf(d)
	if namespace, name, ok := to.Service(); ok {
		svc, _ := w.Snapshot.Get(resource.Key{Kind: resource.KindService, Namespace: namespace, Name: name}).(*resource.Service)
		if !w.Protected(namespace) || !to.Covers(namespace, name) || svc != nil && !w.InMesh(svc) {
			return nil
		}
		return []protectedService{{namespace, name, svc}}
	}
	var out []protectedService
	namespaces := w.ProtectedNamespaces()
	if w.Protected(d.Namespace) && !slices.Contains(namespaces, d.Namespace) {
		namespaces = append(namespaces, d.Namespace) // it exists, or d could not
	}
	if len(namespaces) == 0 && !w.Snapshot.Complete() {
		namespaces = w.Config.ProtectedNamespaces.Names
	}
	for _, namespace := range namespaces {
		known := false
		w.Snapshot.Each(resource.KindService, namespace, func(o resource.Object) bool {
			svc := o.(*resource.Service)
			known = true
			if to.Covers(namespace, svc.Name) && w.InMesh(svc) {
				out = append(out, protectedService{namespace, svc.Name, svc})
			}
			return true
		})
		if !known && !w.Snapshot.Complete() && to.CoversNamespace(namespace) {
			out = append(out, protectedService{namespace: namespace})
		}
	}
	return out
}

// judgePlain reports what a setting does to the Service that suffers most.
func judgePlain(w *policy.World, d *resource.DestinationRule, s plainSetting, services []protectedService) (policy.Fault, bool) {
	var worst protectedService
	audience, found := policy.Nobody, false
	for _, svc := range services {
		if !s.reaches(svc.object) {
			continue
		}
		if a := w.AudienceOf(d, svc.namespace, svc.name); !found || a > audience {
			worst, audience, found = svc, a, true
		}
		if audience == policy.Everyone {
			break
		}
	}
	if !found {
		return policy.Fault{}, false
	}
	f := policy.Fault{Effect: policy.Deny}
	if worst.object != nil {
		f.Related = []resource.Key{worst.object.Key()}
	}
	const fix = "Leave tls out, or use ISTIO_MUTUAL."
	switch audience {
	case policy.Everyone:
		f.Message = fmt.Sprintf("%s makes the clients of %s do without mutual TLS. The namespace is protected: where it enforces "+
			"STRICT they are refused, elsewhere they lose the identity that it trusts. %s", s.mode, worst, fix)
	case policy.Gateway:
		f.Message = fmt.Sprintf("%s makes the guarded gateway do without mutual TLS towards %s: where that enforces STRICT its requests "+
			"are refused, elsewhere they lose the identity that is trusted. %s", s.mode, worst, fix)
	case policy.Own:
		f.Effect = policy.Warn
		f.Message = fmt.Sprintf("%s: clients in this namespace do without mutual TLS towards %s, which may refuse them. %s", s.mode, worst, fix)
	default:
		if _, _, one := policy.DestinationOf(d).Service(); !one {
			return policy.Fault{}, false
		}
		f.Effect = policy.Warn
		f.Message = fmt.Sprintf("%s has no effect: no client of %s reads this DestinationRule. Remove it.", s.mode, worst)
	}
	return f, true
}

// judgeGuardedHost reports settings for a host of the owner that others read: requests of
// the mesh to his gateway are then encrypted twice, or not at all. For its own namespace a
// DestinationRule may say how to speak to him as to any public host.
func judgeGuardedHost(w *policy.World, d *resource.DestinationRule, s plainSetting) (policy.Fault, bool) {
	if _, _, service := policy.DestinationOf(d).Service(); service || d.Host != strings.ToLower(d.Host) {
		return policy.Fault{}, false // letter case counts, and the owner's hosts have lower case
	}
	reach := policy.ReachOf(d)
	for _, g := range w.Guards {
		read := d.Namespace == g.Namespace && (reach.Own || reach.Others) ||
			d.Namespace == w.Config.Mesh.RootNamespace && reach.Others
		if read && g.Uses(hostname.Parse(d.Host)) {
			return policy.Fault{
				Effect: policy.Deny,
				Message: fmt.Sprintf("host %s is %s's: %s changes how every client in the mesh speaks to it, because a DestinationRule of "+
					"namespace %s is read by all. Move it to the namespace of the clients.", d.Host, g.Name, s.mode, d.Namespace),
			}, true
		}
	}
	return policy.Fault{}, false
}
