package manifest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/manifest"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// read reads text as standard input.
func read(text string) ([]manifest.Document, error) {
	return manifest.Read([]string{manifest.Stdin}, strings.NewReader(text))
}

// write makes files below a new folder and changes into it.
func write(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range files {
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
		require.NoError(t, os.WriteFile(name, []byte(text), 0o644))
	}
}

// places are the documents as "FILE:LINE Kind namespace/name".
func places(documents []manifest.Document) []string {
	var out []string
	for _, d := range documents {
		key := resource.Key{Kind: resource.Kind(d.KindName), Namespace: d.Namespace, Name: d.Name}
		out = append(out, fmt.Sprintf("%s:%d %s", d.File, d.Line, key))
	}
	return out
}

// lines are the joined errors, one by one, each of which must be an *Error.
func lines(t *testing.T, err error) []string {
	t.Helper()
	require.Error(t, err)
	var joined interface{ Unwrap() []error }
	require.ErrorAs(t, err, &joined)
	var out []string
	for _, e := range joined.Unwrap() {
		var fault *manifest.Error
		require.ErrorAs(t, e, &fault)
		out = append(out, fault.Error())
	}
	assert.Equal(t, strings.Join(out, "\n"), err.Error())
	return out
}

func gateway(name string) string {
	return "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: " + name + "}\n"
}

// stream has every way to start and to end a document.
const stream = `# a comment

---
# another one
apiVersion: networking.istio.io/v1beta1
kind: Gateway
metadata: {name: one, namespace: team-a}
spec: {servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
--- # nothing in here
...
%YAML 1.1
# about the namespace
---
kind: Namespace
apiVersion: v1
metadata: {name: team-a, namespace: ignored}
...
--- {apiVersion: v1, kind: ConfigMap, metadata: {name: c}}
---
apiVersion: networking.istio.io/v9
kind: Gateway
metadata: {generateName: later-, labels: 7}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {generateName: workspace-}
`

func TestStream(t *testing.T) {
	for name, text := range map[string]string{
		"as it is":      stream,
		"CRLF":          strings.ReplaceAll(stream, "\n", "\r\n"),
		"BOM":           "\uFEFF" + stream,
		"no line break": strings.TrimSuffix(stream, "\n"),
	} {
		t.Run(name, func(t *testing.T) {
			documents, err := read(text)
			require.NoError(t, err)
			require.Equal(t, []string{
				"stdin:5 Gateway team-a/one",
				"stdin:14 Namespace team-a",
				"stdin:18 ConfigMap c",
				"stdin:20 Gateway ",
				"stdin:24 VirtualService default/",
			}, places(documents))
			one, namespace, unknown, future, generated := documents[0], documents[1], documents[2], documents[3], documents[4]

			assert.True(t, one.Known)
			assert.Equal(t, resource.ByKind(resource.KindGateway), one.API)
			assert.Equal(t, "networking.istio.io/v1beta1", one.APIVersion)
			assert.Equal(t, []string{"*"}, one.Object.(*resource.Gateway).Servers[0].Hosts)
			assert.Equal(t, "stdin:5", one.Object.GetMeta().Source)
			assert.JSONEq(t, `{"apiVersion":"networking.istio.io/v1beta1","kind":"Gateway",
				"metadata":{"name":"one","namespace":"team-a"},
				"spec":{"servers":[{"port":{"number":80,"name":"http","protocol":"HTTP"},"hosts":["*"]}]}}`, string(one.Raw))

			assert.Equal(t, resource.Key{Kind: resource.KindNamespace, Name: "team-a"}, namespace.Object.Key())
			for _, d := range []manifest.Document{unknown, future} {
				assert.False(t, d.Known)
				assert.Nil(t, d.Object)
			}
			assert.Equal(t, "workspace-", generated.Object.GetMeta().GenerateName)
			assert.Equal(t, "default", generated.Object.GetMeta().Namespace)
			assert.JSONEq(t, `{"apiVersion":"networking.istio.io/v1","kind":"VirtualService",
				"metadata":{"generateName":"workspace-","namespace":"default"}}`, string(generated.Raw))
		})
	}
}

