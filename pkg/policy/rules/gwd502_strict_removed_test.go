package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestStrictRemoved(t *testing.T) {
	const ns = "deploykf-dashboard"
	strict := pa(ns+"/mtls", resource.ModeStrict, dashboard)
	whole := pa(ns+"/default", resource.ModeStrict, nil)
	running := pod(ns+"/dashboard-1", dashboard)
	by := func(user string, c policy.Change) policy.Change {
		c.Requester.Name = user
		return c
	}
	check(t, "GWD502",
		verdict{name: "a weak policy of the namespace gets the selector of a STRICT one", world: []resource.Object{
			pod("kubeflow/p", dashboard), pa("kubeflow/a", resource.ModeStrict, dashboard), pa("kubeflow/x", resource.ModePermissive, nil),
		}, change: update(pa("kubeflow/x", resource.ModePermissive, nil), pa("kubeflow/x", resource.ModePermissive, dashboard)), want: policy.Deny},
		verdict{name: "deleted", world: []resource.Object{running, strict}, change: remove(strict), want: policy.Deny, field: "metadata.name"},
		verdict{name: "deleted, no workload known", world: []resource.Object{strict}, change: remove(strict), want: policy.Deny},
		verdict{name: "a namespace's is deleted", world: []resource.Object{whole}, change: remove(whole), want: policy.Deny},
		verdict{name: "the mesh's is deleted", world: []resource.Object{running, pa("istio-system/default", resource.ModeStrict, nil)}, change: remove(pa("istio-system/default", resource.ModeStrict, nil)), want: policy.Deny},
		verdict{name: "selects something else", world: []resource.Object{running, strict}, change: update(strict, pa(ns+"/mtls", resource.ModeStrict, map[string]string{"app": "x"})), want: policy.Deny, field: "spec"},
		verdict{name: "says nothing any more", world: []resource.Object{running, strict}, change: update(strict, pa(ns+"/mtls", resource.ModeUnset, dashboard)), want: policy.Deny},
		verdict{name: "hides a strict one when it is older", world: []resource.Object{running, created(pa(ns+"/mtls", resource.ModeStrict, dashboard), 5)}, change: create(pa(ns+"/x", resource.ModeUnset, dashboard)), want: policy.Deny},
		verdict{name: "a strict port is dropped", world: []resource.Object{running, ported(ns+"/p", resource.ModeStrict, dashboard)}, change: update(ported(ns+"/p", resource.ModeStrict, dashboard), pa(ns+"/p", resource.ModeUnset, dashboard)), want: policy.Deny},
		verdict{name: "behind an open port that was there before", world: []resource.Object{running, with(strict, func(p *resource.PeerAuthentication) {
			p.Ports = map[uint32]resource.MTLSMode{9: resource.ModePermissive}
		})}, change: update(
			with(strict, func(p *resource.PeerAuthentication) {
				p.Ports = map[uint32]resource.MTLSMode{9: resource.ModePermissive}
			}),
			with(pa(ns+"/mtls", resource.ModeUnset, dashboard), func(p *resource.PeerAuthentication) {
				p.Ports = map[uint32]resource.MTLSMode{9: resource.ModePermissive}
			})), want: policy.Deny},
		verdict{name: "the mesh's becomes one that is ignored", world: []resource.Object{running, pa("istio-system/default", resource.ModeStrict, nil)}, change: update(pa("istio-system/default", resource.ModeStrict, nil), pa("istio-system/default", resource.ModePermissive, dashboard)), want: policy.Deny},
		verdict{name: "hides a strict one for some of its workloads, no workload known", world: []resource.Object{created(pa(ns+"/mtls", resource.ModeStrict, dashboard), 5)}, change: create(pa(ns+"/x", resource.ModeUnset, map[string]string{"tier": "web"})), want: policy.Deny},

		verdict{name: "another policy keeps it strict", world: []resource.Object{running, strict, whole}, change: remove(strict), want: silent},
		verdict{name: "inherits strict", world: []resource.Object{running, whole}, change: create(pa(ns+"/x", resource.ModeUnset, dashboard)), want: silent},
		verdict{name: "selects no workload that is known", world: []resource.Object{running, pa(ns+"/other", resource.ModeStrict, map[string]string{"app": "x"})}, change: remove(pa(ns+"/other", resource.ModeStrict, map[string]string{"app": "x"})), want: silent},
		verdict{name: "in another namespace", world: []resource.Object{pa("team-a/mtls", resource.ModeStrict, nil)}, change: remove(pa("team-a/mtls", resource.ModeStrict, nil)), want: silent},
		verdict{name: "by the namespace controller", world: []resource.Object{running, strict}, change: by("system:serviceaccount:kube-system:namespace-controller", remove(strict)), want: silent},
		verdict{name: "by the garbage collector", world: []resource.Object{running, strict}, change: by("system:serviceaccount:kube-system:generic-garbage-collector", remove(strict)), want: silent},
		verdict{name: "in a namespace that goes", world: []resource.Object{running, strict, with(namespace(ns, nil), func(n *resource.Namespace) { n.Terminating = true })}, change: remove(strict), want: silent},
		verdict{name: "of gateway pods", world: []resource.Object{pa("deploykf-istio-gateway/s", resource.ModeStrict, podLabels)}, change: remove(pa("deploykf-istio-gateway/s", resource.ModeStrict, podLabels)), want: silent},
		verdict{name: "the same again", world: []resource.Object{running, strict}, change: update(strict, strict), want: silent},
		verdict{name: "permissive-mtls says it", world: []resource.Object{running, strict}, change: update(strict, pa(ns+"/mtls", resource.ModePermissive, dashboard)), want: silent},
	)
}
