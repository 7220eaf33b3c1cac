package gatewaypod_test

import (
	"maps"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gatewarden/gatewarden/pkg/gatewaypod"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func ptr[T any](v T) *T { return &v }

// auto is the proxy's container as Istio's documentation shows it.
func auto() resource.Container { return resource.Container{Name: "istio-proxy", Image: "auto"} }

var application = resource.Container{Name: "web", Image: "registry.example.com/web:1"}

func templates(v string) map[string]string {
	return map[string]string{gatewaypod.TemplatesAnnotation: v}
}

func TestIsGateway(t *testing.T) {
	proxyv2 := resource.Container{Name: "istio-proxy", Image: "docker.io/istio/proxyv2:1.30.4"}
	tests := []struct {
		name     string
		template resource.PodTemplate
		selected bool
		want     bool
	}{
		{"proxy with image auto alone", resource.PodTemplate{Containers: []resource.Container{auto()}}, false, true},
		{"proxy with a real image alone", resource.PodTemplate{Containers: []resource.Container{proxyv2}}, false, false},
		{"other container with image auto", resource.PodTemplate{Containers: []resource.Container{{Name: "proxy", Image: "auto"}}}, false, false},
		{"application with a customised sidecar", resource.PodTemplate{Containers: []resource.Container{application, auto()}}, false, false},
		{"selected, real image", resource.PodTemplate{Containers: []resource.Container{proxyv2}}, true, true},
		{"selected, with a helper beside", resource.PodTemplate{Containers: []resource.Container{application, auto()}}, true, true},
		{"selected, without a proxy", resource.PodTemplate{Containers: []resource.Container{application}}, true, false},
		{"selected, asks for the sidecar", resource.PodTemplate{
			Annotations: templates("sidecar"), Containers: []resource.Container{application, auto()},
		}, true, false},
		{"asks for the sidecar, proxy alone", resource.PodTemplate{
			Annotations: templates("sidecar"), Containers: []resource.Container{auto()},
		}, false, false},
		{"selected, a template of its own", resource.PodTemplate{
			Annotations: templates("our-edge"), Containers: []resource.Container{auto()},
		}, true, true},
		{"asks for the gateway, no proxy yet", resource.PodTemplate{
			Annotations: templates("gateway"), Containers: []resource.Container{application},
		}, false, true},
		{"asks for the gateway among others", resource.PodTemplate{
			Annotations: templates("sidecar , gateway"), Containers: []resource.Container{application},
		}, false, true},
		{"template with a similar name", resource.PodTemplate{
			Annotations: templates("gateway-legacy"), Containers: []resource.Container{application},
		}, false, false},
		{"template as a label", resource.PodTemplate{
			Labels: templates("gateway"), Containers: []resource.Container{application},
		}, false, false},
		{"nothing", resource.PodTemplate{}, true, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.want, gatewaypod.IsGateway(&tt.template, tt.selected))
		})
	}
}