// A line of a block scalar is no document marker unless it starts in the first column.
func TestMarkersInText(t *testing.T) {
	documents, err := read(gateway("one") + "x: |\n  ---\n  ...\n  # no comment\ny: ---a\n---\n" + gateway("two"))
	require.NoError(t, err)
	assert.Equal(t, []string{"stdin:1 Gateway default/one", "stdin:10 Gateway default/two"}, places(documents))
	assert.Contains(t, string(documents[0].Raw), `---\n...\n# no comment\n`)
}

// Scalars are read as kubectl reads them, by YAML 1.1.
func TestScalars(t *testing.T) {
	documents, err := read(`
apiVersion: v1
kind: ConfigMap
data: {a: yes, b: 0o10, c: 010, d: 9007199254740993, e: 2001-01-01, 1: on}
`)
	require.NoError(t, err)
	assert.Contains(t, string(documents[0].Raw),
		`"data":{"1":true,"a":true,"b":8,"c":8,"d":9007199254740993,"e":"2001-01-01"}`)
}

func TestLists(t *testing.T) {
	write(t, map[string]string{
		"list.yaml": `apiVersion: v1
kind: List
metadata: {resourceVersion: ""}
items:
- apiVersion: networking.istio.io/v1
  kind: Gateway
  metadata: {name: one}
-
  # after the dash
  apiVersion: v1
  kind: List
  items:
    - {apiVersion: v1, kind: Secret, metadata: {name: two, namespace: a}}
    - &three {apiVersion: v1, kind: Service, metadata: {name: three}}
- *three
---
apiVersion: v1
kind: List
items: []
---
apiVersion: v1
kind: List
---
# of another group, without items
apiVersion: example.com/v1
kind: WishList
metadata: {name: w}
`,
		"typed.yaml": `---
apiVersion: networking.istio.io/v1
items:
  - metadata: {name: one}
  - {metadata: {name: two}, kind: Gateway, apiVersion: networking.istio.io/v1beta1}
kind: GatewayList
`,
		"merged.yaml": `base: &base
  items: [{apiVersion: v1, kind: Service, metadata: {name: one}}]
<<: *base
apiVersion: v1
kind: List
`,
		"list.json": `
{"kind": "List", "apiVersion": "v1", "metadata": {"a": [1, {"items": []}]}, "items": [
	{"kind": "Service", "apiVersion": "v1", "metadata": {"name": "\ud83d\ude00"}},

	{"kind": "Namespace", "apiVersion": "v1",
	 "metadata": {"name": "two"}}]}
{"kind": "PodList", "apiVersion": "v1", "items":
	[{"metadata": {"name": "three", "namespace": "a"}}]}
`,
	})
	documents, err := manifest.Read([]string{"list.yaml", "typed.yaml", "merged.yaml", "list.json"}, nil)
	require.NoError(t, err)
	assert.Equal(t, []string{
		"list.yaml:5 Gateway default/one",
		"list.yaml:13 Secret a/two",
		"list.yaml:14 Service default/three",
		"list.yaml:15 Service default/three",
		"list.yaml:25 WishList w",
		"typed.yaml:4 Gateway default/one",
		"typed.yaml:5 Gateway default/two",
		"merged.yaml:1 Service default/one",
		"list.json:3 Service default/😀",
		"list.json:5 Namespace two",
		"list.json:8 Pod a/three",
	}, places(documents))
	assert.JSONEq(t, `{"apiVersion":"networking.istio.io/v1","kind":"Gateway","metadata":{"name":"one","namespace":"default"}}`,
		string(documents[5].Raw))
}

