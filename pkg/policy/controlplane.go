package policy

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/gatewaypod"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// ControlPlane is one revision of Istio: its istiod, and the ConfigMaps that it reads. Each of
// them is nil if it is not known.
type ControlPlane struct {
	Revision  string
	Istiod    *resource.Workload
	Mesh      *resource.ConfigMap
	Injection *resource.ConfigMap
}

// defaultRevision is the name of the revision that has none, and istiod the value of the label
// app of its pods.
const (
	defaultRevision = "default"
	istiod          = "istiod"
)

// ControlPlanes returns the revisions of Istio that the protected namespaces and the gateways'
// pods use, in the order of their names; all that there are if none of them is known to be used.
func (w *World) ControlPlanes() []*ControlPlane {
	found := map[string]*ControlPlane{}
	plane := func(revision string) *ControlPlane {
		return remember(&found, revision, func() *ControlPlane { return &ControlPlane{Revision: revision} })
	}
	w.Snapshot.Each(resource.KindConfigMap, w.Config.Mesh.RootNamespace, func(o resource.Object) bool {
		c := o.(*resource.ConfigMap)
		if revision, ok := revisionOf(c.Name, resource.InjectionConfigMap); ok {
			plane(revision).Injection = c
		} else if revision, ok := revisionOf(c.Name, resource.MeshConfigMap); ok {
			plane(revision).Mesh = c
		}
		return true
	})
	w.Snapshot.Each(resource.KindDeployment, "", func(o resource.Object) bool {
		if d := o.(*resource.Workload); d.Pod.Labels["app"] == istiod && d.Pod.Container(resource.Discovery) != nil {
			plane(cmp.Or(d.Pod.Labels[gatewaypod.RevisionLabel], defaultRevision)).Istiod = d
		}
		return true
	})
	used := w.usedRevisions()
	var all, out []*ControlPlane
	for _, p := range found {
		all = append(all, p)
		if used[p.Revision] {
			out = append(out, p)
		}
	}
	if len(out) == 0 {
		out = all
	}
	slices.SortFunc(out, func(a, b *ControlPlane) int { return strings.Compare(a.Revision, b.Revision) })
	return out
}

// revisionOf returns the revision that a ConfigMap is for, by its name.
func revisionOf(name, of string) (string, bool) {
	if name == of {
		return defaultRevision, true
	}
	return strings.CutPrefix(name, of+"-")
}

// usedRevisions returns the revisions that inject the pods of protected namespaces, and those
// that injected the gateways' running pods.
func (w *World) usedRevisions() map[string]bool {
	used := map[string]bool{}
	use := func(labels map[string]string) {
		switch tag := labels[gatewaypod.RevisionLabel]; {
		case labels[gatewaypod.NamespaceLabel] == "enabled":
			used[w.tagged(defaultRevision)] = true
		case labels[gatewaypod.NamespaceLabel] == "" && tag != "":
			used[w.tagged(tag)] = true
		}
	}
	for _, name := range w.ProtectedNamespaces() {
		if ns, ok := w.Snapshot.Get(resource.Key{Kind: resource.KindNamespace, Name: name}).(*resource.Namespace); ok {
			use(ns.Labels)
		}
	}
	for _, g := range w.Guards {
		for _, o := range w.Workloads(g, g.Namespace) {
			if o.Kind == resource.KindPod {
				use(map[string]string{gatewaypod.RevisionLabel: o.Pod.Labels[gatewaypod.RevisionLabel]})
			}
		}
	}
	return used
}

// tagLabel is on the webhook configuration of a tag, beside the revision that it stands for
// (templates/revision-tags-mwc.yaml in the chart istio-discovery).
const tagLabel = "istio.io/tag"

// tagged returns the revision that a tag stands for; what is no tag is a revision.
func (w *World) tagged(tag string) string {
	revision := tag
	w.Snapshot.Each(resource.KindInjectors, "", func(o resource.Object) bool {
		if m := o.GetMeta(); m.Labels[tagLabel] == tag && m.Labels[gatewaypod.RevisionLabel] != "" {
			revision = m.Labels[gatewaypod.RevisionLabel]
		}
		return true
	})
	return revision
}

// Shared reports whether istiod merges a second ConfigMap below its own, so that what is not in
// its own may be there (getConfigurationSources in istio.io/istio pilot/pkg/bootstrap/mesh.go).
// An istiod that is not known is taken for an ordinary one, which does not.
func (p *ControlPlane) Shared() bool {
	e := p.setting("SHARED_MESH_CONFIG")
	return e != nil && (e.Elsewhere || e.Value != "")
}

// setting returns a setting of istiod's environment, or nil if it is not set.
func (p *ControlPlane) setting(name string) *resource.EnvVar {
	if p.Istiod == nil {
		return nil
	}
	env := p.Istiod.Pod.Container(resource.Discovery).Env
	if i := slices.IndexFunc(env, func(e resource.EnvVar) bool { return e.Name == name }); i >= 0 {
		return &env[i]
	}
	return nil
}

// Switch returns a setting of istiod's that is true or false, and whether it is known. One that
// is not set, or neither, counts as fallback, as it does for istiod (istio.io/istio
// pkg/env/var.go).
func (p *ControlPlane) Switch(name string, fallback bool) (on, known bool) {
	e := p.setting(name)
	if e == nil {
		return fallback, true
	}
	if on, err := strconv.ParseBool(e.Value); err == nil {
		return on, true
	}
	return fallback, !e.Elsewhere
}

// Version returns the version of istiod, by its image.
func (p *ControlPlane) Version() (config.IstioVersion, bool) {
	if p.Istiod == nil {
		return config.IstioVersion{}, false
	}
	return ImageVersion(p.Istiod.Pod.Container(resource.Discovery).Image)
}

// ProxyConfigAnnotation is the annotation of a pod with settings of its own proxy, in YAML.
const ProxyConfigAnnotation = proxyConfig

// proxySettings find what turns a setting of the proxy off in the annotation.
var proxySettings = []struct {
	name string
	off  *regexp.Regexp
}{
	{HoldApplication, turnedOff(HoldApplication)}, {DNSCapture, turnedOff(DNSCapture)}, {DNSAutoAllocate, turnedOff(DNSAutoAllocate)},
}

func turnedOff(setting string) *regexp.Regexp {
	return regexp.MustCompile(setting + `["']?\s*:\s*["']?(?i:false|f|0)["']?\s*(?:[,}#\n]|$)`)
}

// The settings of a proxy by which an application finds the mesh there when it starts, and the
// hosts of ServiceEntries (ProxyConfig in istio.io/api mesh/v1alpha1; the latter two are in
// proxyMetadata).
const (
	HoldApplication = "holdApplicationUntilProxyStarts"
	DNSCapture      = "ISTIO_META_DNS_CAPTURE"
	DNSAutoAllocate = "ISTIO_META_DNS_AUTO_ALLOCATE"
)

// ProxySettingsOff returns those of the settings that pods turn off for themselves.
func ProxySettingsOff(t *resource.PodTemplate) []string {
	var out []string
	for _, s := range proxySettings {
		if s.off.MatchString(t.Annotations[proxyConfig]) {
			out = append(out, s.name)
		}
	}
	return out
}
