// Package gatewaypod knows what makes a workload a gateway of Istio, and what its pods
// need before they can start and bind the ports of the Gateways they serve.
//
// A gateway's Deployment in today's style holds an almost empty container named istio-proxy
// with the image "auto": Istio's injection webhook fills it in when the pod is created. Three
// settings decide whether that works, and none of them is checked by anybody: the label by
// which the webhook sees the pod, the annotation by which it takes the gateway's template and
// not the sidecar's, and the sysctl by which a process without privileges may bind the ports
// 80 and 443. The package is pure: what the mesh around the workload looks like is passed in.
package gatewaypod

import (
	"slices"
	"strconv"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// The names that Istio's injection goes by.
const (
	// ProxyContainer is the name of the proxy's container (ProxyContainerName in
	// istio.io/istio pkg/kube/inject/inject.go).
	ProxyContainer = "istio-proxy"
	// AutoImage is the image that injection replaces. No registry serves it, so a pod that
	// is not injected stays in ErrImagePull (messages IST0146 and IST0147 of istioctl analyze).
	AutoImage = "auto"
	// InjectLabel asks for injection with "true" and refuses it with "false". The annotation
	// of the same name is its older form, which the label overrides (injectRequired in
	// istio.io/istio pkg/kube/inject/inject.go).
	InjectLabel = "sidecar.istio.io/inject"
	// InjectAnnotation is the older form of InjectLabel.
	InjectAnnotation = InjectLabel
	// TemplatesAnnotation lists the injection templates of the pod, separated by commas
	// (selectTemplates in istio.io/istio pkg/kube/inject/inject.go).
	TemplatesAnnotation = "inject.istio.io/templates"
	// GatewayTemplate is the injection template of gateways.
	GatewayTemplate = "gateway"
)

// The sysctl below which ports are privileged, and the value that makes none of them so.
const (
	// PortSysctl is the first port that a process without CAP_NET_BIND_SERVICE may bind
	// (Documentation/networking/ip-sysctl.rst in Linux; since 4.11).
	PortSysctl = "net.ipv4.ip_unprivileged_port_start"
	// PortSysctlValue makes no port privileged, as Istio's own gateway chart does.
	PortSysctlValue = "0"
	// SysctlAnnotation, with the value SysctlDisabled on a workload or on its pod template,
	// keeps PortSysctl out of it: for nodes with a kernel before 4.11, where a pod with an
	// unknown sysctl hangs in ContainerCreating.
	SysctlAnnotation = config.Domain + "/sysctl"
	// SysctlDisabled is the value of SysctlAnnotation.
	SysctlDisabled = "disabled"
)

// plainPort is the lowest port that a gateway is expected to bind while no Gateway tells
// the ports: that of HTTP.
const plainPort = 80

// OtherTemplates are the injection templates that Istio ships beside the gateway's (the key
// templates of the ConfigMap istio-sidecar-injector). Proxies made from them are no routers
// and serve no Gateway.
var OtherTemplates = []string{"sidecar", "grpc-agent", "grpc-simple"}

// Guard is a guarded gateway, which knows the pods that it selects.
type Guard interface {
	SelectsPods(labels map[string]string, namespace string) bool
}

// Selected reports whether any of the guards selects the pods of the workload.
func Selected[G Guard](guards []G, o *resource.Workload) bool {
	return slices.ContainsFunc(guards, func(g G) bool { return g.SelectsPods(o.Pod.Labels, o.Namespace) })
}

// Handles reports whether workloads of the kind are judged and completed: those that
// Istio's gateway chart can render (manifests/charts/gateway/templates/deployment.yaml).
func Handles(kind resource.Kind) bool {
	return kind == resource.KindDeployment || kind == resource.KindDaemonSet
}

// IsGateway reports whether pods of the template are a gateway of Istio:
//
//   - the template asks for the gateway's injection template, or
//   - a guarded gateway selects them (selectedByGuard) and they have a proxy container, or
//   - a proxy container with the image "auto" is all that they have.
//
// A proxy container beside an application's is otherwise how Istio lets an application
// customise its sidecar, and so is one in a template that asks for the sidecar by name.
func IsGateway(t *resource.PodTemplate, selectedByGuard bool) bool {
	templates := Templates(t)
	if slices.Contains(templates, GatewayTemplate) {
		return true
	}
	if slices.ContainsFunc(templates, func(s string) bool { return slices.Contains(OtherTemplates, s) }) {
		return false
	}
	c := proxy(t)
	if c == nil {
		return false
	}
	return selectedByGuard || len(t.Containers) == 1 && c.Image == AutoImage
}

// Templates returns the injection templates that the pod template names, or nil if it
// leaves the choice to Istio's default, which is the sidecar.
func Templates(t *resource.PodTemplate) []string {
	a, ok := t.Annotations[TemplatesAnnotation]
	if !ok {
		return nil
	}
	names := strings.Split(a, ",")
	for i, n := range names {
		names[i] = strings.TrimSpace(n)
	}
	return names
}

// AwaitsInjection reports whether pods of the template can start only after injection:
// they have a proxy container with the image "auto".
func AwaitsInjection(t *resource.PodTemplate) bool {
	c := proxy(t)
	return c != nil && c.Image == AutoImage
}

// Needs are the settings that a gateway workload lacks.
type Needs struct {
	Sysctl     bool // PortSysctl is missing, or too high for the ports
	Label      bool // InjectLabel is missing
	Annotation bool // TemplatesAnnotation is missing
}

// Any reports whether anything is lacking.
func (n Needs) Any() bool { return n != Needs{} }

// Assess tells what a gateway workload lacks. Ports are those that its pods have to bind;
// none means that they are not known.
//
// A label or an annotation that is there is never taken for missing, whatever its value: it
// was somebody's decision. A workload that opts out of injection is not given either of them,
// because the label would silently overrule an opt-out by annotation.
func Assess(o *resource.Workload, ports []uint32) Needs {
	n := Needs{Sysctl: needsSysctl(o, ports)}
	if !optsOut(&o.Pod) {
		_, label := o.Pod.Labels[InjectLabel]
		_, annotation := o.Pod.Annotations[TemplatesAnnotation]
		n.Label, n.Annotation = !label, !annotation
	}
	return n
}

// optsOut reports whether the template refuses injection. Releases of Istio read other
// values than "true" and "false" in different ways (once "yes", "on" and "y" were true and
// all else false; now what is neither is taken for unset), so only "false" is a refusal. The
// annotation counts where the label says nothing: an empty label is a label.
func optsOut(t *resource.PodTemplate) bool {
	if l, ok := t.Labels[InjectLabel]; ok {
		return l == "false"
	}
	return t.Annotations[InjectAnnotation] == "false"
}

// IsPortSysctl reports whether name is PortSysctl in one of its two spellings. Kubernetes
// accepts slashes for dots (NormalizeName in k8s.io/component-helpers node/util/sysctl).
func IsPortSysctl(name string) bool {
	return name == PortSysctl || name == strings.ReplaceAll(PortSysctl, ".", "/")
}

// AllowsPorts reports whether PortSysctl with this value lets a process without privileges
// bind all of the ports. If the ports are not known, it has to allow 80 and above.
func AllowsPorts(value string, ports []uint32) bool {
	start, err := strconv.ParseUint(strings.TrimSpace(value), 10, 16)
	if err != nil {
		return false
	}
	lowest := uint64(plainPort)
	if len(ports) > 0 {
		lowest = uint64(slices.Min(ports))
	}
	return start <= lowest
}

func needsSysctl(o *resource.Workload, ports []uint32) bool {
	switch {
	// ValidateHostSysctl in k8s.io/kubernetes pkg/apis/core/validation/validation.go: a pod
	// in the host's network namespace may not set any sysctl of it.
	case o.Pod.HostNetwork:
		return false
	case o.Annotations[SysctlAnnotation] == SysctlDisabled, o.Pod.Annotations[SysctlAnnotation] == SysctlDisabled:
		return false
	case Privileged(&o.Pod):
		return false
	}
	found := false
	for _, s := range o.Pod.Sysctls {
		if IsPortSysctl(s.Name) {
			if !AllowsPorts(s.Value, ports) {
				return true
			}
			found = true
		}
	}
	return !found
}

// Privileged reports whether the proxy runs as root with CAP_NET_BIND_SERVICE. A user other
// than root loses its capabilities at exec, whatever the container adds.
func Privileged(t *resource.PodTemplate) bool {
	c := proxy(t)
	if c == nil {
		return false // the injection template brings the container, and it does not run as root
	}
	user := c.RunAsUser
	if user == nil {
		user = t.RunAsUser
	}
	return user != nil && *user == 0 && bindsPrivilegedPorts(c)
}

// bindsPrivilegedPorts follows the order in which containerd composes a container's
// capabilities (WithCapabilities in github.com/containerd/containerd
// internal/cri/opts/spec_linux_opts.go): its default set, which has NET_BIND_SERVICE as
// those of CRI-O and Docker have, then ALL added, ALL dropped, single ones added, single ones
// dropped, in any letter case.
func bindsPrivilegedPorts(c *resource.Container) bool {
	has := func(list []string, name string) bool {
		return slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, name) })
	}
	const one, all = "NET_BIND_SERVICE", "ALL"
	switch {
	case has(c.CapabilitiesDrop, one):
		return false
	case has(c.CapabilitiesAdd, one):
		return true
	}
	return !has(c.CapabilitiesDrop, all)
}

func proxy(t *resource.PodTemplate) *resource.Container { return t.Container(ProxyContainer) }
