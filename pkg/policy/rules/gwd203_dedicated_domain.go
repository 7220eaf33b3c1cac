package rules

import (
	_ "embed"
	"fmt"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd203_dedicated_domain.md
var dedicatedDomainPage string

// dedicatedDomain finds hosts under a domain that is the owner's alone, whether or not he
// serves them: his cookies are sent to them, and his certificate covers them.
func dedicatedDomain() *policy.Rule {
	return &policy.Rule{
		ID: "GWD203", Name: "dedicated-domain", Page: dedicatedDomainPage, Effect: policy.Deny,
		Summary: "A Gateway server claims a host under a domain that is dedicated to the owner.",
		Kinds:   []resource.Kind{resource.KindGateway}, Operations: createUpdate, Reads: gatewayReads,
		Object: forGateway(func(_ *policy.World, e *policy.Encounter, report func(policy.Fault)) {
			for i, h := range e.Server.Hosts {
				domain := e.Guard.Dedicated(h.Name)
				if domain == "" {
					continue
				}
				if clash, _, _ := e.Meet(h); clash >= policy.Narrower {
					continue // host-conflict and host-under-guarded-wildcard say it better
				}
				f := policy.Fault{
					Effect: policy.Deny,
					Field:  hostField(e.Server.Index, i),
					Place:  labels(e.Pods.Labels), Subject: listenerOf(e) + fmt.Sprintf("%s|%s", h.Name, e.Server.Bind),
				}
				if len(e.Guarded) > 0 {
					f.Related = []resource.Key{e.Guarded[0].Gateway}
					f.Message = fmt.Sprintf("host %s on port %s is under %s, which is dedicated to %s (%s): browsers send %s's cookies to it. "+
						"Choose a host outside of that domain.",
						h.Name, ports(&e.Server), domain, e.Guard.Name, name(e.Guarded[0].Gateway), e.Guard.Name)
				} else {
					f.Effect = policy.Warn
					f.Message = fmt.Sprintf("host %s on port %s is under %s, which is dedicated to %s. Cookies know no ports, so it gets them. Choose another domain.",
						h.Name, ports(&e.Server), domain, e.Guard.Name)
				}
				report(f)
			}
		}),
	}
}
