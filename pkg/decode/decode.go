// Package decode turns the bytes of an object into the slim form that policy reads, or
// says which field is wrong. It is the only decoder: the webhook, the watches of a
// cluster and the manifests of the command line all come through Object.
//
// # Why own structs, and not the types of istio.io/api and k8s.io/api
//
// Each kind is read into a private struct that has only the fields that end up in package
// resource, case-sensitively, as the API server reads JSON (sigs.k8s.io/json). The
// published types were tried and are worse here:
//
//   - Istio reads its objects with the legacy jsonpb (UnmarshalJSON of the messages in
//     istio.io/api, and ApplyJSON in Istio's pkg/util/protomarshal). Its modern successor
//     protojson refuses durations that Istio accepts, "timeout: 5m" among them, and so
//     would turn away working VirtualServices.
//   - jsonpb itself accepts the same objects as Istio, but its errors name no field, and
//     it parses each level of an object again, at several times the cost.
//   - In k8s.io/api, a wrong resource quantity somewhere in a pod fails the whole object,
//     without a position, although no rule reads quantities.
//
// What is not read cannot fail: a field of a newer API, or one that only Istio or the API
// server has an opinion on, passes. The tests hold every field name of the private
// structs against istio.io/api and k8s.io/api, so that neither side can drift.
package decode

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	json2 "github.com/go-json-experiment/json"
	json1 "github.com/go-json-experiment/json/v1"
	kjson "sigs.k8s.io/json"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// Error says which field of an object is wrong.
type Error struct {
	// Field is the path of the field from the root of the object, for example
	// "spec.servers[0].port.number". It is empty when the object as a whole is wrong.
	Field string
	// Detail says what is wrong with the field and how to fix it.
	Detail string
}

// Error is "FIELD: DETAIL", or the detail alone when no field is known.
func (e *Error) Error() string {
	if e.Field == "" {
		return e.Detail
	}
	return e.Field + ": " + e.Detail
}

// Object decodes the JSON of a whole object (apiVersion, kind, metadata, spec) of the
// kind that api names. All served versions of a kind have one schema. An absent or null
// spec gives the zero object.
//
// Object also refuses the hosts, ports and modes that no stored Istio object can have and
// whose meaning could not be judged; everything that Istio accepts is accepted. The
// error, if any, is an *Error. Labels and annotations that no rule reads are dropped:
// see keep.
func Object(api resource.API, raw []byte) (resource.Object, error) {
	o, err := object(api, raw, nil)
	if err != nil {
		return nil, err
	}
	return o, nil
}

