package decode

import "github.com/gatewarden/gatewarden/pkg/resource"

// sidecarDoc is what is read of networking/v1alpha3 Sidecar.
type sidecarDoc struct {
	header
	Spec struct {
		WorkloadSelector struct {
			Labels map[string]string `json:"labels"`
		} `json:"workloadSelector"`
		Ingress []struct {
			Port struct {
				Number uint32 `json:"number"`
			} `json:"port"`
			TLS *struct {
				Mode *string `json:"mode"`
			} `json:"tls"`
		} `json:"ingress"`
	} `json:"spec"`
}

// sidecar converts a Sidecar.
func sidecar(_ resource.Kind, meta resource.Meta, in *sidecarDoc) (resource.Object, *Error) {
	out := &resource.Sidecar{Meta: meta, WorkloadSelector: in.Spec.WorkloadSelector.Labels}
	for _, i := range in.Spec.Ingress {
		listener := resource.IngressListener{Port: i.Port.Number}
		if i.TLS != nil {
			listener.TLS = "PASSTHROUGH" // the zero of ServerTLSSettings_TLSmode
			if i.TLS.Mode != nil {
				listener.TLS = *i.TLS.Mode
			}
		}
		out.Ingress = append(out.Ingress, listener)
	}
	return out, nil
}
