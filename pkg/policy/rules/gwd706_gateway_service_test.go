package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestGatewayService(t *testing.T) {
	service := func(ports ...resource.ServicePort) *resource.Service {
		return &resource.Service{Meta: meta(gatewayNS + "/deploykf-gateway"), Selector: podLabels, Ports: ports}
	}
	port := func(from, to uint32) resource.ServicePort { return resource.ServicePort{Port: from, TargetPort: to} }
	named := func(from uint32, to string) resource.ServicePort {
		return resource.ServicePort{Port: from, TargetName: to}
	}
	status := port(15021, 15021)
	internal := []resource.Object{gw(guarded, "18443 HTTPS *"), gw(redirect, "18080 HTTP *")}
	entry := func(ports ...resource.ServicePort) *resource.ServiceEntry {
		return &resource.ServiceEntry{Meta: meta(gatewayNS + "/deploykf-istio-gateway"), WorkloadSelector: podLabels, Ports: ports}
	}
	of := func(o ...resource.Object) []resource.Object { return append(o, internal...) }
	host := func(change func(*resource.Workload)) []resource.Object {
		return []resource.Object{proxy(resource.KindDeployment, gatewayNS, "deploykf-gateway", change)}
	}
	const svc, se = "Service deploykf-istio-gateway/deploykf-gateway", "ServiceEntry deploykf-istio-gateway/deploykf-istio-gateway"
	checkInstalled(t, "GWD706",
		installed{name: "no Service", gone: []resource.Key{theService}, want: policy.Warn, on: bothGateways[0].String(), field: "spec.selector"},
		installed{name: "a Service of other pods", world: []resource.Object{with(service(status, port(80, 80), port(443, 443)), func(s *resource.Service) { s.Selector = dashboard })}, want: policy.Warn},
		installed{name: "a Service of no pods", world: []resource.Object{with(service(status, port(80, 80), port(443, 443)), func(s *resource.Service) { s.Selector = nil })}, want: policy.Warn},
		installed{name: "a port is missing", world: []resource.Object{service(status, port(443, 443))}, want: policy.Warn, on: bothGateways[1].String(), field: "spec.servers[0].port.number"},
		installed{name: "the public port leads nowhere", world: of(service(status, port(80, 18080), port(443, 8443))), want: policy.Warn, on: bothGateways[0].String()},
		installed{name: "no Service, not all is given", gone: []resource.Key{theService}, given: true, want: policy.Note},
		installed{name: "a port is missing, not all is given", world: []resource.Object{service(status, port(443, 443))}, given: true, want: policy.Note},
		installed{name: "the ServiceEntry has another port", world: of(service(status, port(80, 18080), port(443, 18443), port(8443, 18443)), entry(port(80, 18080), port(9443, 18443))), want: policy.Warn, on: se, field: "spec.ports[1].number"},
		installed{name: "the ServiceEntry leads elsewhere", world: of(service(status, port(80, 18080), port(443, 18443), port(8443, 443)), entry(port(8443, 18443))), given: true, want: policy.Warn, on: svc, field: "spec.ports[3].targetPort"},
		installed{name: "the status port leads elsewhere", world: []resource.Object{service(port(15021, 15020), port(80, 80), port(443, 443))}, want: policy.Warn, on: svc, field: "spec.ports[0].targetPort"},
		installed{name: "no status port", world: []resource.Object{service(port(80, 80), port(443, 443))}, want: policy.Note, on: svc},
		installed{name: "a name that nobody has", world: []resource.Object{service(status, named(80, "web"), port(443, 443))}, want: policy.Note, says: "not checked"},
		installed{name: "no Gateway", gone: bothGateways, want: policy.Note, says: "not checked"},

		installed{name: "internal ports", world: of(service(status, port(80, 18080), port(443, 18443)), entry(port(80, 18080), port(443, 18443))), want: silent},
		installed{name: "two Services", world: of(service(status, port(80, 18080)), with(service(port(443, 18443)), func(s *resource.Service) { s.Name = "two" })), want: silent},
		installed{name: "a name", world: append(of(service(status, port(80, 18080), named(443, "web"))), host(func(o *resource.Workload) {
			o.Pod.Containers[0].Ports = []resource.ContainerPort{{Name: "web", Port: 18443}}
		})...), want: silent},
		installed{name: "a selector by what injection adds", world: []resource.Object{with(service(status, port(80, 80), port(443, 443)), func(s *resource.Service) {
			s.Selector = map[string]string{"istio": "deploykf-gateway", "istio.io/rev": "default"}
		})}, want: silent},
		installed{name: "no Service, on the node's network", gone: []resource.Key{theService}, world: host(func(o *resource.Workload) { o.Pod.HostNetwork = true }), want: silent},
		installed{name: "no Service, on the node's ports", gone: []resource.Key{theService}, world: host(func(o *resource.Workload) {
			o.Pod.Containers[0].Ports = []resource.ContainerPort{{Port: 443, OnHost: true}}
		}), want: silent},
		installed{name: "somebody else's ServiceEntry", world: of(service(status, port(80, 18080), port(443, 18443)), with(entry(port(9443, 1)), func(s *resource.ServiceEntry) { s.Name = "other" })), want: silent},
	)
}
