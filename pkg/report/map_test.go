package report_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/hostname"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/report"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// aMap is a map with one of everything that has a colour, and a name that repaints terminals.
func aMap() report.Map {
	gw := &resource.Gateway{Meta: resource.Meta{Namespace: "shop", Name: "front\x1b[2J"}}
	server := func(dropped string) *policy.MergedServer {
		return &policy.MergedServer{
			Server: &policy.Server{
				Server: &resource.Server{Port: 80, Protocol: "HTTP"}, Gateway: gw.Key(), Family: policy.PlainHTTP,
				Hosts: hostname.ServerHosts([]string{"a.example.org"}, "shop"),
			},
			In: gw, Port: 8080, Dropped: dropped,
		}
	}
	v := &resource.VirtualService{Meta: resource.Meta{Namespace: "shop", Name: "routes"}}
	first := &policy.HostedRoute{TableRoute: &policy.TableRoute{Object: v, Field: "spec.http[0]", To: []string{"x"}}}
	table := &policy.RouteTable{Name: "http.8080", Hosts: []*policy.VirtualHost{{Host: "a.example.org", Routes: []*policy.HostedRoute{
		first,
		{TableRoute: &policy.TableRoute{Object: v, Field: "spec.http[1]", Match: resource.HTTPMatch{
			URI: resource.StringMatch{Type: resource.MatchPrefix, Value: "/a"},
		}}, ShadowedBy: first},
		{TableRoute: &policy.TableRoute{Object: v, Field: "spec.http[2]", Sorted: true, Unreached: "nobody wants it"}},
	}}}}
	served := server("")
	return report.Map{
		Notes: []string{"this is all"},
		Gateways: []*policy.Map{{
			Guard:   &policy.Guard{GuardedGateway: &config.GuardedGateway{Name: "platform", Namespace: "gateways"}},
			Pods:    []*policy.PodSet{{Labels: map[string]string{"b": "2", "a": "1"}}},
			Missing: []resource.Key{{Kind: resource.KindGateway, Namespace: "gateways", Name: "own"}},
			LeftOut: []policy.LeftOut{{Gateway: gw, Field: "spec", Why: "it is not wanted"}},
			Listeners: []*policy.Listener{{
				Name: "0.0.0.0_8080", Port: 8080, Refused: []string{"two of one"},
				Servers: []*policy.MergedServer{served, server("it comes second")},
				Chains:  []*policy.Chain{{Servers: []*policy.MergedServer{served}, Names: []hostname.Name{hostname.Any}, Routes: table}},
				Routes:  []*policy.RouteTable{table},
			}},
		}},
	}
}

func TestMapText(t *testing.T) {
	var plain, colored bytes.Buffer
	require.NoError(t, report.MapText(&plain, aMap(), report.TextOptions{}))
	require.NoError(t, report.MapText(&colored, aMap(), report.TextOptions{Color: true}))
	assert.Equal(t, `platform, namespace gateways
  pods a=1,b=2
  note: the owner's Gateway gateways/own is not there

0.0.0.0_8080 plain-text HTTP
  REFUSED: the proxy refuses the whole listener: two of one
  servers, as they are merged
    tenant shop  Gateway shop/front\x1b[2J  spec.servers[0]  HTTP 80  a.example.org
    tenant shop  Gateway shop/front\x1b[2J  spec.servers[0]  HTTP 80  a.example.org  DROPPED: it comes second
  routes http.8080
    a.example.org
      1   any path   tenant shop  VirtualService shop/routes  spec.http[0]
      2   prefix /a  tenant shop  VirtualService shop/routes  spec.http[1]  SHADOWED by 1
      ~-  any path   tenant shop  VirtualService shop/routes  spec.http[2]  DROPPED: nobody wants it

left out
  tenant shop  Gateway shop/front\x1b[2J  spec      DROPPED: it is not wanted
note: ~ is before routes that Istio sorts by how narrow they are, those of Ingresses and of the Gateway API: their place is not exact
note: this is all
`, plain.String())
	for _, painted := range []string{
		"\x1b[1m0.0.0.0_8080\x1b[0m plain-text HTTP\n",
		"  \x1b[31mREFUSED\x1b[0m: the proxy",
		"      \x1b[33m2   prefix /a  tenant shop  VirtualService shop/routes  spec.http[1]  SHADOWED by 1\x1b[0m\n",
		"      \x1b[31m~-  any path   tenant shop  VirtualService shop/routes  spec.http[2]  DROPPED: nobody wants it\x1b[0m\n",
	} {
		assert.Contains(t, colored.String(), painted)
	}
}

func TestMapWriteErrorsAreReturned(t *testing.T) {
	broken := brokenWriter{errors.New("no space left")}
	assert.ErrorIs(t, report.MapText(broken, aMap(), report.TextOptions{}), broken.err)
	assert.ErrorIs(t, report.MapJSON(broken, aMap()), broken.err)
}

func TestMapJSONListsAreNeverNull(t *testing.T) {
	for _, m := range []report.Map{{}, aMap()} {
		var b bytes.Buffer
		require.NoError(t, report.MapJSON(&b, m))
		assert.NotContains(t, b.String(), "null")
	}
}
