package decode_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

// The principals of a rule are known only if each of its sources names some.
func TestPrincipals(t *testing.T) {
	for name, c := range map[string]struct {
		rule        string
		want        []string
		conditioned bool
	}{
		"nobody is named":     {`{}`, nil, false},
		"one source":          {`{from: [{source: {principals: [a, b]}}]}`, []string{"a", "b"}, true},
		"two sources":         {`{from: [{source: {principals: [a]}}, {source: {principals: [b]}}]}`, []string{"a", "b"}, true},
		"another source":      {`{from: [{source: {principals: [a]}}, {source: {namespaces: [b]}}]}`, nil, true},
		"another source, too": {`{from: [{source: {principals: [a], namespaces: [b]}}]}`, []string{"a"}, true},
		"a condition":         {`{when: [{key: source.principal, values: [a]}]}`, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := object(t, resource.KindAuthorizationPolicy, "metadata: {name: a, namespace: b}\nspec: {rules: ["+c.rule+"]}")
			require.NoError(t, err)
			assert.Equal(t, []resource.AuthorizationRule{{Principals: c.want, Conditioned: c.conditioned}}, o.(*resource.AuthorizationPolicy).Rules)
		})
	}
}
