package cli

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares an output with a file.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), got, "run the test with -update if the change is meant")
}

func TestMapGolden(t *testing.T) {
	for _, c := range []struct {
		file string
		args []string
	}{
		{"deploykf.txt", nil},
		{"tenant.txt", []string{"--cluster", "testdata/map/objects.yaml"}},
		{"tenant.json", []string{"--cluster", "testdata/map/objects.yaml", "-o", "json"}},
	} {
		t.Run(c.file, func(t *testing.T) {
			r := main(t, "", append([]string{"map", "--cluster", "../../examples/deploykf"}, c.args...)...)
			require.Zero(t, r.code, r.err)
			assert.Empty(t, r.err)
			golden(t, filepath.Join("testdata", "map", c.file), r.out)
		})
	}
}

func TestMapOfNothing(t *testing.T) {
	r := main(t, "", "map", "--cluster", "-", "-o", "json")
	require.Zero(t, r.code, r.err)
	assert.True(t, json.Valid([]byte(r.out)))
	assert.NotContains(t, r.out, "null")
	assert.Contains(t, r.out, `"deploykf-istio-gateway/deploykf-gateway"`)
	assert.Contains(t, main(t, "", "map", "--cluster", "-").out, "the owner's Gateway deploykf-istio-gateway/deploykf-gateway is not there")
}

func TestMapUsage(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	t.Setenv("HOME", t.TempDir())
	for message, args := range map[string][]string{
		"no cluster is known": nil,
		`--output "yaml"`:     {"--cluster", "-", "-o", "yaml"},
		"takes no arguments":  {"--cluster", "-", "more"},
		"no-such-file":        {"--cluster", "no-such-file"},
		"--config nowhere":    {"--cluster", "-", "--config", "nowhere"},
	} {
		r := main(t, "", append([]string{"map"}, args...)...)
		assert.Equal(t, exitFailed, r.code)
		assert.Empty(t, r.out)
		assert.Contains(t, r.err, message)
	}
}
