package state

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

func found[O resource.Object](each func(f func(O) bool)) []string {
	var out []string
	each(func(o O) bool { out = append(out, o.Key().String()); return true })
	return out
}

func TestReferences(t *testing.T) {
	to := func(ns, name string, hosts ...string) *resource.VirtualService {
		v := route(ns, name)
		for i, h := range hosts {
			v.HTTP = append(v.HTTP, resource.HTTPRoute{Destinations: []resource.Destination{{Host: h}}})
			if i == 0 {
				v.TCP = append(v.TCP, resource.L4Route{Destinations: []resource.Destination{{Host: h}}})
			}
		}
		return v
	}
	root := route("a", "root")
	root.HTTP = []resource.HTTPRoute{{Delegate: "a/part"}, {Delegate: "b/part"}}
	meta := func(name string) resource.Meta { return resource.Meta{Namespace: "a", Name: name} }
	pod := func(name string, host bool) *resource.Workload {
		return &resource.Workload{Meta: meta(name), Kind: resource.KindPod, Pod: resource.PodTemplate{HostNetwork: host, PodIPs: []string{"10.0.0.9", "::ffff:10.0.0.8"}}}
	}
	w := NewWriter()
	w.Apply(
		to("a", "short", "s"), to("b", "long", "s.a.svc.cluster.local"), to("b", "other", "s.a.svc.other.domain", "x.org"), to("b", "longer", "s.ab"),
		root,
		&resource.Service{Meta: meta("alias"), ExternalName: "S.b.svc.cluster.local."},
		&resource.Service{Meta: meta("ip"), ClusterIPs: []string{"10.0.0.1", "fd00::1"}},
		&resource.ServiceEntry{Meta: meta("entry"), Hosts: []string{"x.org"}, Endpoints: []string{"s.b.svc.cluster.local", "10.0.0.7"}},
		pod("p", false), pod("node", true),
	)
	check := func(s *Snapshot, short, alias bool) {
		routes := func(host string) []string {
			return found(func(f func(*resource.VirtualService) bool) { s.RoutesTo(host, f) })
		}
		want := []string{"VirtualService b/long", "VirtualService b/other"}
		if short {
			want = []string{"VirtualService a/short", "VirtualService b/long", "VirtualService b/other"}
		}
		assert.Equal(t, want, routes("s.a.svc."))
		assert.Equal(t, want[:len(want)-1], routes("s.a.svc.cluster.local"))
		assert.Equal(t, []string{"VirtualService b/other"}, routes("x.org"))
		assert.Empty(t, routes("x.or"))
		want = []string{"ServiceEntry a/entry"}
		if alias {
			want = []string{"Service a/alias", "ServiceEntry a/entry"}
		}
		assert.Equal(t, want, found(func(f func(resource.Object) bool) { s.StandIns("s.B.svc.cluster.local.", f) }))
	}
	s := w.Snapshot()
	check(s, true, true)
	for part, want := range map[string][]string{"part": {"VirtualService a/root"}, "par": nil} {
		assert.Equal(t, want, found(func(f func(*resource.VirtualService) bool) { s.RootsOf("b", part, f) }))
	}
	assert.Equal(t, []string{"ServiceEntry a/entry"}, found(func(f func(*resource.ServiceEntry) bool) { s.EntriesOf("x.org", f) }))
	assert.Empty(t, found(func(f func(*resource.ServiceEntry) bool) { s.EntriesOf("x.or", f) }))
	for ip, want := range map[string][]string{
		"10.0.0.1": {"Service a/ip"}, "fd00:0::1": {"Service a/ip"}, "10.0.0.9": {"Pod a/p"}, "10.0.0.8": {"Pod a/p"},
		"10.0.0.7": nil, "10.0.0": nil, "": nil,
	} {
		assert.Equal(t, want, found(func(f func(resource.Object) bool) { s.AtAddress(ip, f) }), ip)
	}

	check(s.Without(resource.Key{Kind: resource.KindVirtualService, Namespace: "a", Name: "short"}), false, true)
	check(s.With(to("a", "short", "elsewhere")), false, true)
	check(s.With(&resource.Service{Meta: meta("alias")}), true, false)
	check(s, true, true)
}
