package rules

import (
	_ "embed"
	"fmt"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd107_dedicated_gateway.md
var dedicatedGatewayPage string

// dedicatedGateway finds Gateways on pods that the configuration keeps for the owner.
func dedicatedGateway() *policy.Rule {
	return &policy.Rule{
		ID: "GWD107", Name: "dedicated-gateway", Page: dedicatedGatewayPage, Effect: policy.Deny,
		Summary: "A Gateway is served by pods that are the owner's alone.",
		Kinds:   []resource.Kind{resource.KindGateway}, Operations: createUpdate, Reads: gatewayReads,
		Object: forGateway(func(_ *policy.World, e *policy.Encounter, report func(policy.Fault)) {
			if e.Guard.Sharing != config.Dedicated {
				return
			}
			owner := name(resource.Key{Kind: resource.KindGateway, Namespace: e.Guard.Namespace, Name: e.Guard.Gateways[0]})
			report(policy.Fault{
				Effect: policy.Deny,
				Field:  "spec.selector",
				Message: fmt.Sprintf("the Gateway is served by the pods of %s, which serve no other Gateways than its own (sharing: %s), such as %s: "+
					"what the owner puts on them, such as a log-in, hits every route there. Select another gateway's pods.",
					e.Guard.Name, config.Dedicated, owner),
				Subject: fmt.Sprintf("%s{%s}", e.Guard.Name, labels(e.Pods.Labels)),
			})
		}),
	}
}
