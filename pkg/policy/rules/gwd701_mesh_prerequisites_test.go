package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

const meshName = "ConfigMap istio-system/istio"

// mesh makes the ConfigMap of a revision as deployKF wants it, "" for the default one.
func mesh(revision string, change ...func(*resource.MeshConfig)) *resource.ConfigMap {
	m := &resource.MeshConfig{
		HoldApplication: true,
		ProxyMetadata:   map[string]string{policy.DNSCapture: "true", policy.DNSAutoAllocate: "true"},
	}
	for _, f := range change {
		f(m)
	}
	return &resource.ConfigMap{Meta: meta("istio-system/istio" + revision), Mesh: m}
}

// values makes the ConfigMap of the injection's values.
func values(change func(*resource.InjectionValues)) *resource.ConfigMap {
	v := &resource.InjectionValues{}
	change(v)
	return &resource.ConfigMap{Meta: meta("istio-system/istio-sidecar-injector"), Injection: v}
}

// istiod makes the Deployment of a revision's control plane. Settings are "NAME=VALUE".
func istiod(version, revision string, env ...resource.EnvVar) *resource.Workload {
	o := &resource.Workload{Meta: meta("istio-system/istiod" + revision), Kind: resource.KindDeployment}
	o.Pod.Labels = map[string]string{"app": "istiod", "istio.io/rev": "default"}
	if revision != "" {
		o.Pod.Labels["istio.io/rev"] = revision[1:]
	}
	o.Pod.Containers = []resource.Container{{Name: "discovery", Image: "docker.io/istio/pilot:" + version, Env: env}}
	return o
}

func env(name, value string) resource.EnvVar { return resource.EnvVar{Name: name, Value: value} }

func nsLabels(name string, labels map[string]string) *resource.Namespace {
	return &resource.Namespace{Meta: resource.Meta{Name: name, Labels: labels}}
}

