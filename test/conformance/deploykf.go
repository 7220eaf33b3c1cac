package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/manifest"
	"github.com/gatewarden/gatewarden/pkg/mutate"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
)

// variantEnd ends the variant in the name of a file.
const variantEnd = "__"

// The variants whose world is another than the standard one with their own objects in the
// place of those with the same kind and name.
const (
	variantContext     = "context"             // what exists whatever deployKF renders
	variantStandard    = "std"                 // all tools
	variantDefault     = "default"             // no tools: nothing of the standard variant
	variantOwnGateway  = "byogw"               // a gateway in another namespace …
	variantTranslating = "context-translating" // … and the Service before it
	versionPrefix      = "v"                   // other versions' gateway namespaces
)

// replayObjects judges each object of deployKF as a create into the rest of its variant's
// world, and as a re-apply onto the whole.
func replayObjects(files []string) ([]row, error) {
	docs, err := manifest.Read(files, nil)
	if err != nil {
		return nil, err
	}
	byVariant := map[string][]manifest.Document{}
	var variants []string
	for _, d := range docs {
		v, _, _ := strings.Cut(filepath.Base(d.File), variantEnd)
		if byVariant[v] == nil {
			variants = append(variants, v)
		}
		byVariant[v] = append(byVariant[v], d)
	}
	var rows []row
	for _, v := range variants {
		r, err := replayVariant(v, byVariant)
		if err != nil {
			return nil, err
		}
		rows = append(rows, r...)
	}
	return rows, nil
}

// world returns what exists in a variant beside its own objects.
func world(variant string, byVariant map[string][]manifest.Document) []manifest.Document {
	base := slices.Clone(byVariant[variantContext])
	own := byVariant[variant]
	switch {
	case variant == variantDefault:
	case variant == variantOwnGateway, variant == variantTranslating, strings.HasPrefix(variant, versionPrefix):
		gatewayNamespace := deploykf.Default().GuardedGateways[0].Namespace
		for _, d := range byVariant[variantStandard] {
			if d.Namespace != gatewayNamespace {
				base = append(base, d)
			}
		}
		if variant == variantOwnGateway {
			base = append(base, byVariant[variantTranslating]...)
		}
		if variant == variantTranslating {
			base = append(base, byVariant[variantOwnGateway]...)
		}
	default:
		base = append(base, byVariant[variantStandard]...)
	}
	return slices.DeleteFunc(base, func(d manifest.Document) bool {
		return slices.ContainsFunc(own, func(o manifest.Document) bool { return same(d, o) })
	})
}

// same reports whether two documents are the same object, in whatever version.
func same(a, b manifest.Document) bool {
	return a.KindName == b.KindName && a.Namespace == b.Namespace && a.Name == b.Name && a.Name != ""
}

func replayVariant(variant string, byVariant map[string][]manifest.Document) ([]row, error) {
	own := byVariant[variant]
	all := append(world(variant, byVariant), own...)
	first := len(all) - len(own)
	var sources []source
	index := map[int]int{} // of all to sources
	for i, d := range all {
		if d.Object != nil {
			index[i] = len(sources)
			sources = append(sources, source{api: d.API, raw: d.Raw, at: fmt.Sprintf("%s:%d", d.File, d.Line)})
		}
	}
	snapshot, keys, err := store(sources)
	if err != nil {
		return nil, err
	}
	cfg, err := configuration(variant)
	if err != nil {
		return nil, err
	}
	engine := newEngine(cfg)
	var rows []row
	for i, d := range own {
		id := fmt.Sprintf("%s %s %s/%s", variant, d.KindName, d.Namespace, d.Name)
		n, known := index[first+i]
		if !known {
			rows = append(rows, row{id: id, expected: allow, got: notJudged})
			continue
		}
		created, err := sources[n].decode()
		if err != nil {
			return nil, err
		}
		id = fmt.Sprintf("%s %s %s/%s", variant, d.KindName, d.Namespace, created.GetMeta().DisplayName())
		rest := snapshot.Without(keys[n])
		create := row{id: id + " create", expected: allow, got: notJudged}
		apply := row{id: id + " re-apply", expected: allow, got: notJudged, tolerant: true}
		if judged(keys[n].Kind) {
			if err := create.decide(engine, rest, policy.Change{Operation: policy.Create, New: created}); err != nil {
				return nil, fmt.Errorf("%s:%d: %w", d.File, d.Line, err)
			}
			operations, err := complete(engine.World(rest), created, d.Raw)
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", d.File, d.Line, err)
			}
			if operations > 0 && create.got != deny {
				create.got = patch
			}
			stored := snapshot.Get(keys[n])
			if err := apply.decide(engine, snapshot, policy.Change{Operation: policy.Update, Old: stored, New: stored}); err != nil {
				return nil, fmt.Errorf("%s:%d: %w", d.File, d.Line, err)
			}
		}
		rows = append(rows, create, apply)
	}
	return append(rows, asAWhole(variant, engine, snapshot)), nil
}

// asAWhole judges what a variant's world is as a whole. Nothing is wrong with it, as far as
// its objects tell.
func asAWhole(variant string, engine *policy.Engine, s *state.Snapshot) row {
	r := row{id: variant + " installation", expected: allow, strict: true}
	var d policy.Decision
	for _, f := range engine.Standing(s) {
		d.Findings = append(d.Findings, f.Finding)
	}
	slices.SortStableFunc(d.Findings, func(a, b policy.Finding) int { return int(b.Effect) - int(a.Effect) })
	r.judge(d)
	return r
}

func (r *row) judge(d policy.Decision) { r.got, r.findings = verdict(d), d.Findings }

// complete counts the operations by which the mutating door would change the object.
func complete(w *policy.World, o resource.Object, raw []byte) (int, error) {
	workload, ok := o.(*resource.Workload)
	if !ok {
		return 0, nil
	}
	operations, err := mutate.Patch(w, workload, raw)
	return len(operations), err
}