func TestAssessSysctl(t *testing.T) {
	sysctl := func(name, value string) []resource.Sysctl {
		return []resource.Sysctl{{Name: "net.core.somaxconn", Value: "4096"}, {Name: name, Value: value}}
	}
	user := func(id int64, add, drop []string) resource.Container {
		c := auto()
		c.RunAsUser, c.CapabilitiesAdd, c.CapabilitiesDrop = ptr(id), add, drop
		return c
	}
	with := func(c resource.Container) resource.PodTemplate {
		return resource.PodTemplate{Containers: []resource.Container{c}}
	}
	silent := auto()
	silent.CapabilitiesDrop = []string{"ALL"}
	silent.CapabilitiesAdd = []string{"NET_BIND_SERVICE"}
	var (
		all  = []string{"ALL"}
		bind = []string{"NET_BIND_SERVICE"}
		web  = []uint32{80, 443}
	)
	tests := []struct {
		name        string
		annotations map[string]string
		template    resource.PodTemplate
		ports       []uint32
		want        bool
	}{
		{"absent", nil, with(auto()), web, true},
		{"absent, ports unknown", nil, with(auto()), nil, true},
		{"absent, high ports: later Gateways may have others", nil, with(auto()), []uint32{8080}, true},
		{"zero", nil, resource.PodTemplate{Sysctls: sysctl(gatewaypod.PortSysctl, "0")}, web, false},
		{"as low as the lowest port", nil, resource.PodTemplate{Sysctls: sysctl(gatewaypod.PortSysctl, "80")}, web, false},
		{"above the lowest port", nil, resource.PodTemplate{Sysctls: sysctl(gatewaypod.PortSysctl, "81")}, web, true},
		{"the kernel's default", nil, resource.PodTemplate{Sysctls: sysctl(gatewaypod.PortSysctl, "1024")}, web, true},
		{"the kernel's default, high ports", nil, resource.PodTemplate{Sysctls: sysctl(gatewaypod.PortSysctl, "1024")}, []uint32{8080, 8443}, false},
		{"80, ports unknown", nil, resource.PodTemplate{Sysctls: sysctl(gatewaypod.PortSysctl, "80")}, nil, false},
		{"443, ports unknown", nil, resource.PodTemplate{Sysctls: sysctl(gatewaypod.PortSysctl, "443")}, nil, true},
		{"443, only port 443", nil, resource.PodTemplate{Sysctls: sysctl(gatewaypod.PortSysctl, "443")}, []uint32{443}, false},
		{"no number", nil, resource.PodTemplate{Sysctls: sysctl(gatewaypod.PortSysctl, "low")}, web, true},
		{"negative", nil, resource.PodTemplate{Sysctls: sysctl(gatewaypod.PortSysctl, "-1")}, web, true},
		{"beyond all ports", nil, resource.PodTemplate{Sysctls: sysctl(gatewaypod.PortSysctl, "65536")}, web, true},
		{"in slashes", nil, resource.PodTemplate{Sysctls: sysctl("net/ipv4/ip_unprivileged_port_start", "0")}, web, false},
		{"another sysctl", nil, resource.PodTemplate{Sysctls: sysctl("net.ipv4.ip_local_port_range", "0")}, web, true},
		{"one of two is too high", nil, resource.PodTemplate{Sysctls: append(
			sysctl(gatewaypod.PortSysctl, "0"), resource.Sysctl{Name: "net/ipv4/ip_unprivileged_port_start", Value: "1024"})}, web, true},

		{"host network", nil, resource.PodTemplate{HostNetwork: true}, web, false},
		{"host network, too high already", nil, resource.PodTemplate{HostNetwork: true, Sysctls: sysctl(gatewaypod.PortSysctl, "1024")}, web, false},

		{"opted out on the workload", map[string]string{"gatewarden.io/sysctl": "disabled"}, with(auto()), web, false},
		{"opted out on the template", nil, resource.PodTemplate{Annotations: map[string]string{"gatewarden.io/sysctl": "disabled"}}, web, false},
		{"opt-out with another value", map[string]string{"gatewarden.io/sysctl": "enabled"}, with(auto()), web, true},

		{"root that adds it", nil, with(user(0, bind, all)), web, false},
		{"root that adds it in lower case", nil, with(user(0, []string{"net_bind_service"}, all)), web, false},
		{"root that adds all", nil, with(user(0, all, nil)), web, false},
		{"root with the default set", nil, with(user(0, nil, nil)), web, false},
		{"root with less than the default set", nil, with(user(0, nil, []string{"NET_RAW"})), web, false},
		{"root that drops all", nil, with(user(0, nil, all)), web, true},
		{"root that adds all and drops all", nil, with(user(0, all, all)), web, true},
		{"root that drops it", nil, with(user(0, nil, bind)), web, true},
		{"root that adds all and drops it", nil, with(user(0, all, bind)), web, true},
		{"root that adds and drops it", nil, with(user(0, bind, bind)), web, true},
		{"another user that adds it", nil, with(user(1337, bind, all)), web, true},
		{"root by the pod", nil, resource.PodTemplate{RunAsUser: ptr(int64(0)), Containers: []resource.Container{silent}}, web, false},
		{"another user by the pod", nil, resource.PodTemplate{RunAsUser: ptr(int64(1337)), Containers: []resource.Container{silent}}, web, true},
		{"root by the pod, not by the container", nil, resource.PodTemplate{
			RunAsUser: ptr(int64(0)), Containers: []resource.Container{user(1337, bind, all)},
		}, web, true},
		{"root by the container, not by the pod", nil, resource.PodTemplate{
			RunAsUser: ptr(int64(1337)), Containers: []resource.Container{user(0, bind, all)},
		}, web, false},
		{"user of the image", nil, with(silent), web, true},
		{"another container is root", nil, resource.PodTemplate{Containers: []resource.Container{
			auto(), {Name: "web", RunAsUser: ptr(int64(0)), CapabilitiesAdd: bind},
		}}, web, true},
		{"root by the pod, proxy not in the template", nil, resource.PodTemplate{RunAsUser: ptr(int64(0))}, web, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := &resource.Workload{Meta: resource.Meta{Annotations: tt.annotations}, Kind: resource.KindDeployment, Pod: tt.template}
			assert.Equal(t, tt.want, gatewaypod.Assess(o, tt.ports).Sysctl)
		})
	}
}

