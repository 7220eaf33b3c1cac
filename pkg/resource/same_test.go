package resource_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestSame(t *testing.T) {
	gateway := func(edit func(*resource.Gateway)) resource.Object {
		g := &resource.Gateway{
			Meta:    resource.Meta{Namespace: "a", Name: "g", UID: "1", Version: 7, Created: time.Unix(1, 0)},
			Servers: []resource.Server{{Port: 443, Hosts: []string{"a.example.org"}}},
		}
		edit(g)
		return g
	}
	first := gateway(func(*resource.Gateway) {})
	assert.True(t, resource.Same(nil, nil))
	assert.False(t, resource.Same(first, nil))
	assert.False(t, resource.Same(nil, first))
	assert.True(t, resource.Same(first, gateway(func(g *resource.Gateway) { g.UID, g.Version, g.Created = "2", 8, time.Unix(2, 0) })))
	for name, edit := range map[string]func(*resource.Gateway){
		"a host":      func(g *resource.Gateway) { g.Servers[0].Hosts[0] = "b.example.org" },
		"a server":    func(g *resource.Gateway) { g.Servers = nil },
		"a label":     func(g *resource.Gateway) { g.Labels = map[string]string{"istio.io/rev": "x"} },
		"terminating": func(g *resource.Gateway) { g.Terminating = true },
		"the name":    func(g *resource.Gateway) { g.Name = "h" },
	} {
		assert.False(t, resource.Same(first, gateway(edit)), name)
	}
	assert.False(t, resource.Same(first, &resource.VirtualService{Meta: *first.GetMeta()}))
}
