package rules

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/decode"
	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/test/worlds"
)

const gatewayNS = "deploykf-istio-gateway"

// selected is a target that selects the guarded pods.
var selected = resource.Target{Selector: podLabels}

func targetRefs(group, kind, name string) resource.Target {
	return resource.Target{Refs: []resource.TargetRef{{Group: group, Kind: kind, Name: name}}}
}

func ef(key string, t resource.Target, patches ...resource.EnvoyPatch) *resource.EnvoyFilter {
	return &resource.EnvoyFilter{Meta: meta(key), Target: t, Patches: patches}
}

// patches reads patches as somebody writes them, one to a string: "TYPE OPERATION", and then in
// YAML what they match and put in.
func patches(t *testing.T, texts ...string) []resource.EnvoyPatch {
	t.Helper()
	var out []resource.EnvoyPatch
	for _, text := range texts {
		var applyTo, operation string
		_, err := fmt.Sscan(text, &applyTo, &operation)
		require.NoError(t, err, text)
		var rest struct {
			Context, Namespace, Listener, Route, Cluster, Value any
		}
		require.NoError(t, yaml.UnmarshalStrict([]byte(text[len(applyTo)+1+len(operation):]), &rest), text)
		match := map[string]any{"context": rest.Context, "listener": rest.Listener, "routeConfiguration": rest.Route, "cluster": rest.Cluster}
		if rest.Namespace != nil {
			match["proxy"] = map[string]any{"metadata": map[string]any{"NAMESPACE": rest.Namespace}}
		}
		put := map[string]any{"operation": operation}
		if rest.Value != nil {
			put["value"] = rest.Value
		}
		raw, err := yaml.Marshal(map[string]any{"spec": map[string]any{"configPatches": []any{map[string]any{"applyTo": applyTo, "match": match, "patch": put}}}})
		require.NoError(t, err)
		raw, err = yaml.YAMLToJSON(raw)
		require.NoError(t, err)
		o, err := decode.Object(resource.ByKind(resource.KindEnvoyFilter), raw)
		require.NoError(t, err, text)
		out = append(out, o.(*resource.EnvoyFilter).Patches...)
	}
	return out
}

// hcm is a match for the filter that most patches are for, and lua a filter to put in.
const (
	hcm = "filterChain: {filter: {name: envoy.filters.network.http_connection_manager"
	lua = "value: {name: team-a.lua, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua}}"
)

