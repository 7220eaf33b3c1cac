package rules

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/test/worlds"
)

// Each world is told by what its change does to mutual TLS, whatever rule should know: those that
// take it away are denied by one of them, and the others by none.
func TestWorldsOfMutualTLS(t *testing.T) {
	const (
		ns   = "kubeflow"
		app  = ns + "/app"
		none = resource.ModeUnset
		open = resource.ModePermissive
		hard = resource.ModeStrict

		namespaceController = "system:serviceaccount:kube-system:namespace-controller"
		garbageCollector    = "system:serviceaccount:kube-system:generic-garbage-collector"
		nativeSidecar       = "sidecar.istio.io/nativeSidecar"
		dataplane           = "istio.io/dataplane-mode"
		bypass              = "ambient.istio.io/bypass-inbound-capture"
	)
	list := func(o ...resource.Object) []resource.Object { return o }
	whole, mine := func(name string, mode resource.MTLSMode, second int64) *resource.PeerAuthentication {
		return created(pa(ns+"/"+name, mode, nil), second)
	}, func(name string, mode resource.MTLSMode, second int64) *resource.PeerAuthentication {
		return created(pa(ns+"/"+name, mode, dashboard), second)
	}
	mesh := func(mode resource.MTLSMode) *resource.PeerAuthentication {
		return pa("istio-system/default", mode, nil)
	}
	port := func(o *resource.PeerAuthentication, mode resource.MTLSMode) *resource.PeerAuthentication {
		return with(o, func(o *resource.PeerAuthentication) { o.Ports = map[uint32]resource.MTLSMode{8082: mode} })
	}
	injected := namespace(ns, map[string]string{"istio-injection": "enabled"})
	ambient := namespace(ns, map[string]string{dataplane: "ambient"})
	workload := func(edit ...func(*resource.PodTemplate)) *resource.Workload {
		return deployment(app, dashboard, append([]func(*resource.PodTemplate){listening(8082)}, edit...)...)
	}
	running := func(edit ...func(*resource.PodTemplate)) *resource.Workload {
		return with(workload(append([]func(*resource.PodTemplate){labelled(tlsMode, "istio"), annotated("sidecar.istio.io/status", "{}")}, edit...)...),
			func(o *resource.Workload) { o.Kind = resource.KindPod })
	}
	// meshed is a pod that the proxy of its node enforces for.
	meshed := func(edit ...func(*resource.PodTemplate)) *resource.Workload {
		return with(workload(edit...), func(o *resource.Workload) { o.Kind = resource.KindPod })
	}
	relabelled := func(name, value string) func(*resource.PodTemplate) {
		return func(p *resource.PodTemplate) {
			delete(p.Labels, name)
			labelled(name, value)(p)
		}
	}
	by := func(user string, c policy.Change) policy.Change {
		c.Requester.Name = user
		return c
	}
	service := service(app, dashboard, 80)
	rule := func(mode string, edit ...func(*resource.DestinationRule)) *resource.DestinationRule {
		o := dr(ns+"/app", "app.kubeflow.svc.cluster.local", mode)
		for _, e := range edit {
			e(o)
		}
		return o
	}
	subset := func(mode string) func(*resource.DestinationRule) {
		return func(o *resource.DestinationRule) {
			o.Subsets = append(o.Subsets, resource.Subset{Name: "v1", Policy: resource.TrafficPolicy{TLS: mode}})
		}
	}
	onPort := func(number uint32, mode string) func(*resource.DestinationRule) {
		return func(o *resource.DestinationRule) {
			o.Policy.Ports = append(o.Policy.Ports, resource.PortPolicy{Port: number, TLS: mode})
		}
	}
	base := list(injected, workload())
	under := func(policies ...resource.Object) []resource.Object { return append(base[:2:2], policies...) }
	const harmful, harmless = true, false
	for _, c := range []struct {
		name   string
		want   bool
		world  []resource.Object
		change policy.Change
	}{
		// The oldest of a scope counts, and nothing is merged.
		{"the oldest goes and leaves a younger, weaker one", harmful, under(whole("a", hard, 1), whole("b", open, 2)), remove(whole("a", hard, 1))},
		{"the oldest goes and leaves a younger one like it", harmless, under(whole("a", hard, 1), whole("b", hard, 2)), remove(whole("a", hard, 1))},
		{"a younger, weaker one goes", harmless, under(whole("a", hard, 1), whole("b", open, 2)), remove(whole("b", open, 2))},
		{"a younger one goes, which the oldest hid", harmless, under(whole("a", open, 1), whole("b", hard, 2)), remove(whole("b", hard, 2))},
		{"of two of one second, the first by name goes", harmful, under(whole("a", hard, 1), whole("b", open, 1)), remove(whole("a", hard, 1))},
		{"of two of one second, the second by name goes", harmless, under(whole("a", hard, 1), whole("b", none, 1)), remove(whole("b", none, 1))},
		{"the oldest says nothing any more and hides the younger one", harmful, under(whole("a", hard, 1), whole("b", hard, 2)), update(whole("a", hard, 1), whole("a", none, 1))},
		{"the same, and the mesh says STRICT", harmless, under(whole("a", hard, 1), whole("b", hard, 2), mesh(hard)), update(whole("a", hard, 1), whole("a", none, 1))},
		{"a new one that says nothing, and could be the oldest one day", harmful, under(whole("b", hard, 2)), create(pa(ns+"/a", none, nil))},
		{"what hid a younger one goes", harmless, under(whole("a", none, 1), whole("b", hard, 2)), remove(whole("a", none, 1))},
		{"one with a selector gets a scope in which an older one hides it", harmful, under(whole("a", none, 1), mine("b", hard, 2)), update(mine("b", hard, 2), whole("b", hard, 2))},
		{"one with a selector comes to count for everything", harmless, under(mine("b", hard, 2)), update(mine("b", hard, 2), whole("b", hard, 2))},
		{"an older one with a selector goes, a younger one is weaker", harmful, under(mine("a", hard, 1), mine("b", open, 2)), remove(mine("a", hard, 1))},
		{"a narrower scope says nothing", harmless, under(whole("a", hard, 1)), create(pa(ns+"/b", none, dashboard))},
		{"a narrower scope that kept it goes", harmful, under(mine("a", hard, 1)), remove(mine("a", hard, 1))},
		{"the mesh's goes", harmful, under(mesh(hard)), remove(mesh(hard))},
		{"the mesh's says nothing any more", harmful, under(mesh(hard)), update(mesh(hard), mesh(none))},
		{"a policy with a selector in the root namespace goes, which never counted", harmless, under(pa("istio-system/x", hard, dashboard)), remove(pa("istio-system/x", hard, dashboard))},
		{"a policy with a selector in the root namespace", harmless, under(whole("a", hard, 1)), create(pa("istio-system/x", resource.ModeDisable, dashboard))},

		// Ports are those of the container, and count with a selector only.
		{"a port is opened", harmful, under(whole("a", hard, 1)), create(port(pa(ns+"/b", none, dashboard), open))},
		{"a port is opened without a selector", harmless, under(whole("a", hard, 1)), update(whole("a", hard, 1), port(whole("a", hard, 1), open))},
		{"a port inherits", harmless, under(mine("a", hard, 1)), update(mine("a", hard, 1), port(mine("a", hard, 1), none))},
		{"a STRICT port is dropped", harmful, under(port(mine("a", none, 1), hard)), update(port(mine("a", none, 1), hard), mine("a", none, 1))},
		{"a STRICT port is dropped, and the rest is STRICT", harmless, under(port(mine("a", hard, 1), hard)), update(port(mine("a", hard, 1), hard), mine("a", hard, 1))},
		{"a port that is STRICT is left out of the sidecar", harmful, under(port(mine("a", none, 1), hard)), update(workload(), workload(annotated(exclude, "8082")))},
		{"the port of the Service is left out, and not the container's", harmless, under(port(mine("a", none, 1), hard)), update(workload(), workload(annotated(exclude, "80")))},

		// Selectors and labels.
		{"a selector leaves its workload", harmful, under(mine("a", hard, 1)), update(mine("a", hard, 1), created(pa(ns+"/a", hard, map[string]string{"app": "x"}), 1))},
		{"a selector leaves its workload to the namespace", harmless, under(mine("a", hard, 1), whole("b", hard, 2)), update(mine("a", hard, 1), created(pa(ns+"/a", hard, map[string]string{"app": "x"}), 1))},
		{"a workload leaves its selector", harmful, under(mine("a", hard, 1)), update(workload(), deployment(app, map[string]string{"app": "x"}))},
		{"a running pod leaves its selector", harmful, under(mine("a", hard, 1)), update(running(), running(relabelled("app.kubernetes.io/name", "x")))},
		{"a running pod comes to an older, weaker one", harmful, under(created(pa(ns+"/o", open, map[string]string{"debug": "on"}), 0), mine("a", hard, 1)), update(running(), running(labelled("debug", "on")))},
		{"a running pod comes to a younger, weaker one", harmless, under(created(pa(ns+"/o", open, map[string]string{"debug": "on"}), 2), mine("a", hard, 1)), update(running(), running(labelled("debug", "on")))},
		{"a running pod gets a label that nobody asks for", harmless, under(mine("a", hard, 1)), update(running(), running(labelled("seen", "on")))},

		// Who deletes.
		{"the namespace controller deletes", harmless, under(whole("a", hard, 1)), by(namespaceController, remove(whole("a", hard, 1)))},
		{"the garbage collector deletes", harmless, under(whole("a", hard, 1)), by(garbageCollector, remove(whole("a", hard, 1)))},
		{"another controller deletes", harmful, under(whole("a", hard, 1)), by("system:serviceaccount:kube-system:job-controller", remove(whole("a", hard, 1)))},
		{"somebody deletes in a namespace that goes", harmless, list(with(injected, func(o *resource.Namespace) { o.Terminating = true }), workload(), whole("a", hard, 1)), remove(whole("a", hard, 1))},

		// What clients do.
		{"plain text", harmful, under(service), create(rule("DISABLE"))},
		{"a TLS of their own", harmful, under(service), create(rule("SIMPLE"))},
		{"mutual TLS of the mesh", harmless, under(service), create(rule("ISTIO_MUTUAL"))},
		{"nothing is said", harmless, under(service), create(rule(""))},
		{"plain text for a subset", harmful, under(service), create(rule("ISTIO_MUTUAL", subset("DISABLE")))},
		{"plain text for a port", harmful, under(service), create(rule("ISTIO_MUTUAL", onPort(80, "DISABLE")))},
		{"plain text for a port that the Service does not have", harmless, under(service), create(rule("ISTIO_MUTUAL", onPort(81, "DISABLE")))},
		{"plain text, but for no port that the Service has", harmless, under(service), create(rule("DISABLE", onPort(80, "ISTIO_MUTUAL")))},

		// What meets the sidecar.
		{"nothing, by annotation", harmful, under(whole("a", hard, 1)), create(workload(annotated(interception, "NONE")))},
		{"nothing, by the proxy's configuration", harmful, under(whole("a", hard, 1)), create(workload(annotated("proxy.istio.io/config", "interceptionMode: NONE")))},
		{"everything, the annotation goes before the configuration", harmless, under(whole("a", hard, 1)), create(workload(annotated("proxy.istio.io/config", "interceptionMode: NONE"), annotated(interception, "REDIRECT")))},
		{"no port", harmful, under(whole("a", hard, 1)), create(workload(annotated(include, "")))},
		{"every port", harmless, under(whole("a", hard, 1)), create(workload(annotated(include, "*")))},
		{"every port but one, which is named among all", harmful, under(whole("a", hard, 1)), create(workload(annotated(include, "*"), annotated(exclude, "8082")))},
		{"the one port that there is, whatever is excluded", harmless, under(whole("a", hard, 1)), create(workload(annotated(include, "8082"), annotated(exclude, "8082")))},
		{"nothing on the pod's own interface", harmful, under(whole("a", hard, 1)), create(workload(annotated(interfaces, "eth0")))},
		{"nothing on the loopback interface", harmless, under(whole("a", hard, 1)), create(workload(annotated(interfaces, "lo")))},
		{"annotations of a running pod", harmless, under(whole("a", hard, 1)), update(running(), running(annotated(exclude, "8082"), annotated(include, ""), annotated(interception, "NONE")))},
		{"the label of the sidecar on a running pod", harmful, under(whole("a", hard, 1)), update(running(), running(relabelled(tlsMode, "disabled")))},
		{"outbound ports", harmless, under(whole("a", hard, 1)), create(workload(annotated("traffic.sidecar.istio.io/excludeOutboundPorts", "443")))},
		{"the user of the proxy, whose inbound traffic is captured like any", harmless, under(whole("a", hard, 1)), create(workload(func(p *resource.PodTemplate) { user := int64(1337); p.RunAsUser = &user }))},
		{"a native sidecar", harmless, under(whole("a", hard, 1)), create(workload(annotated(nativeSidecar, "true")))},
		{"the host's network, where a policy names the pods", harmful, under(mine("a", hard, 1)), create(workload(hostNetwork))},
		{"the host's network, where none does", harmless, under(whole("a", hard, 1)), create(workload(hostNetwork))},
		{"off the mesh, where there was a sidecar", harmful, under(whole("a", hard, 1)), update(workload(), workload(labelled(inject, "false")))},
		{"the namespace is disabled", harmful, under(whole("a", hard, 1)), update(injected, namespace(ns, map[string]string{"istio-injection": "disabled"}))},
		{"the namespace is disabled, and nothing is STRICT", harmless, base, update(injected, namespace(ns, map[string]string{"istio-injection": "disabled"}))},

		// Ambient mode.
		{"a workload comes to ambient mode", harmless, list(ambient, whole("a", hard, 1)), create(workload())},
		{"a workload opts out, which a policy names", harmful, list(ambient, mine("a", hard, 1)), create(workload(labelled(dataplane, "none")))},
		{"a workload opts out, which no policy names", harmless, list(ambient, whole("a", hard, 1)), create(workload(labelled(dataplane, "none")))},
		{"a workload leaves", harmful, list(ambient, workload(), whole("a", hard, 1)), update(workload(), workload(labelled(dataplane, "none")))},
		{"a workload lets its node's proxy pass it by", harmful, list(ambient, workload(), whole("a", hard, 1)), update(workload(), workload(annotated(bypass, "true")))},
		{"what is for sidecars", harmless, list(ambient, workload(), whole("a", hard, 1)), update(workload(), workload(annotated(exclude, "8082"), labelled(inject, "false")))},
		{"a running pod leaves", harmful, list(ambient, whole("a", hard, 1)), update(meshed(), meshed(labelled(dataplane, "none")))},
		{"a running pod with a sidecar says so", harmless, under(whole("a", hard, 1)), update(running(), running(labelled(dataplane, "none")))},
		{"the namespace leaves", harmful, list(ambient, workload(), whole("a", hard, 1)), update(ambient, namespace(ns, nil))},
		{"the namespace leaves, and nothing is STRICT", harmless, list(ambient, workload()), update(ambient, namespace(ns, nil))},
		{"the namespace leaves for sidecars", harmless, list(ambient, workload(), whole("a", hard, 1)), update(ambient, injected)},
		{"a workload of a namespace without either comes by itself", harmless, list(namespace(ns, nil), whole("a", hard, 1)), create(workload(labelled(dataplane, "ambient")))},
		{"and goes again", harmful, list(namespace(ns, nil), whole("a", hard, 1)), update(workload(labelled(dataplane, "ambient")), workload())},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := policy.NewEngine(deploykf.Default(), All()).Decide(worlds.Snapshot(worlds.Base(), c.world), c.change)
			assert.Equal(t, c.want, d.Denied(), "%v", d.Findings)
		})
	}
}
