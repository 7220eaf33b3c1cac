package policy

import (
	"slices"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

// Live returns those of the owner's Gateways that exist.
func (g *Guard) Live() []*resource.Gateway { return g.gateways[:len(g.gateways)-len(g.assumed)] }

// Workloads returns the workloads and pods that the owner's Gateways select in a namespace
// ("" is every namespace), pods last.
func (w *World) Workloads(g *Guard, namespace string) []*resource.Workload {
	var out []*resource.Workload
	for _, kind := range podKinds {
		w.Snapshot.Each(kind, namespace, func(o resource.Object) bool {
			if wl := o.(*resource.Workload); g.SelectsPods(wl.Pod.Labels, wl.Namespace) {
				out = append(out, wl)
			}
			return true
		})
	}
	return out
}

// Services returns the Services before these pods, also those that select them by labels that
// only injection adds.
func (w *World) Services(p *PodSet) []*resource.Service {
	var out []*resource.Service
	w.Snapshot.Each(resource.KindService, p.Namespace, func(o resource.Object) bool {
		if svc := o.(*resource.Service); len(svc.Selector) > 0 && p.carries(svc.Selector) {
			out = append(out, svc)
		}
		return true
	})
	return out
}

// Target returns the port of these pods that a Service's port leads to; it is not known if
// the Service calls it by a name that no container is known to have.
func (w *World) Target(p *PodSet, sp *resource.ServicePort) (port uint32, known bool) {
	if sp.TargetPort != 0 || sp.TargetName == "" {
		return p.target(w.Snapshot, sp), true
	}
	port = p.namedPort(w.Snapshot, sp.TargetName)
	return port, port != 0
}

// Allows returns the ALLOW policies that these pods have, those of their namespace before
// those of the root namespace. As soon as there is one, what none of them matches is denied.
func (w *World) Allows(p *PodSet) []*resource.AuthorizationPolicy {
	var out []*resource.AuthorizationPolicy
	root := w.Config.Mesh.RootNamespace
	for _, ns := range slices.Compact([]string{p.Namespace, root}) {
		w.Snapshot.Each(resource.KindAuthorizationPolicy, ns, func(o resource.Object) bool {
			if a := o.(*resource.AuthorizationPolicy); a.Action == allow && !DryRun(a) && p.SelectedBy(ns, &a.Target, root) {
				out = append(out, a)
			}
			return true
		})
	}
	return out
}

// MayOpen reports whether the rule can match requests on one of the server's listeners. Hosts
// and what else narrows the rule are taken to match something.
func MayOpen(r *resource.AuthorizationRule, s *Server) bool {
	return len(r.To) == 0 || slices.ContainsFunc(r.To, func(o resource.AuthorizedOperation) bool { return onPort(&o, s) })
}

// allow is the action of a policy that lets requests through, and the default one.
const allow = "ALLOW"

// MayTrust reports whether a policy can let requests of an identity through. The trust domain
// "cluster.local" in a principal stands for the mesh's own and its aliases
// (ReplaceTrustDomainAliases in istio.io/istio pilot/pkg/security/trustdomain/bundle.go), so it
// is not compared here.
func MayTrust(a *resource.AuthorizationPolicy, namespace, account string) bool {
	identity := "/ns/" + namespace + "/sa/" + account
	return slices.ContainsFunc(a.Rules, func(r resource.AuthorizationRule) bool {
		return len(r.Principals) == 0 || slices.ContainsFunc(r.Principals, func(p string) bool {
			return strings.Contains(p, "*") || strings.HasSuffix(p, identity)
		})
	})
}

// Trusted returns the service accounts of a namespace that the principals of a policy name, and
// the trust domains in which they do.
func Trusted(a *resource.AuthorizationPolicy, namespace string) (accounts, domains []string) {
	add := func(list *[]string, s string) {
		if !slices.Contains(*list, s) {
			*list = append(*list, s)
		}
	}
	for _, r := range a.Rules {
		for _, p := range r.Principals {
			if domain, account, ok := strings.Cut(p, "/ns/"+namespace+"/sa/"); ok && !strings.Contains(p, "*") {
				add(&accounts, account)
				add(&domains, domain)
			}
		}
	}
	return accounts, domains
}

// TrustingPolicies returns the ALLOW policies of protected namespaces that trust accounts of a
// namespace.
func (w *World) TrustingPolicies(namespace string) []*resource.AuthorizationPolicy {
	var out []*resource.AuthorizationPolicy
	for _, ns := range w.ProtectedNamespaces() {
		w.Snapshot.Each(resource.KindAuthorizationPolicy, ns, func(o resource.Object) bool {
			a := o.(*resource.AuthorizationPolicy)
			if accounts, _ := Trusted(a, namespace); a.Action == allow && !DryRun(a) && len(accounts) > 0 {
				out = append(out, a)
			}
			return true
		})
	}
	return out
}

// Distrusting returns the ALLOW policies of protected namespaces that trust accounts of a
// namespace, but not this one, and whose pods have no other policy that may.
func (w *World) Distrusting(namespace, account string) []*resource.AuthorizationPolicy {
	return slices.DeleteFunc(w.TrustingPolicies(namespace), func(a *resource.AuthorizationPolicy) bool {
		trusted := false
		w.Snapshot.Each(resource.KindAuthorizationPolicy, a.Namespace, func(o resource.Object) bool {
			p := o.(*resource.AuthorizationPolicy)
			trusted = p.Action == allow && !DryRun(p) && MayTrust(p, namespace, account) &&
				len(p.Refs) == 0 && resource.Selects(p.Selector, a.Selector)
			return !trusted
		})
		return trusted
	})
}