func TestEnvoyFilter(t *testing.T) {
	router := hcm + ", subFilter: {name: envoy.filters.http.router}}}"
	harmful := map[string]string{
		"a filter on every listener":                        "HTTP_FILTER INSERT_FIRST {context: GATEWAY, " + lua + "}",
		"of any context":                                    "HTTP_FILTER INSERT_FIRST {context: ANY, " + lua + "}",
		"of no context":                                     "NETWORK_FILTER INSERT_FIRST {value: {name: x}}",
		"for the namespace of the pods":                     "HTTP_FILTER INSERT_FIRST {namespace: " + gatewayNS + ", " + lua + "}",
		"on the guarded port":                               "HTTP_FILTER REMOVE {listener: {portNumber: 443, " + router + "}}",
		"a filter removed that must be told":                "NETWORK_FILTER REMOVE {listener: {" + hcm + "}}}}",
		"every filter, merged":                              "HTTP_FILTER MERGE {context: GATEWAY, " + lua + "}",
		"a filter that sleeps behind the router":            "HTTP_FILTER INSERT_AFTER {listener: {" + router + "}, value: {name: team-a.lua, disabled: true}}",
		"a filter that sleeps behind all":                   "HTTP_FILTER ADD {value: {name: team-a.lua, disabled: true}}",
		"the guarded listener":                              "LISTENER REMOVE {context: GATEWAY, listener: {name: 0.0.0.0_443}}",
		"the guarded listener by its other name":            "LISTENER MERGE {listener: {name: '::_443'}, value: {per_connection_buffer_limit_bytes: 1}}",
		"a listener with the guarded address":               "LISTENER ADD {value: {name: x, address: {socket_address: {address: 0.0.0.0, port_value: 443}}}}",
		"a listener with the guarded address, in camels":    "LISTENER ADD {value: {name: x, address: {socketAddress: {address: '::', portValue: '443'}}}}",
		"a listener with the guarded address beside":        "LISTENER ADD {value: {address: {pipe: {path: /x}}, additional_addresses: [{address: {socket_address: {address: 0.0.0.0, port_value: 80}}}]}}",
		"a listener that moves to the guarded port":         "LISTENER MERGE {listener: {portNumber: 9443}, value: {address: {socket_address: {port_value: 443}}}}",
		"a listener with the guarded name":                  "LISTENER ADD {value: {name: 0.0.0.0_443}}",
		"a listener that is inserted, which is to add it":   "LISTENER INSERT_BEFORE {value: {address: {socket_address: {address: 0.0.0.0, port_value: 443}}}}",
		"a listener filter":                                 "LISTENER_FILTER INSERT_FIRST {value: {name: envoy.filters.listener.proxy_protocol}}",
		"a listener filter that goes":                       "LISTENER_FILTER REMOVE {listener: {listenerFilter: envoy.filters.listener.tls_inspector}}",
		"on the guarded SNI":                                "FILTER_CHAIN MERGE {listener: {portNumber: 443, filterChain: {sni: " + h + "}}, value: {transport_socket: {name: tls}}}",
		"a chain for the guarded SNI":                       "FILTER_CHAIN ADD {value: {filter_chain_match: {server_names: [app.example.org, " + h + "]}}}",
		"a chain that gets the guarded SNI":                 "FILTER_CHAIN MERGE {listener: {filterChain: {sni: app.example.org}}, value: {filterChainMatch: {serverNames: [" + h + "]}}}",
		"a chain for every SNI":                             "FILTER_CHAIN ADD {listener: {portNumber: 443}, value: {filters: []}}",
		"a chain for the port":                              "FILTER_CHAIN ADD {listener: {portNumber: 443}, value: {filter_chain_match: {destination_port: 443, server_names: [app.example.org]}}}",
		"a chain for half a label, which is refused":        "FILTER_CHAIN ADD {listener: {portNumber: 443}, value: {filter_chain_match: {server_names: ['*-app.example.org']}}}",
		"every route":                                       "HTTP_ROUTE MERGE {value: {response_headers_to_remove: [x]}}",
		"every virtual host":                                "VIRTUAL_HOST MERGE {route: {vhost: {}}, value: {require_tls: NONE}}",
		"the owner's virtual hosts":                         "VIRTUAL_HOST MERGE {route: {portNumber: 443, gateway: " + guarded + "}, value: {require_tls: NONE}}",
		"the owner's routes by their configuration":         "HTTP_ROUTE MERGE {route: {name: https.443.https.deploykf-gateway.deploykf-istio-gateway}, value: {x: y}}",
		"the shared configuration on plain text":            "ROUTE_CONFIGURATION MERGE {route: {portNumber: 80, name: http.80}, value: {x: y}}",
		"a configuration, whatever its virtual host":        "ROUTE_CONFIGURATION MERGE {route: {vhost: {name: 'app.example.org:80'}}, value: {x: y}}",
		"the guarded virtual host":                          "VIRTUAL_HOST REMOVE {route: {vhost: {name: '" + h + ":80'}}}",
		"the guarded virtual host as Istio redirects it":    "VIRTUAL_HOST MERGE {route: {vhost: {name: '" + gatewayNS + "/" + h + ":80'}}, value: {require_tls: NONE}}",
		"the guarded domain":                                "HTTP_ROUTE INSERT_FIRST {route: {vhost: {domainName: " + h + "}}, value: {match: {prefix: /}}}",
		"a virtual host for the guarded domain":             "VIRTUAL_HOST ADD {value: {name: x, domains: ['" + h + ":443']}}",
		"a virtual host that becomes the guarded one's":     "VIRTUAL_HOST REPLACE {route: {vhost: {name: 'app.example.org:80'}}, value: {domains: [" + h + "]}}",
		"a virtual host that gets the guarded domain":       "VIRTUAL_HOST MERGE {route: {vhost: {name: 'app.example.org:80'}}, value: {domains: [" + h + "]}}",
		"a virtual host without a domain":                   "VIRTUAL_HOST ADD {value: {name: x}}",
		"a route before one of its own, on a guarded host":  "HTTP_ROUTE INSERT_BEFORE {route: {vhost: {route: {name: notebook}}}, value: {match: {prefix: /}}}",
		"the owner's route":                                 "HTTP_ROUTE MERGE {route: {vhost: {route: {name: dex-route}}}, value: {x: y}}",
		"a match of the owner's route":                      "HTTP_ROUTE REMOVE {route: {vhost: {route: {name: dex-route.login}}}}",
		"every cluster":                                     "CLUSTER MERGE {value: {connect_timeout: 1s}}",
		"the cluster of a protected Service":                "CLUSTER REMOVE {cluster: {service: dex.deploykf-auth.svc.cluster.local}}",
		"the same by name, whatever the Service":            "CLUSTER REMOVE {cluster: {name: outbound|5556||dex.deploykf-auth.svc.cluster.local, service: app.team-a.svc.cluster.local}}",
		"the same as SNI routes name it":                    "CLUSTER REMOVE {cluster: {name: outbound_.5556_._.dex.deploykf-auth.svc.cluster.local}}",
		"a cluster of its own by a protected name":          "CLUSTER ADD {value: {name: outbound|5556||dex.deploykf-auth.svc.cluster.local}}",
		"the bootstrap, whatever the context":               "BOOTSTRAP MERGE {context: SIDECAR_INBOUND, value: {admin: {}}}",
		"without a value, at which Istio drops all patches": "HTTP_FILTER INSERT_FIRST {context: GATEWAY}",
	}
	harmless := map[string]string{
		"for sidecars":                                  "HTTP_FILTER INSERT_FIRST {context: SIDECAR_INBOUND, " + lua + "}",
		"for another namespace":                         "HTTP_FILTER INSERT_FIRST {namespace: team-a, " + lua + "}",
		"on another port":                               "HTTP_FILTER INSERT_FIRST {context: GATEWAY, listener: {portNumber: 9443}, " + lua + "}",
		"on another listener":                           "LISTENER REMOVE {listener: {name: 0.0.0.0_9443}}",
		"on another address":                            "LISTENER REMOVE {listener: {name: 127.0.0.1_443}}",
		"on another SNI":                                "HTTP_FILTER INSERT_FIRST {listener: {portNumber: 443, filterChain: {sni: app.example.org}}, " + lua + "}",
		"on the guarded SNI, where there is none":       "HTTP_FILTER INSERT_FIRST {listener: {portNumber: 80, filterChain: {sni: " + h + "}}, " + lua + "}",
		"on a chain with a name, as sidecars have":      "HTTP_FILTER INSERT_FIRST {listener: {filterChain: {name: x}}, " + lua + "}",
		"on a chain for TLS, as sidecars have":          "FILTER_CHAIN REMOVE {listener: {filterChain: {transportProtocol: tls}}}",
		"on a chain for a port, as sidecars have":       "NETWORK_FILTER INSERT_FIRST {listener: {filterChain: {destinationPort: 443}}, value: {name: x}}",
		"on connections that are not HTTP":              "NETWORK_FILTER INSERT_BEFORE {listener: {filterChain: {filter: {name: envoy.filters.network.tcp_proxy}}}, value: {name: x}}",
		"HTTP filters of another filter":                "HTTP_FILTER INSERT_FIRST {listener: {filterChain: {filter: {name: envoy.filters.network.thrift_proxy}}}, " + lua + "}",
		"a filter removed without being told":           "HTTP_FILTER REMOVE {listener: {" + hcm + "}}}}",
		"a filter replaced without being told":          "NETWORK_FILTER REPLACE {value: {name: x}}",
		"a listener filter removed without being told":  "LISTENER_FILTER REMOVE {listener: {portNumber: 443}}",
		"a filter that sleeps":                          "HTTP_FILTER INSERT_BEFORE {listener: {portNumber: 80, " + router + "}, value: {name: team-a.lua, disabled: true}}",
		"nothing, merged":                               "ROUTE_CONFIGURATION MERGE {value: {}}",
		"an operation that a chain does not have":       "FILTER_CHAIN REPLACE {value: {x: y}}",
		"an operation that a configuration has not":     "ROUTE_CONFIGURATION REMOVE {}",
		"an operation that nothing has":                 "HTTP_ROUTE REPLACE {value: {x: y}}",
		"a listener on another port":                    "LISTENER ADD {value: {name: x, address: {socket_address: {address: 0.0.0.0, port_value: 9443}}}}",
		"a listener on the loopback":                    "LISTENER ADD {value: {name: x, address: {socket_address: {address: 127.0.0.1, port_value: 443}}}}",
		"a chain for another SNI":                       "FILTER_CHAIN ADD {listener: {portNumber: 443}, value: {filter_chain_match: {server_names: [app.example.org]}}}",
		"another Gateway's routes":                      "HTTP_ROUTE MERGE {route: {portNumber: 443, gateway: team-a/web}, value: {x: y}}",
		"another port's routes":                         "HTTP_ROUTE MERGE {route: {portNumber: 9443}, value: {x: y}}",
		"another port's routes by their name":           "VIRTUAL_HOST ADD {route: {name: http.8080}, value: {name: x}}",
		"another Gateway's routes by name":              "HTTP_ROUTE MERGE {route: {name: https.443.https.web.team-a}, value: {x: y}}",
		"a virtual host of its own":                     "VIRTUAL_HOST MERGE {route: {portNumber: 80, vhost: {name: 'app.example.org:80'}}, value: {typed_per_filter_config: {team-a.lua: {}}}}",
		"a virtual host that nobody has":                "VIRTUAL_HOST REMOVE {route: {vhost: {name: " + h + "}}}",
		"a guarded virtual host on another port":        "VIRTUAL_HOST REMOVE {route: {vhost: {name: '" + h + ":9443'}}}",
		"a domain of its own":                           "HTTP_ROUTE INSERT_FIRST {route: {vhost: {domainName: app.example.org}}, value: {match: {prefix: /}}}",
		"a wildcard around the guarded domain":          "HTTP_ROUTE INSERT_FIRST {route: {vhost: {name: '*.example.com:80'}}, value: {match: {prefix: /}}}",
		"a virtual host for another domain":             "VIRTUAL_HOST ADD {value: {name: x, domains: [app.example.org, '*.example.com', 'deploykf.*']}}",
		"a route of its own":                            "HTTP_ROUTE MERGE {route: {vhost: {route: {name: notebook}}}, value: {x: y}}",
		"a route whose name only starts as the owner's": "HTTP_ROUTE MERGE {route: {vhost: {route: {name: dex-router}}}, value: {x: y}}",
		"a tenant's cluster":                            "CLUSTER MERGE {cluster: {name: outbound|80||app.team-a.svc.cluster.local}, value: {x: y}}",
		"a tenant's cluster, removed":                   "CLUSTER REMOVE {cluster: {service: app.team-a.svc.cluster.local}}",
		"a cluster of its own":                          "CLUSTER ADD {value: {name: team-a-oracle}}",
		"a named extension":                             "EXTENSION_CONFIG ADD {value: {name: x}}",
		"an operation that the bootstrap does not have": "BOOTSTRAP ADD {value: {x: y}}",
	}
	named := with(vs("deploykf-auth/dex", guarded, h, "prefix /dex/"), func(v *resource.VirtualService) { v.HTTP[0].Name = "dex-route" })
	one := func(p string) *resource.EnvoyFilter { return ef(gatewayNS+"/x", selected, patches(t, p)...) }
	for name, p := range harmful {
		check(t, "GWD401", verdict{name: name, world: []resource.Object{named}, change: create(one(p)), want: policy.Deny, field: "spec.configPatches[0]"})
	}
	for name, p := range harmless {
		check(t, "GWD401", verdict{name: name, world: []resource.Object{named}, change: create(one(p)), want: silent})
	}

	insert := harmful["a filter on every listener"]
	other := harmless["for sidecars"]
	x := one(insert)
	sleeping := one(harmless["a filter that sleeps"])
	owners := ef(gatewayNS+"/deploykf-istio-gateway--lua", selected, patches(t, "HTTP_ROUTE MERGE {value: {typed_per_filter_config: {team-a.lua: {}}}}")...)
	const onPod = "LISTENER ADD {value: {address: {socket_address: {address: 10.0.0.9, port_value: 443}}}}"
	passthrough := gw(guarded, "443 TLS "+h+" PASSTHROUGH")
	byRoute := one("NETWORK_FILTER INSERT_FIRST {listener: {portNumber: 443, filterChain: {sni: x." + h + "}}, value: {name: x}}")
	labelled := pod(gatewayNS+"/gw-1", map[string]string{"app": "deploykf-gateway", "istio": "deploykf-gateway", "gateway.networking.k8s.io/gateway-name": "edge"})
	check(t, "GWD401",
		verdict{name: "on all pods of the namespace", change: create(ef(gatewayNS+"/x", resource.Target{}, x.Patches...)), want: policy.Deny},
		verdict{name: "on all pods of the mesh", change: create(ef("istio-system/x", resource.Target{}, x.Patches...)), want: policy.Deny},
		verdict{name: "by the Kubernetes Gateway of the pods", world: []resource.Object{labelled}, change: create(ef(gatewayNS+"/x", targetRefs("gateway.networking.k8s.io", "Gateway", "edge"), x.Patches...)), want: policy.Deny},
		verdict{name: "a second patch", change: create(ef(gatewayNS+"/x", selected, patches(t, other, insert)...)), want: policy.Deny, field: "spec.configPatches[1]"},
		verdict{name: "one that was there", change: update(x, x), want: policy.Warn},
		verdict{name: "one that is narrowed to a guarded port", change: update(x, one("HTTP_FILTER INSERT_FIRST {context: GATEWAY, listener: {portNumber: 443}, "+lua+"}")), want: policy.Warn},
		verdict{name: "one that is widened to a second guarded port", change: update(one("HTTP_FILTER INSERT_FIRST {listener: {portNumber: 443}, "+lua+"}"), x), want: policy.Deny},
		verdict{name: "a second one beside one that was there", change: update(x, ef(gatewayNS+"/x", selected, patches(t, insert, harmful["a listener filter"])...)), want: policy.Deny, field: "spec.configPatches[1]"},
		verdict{name: "a filter that the owner's routes switch on", world: []resource.Object{owners}, change: create(sleeping), want: policy.Deny},
		verdict{name: "a route that may be the owner's, who has none yet", bare: true, change: create(one(harmless["a route of its own"])), want: policy.Deny},
		verdict{name: "the SNI of a route below a guarded wildcard", world: []resource.Object{gw(guarded, "443 TLS *."+h+" PASSTHROUGH")}, change: create(byRoute), want: policy.Deny},
		verdict{name: "connections that are passed through", world: []resource.Object{passthrough}, change: create(one(harmless["on connections that are not HTTP"])), want: policy.Deny},
		verdict{name: "the routes of a server that is only assumed", bare: true, change: create(one(harmful["the owner's routes by their configuration"])), want: policy.Deny},
		verdict{name: "any host, by a name that the owner uses", world: []resource.Object{server443("*")}, change: create(one("VIRTUAL_HOST ADD {route: {portNumber: 443}, value: {domains: [argo-server." + h + "]}}")), want: policy.Deny},

		verdict{name: "a listener on the address of a pod", world: []resource.Object{pod(gatewayNS+"/gw-1", podLabels, "10.0.0.9")}, change: create(one(onPod)), want: policy.Deny},
		verdict{name: "the port name of a server that is only assumed", bare: true, change: create(one("HTTP_ROUTE MERGE {route: {portName: https}, value: {x: y}}")), want: policy.Deny},

		verdict{name: "a listener on another address", change: create(one(onPod)), want: silent},
		verdict{name: "filters of HTTP where connections are passed through", world: []resource.Object{passthrough}, change: create(one("NETWORK_FILTER MERGE {listener: {portNumber: 443, " + hcm + "}}}, value: {name: x}}")), want: silent},
		verdict{name: "the same for somebody else's Gateway", world: []resource.Object{server443("*")}, change: create(one("VIRTUAL_HOST ADD {route: {portNumber: 443}, value: {domains: [app.example.org]}}")), want: silent},
		verdict{name: "HTTP filters where connections are passed through", world: []resource.Object{passthrough, gw(redirect, "8080 HTTP "+h)}, config: assumeNothing, change: create(one(harmful["on the guarded port"])), want: silent},
		verdict{name: "other pods", change: create(ef(gatewayNS+"/x", resource.Target{Selector: dashboard}, x.Patches...)), want: silent},
		verdict{name: "in another namespace", change: create(ef("team-a/x", resource.Target{}, x.Patches...)), want: silent},
		verdict{name: "with targetRefs", change: create(ef(gatewayNS+"/x", targetRefs("gateway.networking.k8s.io", "Gateway", "x"), x.Patches...)), want: silent},
		verdict{name: "the owner's", change: create(ef(gatewayNS+"/deploykf-istio-gateway--ext-authz", selected, x.Patches...)), want: silent},
	)
}

