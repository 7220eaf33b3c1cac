package main

import (
	"encoding/json"
	"fmt"
	"time"

	"istio.io/istio/pilot/pkg/config/kube/crd"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/config/schema/collections"
	"istio.io/istio/pkg/config/schema/resource"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// object is a Kubernetes object as somebody wrote it, and what Istio reads of it. Its raw
// form is what gatewarden reads.
type object struct {
	raw                   json.RawMessage
	apiVersion            string
	kind, namespace, name string

	// config is set for Istio's own kinds, service for a Service. Other kinds have neither.
	config  *config.Config
	service *corev1.Service
	meta    metav1.ObjectMeta
}

// labels are those of the object.
func (o *object) labels() map[string]string { return o.meta.Labels }

// key names the object: "Gateway team-a/web".
func (o *object) key() string { return o.kind + " " + o.namespace + "/" + o.name }

// newObject reads an object. An object that Istio's own validation refuses is an error: the
// API server would not have it.
func newObject(raw json.RawMessage) (*object, error) {
	k := crd.IstioKind{}
	if err := json.Unmarshal(raw, &k); err != nil {
		return nil, err
	}
	o := &object{raw: raw, apiVersion: k.APIVersion, kind: k.Kind, namespace: k.Namespace, name: k.Name, meta: k.ObjectMeta}
	if o.kind == "Service" && o.apiVersion == "v1" {
		o.service = &corev1.Service{}
		return o, json.Unmarshal(raw, o.service)
	}
	gvk := k.GroupVersionKind()
	s, known := collections.Pilot.FindByGroupVersionAliasesKind(resource.FromKubernetesGVK(&gvk))
	if !known {
		return o, nil
	}
	cfg, err := crd.ConvertObject(s, &k, domainSuffix)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.key(), err)
	}
	if _, err := s.ValidateConfig(*cfg); err != nil {
		return nil, fmt.Errorf("%s: %w", o.key(), err)
	}
	o.config = cfg
	return o, nil
}

// epoch is when the oldest object of a world was created. Only the order counts.
var epoch = time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)

// created is when the object at a place in the order of ages was created.
func created(place int) time.Time { return epoch.Add(time.Duration(place) * time.Second) }
