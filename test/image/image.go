package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// program is the path of the one file in the image.
const program = "gatewarden"

// Build is what an image is made of.
type Build struct {
	Version, Commit string
	// Created is the time of everything in the image: the commit's, so that it does not depend on
	// when it is built.
	Created time.Time
}

// labels are those of the Dockerfile, and what "make image" gives docker besides.
func (b Build) labels() map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":       "gatewarden",
		"org.opencontainers.image.description": "Admission webhook that protects a shared Istio gateway",
		"org.opencontainers.image.licenses":    "Apache-2.0",
		"org.opencontainers.image.version":     b.Version,
		"org.opencontainers.image.revision":    b.Commit,
	}
}

// Image makes the image of a binary for one architecture. It is what the Dockerfile says, which a
// test holds.
func (b Build) Image(binary, architecture string) (v1.Image, error) {
	content, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	layer, err := b.layer(content)
	if err != nil {
		return nil, err
	}
	image := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	image = mutate.ConfigMediaType(image, types.OCIConfigJSON)
	image, err = mutate.Append(image, mutate.Addendum{
		Layer: layer, MediaType: types.OCILayer,
		History: v1.History{Created: v1.Time{Time: b.Created}, CreatedBy: "COPY " + program + " /" + program},
	})
	if err != nil {
		return nil, err
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Created = "linux", architecture, v1.Time{Time: b.Created}
	file.Config = v1.Config{
		// Kubernetes can tell only of a number that it is not root.
		User:       "65532:65532",
		Entrypoint: []string{"/" + program},
		Cmd:        []string{"serve"},
		Labels:     b.labels(),
	}
	return mutate.ConfigFile(image, file)
}

// layer packs the one file.
func (b Build) layer(content []byte) (v1.Layer, error) {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	header := &tar.Header{Typeflag: tar.TypeReg, Name: program, Mode: 0o755, Size: int64(len(content)), ModTime: b.Created}
	if err := w.WriteHeader(header); err != nil {
		return nil, err
	}
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive.Bytes())), nil },
		tarball.WithMediaType(types.OCILayer))
}

// Index makes an index of images by their architectures, in that order.
func (b Build) Index(architectures []string, images map[string]v1.Image) v1.ImageIndex {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, architecture := range architectures {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        runnable{images[architecture]},
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: architecture}},
		})
	}
	annotated, _ := mutate.Annotations(index, b.labels()).(v1.ImageIndex) // it gives back what it is given
	return annotated
}

// runnable is an image of which the index does not say that it is an artifact of another type, as it
// else does of all images: tools that do not know the field leave it out when they copy the index,
// which then has another digest.
type runnable struct{ v1.Image }

// ArtifactType is that of no artifact.
func (runnable) ArtifactType() (string, error) { return "", nil }

// WriteOCI writes an archive of an OCI layout with the index under a name, as skopeo, podman,
// crane and "ctr images import" read it.
func (b Build) WriteOCI(path string, index v1.ImageIndex, reference name.Tag) (err error) {
	dir, err := os.MkdirTemp(filepath.Dir(path), "layout-")
	if err != nil {
		return err
	}
	defer func() {
		if e := os.RemoveAll(dir); err == nil {
			err = e
		}
	}()
	l, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	if err := l.AppendIndex(index, layout.WithAnnotations(map[string]string{
		"org.opencontainers.image.ref.name": reference.TagStr(),
		// By which containerd names it.
		"io.containerd.image.name": reference.String(),
	})); err != nil {
		return err
	}
	return b.pack(path, dir)
}

// pack writes the files of a folder to an archive, in the order of their names.
func (b Build) pack(path, dir string) (err error) {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if e := out.Close(); err == nil {
			err = e
		}
	}()
	w := tar.NewWriter(out)
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		relative, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		header := &tar.Header{Typeflag: tar.TypeDir, Name: filepath.ToSlash(relative) + "/", Mode: 0o755, ModTime: b.Created}
		var content []byte
		if !entry.IsDir() {
			if content, err = os.ReadFile(path); err != nil {
				return err
			}
			header = &tar.Header{Typeflag: tar.TypeReg, Name: filepath.ToSlash(relative), Mode: 0o644, Size: int64(len(content)), ModTime: b.Created}
		}
		if err := w.WriteHeader(header); err != nil {
			return err
		}
		_, err = w.Write(content)
		return err
	})
	if err != nil {
		return err
	}
	return w.Close()
}

// digest names an image or an index by its content.
func digest(d interface{ Digest() (v1.Hash, error) }) (string, error) {
	hash, err := d.Digest()
	if err != nil {
		return "", fmt.Errorf("digest: %w", err)
	}
	return hash.String(), nil
}
