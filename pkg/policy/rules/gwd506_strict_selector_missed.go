package rules

import (
	_ "embed"
	"fmt"
	"maps"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd506_strict_selector_missed.md
var strictSelectorMissedPage string

// strictSelectorMissed finds workloads whose new labels are selected by other policies than
// the old ones, so that they stop enforcing STRICT though no policy changes.
func strictSelectorMissed() *policy.Rule {
	return &policy.Rule{
		ID: "GWD506", Name: "strict-selector-missed", Page: strictSelectorMissedPage, Effect: policy.Deny,
		Summary: "A protected workload gets labels by which no STRICT policy selects it any more.",
		Kinds:   injectedKinds, Operations: []policy.Operation{policy.Update},
		Reads: sidecarReads,
		Transition: func(before, _ *policy.World, c policy.Change, report func(policy.Fault)) {
			newer, ok := protectedWorkload(before, c.New)
			older, and := c.Old.(*resource.Workload)
			if !ok || !and || maps.Equal(older.Pod.Labels, newer.Pod.Labels) || !before.HasSidecar(older) {
				return
			}
			p := before.Policies()
			where, mode, lost := lostStrict(p.Effective(older.Namespace, older.Pod.Labels), p.Effective(newer.Namespace, newer.Pod.Labels))
			if !lost {
				return
			}
			report(policy.Fault{
				Effect: policy.Deny, Field: podField(newer, templateLabels), Subject: where,
				Message: fmt.Sprintf("with its new labels the workload enforces %s%s instead of STRICT: other PeerAuthentications select it than before. "+
					"Namespace %s is protected. Keep the labels that they select, or add a STRICT policy for the new ones first.",
					mode, where, newer.Namespace),
			})
		},
	}
}
