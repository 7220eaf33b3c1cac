package gatewaypod_test

import (
	"maps"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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

// chart makes the webhooks that Istio's chart istio-discovery has for a revision; "default" has
// those for the label istio-injection, too.
func chart(revision string) gatewaypod.Injectors {
	is := func(key, operator string, values ...string) resource.LabelExpression {
		return resource.LabelExpression{Key: key, Operator: operator, Values: values}
	}
	selector := func(e ...resource.LabelExpression) resource.LabelSelector {
		return resource.LabelSelector{Expressions: e}
	}
	const inject, rev, namespace = gatewaypod.InjectLabel, gatewaypod.RevisionLabel, gatewaypod.NamespaceLabel
	willing := is(inject, "NotIn", "false")
	out := gatewaypod.Injectors{
		{Namespaces: selector(is(rev, "In", revision), is(namespace, "DoesNotExist")), Pods: selector(willing)},
		{Namespaces: selector(is(rev, "DoesNotExist"), is(namespace, "DoesNotExist")), Pods: selector(willing, is(rev, "In", revision))},
	}
	if revision == "default" {
		out = append(out,
			resource.Injector{Namespaces: selector(is(namespace, "In", "enabled")), Pods: selector(willing)},
			resource.Injector{
				Namespaces: selector(is(namespace, "DoesNotExist"), is(rev, "DoesNotExist")),
				Pods:       selector(is(inject, "In", "true"), is(rev, "DoesNotExist")),
			})
	}
	return out
}

func TestInjectors(t *testing.T) {
	type labels = map[string]string
	const inject, rev, injection = gatewaypod.InjectLabel, gatewaypod.RevisionLabel, gatewaypod.NamespaceLabel
	standard, revision := chart("default"), chart("1-31")
	both := append(chart("default"), chart("1-31")...)
	everybody := append(chart("default"), resource.Injector{ // enableNamespacesByDefault
		Namespaces: resource.LabelSelector{Expressions: []resource.LabelExpression{
			{Key: injection, Operator: "DoesNotExist"}, {Key: rev, Operator: "DoesNotExist"},
			{Key: "kubernetes.io/metadata.name", Operator: "NotIn", Values: []string{"kube-system"}},
		}},
		Pods: resource.LabelSelector{Expressions: []resource.LabelExpression{{Key: inject, Operator: "DoesNotExist"}, {Key: rev, Operator: "DoesNotExist"}}},
	})
	for name, c := range map[string]struct {
		webhooks       gatewaypod.Injectors
		namespace, pod labels
		injected       bool
		unserved       string // the field
	}{
		"unknown: nothing":                      {nil, nil, nil, false, ""},
		"unknown: enabled":                      {nil, labels{injection: "enabled"}, nil, true, ""},
		"unknown: any revision":                 {nil, labels{rev: "x"}, nil, true, ""},
		"unknown: the pod's revision":           {nil, nil, labels{rev: "x"}, true, ""},
		"unknown: disabled":                     {nil, labels{injection: "disabled", rev: "x"}, labels{inject: "true"}, false, ""},
		"enabled":                               {standard, labels{injection: "enabled"}, nil, true, ""},
		"enabled, whatever the pod's revision":  {standard, labels{injection: "enabled"}, labels{rev: "x"}, true, ""},
		"enabled, whatever the revision":        {standard, labels{injection: "enabled", rev: "x"}, nil, true, ""},
		"enabled, only a revision is installed": {revision, labels{injection: "enabled"}, nil, false, "metadata.namespace"},
		"enabled, both are":                     {both, labels{injection: "enabled"}, nil, true, ""},
		"disabled":                              {both, labels{injection: "disabled"}, labels{inject: "true", rev: "1-31"}, false, ""},
		"the default by its name":               {standard, labels{rev: "default"}, nil, true, ""},
		"a revision":                            {revision, labels{rev: "1-31"}, nil, true, ""},
		"a revision that is not there":          {both, labels{rev: "1-30"}, nil, false, "metadata.namespace"},
		"a pod does not make up for it":         {both, labels{rev: "1-30"}, labels{rev: "1-31", inject: "true"}, false, "metadata.namespace"},
		"the namespace goes before the pod":     {both, labels{rev: "1-31"}, labels{rev: "1-30"}, true, ""},
		"the pod's revision":                    {revision, nil, labels{rev: "1-31"}, true, ""},
		"the pod's revision is not there":       {both, nil, labels{rev: "1-30"}, false, "spec.template.metadata.labels[istio.io/rev]"},
		"the pod's label does not make up":      {both, nil, labels{rev: "1-30", inject: "true"}, false, "spec.template.metadata.labels[istio.io/rev]"},
		"the pod asks":                          {standard, nil, labels{inject: "true"}, true, ""},
		"the pod asks, only a revision":         {revision, nil, labels{inject: "true"}, false, "spec.template.metadata.labels[sidecar.istio.io/inject]"},
		"nobody asks":                           {standard, nil, nil, false, ""},
		"nobody asks, all are injected":         {everybody, nil, nil, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			ns := &resource.Namespace{Meta: resource.Meta{Name: "edge", Labels: c.namespace}}
			assert.Equal(t, c.injected, c.webhooks.Inject(ns, c.pod))
			assert.Equal(t, c.injected || c.unserved != "", c.webhooks.Asked(ns, c.pod))
			r := c.webhooks.Unserved(ns, c.pod)
			if c.unserved == "" {
				assert.Nil(t, r)
				return
			}
			require.NotNil(t, r)
			assert.Equal(t, c.unserved, r.Field)
		})
	}
	// A namespace has its name as a label, whether or not a manifest says so.
	ns := &resource.Namespace{Meta: resource.Meta{Name: "kube-system"}}
	assert.False(t, everybody.Inject(ns, nil))
}

func TestObstacle(t *testing.T) {
	ns := func(labels map[string]string) *resource.Namespace {
		return &resource.Namespace{Meta: resource.Meta{Name: "edge", Labels: labels}}
	}
	revision := map[string]string{"istio.io/rev": "stable"}
	disabled := map[string]string{"istio-injection": "disabled"}
	both := maps.Clone(revision)
	maps.Copy(both, disabled)

	for _, in := range []gatewaypod.Injectors{nil, append(chart("default"), chart("stable")...)} {
		assert.Nil(t, in.Obstacle("edge", nil, nil), "unknown")
		assert.Nil(t, in.Obstacle("edge", ns(nil), nil), "no label")
		assert.Nil(t, in.Obstacle("edge", ns(map[string]string{"istio-injection": "enabled"}), nil))
		assert.Nil(t, in.Obstacle("edge", ns(revision), nil))
		for _, labels := range []map[string]string{disabled, both, {"istio-injection": ""}, {"istio-injection": "true"}} {
			assert.NotNil(t, in.Obstacle("edge", ns(labels), nil), "%v", labels)
		}
		assert.NotNil(t, in.Obstacle("kube-system", nil, nil), "never injected")
	}
	assert.NotNil(t, chart("other").Obstacle("edge", ns(revision), nil), "a revision that is not there")
	own := gatewaypod.Injectors{{Namespaces: resource.LabelSelector{Labels: map[string]string{"istio-injection": "true"}}}}
	assert.Nil(t, own.Obstacle("edge", ns(map[string]string{"istio-injection": "true"}), nil), "a webhook with selectors of its own")
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
