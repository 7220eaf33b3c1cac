package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

const (
	inject       = "sidecar.istio.io/inject"
	interception = "sidecar.istio.io/interceptionMode"
	exclude      = "traffic.sidecar.istio.io/excludeInboundPorts"
	include      = "traffic.sidecar.istio.io/includeInboundPorts"
	interfaces   = "traffic.sidecar.istio.io/excludeInterfaces"
	tlsMode      = "security.istio.io/tlsMode"
	rev          = "istio.io/rev"
)

// injectors makes the webhooks of a revision of Istio that is installed beside no default one.
func injectors(revision string) *resource.Injectors {
	e := func(key, operator string, values ...string) resource.LabelExpression {
		return resource.LabelExpression{Key: key, Operator: operator, Values: values}
	}
	noLabel, willing := e("istio-injection", "DoesNotExist"), e(inject, "NotIn", "false")
	return &resource.Injectors{Meta: resource.Meta{Name: "istio-sidecar-injector-" + revision}, Webhooks: []resource.Injector{
		{
			Namespaces: resource.LabelSelector{Expressions: []resource.LabelExpression{e(rev, "In", revision), noLabel}},
			Pods:       resource.LabelSelector{Expressions: []resource.LabelExpression{willing}},
		},
		{
			Namespaces: resource.LabelSelector{Expressions: []resource.LabelExpression{e(rev, "DoesNotExist"), noLabel}},
			Pods:       resource.LabelSelector{Expressions: []resource.LabelExpression{willing, e(rev, "In", revision)}},
		},
	}}
}

func annotated(name, value string) func(*resource.PodTemplate) {
	return func(p *resource.PodTemplate) {
		a := map[string]string{name: value}
		for k, v := range p.Annotations {
			a[k] = v
		}
		p.Annotations = a
	}
}

func labelled(name, value string) func(*resource.PodTemplate) {
	return func(p *resource.PodTemplate) {
		l := map[string]string{name: value}
		for k, v := range p.Labels {
			l[k] = v
		}
		p.Labels = l
	}
}

func listening(ports ...uint32) func(*resource.PodTemplate) {
	return func(p *resource.PodTemplate) {
		for _, port := range ports {
			p.Containers = append(p.Containers, resource.Container{Ports: []resource.ContainerPort{{Port: port}}})
		}
	}
}

func hostNetwork(p *resource.PodTemplate) { p.HostNetwork = true }

