package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	quiet()
	os.Exit(m.Run())
}

// The recorded worlds are those in which gatewarden was once wrong, and their near misses.
func TestRecordedWorlds(t *testing.T) {
	var out bytes.Buffer
	agrees, err := recordings(&out, "testdata")
	require.NoError(t, err)
	assert.True(t, agrees, out.String())
	assert.NotContains(t, out.String(), "not judged")
	for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n")[1:] {
		columns := strings.Fields(line)
		assert.Equal(t, columns[1], columns[2], "effect: %s", line)
	}
}

// A recording that does not say what is seen is a disagreement.
func TestRecordedWorldsThatDisagree(t *testing.T) {
	dir := t.TempDir()
	data, err := os.ReadFile("testdata/plain-bind-elsewhere.yaml")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "w.yaml"), bytes.Replace(data, []byte("outcome: allow"), []byte("outcome: deny"), 1), 0o600))
	var out bytes.Buffer
	agrees, err := recordings(&out, dir)
	require.NoError(t, err)
	assert.False(t, agrees)
	assert.Contains(t, out.String(), "DISAGREES")
}

func TestWorldsAreTheSameForASeed(t *testing.T) {
	for i := range uint64(20) {
		a, err := newGenerator(3, i).world("w")
		require.NoError(t, err)
		b, err := newGenerator(3, i).world("w")
		require.NoError(t, err)
		one, err := a.write()
		require.NoError(t, err)
		other, err := b.write()
		require.NoError(t, err)
		require.Equal(t, string(one), string(other))
		again, err := readWorld(one)
		require.NoError(t, err)
		assert.Equal(t, a.operation(), again.operation())
		assert.Len(t, again.existing, len(a.existing))
	}
}

func TestRefusal(t *testing.T) {
	chains := func(names ...string) (out []*chain) {
		for _, n := range names {
			c := &chain{}
			if n != "" {
				c.names = strings.Split(n, ",")
			}
			out = append(out, c)
		}
		return out
	}
	assert.Empty(t, refusal(chains("a.org,b.org", "*.org", "")))
	assert.NotEmpty(t, refusal(chains("a.org,b.org", "b.org")))
	assert.NotEmpty(t, refusal(chains("", "")))
	assert.NotEmpty(t, refusal(chains("*-x.org")))
}

func TestAnswer(t *testing.T) {
	exact, wildcard, any := &chain{tls: true, names: []string{"a.b.org"}}, &chain{tls: true, names: []string{"*.b.org"}}, &chain{routeName: "http.80"}
	any.hosts = []*virtualHost{{domains: []string{"*"}}, {domains: []string{"*.org"}}, {domains: []string{"*.b.org"}}, {domains: []string{"a.b.org"}}}
	l := &listener{address: "0.0.0.0", port: 80, chains: []*chain{any, wildcard, exact}}
	p := &proxy{listeners: map[uint32][]*listener{80: {l, {address: "127.0.0.1", port: 80}}}}
	assert.Same(t, exact, p.answer(request{port: 80, tls: true, host: "a.b.org"}).chain)
	assert.Same(t, wildcard, p.answer(request{port: 80, tls: true, host: "x.a.b.org"}).chain)
	assert.Nil(t, p.answer(request{port: 80, tls: true, host: "b.org"}).chain, "plain HTTP has no answer to TLS")
	assert.Nil(t, p.answer(request{port: 81}).listener)
	for host, domain := range map[string]string{"a.b.org": "a.b.org", "c.b.org": "*.b.org", "b.org": "*.org", "org": "*"} {
		assert.Equal(t, []string{domain}, p.answer(request{port: 80, host: host}).host.domains, host)
	}
	p.listeners[80] = append(p.listeners[80], &listener{address: podIP, port: 80})
	assert.Equal(t, podIP, p.answer(request{port: 80}).listener.address)
	l.refused = "why"
	p.listeners[80] = []*listener{l}
	assert.Contains(t, p.answer(request{port: 80}).place(), "refused: why")
}

func TestShrinkKeepsWhatFails(t *testing.T) {
	w, err := newGenerator(1, 2).world("w")
	require.NoError(t, err)
	key := w.changed().key()
	small := shrink(w, func(w *world) bool { return w.changed().key() == key })
	assert.Equal(t, key, small.changed().key())
	for _, o := range small.existing {
		assert.True(t, o.owners() || o == small.old, o.key())
	}
}