func TestFolders(t *testing.T) {
	write(t, map[string]string{
		"dir/b.yaml":         gateway("b"),
		"dir/a.yml":          gateway("a"),
		"dir/a/z.json":       `{"apiVersion":"networking.istio.io/v1","kind":"Gateway","metadata":{"name":"z"}}`,
		"dir/a/UPPER.YAML":   gateway("upper"),
		"dir/a/readme.md":    "# no manifest",
		"dir/.hidden.yaml":   "}",
		"dir/.git/c.yaml":    "}",
		"dir/nothing.yaml":   "# only a comment\n",
		".data/mounted.yaml": gateway("mounted"),
		"other.txt":          gateway("other"),
	})
	require.NoError(t, os.Symlink("../.data/mounted.yaml", "dir/link.yaml"))
	require.NoError(t, os.Symlink("..", "dir/circle.yaml"))
	require.NoError(t, os.Symlink("dir", "linked"))
	documents, err := manifest.Read([]string{"other.txt", "./dir", "-", "linked/a"}, strings.NewReader(gateway("stdin")))
	require.NoError(t, err)
	assert.Equal(t, []string{
		"other.txt:1 Gateway default/other",
		"dir/a.yml:1 Gateway default/a",
		"dir/a/UPPER.YAML:1 Gateway default/upper",
		"dir/a/z.json:1 Gateway default/z",
		"dir/b.yaml:1 Gateway default/b",
		"dir/link.yaml:1 Gateway default/mounted",
		"stdin:1 Gateway default/stdin",
		"linked/a/UPPER.YAML:1 Gateway default/upper",
		"linked/a/z.json:1 Gateway default/z",
	}, places(documents))

	documents, err = manifest.Read(nil, nil)
	require.NoError(t, err)
	assert.Empty(t, documents)
}

func TestFaultsOfPaths(t *testing.T) {
	write(t, map[string]string{"empty/readme.md": "", "good.yaml": gateway("a")})
	require.NoError(t, os.Mkdir("dangling", 0o755))
	require.NoError(t, os.Symlink("nowhere", "dangling/link.yaml"))
	large, err := os.Create("large.yaml")
	require.NoError(t, err)
	require.NoError(t, large.Truncate(64<<20+1)) // sparse
	require.NoError(t, large.Close())

	documents, err := manifest.Read(
		[]string{"good.yaml", "missing", "empty", "dangling", "large.yaml", "good.yaml/x", "-", "-"}, strings.NewReader(""))
	assert.Nil(t, documents)
	assert.Equal(t, []string{
		"missing: no such file or folder; check the path",
		"empty: the folder has no manifest; put .yaml, .yml or .json files into it, or name another one",
		"dangling/link.yaml: cannot be read: no such file or directory; check the path and its permissions",
		"large.yaml: is larger than 64 MiB; split the file",
		"good.yaml/x: cannot be read: not a directory; check the path and its permissions",
		`stdin: there is nothing left to read; name "-" only once`,
	}, lines(t, err))
}