func TestAssessInjection(t *testing.T) {
	label := func(v string) map[string]string { return map[string]string{gatewaypod.InjectLabel: v} }
	tests := []struct {
		name                string
		labels, annotations map[string]string
		wantLabel           bool
		wantAnnotation      bool
	}{
		{"nothing", nil, nil, true, true},
		{"label", label("true"), nil, false, true},
		{"template", nil, templates("gateway"), true, false},
		{"both", label("true"), templates("gateway"), false, false},
		{"label with another value stays", label("yes"), nil, false, true},
		{"empty label stays", label(""), nil, false, true},
		{"other template stays", label("true"), templates("our-edge"), false, false},
		{"the annotation true does not reach the webhook", nil, label("true"), true, true},
		{"refused by label", label("false"), nil, false, false},
		{"refused by annotation", nil, label("false"), false, false},
		{"refused by annotation, asked for by label", label("true"), label("false"), false, true},
		{"annotation that is no refusal in every release", nil, label("no"), true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := &resource.Workload{Pod: resource.PodTemplate{Labels: tt.labels, Annotations: tt.annotations}}
			n := gatewaypod.Assess(o, nil)
			assert.Equal(t, tt.wantLabel, n.Label, "label")
			assert.Equal(t, tt.wantAnnotation, n.Annotation, "annotation")
			assert.True(t, n.Any(), "the sysctl is missing in each")
		})
	}
	assert.False(t, gatewaypod.Needs{}.Any())
}

