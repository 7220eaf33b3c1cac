package resource

import (
	"regexp"
	"strings"
)

// PathPrefix returns what every path that the match lets through starts with, "" for a
// match that says nothing about the path, or nothing that can be told.
func (m *HTTPMatch) PathPrefix() string {
	if m.IgnoreURICase {
		return ""
	}
	switch m.URI.Type {
	case MatchExact, MatchPrefix:
		return m.URI.Value
	case MatchRegex:
		// The proxy matches RE2 against the whole path, so an anchor at its start says nothing
		// (and hides the literal text behind it from LiteralPrefix).
		re, err := regexp.Compile("(?:" + strings.TrimPrefix(m.URI.Value, "^") + ")")
		if err != nil {
			return ""
		}
		prefix, _ := re.LiteralPrefix()
		return prefix
	}
	return ""
}
