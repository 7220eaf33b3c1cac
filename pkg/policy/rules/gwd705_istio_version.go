package rules

import (
	_ "embed"
	"fmt"
	"slices"

	"github.com/gatewarden/gatewarden/pkg/gatewaypod"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd705_istio_version.md
var istioVersionPage string

// istioVersion finds releases of Istio that the owner does not support, and gateways that are of
// another one than their control plane.
func istioVersion() *policy.Rule {
	return &policy.Rule{
		ID: "GWD705", Name: "istio-version", Page: istioVersionPage, Effect: policy.Warn,
		Summary: "Istio is of a version that the owner does not support, or the guarded gateway is of another one than istiod.",
		Reads:   controlPlaneReads,
		Standing: func(w *policy.World, report func(resource.Key, policy.Fault)) {
			planes := w.ControlPlanes()
			for _, g := range w.Guards {
				known := false
				for _, p := range planes {
					v, ok := p.Version()
					known = known || ok
					if r := g.Requires.IstioVersions; ok && !r.Contains(v) {
						report(p.Istiod.Key(), policy.Fault{
							Effect: policy.Warn, Field: "spec.template.spec.containers[" + resource.Discovery + "].image", Subject: g.Name,
							Message: fmt.Sprintf("Istio %s is none of those that %s supports, %s to %s: nobody has tried whether they work together. "+
								"Use one of those, or a release of %s that supports it.", v, g.Name, r.Min, r.Max, g.Name),
						})
					}
				}
				if !known {
					report(resource.Key{Kind: resource.KindDeployment, Namespace: w.Config.Mesh.RootNamespace, Name: "istiod"},
						unchecked("version", "no Deployment of istiod with a version in its image is known: %s.", lacking(w, resource.KindDeployment)))
					continue
				}
				compareProxies(w, g, planes, report)
			}
		},
	}
}

// compareProxies reports the proxies of a guarded gateway that are of another minor version than
// the istiod that they are configured by.
func compareProxies(w *policy.World, g *policy.Guard, planes []*policy.ControlPlane, report func(resource.Key, policy.Fault)) {
	workloads := proxies(w, g, g.Namespace)
	for _, o := range workloads {
		plane := planeOf(planes, o.Pod.Labels[gatewaypod.RevisionLabel])
		if plane == nil {
			continue
		}
		theirs, known := plane.Version()
		c := o.Pod.Container(gatewaypod.ProxyContainer)
		if !known || c == nil {
			continue
		}
		on := o.Key()
		if o.Kind == resource.KindPod {
			// The object to mend is what the pods are made from.
			if i := slices.IndexFunc(workloads, func(t *resource.Workload) bool {
				return t.Kind != resource.KindPod && resource.Selects(t.Pod.Labels, o.Pod.Labels)
			}); i >= 0 {
				on = workloads[i].Key()
			}
		}
		if ours, ok := policy.ImageVersion(c.Image); ok && ours != theirs {
			report(on, policy.Fault{
				Effect: policy.Warn, Field: "spec.template.spec.containers[" + gatewaypod.ProxyContainer + "].image", Subject: "proxy " + ours.String(),
				Message: fmt.Sprintf("proxies of %s are Istio %s, but istiod is %s: what it configures them with is not made for them. "+
					"Restart the gateway, with the image %q, so that they are injected anew.", g.Name, ours, theirs, gatewaypod.AutoImage),
				Related: []resource.Key{plane.Istiod.Key()},
			})
		} else if ours, ok := policy.ChartVersion(o.Labels); ok && ours != theirs && c.Image == gatewaypod.AutoImage {
			report(on, policy.Fault{
				Effect: policy.Note, Field: "metadata.labels[" + resource.ChartLabel + "]", Subject: "chart " + ours.String(),
				Message: fmt.Sprintf("it comes from the gateway chart %s, and istiod is %s, which decides what its proxies are. Use the chart of that version.", ours, theirs),
			})
		}
	}
}

// planeOf returns the control plane of a revision; for pods that do not tell theirs the only one
// there is, or nil.
func planeOf(planes []*policy.ControlPlane, revision string) *policy.ControlPlane {
	if revision == "" && len(planes) == 1 {
		return planes[0]
	}
	if i := slices.IndexFunc(planes, func(p *policy.ControlPlane) bool { return p.Revision == revision }); i >= 0 {
		return planes[i]
	}
	return nil
}
