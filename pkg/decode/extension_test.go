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
			assert.Equal(t, []resource.AuthorizationRule{{Principals: c.want, Conditioned: c.conditioned, Identified: c.conditioned}}, o.(*resource.AuthorizationPolicy).Rules)
		})
	}
}

// A condition on the port is one of the operations; a rule that needs an identity says so, and
// so does one that needs a name.
func TestConditions(t *testing.T) {
	type rule = resource.AuthorizationRule
	type op = resource.AuthorizedOperation
	for text, want := range map[string]rule{
		`{when: [{key: destination.port, values: ['80']}]}`:                                                      {To: []op{{Ports: []string{"80"}}}},
		`{when: [{key: destination.port, notValues: ['80']}], to: [{operation: {notPorts: ['81']}}]}`:            {To: []op{{NotPorts: []string{"81", "80"}}}},
		`{when: [{key: destination.port, values: ['80', '81']}], to: [{operation: {ports: ['81', '82']}}]}`:      {To: []op{{Ports: []string{"81"}}}},
		`{when: [{key: destination.port, values: ['80']}], to: [{operation: {ports: ['81']}}, {operation: {}}]}`: {To: []op{{Ports: []string{"0"}}, {Ports: []string{"80"}}}},
		`{when: [{key: connection.sni, values: [a], notValues: [b]}]}`:                                           {Conditioned: true, SNI: []string{"a"}, NotSNI: []string{"b"}},
		`{when: [{key: source.trustDomain, values: [a]}]}`:                                                       {Conditioned: true, Identified: true},
		`{when: [{key: source.namespace, notValues: [a]}]}`:                                                      {Conditioned: true},
		`{when: [{key: 'request.headers[x]', values: [a]}]}`:                                                     {Conditioned: true},
		`{from: [{source: {ipBlocks: [a]}}], when: [{key: source.serviceAccount, values: [a/b]}]}`:               {Conditioned: true, Identified: true},
		`{from: [{source: {serviceAccounts: [a/b]}}, {source: {trustDomains: [a]}}, {source: {ipBlocks: [a]}}]}`: {Conditioned: true},
		`{from: [{source: {serviceAccounts: [a/b]}}, {source: {trustDomains: [a], notPrincipals: [a]}}]}`:        {Conditioned: true, Identified: true},
	} {
		o, err := object(t, resource.KindAuthorizationPolicy, "metadata: {name: a, namespace: b}\nspec: {rules: ["+text+"]}")
		require.NoError(t, err, text)
		assert.Equal(t, []rule{want}, o.(*resource.AuthorizationPolicy).Rules, text)
	}
}
