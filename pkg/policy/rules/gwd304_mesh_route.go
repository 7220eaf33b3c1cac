package rules

import (
	_ "embed"
	"fmt"
	"slices"

	"github.com/gatewarden/gatewarden/pkg/hostname"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd304_mesh_route.md
var meshRoutePage string

// meshRoute finds VirtualServices that re-route the owner's hosts inside the mesh. The
// gateway never sees them; the sidecars of every namespace they are exported to do.
func meshRoute() *policy.Rule {
	return &policy.Rule{
		ID: "GWD304", Name: "mesh-route", Page: meshRoutePage, Effect: policy.Warn,
		Summary: "A VirtualService re-routes a guarded host for the sidecars of other namespaces.",
		Kinds:   []resource.Kind{resource.KindVirtualService}, Operations: createUpdate, Reads: gatewayReads,
		Object: func(w *policy.World, o resource.Object, report func(policy.Fault)) {
			v, ok := o.(*resource.VirtualService)
			if !ok || len(v.Gateways) > 0 && !slices.Contains(v.Gateways, "mesh") || len(v.HTTP)+len(v.TLS)+len(v.TCP) == 0 {
				return
			}
			for _, g := range w.Guards {
				if g.IsOwners(v.Key()) || !exportedBeyond(w, v) {
					continue
				}
				for i, h := range v.Hosts {
					if n := hostname.Parse(h); g.Uses(n) {
						report(policy.Fault{
							Effect: policy.Warn,
							Field:  fmt.Sprintf("spec.hosts[%d]", i),
							Message: fmt.Sprintf("host %s is %s's: this re-routes it for the sidecars of other namespaces. "+
								"Name a Gateway of your own, or set exportTo: [\".\"].", h, g.Name),
							Subject: g.Name + "|" + string(n),
						})
					}
				}
			}
		},
	}
}

// exportedBeyond reports whether any namespace but its own sees the VirtualService.
func exportedBeyond(w *policy.World, v *resource.VirtualService) bool {
	exportTo := v.ExportTo
	if len(exportTo) == 0 {
		exportTo = w.Config.Mesh.DefaultVirtualServiceExportTo
	}
	return slices.ContainsFunc(exportTo, func(e string) bool { return e != "." && e != "~" && e != v.Namespace })
}
