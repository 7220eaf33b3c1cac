package decode

import "github.com/gatewarden/gatewarden/pkg/resource"

// destinationRuleDoc is what is read of networking/v1alpha3 DestinationRule.
type destinationRuleDoc struct {
	header
	Spec struct {
		Host             string   `json:"host"`
		ExportTo         []string `json:"exportTo"`
		WorkloadSelector *struct {
			MatchLabels map[string]string `json:"matchLabels"`
		} `json:"workloadSelector"`
		TrafficPolicy *trafficPolicy `json:"trafficPolicy"`
		Subsets       []struct {
			Name          string         `json:"name"`
			TrafficPolicy *trafficPolicy `json:"trafficPolicy"`
		} `json:"subsets"`
	} `json:"spec"`
}

// trafficPolicy is TrafficPolicy.
type trafficPolicy struct {
	TLS               *clientTLS `json:"tls"`
	PortLevelSettings []struct {
		Port struct {
			Number uint32 `json:"number"`
		} `json:"port"`
		TLS *clientTLS `json:"tls"`
	} `json:"portLevelSettings"`
}

// clientTLS is ClientTLSSettings. What a mode needs beside it (certificates, names) is of
// no interest: no mode but ISTIO_MUTUAL shows the mesh's own identity.
type clientTLS struct {
	Mode *string `json:"mode"`
}

func (t *clientTLS) mode() string {
	switch {
	case t == nil:
		return ""
	case t.Mode == nil:
		return "DISABLE" // the zero of ClientTLSSettings_TLSmode
	}
	return *t.Mode
}

func (p *trafficPolicy) convert() resource.TrafficPolicy {
	var out resource.TrafficPolicy
	if p == nil {
		return out
	}
	out.TLS = p.TLS.mode()
	for _, s := range p.PortLevelSettings {
		out.Ports = append(out.Ports, resource.PortPolicy{Port: s.Port.Number, TLS: s.TLS.mode()})
	}
	return out
}

// destinationRule converts a DestinationRule. Its host is not checked: one that Istio
// refuses names no Service, and so has no meaning that could be misjudged.
func destinationRule(_ resource.Kind, meta resource.Meta, in *destinationRuleDoc) (resource.Object, *Error) {
	out := &resource.DestinationRule{
		Meta:     meta,
		Host:     in.Spec.Host,
		ExportTo: in.Spec.ExportTo,
		Policy:   in.Spec.TrafficPolicy.convert(),
	}
	if s := in.Spec.WorkloadSelector; s != nil {
		if out.WorkloadSelector = s.MatchLabels; out.WorkloadSelector == nil {
			out.WorkloadSelector = map[string]string{}
		}
	}
	for _, s := range in.Spec.Subsets {
		out.Subsets = append(out.Subsets, resource.Subset{Name: s.Name, Policy: s.TrafficPolicy.convert()})
	}
	return out, nil
}
