package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var build = Build{Version: "v1.2.3", Commit: "c0ffee", Created: time.Unix(1_700_000_000, 0).UTC()}

// binaries writes something that stands for each binary.
func binaries(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, architecture := range []string{"amd64", "arm64"} {
		path := filepath.Join(dir, "linux-"+architecture, program)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte("for "+architecture), 0o700))
	}
	return dir
}

func write(t *testing.T, b Build, dir string) []string {
	t.Helper()
	reference, err := name.NewTag("gatewarden:v1.2.3")
	require.NoError(t, err)
	lines, err := b.write(dir, []string{"arm64", "amd64"}, reference)
	require.NoError(t, err)
	return lines
}

// Where, when and by whom it is built makes no difference.
func TestTheSameBinariesMakeTheSameBytes(t *testing.T) {
	one, two := binaries(t), binaries(t)
	past := time.Unix(1, 0)
	require.NoError(t, os.Chtimes(filepath.Join(two, "linux-amd64", program), past, past))
	require.NoError(t, os.Chmod(filepath.Join(two, "linux-amd64", program), 0o755))
	lines := write(t, build, one)
	again := write(t, build, two)
	require.Len(t, lines, 3)
	for i := range lines {
		assert.Equal(t, strings.Replace(lines[i], one, "", 1), strings.Replace(again[i], two, "", 1))
	}
	for _, file := range []string{"gatewarden-linux-amd64.tar", "gatewarden-linux-arm64.tar", "gatewarden-oci.tar"} {
		a, err := os.ReadFile(filepath.Join(one, file))
		require.NoError(t, err)
		b, err := os.ReadFile(filepath.Join(two, file))
		require.NoError(t, err)
		assert.True(t, bytes.Equal(a, b), file)
	}

	later := build
	later.Created = build.Created.Add(time.Second)
	assert.NotEqual(t, lines, write(t, later, one), "the time of the commit is in it")
}

func TestImagesAreWhatTheDockerfileSays(t *testing.T) {
	dir := binaries(t)
	write(t, build, dir)
	instructions := dockerfile(t)
	for _, architecture := range []string{"amd64", "arm64"} {
		image, err := tarball.ImageFromPath(filepath.Join(dir, "gatewarden-linux-"+architecture+".tar"), nil)
		require.NoError(t, err)
		require.NoError(t, validate.Image(image))
		file, err := image.ConfigFile()
		require.NoError(t, err)
		assert.Equal(t, "linux", file.OS)
		assert.Equal(t, architecture, file.Architecture)
		assert.Equal(t, []string{"scratch"}, instructions["FROM"])
		assert.Equal(t, instructions["USER"], []string{file.Config.User})
		assert.Equal(t, instructions["ENTRYPOINT"], []string{list(t, file.Config.Entrypoint)})
		assert.Equal(t, instructions["CMD"], []string{list(t, file.Config.Cmd)})
		assert.Equal(t, instructions["COPY"], []string{program + " /" + program})
		for key, value := range file.Config.Labels {
			switch key {
			case "org.opencontainers.image.version":
				assert.Equal(t, "v1.2.3", value)
			case "org.opencontainers.image.revision":
				assert.Equal(t, "c0ffee", value)
			default:
				assert.Contains(t, instructions["LABEL"][0], key+`="`+value+`"`)
			}
		}
		assert.Len(t, file.Config.Labels, 2+strings.Count(instructions["LABEL"][0], "="))
		delete(instructions, "")
		known := []string{"FROM", "LABEL", "COPY", "USER", "ENTRYPOINT", "CMD"}
		assert.Len(t, instructions, len(known), "an instruction that the image does not know of: %v", instructions)
		assert.Equal(t, "for "+architecture, content(t, image))
	}
}