func TestRefusals(t *testing.T) {
	pair := func(k, v string) map[string]string { return map[string]string{k: v} }
	tests := []struct {
		name     string
		template resource.PodTemplate
		want     []string
	}{
		{"silent", resource.PodTemplate{}, nil},
		{"label true", resource.PodTemplate{Labels: pair(gatewaypod.InjectLabel, "true")}, nil},
		{"label false", resource.PodTemplate{Labels: pair(gatewaypod.InjectLabel, "false")}, []string{"label"}},
		{"label false, annotation true", resource.PodTemplate{
			Labels: pair(gatewaypod.InjectLabel, "false"), Annotations: pair(gatewaypod.InjectAnnotation, "true"),
		}, []string{"label"}},
		{"label False", resource.PodTemplate{Labels: pair(gatewaypod.InjectLabel, "False")}, nil},
		{"annotation false", resource.PodTemplate{Annotations: pair(gatewaypod.InjectAnnotation, "false")}, []string{"annotation"}},
		{"annotation no", resource.PodTemplate{Annotations: pair(gatewaypod.InjectAnnotation, "no")}, nil},
		{"annotation false, label true", resource.PodTemplate{
			Labels: pair(gatewaypod.InjectLabel, "true"), Annotations: pair(gatewaypod.InjectAnnotation, "false"),
		}, nil},
		{"host network", resource.PodTemplate{HostNetwork: true}, []string{"hostNetwork"}},
		{"host network and label", resource.PodTemplate{
			HostNetwork: true, Labels: pair(gatewaypod.InjectLabel, "false"),
		}, []string{"label", "hostNetwork"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, o := range gatewaypod.Refusals(&tt.template) {
				got = append(got, o.Subject)
				assert.NotEmpty(t, o.Field)
				assert.NotEmpty(t, o.Reason)
				assert.NotEmpty(t, o.Fix)
			}
			assert.Equal(t, tt.want, got)
		})
	}
}

func TestUnclearLabel(t *testing.T) {
	for v, want := range map[string]bool{"true": false, "false": false, "": true, "yes": true, "True": true, "FALSE": true} {
		_, got := gatewaypod.UnclearLabel(&resource.PodTemplate{Labels: map[string]string{gatewaypod.InjectLabel: v}})
		assert.Equal(t, want, got, "%q", v)
	}
	_, got := gatewaypod.UnclearLabel(&resource.PodTemplate{})
	assert.False(t, got, "absent")
}

func TestNamespaceObstacle(t *testing.T) {
	ns := func(labels map[string]string) *resource.Namespace {
		return &resource.Namespace{Meta: resource.Meta{Name: "edge", Labels: labels}}
	}
	revision := map[string]string{"istio.io/rev": "stable"}
	disabled := map[string]string{"istio-injection": "disabled"}
	both := maps.Clone(revision)
	maps.Copy(both, disabled)

	assert.Nil(t, gatewaypod.NamespaceObstacle("edge", nil), "unknown")
	assert.Nil(t, gatewaypod.NamespaceObstacle("edge", ns(nil)), "no label")
	assert.Nil(t, gatewaypod.NamespaceObstacle("edge", ns(map[string]string{"istio-injection": "enabled"})))
	assert.Nil(t, gatewaypod.NamespaceObstacle("edge", ns(revision)))
	for _, labels := range []map[string]string{disabled, both, {"istio-injection": ""}, {"istio-injection": "true"}} {
		assert.NotNil(t, gatewaypod.NamespaceObstacle("edge", ns(labels)), "%v", labels)
	}
	assert.NotNil(t, gatewaypod.NamespaceObstacle("kube-system", nil), "never injected")
}

type guard map[string]string

func (g guard) SelectsPods(labels map[string]string, namespace string) bool {
	return namespace == "edge" && resource.Selects(g, labels)
}

func TestSelected(t *testing.T) {
	guards := []guard{{"app": "one"}, {"app": "two"}}
	o := &resource.Workload{
		Meta: resource.Meta{Namespace: "edge", Labels: map[string]string{"app": "none"}},
		Pod:  resource.PodTemplate{Labels: map[string]string{"app": "two"}},
	}
	assert.True(t, gatewaypod.Selected(guards, o), "the template's labels count, not the workload's")
	o.Namespace = "other"
	assert.False(t, gatewaypod.Selected(guards, o))
	assert.False(t, gatewaypod.Selected([]guard(nil), o))
}

func TestHandles(t *testing.T) {
	assert.True(t, gatewaypod.Handles(resource.KindDeployment))
	assert.True(t, gatewaypod.Handles(resource.KindDaemonSet))
	assert.False(t, gatewaypod.Handles(resource.KindStatefulSet))
	assert.False(t, gatewaypod.Handles(resource.KindPod))
}
