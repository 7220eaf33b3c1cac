// Package deploy renders the manifests of the folder deploy/, and its tests prove that they
// agree with the code: that they send what the rules judge, and permit what gatewarden reads.
package deploy

import (
	"context"
	"fmt"
	"path/filepath"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

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
)

// Render builds a kustomization, named by its folder in the repository, and returns its
// objects in the order in which kustomize prints them: what others need comes first.
func Render(ctx context.Context, kustomization string) ([]*unstructured.Unstructured, error) {
	root, err := module.Dir(ctx, module.Gatewarden)
	if err != nil {
		return nil, err
	}
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionLegacy
	resources, err := krusty.MakeKustomizer(options).
		Run(filesys.MakeFsOnDisk(), filepath.Join(root, filepath.FromSlash(kustomization)))
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
