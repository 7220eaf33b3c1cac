package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestStrictSelectorMissed(t *testing.T) {
	const ns = "deploykf-dashboard"
	app := func(labels map[string]string, edit ...func(*resource.PodTemplate)) *resource.Workload {
		return deployment(ns+"/central-dashboard", labels, edit...)
	}
	other := map[string]string{"app": "other"}
	strict := []resource.Object{pa(ns+"/mtls", resource.ModeStrict, dashboard)}
	whole := []resource.Object{pa(ns+"/default", resource.ModeStrict, nil)}
	check(t, "GWD506",
		verdict{name: "renamed", world: strict, change: update(app(dashboard), app(other)), want: policy.Deny, field: "spec.template.metadata.labels"},
		verdict{name: "removed", world: strict, change: update(app(dashboard), app(nil)), want: policy.Deny},
		verdict{name: "an older, weaker policy selects what is added", world: append(strict, pa(ns+"/a", resource.ModePermissive, map[string]string{"tier": "x"})),
			change: update(app(dashboard), app(dashboard, labelled("tier", "x"))), want: policy.Deny},
		verdict{name: "on a port", world: []resource.Object{ported(ns+"/p", resource.ModeStrict, dashboard)}, change: update(app(dashboard), app(other)), want: policy.Deny},
		verdict{name: "to a weaker policy than the namespace's", world: append(whole, pa(ns+"/weak", resource.ModePermissive, other)), change: update(app(dashboard), app(other)), want: policy.Deny},

		verdict{name: "a running pod", world: strict, change: update(pod(ns+"/p", dashboard), pod(ns+"/p", other)), want: policy.Deny, field: "metadata.labels"},
		verdict{name: "a label that no policy selects", world: strict, change: update(app(dashboard), app(dashboard, labelled("version", "2"))), want: silent},
		verdict{name: "the namespace is STRICT", world: append(strict, whole...), change: update(app(dashboard), app(other)), want: silent},
		verdict{name: "another STRICT policy selects it", world: append(strict, pa(ns+"/other", resource.ModeStrict, other)), change: update(app(dashboard), app(other)), want: silent},
		verdict{name: "it was not STRICT", change: update(app(dashboard), app(other)), want: silent},
		verdict{name: "it had no sidecar", world: strict, change: update(app(dashboard, labelled(inject, "false")), app(other)), want: silent},
		verdict{name: "the same labels", world: strict, change: update(app(dashboard), app(dashboard, annotated("restarted", "today"))), want: silent},
		verdict{name: "a namespace that is not protected", world: []resource.Object{pa("team-a/mtls", resource.ModeStrict, dashboard)}, change: update(deployment("team-a/x", dashboard), deployment("team-a/x", other)), want: silent},
	)
}