func assumeNothing(c *config.Configuration) { c.GuardedGateways[0].Servers = nil }

// However many guarded servers a patch reaches, it is one finding that names them.
func TestOneFindingForAllPorts(t *testing.T) {
	engine := policy.NewEngine(deploykf.Default(), All())
	pods := &resource.Workload{Meta: meta(gatewayNS + "/second"), Kind: resource.KindDaemonSet, Pod: resource.PodTemplate{Labels: map[string]string{"app": "deploykf-gateway", "istio": "deploykf-gateway", "x": "y"}}}
	for rule, o := range map[string]resource.Object{
		"GWD401": ef(gatewayNS+"/x", selected, patches(t, "HTTP_FILTER INSERT_FIRST {"+lua+"}")...),
		"GWD402": &resource.ProxyExtension{Meta: meta(gatewayNS + "/x"), Kind: resource.KindWasmPlugin, Target: selected},
		"GWD403": &resource.AuthorizationPolicy{Meta: meta(gatewayNS + "/x"), Target: selected, Action: "DENY", Rules: []resource.AuthorizationRule{{}}},
		"GWD404": &resource.RequestAuthentication{Meta: meta(gatewayNS + "/x"), Target: selected, Rules: []resource.JWTRule{{Issuer: "team-a"}}},
	} {
		d := engine.Decide(worlds.Snapshot(worlds.Base(), []resource.Object{pods}), create(o))
		if assert.Len(t, d.Findings, 1, rule) {
			assert.Equal(t, rule, d.Findings[0].Rule)
			assert.Contains(t, d.Findings[0].Message, "port 443 of Gateway "+guarded+" and port 80 of Gateway "+redirect+" of deployKF")
			assert.Len(t, d.Findings[0].Related, 2)
		}
	}
}
