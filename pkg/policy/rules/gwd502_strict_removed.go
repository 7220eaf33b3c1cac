package rules

import (
	_ "embed"
	"fmt"
	"slices"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd502_strict_removed.md
var strictRemovedPage string

// cleaners delete what belongs to something that is gone already; refusing them would keep
// a namespace or an owner from ever being deleted. They are the ServiceAccounts of the
// namespace controller and of the garbage collector in kube-controller-manager.
var cleaners = []string{
	"system:serviceaccount:kube-system:namespace-controller",
	"system:serviceaccount:kube-system:generic-garbage-collector",
}

// strictRemoved finds changes after which a protected workload no longer enforces STRICT,
// though nobody said PERMISSIVE or DISABLE: a policy is deleted, selects something else,
// says nothing any more, or is older than the one that says STRICT.
func strictRemoved() *policy.Rule {
	return &policy.Rule{
		ID: "GWD502", Name: "strict-removed", Page: strictRemovedPage, Effect: policy.Deny,
		Summary: "A change to a PeerAuthentication takes STRICT away from a protected workload.",
		Kinds:   []resource.Kind{resource.KindPeerAuthentication}, Operations: createUpdateDelete,
		Reads:      append([]resource.Kind{resource.KindPeerAuthentication, resource.KindNamespace}, gatewayReads...),
		Transition: judgeStrictRemoved,
	}
}

func judgeStrictRemoved(before, after *policy.World, c policy.Change, report func(policy.Fault)) {
	older, _ := c.Old.(*resource.PeerAuthentication)
	newer, _ := c.New.(*resource.PeerAuthentication)
	key := c.Object().Key()
	if newer != nil && len(weakSettings(newer)) > 0 {
		return // permissive-mtls judges what is said
	}
	if newer == nil && (slices.Contains(cleaners, c.Requester.Name) || before.Terminating(key.Namespace)) {
		return
	}
	ages := []policy.Age{policy.AsStored, policy.Oldest, policy.Youngest}
	if newer == nil {
		ages = ages[:1]
	}
	for _, ns := range strictNamespaces(before, key) {
		for _, pod := range podsOf(before, ns, older, newer) {
			for _, age := range ages {
				was := before.PoliciesWith(key, older, age).Effective(ns, pod)
				is := after.PoliciesWith(key, newer, age).Effective(ns, pod)
				if f, lost := strictLost(was, is, ns, pod, age); lost {
					f.Field = "metadata.name"
					if newer != nil {
						f.Field = "spec"
					}
					report(f)
					break
				}
			}
		}
	}
}

// strictNamespaces returns the protected namespaces that a policy can reach.
func strictNamespaces(w *policy.World, key resource.Key) []string {
	if key.Namespace != w.Config.Mesh.RootNamespace {
		if w.Protected(key.Namespace) {
			return []string{key.Namespace}
		}
		return nil
	}
	if known := w.ProtectedNamespaces(); len(known) > 0 || w.Snapshot.Complete() {
		return known
	}
	return w.Config.ProtectedNamespaces.Names
}

// podsOf returns the labels of the pods to look at in a namespace: those that are known, or
// where manifests tell of none, those that the policies select and one that they do not.
func podsOf(w *policy.World, namespace string, policies ...*resource.PeerAuthentication) []map[string]string {
	pods, some := w.PodLabels(namespace)
	if some || w.Snapshot.Complete() {
		return pods
	}
	for _, p := range policies {
		if p != nil && p.Namespace == namespace && len(p.Selector) > 0 && !w.IsGateway(p.Selector, namespace) {
			pods = append(pods, p.Selector)
		}
	}
	return append(pods, nil)
}

func strictLost(was, is policy.MTLS, namespace string, pod map[string]string, age policy.Age) (policy.Fault, bool) {
	where, mode, lost := "", resource.ModeUnset, false
	if was.Mode == resource.ModeStrict && is.Mode != resource.ModeStrict {
		mode, lost = is.Mode, true
	}
	for _, ports := range []map[uint32]resource.MTLSMode{was.Ports, is.Ports} {
		for port := range ports {
			if !lost && was.At(port) == resource.ModeStrict && is.At(port) != resource.ModeStrict {
				where, mode, lost = fmt.Sprintf(" on port %d", port), is.At(port), true
			}
		}
	}
	if !lost {
		return policy.Fault{}, false
	}
	who := "the workloads of namespace " + namespace
	if len(pod) > 0 {
		who = fmt.Sprintf("workload %s of namespace %s", labels(pod), namespace)
	}
	when := "now"
	if age != policy.AsStored {
		when = "as soon as the policies are re-created in another order, because only the oldest of a scope counts"
	}
	return policy.Fault{
		Effect: policy.Deny,
		Message: fmt.Sprintf("%s no longer enforces STRICT%s but %s, %s. It is protected. "+
			"Keep a STRICT policy for it; to remove it for good, delete the workload first.", who, where, mode, when),
		Subject: namespace + "{" + labels(pod) + "}" + where,
	}, true
}
