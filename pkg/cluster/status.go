package cluster

import (
	"time"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

// Watched is what is known of the watch of one kind.
type Watched struct {
	Kind resource.Kind
	// Resource is what is watched, as in "gateways.networking.istio.io/v1".
	Resource string
	// Current reports whether the state holds the kind's objects as they are stored.
	Current bool
	// Listed is when the state was given all objects of the kind last; zero for never.
	Listed time.Time
	// Heard is when the API server last sent anything about the kind: a list, an event, or one of
	// the bookmarks that come about once a minute while nothing happens. Zero for never.
	Heard time.Time
	// Lost is how long there has been no watch; zero while one is running.
	Lost time.Duration
	// Problem is why the last request failed, or nil.
	Problem error
}

// Watched tells of each kind that the cluster serves, in the order of resource.APIs.
func (c *Cluster) Watched() []Watched {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []Watched
	for _, api := range resource.APIs {
		w := c.watches[api.Kind]
		if w == nil {
			continue
		}
		k := Watched{
			Kind: api.Kind, Resource: w.gvr.GroupResource().String() + "/" + w.gvr.Version,
			Current: w.listed, Listed: w.since, Problem: w.problem,
		}
		if nanoseconds := w.heard.Load(); nanoseconds != 0 {
			k.Heard = time.Unix(0, nanoseconds)
		}
		if !w.running() {
			k.Lost = time.Since(w.current)
		}
		out = append(out, k)
	}
	return out
}
