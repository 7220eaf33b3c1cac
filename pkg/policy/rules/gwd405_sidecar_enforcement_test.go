package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestSidecarEnforcement(t *testing.T) {
	const (
		core    = "kubeflow"
		profile = "team-1"
		rbac    = hcm + ", subFilter: {name: envoy.filters.http.rbac}}}"
		jwt     = hcm + ", subFilter: {name: envoy.filters.http.jwt_authn}}}"
		router  = hcm + ", subFilter: {name: envoy.filters.http.router}}}"
		first   = hcm + "}}"
		limit   = "value: {name: x, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit}}"
		chain   = "FILTER_CHAIN ADD {context: SIDECAR_INBOUND, value: {filters: []}}"
		removed = "HTTP_FILTER REMOVE {context: SIDECAR_INBOUND, listener: {" + rbac + "}}"
		before  = "HTTP_FILTER INSERT_BEFORE {context: SIDECAR_INBOUND, listener: {" + first + "}, " + lua + "}"
	)
	ui := map[string]string{"app": "katib-ui"}
	app := func(namespace string, labels map[string]string) *resource.Workload {
		w := pod(namespace+"/app", labels)
		w.Kind = resource.KindDeployment
		return w
	}
	strict := &resource.PeerAuthentication{Meta: meta("istio-system/strict"), Mode: resource.ModeStrict}
	allow := func(namespace string) *resource.AuthorizationPolicy {
		return &resource.AuthorizationPolicy{Meta: meta(namespace + "/allow"), Target: resource.Target{Selector: ui}, Action: "ALLOW"}
	}
	ns := func(name string, labels map[string]string) *resource.Namespace {
		return &resource.Namespace{Meta: resource.Meta{Name: name, Labels: labels}}
	}
	world := []resource.Object{
		ns(core, map[string]string{"istio-injection": "enabled"}), app(core, ui), allow(core), strict,
		ns(profile, map[string]string{"istio-injection": "enabled", "app.kubernetes.io/part-of": "kubeflow-profile"}), app(profile, ui), allow(profile),
		ns("other", nil), app("other", ui), allow("other"),
	}
	for _, c := range []struct {
		name         string
		patch        string
		core, within policy.Effect // in a namespace by name, and in one by labels
	}{
		{"a chain", chain, policy.Deny, policy.Deny},
		{"a chain of any context", "FILTER_CHAIN ADD {value: {filters: [], transport_socket: {name: tls}}}", policy.Deny, policy.Deny},
		{"a chain that is inserted, which is to add it", "FILTER_CHAIN INSERT_FIRST {listener: {name: virtualInbound}, value: {filters: []}}", policy.Deny, policy.Deny},
		{"another transport socket", "FILTER_CHAIN MERGE {context: SIDECAR_INBOUND, value: {transportSocket: {name: envoy.transport_sockets.raw_buffer}}}", policy.Deny, policy.Deny},
		{"another match", "FILTER_CHAIN MERGE {context: SIDECAR_INBOUND, value: {filter_chain_match: {transport_protocol: ''}}}", policy.Deny, policy.Deny},
		{"another listener's chains", "LISTENER MERGE {context: SIDECAR_INBOUND, listener: {name: virtualInbound}, value: {filter_chains: []}}", policy.Deny, policy.Deny},
		{"a chain for the rest", "LISTENER MERGE_AND_REPLACE_LIST {context: SIDECAR_INBOUND, value: {default_filter_chain: {}}}", policy.Deny, policy.Deny},
		{"other filters of a chain", "FILTER_CHAIN MERGE_AND_REPLACE_LIST {context: SIDECAR_INBOUND, value: {filters: []}}", policy.Deny, policy.Warn},
		{"authorization, removed", removed, policy.Deny, policy.Warn},
		{"authorization, replaced", "HTTP_FILTER REPLACE {listener: {" + rbac + "}, " + lua + "}", policy.Deny, policy.Warn},
		{"authorization, changed", "HTTP_FILTER MERGE {listener: {" + rbac + "}, value: {typed_config: {}}}", policy.Deny, policy.Warn},
		{"authorization, changed without being told", "HTTP_FILTER MERGE {value: {typed_config: {'@type': x/envoy.extensions.filters.http.rbac.v3.RBAC}}}", policy.Deny, policy.Warn},
		{"authentication, removed", "HTTP_FILTER REMOVE {listener: {" + jwt + "}}", policy.Deny, policy.Warn},
		{"authorization of connections, removed", "NETWORK_FILTER REMOVE {context: SIDECAR_INBOUND, listener: {filterChain: {filter: {name: envoy.filters.network.rbac}}}}", policy.Deny, policy.Warn},
		{"all HTTP filters, replaced", "NETWORK_FILTER REPLACE {context: SIDECAR_INBOUND, listener: {" + first + "}, value: {name: x}}", policy.Deny, policy.Warn},
		{"all HTTP filters, changed", "NETWORK_FILTER MERGE {context: SIDECAR_INBOUND, listener: {" + first + "}, value: {typedConfig: {httpFilters: []}}}", policy.Deny, policy.Warn},
		{"authorization, switched off for a route", "HTTP_ROUTE MERGE {context: SIDECAR_INBOUND, value: {typed_per_filter_config: {envoy.filters.http.rbac: {}}}}", policy.Deny, policy.Warn},
		{"authorization, switched off within a virtual host", "VIRTUAL_HOST MERGE {value: {routes: [{typedPerFilterConfig: {envoy.filters.http.ext_authz: {disabled: true}}}]}}", policy.Deny, policy.Warn},
		{"code before authorization", before, policy.Deny, policy.Warn},
		{"code first", "HTTP_FILTER INSERT_FIRST {context: SIDECAR_INBOUND, " + lua + "}", policy.Deny, policy.Warn},
		{"code behind authentication", "HTTP_FILTER INSERT_AFTER {context: SIDECAR_INBOUND, listener: {" + jwt + "}, " + lua + "}", policy.Deny, policy.Warn},
		{"code that is not told", "HTTP_FILTER INSERT_FIRST {context: SIDECAR_INBOUND, value: {name: x, config_discovery: {}}}", policy.Deny, policy.Warn},
		{"code before authorization of connections", "NETWORK_FILTER INSERT_BEFORE {context: SIDECAR_INBOUND, listener: {filterChain: {filter: {name: envoy.filters.network.rbac}}}, " +
			"value: {typed_config: {'@type': x/envoy.extensions.filters.network.wasm.v3.Wasm}}}", policy.Deny, policy.Warn},

		{"code before the router", "HTTP_FILTER INSERT_BEFORE {context: SIDECAR_INBOUND, listener: {" + router + "}, " + lua + "}", silent, silent},
		{"code at the end", "HTTP_FILTER ADD {context: SIDECAR_INBOUND, " + lua + "}", silent, silent},
		{"code for what is sent", "HTTP_FILTER INSERT_FIRST {context: SIDECAR_OUTBOUND, " + lua + "}", silent, silent},
		{"code for gateways", "HTTP_FILTER INSERT_FIRST {context: GATEWAY, " + lua + "}", silent, silent},
		{"code that sleeps", "HTTP_FILTER INSERT_FIRST {context: SIDECAR_INBOUND, value: {name: x, disabled: true}}", silent, silent},
		{"code on connections that are not HTTP", "HTTP_FILTER REMOVE {listener: {filterChain: {filter: {name: x, subFilter: {name: envoy.filters.http.rbac}}}}}", silent, silent},
		{"a local rate limit first", "HTTP_FILTER INSERT_BEFORE {context: SIDECAR_INBOUND, listener: {" + first + "}, " + limit + "}", silent, silent},
		{"Istio's own metrics first", "HTTP_FILTER INSERT_FIRST {context: SIDECAR_INBOUND, value: {typed_config: {'@type': x/stats.PluginConfig}}}", silent, silent},
		{"a filter of its own, removed", "HTTP_FILTER REMOVE {listener: {" + hcm + ", subFilter: {name: envoy.filters.http.lua}}}}}", silent, silent},
		{"authorization, removed without being told", "HTTP_FILTER REMOVE {context: SIDECAR_INBOUND, listener: {" + first + "}}", silent, silent},
		{"the router, changed", "HTTP_FILTER MERGE {context: SIDECAR_INBOUND, value: {typed_config: {'@type': x/envoy.extensions.filters.http.router.v3.Router}}}", silent, silent},
		{"access logs", "NETWORK_FILTER MERGE {context: SIDECAR_INBOUND, listener: {" + first + "}, value: {typed_config: {access_log: []}}}", silent, silent},
		{"versions of TLS", "FILTER_CHAIN MERGE {context: SIDECAR_INBOUND, value: {transport_socket: {name: tls, typed_config: {'@type': x, common_tls_context: {tls_params: {}}}}}}", silent, silent},
		{"a chain that is named otherwise", "FILTER_CHAIN MERGE {context: SIDECAR_INBOUND, value: {metadata: {}}}", silent, silent},
		{"chains, removed", "FILTER_CHAIN REMOVE {context: SIDECAR_INBOUND}", silent, silent},
		{"a chain of the outbound listener", "FILTER_CHAIN ADD {listener: {name: virtualOutbound}, value: {filters: []}}", silent, silent},
		{"a listener's buffers", "LISTENER MERGE {context: SIDECAR_INBOUND, value: {per_connection_buffer_limit_bytes: 1}}", silent, silent},
		{"a cluster", "CLUSTER MERGE {context: SIDECAR_INBOUND, value: {connect_timeout: 1s}}", silent, silent},
		{"a filter of its own, switched on for a route", "HTTP_ROUTE MERGE {context: SIDECAR_INBOUND, value: {typed_per_filter_config: {x: {}}}}", silent, silent},
	} {
		change := func(key string) policy.Change {
			return create(ef(key, resource.Target{Selector: ui}, patches(t, c.patch)...))
		}
		field := ""
		if c.core != silent {
			field = "spec.configPatches[0]"
		}
		check(t, "GWD405",
			verdict{name: c.name + ", in a namespace by its name", world: world, change: change(core + "/x"), want: c.core, field: field},
			verdict{name: c.name + ", in the root namespace", world: world, change: change("istio-system/x"), want: c.core, field: field},
			verdict{name: c.name + ", in a namespace by its labels", world: world, change: change(profile + "/x"), want: c.within, field: field},
			verdict{name: c.name + ", in another namespace", world: world, change: change("other/x"), want: silent},
		)
	}

	x := func(namespace string, target resource.Target, text ...string) *resource.EnvoyFilter {
		return ef(namespace+"/x", target, patches(t, text...)...)
	}
	uis, others := resource.Target{Selector: ui}, resource.Target{Selector: map[string]string{"app": "other"}}
	plugin := func(namespace, phase string, m ...resource.TrafficMatch) *resource.ProxyExtension {
		return &resource.ProxyExtension{Meta: meta(namespace + "/x"), Kind: resource.KindWasmPlugin, Target: uis, Phase: phase, Matches: m}
	}
	permissive := &resource.PeerAuthentication{Meta: meta(core + "/permissive"), Selector: ui, Mode: resource.ModePermissive}
	strictGateway := &resource.PeerAuthentication{Meta: meta(gatewayNS + "/strict"), Selector: podLabels, Mode: resource.ModeStrict}
	dry := with(allow(core), func(a *resource.AuthorizationPolicy) { a.Annotations = map[string]string{"istio.io/dry-run": "true"} })
	tokens := &resource.RequestAuthentication{Meta: meta("istio-system/tokens"), Rules: []resource.JWTRule{{Issuer: "x"}}}
	bare := with(app(core, ui), func(w *resource.Workload) {
		w.Pod.Labels = map[string]string{"app": "katib-ui", "sidecar.istio.io/inject": "false"}
	})
	check(t, "GWD405",
		verdict{name: "a plugin before authentication", world: world, change: create(plugin(core, "AUTHN")), want: policy.Deny, field: "spec.phase"},
		verdict{name: "a plugin before authorization of the mesh", world: world, change: create(plugin("istio-system", "AUTHZ")), want: policy.Deny},
		verdict{name: "an extension before authorization", world: world, change: create(with(plugin(core, "AUTHZ", resource.TrafficMatch{Mode: "SERVER"}), func(e *resource.ProxyExtension) { e.Kind = resource.KindTrafficExtension })), want: policy.Deny},
		verdict{name: "a plugin of a profile", world: world, change: create(plugin(profile, "AUTHN")), want: policy.Warn},
		verdict{name: "authorization of a profile, removed from elsewhere", world: world[4:], change: create(x("istio-system", uis, removed)), want: policy.Deny},
		verdict{name: "workloads to come", world: []resource.Object{strict}, change: create(x(core, others, chain)), want: policy.Deny},
		verdict{name: "workloads to come that a policy names", world: []resource.Object{with(permissive, func(p *resource.PeerAuthentication) { p.Mode = resource.ModeStrict })}, change: create(x(core, resource.Target{}, chain)), want: policy.Deny},
		verdict{name: "authorization, removed where there is none", world: append(world, app(core, others.Selector)), change: create(x(core, others, removed)), want: policy.Warn},
		verdict{name: "authorization of a dry run, removed", world: append(world, dry), change: create(x(core, uis, removed)), want: policy.Warn},
		verdict{name: "tokens of the mesh, removed", world: []resource.Object{tokens}, change: create(x(core, others, removed)), want: policy.Deny},
		verdict{name: "one that was there", world: world, change: update(x(core, uis, chain), x(core, uis, chain)), want: policy.Warn},
		verdict{name: "one that gets more namespaces", world: world, change: update(x("istio-system", uis, chain), x("istio-system", resource.Target{}, chain)), want: policy.Warn},
		verdict{name: "one of a namespace that gets those of others", world: world,
			change: update(x("istio-system", uis, "FILTER_CHAIN ADD {context: SIDECAR_INBOUND, namespace: kubeflow, value: {filters: []}}"), x("istio-system", uis, chain)), want: policy.Deny},

		verdict{name: "workloads to come that no policy names", world: []resource.Object{with(permissive, func(p *resource.PeerAuthentication) { p.Mode = resource.ModeStrict })}, change: create(x(core, resource.Target{Selector: map[string]string{"app": "other"}}, chain)), want: silent},
		verdict{name: "a plugin behind authorization", world: world, change: create(plugin(core, "STATS")), want: silent},
		verdict{name: "a plugin anywhere", world: world, change: create(plugin(core, "")), want: silent},
		verdict{name: "a plugin for what is sent", world: world, change: create(plugin(core, "AUTHN", resource.TrafficMatch{Mode: "CLIENT"})), want: silent},
		verdict{name: "a plugin by the Gateway of a waypoint", world: world, change: create(with(plugin(core, "AUTHN"), func(e *resource.ProxyExtension) {
			e.Target = targetRefs("gateway.networking.k8s.io", "Gateway", "waypoint")
		})), want: silent},
		verdict{name: "a chain where nothing is STRICT", world: append(world, permissive), change: create(x(core, uis, chain)), want: silent},
		verdict{name: "a chain where there is no sidecar", world: append(world, bare), change: create(x(core, uis, chain)), want: silent},
		verdict{name: "code before authorization that there is none of", world: append(world, app(core, others.Selector)), change: create(x(core, others, before)), want: silent},
		verdict{name: "authorization, removed in the mesh where there is none", world: append(world, app(core, others.Selector)), change: create(x("istio-system", others, removed)), want: silent},
		verdict{name: "for the proxies of another namespace", world: world, change: create(x("istio-system", uis, "FILTER_CHAIN ADD {context: SIDECAR_INBOUND, namespace: other, value: {filters: []}}")), want: silent},
		verdict{name: "of a gateway's pods, which have no inbound traffic", world: append(world, allow(gatewayNS)), change: create(x(gatewayNS, selected, chain)), want: silent},
		verdict{name: "of a gateway's pods that are not there yet", bare: true, world: []resource.Object{strict}, change: create(x(gatewayNS, selected, chain)), want: silent},
		verdict{name: "of a namespace where policies name only a gateway's pods", bare: true, world: []resource.Object{strictGateway}, change: create(x(gatewayNS, resource.Target{}, chain)), want: silent},
		verdict{name: "the owner's", world: world, change: create(ef("istio-system/stats-filter-1.17", resource.Target{}, patches(t, before, chain)...)), want: silent},
	)
}
