package cluster

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

// answering returns a client of a server that answers everything with a status and a body.
func answering(t *testing.T, status int, body string) dynamic.ResourceInterface {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "application/json", r.Header.Get("Accept"))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, body)
	}))
	t.Cleanup(server.Close)
	client, err := NewClient(&rest.Config{Host: server.URL})
	require.NoError(t, err)
	return client.Resource(schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "gateways"})
}

// events are those of a watch that is answered with a body.
func events(t *testing.T, body string) []watch.Event {
	t.Helper()
	w, err := answering(t, http.StatusOK, body).Watch(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	defer w.Stop()
	var out []watch.Event
	for e := range w.ResultChan() {
		out = append(out, e)
	}
	return out
}

func TestWatchesHandOverWhatWasSent(t *testing.T) {
	const first = `{"apiVersion":"networking.istio.io/v1","kind":"Gateway","metadata":{"namespace":"a","name":"one",` +
		`"resourceVersion":"7","annotations":{"x":"1"}},"spec":{"selector":{"app":"x"}}}`
	const second = `{ "kind": "Gateway", "apiVersion": "networking.istio.io/v1", "metadata": { "name": "two" }, "spec": 3 }`
	got := events(t, `{"type":"ADDED","object":`+first+"}\n"+
		`{"object":`+second+`,"type":"DELETED"}`+
		`{"type":"BOOKMARK","object":{"apiVersion":"networking.istio.io/v1","kind":"Gateway","metadata":{"resourceVersion":"9",`+
		`"annotations":{"k8s.io/initial-events-end":"true"}}}}`)

	require.Len(t, got, 3)
	one := got[0].Object.(*raw)
	assert.Equal(t, watch.Added, got[0].Type)
	assert.True(t, bytes.Equal([]byte(first), one.json), "%s", one.json)
	assert.Equal(t, "a/one 7", one.Namespace+"/"+one.Name+" "+one.ResourceVersion)
	assert.Equal(t, schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: "Gateway"}, one.GroupVersionKind())
	assert.Equal(t, one, one.DeepCopyObject())
	assert.Equal(t, watch.Deleted, got[1].Type)
	assert.True(t, bytes.Equal([]byte(second), got[1].Object.(*raw).json), "an event lost its bytes to a later one")
	end := got[2].Object.(*raw)
	assert.Equal(t, watch.Bookmark, got[2].Type)
	assert.Equal(t, "true", end.Annotations[metav1.InitialEventsAnnotationKey])
	assert.Equal(t, "9", end.ResourceVersion)

	s := newStore(resource.KindGateway)
	require.NoError(t, s.Add(one))
	assert.Equal(t, map[string]string{"app": "x"}, s.get("a", "one").(*resource.Gateway).Selector)
	require.NoError(t, s.Delete(one))
	assert.Nil(t, s.get("a", "one"))
	require.NoError(t, s.Add(got[1].Object))
	assert.Equal(t, []resource.Kind{resource.KindGateway}, s.counts.kinds)
	assert.Contains(t, s.log.String(), "spec")
}

func TestWatchesTellWhyTheyEnd(t *testing.T) {
	got := events(t, `{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",`+
		`"message":"too old resource version","reason":"Expired","code":410}}`)
	require.Len(t, got, 1)
	assert.True(t, apierrors.IsResourceExpired(apierrors.FromObject(got[0].Object)))

	for name, body := range map[string]string{
		"cut off": `{"type":"ADDED","object":{"apiVersion":"networking.istio.io/v1","kind":"Gateway","meta`,
		"no JSON": `<html>`,
		"no kind": `{"type":"ADDED","object":{"metadata":{"name":"x"}}}`,
		"no type": `{"type":"ADDITION","object":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"}}}`,
		"a list":  `[1]`,
	} {
		t.Run(name, func(t *testing.T) {
			for _, e := range events(t, body) {
				assert.NotEqual(t, watch.Added, e.Type, "%#v", e.Object)
			}
		})
	}
}

func TestOtherRequestsAreAnsweredAsEver(t *testing.T) {
	list, err := answering(t, http.StatusOK, `{"apiVersion":"networking.istio.io/v1","kind":"GatewayList","metadata":{"resourceVersion":"7"},`+
		`"items":[{"apiVersion":"networking.istio.io/v1","kind":"Gateway","metadata":{"name":"one"}}]}`).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, list.Items, 1)
	assert.IsType(t, unstructured.Unstructured{}, list.Items[0])

	const missing = `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"there is none","reason":"NotFound","code":404}`
	_, err = answering(t, http.StatusNotFound, missing).List(t.Context(), metav1.ListOptions{})
	assert.True(t, apierrors.IsNotFound(err), err)
	_, err = answering(t, http.StatusNotFound, missing).Watch(t.Context(), metav1.ListOptions{})
	assert.True(t, apierrors.IsNotFound(err), err)
	assert.ErrorContains(t, err, "there is none")
}
