package manifest_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/manifest"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// A label value of one letter is a string, whatever YAML 1.1 makes of it.
func TestLettersAreStrings(t *testing.T) {
	for _, selector := range []string{"selector: {x: y}", "selector:\n    x: y", "selector: {x: y} # n"} {
		text := "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: a}\nspec:\n  " + selector +
			"\n  servers:\n  - {port: {number: 80, name: y, protocol: HTTP}, hosts: ['*']}\n"
		documents, err := manifest.Read([]string{"-"}, strings.NewReader(text))
		require.NoError(t, err)
		assert.Equal(t, map[string]string{"x": "y"}, documents[0].Object.(*resource.Gateway).Selector)
	}
}

// A key that overrides a merged one is no repetition; one that is there twice is.
func TestMergeKeys(t *testing.T) {
	text := "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: a}\nspec:\n  servers:\n" +
		"  - &s {port: {number: 80, name: h, protocol: HTTP}, hosts: ['a.org']}\n  - <<: *s\n    hosts: ['b.org']\n"
	documents, err := manifest.Read([]string{"-"}, strings.NewReader(text))
	require.NoError(t, err)
	assert.Equal(t, []string{"b.org"}, documents[0].Object.(*resource.Gateway).Servers[1].Hosts)
	_, err = manifest.Read([]string{"-"}, strings.NewReader(text+"    hosts: ['c.org']\n"))
	assert.ErrorContains(t, err, "twice")
}
