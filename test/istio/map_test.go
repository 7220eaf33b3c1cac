package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	envoyroute "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/util/protomarshal"

	"github.com/gatewarden/gatewarden/pkg/decode"
	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/hostname"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
)

// A map of a random world, with what would be denied in it, is what Istio makes of it: the same
// listeners, chains and server names, the same virtual hosts, and the same routes in one order.
func TestMapIsWhatIstioMakes(t *testing.T) {
	worlds, routes, refused := 300, 0, 0
	if testing.Short() {
		worlds = 30
	}
	for i := range uint64(worlds) {
		objects, p := crowd(t, i)
		s, err := translate(objects, p)
		require.NoError(t, err)
		want, err := sentMap(s)
		require.NoError(t, err)
		got := madeMap(t, objects, p)
		if !assert.Equal(t, want, got, "world %d", i) {
			for _, o := range objects {
				t.Logf("%s", o.raw)
			}
			return
		}
		routes += strings.Count(want, " route ")
		refused += strings.Count(want, " refused")
	}
	t.Logf("%d worlds, %d routes, %d listeners refused", worlds, routes, refused)
	assert.Positive(t, routes)
	assert.Positive(t, refused)
}

// crowd draws the objects of several worlds, the oldest first.
func crowd(t *testing.T, n uint64) ([]*object, pods) {
	t.Helper()
	var out []*object
	var p pods
	known := map[string]bool{}
	for i := range uint64(4) {
		g := newGenerator(17, 4*n+i)
		w, err := g.world("w")
		require.NoError(t, err)
		p = pods{gatewayNamespace, g.labels()}
		for _, o := range append(slices.Clone(w.existing), w.new) {
			if o != nil && !known[o.key()] {
				known[o.key()] = true
				out = append(out, o)
			}
		}
		out = append(out, g.delegation(fmt.Sprintf("by-%d", i))...)
		g.r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	}
	return out, p
}

// delegation draws a VirtualService that hands over to another one, and that one. There may be
// none if Istio's validation refuses one.
func (g *generator) delegation(name string) []*object {
	routes := func(prefix string, more fields) (out []any) {
		for i := range 1 + g.r.IntN(3) {
			r := g.httpRoute("team-a", []any{fields{"destination": fields{"host": "x.team-a.svc.cluster.local"}}})
			if g.chance(2) {
				r["name"] = fmt.Sprintf("%s%d", prefix, i)
			}
			if more != nil && !g.chance(3) {
				delete(r, "route")
				delete(r, "redirect")
				r["delegate"] = more
			}
			out = append(out, r)
		}
		return out
	}
	root, err := written("networking.istio.io/v1", "VirtualService", "team-a", name, fields{
		"hosts": []any{pick(g, someHosts...)}, "gateways": []any{g.gatewayName("team-a"), ownGateway},
		"http": routes("root", fields{"name": name + "-part", "namespace": pick(g, "team-a", "team-b")}),
	}, nil)
	if err != nil {
		return nil
	}
	part, err := written("networking.istio.io/v1", "VirtualService", pick(g, "team-a", "team-b"), name+"-part", fields{"http": routes("part", nil)}, nil)
	if err != nil {
		return nil
	}
	return []*object{root, part}
}

// sentMap writes what Istio sends.
func sentMap(s *sent) (string, error) {
	proxy, err := newProxy(s)
	if err != nil {
		return "", err
	}
	var lines []string
	for _, listeners := range proxy.listeners {
		for _, l := range listeners {
			name := fmt.Sprintf("%s_%d", l.address, l.port)
			if l.refused != "" {
				lines = append(lines, name+" refused")
			}
			for _, c := range l.chains {
				if len(c.alpn) > 0 {
					continue // AUTO_PASSTHROUGH
				}
				lines = append(lines, fmt.Sprintf("%s chain %s", name, chainLine(c.names, c.routeName+destination(c.clusters))))
			}
		}
	}
	for name, c := range s.routes {
		for _, h := range c.VirtualHosts {
			for _, d := range h.Domains {
				if strings.HasPrefix(h.Name, "blackhole") || strings.Contains(d, "/") {
					continue
				}
				lines = append(lines, fmt.Sprintf("%s host %s redirect=%v", name, d, h.RequireTls == envoyroute.VirtualHost_ALL))
				routes := distinct{}
				for _, r := range h.Routes {
					config := strings.Split(r.GetMetadata().GetFilterMetadata()["istio"].GetFields()["config"].GetStringValue(), "/")
					routes.add(fmt.Sprintf("%s/%s %q %s", config[len(config)-3], config[len(config)-1], r.Name, matchLine(r.Match)))
				}
				for i, r := range routes {
					lines = append(lines, fmt.Sprintf("%s host %s route %03d %s", name, d, i, r))
				}
			}
		}
	}
	return sorted(lines), nil
}

