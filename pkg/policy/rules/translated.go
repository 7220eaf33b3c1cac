package rules

import (
	"slices"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/translate"
)

// translated lets the rules that judge Gateways or VirtualServices also judge the kinds that
// Istio makes those of, and the classes by which it is told whether it does: the engine gives
// them what Istio makes.
func translated(rules []*policy.Rule) []*policy.Rule {
	into := func(k resource.Kind) bool { return slices.Contains(translate.Into, k) }
	for _, r := range rules {
		if slices.ContainsFunc(r.Kinds, into) {
			r.Kinds = slices.Concat(r.Kinds, translate.Kinds, translate.Classes)
			r.Reads = slices.Concat(r.Reads, translate.Kinds, translate.Reads)
		} else if slices.ContainsFunc(r.Reads, into) {
			r.Reads = slices.Concat(r.Reads, translate.Kinds, translate.Reads)
		}
	}
	return rules
}