func TestFaults(t *testing.T) {
	const good = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n"
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"indentation", good + "---\na: 1\n b: 2\n", []string{
			"f.yaml:6: not valid YAML: mapping values are not allowed in this context; correct the syntax",
		}},
		{"item beside keys", good + "- b\n", []string{"f.yaml:4: not valid YAML: did not find expected key; correct the syntax"}},
		{"tab", "a:\n\t- b\n", []string{
			"f.yaml:2: not valid YAML: found character that cannot start any token; correct the syntax",
		}},
		{"first line", "\n\n}", []string{"f.yaml:3: not valid YAML: did not find expected node content; correct the syntax"}},
		{"alias", "---\na: *b\n", []string{"f.yaml:2: not valid YAML: unknown anchor 'b' referenced; correct the syntax"}},
		{"itself", "a: &a [*a]\n", []string{"f.yaml:1: not valid YAML: anchor 'a' value contains itself; correct the syntax"}},
		{"repeated keys", good + "kind: Pod\n---\na: 1\nb: {c: 1,\n  c: 2}\n", []string{
			`f.yaml:4: key "kind" is there twice; keep one of the two`,
			`f.yaml:8: key "c" is there twice; keep one of the two`,
		}},
		{"control character", "a: 1\nb: \x00\n", []string{`f.yaml:2: control character '\x00'; save the file as UTF-8 text`}},
		{"encoding", "a: 1\nb: \xff\n", []string{"f.yaml:2: byte 0xff is not UTF-8; save the file as UTF-8 text"}},
		{"infinite", "a: .inf\n", []string{"f.yaml:1: not valid YAML: json: unsupported value: +Inf; correct the syntax"}},
		{"scalar", "hello\n--- 7\n", []string{
			"f.yaml:1: is no object; write a mapping with apiVersion, kind and metadata",
			"f.yaml:2: is no object; write a mapping with apiVersion, kind and metadata",
		}},
		{"no type", "---\nmetadata: {}\n", []string{
			"f.yaml:2: apiVersion and kind are missing; add them, or leave the file out if it has no Kubernetes objects",
		}},
		{"no kind", "apiVersion: v1\n", []string{`f.yaml:1: kind is missing; add it, for example "Gateway"`}},
		{"wrong types", "apiVersion: 1\nkind: ''\n", []string{
			`f.yaml:1: apiVersion is no string; write it as one, for example "networking.istio.io/v1"`,
			`f.yaml:1: kind is empty; fill it in, for example "Gateway"`,
		}},
		{"items", "apiVersion: v1\nkind: List\nitems: {}\n", []string{"f.yaml:1: items is no list; write it as a list of objects"}},
		{"item", "apiVersion: v1\nkind: List\nitems:\n- 1\n- {}\n", []string{
			"f.yaml:4: is no object; write a mapping with apiVersion, kind and metadata",
			"f.yaml:5: apiVersion and kind are missing; add them, or leave the file out if it has no Kubernetes objects",
		}},
		{"no name", "apiVersion: v1\nkind: Pod\n", []string{
			"f.yaml:1: Pod default/(unnamed): metadata.name: is missing; name the object",
		}},
		{"field", gateway("one") + "---\n" + gateway("two") + "spec:\n  servers: [{port: {number: 0}}]\n", []string{
			"f.yaml:5: Gateway default/two: spec.servers[0].port.number: 0 is no port; use a number from 1 to 65535",
		}},
		{"metadata", "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: [a]\n", []string{
			"f.yaml:1: Gateway default/(unnamed): metadata: must be an object, not a list",
		}},
		{"namespace", "apiVersion: v1\nkind: Pod\nmetadata: {generateName: a-, namespace: 7}\n", []string{
			"f.yaml:1: Pod a-…: metadata.namespace: must be a string, not 7; put it in quotes",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			write(t, map[string]string{"f.yaml": c.text})
			documents, err := manifest.Read([]string{"f.yaml"}, nil)
			assert.Nil(t, documents)
			assert.Equal(t, c.want, lines(t, err))
		})
	}
}

func TestFaultsOfJSON(t *testing.T) {
	const good = `{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}` + "\n"
	write(t, map[string]string{
		"syntax.json":   good + "\n{\n  \"a\": 1,\n  b\n}\n",
		"end.json":      good + "{\"a\":\n[\n",
		"repeated.json": good + "{\"a\": {\"b\": 1, \"b\": 2}}\n",
		"list.json":     "[\n" + good + "]",
		"flow.yaml":     "{apiVersion: v1, kind: Namespace, metadata: {name: a}}\n---\n{\n",
	})
	_, err := manifest.Read([]string{"syntax.json", "end.json", "repeated.json", "list.json", "flow.yaml"}, nil)
	assert.Equal(t, []string{
		"syntax.json:5: not valid JSON: invalid character 'b' looking for beginning of object key string; correct the syntax",
		"end.json:4: not valid JSON: unexpected end of JSON input; correct the syntax",
		`repeated.json:2: duplicate field "a.b"; keep one of the two`,
		"list.json:1: is no object; write a mapping with apiVersion, kind and metadata",
		"flow.yaml:4: not valid YAML: did not find expected node content; correct the syntax",
	}, lines(t, err))
}