// object returns *Error rather than error, so that no other error can slip through. The private form
// of an object that can be decoded is shown to a function, unless that is nil.
func object(api resource.API, raw []byte, show func(doc)) (resource.Object, *Error) {
	switch api.Kind {
	case resource.KindGateway:
		return decodeAs(api, raw, gateway, show)
	case resource.KindVirtualService:
		return decodeAs(api, raw, virtualService, show)
	case resource.KindPeerAuthentication:
		return decodeAs(api, raw, peerAuthentication, show)
	case resource.KindServiceEntry:
		return decodeAs(api, raw, serviceEntry, show)
	case resource.KindWorkloadEntry:
		return decodeAs(api, raw, workloadEntry, show)
	case resource.KindDestinationRule:
		return decodeAs(api, raw, destinationRule, show)
	case resource.KindSidecar:
		return decodeAs(api, raw, sidecar, show)
	case resource.KindDeployment, resource.KindDaemonSet, resource.KindStatefulSet:
		return decodeAs(api, raw, templated, show)
	case resource.KindPod:
		return decodeAs(api, raw, pod, show)
	case resource.KindService:
		return decodeAs(api, raw, service, show)
	case resource.KindNamespace:
		return decodeAs(api, raw, namespace, show)
	case resource.KindConfigMap:
		return decodeAs(api, raw, configMap, show)
	case resource.KindNode:
		return decodeAs(api, raw, node, show)
	case resource.KindCertificate:
		return decodeAs(api, raw, certificate, show)
	case resource.KindInjectors:
		return decodeAs(api, raw, injectors, show)
	case resource.KindEnvoyFilter:
		return decodeAs(api, raw, envoyFilter, show)
	case resource.KindWasmPlugin:
		return decodeAs(api, raw, wasmPlugin, show)
	case resource.KindTrafficExtension:
		return decodeAs(api, raw, trafficExtension, show)
	case resource.KindAuthorizationPolicy:
		return decodeAs(api, raw, authorizationPolicy, show)
	case resource.KindRequestAuthentication:
		return decodeAs(api, raw, requestAuthentication, show)
	case resource.KindTelemetry:
		return decodeAs(api, raw, telemetry, show)
	case resource.KindProxyConfig:
		return decodeAs(api, raw, proxyConfig, show)
	case resource.KindIngress:
		return decodeAs(api, raw, ingress, show)
	case resource.KindIngressClass:
		return decodeAs(api, raw, ingressClass, show)
	case resource.KindKubernetesGateway:
		return decodeAs(api, raw, kubernetesGateway, show)
	case resource.KindGatewayClass:
		return decodeAs(api, raw, gatewayClass, show)
	case resource.KindListenerSet:
		return decodeAs(api, raw, listenerSet, show)
	case resource.KindHTTPRoute:
		return decodeAs(api, raw, route[httpRule], show)
	case resource.KindGRPCRoute:
		return decodeAs(api, raw, route[grpcRule], show)
	case resource.KindTLSRoute:
		return decodeAs(api, raw, route[l4Rule], show)
	case resource.KindTCPRoute:
		return decodeAs(api, raw, tcpRoute, show)
	}
	return nil, &Error{Field: "kind", Detail: fmt.Sprintf("%q is no kind that gatewarden reads", api.Kind)}
}

// decodeAs reads raw into W, the private form of a kind, and converts it.
func decodeAs[W any, P interface {
	*W
	doc
}](api resource.API, raw []byte, convert func(resource.Kind, resource.Meta, *W) (resource.Object, *Error), show func(doc),
) (resource.Object, *Error) {
	w := P(new(W))
	if err := unmarshal(raw, w); err != nil {
		return nil, err
	}
	if err := w.head().check(api); err != nil {
		return nil, err
	}
	meta, err := w.head().Metadata.meta(api)
	if err != nil {
		return nil, err
	}
	o, err := convert(api.Kind, meta, w)
	if err == nil && show != nil {
		show(w)
	}
	return o, err
}

// doc is the private form of a kind.
type doc interface {
	head() *header
	// prune takes out what was read of the JSON, but is not kept.
	prune(api resource.API)
}

// unmarshal reads JSON case-sensitively into a struct that is zero, as the API server does.
func unmarshal(raw []byte, into any) *Error {
	if first := bytes.TrimLeft(raw, " \t\r\n"); len(first) > 0 && first[0] != '{' && json.Valid(raw) {
		// Go leaves a struct alone for null, and names its own type for the rest.
		return &Error{Detail: "must be an object, not " + describe(first[0], first)}
	}
	if quick(raw, into) {
		return nil
	}
	err := kjson.UnmarshalCaseSensitivePreserveInts(raw, into)
	if err == nil {
		return nil
	}
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		return typeError(raw, wrongType)
	}
	if syntax, offset := kjson.SyntaxErrorOffset(err); syntax {
		return &Error{Detail: fmt.Sprintf("not valid JSON at byte %d: %s; correct the syntax", offset, err)}
	}
	return &Error{Detail: fmt.Sprintf("not valid JSON: %s; correct the object", err)}
}

// caseSensitive is how sigs.k8s.io/json reads: as encoding/json does, but for the case of names.
var caseSensitive = json2.JoinOptions(json1.DefaultOptionsV1(), json2.MatchCaseInsensitiveNames(false))

// numbered are documents with numbers of a type that is not known before they are read, which
// sigs.k8s.io/json makes whole numbers where they are.
type numbered interface{ numbered() }

