package rules

import (
	_ "embed"
	"fmt"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd306_unclaimed_host.md
var unclaimedHostPage string

// unclaimedHost finds hosts that a tenant serves through the owner's "*" server and that
// the owner does not use.
func unclaimedHost() *policy.Rule {
	return &policy.Rule{
		ID: "GWD306", Name: "unclaimed-host", Page: unclaimedHostPage, Effect: policy.Warn,
		Summary: "A VirtualService serves a host of its own through a Gateway of the owner that accepts every host.",
		Kinds:   []resource.Kind{resource.KindVirtualService}, Operations: createUpdate, Reads: gatewayReads,
		Object: func(w *policy.World, o resource.Object, report func(policy.Fault)) {
			v, ok := o.(*resource.VirtualService)
			if !ok {
				return
			}
			for _, b := range w.Bindings(v, nil) {
				if !b.Owners || b.Guarded || b.Guard.IsOwners(v.Key()) {
					continue
				}
				report(policy.Fault{
					Effect: policy.Warn,
					Field:  "spec.gateways",
					Message: fmt.Sprintf("host %s is served through %s of %s, with its certificate and login. Use a Gateway of your own.",
						b.Host, name(b.Gateway.Key()), b.Guard.Name),
					Related: []resource.Key{b.Gateway.Key()},
					Subject: fmt.Sprintf("%s|%s", b.Gateway.Key(), b.Host),
				})
			}
		},
	}
}
