package state

import (
	"fmt"
	"math"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"

	"github.com/gatewarden/gatewarden/pkg/hostname"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func gateway(ns, name string, selector map[string]string, hosts ...string) *resource.Gateway {
	return &resource.Gateway{
		Meta: resource.Meta{Namespace: ns, Name: name}, Selector: selector,
		Servers: []resource.Server{{Port: 443, Protocol: "HTTPS", Hosts: hosts}},
	}
}

func route(ns, name string, gateways ...string) *resource.VirtualService {
	return &resource.VirtualService{Meta: resource.Meta{Namespace: ns, Name: name}, Gateways: gateways}
}

func TestGatewayName(t *testing.T) {
	for ref, want := range map[string]string{
		"web":                         "own/web",
		"./web":                       "own/web",
		"other/web":                   "other/web",
		"web.other":                   "other/web",
		"web.other.svc.cluster.local": "other/web",
		"mesh":                        "",
		"":                            "",
		"own/mesh":                    "own/mesh",
	} {
		ns, name, ok := GatewayName(ref, "own")
		got := ""
		if ok {
			got = ns + "/" + name
		}
		assert.Equal(t, want, got, "%q", ref)
	}
}

func TestIndexes(t *testing.T) {
	w := NewWriter()
	w.Apply(
		gateway("a", "one", map[string]string{"app": "gw"}, "*/x.org", "b/Y.org"),
		gateway("b", "two", map[string]string{"app": "gw", "tier": "edge"}, "./x.org"),
		gateway("c", "any", nil, "z.org"),
		route("r", "v1", "a/one", "mesh"), route("r", "v2", "one.a"), route("a", "v3", "one"), route("r", "v4", "onex.a"),
	)
	s := w.Snapshot()
	assert.Equal(t, []string{"a/one", "b/two"}, withHost(s, "x.org"))
	assert.Equal(t, []string{"a/one"}, withHost(s, "y.org"))
	assert.Empty(t, withHost(s, "x.or"))
	assert.Equal(t, []string{"a/v3", "r/v1", "r/v2"}, routesOf(s, "a", "one"))
	assert.Equal(t, []string{"c/any", "a/one"}, servedBy(s, map[string]string{"app": "gw"}))
	assert.Equal(t, []string{"c/any", "a/one", "b/two"}, servedBy(s, map[string]string{"app": "gw", "tier": "edge"}))
	assert.Equal(t, []string{"c/any"}, servedBy(s, nil))

	// An overlay leaves what is below it as it was.
	with := s.With(gateway("a", "one", nil, "new.org"))
	assert.Equal(t, []string{"a/one"}, withHost(with, "new.org"))
	assert.Equal(t, []string{"b/two"}, withHost(with, "x.org"))
	assert.Equal(t, []string{"a/one", "b/two"}, withHost(s, "x.org"))
	without := s.Without(resource.Key{Kind: resource.KindVirtualService, Namespace: "r", Name: "v1"})
	assert.Equal(t, []string{"a/v3", "r/v2"}, routesOf(without, "a", "one"))
	assert.Equal(t, s.Generation(), without.Generation())
}

func routesOn(s *Snapshot, h hostname.Name, path string) (out []string) {
	s.RoutesOn(h, path, func(v *resource.VirtualService) bool { out = append(out, v.Namespace+"/"+v.Name); return true })
	return out
}

func served(o *resource.VirtualService, host string, paths ...string) *resource.VirtualService {
	o.Hosts = []string{host}
	for _, p := range paths {
		o.HTTP = append(o.HTTP, resource.HTTPRoute{Matches: []resource.HTTPMatch{{URI: resource.StringMatch{Type: resource.MatchPrefix, Value: p}}}})
	}
	return o
}

func TestGatewaysByBind(t *testing.T) {
	w := NewWriter()
	for _, g := range []struct {
		name, protocol, bind string
		port                 uint32
	}{
		{"a", "HTTP", "", 80}, {"b", "HTTP", "", 80}, {"c", "GRPC", "", 80}, {"d", "HTTP", "127.0.0.1", 80},
		{"e", "HTTP", "127.0.0.1", 80}, {"f", "HTTPS", "", 80}, {"g", "HTTP", "", 8080},
	} {
		w.Apply(&resource.Gateway{
			Meta:    resource.Meta{Namespace: "ns", Name: g.name},
			Servers: []resource.Server{{Port: g.port, Protocol: g.protocol, Bind: g.bind, Hosts: []string{"x.org"}}},
		})
	}
	visited := func(settled string) (out []string) {
		w.Snapshot().GatewaysByBind(80, resource.PlainHTTP, func(g *resource.Gateway) bool {
			out = append(out, g.Name)
			return settled == "" || g.Name == settled
		})
		return out
	}
	assert.Equal(t, []string{"c", "a", "b", "d", "e"}, visited("none"))
	assert.Equal(t, []string{"c", "a", "d"}, visited(""), "one of each")
	assert.Equal(t, []string{"c", "a", "d", "e"}, visited("a"))
}

func TestRoutesOn(t *testing.T) {
	w := NewWriter()
	regex := served(route("r", "regex"), "a.org", "/api/[0-9]+")
	regex.HTTP[0].Matches[0].URI.Type = resource.MatchRegex
	w.Apply(served(route("r", "all"), "A.org", "/"), served(route("r", "api"), "a.org", "/api/", "/api/"), regex,
		served(route("r", "docs"), "a.org", "/docs/"), served(route("r", "other"), "b.org", "/api/"), served(route("r", "longer"), "x.a.org", "/api/"))
	s := w.Snapshot()
	assert.Equal(t, []string{"r/all", "r/api", "r/regex"}, routesOn(s, "a.org", "/api/"))
	assert.Equal(t, []string{"r/all", "r/api", "r/regex"}, routesOn(s, "a.org", "/api/1"))
	assert.Equal(t, []string{"r/all"}, routesOn(s, "a.org", "/x"))
	assert.Len(t, routesOn(s, "a.org", ""), 4)
	assert.Empty(t, routesOn(s, "org", "/"))
	s = s.Without(resource.Key{Kind: resource.KindVirtualService, Namespace: "r", Name: "api"})
	assert.Equal(t, []string{"r/all", "r/regex"}, routesOn(s, "a.org", "/api/"))
	var at []string
	s.RoutesAt("a.org", "/", func(v *resource.VirtualService) bool { at = append(at, v.Name); return true })
	assert.Equal(t, []string{"all"}, at)
}

func withHost(s *Snapshot, h hostname.Name) (out []string) {
	s.GatewaysWithHost(h, func(g *resource.Gateway) bool { out = append(out, g.Namespace+"/"+g.Name); return true })
	return out
}

func routesOf(s *Snapshot, ns, name string) (out []string) {
	s.RoutesOf(ns, name, func(v *resource.VirtualService) bool { out = append(out, v.Namespace+"/"+v.Name); return true })
	return out
}

func servedBy(s *Snapshot, labels map[string]string) (out []string) {
	s.GatewaysServedBy(labels, func(g *resource.Gateway) bool { out = append(out, g.Namespace+"/"+g.Name); return true })
	return out
}

// Whatever order objects come, change and go in, the indexes tell the same as a fresh
// snapshot of what is left.
func TestIndexesForgetNothingAndKeepNothing(t *testing.T) {
	hosts := rapid.SampledFrom([]string{"a.org", "*.a.org", "./a.org", "*", "*/*", "B.org"})
	rapid.Check(t, func(t *rapid.T) {
		w, model := NewWriter(), map[resource.Key]resource.Object{}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			ns := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "ns")
			name := rapid.SampledFrom([]string{"x", "y"}).Draw(t, "name")
			var o resource.Object = gateway(ns, name, rapid.SampledFrom([]map[string]string{nil, {"k": "v"}, {"k": "v", "l": "w"}}).Draw(t, "selector"),
				rapid.SliceOfN(hosts, 1, 3).Draw(t, "hosts")...)
			if rapid.Bool().Draw(t, "route") {
				o = served(route(ns, name, rapid.SliceOfN(rapid.SampledFrom([]string{"x", "a/x", "y.b", "mesh"}), 0, 3).Draw(t, "gateways")...),
					hosts.Draw(t, "host"), rapid.SliceOfN(rapid.SampledFrom([]string{"/", "/a", "/a/b"}), 0, 2).Draw(t, "paths")...)
			}
			switch rapid.IntRange(0, 3).Draw(t, "do") {
			case 0:
				w.Delete(o.Key())
				delete(model, o.Key())
			case 1:
				for k := range model {
					if k.Kind == o.Key().Kind {
						delete(model, k)
					}
				}
				model[o.Key()] = o
				w.Replace(o.Key().Kind, []resource.Object{o})
			default:
				model[o.Key()] = o
				w.Apply(o)
			}
		}
		fresh := NewWriter()
		for _, o := range model {
			fresh.Apply(o)
		}
		got, want := w.Snapshot(), fresh.Snapshot()
		assert.Equal(t, want.Len(), got.Len())
		for _, h := range []hostname.Name{"a.org", "*.a.org", "*", "b.org"} {
			assert.Equal(t, withHost(want, h), withHost(got, h))
		}
		for _, p := range []string{"", "/", "/a", "/a/c"} {
			assert.Equal(t, routesOn(want, "a.org", p), routesOn(got, "a.org", p))
			assert.Equal(t, routesOn(want, "*", p), routesOn(got, "*", p))
		}
		for _, n := range []string{"x", "y"} {
			assert.Equal(t, routesOf(want, "a", n), routesOf(got, "a", n))
			assert.Equal(t, routesOf(want, "b", n), routesOf(got, "b", n))
		}
		for _, l := range []map[string]string{nil, {"k": "v"}, {"k": "v", "l": "w", "m": "z"}} {
			assert.Equal(t, servedBy(want, l), servedBy(got, l))
		}
	})
}

