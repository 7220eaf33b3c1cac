package rules

import (
	_ "embed"
	"slices"

	"github.com/gatewarden/gatewarden/pkg/hostname"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd205_any_host_beside_others.md
var anyHostBesideOthersPage string

// anyHostBesideOthers finds "*/*" in a list with other hosts.
func anyHostBesideOthers() *policy.Rule {
	return &policy.Rule{
		ID: "GWD205", Name: "any-host-beside-others", Page: anyHostBesideOthersPage, Effect: policy.Deny,
		Summary: "A Gateway server lists `*/*` beside other hosts.",
		Kinds:   []resource.Kind{resource.KindGateway}, Operations: createUpdate,
		Object: func(_ *policy.World, o resource.Object, report func(policy.Fault)) {
			gw, ok := o.(*resource.Gateway)
			if !ok {
				return
			}
			for i, s := range gw.Servers {
				if j := slices.Index(s.Hosts, hostname.AnyInAnyNamespace); j >= 0 && len(s.Hosts) > 1 {
					report(policy.Fault{
						Effect:  policy.Deny,
						Field:   hostField(i, j),
						Message: `"*/*" stands for every host and can not be combined with others. Write it alone, or leave it out.`,
						Subject: "any",
					})
				}
			}
		},
	}
}
