package rules

import (
	"cmp"
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/translate"
)

//go:embed gwd702_mesh_differs.md
var meshDiffersPage string

// meshDiffers compares what gatewarden is told about the mesh with what the mesh is told. A
// difference makes verdicts wrong.
func meshDiffers() *policy.Rule {
	return &policy.Rule{
		ID: "GWD702", Name: "mesh-differs", Page: meshDiffersPage, Effect: policy.Warn,
		Summary: "Istio's configuration is another than gatewarden's own configuration says.",
		Reads:   controlPlaneReads,
		Standing: func(w *policy.World, report func(resource.Key, policy.Fault)) {
			for _, p := range w.ControlPlanes() {
				if p.Mesh != nil && p.Mesh.Mesh != nil {
					compareMesh(w, p, report)
				}
				if p.Istiod != nil {
					compareIstiod(w, p, report)
				}
			}
		},
	}
}

// meshSetting is one setting as both sides have it.
type meshSetting struct{ ours, theirs, live, configured string }

// compareMesh compares meshConfig. What it leaves out has the defaults of DefaultMeshConfig in
// istio.io/istio pkg/config/mesh/mesh.go.
func compareMesh(w *policy.World, p *policy.ControlPlane, report func(resource.Key, policy.Fault)) {
	m, c := p.Mesh.Mesh, &w.Config.Mesh
	live := translate.Options{
		IngressMode: m.IngressControllerMode, IngressClass: m.IngressClass,
		IngressSelector: m.IngressSelector, IngressService: m.IngressService,
	}.WithDefaults()
	configured := c.Translation()
	for _, s := range []meshSetting{
		{"rootNamespace", "rootNamespace", cmp.Or(m.RootNamespace, "istio-system"), c.RootNamespace},
		{"defaultVirtualServiceExportTo", "defaultVirtualServiceExportTo", exportTargets(m.DefaultVirtualServiceExportTo), exportTargets(c.DefaultVirtualServiceExportTo)},
		{"ingressControllerMode", "ingressControllerMode", live.IngressMode, configured.IngressMode},
		{"ingressClass", "ingressClass", live.IngressClass, configured.IngressClass},
		{"ingressSelector", "ingressSelector", live.IngressSelector, configured.IngressSelector},
		{"ingressService", "ingressService", live.IngressService, configured.IngressService},
	} {
		if s.live != s.configured {
			f := s.fault("data.mesh." + s.theirs)
			if p.Shared() {
				f = unchecked(f.Field, "istiod reads another ConfigMap as well (SHARED_MESH_CONFIG), which may set %s.", s.theirs)
			}
			report(p.Mesh.Key(), f)
		}
	}
}

// exportTargets writes a list of export targets; an empty one is the default.
func exportTargets(exportTo []string) string {
	if len(exportTo) == 0 {
		return "*"
	}
	sorted := slices.Sorted(slices.Values(exportTo))
	return strings.Join(sorted, ", ")
}

// tcpListeners is the version since which istiod has TCP listeners of the Gateway API without
// being told to.
var tcpListeners = config.IstioVersion{Major: 1, Minor: 31}

// compareIstiod compares istiod's environment. Where gatewarden takes something into account that
// istiod does not do, and would not refuse anything for it but what nobody has, it is only a note.
func compareIstiod(w *policy.World, p *policy.ControlPlane, report func(resource.Key, policy.Fault)) {
	c := &w.Config.Mesh
	version, versionKnown := p.Version()
	for _, s := range []struct {
		ours, theirs       string
		fallback           bool // of istiod
		opposite, cautious bool // ours says what theirs does not; ours is false to be on the safe side
		known, configured  bool
	}{
		{ours: "scopeGatewayToNamespace", theirs: "PILOT_SCOPE_GATEWAY_TO_NAMESPACE", known: true, configured: c.ScopeGatewayToNamespace},
		{
			ours: "noTCPListeners", theirs: "PILOT_ENABLE_ALPHA_GATEWAY_API", fallback: !version.Before(tcpListeners),
			opposite: true, cautious: true, known: versionKnown, configured: c.NoTCPListeners,
		},
		{
			ours: "onlyManagedGateways", theirs: "ENABLE_GATEWAY_API_MANUAL_DEPLOYMENT", fallback: true,
			opposite: true, cautious: true, known: true, configured: c.OnlyManagedGateways,
		},
	} {
		theirs, known := p.Switch(s.theirs, s.fallback)
		if !known || !s.known {
			report(p.Istiod.Key(), unchecked(s.theirs, "it is not known what %s is, or is by default.", s.theirs))
			continue
		}
		if live := theirs != s.opposite; live != s.configured {
			f := meshSetting{s.ours, s.theirs, fmt.Sprint(theirs), fmt.Sprint(s.configured != s.opposite)}.fault(
				"spec.template.spec.containers[" + resource.Discovery + "].env")
			if s.cautious && !s.configured {
				f.Effect = policy.Note
			}
			report(p.Istiod.Key(), f)
		}
	}
}

func (s meshSetting) fault(field string) policy.Fault {
	return policy.Fault{
		Effect: policy.Warn, Field: field, Subject: s.theirs,
		Message: fmt.Sprintf("%s is %q, but gatewarden takes it for %q, so that it refuses and admits what it should not. "+
			"Correct mesh.%s of its configuration.", s.theirs, s.live, s.configured, s.ours),
	}
}
