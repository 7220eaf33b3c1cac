package rules

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd502_strict_removed.md
var strictRemovedPage string

// strictRemoved finds changes after which a protected workload no longer enforces STRICT,
// though nobody said PERMISSIVE or DISABLE: a policy is deleted, selects something else,
// says nothing any more, or is older than the one that says STRICT.
func strictRemoved() *policy.Rule {
	return &policy.Rule{
		ID: "GWD502", Name: "strict-removed", Page: strictRemovedPage, Effect: policy.Deny,
		Summary: "A change to a PeerAuthentication takes STRICT away from a protected workload.",
		Kinds:   []resource.Kind{resource.KindPeerAuthentication}, Operations: createUpdateDelete,
		Reads:      sidecarReads,
		Transition: judgeStrictRemoved,
	}
}

func judgeStrictRemoved(before, after *policy.World, c policy.Change, report func(policy.Fault)) {
	older, _ := c.Old.(*resource.PeerAuthentication)
	newer, _ := c.New.(*resource.PeerAuthentication)
	key := c.Object().Key()
	if newer != nil && deniedAsPermissive(before, after, older, newer) {
		return // once is enough
	}
	if before.CleansUp(c) {
		return
	}
	ages := []policy.Age{policy.AsStored, policy.Oldest, policy.Youngest}
	if newer == nil {
		ages = ages[:1]
	}
	type sides struct{ was, is *policy.Policies }
	var orders []sides
	for _, age := range ages {
		orders = append(orders, sides{before.PoliciesWith(key, older, age), after.PoliciesWith(key, newer, age)})
	}
	for _, ns := range strictNamespaces(before, key) {
		for _, pod := range podsOf(before, ns, orders[0].was, older, newer) {
			for i, o := range orders {
				if f, lost := strictLost(o.was.Effective(ns, pod.Labels), o.is.Effective(ns, pod.Labels), ns, pod, ages[i]); lost {
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

// podsOf returns the pods to look at in a namespace: those that are known, or where manifests
// tell of none, such as the policies select and one that they do not.
func podsOf(w *policy.World, namespace string, policies *policy.Policies, changed ...*resource.PeerAuthentication) []policy.PodGroup {
	keys := map[string]bool{}
	policies.SelectorKeys(namespace, keys)
	for _, p := range changed {
		if p != nil {
			for k := range p.Selector {
				keys[k] = true
			}
		}
	}
	pods, some := w.PodGroups(namespace, keys)
	if some || w.Snapshot.Complete() {
		return pods
	}
	add := func(labels map[string]string) {
		if !w.IsGateway(labels, namespace) {
			pods = append(pods, policy.PodGroup{Labels: labels})
		}
	}
	for _, p := range changed {
		if p == nil || p.Namespace != namespace || len(p.Selector) == 0 {
			continue
		}
		add(p.Selector)
		// Workloads that another policy selects as well, if there can be any.
		w.Snapshot.Each(resource.KindPeerAuthentication, namespace, func(o resource.Object) bool {
			if both, ok := joined(p.Selector, o.(*resource.PeerAuthentication).Selector); ok {
				add(both)
			}
			return true
		})
	}
	return append(pods, policy.PodGroup{})
}

// joined returns the labels of a pod that both selectors select, or false if none can be.
func joined(a, b map[string]string) (map[string]string, bool) {
	out := maps.Clone(a)
	for k, v := range b {
		if had, ok := out[k]; ok && had != v {
			return nil, false
		}
		out[k] = v
	}
	return out, len(b) > 0
}

// deniedAsPermissive reports whether permissive-mtls denies the change for what the policy
// says, or lets it pass because it is meant to say it.
func deniedAsPermissive(before, after *policy.World, older, newer *resource.PeerAuthentication) bool {
	return slices.ContainsFunc(weakSettings(newer), func(weak setting) bool {
		f, found := judgeWeak(after, newer, weak)
		if found && f.Effect == policy.Deny {
			// What was open before is no denial: but a policy with a selector counts before those of
			// the namespace, and so may take what one of the namespace could not.
			return older == nil || !slices.ContainsFunc(weakSettings(older), func(was setting) bool {
				return newOpening(older, was).covers(newOpening(newer, weak))
			})
		}
		return isMeant(before.Config, newer, weak.mode)
	})
}

func strictLost(was, is policy.MTLS, namespace string, pod policy.PodGroup, age policy.Age) (policy.Fault, bool) {
	where, mode, lost := lostStrict(was, is)
	if !lost {
		return policy.Fault{}, false
	}
	f := policy.Fault{Effect: policy.Deny, Subject: namespace + "{" + labels(pod.Labels) + "}" + where}
	var who string
	fix := "Keep a STRICT policy for it; to remove it for good, delete the workload first."
	switch {
	case pod.Example.Name != "":
		who, f.Related = pod.Example.String(), []resource.Key{pod.Example}
	case len(pod.Labels) > 0:
		who = fmt.Sprintf("a workload %s of namespace %s", labels(pod.Labels), namespace)
	default:
		who = "a workload of namespace " + namespace
	}
	if pod.Example.Name == "" { // nothing tells that there is one
		fix = "Keep a STRICT policy for it, or name what runs there with --cluster."
	}
	when := "now"
	if age != policy.AsStored {
		when = "as soon as the policies are re-created in another order, because only the oldest of a scope counts"
	}
	f.Message = fmt.Sprintf("%s no longer enforces STRICT%s but %s, %s. It is protected. %s", who, where, mode, when, fix)
	return f, true
}
