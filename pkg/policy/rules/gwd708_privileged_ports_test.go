package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestPrivilegedPorts(t *testing.T) {
	node := func(name, kernel string) *resource.Node {
		return &resource.Node{Meta: resource.Meta{Name: name, Labels: map[string]string{"pool": name}}, OS: "linux", Kernel: kernel}
	}
	root := int64(0)
	gateway := func(change ...func(*resource.Workload)) *resource.Workload {
		return proxy(resource.KindDeployment, gatewayNS, "deploykf-gateway", append([]func(*resource.Workload){func(o *resource.Workload) {
			o.Pod.Sysctls = []resource.Sysctl{{Name: "net.ipv4.ip_unprivileged_port_start", Value: "0"}}
		}}, change...)...)
	}
	old, recent := node("old", "3.10.0-1160.el7.x86_64"), node("new", "5.15.0-101-generic")
	world := func(o ...resource.Object) []resource.Object { return o }
	high := world(gw(guarded, "8443 HTTPS *"), gw(redirect, "8080 HTTP *"))
	checkInstalled(t, "GWD708",
		installed{name: "an old kernel", world: world(gateway(), old, recent), want: policy.Warn, on: theDeployment.String(), field: "spec.template.spec.securityContext.sysctls", says: "3.10.0"},
		installed{name: "just too old", world: world(gateway(), node("n", "4.10.17")), want: policy.Warn},
		installed{name: "two of them", world: world(gateway(), old, node("older", "2.6.32")), want: policy.Warn, says: "Node old and 1 more"},
		installed{name: "only one is known", world: world(gateway(), old), given: true, want: policy.Warn},
		installed{name: "no node", world: world(gateway()), want: policy.Note, says: "not checked"},
		installed{name: "on the node's network", world: world(gateway(func(o *resource.Workload) { o.Pod.HostNetwork = true }), old), want: policy.Note, field: "spec.template.spec.hostNetwork"},

		installed{name: "a new kernel", world: world(gateway(), recent, node("n", "4.11.0"), node("o", "4.18.0+")), want: silent},
		installed{name: "kept off it", world: world(gateway(func(o *resource.Workload) { o.Pod.NodeSelector = map[string]string{"pool": "new"} }), old, recent), want: silent},
		installed{name: "Windows", world: world(gateway(), with(node("w", "10.0.17763"), func(n *resource.Node) { n.OS = "windows" }), with(node("v", "2.0"), func(n *resource.Node) { n.OS = "windows" })), want: silent},
		installed{name: "high ports", world: append(high, gateway(), old), want: silent},
		installed{name: "no sysctl", world: world(gateway(func(o *resource.Workload) { o.Pod.Sysctls = nil }), old), want: silent},
		installed{name: "root", world: world(gateway(func(o *resource.Workload) {
			o.Pod.Containers[0].RunAsUser, o.Pod.Containers[0].CapabilitiesAdd = &root, []string{"NET_BIND_SERVICE"}
		}), old), want: silent},
		installed{name: "a kernel that can not be read", world: world(gateway(), node("n", "")), want: silent},
	)
}
