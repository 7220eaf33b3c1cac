// Package chart renders the Helm chart of the folder deploy/, and its tests prove that it installs
// what the kustomizations there do. It is a module of its own, so that Helm is no dependency.
package chart

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/loader"
	"helm.sh/helm/v4/pkg/engine"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/gatewarden/gatewarden/test/module"
)

const (
	// Namespace is that of the release.
	Namespace = "gatewarden"
	notes     = "NOTES.txt"
)

// Dir is the folder of the chart.
func Dir(ctx context.Context) (string, error) {
	root, err := module.Dir(ctx, module.Gatewarden)
	return filepath.Join(root, "deploy", "chart"), err
}

// Rendering is what a chart becomes.
type Rendering struct {
	Objects []*unstructured.Unstructured
	Notes   string
}

// Render renders the chart as "helm template" does, with values over its own. Helm checks them
// against the chart's schema first.
func Render(ctx context.Context, namespace string, values map[string]any) (Rendering, error) {
	dir, err := Dir(ctx)
	if err != nil {
		return Rendering{}, err
	}
	chart, err := loader.Load(dir)
	if err != nil {
		return Rendering{}, fmt.Errorf("loading %s: %w", dir, err)
	}
	release := common.ReleaseOptions{Name: "gatewarden", Namespace: namespace, Revision: 1, IsInstall: true}
	all, err := util.ToRenderValues(chart, values, release, common.DefaultCapabilities)
	if err != nil {
		return Rendering{}, fmt.Errorf("the chart's values: %w", err)
	}
	files, err := engine.Render(chart, all)
	if err != nil {
		return Rendering{}, fmt.Errorf("rendering the chart: %w", err)
	}
	var out Rendering
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if path.Base(name) == notes {
			out.Notes = files[name]
			continue
		}
		objects, err := parse(files[name])
		if err != nil {
			return out, fmt.Errorf("%s: %w\n%s", name, err, files[name])
		}
		out.Objects = append(out.Objects, objects...)
	}
	return out, nil
}

// parse reads the objects of a rendered template.
func parse(text string) ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	d := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	for {
		var raw map[string]any
		if err := d.Decode(&raw); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, err
		}
		if len(raw) > 0 {
			out = append(out, &unstructured.Unstructured{Object: raw})
		}
	}
}
