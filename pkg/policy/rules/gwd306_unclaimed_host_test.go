package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestUnclaimedHost(t *testing.T) {
	nosni := []resource.Object{server443("*")}
	check(t, "GWD306",
		verdict{name: "a host of its own", world: nosni, change: create(vs("team-a/x", guarded, "app.example.org", "all")), want: policy.Warn},
		verdict{name: "a notebook for every host", world: nosni, change: create(vs("team-a/x", guarded, "*", "prefix /notebook/team-a/nb/")), want: silent},
		verdict{name: "the Gateway does not accept the host", change: create(vs("team-a/x", guarded, "app.example.org", "all")), want: silent},
	)
}
