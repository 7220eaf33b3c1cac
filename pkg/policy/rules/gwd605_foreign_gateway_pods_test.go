package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestForeignGatewayPods(t *testing.T) {
	const ns = "deploykf-istio-gateway"
	list := func(o ...resource.Object) []resource.Object { return o }
	workload := func(key string, labels map[string]string, container, account string) *resource.Workload {
		return &resource.Workload{Meta: meta(key), Kind: resource.KindDeployment, Pod: resource.PodTemplate{
			Labels: labels, ServiceAccount: account, Containers: []resource.Container{{Name: container, Image: "x"}},
		}}
	}
	kind := func(k resource.Kind, o *resource.Workload) *resource.Workload {
		return with(o, func(o *resource.Workload) { o.Kind = k })
	}
	app := workload(ns+"/app", podLabels, "app", "")
	proxies := workload(ns+"/canary", podLabels, "istio-proxy", "")
	account := workload(ns+"/canary", podLabels, "istio-proxy", "other")
	first := []resource.Object{gw(guarded, "443 HTTPS "+h), svc(ns+"/front", 443, 443)}
	bare := func(o *resource.Workload, more ...string) *resource.Workload {
		return with(o, func(o *resource.Workload) {
			o.Kind, o.Name = resource.KindPod, o.Name+"-x7k2p"
			for _, label := range more {
				labelled(label, "x")(&o.Pod)
			}
		})
	}
	theirs := workload(ns+"/deploykf-gateway", podLabels, "istio-proxy", "gateway")
	elsewhere := workload("team-a/gateway", podLabels, "istio-proxy", "")
	check(t, "GWD605",
		verdict{name: "a bare pod", change: create(bare(app)), want: policy.Deny, field: "metadata.labels"},
		verdict{name: "a pod comes to carry the labels", change: update(bare(workload(ns+"/app", dashboard, "app", "")), bare(app)), want: policy.Deny},
		verdict{name: "a pod with the labels of a workload beside the gateway, and the gateway's", world: list(workload(ns+"/app", dashboard, "app", "")),
			change: create(bare(with(app, func(o *resource.Workload) {
				labelled("app.kubernetes.io/name", dashboard["app.kubernetes.io/name"])(&o.Pod)
			}))), want: policy.Deny},
		verdict{name: "a pod with the proxies' account missing", world: list(theirs), change: create(bare(workload(ns+"/canary", podLabels, "istio-proxy", "other"))), want: policy.Warn, field: "spec.serviceAccountName"},
		verdict{name: "a bare pod in another namespace", change: create(bare(elsewhere)), want: policy.Warn, field: "metadata.labels"},

		verdict{name: "a pod of the gateway", world: list(theirs), change: create(bare(theirs, "pod-template-hash")), want: silent},
		verdict{name: "a pod of the first gateway workload", bare: true, world: append(first, proxies), change: create(bare(proxies)), want: silent},
		verdict{name: "a pod of a workload that was there", world: list(app), change: create(bare(app, "pod-template-hash")), want: silent},
		verdict{name: "a pod of proxies in another namespace", world: list(elsewhere), change: create(bare(elsewhere)), want: silent},
		verdict{name: "a pod with other labels", change: create(bare(workload(ns+"/app", dashboard, "app", ""))), want: silent},
		verdict{name: "an application's pod in another namespace", change: create(bare(workload("team-a/app", podLabels, "app", ""))), want: silent},

		verdict{name: "an application", change: create(app), want: policy.Deny, field: templateLabels},
		verdict{name: "an application, as a StatefulSet", change: create(kind(resource.KindStatefulSet, app)), want: policy.Deny},
		verdict{name: "with more labels", change: create(workload(ns+"/app", map[string]string{"app": "deploykf-gateway", "istio": "deploykf-gateway", "x": "y"}, "app", "")), want: policy.Deny},
		verdict{name: "comes to carry the labels", world: list(workload(ns+"/app", dashboard, "app", "")), change: update(workload(ns+"/app", dashboard, "app", ""), app), want: policy.Deny},
		verdict{name: "with the Service's labels only", world: list(with(svc(ns+"/deploykf-gateway", 443, 443), func(s *resource.Service) { s.Selector = map[string]string{"app": "deploykf-gateway"} })),
			change: create(workload(ns+"/app", map[string]string{"app": "deploykf-gateway"}, "istio-proxy", "")), want: policy.Deny},
		verdict{name: "proxies under another account", change: create(account), want: policy.Warn, field: "spec.template.spec.serviceAccountName"},
		verdict{name: "more proxies", change: create(proxies), want: policy.Warn},
		verdict{name: "proxies in another namespace", change: create(workload("team-a/gateway", podLabels, "istio-proxy", "")), want: policy.Warn, field: templateLabels},
		verdict{name: "an application that was there", world: list(app), change: update(app, app), want: policy.Warn},

		verdict{name: "the owner's", change: create(workload(ns+"/deploykf-gateway", podLabels, "istio-proxy", "new")), want: silent},
		verdict{name: "the owner's DaemonSet", change: create(kind(resource.KindDaemonSet, workload(ns+"/deploykf-gateway", podLabels, "istio-proxy", "new"))), want: silent},
		verdict{name: "the first gateway workload", bare: true, world: first, change: create(proxies), want: silent},
		verdict{name: "the first gateway workload, changed", bare: true, world: append(first, proxies), change: update(proxies, account), want: silent},
		verdict{name: "the first gateway workload, after an application", bare: true, world: append(first, app), change: create(account), want: silent},
		verdict{name: "other labels", change: create(workload(ns+"/app", dashboard, "app", "")), want: silent},
		verdict{name: "some of the labels", change: create(workload(ns+"/app", map[string]string{"app": "deploykf-gateway"}, "app", "")), want: silent},
		verdict{name: "an application in another namespace", change: create(workload("team-a/app", podLabels, "app", "")), want: silent},
		verdict{name: "proxies in another namespace, where Gateways are scoped", config: scoped, change: create(workload("team-a/gateway", podLabels, "istio-proxy", "")), want: silent},
		verdict{name: "proxies in another namespace with other labels", change: create(workload("team-a/gateway", map[string]string{"istio": "other"}, "istio-proxy", "")), want: silent},
	)
}
