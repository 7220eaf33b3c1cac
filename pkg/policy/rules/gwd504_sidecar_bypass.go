package rules

import (
	_ "embed"
	"fmt"
	"slices"

	"github.com/gatewarden/gatewarden/pkg/gatewaypod"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

//go:embed gwd504_sidecar_bypass.md
var sidecarBypassPage string

// sidecarBypass finds workloads whose pods can be reached past their sidecar, which is who
// enforces STRICT.
//
// A pod without a sidecar is an old and visible way to stay out of the mesh: Kubeflow ships a
// good many of them. Under a policy of the whole namespace or mesh it is therefore a loss
// only for a workload that had a sidecar; a policy with a selector names its workloads, and
// those are to have one from the start. A sidecar with gaps looks as if it enforced what it
// does not, and is a loss under any policy.
//
// A new pod is judged as a new workload is, unless it shares its fault with what made it. A
// running one keeps its sidecar as it is, whatever is written to its annotations.
func sidecarBypass() *policy.Rule {
	return &policy.Rule{
		ID: "GWD504", Name: "sidecar-bypass", Page: sidecarBypassPage, Effect: policy.Deny,
		Summary: "A workload of a protected namespace can be reached past its sidecar.",
		Kinds:   injectedKinds, Operations: createUpdate,
		Reads: sidecarReads,
		Object: func(w *policy.World, o resource.Object, report func(policy.Fault)) {
			wl, ok := protectedWorkload(w, o)
			if !ok || wl.Kind == resource.KindPod {
				return
			}
			if !w.AsksForSidecar(wl) {
				return
			}
			p := w.Policies()
			for _, g := range w.Gaps(wl) {
				if effect, always := weigh(p, wl, g); always {
					report(gapFault(effect, wl, g))
				}
			}
		},
		Transition: func(before, _ *policy.World, c policy.Change, report func(policy.Fault)) {
			wl, ok := protectedWorkload(before, c.New)
			if !ok {
				return
			}
			old, had := c.Old.(*resource.Workload)
			if wl.Kind == resource.KindPod {
				judgePodGaps(before, old, wl, report)
				return
			}
			had = had && before.HasSidecar(old)
			gaps := before.Gaps(wl)
			if !before.AsksForSidecar(wl) {
				if !had {
					return // there is no sidecar to get past
				}
				gaps = []policy.Gap{{
					Subject: "label", Field: gatewaypod.LabelField, NoSidecar: true,
					Reason: "nothing asks for a sidecar any more",
					Fix:    fmt.Sprintf("Keep the label %s: %q", gatewaypod.InjectLabel, "true"),
				}}
			}
			p := before.Policies()
			for _, g := range gaps {
				switch {
				case !g.NoSidecar:
				case had && g.Opened(p.Effective(old.Namespace, old.Pod.Labels)) && !reported(before, p, wl, g):
					report(gapFault(policy.Deny, wl, g))
				case had && !before.AsksForSidecar(wl):
					report(gapFault(policy.Warn, wl, g))
				case c.Old == nil:
					if effect, always := weigh(p, wl, g); !always {
						report(gapFault(effect, wl, g))
					}
				}
			}
		},
	}
}

// weigh tells what a gap does, and whether it does so wherever it is found, or only in pods that
// come: those that stay out of the mesh altogether under a policy that does not name them.
func weigh(p *policy.Policies, wl *resource.Workload, g policy.Gap) (effect policy.Effect, always bool) {
	switch {
	case !g.Opened(p.Effective(wl.Namespace, wl.Pod.Labels)):
		return policy.Warn, true
	case !g.NoSidecar || named(p, wl, g):
		return policy.Deny, true
	}
	return policy.Warn, false
}

// judgePodGaps judges a new pod, or the new labels of a running one; old is nil for a new pod.
func judgePodGaps(w *policy.World, old, pod *resource.Workload, report func(policy.Fault)) {
	p := w.Policies()
	judge := func(o *resource.Workload, gaps []policy.Gap, report func(policy.Fault)) {
		for _, g := range gaps {
			effect, _ := weigh(p, o, g)
			if !g.NoSidecar && !g.ClientsOnly && policy.WrittenByInjection(o) {
				effect = policy.Warn
			}
			report(gapFault(effect, o, g))
		}
	}
	if old != nil {
		for _, g := range w.RelabelledGaps(old, pod) {
			effect := policy.Warn
			if g.Opened(p.Effective(old.Namespace, old.Pod.Labels)) {
				effect = policy.Deny
			}
			report(gapFault(effect, pod, g))
		}
		return
	}
	if !w.AsksForSidecar(pod) {
		return
	}
	judge(pod, w.Gaps(pod), func(f policy.Fault) {
		if pod.Controlled && f.Effect < policy.Deny {
			return // nobody reads what a controller is told
		}
		if !inherited(w, pod, f, func(o *resource.Workload, report func(policy.Fault)) { judge(o, w.Gaps(o), report) }) {
			report(f)
		}
	})
}

// named reports whether a policy that selects the workload by its labels says STRICT for it.
func named(p *policy.Policies, wl *resource.Workload, g policy.Gap) bool {
	return g.Opened(p.Selected(wl.Namespace, wl.Pod.Labels))
}

// reported reports whether the Object of the rule denies the gap already.
func reported(w *policy.World, p *policy.Policies, wl *resource.Workload, g policy.Gap) bool {
	return w.AsksForSidecar(wl) && g.Opened(p.Effective(wl.Namespace, wl.Pod.Labels)) && named(p, wl, g)
}

func gapFault(effect policy.Effect, wl *resource.Workload, g policy.Gap) policy.Fault {
	f := policy.Fault{Effect: effect, Field: podField(wl, g.Field), Subject: g.Subject + fmt.Sprint(slices.Sorted(slices.Values(g.Ports)))}
	lost := "mutual TLS is not enforced there"
	if g.ClientsOnly {
		lost = "they do without mutual TLS"
	}
	if effect == policy.Warn {
		f.Message = fmt.Sprintf("%s: %s. The namespace is protected. %s, if that is not meant.", g.Reason, lost, g.Fix)
		return f
	}
	if g.ClientsOnly {
		lost = "the workload enforces STRICT and refuses them"
	} else {
		lost = "STRICT is no longer enforced there, and plain text reaches the application"
	}
	fix := g.Fix
	if len(g.Ports) > 0 {
		fix += ", and give those who use the ports without a sidecar one"
	}
	f.Message = fmt.Sprintf("%s: %s. The namespace %s is protected. %s.", g.Reason, lost, wl.Namespace, fix)
	return f
}
