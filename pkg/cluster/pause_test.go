package cluster

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
)

// Kinds that nobody has ever seen are soon known not to be there; those that were there are asked for
// longer, and an API server that does not say is not pressed.
func TestRoundsFollowEachOtherAsFastAsTheirQuestionIsSimple(t *testing.T) {
	missing := apierrors.NewNotFound(schema.GroupResource{Resource: "tcproutes"}, "")
	for name, test := range map[string]struct {
		presence map[resource.Kind]*presence
		watched  resource.Kind
		want     time.Duration
	}{
		"everything is there":      {nil, "", DefaultInterval},
		"certainly absent":         {map[resource.Kind]*presence{resource.KindTCPRoute: {absent: true}}, "", DefaultInterval},
		"only for audits":          {map[resource.Kind]*presence{resource.KindCertificate: {misses: 1}}, "", DefaultInterval},
		"never seen":               {map[resource.Kind]*presence{resource.KindTCPRoute: {misses: 1, problem: missing}}, "", glance},
		"not asked for yet":        {map[resource.Kind]*presence{resource.KindTCPRoute: {}}, "", glance},
		"was there":                {map[resource.Kind]*presence{resource.KindTCPRoute: {misses: 1, problem: missing}}, resource.KindTCPRoute, hurry},
		"another one was there":    {map[resource.Kind]*presence{resource.KindTCPRoute: {}, resource.KindGateway: {}}, resource.KindGateway, hurry},
		"the API server is silent": {map[resource.Kind]*presence{resource.KindTCPRoute: {problem: errors.New("starting")}}, "", hurry},
	} {
		t.Run(name, func(t *testing.T) {
			c := New(Options{Writer: state.NewWriter()})
			c.presence = test.presence
			if test.watched != "" {
				c.watches[test.watched] = &kindWatch{}
			}
			assert.Equal(t, test.want, c.pause())
		})
	}
}
