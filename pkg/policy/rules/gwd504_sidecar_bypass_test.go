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
	check(t, "GWD504",
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
