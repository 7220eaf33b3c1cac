// Command image makes gatewarden's container image of binaries that were built before, without a
// base image and without a container engine, the same bytes for the same binaries: an archive of
// all architectures, and one of each for "docker load". "make image" runs it.
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// epoch is the variable by which builds are told the time that everything they make is to have
// (https://reproducible-builds.org/specs/source-date-epoch).
const epoch = "SOURCE_DATE_EPOCH"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	var b Build
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	out := flags.String("out", "", "`DIR` with a folder linux-ARCHITECTURE for each binary, to write the archives to")
	tag := flags.String("tag", "gatewarden:dev", "`NAME:TAG` of the image")
	architectures := flags.String("arch", "amd64,arm64", "architectures, by commas")
	flags.StringVar(&b.Version, "version", "unknown", "`VERSION` for the labels")
	flags.StringVar(&b.Commit, "commit", "unknown", "`COMMIT` for the labels")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *out == "" {
		return errors.New("-out: name a folder")
	}
	seconds, err := strconv.ParseInt(os.Getenv(epoch), 10, 64)
	if err != nil {
		return fmt.Errorf("%s=%q: give the time of the commit, in seconds since 1970", epoch, os.Getenv(epoch))
	}
	b.Created = time.Unix(seconds, 0).UTC()
	reference, err := name.NewTag(*tag)
	if err != nil {
		return fmt.Errorf("-tag: %w", err)
	}
	digests, err := b.write(*out, strings.Split(*architectures, ","), reference)
	if err != nil {
		return err
	}
	for _, d := range digests {
		fmt.Println(d)
	}
	return nil
}

// write writes all archives and returns a line for each.
func (b Build) write(dir string, architectures []string, reference name.Tag) ([]string, error) {
	slices.SortFunc(architectures, cmp.Compare[string])
	images := map[string]v1.Image{}
	var lines []string
	add := func(file, platform string, of interface{ Digest() (v1.Hash, error) }) error {
		d, err := digest(of)
		lines = append(lines, fmt.Sprintf("%s  %s  %s", d, platform, filepath.Join(dir, file)))
		return err
	}
	for _, architecture := range architectures {
		image, err := b.Image(filepath.Join(dir, "linux-"+architecture, program), architecture)
		if err != nil {
			return nil, err
		}
		images[architecture] = image
		file := program + "-linux-" + architecture + ".tar"
		if err := tarball.WriteToFile(filepath.Join(dir, file), reference, image); err != nil {
			return nil, err
		}
		if err := add(file, "linux/"+architecture, image); err != nil {
			return nil, err
		}
	}
	index := b.Index(architectures, images)
	file := program + "-oci.tar"
	if err := b.WriteOCI(filepath.Join(dir, file), index, reference); err != nil {
		return nil, err
	}
	return lines, add(file, "index", index)
}