func TestSidecarBypass(t *testing.T) {
	const (
		ns          = "deploykf-dashboard"
		key         = ns + "/central-dashboard"
		annotations = "spec.template.metadata.annotations["
	)
	app := func(edit ...func(*resource.PodTemplate)) *resource.Workload {
		return deployment(key, dashboard, append([]func(*resource.PodTemplate){listening(8082)}, edit...)...)
	}
	named := []resource.Object{pa(ns+"/mtls", resource.ModeStrict, dashboard)}
	whole := []resource.Object{pa(ns+"/default", resource.ModeStrict, nil)}
	mesh := []resource.Object{pa("istio-system/default", resource.ModeStrict, nil)}
	// revisions are the webhooks of one revision, beside a namespace with these labels.
	revisions := func(labels map[string]string, others ...resource.Object) []resource.Object {
		return append([]resource.Object{injectors("1-31"), namespace(ns, labels)}, others...)
	}
	injected := namespace(ns, map[string]string{"istio-injection": "enabled"})
	plain := namespace(ns, nil)
	running := func(edit ...func(*resource.PodTemplate)) *resource.Workload {
		return with(app(edit...), func(o *resource.Workload) { o.Kind, o.Name = resource.KindPod, "central-dashboard-5d8f-x7k2p" })
	}
	byController := func(o *resource.Workload) *resource.Workload {
		return with(o, func(o *resource.Workload) { o.Controlled = true })
	}
	// cni adds what injection writes to pods where the CNI plugin sets the interception up.
	cni := func(p *resource.PodTemplate) {
		for _, a := range [][2]string{{"sidecar.istio.io/status", "{}"}, {interception, "REDIRECT"}, {include, "*"}, {exclude, "15020,8082"}} {
			annotated(a[0], a[1])(p)
		}
	}
	proxy := func(p *resource.PodTemplate) { // as injection adds it
		annotated("sidecar.istio.io/status", "{}")(p)
		labelled(tlsMode, "istio")(p)
		p.Containers = append(p.Containers, resource.Container{Name: "istio-proxy", Ports: []resource.ContainerPort{{Port: 15090}}})
	}
	check(t, "GWD504",
		verdict{name: "a bare pod leaves a port out", world: named, change: create(running(annotated(exclude, "8082"))), want: policy.Deny, field: "metadata.annotations[" + exclude + "]"},
		verdict{name: "a bare pod on the host's network", world: named, change: create(running(hostNetwork)), want: policy.Deny, field: "spec.hostNetwork"},
		verdict{name: "a bare pod after its injection", world: whole, change: create(running(annotated(exclude, "8082"), proxy)), want: policy.Deny},
		verdict{name: "a pod of a Job", world: whole, change: create(byController(running(annotated(exclude, "8082")))), want: policy.Deny},
		verdict{name: "a pod beside a workload with less of a gap", world: append(whole, app(annotated(exclude, "80"))), change: create(running(annotated(exclude, "8082"))), want: policy.Deny},
		verdict{name: "a pod with a label by which a policy names it, beside a workload without", world: append(whole[:1:1],
			pa(ns+"/mtls", resource.ModeStrict, map[string]string{"app": "named"}), deployment(key, dashboard, labelled(inject, "false"))),
			change: create(running(labelled(inject, "false"), labelled("app", "named"))), want: policy.Deny},
		verdict{name: "a running pod loses the label of its sidecar", world: named, change: update(running(labelled(tlsMode, "istio")), running()), want: policy.Deny, field: "metadata.labels[" + tlsMode + "]"},

		verdict{name: "a bare pod without a sidecar", world: whole, change: create(running(labelled(inject, "false"))), want: policy.Warn},
		verdict{name: "a bare pod where nothing is STRICT", change: create(running(annotated(exclude, "8082"))), want: policy.Warn},
		verdict{name: "a pod where the CNI plugin is told the mesh's settings", world: named, change: create(running(cni)), want: policy.Warn},
		verdict{name: "a running pod loses the label of its sidecar, nothing is STRICT", change: update(running(labelled(tlsMode, "istio")), running(labelled(tlsMode, "disabled"))), want: policy.Warn},

		verdict{name: "a pod of a workload that is there", world: append(named, app(annotated(exclude, "8082"))), change: create(running(annotated(exclude, "8082"), labelled("pod-template-hash", "5d8f"))), want: silent},
		verdict{name: "a pod like one that runs", world: append(named, with(running(annotated(exclude, "8082")), func(o *resource.Workload) { o.Name = "other" })), change: create(running(annotated(exclude, "8082"))), want: silent},
		verdict{name: "a controller's pod without a sidecar", world: whole, change: create(byController(running(labelled(inject, "false")))), want: silent},
		verdict{name: "a pod with an injected sidecar", world: named, change: create(running(proxy, annotated(include, "8082"))), want: silent},
		verdict{name: "a pod with an injected sidecar that answers probes elsewhere", world: named, change: create(running(proxy, annotated("status.sidecar.istio.io/port", "15099"), annotated(exclude, "15099"))), want: silent},
		verdict{name: "a pod that was injected by a revision that is gone", world: revisions(nil, named...), change: create(running(proxy, labelled(rev, "1-30"))), want: silent},
		verdict{name: "what is written to a running pod changes nothing", world: named, change: update(running(proxy), running(proxy, annotated(exclude, "8082"), annotated(interception, "NONE"), labelled(inject, "false"))), want: silent},
		verdict{name: "a running pod never had a sidecar", world: named, change: update(running(labelled(tlsMode, "disabled")), running()), want: silent},
		verdict{name: "a bare pod of a namespace that is not protected", change: create(with(running(annotated(exclude, "8082")), func(o *resource.Workload) { o.Namespace = "team-a" })), want: silent},

		verdict{name: "a port is left out", world: named, change: create(app(annotated(exclude, "8082"))), want: policy.Deny, field: annotations + exclude + "]"},
		verdict{name: "a port among others", world: whole, change: create(app(annotated(exclude, "15020, 8082"))), want: policy.Deny},
		verdict{name: "a port, under the mesh's policy", world: mesh, change: create(app(annotated(exclude, "8082"))), want: policy.Deny},
		verdict{name: "a port that only the port's own policy is STRICT for", world: []resource.Object{ported(ns+"/p", resource.ModeStrict, dashboard)}, change: create(app(annotated(exclude, "8082"))), want: policy.Deny},
		verdict{name: "no port is included", world: named, change: create(app(annotated(include, ""))), want: policy.Deny, field: annotations + include + "]"},
		verdict{name: "a container port is not included", world: named, change: create(app(annotated(include, "80,443"))), want: policy.Deny},
		verdict{name: "nothing is intercepted", world: named, change: create(app(annotated(interception, "NONE"))), want: policy.Deny},
		verdict{name: "the pod's own interface", world: named, change: create(app(annotated(interfaces, "net1,eth0"))), want: policy.Deny},
		verdict{name: "clients send plain text", world: named, change: create(app(labelled(tlsMode, "disabled"))), want: policy.Deny},
		verdict{name: "a StatefulSet", world: named, change: create(with(app(annotated(exclude, "8082")), func(o *resource.Workload) { o.Kind = resource.KindStatefulSet })), want: policy.Deny},
		verdict{name: "no sidecar, by label", world: named, change: create(app(labelled(inject, "false"))), want: policy.Deny},
		verdict{name: "no sidecar, by annotation", world: named, change: create(app(annotated(inject, "false"))), want: policy.Deny, field: annotations + inject + "]"},
		verdict{name: "no sidecar, on the host's network", world: named, change: create(app(hostNetwork)), want: policy.Deny},
		verdict{name: "no sidecar any more", world: whole, change: update(app(), app(labelled(inject, "false"))), want: policy.Deny},
		verdict{name: "no sidecar any more, under the mesh's policy", world: append(mesh, injected), change: update(app(), app(annotated(inject, "false"))), want: policy.Deny},
		verdict{name: "the label that asked for one is gone", world: append(whole, plain), change: update(app(labelled(inject, "true")), app()), want: policy.Deny},
		verdict{name: "a revision that is not there", world: revisions(nil, named...), change: create(app(labelled(rev, "1-30"))), want: policy.Deny, field: "spec.template.metadata.labels[" + rev + "]"},
		verdict{name: "the namespace's revision is not there", world: revisions(map[string]string{rev: "1-30"}, named...), change: create(app()), want: policy.Deny, field: "metadata.namespace"},
		verdict{name: "to a revision that is not there", world: revisions(nil, whole...), change: update(app(labelled(rev, "1-31")), app(labelled(rev, "1-30"))), want: policy.Deny},
		verdict{name: "another port", world: named, change: update(app(annotated(exclude, "9090")), app(annotated(exclude, "9090,8082"))), want: policy.Deny},

		verdict{name: "a new workload with a revision that is not there", world: revisions(nil, whole...), change: create(app(labelled(rev, "1-30"))), want: policy.Warn},
		verdict{name: "nothing is STRICT, a revision with a long name is not there", world: revisions(nil), change: create(app(labelled(rev, "r12345678901234567890123456789012345678901234567890123456789012"))), want: policy.Warn},
		verdict{name: "a new workload without a sidecar", world: whole, change: create(app(labelled(inject, "false"))), want: policy.Warn},
		verdict{name: "a new workload without a sidecar, under the mesh's policy", world: mesh, change: create(app(hostNetwork)), want: policy.Warn},
		verdict{name: "nothing is STRICT", change: create(app(annotated(exclude, "8082"))), want: policy.Warn},
		verdict{name: "nothing is STRICT, no sidecar", change: create(app(labelled(inject, "false"))), want: policy.Warn},
		verdict{name: "nothing is STRICT, no sidecar any more", change: update(app(), app(labelled(inject, "false"))), want: policy.Warn},
		verdict{name: "nothing is STRICT, the label is gone", world: []resource.Object{plain}, change: update(app(labelled(inject, "true")), app()), want: policy.Warn},
		verdict{name: "nothing is STRICT, plain-text clients", change: create(app(labelled(tlsMode, "disabled"))), want: policy.Warn},
		verdict{name: "a policy for others", world: []resource.Object{pa(ns+"/mtls", resource.ModeStrict, map[string]string{"app": "x"})}, change: create(app(annotated(exclude, "8082"))), want: policy.Warn},
		verdict{name: "the port is PERMISSIVE", world: append(whole, ported(ns+"/p", resource.ModePermissive, dashboard)), change: create(app(annotated(exclude, "8082"))), want: policy.Warn},
		verdict{name: "it was there before", world: named, change: update(app(annotated(exclude, "8082")), app(annotated(exclude, "8082"), labelled("version", "2"))), want: policy.Warn},

		verdict{name: "no gap", world: named, change: create(app(labelled(inject, "true"), labelled(tlsMode, "istio"), annotated(include, "*"))), want: silent},
		verdict{name: "a revision that is there", world: revisions(nil, named...), change: create(app(labelled(rev, "1-31"))), want: silent},
		verdict{name: "a revision, and no webhook is known", world: append(named[:1:1], plain), change: create(app(labelled(rev, "1-30"))), want: silent},
		verdict{name: "the pod's revision does not count where the namespace has one", world: revisions(map[string]string{rev: "1-31"}, named...), change: create(app(labelled(rev, "1-30"))), want: silent},
		verdict{name: "the namespace is not known", world: append(named[:1:1], injectors("1-31")), change: create(app(labelled(rev, "1-30"))), want: silent},
		verdict{name: "a revision comes", world: revisions(nil, named...), change: update(app(labelled(rev, "1-30")), app(labelled(rev, "1-31"))), want: silent},
		verdict{name: "ports of the proxy", world: named, change: create(app(annotated(exclude, "15020,15090"))), want: silent},
		verdict{name: "all container ports are included", world: named, change: create(app(annotated(include, "8082"))), want: silent},
		verdict{name: "exclusions beside inclusions do not count", world: named, change: create(app(annotated(include, "8082"), annotated(exclude, "8082"))), want: silent},
		verdict{name: "another network's interface", world: named, change: create(app(annotated(interfaces, "net1"))), want: silent},
		verdict{name: "TPROXY", world: named, change: create(app(annotated(interception, "TPROXY"))), want: silent},
		verdict{name: "the label overrides the annotation", world: named, change: create(app(annotated(inject, "false"), labelled(inject, "true"))), want: silent},
		verdict{name: "a namespace that is not injected", world: append(named[:1:1], plain), change: create(app(annotated(exclude, "8082"))), want: silent},
		verdict{name: "a namespace that is not protected", change: create(deployment("team-a/app", dashboard, annotated(exclude, "8082"))), want: silent},
		verdict{name: "it never had a sidecar", world: whole, change: update(app(labelled(inject, "false")), app(labelled(inject, "false"), labelled("version", "2"))), want: silent},
		verdict{name: "it gets a sidecar", world: named, change: update(app(labelled(inject, "false")), app()), want: silent},
		verdict{name: "the gateway", world: []resource.Object{pa("deploykf-istio-gateway/x", resource.ModeStrict, nil)}, change: create(deployment("deploykf-istio-gateway/deploykf-gateway", podLabels, annotated(exclude, "443"))), want: silent},
		verdict{name: "another gateway", world: []resource.Object{pa("kubeflow/x", resource.ModeStrict, nil)}, change: create(deployment("kubeflow/edge", dashboard, annotated("inject.istio.io/templates", "gateway"), hostNetwork, func(t *resource.PodTemplate) {
			t.Containers = []resource.Container{{Name: "istio-proxy", Image: "auto"}}
		})), want: silent},
		verdict{name: "a waypoint", world: []resource.Object{pa("kubeflow/x", resource.ModeStrict, nil)}, change: create(deployment("kubeflow/waypoint", map[string]string{"gateway.networking.k8s.io/gateway-name": "waypoint", inject: "false"}, func(t *resource.PodTemplate) {
			t.Containers = []resource.Container{{Name: "istio-proxy", Image: "istio/proxyv2:1.30.0"}}
		})), want: silent},
		verdict{name: "an application that asks for the gateway's template", world: named, change: create(app(annotated("inject.istio.io/templates", "gateway"))), want: policy.Deny},
	)
}
