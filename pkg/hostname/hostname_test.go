package hostname

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"
)

func TestCovers(t *testing.T) {
	for _, c := range []struct {
		n, o            Name
		covers, covers2 bool
	}{
		{"a.example.org", "a.example.org", true, true},
		{"a.example.org", "b.example.org", false, false},
		{"*.example.org", "a.example.org", true, false},
		{"*.example.org", "a.b.example.org", true, false},
		{"*.example.org", "example.org", false, false},
		{"*.example.org", "aexample.org", false, false},
		{"*", "example.org", true, false},
		{"*", "*.example.org", true, false},
		{"*.org", "*.example.org", true, false},
		{"*-a.example.org", "b-a.example.org", true, false},
		{"*.example.org", "*-a.example.org", true, false},
		{"*ample.org", "*.example.org", true, false},
	} {
		assert.Equal(t, c.covers, c.n.Covers(c.o), "%s covers %s", c.n, c.o)
		assert.Equal(t, c.covers2, c.o.Covers(c.n), "%s covers %s", c.o, c.n)
	}
}

func TestDomain(t *testing.T) {
	const d = Name("deploykf.example.com")
	for n, want := range map[Name][2]bool{ // within, touches
		"deploykf.example.com":      {true, true},
		"a.deploykf.example.com":    {true, true},
		"*.deploykf.example.com":    {true, true},
		"*.a.deploykf.example.com":  {true, true},
		"*-a.deploykf.example.com":  {true, true},
		"xdeploykf.example.com":     {false, false},
		"*.example.com":             {false, true},
		"*":                         {false, true},
		"*deploykf.example.com":     {false, true},
		"example.com":               {false, false},
		"*.org":                     {false, false},
		"deploykf.example.com.evil": {false, false},
	} {
		assert.Equal(t, want, [2]bool{n.Within(d), n.Touches(d)}, "%s", n)
	}
}

func TestServerHosts(t *testing.T) {
	got := ServerHosts([]string{"A.example.org", "./b.org", "*/c.org", "team-b/*", "~/d.org"}, "team-a")
	assert.Equal(t, []Server{
		{"", "A.example.org", "A.example.org", "a.example.org"},
		{"team-a", "b.org", "team-a/b.org", "b.org"},
		{"", "c.org", "c.org", "c.org"},
		{"team-b", "*", "team-b/*", "*"},
		{"~", "d.org", "~/d.org", "d.org"},
	}, got)
	assert.Equal(t, []Server{{"", "*", "*", "*"}}, ServerHosts([]string{"a.org", "*/*", "b.org"}, "x"))
	assert.True(t, got[1].Admits("team-a"))
	assert.False(t, got[1].Admits("team-b"))
	assert.False(t, got[4].Admits("team-a"))
	assert.True(t, got[0].Admits("anybody"))
}

func TestBindComparesBeforeItLowersTheCase(t *testing.T) {
	exact := ServerHosts([]string{"a.example.org"}, "")[0]
	wild := ServerHosts([]string{"*.example.org"}, "")[0]
	_, ok := exact.Bind("A.example.org")
	assert.False(t, ok)
	n, ok := wild.Bind("A.example.org")
	assert.True(t, ok)
	assert.Equal(t, Name("a.example.org"), n)
	n, ok = exact.Bind("*")
	assert.True(t, ok)
	assert.Equal(t, Name("a.example.org"), n)
}

func names() *rapid.Generator[Name] {
	label := rapid.SampledFrom([]string{"a", "b", "c-a", "org"})
	return rapid.Custom(func(t *rapid.T) Name {
		n := strings.Join(rapid.SliceOfN(label, 1, 4).Draw(t, "labels"), ".")
		return Name(rapid.SampledFrom([]string{"", "*.", "*-", "*"}).Draw(t, "wildcard") + n)
	})
}

// The order is a partial one, and overlap is comparability.
func TestLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := names().Draw(t, "a"), names().Draw(t, "b"), names().Draw(t, "c")
		assert.True(t, a.Covers(a))
		assert.True(t, Any.Covers(a))
		if a.Covers(b) && b.Covers(a) {
			assert.Equal(t, a, b)
		}
		if a.Covers(b) && b.Covers(c) {
			assert.True(t, a.Covers(c))
		}
		assert.Equal(t, a.Overlaps(b), b.Overlaps(a))
		n, ok := a.Intersect(b)
		assert.Equal(t, a.Overlaps(b), ok)
		if ok {
			assert.True(t, a.Covers(n) && b.Covers(n))
			if a.Covers(c) && b.Covers(c) {
				assert.True(t, n.Covers(c))
			}
		}
		if a.Within(c) {
			assert.True(t, a.Touches(c))
		}
	})
}

// FuzzLaws holds the same laws against arbitrary bytes.
func FuzzLaws(f *testing.F) {
	f.Add("*.example.org", "a.example.org")
	f.Add("*", "")
	f.Add("", "*-")
	f.Add("./*", "*/*")
	f.Fuzz(func(t *testing.T, x, y string) {
		a, b := Parse(x), Parse(y)
		if a.Covers(b) && b.Covers(a) && a != b {
			t.Fatalf("%q and %q cover each other", a, b)
		}
		if a.Overlaps(b) != b.Overlaps(a) {
			t.Fatalf("overlap of %q and %q is not symmetric", a, b)
		}
		if n, ok := a.Intersect(b); ok && (!a.Covers(n) || !b.Covers(n)) {
			t.Fatalf("the intersection %q of %q and %q is not within both", n, a, b)
		}
		for _, s := range ServerHosts([]string{x, y}, "ns") {
			if strings.Contains(s.Host, "/") {
				continue // Istio's validation refuses a host with two slashes
			}
			if strings.HasPrefix(s.Key, "./") || strings.HasPrefix(s.Key, "*/") {
				t.Fatalf("%q was not sanitised: %q", x, s.Key)
			}
		}
	})
}