// distinct are the routes of a virtual host. One that is there twice, as for a VirtualService that
// names its Gateway in two ways, does nothing the second time.
type distinct []string

func (d *distinct) add(route string) {
	if !slices.Contains(*d, route) {
		*d = append(*d, route)
	}
}

// destination is the host of the cluster that connections go to.
func destination(clusters []string) string {
	if len(clusters) == 0 {
		return ""
	}
	return clusters[0][strings.LastIndexByte(clusters[0], '|')+1:]
}

func sorted(lines []string) string {
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func chainLine(names []string, routes string) string {
	names = slices.Clone(names)
	slices.Sort(names)
	return fmt.Sprintf("%v %s", names, routes)
}

func matchLine(m *envoyroute.RouteMatch) string {
	path := ""
	switch p := m.PathSpecifier.(type) {
	case *envoyroute.RouteMatch_Prefix:
		path = "prefix " + p.Prefix
	case *envoyroute.RouteMatch_Path:
		path = "exact " + p.Path
	case *envoyroute.RouteMatch_SafeRegex:
		path = "regex " + p.SafeRegex.GetRegex()
	}
	ignore := m.CaseSensitive != nil && !m.CaseSensitive.Value
	return fmt.Sprintf("%s ignore=%v conditioned=%v", path, ignore, len(m.Headers)+len(m.QueryParameters)+len(m.DynamicMetadata) > 0)
}

// madeMap writes what gatewarden's map has.
func madeMap(t *testing.T, objects []*object, p pods) string {
	t.Helper()
	w := state.NewWriter()
	pod, err := gatewayPod(p)
	require.NoError(t, err)
	w.Apply(pod)
	for i, o := range objects {
		api, known := resource.Lookup(o.apiVersion, o.kind)
		require.True(t, known, o.key())
		read, err := decode.Object(api, o.raw)
		require.NoError(t, err, o.key())
		read.GetMeta().Created = created(i)
		w.Apply(read)
	}
	for _, c := range witnesses(objects) {
		w.Apply(witness(t, c))
	}
	maps := policy.NewEngine(deploykf.Default(), rules.All()).World(w.Snapshot()).Maps()
	require.Len(t, maps, 1)
	var lines []string
	for _, l := range maps[0].Listeners {
		if len(l.Refused) > 0 {
			lines = append(lines, l.Name+" refused")
		}
		for _, c := range l.Chains {
			var names []string
			for _, n := range c.Names {
				if n != hostname.Any {
					names = append(names, string(n))
				}
			}
			to := ""
			if c.Routes != nil {
				to = c.Routes.Name
			}
			if c.Connection != nil {
				to = c.Connection.To[0]
			}
			lines = append(lines, fmt.Sprintf("%s chain %s", l.Name, chainLine(names, to)))
		}
		for _, table := range l.Routes {
			for _, h := range table.Hosts {
				lines = append(lines, fmt.Sprintf("%s host %s redirect=%v", table.Name, h.Host, h.Redirect != nil))
				routes := distinct{}
				for _, r := range h.Routes {
					if r.Unreached == "" {
						routes.add(routeLine(r))
					}
				}
				for i, r := range routes {
					lines = append(lines, fmt.Sprintf("%s host %s route %03d %s", table.Name, h.Host, i, r))
				}
			}
		}
	}
	return sorted(lines)
}

func routeLine(r *policy.HostedRoute) string {
	v := r.Object
	if r.Root != nil {
		v = r.Root
	}
	m := r.Match
	path := m.URI.String()
	if m.URI.Type == resource.MatchAny {
		path = "prefix /"
	}
	return fmt.Sprintf("%s/%s %q %s ignore=%v conditioned=%v", v.Namespace, v.Name, r.Name, path, m.IgnoreURICase, m.Conditioned)
}

// witness makes gatewarden's object of one of Istio's.
func witness(t *testing.T, c config.Config) resource.Object {
	t.Helper()
	spec, err := protomarshal.ToJSON(c.Spec.(proto.Message))
	require.NoError(t, err)
	raw, err := json.Marshal(fields{
		"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
		"metadata": fields{"namespace": c.Namespace, "name": c.Name}, "spec": json.RawMessage(spec),
	})
	require.NoError(t, err)
	out, err := decode.Object(resource.ByKind(resource.KindVirtualService), raw)
	require.NoError(t, err)
	out.GetMeta().Created = c.CreationTimestamp
	return out
}
