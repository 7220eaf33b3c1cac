package decode_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/gatewarden/gatewarden/pkg/decode"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/test/worlds"
)

// eachObject calls f with every object that is in the files of the repository, wherever it is in them,
// and in the recorded ones if they are there.
func eachObject(t *testing.T, f func(name string, api resource.API, raw []byte)) {
	for _, root := range []string{"../../examples", "../../test", "../../pkg", "../../../shared/deploykf/objects"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() || !slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(path)) {
				return nil
			}
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
			var document any
			// Until the end, or up to what is no YAML in a file for a test about that.
			for ; documents.Decode(&document) == nil; document = nil {
				within(document, func(o map[string]any) {
					version, _ := o["apiVersion"].(string)
					kind, _ := o["kind"].(string)
					if api, known := resource.Lookup(version, kind); known {
						raw, err := (&unstructured.Unstructured{Object: o}).MarshalJSON()
						require.NoError(t, err)
						f(path, api, raw)
					}
				})
			}
			return nil
		})
		if !errors.Is(err, fs.ErrNotExist) {
			require.NoError(t, err)
		}
	}
	for m := range (worlds.Shape{Objects: 500}).Manifests() {
		f("a world", m.API, m.JSON())
	}
}

// within calls f with each map in a document.
func within(document any, f func(map[string]any)) {
	switch d := document.(type) {
	case map[string]any:
		f(d)
		for _, v := range d {
			within(v, f)
		}
	case []any:
		for _, v := range d {
			within(v, f)
		}
	}
}

// What is judged of a pruned object is what is judged of the whole one.
func TestPrunedObjectsAreReadAlike(t *testing.T) {
	kinds, read := map[resource.Kind]bool{}, 0
	eachObject(t, func(name string, api resource.API, raw []byte) {
		want, err := decode.Object(api, raw)
		pruned, pruneErr := decode.Prune(api, raw)
		if err != nil {
			assert.Equal(t, err, pruneErr, name)
			return
		}
		require.NoError(t, pruneErr, name)
		want.GetMeta().Version = 0
		got, err := decode.Object(api, pruned)
		require.NoError(t, err, "%s: %s", name, pruned)
		assert.Equal(t, want, got, "%s: %s", name, pruned)
		again, err := decode.Prune(api, pruned)
		require.NoError(t, err, name)
		assert.Equal(t, string(pruned), string(again), name)
		kinds[api.Kind] = true
		read++
	})
	for _, api := range resource.APIs {
		assert.True(t, kinds[api.Kind], "there is no %s in any file", api.Kind)
	}
	assert.Greater(t, read, 1000)
}

// Nothing of a workload may get around that whoever reads the ledger must not see.
func TestPruneLeavesNoSecrets(t *testing.T) {
	pod := `{"containers": [{"name": "app", "image": "i", "command": ["secret-1"], "args": ["secret-2"],
		"env": [{"name": "NAME-3", "value": "secret-4", "valueFrom": {"secretKeyRef": {"name": "secret-5"}}}],
		"envFrom": [{"secretRef": {"name": "secret-6"}}]}],
		"volumes": [{"secret": {"secretName": "secret-7"}}], "initContainers": [{"args": ["secret-8"]}]}`
	meta := `"metadata": {"name": "a", "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "secret-9"}, "managedFields": [{"manager": "secret-10"}]}`
	for _, c := range []struct {
		kind resource.Kind
		text string
	}{
		{resource.KindPod, `{` + meta + `, "spec": ` + pod + `}`},
		{resource.KindDeployment, `{` + meta + `, "spec": {"template": {` + meta + `, "spec": ` + pod + `}}}`},
	} {
		pruned, err := decode.Prune(resource.ByKind(c.kind), []byte(c.text))
		require.NoError(t, err)
		assert.NotContains(t, string(pruned), "secret-")
		assert.NotContains(t, string(pruned), "NAME-3")
		assert.Contains(t, string(pruned), `"image":"i"`)
	}
}
