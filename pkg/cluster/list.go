package cluster

import (
	"context"
	"fmt"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/pager"

	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
)

// listers is how many kinds are listed at a time: enough to hide the way to the API server,
// and few enough not to be a burden to it.
const listers = 4

// listAttempts is how often a kind is listed that takes too long.
const listAttempts = 3

// List fills the Writer once with what the cluster holds, which needs the verb list and nothing
// else. It returns the kinds that may not be listed, in the order of resource.APIs; the state
// is complete only if there are none. An object that can not be read is left out, logged and
// counted, as by Run.
//
// Each kind is read consistently, in pages. What changes meanwhile may be seen in one kind and
// not in another.
func List(ctx context.Context, o Options) (forbidden []resource.API, err error) {
	c := New(o)
	served, err := c.servedOnce(ctx)
	if err != nil {
		return nil, err
	}
	errs := make([]error, len(resource.APIs))
	slots := make(chan struct{}, listers)
	var group sync.WaitGroup
	for i, api := range resource.APIs {
		if gvr, available := served[api.Kind]; available {
			group.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				errs[i] = c.list(ctx, api, gvr)
			})
		}
	}
	group.Wait()
	complete := true
	for i, api := range resource.APIs {
		_, available := served[api.Kind]
		switch err := errs[i]; {
		case !available, apierrors.IsNotFound(err): // its CustomResourceDefinition was just removed
			c.unread(api.Kind, state.NotServed)
		case err == nil:
			c.unread(api.Kind, "")
		case apierrors.IsForbidden(err):
			forbidden = append(forbidden, api)
			complete = complete && resource.ForAudits(api.Kind)
			c.unread(api.Kind, err.Error())
		case resource.ForAudits(api.Kind):
			c.unread(api.Kind, err.Error())
		default:
			return nil, fmt.Errorf("%s cannot be listed: %w", schema.GroupResource{Group: api.Group, Resource: api.Resource}, err)
		}
	}
	c.o.Writer.SetComplete(complete)
	return forbidden, nil
}

// servedOnce finds what the cluster serves, by discovery, and by asking for the kinds that it
// leaves out: an API server that is starting knows less than it serves. Whoever may not list a
// kind has only discovery to go by.
func (c *Cluster) servedOnce(ctx context.Context) (map[resource.Kind]schema.GroupVersionResource, error) {
	served, err := c.served(ctx)
	if err != nil {
		return nil, fmt.Errorf("the cluster cannot be asked which kinds it serves: %w", err)
	}
	for _, api := range c.compare(served) {
		gvr, err := c.probe(ctx, api)
		switch {
		case err == nil:
			served[api.Kind] = gvr
		case !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err):
			return nil, fmt.Errorf("the cluster does not say whether it serves %s: %w", schema.GroupResource{Group: api.Group, Resource: api.Resource}, err)
		}
	}
	return served, nil
}

// list replaces what the Writer holds of a kind. A list that takes longer than the API server
// remembers its beginning is begun anew.
func (c *Cluster) list(ctx context.Context, api resource.API, gvr schema.GroupVersionResource) (err error) {
	client, scope := c.client(gvr, api.Kind)
	s := c.store(api, gvr, func() {})
	pages := pager.New(func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		return client.List(ctx, scope(consistent(o)))
	})
	pages.PageBufferSize = 1
	for range listAttempts {
		var objects []any
		err = pages.EachListItem(ctx, metav1.ListOptions{}, func(item runtime.Object) error {
			// As they come: the full objects of a large cluster do not fit.
			o, err := s.slim(item)
			objects = append(objects, o)
			return err
		})
		if err == nil {
			return s.Replace(objects, "")
		}
		if !apierrors.IsResourceExpired(err) {
			return err
		}
	}
	return err
}
