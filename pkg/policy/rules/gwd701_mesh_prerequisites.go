package rules

import (
	_ "embed"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd701_mesh_prerequisites.md
var meshPrerequisitesPage string

// Since these versions istiod allocates addresses by itself, and injects the proxy as a container
// that Kubernetes starts before the others.
var (
	allocatesItself = config.IstioVersion{Major: 1, Minor: 25}
	nativeSidecars  = config.IstioVersion{Major: 1, Minor: 27}
)

// meshPrerequisites finds settings of the mesh without which what an owner's applications are
// built on does not work.
func meshPrerequisites() *policy.Rule {
	return &policy.Rule{
		ID: "GWD701", Name: "mesh-prerequisites", Page: meshPrerequisitesPage, Effect: policy.Warn,
		Summary: "Istio's configuration lacks a setting that the owner's applications need.",
		Reads:   slices.Concat(controlPlaneReads, gatewayWorkloadKinds),
		Standing: func(w *policy.World, report func(resource.Key, policy.Fault)) {
			for _, g := range w.Guards {
				r := &g.Requires
				if !r.HoldApplication && !r.DNSCapture {
					continue
				}
				planes := w.ControlPlanes()
				if !slices.ContainsFunc(planes, hasMesh) {
					report(meshKey(w), unchecked("mesh", "no ConfigMap %s or %[1]s-<revision> of %s is known: %s.",
						resource.MeshConfigMap, w.Config.Mesh.RootNamespace, lacking(w, resource.KindConfigMap)))
				}
				for _, p := range planes {
					needs(w, g, p, report)
				}
				overrides(w, g, report)
			}
		},
	}
}

func hasMesh(p *policy.ControlPlane) bool { return p.Mesh != nil }

// meshKey is the ConfigMap of the default revision, known or not.
func meshKey(w *policy.World) resource.Key {
	return resource.Key{Kind: resource.KindConfigMap, Namespace: w.Config.Mesh.RootNamespace, Name: resource.MeshConfigMap}
}

// needs reports what one revision lacks.
func needs(w *policy.World, g *policy.Guard, p *policy.ControlPlane, report func(resource.Key, policy.Fault)) {
	for _, c := range []*resource.ConfigMap{p.Mesh, p.Injection} {
		if c != nil && c.Problem != "" {
			report(c.Key(), unchecked("problem", "%s.", c.Problem))
		}
	}
	version, known := p.Version()
	if !known {
		version = g.Requires.IstioVersions.Max // as if it were one of those that the owner supports
	}
	warn := func(c *resource.ConfigMap, field, message string) {
		f := policy.Fault{Effect: policy.Warn, Field: field, Subject: field, Message: message}
		if p.Shared() {
			f = unchecked(field, "this ConfigMap leaves it open, and istiod reads another one as well (SHARED_MESH_CONFIG).")
			f.Field = field
		}
		report(c.Key(), f)
	}
	if p.Mesh != nil && p.Mesh.Mesh != nil {
		m := p.Mesh.Mesh
		held := m.HoldApplication || p.Injection != nil && p.Injection.Injection != nil && p.Injection.Injection.HoldApplication
		native, nativeKnown := p.Switch("ENABLE_NATIVE_SIDECARS", !version.Before(nativeSidecars))
		if g.Requires.HoldApplication && !held && nativeKnown && !native {
			warn(p.Mesh, "data.mesh.defaultConfig."+policy.HoldApplication, fmt.Sprintf("applications of %s start before their proxies: their first requests fail, and what does not try again stays down. "+
				"Set it to true, and restart the pods.", g.Name))
		}
		if g.Requires.DNSCapture {
			const field = "data.mesh.defaultConfig.proxyMetadata."
			if !on(m.ProxyMetadata[policy.DNSCapture]) {
				warn(p.Mesh, field+policy.DNSCapture, fmt.Sprintf("pods do not resolve the hosts of %s to its gateway, but ask the cluster's DNS: logins and redirects fail inside of the mesh. "+
					`Set it to "true", and restart the pods.`, g.Name))
			}
			allocates, known := p.Switch("PILOT_ENABLE_IP_AUTOALLOCATE", !version.Before(allocatesItself))
			if !on(m.ProxyMetadata[policy.DNSAutoAllocate]) && known && !allocates {
				warn(p.Mesh, field+policy.DNSAutoAllocate, fmt.Sprintf("the ServiceEntry of %s has no addresses, and gets none: pods do not find its hosts inside of the mesh. "+
					`Set it to "true", and restart the pods.`, g.Name))
			}
		}
	}
	if p.Injection != nil && p.Injection.Injection != nil && g.Requires.DNSCapture {
		if ranges := p.Injection.Injection.IncludeIPRanges; ranges != nil && !captures(*ranges) {
			report(p.Injection.Key(), policy.Fault{
				Effect: policy.Warn, Field: "data.values.global.proxy.includeIPRanges", Subject: "includeIPRanges",
				Message: fmt.Sprintf("sidecars capture only %q, and not the addresses that Istio gives to the hosts of %s (%s): connections to them go nowhere. "+
					`Set it to "*", or add the range, and restart the pods.`, *ranges, g.Name, allocated),
			})
		}
	}
}

// on reports whether a switch in a proxy's metadata is on (StringBool in istio.io/istio
// pkg/model/proxy.go).
func on(v string) bool {
	b, err := strconv.ParseBool(v)
	return err == nil && b
}

// allocated is where Istio takes the addresses from that it allocates
// (PILOT_IP_AUTOALLOCATE_IPV4_PREFIX, and autoAllocateIPs in pilot/pkg/serviceregistry/
// serviceentry/controller.go of older releases, in istio.io/istio).
var allocated = netip.MustParsePrefix("240.240.0.0/16")

// captures reports whether outbound traffic to the allocated addresses meets the sidecar.
func captures(ranges string) bool {
	for _, r := range strings.Split(ranges, ",") {
		r = strings.TrimSpace(r)
		if r == "*" {
			return true
		}
		if p, err := netip.ParsePrefix(r); err == nil && p.Bits() <= allocated.Bits() && p.Contains(allocated.Addr()) {
			return true
		}
	}
	return false
}

// overrides reports workloads of protected namespaces that set for themselves what the mesh has
// right.
func overrides(w *policy.World, g *policy.Guard, report func(resource.Key, policy.Fault)) {
	for _, ns := range w.ProtectedNamespaces() {
		for _, kind := range []resource.Kind{resource.KindDeployment, resource.KindDaemonSet, resource.KindStatefulSet} {
			w.Snapshot.Each(kind, ns, func(o resource.Object) bool {
				for _, s := range policy.ProxySettingsOff(&o.(*resource.Workload).Pod) {
					if s == policy.HoldApplication && !g.Requires.HoldApplication || s != policy.HoldApplication && !g.Requires.DNSCapture {
						continue
					}
					report(o.Key(), policy.Fault{
						Effect: policy.Warn, Field: "spec.template.metadata.annotations[" + policy.ProxyConfigAnnotation + "]", Subject: s,
						Message: fmt.Sprintf("it turns off %s for these pods, which applications of %s need. Remove it from the annotation.", s, g.Name),
					})
				}
				return true
			})
		}
	}
}
