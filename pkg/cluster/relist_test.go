package cluster_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

// closed tells whether a channel is.
func closed(c <-chan struct{}) func() bool {
	return func() bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
}

// What was stored before Relist is in the state when it is over, even if no watch told of it.
func TestClusterListsEverythingAgain(t *testing.T) {
	first := object("networking.istio.io/v1", "Gateway", "a", "g")
	client := newClient(t, first, object("v1", "Service", "a", "s"))
	var gatewayList listing
	gatewayList.of(client)
	w := run(t, client, nil, core, istio)
	eventually(t, w.Synced, "not synced")

	gatewayList.set(func() (bool, runtime.Object, error) {
		list := &unstructured.UnstructuredList{
			Items: []unstructured.Unstructured{*first, *object("networking.istio.io/v1", "Gateway", "a", "unseen")},
		}
		list.SetAPIVersion("networking.istio.io/v1")
		list.SetKind("GatewayList")
		return true, list, nil
	})
	eventually(t, closed(w.Relist()), "not listed again")
	assert.True(t, w.has(resource.KindGateway, "a", "unseen")(), "it was over before")
	assert.True(t, w.has(resource.KindService, "a", "s")())

	// While a kind can not be listed it is not over, and two are over by one list.
	gatewayList.set(starting)
	one, two := w.Relist(), w.Relist()
	eventually(t, func() bool { return !w.Synced() }, "synced, though nobody knows what there is")
	assert.False(t, closed(one)())
	gatewayList.set(nil)
	eventually(t, closed(one), "not listed again")
	eventually(t, closed(two), "not listed again")
	assert.True(t, w.Synced())
	assert.False(t, w.has(resource.KindGateway, "a", "unseen")())
}
