package worlds_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/audit"
	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/test/worlds"
)

// A world is what real ones are: nobody in it is refused or warned, all names are different, and each class
// of objects has its share from the first thousand on.
func TestShape(t *testing.T) {
	const n = 3000
	for _, seed := range []uint64{1, 2} {
		shape := worlds.Shape{Objects: n, Seed: seed}
		objects := shape.Decoded()
		require.Len(t, objects, n)
		s := worlds.Snapshot(worlds.Base(), objects)
		assert.Equal(t, n+len(worlds.Base()), s.Len(), "no two have one name")
		result := audit.Run(policy.NewEngine(deploykf.Default(), rules.All()), s)
		for _, f := range result.Findings {
			assert.Equal(t, policy.Note, f.Effect, "%s: %s", f.Key, f.ObjectFinding)
		}
		count := map[resource.Kind]int{}
		namespaces := map[string]int{}
		for _, o := range objects[:1000] {
			count[o.Key().Kind]++
			namespaces[o.Key().Namespace]++
		}
		assert.Equal(t, 620, count[resource.KindVirtualService])
		assert.Equal(t, 80, count[resource.KindGateway])
		assert.Equal(t, 90, count[resource.KindPod])
		assert.Equal(t, 10, count[resource.KindNamespace])
		assert.Greater(t, len(namespaces), 20)
		assert.Equal(t, objects, shape.Decoded(), "a seed is a world")
	}
	assert.NotEqual(t, worlds.Shape{Objects: 50, Seed: 1}.Decoded(), worlds.Shape{Objects: 50, Seed: 2}.Decoded())
}

func TestRoutesOnly(t *testing.T) {
	objects := worlds.Shape{Objects: 1100, Seed: 1, Mix: worlds.RoutesOnly}.Decoded()
	gateways := slices.DeleteFunc(slices.Clone(objects), func(o resource.Object) bool { return o.Key().Kind != resource.KindGateway })
	assert.Len(t, gateways, 100)
	assert.Len(t, objects, 1100)
}

// What an API server gives back says the same as what was written, and more about it.
func TestStored(t *testing.T) {
	for m := range (worlds.Shape{Objects: 200, Seed: 1}).Manifests() {
		stored := m.Stored(7)
		assert.Equal(t, m.Object["spec"], stored.Object["spec"])
		assert.NotContains(t, m.Object["metadata"], "uid")
		assert.Contains(t, stored.Object["metadata"], "managedFields")
		namespace, name := m.Meta()
		o := m.Decode(7)
		assert.Equal(t, resource.Key{Kind: m.API.Kind, Namespace: namespace, Name: name}, o.Key())
		assert.NotEmpty(t, o.GetMeta().UID)
		assert.NotZero(t, o.GetMeta().Created)
	}
}

func TestSamples(t *testing.T) {
	assert.Len(t, worlds.Samples(), 10)
}