// dockerfile returns the arguments of the Dockerfile's instructions.
func dockerfile(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "Dockerfile"))
	require.NoError(t, err)
	out := map[string][]string{}
	for line := range strings.Lines(strings.ReplaceAll(string(text), "\\\n", " ")) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		instruction, arguments, _ := strings.Cut(line, " ")
		out[instruction] = append(out[instruction], strings.TrimSpace(arguments))
	}
	return out
}

// list writes a list as a Dockerfile does.
func list(t *testing.T, items []string) string {
	t.Helper()
	b, err := json.Marshal(items)
	require.NoError(t, err)
	return string(b)
}

// content is that of the one file of an image.
func content(t *testing.T, image v1.Image) string {
	t.Helper()
	layers, err := image.Layers()
	require.NoError(t, err)
	require.Len(t, layers, 1)
	archive, err := layers[0].Uncompressed()
	require.NoError(t, err)
	header, body := only(t, archive)
	assert.Equal(t, program, header.Name)
	assert.EqualValues(t, 0o755, header.Mode, "everybody can run it, nobody write to it but root")
	assert.Zero(t, header.Uid)
	assert.True(t, build.Created.Equal(header.ModTime))
	return body
}

// only is the one entry of an archive.
func only(t *testing.T, archive io.ReadCloser) (*tar.Header, string) {
	t.Helper()
	defer func() { assert.NoError(t, archive.Close()) }()
	r := tar.NewReader(archive)
	header, err := r.Next()
	require.NoError(t, err)
	body, err := io.ReadAll(r)
	require.NoError(t, err)
	_, err = r.Next()
	assert.ErrorIs(t, err, io.EOF)
	return header, string(body)
}

// The archive of all architectures is an OCI layout that names the index.
func TestArchiveOfAllArchitectures(t *testing.T) {
	dir := binaries(t)
	lines := write(t, build, dir)
	layoutDir := t.TempDir()
	archive, err := os.Open(filepath.Join(dir, "gatewarden-oci.tar"))
	require.NoError(t, err)
	defer func() { assert.NoError(t, archive.Close()) }()
	r := tar.NewReader(archive)
	for {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		path := filepath.Join(layoutDir, filepath.FromSlash(header.Name))
		require.True(t, filepath.IsLocal(header.Name))
		if header.Typeflag == tar.TypeDir {
			require.NoError(t, os.MkdirAll(path, 0o755))
			continue
		}
		body, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, body, 0o600))
	}
	top, err := layout.ImageIndexFromPath(layoutDir)
	require.NoError(t, err)
	require.NoError(t, validate.Index(top))
	manifest, err := top.IndexManifest()
	require.NoError(t, err)
	require.Len(t, manifest.Manifests, 1)
	entry := manifest.Manifests[0]
	assert.Equal(t, "v1.2.3", entry.Annotations["org.opencontainers.image.ref.name"])
	assert.Equal(t, lines[2], entry.Digest.String()+"  index  "+filepath.Join(dir, "gatewarden-oci.tar"))

	index, err := top.ImageIndex(entry.Digest)
	require.NoError(t, err)
	images, err := index.IndexManifest()
	require.NoError(t, err)
	var platforms []string
	for i, m := range images.Manifests {
		platforms = append(platforms, m.Platform.String())
		assert.True(t, strings.HasPrefix(lines[i], m.Digest.String()))
		assert.Empty(t, m.ArtifactType, "skopeo makes another index of one that has it, with another digest")
	}
	assert.Equal(t, []string{"linux/amd64", "linux/arm64"}, platforms)
}

func TestWithoutTheTimeOfTheCommitNothingIsBuilt(t *testing.T) {
	t.Setenv(epoch, "")
	assert.ErrorContains(t, run([]string{"-out", t.TempDir()}), `SOURCE_DATE_EPOCH="": give the time`)
	t.Setenv(epoch, "1700000000")
	assert.ErrorContains(t, run([]string{"-out", t.TempDir()}), "no such file")
	assert.NoError(t, run([]string{"-out", binaries(t), "-tag", "example.com/gatewarden:v1"}))
}
