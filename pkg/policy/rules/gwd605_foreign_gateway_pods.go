package rules

import (
	"cmp"
	_ "embed"
	"fmt"
	"slices"

	"github.com/gatewarden/gatewarden/pkg/gatewaypod"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd605_foreign_gateway_pods.md
var foreignGatewayPodsPage string

const templateLabels = "spec.template.metadata.labels"

// foreignGatewayPods finds workloads whose pods come among those of a guarded gateway: a
// Service selects by labels alone, and so does Istio when it hands out a Gateway (the caller
// of mergeGateways in istio.io/istio pilot/pkg/model/push_context.go).
//
// The first gateway workload of a namespace is the gateway, whoever made it. Another one is
// as good as the first if its proxies are treated alike, which besides the labels takes the
// same ServiceAccount: backends may admit the gateway by it, and the secrets that istiod hands
// out are those that it may read (Authorize in istio.io/istio
// pilot/pkg/credentials/kube/secrets.go). Neither is seen here, so it warns.
func foreignGatewayPods() *policy.Rule {
	return &policy.Rule{
		ID: "GWD605", Name: "foreign-gateway-pods", Page: foreignGatewayPodsPage, Effect: policy.Deny,
		Summary: "A workload carries the labels of a guarded gateway's pods, and gets its requests or its configuration.",
		Kinds:   injectedKinds, Operations: createUpdate, Reads: gatewayReads,
		Object: func(w *policy.World, o resource.Object, report func(policy.Fault)) {
			wl, ok := o.(*resource.Workload)
			if !ok {
				return
			}
			for _, g := range w.Guards {
				if wl.Kind == resource.KindPod && isPodOf(w, g, wl) {
					continue
				}
				judge := func(o *resource.Workload, report func(policy.Fault)) { judgeForeignPods(w, g, o, report) }
				judge(wl, func(f policy.Fault) {
					if wl.Kind != resource.KindPod || !inherited(w, wl, f, judge) {
						report(f)
					}
				})
			}
		},
	}
}

func judgeForeignPods(w *policy.World, g *policy.Guard, wl *resource.Workload, report func(policy.Fault)) {
	switch {
	case g.IsOwners(wl.Key()):
	case wl.Namespace == g.Namespace:
		reportSharedRequests(w, g, wl, report)
	case isProxyOf(g, wl):
		report(policy.Fault{
			Effect: policy.Warn, Field: podField(wl, templateLabels),
			Message: fmt.Sprintf("these proxies serve the hosts of %s too, but outside of namespace %s without its certificates, filters and policies. "+
				"Use other labels for them.", g.Name, g.Namespace),
			Subject: "elsewhere|" + g.Name,
		})
	}
}

// reportSharedRequests reports a workload to which a Service sends requests that are meant
// for the gateway workloads beside it.
func reportSharedRequests(w *policy.World, g *policy.Guard, wl *resource.Workload, report func(policy.Fault)) {
	others := gatewayWorkloads(w, g, wl.Key())
	var other *resource.Workload
	var through *resource.Service
	w.Snapshot.Each(resource.KindService, g.Namespace, func(o resource.Object) bool {
		s := o.(*resource.Service)
		if len(s.Selector) == 0 || !resource.Selects(s.Selector, wl.Pod.Labels) {
			return true
		}
		if i := slices.IndexFunc(others, func(k *resource.Workload) bool { return resource.Selects(s.Selector, k.Pod.Labels) }); i >= 0 {
			other, through = others[i], s
		}
		return through == nil
	})
	if through == nil {
		return
	}
	f := policy.Fault{
		Effect: policy.Deny, Field: podField(wl, templateLabels),
		Related: []resource.Key{through.Key(), other.Key()},
	}
	same := func(k *resource.Workload) bool { return account(k) == account(wl) }
	switch {
	case !isProxyOf(g, wl):
		f.Subject = "no proxy|" + g.Name
		f.Message = fmt.Sprintf("%s sends these pods a share of the requests for %s, with whatever its users log in with, beside the proxies of %s; "+
			"they are no proxies that serve its Gateways. Use other labels.", name(through.Key()), g.Name, name(other.Key()))
	case !slices.ContainsFunc(others, same):
		f.Effect = policy.Warn
		f.Subject = "other account|" + g.Name
		f.Field = podField(wl, "spec.template.spec.serviceAccountName")
		f.Message = fmt.Sprintf("these proxies get a share of the requests for %s, but backends and certificates that admit ServiceAccount %q may refuse them. "+
			"Use it, or other labels.", g.Name, account(other))
	default:
		f.Effect = policy.Warn
		f.Subject = "more proxies|" + g.Name
		f.Message = fmt.Sprintf("these proxies get a share of the requests for %s, beside %s. If that is not meant, use other labels.",
			g.Name, name(other.Key()))
	}
	report(f)
}

// isPodOf reports whether a pod is like those of a gateway workload that is there, and so most
// likely one of them.
func isPodOf(w *policy.World, g *policy.Guard, pod *resource.Workload) bool {
	return pod.Namespace == g.Namespace && isProxyOf(g, pod) &&
		slices.ContainsFunc(gatewayWorkloads(w, g, pod.Key()), func(k *resource.Workload) bool {
			return resource.Selects(k.Pod.Labels, pod.Pod.Labels) && account(k) == account(pod)
		})
}

// account returns the ServiceAccount of a workload's pods, which the API server fills in for
// pods that name none.
func account(wl *resource.Workload) string { return cmp.Or(wl.Pod.ServiceAccount, "default") }

// gatewayWorkloads returns the workloads of a guarded gateway, without the one with the key.
func gatewayWorkloads(w *policy.World, g *policy.Guard, except resource.Key) []*resource.Workload {
	var out []*resource.Workload
	for _, kind := range sidecarKinds {
		w.Snapshot.Each(kind, g.Namespace, func(o resource.Object) bool {
			if wl := o.(*resource.Workload); wl.Key() != except && isProxyOf(g, wl) {
				out = append(out, wl)
			}
			return true
		})
	}
	return out
}

// isProxyOf reports whether a workload's pods are proxies that serve the guarded gateway's
// Gateways.
func isProxyOf(g *policy.Guard, wl *resource.Workload) bool {
	return g.SelectsPods(wl.Pod.Labels, wl.Namespace) && gatewaypod.IsGateway(&wl.Pod, true)
}
