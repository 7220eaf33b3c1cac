package resource

import "strings"

// The names of the ConfigMaps of Istio's default revision. Those of another one end in "-" and
// its name (templates/configmap.yaml and istiod-injector-configmap.yaml in
// manifests/charts/istio-control/istio-discovery of istio.io/istio).
const (
	MeshConfigMap      = "istio"
	InjectionConfigMap = "istio-sidecar-injector"
)

// ConfigMap is a core ConfigMap of Istio's: one by which istiod is told about the mesh, or by
// which it fills its injection templates. Others have neither, and are kept by nobody.
type ConfigMap struct {
	Meta
	// Mesh is nil if the ConfigMap has none.
	Mesh *MeshConfig
	// Injection is nil if the ConfigMap has none.
	Injection *InjectionValues
	// Problem is why what the ConfigMap has could not be read.
	Problem string
}

// OfIstio reports whether the ConfigMap configures Istio.
func (o *ConfigMap) OfIstio() bool { return o.Mesh != nil || o.Injection != nil || o.Problem != "" }

// MayConfigureIstio reports whether a ConfigMap with the name may: nothing else of it need be read
// if it does not.
func MayConfigureIstio(name string) bool { return strings.HasPrefix(name+"-", MeshConfigMap+"-") }

// MeshConfig is the part of Istio's MeshConfig that policy reads. Fields that are not set are
// zero, and have Istio's defaults.
type MeshConfig struct {
	TrustDomain                   string
	TrustDomainAliases            []string
	RootNamespace                 string
	DefaultVirtualServiceExportTo []string
	IngressControllerMode         string
	IngressClass                  string
	IngressSelector               string
	IngressService                string
	// HoldApplication is defaultConfig.holdApplicationUntilProxyStarts.
	HoldApplication bool
	// ProxyMetadata is defaultConfig.proxyMetadata.
	ProxyMetadata map[string]string
}

// InjectionValues are the values that policy reads of those that injection templates are filled
// with.
type InjectionValues struct {
	// IncludeIPRanges is global.proxy.includeIPRanges; nil if it is not set.
	IncludeIPRanges *string
	// HoldApplication is global.proxy.holdApplicationUntilProxyStarts.
	HoldApplication bool
	// EnableNamespacesByDefault is sidecarInjectorWebhook.enableNamespacesByDefault.
	EnableNamespacesByDefault bool
}

// Node is a core Node.
type Node struct {
	Meta
	OS     string // "linux" or "windows"
	Kernel string // "5.15.0-101-generic"
}

// Certificate is cert-manager.io Certificate.
type Certificate struct {
	Meta
	SecretName string
	// Names are its dnsNames and its common name.
	Names []string
	// Ready is the status of the condition of this name: "True", "False", "Unknown", or empty
	// if there is none yet. Reason is what its message says.
	Ready, Reason string
}

// Key returns the identity of the Node.
func (o *Node) Key() Key { return Key{KindNode, "", o.Name} }

// Key returns the identity of the Certificate.
func (o *Certificate) Key() Key { return Key{KindCertificate, o.Namespace, o.Name} }

// Key returns the identity of the ConfigMap.
func (o *ConfigMap) Key() Key { return Key{KindConfigMap, o.Namespace, o.Name} }
