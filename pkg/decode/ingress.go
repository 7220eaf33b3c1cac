package decode

import "github.com/gatewarden/gatewarden/pkg/resource"

// ingressClassAnnotation names the class of an Ingress, in the way of before
// spec.ingressClassName (IngressSpec in networking.k8s.io/v1 tells of both).
const ingressClassAnnotation = "kubernetes.io/ingress.class"

// defaultClassAnnotation makes an IngressClass the default one (AnnotationIsDefaultIngressClass in
// k8s.io/api networking/v1).
const defaultClassAnnotation = "ingressclass.kubernetes.io/is-default-class"

// ingressDoc is what is read of networking.k8s.io/v1 Ingress.
type ingressDoc struct {
	header
	Spec struct {
		IngressClassName *string `json:"ingressClassName"`
		TLS              []struct {
			Hosts      []string `json:"hosts"`
			SecretName string   `json:"secretName"`
		} `json:"tls"`
		Rules []struct {
			Host string `json:"host"`
			HTTP *struct {
				Paths []struct {
					Path     string  `json:"path"`
					PathType *string `json:"pathType"`
					Backend  struct {
						Service *struct {
							Name string `json:"name"`
						} `json:"service"`
					} `json:"backend"`
				} `json:"paths"`
			} `json:"http"`
		} `json:"rules"`
	} `json:"spec"`
}

// ingress converts an Ingress.
func ingress(_ resource.Kind, meta resource.Meta, in *ingressDoc) (resource.Object, *Error) {
	out := &resource.Ingress{Meta: meta, ClassName: in.Spec.IngressClassName}
	if class, ok := in.Metadata.Annotations[ingressClassAnnotation]; ok {
		out.ClassAnnotation = &class
	}
	for _, t := range in.Spec.TLS {
		out.TLS = append(out.TLS, resource.IngressTLS{Hosts: t.Hosts, SecretName: t.SecretName})
	}
	for _, r := range in.Spec.Rules {
		rule := resource.IngressRule{Host: r.Host}
		if r.HTTP != nil {
			for _, p := range r.HTTP.Paths {
				path := resource.IngressPath{Path: p.Path}
				if p.PathType != nil {
					path.Type = *p.PathType
				}
				if p.Backend.Service != nil {
					path.Service = p.Backend.Service.Name
				}
				rule.Paths = append(rule.Paths, path)
			}
		}
		out.Rules = append(out.Rules, rule)
	}
	return out, nil
}

// ingressClassDoc is what is read of networking.k8s.io/v1 IngressClass.
type ingressClassDoc struct {
	header
	Spec struct {
		Controller string `json:"controller"`
	} `json:"spec"`
}

// ingressClass converts an IngressClass.
func ingressClass(_ resource.Kind, meta resource.Meta, in *ingressClassDoc) (resource.Object, *Error) {
	return &resource.IngressClass{
		Meta: meta, Controller: in.Spec.Controller, Default: in.Metadata.Annotations[defaultClassAnnotation] == "true",
	}, nil
}