func TestMeshPrerequisites(t *testing.T) {
	unheld := mesh("", func(m *resource.MeshConfig) { m.HoldApplication = false })
	without := func(name string) *resource.ConfigMap {
		return mesh("", func(m *resource.MeshConfig) {
			m.ProxyMetadata = map[string]string{policy.DNSCapture: "true", policy.DNSAutoAllocate: "true", name: "false"}
		})
	}
	ranges := func(s string) *resource.ConfigMap {
		return values(func(v *resource.InjectionValues) { v.IncludeIPRanges = &s })
	}
	world := func(o ...resource.Object) []resource.Object { return o }
	annotated := func(config string) []resource.Object {
		o := proxy(resource.KindDeployment, "deploykf-auth", "dex", func(o *resource.Workload) {
			o.Pod.Labels = nil
			o.Pod.Annotations = map[string]string{"proxy.istio.io/config": config}
		})
		return world(mesh(""), o, nsLabels("deploykf-auth", nil))
	}
	canary := mesh("-canary", func(m *resource.MeshConfig) { m.HoldApplication = false })
	uses := func(rev string) *resource.Namespace {
		return nsLabels("deploykf-auth", map[string]string{"istio.io/rev": rev})
	}
	tag := &resource.Injectors{Meta: resource.Meta{Name: "istio-revision-tag-stable", Labels: map[string]string{"istio.io/tag": "stable", "istio.io/rev": "canary"}}}
	unasked := func(c *config.Configuration) { c.GuardedGateways[0].Requires = config.Requirements{} }
	const hold, capture, allocate = "data.mesh.defaultConfig.holdApplicationUntilProxyStarts", "data.mesh.defaultConfig.proxyMetadata.ISTIO_META_DNS_CAPTURE", "data.mesh.defaultConfig.proxyMetadata.ISTIO_META_DNS_AUTO_ALLOCATE"
	checkInstalled(t, "GWD701",
		installed{name: "applications first", world: world(unheld), want: policy.Warn, on: meshName, field: hold},
		installed{name: "applications first, given", world: world(unheld), given: true, want: policy.Warn},
		installed{name: "applications first, native sidecars off", world: world(unheld, istiod("1.27.1", "", env("ENABLE_NATIVE_SIDECARS", "false"))), want: policy.Warn},
		installed{name: "no capture", world: world(without(policy.DNSCapture)), want: policy.Warn, field: capture},
		installed{name: "nothing at all", world: world(mesh("", func(m *resource.MeshConfig) { m.ProxyMetadata = nil })), want: policy.Warn, field: capture},
		installed{name: "no addresses", world: world(without(policy.DNSAutoAllocate), istiod("1.22.8", "")), want: policy.Warn, field: allocate},
		installed{name: "no addresses, of a version that is not known", world: world(without(policy.DNSAutoAllocate)), want: policy.Warn},
		installed{name: "no addresses, though it could", world: world(without(policy.DNSAutoAllocate), istiod("1.30.0", "", env("PILOT_ENABLE_IP_AUTOALLOCATE", "false"))), want: policy.Warn, field: allocate},
		installed{name: "ranges", world: world(mesh(""), ranges("10.0.0.0/8,172.16.0.0/12")), want: policy.Warn, on: "ConfigMap istio-system/istio-sidecar-injector", field: "data.values.global.proxy.includeIPRanges"},
		installed{name: "no ranges", world: world(mesh(""), ranges("")), want: policy.Warn},
		installed{name: "a smaller range", world: world(mesh(""), ranges("240.240.0.0/24")), want: policy.Warn},
		installed{name: "a pod's own setting", world: annotated("holdApplicationUntilProxyStarts: false\n"), want: policy.Warn, on: "Deployment deploykf-auth/dex"},
		installed{name: "a pod's own metadata", world: annotated(`{"proxyMetadata": {"ISTIO_META_DNS_CAPTURE": "false"}}`), want: policy.Warn, says: "ISTIO_META_DNS_CAPTURE"},
		installed{name: "a revision in use", world: world(mesh(""), canary, uses("canary")), want: policy.Warn, on: "ConfigMap istio-system/istio-canary"},
		installed{name: "a revision in use by its tag", world: world(mesh(""), canary, uses("stable"), tag), want: policy.Warn, on: "ConfigMap istio-system/istio-canary"},
		installed{name: "any revision, as none is known to be in use", world: world(mesh(""), canary), want: policy.Warn},
		installed{name: "another ConfigMap may have it", world: world(unheld, istiod("1.17.8", "", env("SHARED_MESH_CONFIG", "shared"))), want: policy.Note, says: "not checked"},
		installed{name: "no ConfigMap", want: policy.Note, on: meshName, says: "there is none"},
		installed{name: "no ConfigMap was given", given: true, want: policy.Note, says: "not everything that exists was given"},
		installed{name: "a ConfigMap that can not be read", world: world(&resource.ConfigMap{Meta: meta("istio-system/istio"), Problem: "data.mesh: not YAML"}), want: policy.Note, says: "not YAML"},

		installed{name: "as deployKF has it", world: world(mesh(""), ranges("*"), istiod("1.17.8", "")), want: silent},
		installed{name: "held by a value", world: world(unheld, values(func(v *resource.InjectionValues) { v.HoldApplication = true })), want: silent},
		installed{name: "native sidecars", world: world(unheld, istiod("1.27.1", "")), want: silent},
		installed{name: "native sidecars of an older version", world: world(unheld, istiod("1.22.1", "", env("ENABLE_NATIVE_SIDECARS", "true"))), want: silent},
		installed{name: "addresses without being asked", world: world(without(policy.DNSAutoAllocate), istiod("1.25.0", "")), want: silent},
		installed{name: "a range with the addresses", world: world(mesh(""), ranges("10.0.0.0/8, 240.0.0.0/4")), want: silent},
		installed{name: "a pod turns it on", world: annotated("holdApplicationUntilProxyStarts: true"), want: silent},
		installed{name: "a revision that is not in use", world: world(mesh(""), canary, uses("default")), want: silent},
		installed{name: "not asked for", world: world(unheld, without(policy.DNSCapture)), config: unasked, want: silent},
		installed{name: "a ConfigMap of another namespace", world: world(mesh(""), with(unheld, func(c *resource.ConfigMap) { c.Namespace = "team-a" })), want: silent},
	)
}