// Readers see whole publications while a writer goes on.
func TestReadersNeverSeeHalfAPublication(t *testing.T) {
	w := NewWriter()
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for i := range 500 {
			w.Apply(gateway("a", "g", nil, fmt.Sprintf("h%d.org", i)), route("a", "v", fmt.Sprintf("g%d", i)))
		}
	}()
	for range 500 {
		s := w.Snapshot()
		g, _ := s.Get(resource.Key{Kind: resource.KindGateway, Namespace: "a", Name: "g"}).(*resource.Gateway)
		v, _ := s.Get(resource.Key{Kind: resource.KindVirtualService, Namespace: "a", Name: "v"}).(*resource.VirtualService)
		if g == nil {
			continue
		}
		assert.Equal(t, g.Servers[0].Hosts[0], "h"+v.Gateways[0][1:]+".org")
	}
	wg.Wait()
	assert.EqualValues(t, 500, w.Snapshot().Generation())
}

// What is not listed is known to be lacking, in every snapshot since.
func TestLacking(t *testing.T) {
	w := NewWriter()
	node := &resource.Node{Meta: resource.Meta{Name: "n"}}
	assert.NotEmpty(t, w.Snapshot().Lacking(resource.KindNode), "manifests are never everything")
	w.SetUnread(resource.KindNode, "forbidden")
	w.SetComplete(true)
	before := w.Snapshot()
	assert.Equal(t, "forbidden", before.Lacking(resource.KindNode))
	assert.Empty(t, before.Lacking(resource.KindService))
	assert.Equal(t, "forbidden", before.With(node).Without(node.Key()).Lacking(resource.KindNode))
	w.SetUnread(resource.KindNode, "forbidden")
	assert.Same(t, before, w.Snapshot(), "nothing has changed")
	w.SetUnread(resource.KindNode, "")
	assert.Empty(t, w.Snapshot().Lacking(resource.KindNode))
	assert.Equal(t, "forbidden", before.Lacking(resource.KindNode))
}

func TestCollectorPercent(t *testing.T) {
	for alive, want := range map[uint64]int{0: 400, 1 << 20: 400, 16 << 20: 200, 64 << 20: 50, 155 << 20: 30, 1 << 40: 30, math.MaxUint64: 30} {
		assert.Equal(t, want, CollectorPercent(alive), alive)
	}
}
