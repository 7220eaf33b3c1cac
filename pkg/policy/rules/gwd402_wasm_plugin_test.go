package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestWasmPlugin(t *testing.T) {
	plugin := func(key string, t resource.Target, m ...resource.TrafficMatch) *resource.ProxyExtension {
		return &resource.ProxyExtension{Meta: meta(key), Kind: resource.KindWasmPlugin, Target: t, Matches: m}
	}
	x := plugin(gatewayNS+"/x", selected)
	labelled := pod(gatewayNS+"/gw-1", map[string]string{"app": "deploykf-gateway", "istio": "deploykf-gateway", "gateway.networking.k8s.io/gateway-name": "edge"})
	check(t, "GWD402",
		verdict{name: "on the pods", change: create(x), want: policy.Deny, field: "spec.selector"},
		verdict{name: "a TrafficExtension", change: create(with(x, func(e *resource.ProxyExtension) { e.Kind = resource.KindTrafficExtension })), want: policy.Deny},
		verdict{name: "on all pods of the mesh", change: create(plugin("istio-system/x", resource.Target{})), want: policy.Deny},
		verdict{name: "on the guarded port", change: create(plugin(gatewayNS+"/x", selected, resource.TrafficMatch{Mode: "CLIENT", Ports: []uint32{9443, 443}})), want: policy.Deny, field: "spec.match"},
		verdict{name: "on connections", change: create(with(x, func(e *resource.ProxyExtension) { e.Network = true })), want: policy.Deny},
		verdict{name: "by the Kubernetes Gateway of the pods", world: []resource.Object{labelled}, change: create(plugin(gatewayNS+"/x", targetRefs("gateway.networking.k8s.io", "Gateway", "edge"))), want: policy.Deny},

		verdict{name: "on another port", change: create(plugin(gatewayNS+"/x", selected, resource.TrafficMatch{Ports: []uint32{9443}})), want: silent},
		verdict{name: "for inbound traffic of sidecars", change: create(plugin(gatewayNS+"/x", selected, resource.TrafficMatch{Mode: "SERVER"})), want: silent},
		verdict{name: "on other pods", change: create(plugin(gatewayNS+"/x", resource.Target{Selector: dashboard})), want: silent},
		verdict{name: "in another namespace", change: create(plugin("team-a/x", selected)), want: silent},
		verdict{name: "by a Gateway of Istio's, which selects nothing", change: create(plugin(gatewayNS+"/x", targetRefs("networking.istio.io", "Gateway", "deploykf-gateway"))), want: silent},
		verdict{name: "by another Kubernetes Gateway", world: []resource.Object{labelled}, change: create(plugin(gatewayNS+"/x", targetRefs("gateway.networking.k8s.io", "Gateway", "other"))), want: silent},
		verdict{name: "by a Service", change: create(plugin(gatewayNS+"/x", targetRefs("", "Service", "deploykf-gateway"))), want: silent},
	)
}
