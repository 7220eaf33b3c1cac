package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestProxyConfig(t *testing.T) {
	pc := func(key, unprivileged string, selector map[string]string) *resource.ProxyConfig {
		return &resource.ProxyConfig{Meta: meta(key), Selector: selector, Unprivileged: unprivileged}
	}
	const field = "spec.environmentVariables[ISTIO_META_UNPRIVILEGED_POD]"
	x := gatewayNS + "/x"
	high := []resource.Object{gw(guarded, "8443 HTTPS "+h), gw(redirect, "8080 HTTP "+h)}
	moved := &resource.Service{Meta: meta(gatewayNS + "/deploykf-gateway"), Selector: podLabels, Ports: []resource.ServicePort{{Port: 80, TargetPort: 8080}, {Port: 443, TargetPort: 8443}}}
	half := with(moved, func(s *resource.Service) { s.Ports = s.Ports[:1] })
	check(t, "GWD407",
		verdict{name: "of the pods", change: create(pc(x, "true", podLabels)), want: policy.Deny, field: field},
		verdict{name: "in another spelling", change: create(pc(x, "1", podLabels)), want: policy.Deny},
		verdict{name: "of the namespace", change: create(pc(x, "true", nil)), want: policy.Deny},
		verdict{name: "of the mesh", change: create(pc("istio-system/x", "true", nil)), want: policy.Deny},
		verdict{name: "where one port is translated", world: []resource.Object{half}, change: create(pc(x, "true", nil)), want: policy.Deny},
		verdict{name: "one that was there", change: update(pc(x, "true", nil), pc(x, "true", podLabels)), want: policy.Warn},

		verdict{name: "without the variable", change: create(pc(x, "", nil)), want: silent},
		verdict{name: "with another value", change: create(pc(x, "false", nil)), want: silent},
		verdict{name: "with a value that is none", change: create(pc(x, "yes", nil)), want: silent},
		verdict{name: "where the ports are high", world: high, change: create(pc(x, "true", nil)), want: silent},
		verdict{name: "where the ports are translated", world: []resource.Object{moved}, change: create(pc(x, "true", nil)), want: silent},
		verdict{name: "of other pods", change: create(pc(x, "true", dashboard)), want: silent},
		verdict{name: "of the mesh with a selector, which is for the root namespace only", change: create(pc("istio-system/x", "true", podLabels)), want: silent},
		verdict{name: "in another namespace", change: create(pc("team-a/x", "true", nil)), want: silent},
	)
}