// Small files that would become huge, or take for ever, are refused quickly.
func TestBombs(t *testing.T) {
	var aliases strings.Builder
	aliases.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 30; i++ {
		one := fmt.Sprintf("*a%d, ", i-1)
		fmt.Fprintf(&aliases, "a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(one, 10), ", "))
	}
	_, err := read(aliases.String())
	assert.EqualError(t, err, "stdin:1: not valid YAML: document contains excessive aliasing; correct the syntax")

	for _, text := range []string{
		strings.Repeat("[", 100_000),
		strings.Repeat(`{"a":`, 100_000),
		strings.Repeat("- ", 100_000),
	} {
		_, err := read(text)
		require.Error(t, err)
		assert.Less(t, len(err.Error()), 200)
	}

	_, err = read(strings.Repeat(`{"apiVersion":"v1","kind":"List","items":[`, 1000) + strings.Repeat("]}", 1000))
	assert.EqualError(t, err, "stdin:1: lies in 8 lists; take the objects out of some of them")

	_, err = read(strings.Repeat("--- x\n", 5000))
	faults := lines(t, err)
	require.Len(t, faults, 1001)
	assert.Equal(t, "…: there are more than 1000 faults; correct these first", faults[1000])
}

func BenchmarkRead(b *testing.B) {
	var text strings.Builder
	for i := range 100 {
		text.WriteString("---\n" + gateway(fmt.Sprintf("g%d", i)) +
			"spec:\n  servers:\n    - port: {number: 443, name: https, protocol: HTTPS}\n      hosts: [a.example.com]\n")
	}
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := read(text.String()); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzRead asks of every input: no panic; documents or faults; every line is one of the
// file; what is known is decoded and in a namespace if its kind is; and the JSON of an
// object reads as the same object.
func FuzzRead(f *testing.F) {
	f.Add(stream)
	f.Fuzz(func(t *testing.T, text string) {
		documents, err := read(text)
		if err != nil {
			require.Nil(t, documents)
			for _, l := range lines(t, err) {
				require.NotContains(t, l, "\n")
			}
			return
		}
		for _, d := range documents {
			require.Positive(t, d.Line)
			require.LessOrEqual(t, d.Line, strings.Count(text, "\n")+1)
			require.Equal(t, d.Known, d.Object != nil)
			if !d.Known {
				continue
			}
			require.Equal(t, d.API.Namespaced, d.Namespace != "")
			require.Equal(t, d.Namespace, d.Object.GetMeta().Namespace)
			again, err := read(string(d.Raw))
			require.NoError(t, err)
			require.Len(t, again, 1)
			again[0].Object.GetMeta().Source = d.Object.GetMeta().Source
			require.Equal(t, d.Object, again[0].Object)
		}
	})
}

// Of ConfigMaps those are objects to judge by which Istio is configured. What is in those of
// others is nobody's business, however broken.
func TestConfigMaps(t *testing.T) {
	documents, err := manifest.Read([]string{manifest.Stdin}, strings.NewReader(`
{apiVersion: v1, kind: ConfigMap, metadata: {name: istio, namespace: istio-system}, data: {mesh: 'trustDomain: td'}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: istio-ca-root-cert, namespace: a}, data: {root-cert.pem: x}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: a}, data: {mesh: 7, values: [1]}}
`))
	require.NoError(t, err)
	require.Len(t, documents, 3)
	assert.Equal(t, "td", documents[0].Object.(*resource.ConfigMap).Mesh.TrustDomain)
	for _, d := range documents[1:] {
		assert.False(t, d.Known, d.Name)
		assert.Nil(t, d.Object, d.Name)
	}
}
