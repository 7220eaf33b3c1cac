package rules

import (
	_ "embed"
	"fmt"
	"slices"

	"github.com/gatewarden/gatewarden/pkg/hostname"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd312_taken_name.md
var takenNamePage string

// takenName finds ServiceEntries for names that are somebody else's. Of several with one host a
// proxy takes the oldest that it sees, those that name its namespace in exportTo first; a Service
// goes before all of them, while there is one (appendSidecarServices in istio.io/istio
// pilot/pkg/model/sidecar.go, servicesExportedToNamespace in push_context.go beside it).
func takenName() *policy.Rule {
	return &policy.Rule{
		ID: "GWD312", Name: "taken-name", Page: takenNamePage, Effect: policy.Deny,
		Summary: "A ServiceEntry takes the name of a protected Service, or a host of the owner, for other namespaces.",
		Kinds:   []resource.Kind{resource.KindServiceEntry}, Operations: createUpdate,
		Reads: slices.Concat(gatewayReads, []resource.Kind{resource.KindNamespace}),
		Object: func(w *policy.World, o resource.Object, report func(policy.Fault)) {
			e, ok := o.(*resource.ServiceEntry)
			if !ok || !seenBeyond(e) || slices.ContainsFunc(w.Guards, func(g *policy.Guard) bool { return g.IsOwners(e.Key()) }) {
				return
			}
			for i, h := range e.Hosts {
				tell := func(f policy.Fault) {
					f.Field, f.Subject = fmt.Sprintf("spec.hosts[%d]", i), h
					report(f)
				}
				if namespace, name, ok := w.ServiceNamed(h); ok {
					takenService(w, e, h, namespace, name, tell)
					continue
				}
				for _, namespace := range w.CoveredNamespaces(h) {
					if namespace != e.Namespace {
						tell(policy.Fault{
							Effect: policy.Warn,
							Message: fmt.Sprintf("%s covers names in protected namespace %s: requests for those that no Service has go elsewhere. "+
								`Leave it out, or set exportTo: ["."].`, h, namespace),
						})
						break
					}
				}
				takenHost(w, e, h, tell)
			}
		},
	}
}

// takenService reports a host that is the name of a Service of a protected namespace.
func takenService(w *policy.World, e *resource.ServiceEntry, host, namespace, svc string, report func(policy.Fault)) {
	if namespace == e.Namespace || !w.Protected(namespace) {
		return
	}
	key := resource.Key{Kind: resource.KindService, Namespace: namespace, Name: svc}
	if w.Snapshot.Get(key) == nil && w.Snapshot.Complete() {
		report(policy.Fault{
			Effect:  policy.Warn,
			Message: fmt.Sprintf(`%s is a name in protected namespace %s that no Service has yet. Choose a name of your own, or set exportTo: ["."].`, host, namespace),
		})
		return
	}
	report(policy.Fault{
		Effect: policy.Deny,
		Message: fmt.Sprintf("%s is %s of a protected namespace: whenever that is re-created, and in releases of Istio that do not prefer Services, "+
			`what is sent to it goes to the endpoints of this ServiceEntry. Choose a name of your own, or set exportTo: ["."].`, host, name(key)),
		Related: []resource.Key{key},
	})
}

// takenHost reports a host of the owner's. In the mesh that is a surprise; where his own routes
// send requests on to it, they would arrive elsewhere.
func takenHost(w *policy.World, e *resource.ServiceEntry, host string, report func(policy.Fault)) {
	for _, g := range w.Guards {
		if !g.Uses(hostname.Parse(host)) {
			continue
		}
		f := policy.Fault{
			Effect: policy.Warn,
			Message: fmt.Sprintf(`host %s is %s's: sidecars of other namespaces may send its requests to the endpoints of this. Use another host, or set exportTo: ["."].`,
				host, g.Name),
		}
		if policy.Exported(e, g.Namespace) {
			w.Snapshot.RoutesTo(host, func(v *resource.VirtualService) bool {
				if g.IsOwners(v.Key()) {
					f.Effect = policy.Deny
					f.Related = []resource.Key{v.Key()}
					f.Message = fmt.Sprintf("host %s is %s's, whose gateway sends requests to it by %s: they would go to the endpoints of this ServiceEntry, "+
						"now or when another one is re-created. Use another host.", host, g.Name, name(v.Key()))
				}
				return f.Effect != policy.Deny
			})
		}
		report(f)
		return
	}
}

// seenBeyond reports whether any namespace but its own sees a ServiceEntry.
func seenBeyond(e *resource.ServiceEntry) bool {
	return len(e.ExportTo) == 0 || slices.ContainsFunc(e.ExportTo, func(to string) bool { return to != "." && to != "~" && to != e.Namespace })
}
