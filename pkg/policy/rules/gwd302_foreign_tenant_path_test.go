package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/policy"
)

func TestForeignTenantPath(t *testing.T) {
	check(t, "GWD302",
		verdict{name: "another namespace's notebooks", change: create(vs("team-a/x", guarded, "*", "prefix /notebook/team-b/nb/")), want: policy.Deny, field: "spec.http[0].match[0].uri"},
		verdict{name: "all notebooks", change: create(vs("team-a/x", guarded, h, "prefix /notebook/")), want: policy.Deny},
		verdict{name: "without the slash at the end", change: create(vs("team-a/x", guarded, h, "prefix /notebook/team-a")), want: policy.Deny},
		verdict{name: "all notebooks by regex", change: create(vs("team-a/x", guarded, h, "regex /notebook/[^/]+/nb/.*")), want: policy.Deny},
		verdict{name: "one page of another namespace", change: create(vs("team-a/x", guarded, h, "exact /tensorboard/team-b/tb/")), want: policy.Deny},
		verdict{name: "its own", change: create(vs("team-a/x", guarded, h, "prefix /notebook/team-a/")), want: silent},
		verdict{name: "one page of its own", change: create(vs("team-a/x", guarded, h, "exact /notebook/team-a/nb/")), want: silent},
		verdict{name: "a path that is no tenant's", change: create(vs("team-a/x", guarded, h, "prefix /dex/")), want: silent},
	)
}
