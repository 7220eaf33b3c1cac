package cli

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/metrics"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// reloads keeps what a Recorder is told of the configuration.
type reloads struct {
	metrics.Discard
	results []bool
}

func (r *reloads) Reload(ok bool) { r.results = append(r.results, ok) }

func configuration(domain string) string {
	return "apiVersion: config.gatewarden.io/v1alpha1\nkind: Configuration\nguardedGateways:\n" +
		"- name: shared\n  namespace: gw\n  gateways: [gw]\n  podLabels: {app: gw}\n  domains: [" + domain + "]\n"
}

func TestConfigurationIsReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	write := func(content string) { require.NoError(t, os.WriteFile(path, []byte(content), 0o600)) }
	write(configuration("one.example.com"))
	var log bytes.Buffer
	r, err := newReloader(path, slog.New(slog.NewTextHandler(&log, nil)))
	require.NoError(t, err)
	told := &reloads{}
	r.recorder = told
	domain := func() string { return r.Engine().Config().GuardedGateways[0].Domains[0] }
	assert.Equal(t, "one.example.com", domain())

	assert.True(t, r.measure().Current)
	hash := r.status.Load().sha256
	assert.Len(t, hash, 64)
	first := r.Engine()
	r.check()
	assert.Same(t, first, r.Engine(), "nothing has changed")

	write(configuration("two.example.com"))
	r.check()
	assert.Equal(t, "two.example.com", domain())

	write(strings.Replace(configuration("three.example.com"), "podLabels", "podLabel", 1))
	r.check()
	r.check()
	assert.Equal(t, "two.example.com", domain(), "a wrong configuration was taken")
	assert.Contains(t, log.String(), "podLabel")
	assert.False(t, r.measure().Current)
	assert.Contains(t, r.status.Load().problem, "podLabel")
	assert.NotEqual(t, hash, r.status.Load().sha256, "of the one that is in force")

	require.NoError(t, os.Remove(path))
	r.check()
	r.check()
	assert.Equal(t, 1, strings.Count(log.String(), "the configuration cannot be read"))
	assert.Equal(t, "two.example.com", domain(), "the configuration was lost with its file")
	assert.Contains(t, r.status.Load().problem, "no such file")

	write(strings.Replace(configuration("three.example.com"), "podLabels", "podLabel", 1))
	r.check()
	assert.Contains(t, r.status.Load().problem, "podLabel", "the file is there again, and as wrong as it was")

	write(configuration("four.example.com"))
	r.check()
	assert.Equal(t, "four.example.com", domain())
	assert.True(t, r.measure().Current)
	assert.Contains(t, log.String(), "the configuration can be read again")
	assert.Equal(t, []bool{true, false, false, true}, told.results, "each change is counted once")
}

// What opens the gate is said loudly, whenever it is taken over; what does not load never opens
// it.
func TestOpeningsAndExpiryAreLogged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	write := func(more string) {
		require.NoError(t, os.WriteFile(path, []byte(configuration("one.example.com")+more), 0o600))
	}
	write("")
	var log bytes.Buffer
	r, err := newReloader(path, slog.New(slog.NewTextHandler(&log, nil)))
	require.NoError(t, err)
	assert.NotContains(t, log.String(), "WARN")
	key := resource.Key{Kind: resource.KindGateway, Namespace: "a", Name: "b"}
	exempt := func() string { return r.Engine().Config().Exempt("ann", nil, key) }

	write("rules: {GWD999: off}\nexemptions: [{users: [ann], reason: everything}]\n")
	r.check()
	assert.Empty(t, exempt(), "a wrong configuration was taken")
	assert.Contains(t, log.String(), "GWD999")

	write("exemptions: [{groups: [system:authenticated], reason: everything}]\n")
	r.check()
	assert.Contains(t, log.String(), "lets through")
	assert.Contains(t, log.String(), "exemptions[0]")
	assert.Equal(t, 1, r.measure().Openings)

	clock := time.Date(2026, time.March, 31, 12, 0, 0, 0, time.UTC)
	r.now = func() time.Time { return clock }
	write("exemptions: [{users: [ann], reason: a move, expires: 2026-03-31}]\n")
	r.check()
	assert.Equal(t, "a move", exempt())
	assert.Equal(t, metrics.Configuration{
		Current: true, Loaded: clock, Live: 1, NextExpiry: time.Date(2026, time.April, 1, 0, 0, 0, 0, time.UTC),
	}, r.measure())
	engine := r.Engine()
	r.check()
	assert.Same(t, engine, r.Engine(), "nothing has changed")
	assert.NotContains(t, log.String(), "has expired")
	clock = clock.Add(12 * time.Hour)
	r.check()
	r.check()
	assert.Empty(t, exempt(), "the exemption has expired")
	assert.Equal(t, metrics.Configuration{Current: true, Loaded: clock.Add(-12 * time.Hour), Expired: 1}, r.measure())
	assert.Equal(t, 1, strings.Count(log.String(), "an exemption has expired"))

	// The file is gone: what was in it expires all the same.
	write("exemptions: [{users: [ann], reason: a move, expires: 2026-04-01}]\n")
	r.check()
	assert.Equal(t, "a move", exempt())
	require.NoError(t, os.Remove(path))
	clock = clock.Add(24 * time.Hour)
	r.check()
	assert.Empty(t, exempt())
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{
		"/tmp/ca.crt": "/tmp/ca.crt",
		"a b":         "'a b'",
		"it's":        `'it'\''s'`,
		"":            "''",
		"$HOME":       "'$HOME'",
	} {
		assert.Equal(t, want, quote(in))
	}
}
