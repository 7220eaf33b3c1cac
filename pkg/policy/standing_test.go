package policy

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
)

// What rules say of the installation comes by object, once for each fault, the worst first.
func TestStanding(t *testing.T) {
	namespace := resource.Key{Kind: resource.KindNamespace, Name: "shop"}
	gateway := resource.Key{Kind: resource.KindGateway, Namespace: "shop", Name: "front"}
	quiet := &Rule{ID: "GWD701", Name: "quiet", Standing: func(_ *World, report func(resource.Key, Fault)) {
		report(namespace, Fault{Effect: Note, Message: "b", Subject: "1"})
		report(gateway, Fault{Effect: Warn, Message: "c", Subject: "1"})
		report(gateway, Fault{Effect: Deny, Message: "d", Subject: "1"})
	}}
	loud := &Rule{ID: "GWD702", Name: "loud", Standing: func(_ *World, report func(resource.Key, Fault)) {
		report(namespace, Fault{Effect: Deny, Message: "a", Subject: "1"})
	}}
	audits := &Rule{
		ID: "GWD703", Name: "audits", Kinds: []resource.Kind{resource.KindNamespace},
		Object: func(_ *World, _ resource.Object, report func(Fault)) {
			report(Fault{Effect: Deny, Message: "e", Subject: "1"})
		},
	}
	e := NewEngine(deploykf.Default(), []*Rule{quiet, loud, audits})
	w := state.NewWriter()
	shop := &resource.Namespace{Meta: resource.Meta{Name: "shop"}}
	assert.Equal(t, []ObjectFinding{
		{gateway, Finding{Rule: "GWD701", Name: "quiet", Effect: Deny, Message: "d", Subject: "1"}},
		{namespace, Finding{Rule: "GWD702", Name: "loud", Effect: Deny, Message: "a", Subject: "1"}},
		{namespace, Finding{Rule: "GWD701", Name: "quiet", Effect: Note, Message: "b", Subject: "1"}},
	}, e.Standing(w.Snapshot()))
	assert.Empty(t, e.Decide(w.Snapshot(), Change{Operation: Create, New: shop}).Findings, "a rule without operations is for audits")
	assert.Equal(t, []Finding{{Rule: "GWD703", Name: "audits", Effect: Deny, Message: "e", Subject: "1"}}, e.Object(w.Snapshot(), shop))
}
