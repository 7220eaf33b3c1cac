package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/test/module"
)

// This program starts itself as the server that it measures.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == serverCommand {
		if err := run(os.Args[1:], os.Stdout); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// A run that is too small to tell anything comes to its end, and measures what it says.
func TestRun(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run([]string{"-only", "door,decision,state", "-sizes", "20,40", "-turns", "1", "-slice", "1ms", "-turn", "20ms"}, &out))
	for _, part := range []string{"## The door", "| 40 | 32 | 500 | gatewarden |", "## The decision", headline, "1,000 hosts", "## Watch events", "## Memory", routesWorld} {
		assert.Contains(t, out.String(), part)
	}
	assert.Error(t, run([]string{"-sizes", "few"}, &out))
	assert.Error(t, run([]string{"-manifests", "0"}, &out))
	assert.Error(t, run([]string{serverCommand, "1"}, &out))
}

// The tables are those of the results that are checked in.
func TestTablesAreOfTheResults(t *testing.T) {
	root, err := module.Dir(t.Context(), module.Gatewarden)
	require.NoError(t, err)
	raw, err := os.ReadFile(filepath.Join(resultsDir(root), jsonFile))
	require.NoError(t, err)
	var r results
	require.NoError(t, json.Unmarshal(raw, &r))
	require.NotEmpty(t, r.Commit)
	require.NotEmpty(t, r.Door)
	require.NotNil(t, r.Cluster)
	table, err := os.ReadFile(filepath.Join(resultsDir(root), tableFile))
	require.NoError(t, err)
	assert.Equal(t, r.table(), string(table), "run make bench")
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	_, summary, _, err := cutSummary(string(readme))
	require.NoError(t, err)
	assert.Equal(t, r.summary(), summary, "run make bench")
}

func TestCutSummary(t *testing.T) {
	before, summary, after, err := cutSummary("a\n" + beginMark + "old\n" + endMark + "b\n")
	require.NoError(t, err)
	assert.Equal(t, []string{"a\n" + beginMark, "old\n", endMark + "b\n"}, []string{before, summary, after})
	_, _, _, err = cutSummary("a\n" + endMark + beginMark)
	assert.Error(t, err)
}

func TestNumbersForPeople(t *testing.T) {
	for want, got := range map[string]string{
		"7": count(7), "1,000": count(1000), "1,234,567": count(1234567),
		"1.50 µs": short(1500 * time.Nanosecond), "15.0 µs": short(15 * time.Microsecond), "150 µs": short(150 * time.Microsecond),
		"1.50 ms": short(1500 * time.Microsecond), "15.0 ms": short(15 * time.Millisecond), "150 ms": short(150 * time.Millisecond),
		"1.50 s": short(1500 * time.Millisecond), "2 MiB": mib(2<<20 + 9), "25% of 8": percent(2, 8), "none of 0": percent(0, 0),
	} {
		assert.Equal(t, want, got)
	}
	assert.Equal(t, time.Duration(5), percentile([]time.Duration{1, 2, 3, 4, 5}, 0.999))
	assert.Equal(t, time.Duration(3), percentile([]time.Duration{1, 2, 3, 4, 5}, 0.5))
	assert.InDelta(t, 2, median([]float64{3, 1, 2}), 0)
}
