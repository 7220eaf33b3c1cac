package radix_test

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/gatewarden/gatewarden/pkg/radix"
)

// someKeys are of few characters, so that they begin with each other.
var someKeys = rapid.StringOfN(rapid.RuneFrom([]rune("ab\x00é")), 0, 6, -1)

// manyBranches are keys that part at one place in more ways than are looked through one by one.
var manyBranches = rapid.Custom(func(t *rapid.T) string {
	return string([]byte{'x', rapid.Byte().Draw(t, "branch")}) + rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "end")
})

// model is what a tree has to be: a map.
type model map[string]int

// under returns the values whose keys have the prefix, in the order of the keys.
func (m model) under(prefix string) []int {
	var out []int
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if strings.HasPrefix(k, prefix) {
			out = append(out, m[k])
		}
	}
	return out
}

func check(t require.TestingT, want model, got radix.Tree[int], asked ...string) {
	require.Equal(t, len(want), got.Len())
	walked := func(prefix string) (out []int) {
		require.True(t, got.Walk(prefix, func(v int) bool { out = append(out, v); return true }))
		return out
	}
	require.Equal(t, want.under(""), walked(""))
	for _, k := range asked {
		v, ok := got.Get(k)
		wanted, exists := want[k]
		require.Equal(t, exists, ok, "%q", k)
		require.Equal(t, wanted, v, "%q", k)
		require.Equal(t, want.under(k), walked(k), "%q", k)
		var above, begin []int
		got.Above(k, func(length int, v int) bool {
			require.Equal(t, want[k[:length]], v)
			above = append(above, v)
			return true
		})
		for i := range len(k) + 1 {
			if v, ok := want[k[:i]]; ok {
				begin = append(begin, v)
			}
		}
		require.Equal(t, begin, above, "%q", k)
	}
}

// A tree is a sorted map, and each of its versions stays what it was, whatever is made of it.
func TestTree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.OneOf(someKeys, manyBranches)
		type version struct {
			model model
			tree  radix.Tree[int]
		}
		versions := []version{{model{}, radix.Tree[int]{}}}
		for n := range rapid.IntRange(1, 12).Draw(t, "transactions") {
			from := versions[rapid.IntRange(0, len(versions)-1).Draw(t, "from")]
			m, c := maps.Clone(from.model), from.tree.Change()
			for i := range rapid.IntRange(0, 12).Draw(t, "changes") {
				key, value := keys.Draw(t, "key"), 100*n+i+1
				if rapid.IntRange(0, 2).Draw(t, "delete") == 0 {
					if len(m) > 0 && rapid.Bool().Draw(t, "one that is there") {
						key = rapid.SampledFrom(slices.Sorted(maps.Keys(m))).Draw(t, "key")
					}
					old, existed := c.Delete(key)
					wanted, exists := m[key]
					require.Equal(t, exists, existed)
					require.Equal(t, wanted, old)
					delete(m, key)
				} else {
					old, existed := c.Insert(key, value)
					wanted, exists := m[key]
					require.Equal(t, exists, existed)
					require.Equal(t, wanted, old)
					m[key] = value
				}
				if rapid.IntRange(0, 5).Draw(t, "commit") == 0 { // and go on
					versions = append(versions, version{maps.Clone(m), c.Commit()})
				}
			}
			check(t, m, c.Tree)
			versions = append(versions, version{m, c.Commit()})
		}
		asked := rapid.SliceOfN(keys, 0, 5).Draw(t, "asked")
		for _, v := range versions {
			check(t, v.model, v.tree, append(asked, slices.Sorted(maps.Keys(v.model))...)...)
		}
	})
}

func TestWalkStops(t *testing.T) {
	c := radix.Tree[int]{}.Change()
	for i, k := range []string{"", "a", "ab", "abc", "b"} {
		c.Insert(k, i)
	}
	for n := 1; n <= 5; n++ {
		seen := 0
		assert.False(t, c.Walk("", func(int) bool { seen++; return seen < n }))
		assert.Equal(t, n, seen)
	}
	seen := 0
	assert.False(t, c.Above("abc", func(int, int) bool { seen++; return seen < 3 }))
	assert.Equal(t, 3, seen)
}

// Of each group one key is enough if it is said to be.
func TestWalkGroups(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOfN(someKeys, 0, 30).Draw(t, "keys")
		prefix, size := someKeys.Draw(t, "prefix"), rapid.IntRange(0, 4).Draw(t, "size")
		c := radix.Tree[string]{}.Change()
		for _, k := range keys {
			c.Insert(k, k)
		}
		var want, got []string
		slices.Sort(keys)
		for _, k := range slices.Compact(keys) {
			if !strings.HasPrefix(k, prefix) {
				continue
			}
			if n := len(want); n > 0 && size > 0 && len(want[n-1]) >= size && strings.HasPrefix(k, want[n-1][:size]) {
				continue
			}
			want = append(want, k)
		}
		c.WalkGroups(prefix, func(key []byte, v string) int {
			require.Equal(t, v, string(key))
			got = append(got, v)
			if len(key) < size {
				return 0
			}
			return size
		})
		require.Equal(t, want, got)
	})
}

// Many may change a tree, each for himself, while others read it.
func TestConcurrent(t *testing.T) {
	c := radix.Tree[int]{}.Change()
	for i := range 500 {
		c.Insert(strings.Repeat("k", i%7)+string(rune('a'+i%26)), i)
	}
	shared := c.Commit()
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			own := shared.Change()
			for n := range 200 {
				own.Insert(strings.Repeat("k", n%9), i)
				own.Delete(strings.Repeat("k", n%7) + string(rune('a'+n%26)))
				shared.Walk("k", func(int) bool { return true })
			}
		})
	}
	group.Wait()
	check(t, func() model {
		m := model{}
		for i := range 500 {
			m[strings.Repeat("k", i%7)+string(rune('a'+i%26))] = i
		}
		return m
	}(), shared)
}
