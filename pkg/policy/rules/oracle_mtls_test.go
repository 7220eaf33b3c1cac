package rules

import (
	"pgregory.net/rapid"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

// drawProtected draws what goes around mutual TLS, in few namespaces and with few names, so
// that DestinationRules, Services, workloads, policies and namespaces meet.
func drawProtected(t *rapid.T) resource.Object {
	const protected = "deploykf-dashboard"
	ns := rapid.SampledFrom([]string{protected, protected, "istio-system", "deploykf-istio-gateway", "team-a", "team-1"}).Draw(t, "namespace")
	key := ns + "/" + rapid.SampledFrom([]string{"x", "y"}).Draw(t, "name")
	some := rapid.SampledFrom([]map[string]string{nil, {}, dashboard, {"app": "x"}, podLabels})
	modes := rapid.SampledFrom([]string{"", "DISABLE", "SIMPLE", "ISTIO_MUTUAL"})
	switch rapid.IntRange(0, 6).Draw(t, "protected kind") {
	case 0, 1:
		host := rapid.SampledFrom([]string{"x", "x." + protected + ".svc.cluster.local", "*." + protected + ".svc.cluster.local", "*.local", "*", h}).Draw(t, "host")
		d := dr(key, host, modes.Draw(t, "mode"), rapid.SampledFrom([][]string{nil, nil, {"."}, {"team-a"}, {"*"}}).Draw(t, "exportTo")...)
		d.WorkloadSelector = some.Draw(t, "selector")
		if rapid.Bool().Draw(t, "port") {
			d.Policy.Ports = []resource.PortPolicy{{Port: 80, TLS: modes.Draw(t, "port mode")}}
		}
		return d
	case 2:
		return service(key, some.Draw(t, "selector"), 80)
	case 3:
		return namespace(ns, rapid.SampledFrom([]map[string]string{
			nil, {"istio-injection": "enabled"}, {"istio-injection": "disabled"}, {"istio.io/rev": "1"}, {"istio.io/dataplane-mode": "ambient"},
			{"app.kubernetes.io/part-of": "kubeflow-profile", "istio-injection": "enabled"},
		}).Draw(t, "namespace labels"))
	case 6:
		return injectors(rapid.SampledFrom([]string{"1", "2"}).Draw(t, "revision"))
	case 4:
		return sidecar(key, some.Draw(t, "selector"), modes.Draw(t, "mode"))
	default:
		return with(deployment(key, some.Draw(t, "labels"), listening(8082)), func(o *resource.Workload) {
			o.Kind = rapid.SampledFrom(injectedKinds).Draw(t, "workload kind")
			rapid.SampledFrom([]func(*resource.PodTemplate){
				func(*resource.PodTemplate) {}, hostNetwork, annotated(exclude, "8082"), annotated(exclude, "80"), annotated(include, ""),
				annotated(inject, "false"), labelled(inject, "true"), labelled(rev, "1"), labelled("istio.io/dataplane-mode", "none"), labelled(tlsMode, "disabled"), annotated(interception, "NONE"),
			}).Draw(t, "edit")(&o.Pod)
		})
	}
}
