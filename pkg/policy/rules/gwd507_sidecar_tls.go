package rules

import (
	_ "embed"
	"fmt"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd507_sidecar_tls.md
var sidecarTLSPage string

// sidecarTLS finds Sidecars that terminate a TLS of their own for protected workloads. Istio
// reads that only where istiod runs with ENABLE_TLS_ON_SIDECAR_INGRESS, and for ports with the
// mode DISABLE (istio.io/istio pilot/pkg/networking/core/listener_inbound.go). It can
// therefore neither weaken what a workload enforces nor stand in for it, and warns.
func sidecarTLS() *policy.Rule {
	return &policy.Rule{
		ID: "GWD507", Name: "sidecar-tls", Page: sidecarTLSPage, Effect: policy.Warn,
		Summary: "A Sidecar terminates a TLS of its own for protected workloads.",
		Kinds:   []resource.Kind{resource.KindSidecar}, Operations: createUpdate,
		Reads: sidecarReads,
		Object: func(w *policy.World, o resource.Object, report func(policy.Fault)) {
			s, ok := o.(*resource.Sidecar)
			if !ok || !w.Protected(s.Namespace) {
				return
			}
			for i, l := range s.Ingress {
				if l.TLS == "" {
					continue
				}
				f := policy.Fault{
					Effect: policy.Warn, Field: fmt.Sprintf("spec.ingress[%d].tls", i), Subject: fmt.Sprintf("%d %s", l.Port, l.TLS),
					Message: "has no effect: Istio reads it only for ports whose mutual TLS is DISABLE. Remove it, so that nobody relies on it.",
				}
				if takesPlainText(w, s, l.Port) {
					f.Message = fmt.Sprintf("%s on port %d is not the mesh's mutual TLS: clients prove no identity that the mesh knows. "+
						"Remove it, and let a PeerAuthentication say STRICT.", l.TLS, l.Port)
				}
				report(f)
			}
		},
	}
}

// takesPlainText reports whether any workload that the Sidecar selects has the mode DISABLE on
// a port.
func takesPlainText(w *policy.World, s *resource.Sidecar, port uint32) bool {
	p := w.Policies()
	found := p.Effective(s.Namespace, s.WorkloadSelector).At(port) == resource.ModeDisable
	w.EachWorkload(s.Namespace, func(o *resource.Workload) bool {
		if resource.Selects(s.WorkloadSelector, o.Pod.Labels) && w.HasSidecar(o) {
			found = found || p.Effective(s.Namespace, o.Pod.Labels).At(port) == resource.ModeDisable
		}
		return !found
	})
	return found
}
