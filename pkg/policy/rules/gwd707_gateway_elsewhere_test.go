package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestGatewayElsewhere(t *testing.T) {
	none := []resource.Key{theDeployment}
	elsewhere := []resource.Object{proxy(resource.KindDeployment, "istio-ingress", "shared")}
	checkInstalled(t, "GWD707",
		installed{name: "in another namespace", gone: none, world: elsewhere, want: policy.Warn, on: "Deployment istio-ingress/shared", field: "metadata.namespace", says: "istio-ingress"},
		installed{name: "a pod in another namespace", gone: none, world: []resource.Object{proxy(resource.KindPod, "istio-ingress", "p")}, want: policy.Warn},
		installed{name: "nowhere", gone: none, want: policy.Warn, on: bothGateways[0].String(), field: "spec.selector"},
		installed{name: "an application in another namespace", gone: none, world: []resource.Object{pod("team-a/app", podLabels)}, want: policy.Warn, on: bothGateways[0].String()},
		installed{name: "in another namespace, not all is given", gone: none, world: elsewhere, given: true, want: policy.Note},
		installed{name: "nowhere, not all is given", gone: none, given: true, want: policy.Note},
		installed{name: "no Gateway yet", gone: append(none, bothGateways...), want: policy.Note, says: "not checked"},

		installed{name: "in the namespace", want: silent},
		installed{name: "in both", world: elsewhere, want: silent},
		installed{name: "only a pod", gone: none, world: []resource.Object{proxy(resource.KindPod, gatewayNS, "p")}, want: silent},
	)
}
