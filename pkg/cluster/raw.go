package cluster

import (
	json2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// NewClient returns a client of which a Cluster makes the best use: its watches hand objects over as
// the API server sent them, for package decode to read, and not as maps of which the JSON would have
// to be made again. In all else it is what dynamic.NewForConfig returns, errors included.
//
// It speaks JSON whatever client-go's feature gates say, because that is what package decode reads.
func NewClient(config *rest.Config) (dynamic.Interface, error) {
	c := dynamic.ConfigFor(config)
	c.ContentType, c.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	c.NegotiatedSerializer = rawSerializer{c.NegotiatedSerializer}
	client, err := rest.UnversionedRESTClientFor(c)
	if err != nil {
		return nil, err
	}
	return dynamic.New(client), nil
}

// raw is an object of a watch as the API server sent it, with what a Reflector asks of it: where it is,
// its resourceVersion, and whether a bookmark ends the initial events.
type raw struct {
	metav1.TypeMeta
	metav1.ObjectMeta
	json []byte
}

// DeepCopyObject implements runtime.Object. Nobody writes to the JSON.
func (r *raw) DeepCopyObject() runtime.Object {
	return &raw{TypeMeta: r.TypeMeta, ObjectMeta: *r.DeepCopy(), json: r.json}
}

// rawSerializer is the serializer of the dynamic client, but for what comes through a watch.
type rawSerializer struct{ runtime.NegotiatedSerializer }

func (s rawSerializer) SupportedMediaTypes() []runtime.SerializerInfo {
	var out []runtime.SerializerInfo
	for _, info := range s.NegotiatedSerializer.SupportedMediaTypes() {
		if info.MediaType != runtime.ContentTypeJSON {
			continue
		}
		stream := *info.StreamSerializer
		stream.Serializer = eventSerializer{stream.Serializer}
		info.Serializer, info.StreamSerializer = objectSerializer{info.Serializer}, &stream
		out = append(out, info)
	}
	return out
}

// lenient is how JSON of an API server is taken apart: whoever reads the parts judges them.
var lenient = json2.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// eventSerializer reads the events of a watch in one pass, and leaves what it can not read to the
// serializer that it takes the place of.
type eventSerializer struct{ runtime.Serializer }

func (s eventSerializer) Decode(data []byte, defaults *schema.GroupVersionKind, into runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	if event, ok := into.(*metav1.WatchEvent); ok {
		var read struct {
			Type   string         `json:"type"`
			Object jsontext.Value `json:"object"`
		}
		if json2.Unmarshal(data, &read, lenient) == nil {
			event.Type, event.Object.Raw = read.Type, read.Object
			return event, &schema.GroupVersionKind{Version: "v1", Kind: "WatchEvent"}, nil
		}
	}
	return s.Serializer.Decode(data, defaults, into)
}

// objectSerializer reads objects for which there is no type: those in the events of a watch, but for the
// Status that tells of its end (Decode in k8s.io/client-go rest/watch/decoder.go). What a request is
// answered with has a type, or a default of one (transformResponse in rest/request.go).
type objectSerializer struct{ runtime.Serializer }

func (s objectSerializer) Decode(data []byte, defaults *schema.GroupVersionKind, into runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	if defaults != nil || into != nil {
		return s.Serializer.Decode(data, defaults, into)
	}
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   struct {
			Namespace       string `json:"namespace"`
			Name            string `json:"name"`
			ResourceVersion string `json:"resourceVersion"`
			Annotations     struct {
				InitialEventsEnd string `json:"k8s.io/initial-events-end"`
			} `json:"annotations"`
		} `json:"metadata"`
	}
	if json2.Unmarshal(data, &head, lenient) != nil || head.Kind == "" || head.APIVersion == "v1" && head.Kind == "Status" {
		return s.Serializer.Decode(data, nil, nil)
	}
	out := &raw{json: data}
	out.APIVersion, out.Kind = head.APIVersion, head.Kind
	m := head.Metadata
	out.Namespace, out.Name, out.ResourceVersion = m.Namespace, m.Name, m.ResourceVersion
	if m.Annotations.InitialEventsEnd != "" {
		out.Annotations = map[string]string{metav1.InitialEventsAnnotationKey: m.Annotations.InitialEventsEnd}
	}
	gvk := out.GroupVersionKind()
	return out, &gvk, nil
}
