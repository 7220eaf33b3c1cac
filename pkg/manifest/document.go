package manifest

import (
	"encoding/json"
	"strings"

	kjson "sigs.k8s.io/json"

	"github.com/gatewarden/gatewarden/pkg/decode"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// rawJSON is a part of an object that is taken over as it is.
type rawJSON = json.RawMessage

// typeMeta is what tells objects apart. The fields are of any type so that a wrong one
// can be told by name.
type typeMeta struct {
	APIVersion any     `json:"apiVersion"`
	Kind       any     `json:"kind"`
	Items      rawJSON `json:"items"`
}

// maxDepth is how deep lists may lie in lists. kubectl exports one level; every level is
// parsed once more, and thousands of them would keep the reader busy for minutes.
const maxDepth = 8

// item is an object, or a list of objects, as it stands in a file.
type item struct {
	raw rawJSON
	at  place
	// apiVersion and kind are what the item is when it does not say: the API server leaves
	// both out in its typed lists.
	apiVersion, kind string
	depth            int // number of lists around it
}

// item reads an object, or each item of a list.
func (r *reader) item(file string, i item) {
	line := i.at.line()
	if len(i.raw) == 0 || i.raw[0] != '{' {
		r.fault(file, line, "is no object; write a mapping with apiVersion, kind and metadata")
		return
	}
	var head typeMeta
	if err := kjson.UnmarshalCaseSensitivePreserveInts(i.raw, &head); err != nil {
		r.fault(file, line, "cannot be read as an object: %s; correct it", err)
		return
	}
	if head.APIVersion == nil && head.Kind == nil && i.kind != "" {
		head.APIVersion, head.Kind = i.apiVersion, i.kind
		i.raw = with(with(i.raw, "apiVersion", quoted(i.apiVersion)), "kind", quoted(i.kind))
	}
	if head.APIVersion == nil && head.Kind == nil {
		r.fault(file, line, "apiVersion and kind are missing; add them, or leave the file out if it has no Kubernetes objects")
		return
	}
	apiVersion, ok := r.name(file, line, "apiVersion", head.APIVersion, "networking.istio.io/v1")
	kind, alsoOK := r.name(file, line, "kind", head.Kind, "Gateway")
	if !ok || !alsoOK {
		return
	}
	element, isList := strings.CutSuffix(kind, "List")
	switch {
	case !isList || head.Items == nil && element != "":
		r.document(file, i.raw, line, apiVersion, kind)
	case i.depth == maxDepth:
		r.fault(file, line, "lies in %d lists; take the objects out of some of them", maxDepth)
	case element == "": // kind: List, whose items are of any kind
		r.list(file, head.Items, item{at: i.at, depth: i.depth + 1})
	default:
		r.list(file, head.Items, item{at: i.at, depth: i.depth + 1, apiVersion: apiVersion, kind: element})
	}
}

// name checks that a field which identifies the kind is there and a string.
func (r *reader) name(file string, line int, field string, value any, example string) (string, bool) {
	switch v := value.(type) {
	case nil:
		r.fault(file, line, "%s is missing; add it, for example %q", field, example)
	case string:
		if v != "" {
			return v, true
		}
		r.fault(file, line, "%s is empty; fill it in, for example %q", field, example)
	default:
		r.fault(file, line, "%s is no string; write it as one, for example %q", field, example)
	}
	return "", false
}

// list reads the items of a list: each is like the given one, at its own place.
func (r *reader) list(file string, items rawJSON, like item) {
	if items == nil {
		return
	}
	var elements []rawJSON
	if err := json.Unmarshal(items, &elements); err != nil {
		r.fault(file, like.at.line(), "items is no list; write it as a list of objects")
		return
	}
	places := like.at.items()
	for i, raw := range elements {
		if r.full() {
			return
		}
		one := like
		one.raw = raw
		// Items that came in through a YAML merge are not below the list's own node; the
		// place of the list is all there is to tell then.
		if len(places) == len(elements) {
			one.at = places[i]
		}
		r.item(file, one)
	}
}

// document adds one object to the result.
func (r *reader) document(file string, raw []byte, line int, apiVersion, kind string) {
	var names struct {
		Metadata struct {
			Name         any `json:"name"`
			GenerateName any `json:"generateName"`
			Namespace    any `json:"namespace"`
		} `json:"metadata"`
	}
	// A wrong type in the metadata of a known kind is told by package decode; nobody asks
	// about that of others.
	_ = kjson.UnmarshalCaseSensitivePreserveInts(raw, &names)
	d := Document{APIVersion: apiVersion, KindName: kind, Raw: raw, File: file, Line: line}
	d.Name, _ = names.Metadata.Name.(string)
	d.Namespace, _ = names.Metadata.Namespace.(string)
	d.API, d.Known = resource.Lookup(apiVersion, kind)
	if d.API.Kind == resource.KindConfigMap && !resource.MayConfigureIstio(d.Name) {
		d.API, d.Known = resource.API{}, false
	}
	if !d.Known {
		r.documents = append(r.documents, d)
		return
	}
	if !d.API.Namespaced {
		d.Namespace = ""
	} else if names.Metadata.Namespace == nil || names.Metadata.Namespace == "" {
		d.Namespace = defaultNamespace
		d.Raw = withNamespace(raw, defaultNamespace)
	}
	generated, _ := names.Metadata.GenerateName.(string)
	shown := resource.Key{
		Kind:      resource.Kind(kind),
		Namespace: d.Namespace,
		Name:      (&resource.Meta{Name: d.Name, GenerateName: generated}).DisplayName(),
	}
	object, err := decode.Object(d.API, d.Raw)
	if err != nil {
		r.fault(file, d.Line, "%s: %s", shown, err)
		return
	}
	if d.Name == "" && generated == "" {
		r.fault(file, d.Line, "%s: metadata.name: is missing; name the object", shown)
		return
	}
	if c, ok := object.(*resource.ConfigMap); ok && !c.OfIstio() {
		d.API, d.Known = resource.API{}, false
		r.documents = append(r.documents, d)
		return
	}
	d.Object = object
	object.GetMeta().Source = position(file, d.Line)
	r.documents = append(r.documents, d)
}

// withNamespace sets metadata.namespace in the JSON of an object. Metadata that is no
// object is left for package decode to refuse.
func withNamespace(raw []byte, namespace string) []byte {
	var object struct {
		Metadata rawJSON `json:"metadata"`
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(raw, &object); err != nil {
		return raw
	}
	metadata := object.Metadata
	if metadata == nil || string(metadata) == "null" {
		metadata = rawJSON("{}")
	}
	if metadata[0] != '{' {
		return raw
	}
	return with(raw, "metadata", with(metadata, "namespace", quoted(namespace)))
}

// with sets a field in the JSON of an object and takes over all others as they are: a
// typed copy would lose those of a newer API.
func with(object []byte, field string, value rawJSON) []byte {
	var fields map[string]rawJSON
	if err := json.Unmarshal(object, &fields); err != nil || fields == nil {
		return object // no object: package decode says so
	}
	fields[field] = value
	out, err := json.Marshal(fields)
	if err != nil {
		return object
	}
	return out
}

// quoted is a string in JSON.
func quoted(s string) rawJSON {
	out, _ := json.Marshal(s) // a string always has a form
	return out
}
