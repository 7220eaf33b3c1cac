package rules

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/gatewaypod"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd708_privileged_ports.md
var privilegedPortsPage string

// privilegedPortsRule finds guarded gateways whose pods do not start on nodes with an old kernel.
func privilegedPortsRule() *policy.Rule {
	return &policy.Rule{
		ID: "GWD708", Name: "privileged-ports", Page: privilegedPortsPage, Effect: policy.Warn,
		Summary: "A node's kernel does not know the sysctl by which the guarded gateway binds its ports.",
		Reads:   slices.Concat(gatewayReads, []resource.Kind{resource.KindNode}),
		Standing: func(w *policy.World, report func(resource.Key, policy.Fault)) {
			for _, g := range w.Guards {
				for _, o := range proxies(w, g, g.Namespace) {
					if o.Kind != resource.KindPod && bindsPrivileged(w, o) {
						reportPorts(w, g, o, report)
					}
				}
			}
		},
	}
}

// bindsPrivileged reports whether a gateway's pods have to bind a port below the first that every
// process may, and are not privileged to.
func bindsPrivileged(w *policy.World, o *resource.Workload) bool {
	return !gatewaypod.Privileged(&o.Pod) &&
		slices.ContainsFunc(w.PortsOf(o.Pod.Labels, o.Namespace), func(p uint32) bool { return p < firstUnprivileged })
}

func reportPorts(w *policy.World, g *policy.Guard, o *resource.Workload, report func(resource.Key, policy.Fault)) {
	switch {
	case o.Pod.HostNetwork:
		f := unchecked("hostNetwork", "whether pods on the network of their node may bind %s depends on the node's own %s, which is not read.",
			privilegedPorts(w.PortsOf(o.Pod.Labels, o.Namespace)), gatewaypod.PortSysctl)
		f.Field = "spec.template.spec.hostNetwork"
		report(o.Key(), f)
		return
	case !slices.ContainsFunc(o.Pod.Sysctls, func(s resource.Sysctl) bool { return gatewaypod.IsPortSysctl(s.Name) }):
		return
	}
	var old []resource.Key
	known, kernel := false, ""
	w.Snapshot.Each(resource.KindNode, "", func(n resource.Object) bool {
		node := n.(*resource.Node)
		known = true
		if node.OS != "windows" && resource.Selects(o.Pod.NodeSelector, node.Labels) && lacksSysctl(node.Kernel) {
			old, kernel = append(old, node.Key()), node.Kernel
		}
		return true
	})
	switch {
	case len(old) > 0:
		report(o.Key(), policy.Fault{
			Effect: policy.Warn, Field: gatewaypod.PortSysctlsField, Subject: "kernel",
			Message: fmt.Sprintf("the kernel of %s is %s, which does not know %s: pods of %s that are scheduled there stay in ContainerCreating. "+
				"Keep them off such nodes, or use ports from %d and set the annotation %s: %q.",
				several(old), kernel, gatewaypod.PortSysctl, g.Name, firstUnprivileged, gatewaypod.SysctlAnnotation, gatewaypod.SysctlDisabled),
			Related: old,
		})
	case !known:
		report(o.Key(), unchecked("kernel", "no Node is known: %s.", lacking(w, resource.KindNode)))
	}
}

// lacksSysctl reports whether a kernel is older than 4.11, which brought the sysctl
// (Documentation/networking/ip-sysctl.rst in Linux). One that can not be read is taken for newer.
func lacksSysctl(kernel string) bool {
	parts := strings.SplitN(kernel, ".", 3)
	if len(parts) < 2 {
		return false
	}
	major, err := strconv.Atoi(parts[0])
	if err != nil {
		return false
	}
	minor, err := strconv.Atoi(strings.TrimRight(parts[1], "-+"))
	return err == nil && (major < 4 || major == 4 && minor < 11)
}
