package rules

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
	"github.com/gatewarden/gatewarden/test/worlds"
)

// installed is an installation, and what one rule is expected to say of it.
type installed struct {
	name   string
	world  []resource.Object // beside the base, or in the place of what it has
	gone   []resource.Key    // of the base
	config func(*config.Configuration)
	given  bool // it is all that was given, and not all there is
	want   policy.Effect
	on     string // the object of the first finding, if not empty
	field  string // of the first finding, if not empty
	says   string // in the message of the first finding
}

// checkInstalled asks what an audit says of installations.
func checkInstalled(t *testing.T, id string, cases ...installed) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			cfg := deploykf.Default()
			if c.config != nil {
				c.config(cfg)
			}
			w := state.NewWriter()
			w.Apply(worlds.Base()...)
			w.Delete(c.gone...)
			w.Apply(c.world...)
			w.SetComplete(!c.given)
			got := slices.DeleteFunc(audited(cfg, w.Snapshot()), func(f policy.ObjectFinding) bool { return f.Rule != id })
			alone := slices.DeleteFunc(audited(cfg, declared(w.Snapshot(), Find(id))), func(f policy.ObjectFinding) bool { return f.Rule != id })
			assert.Equal(t, got, alone, "%s reads kinds that it does not declare", id)
			if c.want == silent {
				assert.Empty(t, got)
				return
			}
			require.NotEmpty(t, got, "%s says nothing", id)
			slices.SortStableFunc(got, func(a, b policy.ObjectFinding) int { return int(b.Effect) - int(a.Effect) })
			f := got[0]
			assert.Equal(t, c.want, f.Effect, f.String())
			assert.Contains(t, f.Message, c.says)
			if c.on != "" {
				assert.Equal(t, c.on, f.Key.String(), f.String())
			}
			if c.field != "" {
				assert.Equal(t, c.field, f.Field, f.String())
			}
		})
	}
}

// audited returns what an audit finds.
func audited(cfg *config.Configuration, s *state.Snapshot) []policy.ObjectFinding {
	e := policy.NewEngine(cfg, All())
	out := e.Standing(s)
	for _, a := range resource.APIs {
		s.Each(a.Kind, "", func(o resource.Object) bool {
			for _, f := range e.Object(s, o) {
				out = append(out, policy.ObjectFinding{Key: o.Key(), Finding: f})
			}
			return true
		})
	}
	return out
}

// Admission needs nothing of what only audits read, and may be without the permission for it.
func TestAdmissionReadsNothingThatIsForAudits(t *testing.T) {
	for _, r := range All() {
		for _, k := range slices.Concat(r.Kinds, r.Reads) {
			assert.False(t, len(r.Operations) > 0 && resource.ForAudits(k), "%s reads %s", r.ID, k)
		}
	}
}

func key(kind resource.Kind, namespace, name string) resource.Key {
	return resource.Key{Kind: kind, Namespace: namespace, Name: name}
}

var (
	theDeployment = key(resource.KindDeployment, gatewayNS, "deploykf-gateway")
	theService    = key(resource.KindService, gatewayNS, "deploykf-gateway")
	bothGateways  = []resource.Key{
		key(resource.KindGateway, gatewayNS, "deploykf-gateway"),
		key(resource.KindGateway, gatewayNS, "deploykf-gateway-https-redirect"),
	}
)

// proxy makes a gateway's workload with the labels of the guarded pods.
func proxy(kind resource.Kind, namespace, name string, change ...func(*resource.Workload)) *resource.Workload {
	o := &resource.Workload{Meta: resource.Meta{Namespace: namespace, Name: name}, Kind: kind, Pod: resource.PodTemplate{
		Labels: podLabels, Containers: []resource.Container{{Name: "istio-proxy", Image: "auto"}},
	}}
	for _, f := range change {
		f(o)
	}
	return o
}

// Nothing is found in an ordinary deployKF, whether all of it is known or not.
func TestOrdinaryInstallation(t *testing.T) {
	for _, complete := range []bool{true, false} {
		w := state.NewWriter()
		w.Apply(worlds.Base()...)
		w.SetComplete(complete)
		for _, f := range audited(deploykf.Default(), w.Snapshot()) {
			if len(Find(f.Rule).Operations) == 0 && f.Effect > policy.Note {
				assert.Fail(t, f.String(), "complete: %v", complete)
			}
		}
	}
}
