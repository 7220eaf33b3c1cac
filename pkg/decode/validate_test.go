package decode

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"
)

var (
	label63  = strings.Repeat("a", 63)
	label64  = strings.Repeat("a", 64)
	host255  = strings.Repeat("a.", 127) + "b"
	host256  = strings.Repeat("a.", 127) + "bb"
	anywhere = []string{ // accepted in a Gateway and in a VirtualService
		"*", "a.b", "*.b", "*.example.com", "Shop.EXAMPLE.com", "*-a.example.com", "*a.example.com",
		"a.example.com.", "*.", "a.", "1.2.example", "1a.2b.3c", "a-b.c--d.e", "xn--bcher-kva.example",
		"10.1.2.3", "::ffff:10.1.2.3", label63 + ".b", host255,
	}
	nowhere = []string{
		"", ".", "a..b", ".a.b", "a.b..", "-a.b", "a-.b", "a_b.c", "a b.c", "a.*", "a.*.c", "**.b", "*--a.b",
		"*-.b", "a*.b", "a.1", "1.2.3", "10.1.2.300", "a.b:80", "http://a.b", "bücher.example", label64 + ".b", host256,
		"*" + label63 + ".b",
	}
)

func TestGatewayHosts(t *testing.T) {
	for _, h := range anywhere {
		for _, prefix := range []string{"", "*/", "./", "~/", "team-a/", "Team-A/", label63 + "/"} {
			assert.Empty(t, wrongGatewayHost(prefix+h), prefix+h)
		}
	}
	for _, h := range nowhere {
		assert.NotEmpty(t, wrongGatewayHost(h), h)
		assert.NotEmpty(t, wrongGatewayHost("team-a/"+h), h)
	}
	for _, h := range []string{"shop", "::1", "fe80::1%eth0", "/a.b", "a_b/a.b", "**/a.b", "a.b/a.b", "a/b/c.d", label64 + "/a.b", "*/"} {
		assert.NotEmpty(t, wrongGatewayHost(h), h)
	}
}

func TestVirtualServiceHosts(t *testing.T) {
	for _, h := range append([]string{"shop", "::1", "outbound_.80_._.e2e.foobar.mesh"}, anywhere...) {
		assert.Empty(t, wrongVirtualServiceHost(h), h)
	}
	for _, h := range append([]string{"team-a/a.b", "*/a.b"}, nowhere...) {
		assert.NotEmpty(t, wrongVirtualServiceHost(h), h)
	}
}

// The functions that look at bytes agree with the grammar.
func TestLabelGrammar(t *testing.T) {
	label := regexp.MustCompile(`^[[:alnum:]](-*[[:alnum:]])*$`)
	wildcard := regexp.MustCompile(`^(\*|\*?-?[[:alnum:]](-*[[:alnum:]])*)$`)
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringOfN(rapid.SampledFrom([]rune("aZ09-*._é")), 0, 66, -1).Draw(t, "label")
		fits := len(s) <= 63
		assert.Equal(t, fits && label.MatchString(s), isLabel(s))
		// The grammar above takes "-a" too: a hyphen needs its "*".
		assert.Equal(t, fits && wildcard.MatchString(s) && !strings.HasPrefix(s, "-"), isWildcardLabel(s))
	})
}
