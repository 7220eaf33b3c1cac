package resource

// Ingress is networking.k8s.io Ingress.
type Ingress struct {
	Meta
	// ClassAnnotation is the annotation kubernetes.io/ingress.class; nil if it is absent.
	ClassAnnotation *string
	// ClassName is spec.ingressClassName; nil if it is absent.
	ClassName *string
	TLS       []IngressTLS
	Rules     []IngressRule
}

// IngressTLS is one entry of spec.tls.
type IngressTLS struct {
	Hosts      []string // empty: every host
	SecretName string
}

// IngressRule is one entry of spec.rules.
type IngressRule struct {
	Host  string // empty: every host
	Paths []IngressPath
}

// IngressPath is one entry of http.paths.
type IngressPath struct {
	Path string
	// Type is "Exact", "Prefix" or "ImplementationSpecific"; an absent field is the last.
	Type string
	// Service is the name of the Service behind the path; empty if it is no Service.
	Service string
}

// IngressClass is networking.k8s.io IngressClass.
type IngressClass struct {
	Meta
	Controller string
	// Default is set if the API server gives the class to new Ingresses that name none.
	Default bool
}

// Key returns the identity of the Ingress.
func (o *Ingress) Key() Key { return Key{KindIngress, o.Namespace, o.Name} }

// Key returns the identity of the IngressClass.
func (o *IngressClass) Key() Key { return Key{KindIngressClass, "", o.Name} }
