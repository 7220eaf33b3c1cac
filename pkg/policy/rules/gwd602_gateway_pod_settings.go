package rules

import (
	_ "embed"
	"fmt"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/gatewaypod"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd602_gateway_pod_settings.md
var gatewayPodSettingsPage string

// gatewayPodSettings notes what /mutate adds to a gateway workload. Behind /mutate it finds
// nothing; in a file it says what the cluster's object will have that the file has not.
func gatewayPodSettings() *policy.Rule {
	return &policy.Rule{
		ID: "GWD602", Name: "gateway-pod-settings", Page: gatewayPodSettingsPage, Effect: policy.Note,
		Summary: "A gateway workload lacks a setting that its pods need to be injected or to bind their ports.",
		Kinds:   gatewayWorkloadKinds, Operations: createUpdate, Reads: gatewayReads,
		Object: forGatewayWorkload(func(w *policy.World, o *resource.Workload, report func(policy.Fault)) {
			ports := w.PortsOf(o.Pod.Labels, o.Namespace)
			needs := gatewaypod.Assess(o, ports)
			note := func(needed bool, field, subject, message string) {
				if needed {
					report(policy.Fault{
						Effect: policy.Note, Field: field, Subject: subject,
						Message: message + " The admission webhook adds it; add it to the source as well, so that the two do not differ.",
					})
				}
			}
			note(needs.Label, gatewaypod.LabelField, "label", fmt.Sprintf(
				"the label %s: %q is missing, by which Istio's injection finds the pods.", gatewaypod.InjectLabel, "true"))
			note(needs.Annotation, gatewaypod.TemplatesField, "annotation", fmt.Sprintf(
				"the annotation %s: %s is missing, without which the pods are injected with a sidecar that serves no Gateway.",
				gatewaypod.TemplatesAnnotation, gatewaypod.GatewayTemplate))
			note(needs.Sysctl, gatewaypod.PortSysctlsField, "sysctl", fmt.Sprintf(
				"the sysctl %s=%s is missing, without which the proxy is refused %s. Where the nodes' kernel is older than 4.11, "+
					"set the annotation %s: %q instead.",
				gatewaypod.PortSysctl, gatewaypod.PortSysctlValue, privilegedPorts(ports),
				gatewaypod.SysctlAnnotation, gatewaypod.SysctlDisabled))
		}),
	}
}

// firstUnprivileged is the first port that Linux lets every process bind by default
// (PROT_SOCK in include/net/sock.h).
const firstUnprivileged = 1024

// privilegedPorts names those of the ports that need a privilege.
func privilegedPorts(ports []uint32) string {
	var l []string
	for _, p := range ports {
		if p < firstUnprivileged {
			l = append(l, fmt.Sprint(p))
		}
	}
	switch len(l) {
	case 0:
		return fmt.Sprintf("every port below %d", firstUnprivileged)
	case 1:
		return "port " + l[0]
	}
	return "the ports " + strings.Join(l[:len(l)-1], ", ") + " and " + l[len(l)-1]
}
