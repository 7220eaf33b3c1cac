package decode

import (
	"encoding/json"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

// Prune returns the JSON of an object with nothing in it but what Object reads: no status, no
// managed fields, and of a pod's containers neither commands nor the values of variables. Object makes
// the same of it, but for the version.
func Prune(api resource.API, raw []byte) ([]byte, error) {
	var out []byte
	var failed error
	_, err := object(api, raw, func(d doc) {
		d.prune(api)
		out, failed = json.Marshal(d)
	})
	if err != nil {
		return nil, err
	}
	return out, failed
}

func (h *header) prune(api resource.API) {
	m := &h.Metadata
	m.ResourceVersion = ""
	annotations := keep(m.Annotations)
	for _, name := range []string{ingressClassAnnotation, defaultClassAnnotation} {
		if value, ok := m.Annotations[name]; ok {
			if annotations == nil {
				annotations = map[string]string{}
			}
			annotations[name] = value
		}
	}
	m.Labels, m.Annotations = kept(api.Kind, m.Labels), annotations
}

func (d *templatedDoc) prune(api resource.API) {
	d.header.prune(api)
	d.Spec.Template.Metadata.Annotations = keep(d.Spec.Template.Metadata.Annotations)
	d.Spec.Template.Spec.prune()
}

func (d *podDoc) prune(api resource.API) {
	d.header.prune(api)
	d.Spec.prune()
}

// prune takes the variables out of all containers but that of which they are read.
func (in *podSpec) prune() {
	for i := range in.Containers {
		if in.Containers[i].Name != resource.Discovery {
			in.Containers[i].Env = nil
		}
	}
}
