package policy

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

func uri(kind resource.MatchType, value string) *resource.HTTPMatch {
	return &resource.HTTPMatch{URI: resource.StringMatch{Type: kind, Value: value}}
}

func TestTakes(t *testing.T) {
	const exact, prefix, regex = resource.MatchExact, resource.MatchPrefix, resource.MatchRegex
	for _, c := range []struct {
		m, o *resource.HTTPMatch
		want bool
	}{
		{uri(prefix, "/a"), uri(prefix, "/ab"), true},
		{uri(prefix, "/ab"), uri(prefix, "/a"), true},
		{uri(prefix, "/a/"), uri(prefix, "/ab"), false},
		{uri(exact, "/a"), uri(prefix, "/"), true},
		{uri(prefix, "/"), uri(exact, "/a"), false}, // a catch-all comes last
		{uri(prefix, "/"), uri(prefix, "/"), true},
		{uri(exact, "/"), uri(prefix, "/"), true},
		{uri(regex, "/a/[0-9]+"), uri(prefix, "/a/"), true},
		{uri(regex, "/a/[0-9]+"), uri(prefix, "/b/"), false},
		{uri(regex, "/(a|b)/.*"), uri(prefix, "/b/"), true},
		{uri(regex, "/a("), uri(prefix, "/a"), false},
		{uri(regex, ".+"), uri(regex, "/x"), true},
		{&resource.HTTPMatch{}, uri(prefix, "/a"), false},
		{&resource.HTTPMatch{Conditioned: true}, uri(prefix, "/a"), true},
	} {
		assert.Equal(t, c.want, Takes(c.m, c.o), "%s takes from %s", c.m.URI, c.o.URI)
	}
	folded := uri(prefix, "/A")
	folded.IgnoreURICase = true
	assert.True(t, Takes(folded, uri(exact, "/a")))
	assert.True(t, Takes(uri(exact, "/aB"), folded))
}

// Where both matches are literal, an overlap is found exactly if there is a path for it.
func TestOverlapOfLiteralPaths(t *testing.T) {
	text := rapid.StringOfN(rapid.SampledFrom([]rune("/ab")), 1, 4, -1)
	kind := rapid.SampledFrom([]resource.MatchType{resource.MatchExact, resource.MatchPrefix})
	lets := func(m *resource.HTTPMatch, path string) bool {
		return path == m.URI.Value || m.URI.Type == resource.MatchPrefix && strings.HasPrefix(path, m.URI.Value)
	}
	rapid.Check(t, func(t *rapid.T) {
		m, o := uri(kind.Draw(t, "m"), text.Draw(t, "path")), uri(kind.Draw(t, "o"), text.Draw(t, "path"))
		want := lets(m, o.URI.Value) || lets(o, m.URI.Value)
		assert.Equal(t, want, overlap(m, o), "%s and %s", m.URI, o.URI)
		assert.Equal(t, overlap(m, o), overlap(o, m))
	})
}
