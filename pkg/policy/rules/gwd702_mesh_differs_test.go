package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestMeshDiffers(t *testing.T) {
	says := func(change func(*resource.MeshConfig)) []resource.Object { return []resource.Object{mesh("", change)} }
	runs := func(e ...resource.EnvVar) []resource.Object { return []resource.Object{istiod("1.22.0", "", e...)} }
	alphaRuns := func(e ...resource.EnvVar) []resource.Object {
		return runs(append(e, env("PILOT_ENABLE_ALPHA_GATEWAY_API", "true"))...)
	}
	const envField = "spec.template.spec.containers[discovery].env"
	const scope, alpha = "PILOT_SCOPE_GATEWAY_TO_NAMESPACE", "PILOT_ENABLE_ALPHA_GATEWAY_API"
	checkInstalled(t, "GWD702",
		installed{name: "root namespace", world: says(func(m *resource.MeshConfig) { m.RootNamespace = "istio-config" }), want: policy.Warn, on: meshName, field: "data.mesh.rootNamespace", says: `"istio-config"`},
		installed{name: "export", world: says(func(m *resource.MeshConfig) { m.DefaultVirtualServiceExportTo = []string{"."} }), want: policy.Warn, field: "data.mesh.defaultVirtualServiceExportTo"},
		installed{name: "ingress mode", world: says(func(m *resource.MeshConfig) { m.IngressControllerMode = "OFF" }), want: policy.Warn, field: "data.mesh.ingressControllerMode"},
		installed{name: "ingress class", world: says(func(m *resource.MeshConfig) { m.IngressClass = "edge" }), want: policy.Warn, field: "data.mesh.ingressClass"},
		installed{name: "ingress selector", world: says(func(m *resource.MeshConfig) { m.IngressSelector = "edge" }), want: policy.Warn, field: "data.mesh.ingressSelector", says: "mesh.ingressSelector"},
		installed{name: "ingress service", world: says(func(m *resource.MeshConfig) { m.IngressService = "edge" }), want: policy.Warn, field: "data.mesh.ingressService", says: `"istio-ingressgateway"`},
		installed{name: "only gatewarden's differs", world: says(func(*resource.MeshConfig) {}), config: func(c *config.Configuration) { c.Mesh.IngressClass = "edge" }, want: policy.Warn, says: "mesh.ingressClass"},
		installed{name: "scope", world: runs(env(scope, "true")), want: policy.Warn, on: "Deployment istio-system/istiod", field: envField, says: "scopeGatewayToNamespace"},
		installed{name: "no scope", world: runs(), config: scoped, want: policy.Warn},
		installed{name: "TCP listeners", world: runs(env(alpha, "1")), config: func(c *config.Configuration) { c.Mesh.NoTCPListeners = true }, want: policy.Warn, says: "mesh.noTCPListeners"},
		installed{name: "TCP listeners by default", world: []resource.Object{istiod("1.31.0", "")}, config: func(c *config.Configuration) { c.Mesh.NoTCPListeners = true }, want: policy.Warn},
		installed{name: "no TCP listeners", world: runs(), want: policy.Note, says: "mesh.noTCPListeners"},
		installed{name: "a version that is not known", world: []resource.Object{istiod("latest", "")}, want: policy.Note, says: "not checked"},
		installed{name: "managed Gateways only", world: alphaRuns(env("ENABLE_GATEWAY_API_MANUAL_DEPLOYMENT", "false")), want: policy.Note, says: "mesh.onlyManagedGateways"},
		installed{name: "not only managed Gateways", world: alphaRuns(), config: func(c *config.Configuration) { c.Mesh.OnlyManagedGateways = true }, want: policy.Warn},
		installed{name: "another ConfigMap may have it", world: append(runs(env("SHARED_MESH_CONFIG", "x")), says(func(m *resource.MeshConfig) { m.IngressClass = "edge" })...), want: policy.Note},
		installed{name: "from elsewhere", world: runs(resource.EnvVar{Name: scope, Elsewhere: true}), want: policy.Note, says: "not checked"},

		installed{name: "nothing is set", world: says(func(*resource.MeshConfig) {}), want: silent},
		installed{name: "the defaults are set", world: says(func(m *resource.MeshConfig) {
			m.RootNamespace, m.DefaultVirtualServiceExportTo = "istio-system", []string{"*"}
			m.IngressControllerMode, m.IngressClass, m.IngressService = "STRICT", "istio", "istio-ingressgateway"
		}), want: silent},
		installed{name: "both are told the same", world: append(alphaRuns(env(scope, "true")), says(func(m *resource.MeshConfig) { m.DefaultVirtualServiceExportTo = []string{"b", "a"} })...), config: func(c *config.Configuration) {
			scoped(c)
			c.Mesh.DefaultVirtualServiceExportTo = []string{"a", "b"}
		}, want: silent},
		installed{name: "neither true nor false", world: alphaRuns(env(scope, "perhaps")), want: silent},
		installed{name: "not istiod", world: []resource.Object{with(istiod("1.22.0", "", env(scope, "true")), func(o *resource.Workload) { o.Pod.Labels = nil })}, want: silent},
	)
}
