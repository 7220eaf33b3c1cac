package config_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/config"
)

func TestVersionRange(t *testing.T) {
	r := config.VersionRange{Min: config.IstioVersion{Major: 1, Minor: 9}, Max: config.IstioVersion{Major: 1, Minor: 22}}
	for version, want := range map[string]bool{"1.8": false, "1.9": true, "1.15": true, "1.22": true, "1.23": false, "2.10": false, "0.20": false} {
		var v config.IstioVersion
		require.NoError(t, v.UnmarshalText([]byte(version)))
		assert.Equal(t, version, v.String())
		assert.Equal(t, want, r.Contains(v), version)
		assert.True(t, config.VersionRange{}.Contains(v), version)
	}
	for _, wrong := range []string{"", "1", "1.x", "x.1", "1.22.3"} {
		assert.Error(t, new(config.IstioVersion).UnmarshalText([]byte(wrong)), wrong)
	}
}

func TestLoadRefusesRequirements(t *testing.T) {
	for text, want := range map[string]string{
		`{min: newest, max: "1.22"}`: `"newest" is no minor version of Istio`,
		`{min: 1.15, max: "1.22"}`:   "must not be a JSON number",
		`{min: "1.15"}`:              `requires.istioVersions.max: Invalid value: "0.0": must not be older than min, 1.15`,
		`{min: "1.9", max: "1.8"}`:   "requires.istioVersions.max",
	} {
		_, err := config.Load([]byte("guardedGateways: [{requires: {istioVersions: "+text+"}}]"), "file.yaml")
		assert.ErrorContains(t, err, want, text)
	}
}
