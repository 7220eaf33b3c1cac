package rules

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/hostname"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd207_tenant_wildcard.md
var tenantWildcardPage string

// tenantWildcard finds TLS hosts that take names out of another tenant's wildcard. "*" is
// no such claim: it is what is left when everybody has claimed his own. But the hosts of
// routes through such a server are.
func tenantWildcard() *policy.Rule {
	return &policy.Rule{
		ID: "GWD207", Name: "tenant-wildcard", Page: tenantWildcardPage, Effect: policy.Deny,
		Summary: "A Gateway's TLS server claims a host out of a wildcard that a Gateway of another namespace has on the same port.",
		Kinds:   []resource.Kind{resource.KindGateway}, Operations: createUpdate, Reads: gatewayReads,
		Object: forGateway(func(w *policy.World, e *policy.Encounter, report func(policy.Fault)) {
			if e.Server.Family != policy.TLS {
				return
			}
			for i, h := range e.Server.Hosts {
				if !e.Server.ByName(h.Name) {
					continue
				}
				throughAny(w, e, h, i, report)
				for _, wildcard := range wildcardsAround(h.Name) {
					eachTwin(w, e, wildcard, func(t policy.HostPlace) bool {
						if t.Server.Gateway.Namespace == e.Server.Gateway.Namespace || !t.Server.ByName(wildcard) {
							return true
						}
						report(policy.Fault{
							Effect: policy.Deny,
							Field:  hostField(e.Server.Index, i),
							Message: fmt.Sprintf("host %s on port %s takes names out of %s, which %s serves on the same pods: the proxy prefers the more specific host. "+
								"Choose another host, or agree with namespace %s.",
								h.Name, ports(&e.Server), wildcard, name(t.Server.Gateway), t.Server.Gateway.Namespace),
							Related: []resource.Key{t.Server.Gateway}, Rival: t.Server.Gateway,
							Place: labels(e.Pods.Labels), Subject: listenerOf(e) + fmt.Sprintf("%s|%s", h.Name, t.Server.Gateway),
						})
						return false
					})
				}
			}
		}),
	}
}

// throughAny finds VirtualServices of other tenants that serve a host of the server through a
// Gateway for every name, be it the owner's or a tenant's.
func throughAny(w *policy.World, e *policy.Encounter, h hostname.Server, index int, report func(policy.Fault)) {
	if h.Name == hostname.Any {
		return
	}
	done := false
	visit := func(o *resource.VirtualService) bool {
		if o.Namespace == e.Server.Gateway.Namespace || e.Guard.IsOwners(o.Key()) {
			return true
		}
		bindings := w.Bindings(o, nil)
		for j := range bindings {
			b := &bindings[j]
			if b.Pods != e.Pods || b.Server.Family != policy.TLS || !b.Server.SharesListener(&e.Server) || b.Server.Gateway == e.Server.Gateway ||
				!routesFor(o, b) || !b.Host.Overlaps(h.Name) || b.Host == hostname.Any || namesHost(&b.Server, b.Host) {
				continue
			}
			report(policy.Fault{
				Effect: policy.Deny,
				Field:  hostField(e.Server.Index, index),
				Message: fmt.Sprintf("host %s on port %s takes requests from %s, which serves %s through %s on the same pods: the proxy prefers a server that names the host. "+
					"Choose another host, or agree with namespace %s.",
					h.Name, ports(&e.Server), name(o.Key()), b.Host, name(b.Gateway.Key()), o.Namespace),
				Related: []resource.Key{o.Key(), b.Gateway.Key()},
				Place:   labels(e.Pods.Labels), Subject: listenerOf(e) + fmt.Sprintf("%s|%s", h.Name, o.Key()),
			})
			done = true
			return false
		}
		return true
	}
	for _, host := range append(wildcardsAround(h.Name), h.Name) {
		if !done {
			w.Snapshot.RoutesOn(host, "", visit)
		}
	}
	if !done && h.Name.IsWildcard() {
		w.Snapshot.RoutesUnder(h.Name, visit)
	}
}

// namesHost reports whether a server has the name by another of its hosts than "*".
func namesHost(s *policy.Server, n hostname.Name) bool {
	return slices.ContainsFunc(s.Hosts, func(h hostname.Server) bool { return h.Name != hostname.Any && h.Name.Covers(n) && s.ByName(h.Name) })
}

// wildcardsAround returns the wildcards of whole labels that cover a name, without itself
// and without "*".
func wildcardsAround(n hostname.Name) []hostname.Name {
	var out []hostname.Name
	for s := strings.TrimPrefix(string(n), "*."); ; {
		_, rest, found := strings.Cut(s, ".")
		if !found {
			return out
		}
		out = append(out, hostname.Name("*."+rest))
		s = rest
	}
}
