package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
)

const (
	// goneRounds is in how many successive rounds a kind has to be missing until it counts
	// as gone. The API server answers 503 instead of 404 while it is starting (package
	// notfoundhandler of k8s.io/apiserver), so one would do if nothing were ever wrong; with
	// several API servers not all of them need to know the same at the same time.
	goneRounds = 3
	// probeTimeout bounds the question whether a kind is there.
	probeTimeout = 5 * time.Second
)

// presence is what is known of a kind that discovery leaves out.
type presence struct {
	since  time.Time // of the first round that left it out
	misses int       // successive rounds in which its own list was not found
	absent bool      // it is certain that the cluster does not serve it
	// problem is why its own list says neither that it is there nor that it is not.
	problem error
}

// doubt says what is not certain about the kind.
func (p *presence) doubt(api resource.API) error {
	what := fmt.Sprintf("%s are missing from what the cluster says it serves since %s, and are asked for until that is certain",
		schema.GroupResource{Group: api.Group, Resource: api.Resource}, stamp(p.since))
	if p.problem != nil {
		return fmt.Errorf("%s: %w", what, p.problem)
	}
	return errors.New(what)
}

// compare takes note of a successful round of discovery, and returns the kinds that it leaves
// out without this being known. The state is not synced until it is certain.
func (c *Cluster) compare(served map[resource.Kind]schema.GroupVersionResource) []resource.API {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.discovered, c.problem = true, nil
	var missing []resource.API
	for _, api := range resource.APIs {
		p := c.presence[api.Kind]
		if gvr, available := served[api.Kind]; available {
			delete(c.presence, api.Kind)
			// The watches that are started first must not be taken for all of them.
			c.changing = c.changing || !resource.ForAudits(api.Kind) && (c.watches[api.Kind] == nil || c.watches[api.Kind].gvr != gvr)
			continue
		}
		if p == nil {
			p = &presence{since: time.Now()}
			c.presence[api.Kind] = p
		}
		if !p.absent {
			missing = append(missing, api)
		}
	}
	return missing
}

// probeAll asks for the objects of kinds that discovery leaves out. A kind that answers is
// added to what is served, whatever discovery says; one that is certainly gone is dropped.
func (c *Cluster) probeAll(ctx context.Context, missing []resource.API, served map[resource.Kind]schema.GroupVersionResource) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	found := make([]schema.GroupVersionResource, len(missing))
	problems := make([]error, len(missing))
	var group sync.WaitGroup
	for i, api := range missing {
		group.Go(func() { found[i], problems[i] = c.probe(ctx, api) })
	}
	group.Wait()
	for i, api := range missing {
		if problems[i] == nil {
			served[api.Kind] = found[i]
		}
		c.conclude(api, found[i], problems[i])
	}
}

// probe asks for one object of a kind, in each version until one is there, the watched one
// first. The error is one of "not found" if none is.
func (c *Cluster) probe(ctx context.Context, api resource.API) (schema.GroupVersionResource, error) {
	versions := slices.Clone(api.Versions)
	c.mu.Lock()
	if w := c.watches[api.Kind]; w != nil {
		i := slices.Index(versions, w.gvr.Version)
		versions[0], versions[i] = versions[i], versions[0]
	}
	c.mu.Unlock()
	var err error
	for _, version := range versions {
		gvr := schema.GroupVersionResource{Group: api.Group, Version: version, Resource: api.Resource}
		client, scope := c.client(gvr, api.Kind)
		if _, err = client.List(ctx, scope(metav1.ListOptions{Limit: 1})); err == nil {
			return gvr, nil
		}
		if !apierrors.IsNotFound(err) {
			break
		}
	}
	return schema.GroupVersionResource{}, err
}

// conclude draws a conclusion from a kind's own list.
func (c *Cluster) conclude(api resource.API, gvr schema.GroupVersionResource, err error) {
	c.mu.Lock()
	p, w := c.presence[api.Kind], c.watches[api.Kind]
	switch {
	case err == nil:
		delete(c.presence, api.Kind)
		c.changing = c.changing || !resource.ForAudits(api.Kind) && (w == nil || w.gvr != gvr)
	case apierrors.IsNotFound(err):
		p.misses, p.problem = p.misses+1, err
	default:
		p.misses, p.problem = 0, err
	}
	gone := p.misses >= goneRounds
	c.mu.Unlock()
	if !gone {
		return
	}
	if w != nil {
		c.end(w)
		c.o.Writer.Replace(api.Kind, nil)
		c.o.Log.Info("the cluster does not serve the kind any more", "resource", w.gvr.GroupResource().String())
	}
	c.unread(api.Kind, state.NotServed)
	c.mu.Lock()
	p.absent = true
	c.mu.Unlock()
}

// served finds for each kind the version to watch: the one that the cluster prefers in the
// kind's group if it has the kind, else the first of resource.API.Versions that does. All
// have one schema, so any would do.
func (c *Cluster) served(ctx context.Context) (map[resource.Kind]schema.GroupVersionResource, error) {
	groups, err := c.o.Discovery.ServerGroupsWithContext(ctx)
	if err != nil {
		return nil, err
	}
	out := map[resource.Kind]schema.GroupVersionResource{}
	resources := map[schema.GroupVersion][]string{}
	for _, api := range resource.APIs {
		i := slices.IndexFunc(groups.Groups, func(g metav1.APIGroup) bool { return g.Name == api.Group })
		if i < 0 {
			continue
		}
		for _, version := range versions(api, groups.Groups[i]) {
			gv := schema.GroupVersion{Group: api.Group, Version: version}
			names, known := resources[gv]
			if !known {
				if names, err = c.resources(ctx, gv); err != nil && resource.ForAudits(api.Kind) {
					c.unread(api.Kind, err.Error())
					continue
				} else if err != nil {
					return nil, err
				}
				resources[gv] = names
			}
			if slices.Contains(names, api.Resource) {
				out[api.Kind] = gv.WithResource(api.Resource)
				break
			}
		}
	}
	return out, nil
}

// versions returns the versions of an API that a group has, the preferred one first.
func versions(api resource.API, group metav1.APIGroup) []string {
	var out []string
	for _, v := range append([]string{group.PreferredVersion.Version}, api.Versions...) {
		has := slices.ContainsFunc(group.Versions, func(g metav1.GroupVersionForDiscovery) bool { return g.Version == v })
		if has && slices.Contains(api.Versions, v) && !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// resources returns the resources of one version of a group. A version that went away since
// the groups were listed has none.
func (c *Cluster) resources(ctx context.Context, gv schema.GroupVersion) ([]string, error) {
	list, err := c.o.Discovery.ServerResourcesForGroupVersionWithContext(ctx, gv.String())
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", gv, err)
	}
	var out []string
	for _, r := range list.APIResources {
		out = append(out, r.Name)
	}
	return out, nil
}
