package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestMeshRoute(t *testing.T) {
	check(t, "GWD304",
		verdict{name: "no Gateway", change: create(vs("team-a/x", "", h, "prefix /pipeline/")), want: policy.Warn, field: "spec.hosts[0]"},
		verdict{name: "the mesh among others", change: create(vs("team-a/x", "own,mesh", "argo-server."+h, "all")), want: policy.Warn},
		verdict{name: "only for its own namespace", change: create(with(vs("team-a/x", "", h, "all"), func(v *resource.VirtualService) { v.ExportTo = []string{"."} })), want: silent},
		verdict{name: "its own host", change: create(vs("team-a/x", "mesh", "app.team-a.svc.cluster.local", "all")), want: silent},
		verdict{name: "a Gateway of its own", change: create(vs("team-a/x", "own", h, "all")), want: silent},
	)
}
