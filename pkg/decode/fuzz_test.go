package decode_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/gatewarden/gatewarden/pkg/decode"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/test/worlds"
)

// FuzzObject asks of every input: no panic, an object or an *Error of one line that has a
// detail, the same answer again, and no say for white space.
func FuzzObject(f *testing.F) {
	for i, text := range []string{typicalGateway, typicalVirtualService} {
		raw, err := yaml.YAMLToJSON([]byte(text))
		require.NoError(f, err)
		f.Add(uint8(i), raw)
	}
	for _, m := range worlds.Samples() {
		f.Add(uint8(slices.IndexFunc(resource.APIs, func(a resource.API) bool { return a.Kind == m.API.Kind })), m.Stored(1).JSON())
	}
	f.Fuzz(func(t *testing.T, kind uint8, raw []byte) {
		api := resource.APIs[int(kind)%len(resource.APIs)]
		o, err := decode.Object(api, raw)
		if err != nil {
			require.Nil(t, o)
			var wrong *decode.Error
			require.ErrorAs(t, err, &wrong)
			require.NotEmpty(t, wrong.Detail)
			require.NotContains(t, err.Error(), "\n")
			return
		}
		require.Equal(t, api.Kind, o.Key().Kind)
		again, err := decode.Object(api, append([]byte("\n "), raw...))
		require.NoError(t, err)
		require.Equal(t, o, again)
	})
}
