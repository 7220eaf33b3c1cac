package decode

import (
	"fmt"
	"maps"
	"slices"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

// templatedDoc is what is read of apps/v1 Deployment, DaemonSet and StatefulSet.
type templatedDoc struct {
	header
	Spec struct {
		Template struct {
			Metadata metadata `json:"metadata"`
			Spec     podSpec  `json:"spec"`
		} `json:"template"`
	} `json:"spec"`
}

// podDoc is what is read of core/v1 Pod.
type podDoc struct {
	header
	Spec   podSpec `json:"spec"`
	Status struct {
		PodIP  string `json:"podIP"`
		PodIPs []struct {
			IP string `json:"ip"`
		} `json:"podIPs"`
	} `json:"status"`
}

// podSpec is what is read of PodSpec. Init containers are not: they are gone when the
// gateway's container binds its ports.
type podSpec struct {
	ServiceAccountName string `json:"serviceAccountName"`
	// ServiceAccount is the deprecated name, which the API server copies into the other.
	ServiceAccount  string            `json:"serviceAccount"`
	HostNetwork     bool              `json:"hostNetwork"`
	NodeSelector    map[string]string `json:"nodeSelector"`
	SecurityContext struct {
		RunAsUser *int64 `json:"runAsUser"`
		Sysctls   []struct {
			Name  string `json:"name"`
			Value string `json:"value"`
		} `json:"sysctls"`
	} `json:"securityContext"`
	Containers []struct {
		Name            string `json:"name"`
		Image           string `json:"image"`
		SecurityContext struct {
			RunAsUser    *int64 `json:"runAsUser"`
			Capabilities struct {
				Add  []string `json:"add"`
				Drop []string `json:"drop"`
			} `json:"capabilities"`
		} `json:"securityContext"`
		Ports []struct {
			Name          string     `json:"name"`
			Protocol      string     `json:"protocol"`
			ContainerPort portNumber `json:"containerPort"`
			HostPort      portNumber `json:"hostPort"`
		} `json:"ports"`
		Env []struct {
			Name      string    `json:"name"`
			Value     string    `json:"value"`
			ValueFrom *struct{} `json:"valueFrom"`
		} `json:"env"`
	} `json:"containers"`
}

// templated converts a Deployment, DaemonSet or StatefulSet.
func templated(kind resource.Kind, meta resource.Meta, in *templatedDoc) (resource.Object, *Error) {
	template, err := in.Spec.Template.Spec.convert("spec.template.spec")
	if err != nil {
		return nil, err
	}
	template.Labels = in.Spec.Template.Metadata.Labels
	template.Annotations = keep(in.Spec.Template.Metadata.Annotations)
	return &resource.Workload{Meta: meta, Kind: kind, Pod: template, Controlled: in.Metadata.controlled()}, nil
}

// pod converts a Pod, which is its own template.
func pod(kind resource.Kind, meta resource.Meta, in *podDoc) (resource.Object, *Error) {
	template, err := in.Spec.convert("spec")
	if err != nil {
		return nil, err
	}
	template.Labels, template.Annotations = meta.Labels, meta.Annotations
	for _, ip := range in.Status.PodIPs {
		template.PodIPs = append(template.PodIPs, ip.IP)
	}
	if len(template.PodIPs) == 0 && in.Status.PodIP != "" {
		template.PodIPs = []string{in.Status.PodIP}
	}
	return &resource.Workload{Meta: meta, Kind: kind, Pod: template, Controlled: in.Metadata.controlled()}, nil
}

// convert converts the spec of a pod. Of the ports without a name only those of TCP are kept:
// others can be no targetPort by name, and no sidecar captures them.
func (in *podSpec) convert(at string) (resource.PodTemplate, *Error) {
	out := resource.PodTemplate{
		ServiceAccount: in.ServiceAccountName,
		HostNetwork:    in.HostNetwork,
		RunAsUser:      in.SecurityContext.RunAsUser,
		NodeSelector:   in.NodeSelector,
	}
	if out.ServiceAccount == "" {
		out.ServiceAccount = in.ServiceAccount
	}
	for _, s := range in.SecurityContext.Sysctls {
		out.Sysctls = append(out.Sysctls, resource.Sysctl{Name: s.Name, Value: s.Value})
	}
	for i, c := range in.Containers {
		container := resource.Container{
			Name:             c.Name,
			Image:            c.Image,
			RunAsUser:        c.SecurityContext.RunAsUser,
			CapabilitiesAdd:  c.SecurityContext.Capabilities.Add,
			CapabilitiesDrop: c.SecurityContext.Capabilities.Drop,
		}
		for j, p := range c.Ports {
			if p.Name == "" && (p.Protocol != "" && p.Protocol != "TCP" || wrongPort(p.ContainerPort) != "") {
				continue
			}
			if why := wrongPort(p.ContainerPort); why != "" {
				return out, fault(why, "%s.containers[%d].ports[%d].containerPort", at, i, j)
			}
			container.Ports = append(container.Ports, resource.ContainerPort{
				Name: p.Name, Port: uint32(p.ContainerPort), OnHost: p.HostPort != 0,
			})
		}
		if c.Name == resource.Discovery {
			for _, e := range c.Env {
				container.Env = append(container.Env, resource.EnvVar{Name: e.Name, Value: e.Value, Elsewhere: e.ValueFrom != nil})
			}
		}
		out.Containers = append(out.Containers, container)
	}
	return out, nil
}

// serviceDoc is what is read of core/v1 Service.
type serviceDoc struct {
	header
	Spec struct {
		Selector map[string]string `json:"selector"`
		Ports    []struct {
			Name     string     `json:"name"`
			Protocol string     `json:"protocol"`
			Port     portNumber `json:"port"`
			// TargetPort is an IntOrString.
			TargetPort any `json:"targetPort"`
		} `json:"ports"`
		Type         string   `json:"type"`
		ExternalName string   `json:"externalName"`
		ClusterIP    string   `json:"clusterIP"`
		ClusterIPs   []string `json:"clusterIPs"`
	} `json:"spec"`
}

func (*serviceDoc) numbered() {}

// service converts a Service. A targetPort of 0 or "" is an absent one, as defaulting in
// Kubernetes' pkg/apis/core/v1/defaults.go (SetDefaults_Service) takes it.
func service(_ resource.Kind, meta resource.Meta, in *serviceDoc) (resource.Object, *Error) {
	out := &resource.Service{Meta: meta, Selector: in.Spec.Selector}
	if in.Spec.Type == "ExternalName" {
		out.ExternalName = in.Spec.ExternalName
	}
	ips := in.Spec.ClusterIPs
	if len(ips) == 0 { // what an API server fills in
		ips = []string{in.Spec.ClusterIP}
	}
	for _, ip := range ips {
		if ip != "" && ip != "None" {
			out.ClusterIPs = append(out.ClusterIPs, ip)
		}
	}
	for i, p := range in.Spec.Ports {
		if why := wrongPort(p.Port); why != "" {
			return nil, fault(why, "spec.ports[%d].port", i)
		}
		port := resource.ServicePort{Name: p.Name, Protocol: p.Protocol, Port: uint32(p.Port)}
		switch target := p.TargetPort.(type) {
		case nil:
		case string:
			port.TargetName = target
		case int64:
			if target < 0 || target > 65535 {
				return nil, fault(fmt.Sprintf("%d is no port; use a number from 1 to 65535", target), "spec.ports[%d].targetPort", i)
			}
			port.TargetPort = uint32(target)
		default:
			return nil, fault("must be a port number from 1 to 65535 or the name of a container port", "spec.ports[%d].targetPort", i)
		}
		out.Ports = append(out.Ports, port)
	}
	return out, nil
}

// namespaceDoc is core/v1 Namespace, of which only the metadata is read.
type namespaceDoc struct {
	header
}

// namespace converts a Namespace.
func namespace(_ resource.Kind, meta resource.Meta, _ *namespaceDoc) (resource.Object, *Error) {
	return &resource.Namespace{Meta: meta}, nil
}

// sortedKeys returns the keys of a map in order.
func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
