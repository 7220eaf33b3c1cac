package decode_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/gatewarden/gatewarden/pkg/decode"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// The budget keeps the cost of an object in proportion to what is kept of it: the JSON of
// a hundred thousand objects passes through here when gatewarden starts.
func TestAllocations(t *testing.T) {
	for _, c := range []struct {
		kind   resource.Kind
		text   string
		budget float64
	}{
		{resource.KindGateway, typicalGateway, 100},
		{resource.KindVirtualService, typicalVirtualService, 150},
	} {
		raw, err := yaml.YAMLToJSON([]byte(c.text))
		require.NoError(t, err)
		api := resource.ByKind(c.kind)
		allocations := testing.AllocsPerRun(100, func() {
			_, err = decode.Object(api, raw)
		})
		require.NoError(t, err)
		assert.LessOrEqual(t, allocations, c.budget, c.kind)
	}
}

func BenchmarkObject(b *testing.B) {
	for kind, text := range map[resource.Kind]string{
		resource.KindGateway:        typicalGateway,
		resource.KindVirtualService: typicalVirtualService,
		resource.KindDeployment:     "spec:\n  template:\n    spec:" + podSpec,
	} {
		raw, err := yaml.YAMLToJSON([]byte(text))
		require.NoError(b, err)
		api := resource.ByKind(kind)
		b.Run(string(kind), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(raw)))
			for b.Loop() {
				if _, err := decode.Object(api, raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
