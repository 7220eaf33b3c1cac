package rules

import (
	_ "embed"
	"fmt"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd108_strict_merging.md
var strictMergingPage string

// strictMerging finds Gateways that make Istio leave out those of other namespaces, and those that
// are left out: see policy.World.ManagedNamespaces.
func strictMerging() *policy.Rule {
	return &policy.Rule{
		ID: "GWD108", Name: "strict-merging", Page: strictMergingPage, Effect: policy.Deny,
		Summary: "A managed Gateway on guarded pods makes Istio leave out the Gateways of other namespaces.",
		Kinds:   []resource.Kind{resource.KindGateway}, Operations: createUpdate, Reads: gatewayReads,
		Object: func(w *policy.World, o resource.Object, report func(policy.Fault)) {
			gw, ok := o.(*resource.Gateway)
			if !ok {
				return
			}
			for _, g := range w.Guards {
				for _, p := range g.Pods {
					if p.Attaches(gw, w.Config) {
						judgeMerging(w, g, p, gw, report)
					}
				}
			}
		},
	}
}

func judgeMerging(w *policy.World, g *policy.Guard, p *policy.PodSet, gw *resource.Gateway, report func(policy.Fault)) {
	managing, owners := w.ManagedNamespaces(p, gw.Key()), g.IsOwners(gw.Key())
	subject := fmt.Sprintf("%s{%s}|", g.Name, labels(p.Labels))
	if !gw.Managed() {
		if len(managing) > 0 && !gw.OfGatewayAPI() && !managing[gw.Namespace] && !owners {
			report(policy.Fault{
				Effect: policy.Warn, Field: "metadata.namespace", Subject: subject + "left out",
				Message: fmt.Sprintf("Istio 1.31 leaves the Gateway out: the pods of %s serve a managed one of another namespace. Use other pods.", g.Name),
			})
		}
		return
	}
	if len(managing) > 0 {
		return // those of other namespaces are left out already
	}
	lost := func(victim resource.Key, whose string) {
		report(policy.Fault{
			Effect: policy.Deny, Field: accountField, Subject: subject + victim.String(),
			Message: fmt.Sprintf("Istio takes this for a managed Gateway of the Gateway API, and since 1.31 leaves out the Gateways of other namespaces "+
				"where it serves one: %s%s is dropped with all of its hosts now, whichever is older. %s.", name(victim), whose, unmanage(gw)),
			Related: []resource.Key{victim},
		})
	}
	if gw.Namespace != g.Namespace && !owners && len(p.Servers) > 0 {
		lost(p.Servers[0].Gateway, " of "+g.Name)
		return
	}
	w.EachOther(g, p, gw.Key(), func(o *resource.Gateway) bool {
		switch {
		case o.OfGatewayAPI() || o.Namespace == gw.Namespace:
			return true
		case owners:
			report(policy.Fault{
				Effect: policy.Warn, Field: accountField, Subject: subject + o.Key().String(), Related: []resource.Key{o.Key()},
				Message: fmt.Sprintf("a managed Gateway makes Istio 1.31 drop those of other namespaces: %s. Remove it.", name(o.Key())),
			})
		default:
			lost(o.Key(), "")
		}
		return false
	})
}

// accountField is what makes a Gateway a managed one.
const accountField = "metadata.annotations[" + resource.ServiceAccount + "]"

// unmanage tells how a Gateway stops being a managed one.
func unmanage(gw *resource.Gateway) string {
	if gw.Origin != nil {
		return "Name the Service in spec.addresses, or let Istio make pods for it: leave gateway.istio.io/name-override out"
	}
	return "Remove the annotation"
}
