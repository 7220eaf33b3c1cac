package decode

import (
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

// configMapDoc is what is read of core/v1 ConfigMap.
type configMapDoc struct {
	header
	Data map[string]string `json:"data"`
}

// configMap converts a ConfigMap of Istio's. What is in it is the text of another document, so
// that a mistake there is none of the object: it is kept as its Problem. Of somebody else's
// ConfigMap nothing is read, whatever its keys are called.
func configMap(_ resource.Kind, meta resource.Meta, in *configMapDoc) (resource.Object, *Error) {
	out := &resource.ConfigMap{Meta: meta}
	var problem *Error
	switch name := meta.Name + "-"; {
	case strings.HasPrefix(name, resource.InjectionConfigMap+"-"):
		if text, ok := in.Data["values"]; ok {
			out.Injection, problem = injectionValues(text)
		}
	case strings.HasPrefix(name, resource.MeshConfigMap+"-"):
		if text, ok := in.Data["mesh"]; ok {
			out.Mesh, problem = meshConfig(text)
		}
	}
	if problem != nil {
		out.Problem = problem.Error()
	}
	return out, nil
}

// meshConfigDoc is what is read of MeshConfig of mesh/v1alpha1 in istio.io/api.
type meshConfigDoc struct {
	TrustDomain                   string   `json:"trustDomain"`
	TrustDomainAliases            []string `json:"trustDomainAliases"`
	RootNamespace                 string   `json:"rootNamespace"`
	DefaultVirtualServiceExportTo []string `json:"defaultVirtualServiceExportTo"`
	IngressControllerMode         string   `json:"ingressControllerMode"`
	IngressClass                  string   `json:"ingressClass"`
	IngressSelector               string   `json:"ingressSelector"`
	IngressService                string   `json:"ingressService"`
	DefaultConfig                 struct {
		HoldApplicationUntilProxyStarts bool              `json:"holdApplicationUntilProxyStarts"`
		ProxyMetadata                   map[string]string `json:"proxyMetadata"`
	} `json:"defaultConfig"`
}

func meshConfig(text string) (*resource.MeshConfig, *Error) {
	var in meshConfigDoc
	if err := document(text, &in, "data.mesh"); err != nil {
		return nil, err
	}
	return &resource.MeshConfig{
		TrustDomain: in.TrustDomain, TrustDomainAliases: in.TrustDomainAliases, RootNamespace: in.RootNamespace,
		DefaultVirtualServiceExportTo: in.DefaultVirtualServiceExportTo,
		IngressControllerMode:         in.IngressControllerMode, IngressClass: in.IngressClass,
		IngressSelector: in.IngressSelector, IngressService: in.IngressService,
		HoldApplication: in.DefaultConfig.HoldApplicationUntilProxyStarts, ProxyMetadata: in.DefaultConfig.ProxyMetadata,
	}, nil
}

// injectionValuesDoc is what is read of Values in istio.io/istio operator/pkg/apis.
type injectionValuesDoc struct {
	Global struct {
		Proxy struct {
			IncludeIPRanges                 *string `json:"includeIPRanges"`
			HoldApplicationUntilProxyStarts bool    `json:"holdApplicationUntilProxyStarts"`
		} `json:"proxy"`
	} `json:"global"`
	SidecarInjectorWebhook struct {
		EnableNamespacesByDefault bool `json:"enableNamespacesByDefault"`
	} `json:"sidecarInjectorWebhook"`
}

func injectionValues(text string) (*resource.InjectionValues, *Error) {
	var in injectionValuesDoc
	if err := document(text, &in, "data.values"); err != nil {
		return nil, err
	}
	return &resource.InjectionValues{
		IncludeIPRanges: in.Global.Proxy.IncludeIPRanges,
		HoldApplication: in.Global.Proxy.HoldApplicationUntilProxyStarts,

		EnableNamespacesByDefault: in.SidecarInjectorWebhook.EnableNamespacesByDefault,
	}, nil
}

// document reads the YAML or JSON that a field holds as text. An empty one is an empty object.
func document(text string, into any, field string) *Error {
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		return &Error{field, strings.ReplaceAll(err.Error(), "\n", " ")}
	}
	if string(raw) == "null" {
		return nil
	}
	if err := unmarshal(raw, into); err != nil {
		if err.Field != "" {
			field += "." + err.Field
		}
		return &Error{field, err.Detail}
	}
	return nil
}

// nodeDoc is what is read of core/v1 Node.
type nodeDoc struct {
	header
	Status struct {
		NodeInfo struct {
			KernelVersion   string `json:"kernelVersion"`
			OperatingSystem string `json:"operatingSystem"`
		} `json:"nodeInfo"`
	} `json:"status"`
}

// node converts a Node.
func node(_ resource.Kind, meta resource.Meta, in *nodeDoc) (resource.Object, *Error) {
	return &resource.Node{Meta: meta, OS: in.Status.NodeInfo.OperatingSystem, Kernel: in.Status.NodeInfo.KernelVersion}, nil
}

// certificateDoc is what is read of cert-manager.io/v1 Certificate.
type certificateDoc struct {
	header
	Spec struct {
		SecretName string   `json:"secretName"`
		CommonName string   `json:"commonName"`
		DNSNames   []string `json:"dnsNames"`
	} `json:"spec"`
	Status struct {
		Conditions []struct {
			Type    string `json:"type"`
			Status  string `json:"status"`
			Message string `json:"message"`
		} `json:"conditions"`
	} `json:"status"`
}

// certificate converts a Certificate.
func certificate(_ resource.Kind, meta resource.Meta, in *certificateDoc) (resource.Object, *Error) {
	out := &resource.Certificate{Meta: meta, SecretName: in.Spec.SecretName, Names: in.Spec.DNSNames}
	if in.Spec.CommonName != "" {
		out.Names = append(out.Names, in.Spec.CommonName)
	}
	for _, c := range in.Status.Conditions {
		if c.Type == "Ready" {
			out.Ready, out.Reason = c.Status, c.Message
		}
	}
	return out, nil
}
