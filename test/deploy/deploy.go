// Package deploy renders the manifests of the folder deploy/, and its tests prove that they
// agree with the code: that they send what the rules judge, and permit what gatewarden reads.
package deploy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"github.com/gatewarden/gatewarden/test/module"
)

// The kustomizations that can be rendered.
const (
	// Base is gatewarden without a certificate.
	Base = "deploy/base"
	// SelfManaged is Base with a certificate that gatewarden makes for itself.
	SelfManaged = "deploy/overlays/self-managed"
	// CertManager is Base with a certificate of cert-manager.
	CertManager = "deploy/overlays/cert-manager"
	// Backstop is the component with what the API server refuses by itself.
	Backstop = "deploy/components/backstop"
)

// Render builds a kustomization, named by its folder in the repository, and returns its
// objects in the order in which kustomize prints them: what others need comes first.
func Render(ctx context.Context, kustomization string) ([]*unstructured.Unstructured, error) {
	root, err := module.Dir(ctx, module.Gatewarden)
	if err != nil {
		return nil, err
	}
	return render(filepath.Join(root, filepath.FromSlash(kustomization)), kustomization)
}

// RenderWith builds a kustomization with components, as Render does.
func RenderWith(ctx context.Context, kustomization string, components ...string) (_ []*unstructured.Unstructured, err error) {
	root, err := module.Dir(ctx, module.Gatewarden)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "gatewarden-deploy-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, err
	}
	relative := func(folder string) string {
		var path string
		if err == nil {
			path, err = filepath.Rel(dir, filepath.Join(root, filepath.FromSlash(folder)))
		}
		return path
	}
	k := types.Kustomization{Resources: []string{relative(kustomization)}}
	for _, c := range components {
		k.Components = append(k.Components, relative(c))
	}
	if err != nil {
		return nil, err
	}
	content, err := yaml.Marshal(k)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), content, 0o600); err != nil {
		return nil, err
	}
	return render(dir, kustomization)
}

// render builds the kustomization in a folder.
func render(dir, kustomization string) ([]*unstructured.Unstructured, error) {
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionLegacy
	resources, err := krusty.MakeKustomizer(options).
		Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		return nil, fmt.Errorf("building %s: %w", kustomization, err)
	}
	var objects []*unstructured.Unstructured
	for _, r := range resources.Resources() {
		// By way of JSON: kustomize's maps hold int, which unstructured objects must not.
		raw, err := r.MarshalJSON()
		if err != nil {
			return nil, fmt.Errorf("building %s: %s: %w", kustomization, r.CurId(), err)
		}
		o := &unstructured.Unstructured{}
		if err := o.UnmarshalJSON(raw); err != nil {
			return nil, fmt.Errorf("building %s: %s: %w", kustomization, r.CurId(), err)
		}
		objects = append(objects, o)
	}
	return objects, nil
}