// quick reads JSON in one pass, in place of the three of sigs.k8s.io/json (one for the syntax, one
// to find the values, one to read them): a VirtualService as an API server sends it takes 12 µs and
// 13 allocations instead of 24 µs and 47. What it reads is what sigs.k8s.io/json reads, which
// FuzzQuick holds; where it finds a fault it leaves the struct zero, for sigs.k8s.io/json to have
// the say and the words.
func quick(raw []byte, into any) bool {
	if _, ok := into.(numbered); ok {
		return false
	}
	if json2.Unmarshal(raw, into, caseSensitive) == nil {
		return true
	}
	reflect.ValueOf(into).Elem().SetZero()
	return false
}

// header is what every object starts with.
type header struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Metadata   metadata `json:"metadata"`
}

func (h *header) head() *header { return h }

// check refuses an object of another kind or API group, whose fields would be misread. An
// object from a list may have neither (the API server leaves them out there).
func (h *header) check(api resource.API) *Error {
	if h.Kind != "" && h.Kind != api.Name() {
		return &Error{"kind", fmt.Sprintf("is %q where a %s was announced; send the object under its own kind", h.Kind, api.Name())}
	}
	group, _, found := strings.Cut(h.APIVersion, "/")
	if !found {
		group = ""
	}
	if h.APIVersion != "" && group != api.Group {
		return &Error{"apiVersion", fmt.Sprintf("%q is not of the API group %q, which serves %s; correct the group",
			h.APIVersion, api.Group, api.Name())}
	}
	return nil
}

// metadata is the part of ObjectMeta that is read. The times are pointers because the
// API server writes "creationTimestamp": null for an object that was never stored.
type metadata struct {
	Name              string            `json:"name"`
	GenerateName      string            `json:"generateName"`
	Namespace         string            `json:"namespace"`
	UID               string            `json:"uid"`
	ResourceVersion   string            `json:"resourceVersion"`
	Labels            map[string]string `json:"labels"`
	Annotations       map[string]string `json:"annotations"`
	CreationTimestamp *string           `json:"creationTimestamp"`
	DeletionTimestamp *string           `json:"deletionTimestamp"`
	OwnerReferences   []struct {
		Controller *bool `json:"controller"`
	} `json:"ownerReferences"`
}

// controlled reports whether one of the owners is the controller of the object.
func (m *metadata) controlled() bool {
	for _, o := range m.OwnerReferences {
		if o.Controller != nil && *o.Controller {
			return true
		}
	}
	return false
}

// meta converts the metadata.
func (m *metadata) meta(api resource.API) (resource.Meta, *Error) {
	out := resource.Meta{
		Name:         m.Name,
		GenerateName: m.GenerateName,
		UID:          m.UID,
		Version:      resource.ParseVersion(m.ResourceVersion),
		Terminating:  m.DeletionTimestamp != nil,
		Annotations:  keep(m.Annotations),
	}
	if api.Namespaced {
		out.Namespace = m.Namespace
	}
	out.Labels = kept(api.Kind, m.Labels)
	if m.CreationTimestamp != nil {
		t, err := time.Parse(time.RFC3339, *m.CreationTimestamp)
		if err != nil {
			return out, &Error{"metadata.creationTimestamp", fmt.Sprintf(
				"%q is no time; write it as 2006-01-02T15:04:05Z, or leave the field out", *m.CreationTimestamp)}
		}
		out.Created = t.UTC()
	}
	return out, nil
}

// kept returns the labels of an object that can be read: all of them where selectors and the
// configuration select by them.
func kept(kind resource.Kind, labels map[string]string) map[string]string {
	switch kind {
	case resource.KindPod, resource.KindService, resource.KindNamespace, resource.KindNode, resource.KindWorkloadEntry:
		return labels
	}
	return keep(labels)
}

// keep returns the entries of labels or annotations that rules can read: those of Istio
// (any prefix that ends in "istio.io/"), those of gatewarden, and the name of the Helm chart. The rest can be large
// (last-applied-configuration repeats the whole object) and would be held in memory for
// every object of the cluster. It returns nil when nothing is left.
func keep(in map[string]string) map[string]string {
	var out map[string]string
	for k, v := range in {
		if strings.Contains(k, "istio.io/") || strings.HasPrefix(k, config.Domain+"/") || k == resource.ChartLabel {
			if out == nil {
				out = make(map[string]string)
			}
			out[k] = v
		}
	}
	return out
}
