package rules

import (
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/gatewarden/gatewarden/pkg/decode"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestAuthorizationPolicy(t *testing.T) {
	type op = resource.AuthorizedOperation
	to := func(o ...op) resource.AuthorizationRule { return resource.AuthorizationRule{To: o} }
	from := func(o ...op) resource.AuthorizationRule { return resource.AuthorizationRule{To: o, Conditioned: true} }
	ap := func(key, action string, rules ...resource.AuthorizationRule) *resource.AuthorizationPolicy {
		return &resource.AuthorizationPolicy{Meta: meta(key), Target: selected, Action: action, Rules: rules}
	}
	x := func(action string, rules ...resource.AuthorizationRule) *resource.AuthorizationPolicy {
		return ap(gatewayNS+"/x", action, rules...)
	}
	dry := func(a *resource.AuthorizationPolicy) *resource.AuthorizationPolicy {
		return with(a, func(a *resource.AuthorizationPolicy) { a.Annotations = map[string]string{"istio.io/dry-run": "true"} })
	}
	ports := func(p ...string) op { return op{Ports: p} }
	hosts := func(p ...string) op { return op{Hosts: p} }
	const owners = gatewayNS + "/deploykf-istio-gateway--allow"
	open := []resource.Object{ap(owners, "ALLOW", to(ports("80", "443")))}
	shut := []resource.Object{ap(owners, "ALLOW", from(ports("80", "443")))}
	passthrough := gw(guarded, "443 TLS "+h+" PASSTHROUGH")
	anyHost := func(o ...resource.Object) []resource.Object { return append(o, server443("*")) }
	elsewhereSelector := with(x("DENY", to()), func(a *resource.AuthorizationPolicy) { a.Selector = dashboard })
	mesh := with(ap("istio-system/x", "DENY", to()), func(a *resource.AuthorizationPolicy) { a.Target = resource.Target{} })
	read := func(action, rule string) policy.Change {
		raw, err := yaml.YAMLToJSON([]byte("spec: {action: " + action + ", rules: [" + rule + "]}"))
		require.NoError(t, err)
		o, err := decode.Object(resource.ByKind(resource.KindAuthorizationPolicy), raw)
		require.NoError(t, err)
		return create(x(action, o.(*resource.AuthorizationPolicy).Rules...))
	}
	mutual := gw(guarded, "443 HTTPS "+h+" MUTUAL")
	twoSources := "{from: [{source: {namespaces: [team-a]}}, {source: {ipBlocks: [10.0.0.0/8]}}]}"
	check(t, "GWD403",
		verdict{name: "denies whoever has no identity", change: read("DENY", "{from: [{source: {notPrincipals: ['*']}}]}"), want: policy.Deny, field: "spec.rules[0]"},
		verdict{name: "denies identities where there are any", world: []resource.Object{mutual}, change: read("DENY", "{from: [{source: {principals: ['*']}}]}"), want: policy.Deny},
		verdict{name: "denies identities, or addresses", change: read("DENY", twoSources), want: policy.Deny},
		verdict{name: "denies all but some identities", change: read("DENY", "{when: [{key: source.namespace, notValues: [team-a]}]}"), want: policy.Deny},
		verdict{name: "denies by a header", change: read("DENY", "{when: [{key: 'request.headers[x]', values: [v]}]}"), want: policy.Deny},
		verdict{name: "denies the guarded port by a condition", change: read("DENY", "{when: [{key: destination.port, values: ['443', '9443']}]}"), want: policy.Deny},
		verdict{name: "denies the guarded port by both", change: read("DENY", "{to: [{operation: {ports: ['80', '443']}}], when: [{key: destination.port, values: ['443']}]}"), want: policy.Deny},
		verdict{name: "denies the guarded SNI", change: read("DENY", "{when: [{key: connection.sni, values: [app.example.org, '*.example.com']}]}"), want: policy.Deny},
		verdict{name: "denies the guarded SNI by its start", change: read("DENY", "{when: [{key: connection.sni, values: ['deploykf*']}]}"), want: policy.Deny},
		verdict{name: "denies every SNI but another", change: read("DENY", "{when: [{key: connection.sni, notValues: [app.example.org]}]}"), want: policy.Deny},
		verdict{name: "allows a header on what the owner keeps shut", world: shut, change: read("ALLOW", "{when: [{key: 'request.headers[x]', values: [v]}]}"), want: policy.Deny},
		verdict{name: "allows the guarded ports by a condition, as the first", change: read("ALLOW", "{when: [{key: destination.port, values: ['80', '443']}]}"), want: policy.Warn},
		verdict{name: "denies, as a dry run that is none", change: create(with(dry(x("DENY", to())), func(a *resource.AuthorizationPolicy) { a.Annotations = map[string]string{"istio.io/dry-run": "yes"} })), want: policy.Deny},

		verdict{name: "denies identities, of which there are none", change: read("DENY", "{from: [{source: {principals: ['*']}}, {source: {namespaces: [team-a], ipBlocks: [10.0.0.0/8]}}]}"), want: silent},
		verdict{name: "denies identities by a condition", change: read("DENY", "{when: [{key: source.serviceAccount, values: [team-a/x]}]}"), want: silent},
		verdict{name: "allows identities on what the owner keeps shut", world: shut, change: read("ALLOW", "{from: [{source: {principals: [x]}}]}"), want: silent},
		verdict{name: "denies another port by a condition", change: read("DENY", "{when: [{key: destination.port, values: ['9443']}]}"), want: silent},
		verdict{name: "denies all but the guarded ports by a condition", change: read("DENY", "{when: [{key: destination.port, notValues: ['80', '443']}]}"), want: silent},
		verdict{name: "denies no port that both name", change: read("DENY", "{to: [{operation: {ports: ['443', '80']}}], when: [{key: destination.port, values: ['9443']}]}"), want: silent},
		verdict{name: "denies another SNI", change: read("DENY", "{when: [{key: connection.sni, values: [app.example.org, '*.example.org', 'app*']}]}"), want: silent},
		verdict{name: "denies every SNI but the guarded ones", change: read("DENY", "{to: [{operation: {ports: ['443']}}], when: [{key: connection.sni, notValues: ["+h+", '*."+h+"']}]}"), want: silent},
		verdict{name: "denies, as a dry run in another spelling", change: create(with(dry(x("DENY", to())), func(a *resource.AuthorizationPolicy) { a.Annotations = map[string]string{"istio.io/dry-run": "True"} })), want: silent},

		verdict{name: "denies all", change: create(x("DENY", to())), want: policy.Deny, field: "spec.rules[0]"},
		verdict{name: "denies some", change: create(x("DENY", from())), want: policy.Deny},
		verdict{name: "denies all in the mesh", change: create(mesh), want: policy.Deny},
		verdict{name: "denies the guarded port", change: create(x("DENY", to(ports("9443")), to(ports("443")))), want: policy.Deny, field: "spec.rules[1]"},
		verdict{name: "denies all but another port", change: create(x("DENY", to(op{NotPorts: []string{"9443"}}))), want: policy.Deny},
		verdict{name: "denies the guarded host", change: create(x("DENY", to(hosts("app.example.org", "DeployKF.example.com")))), want: policy.Deny},
		verdict{name: "denies the guarded host by its end", change: create(x("DENY", to(hosts("*.example.com")))), want: policy.Deny},
		verdict{name: "denies the guarded host by its start", change: create(x("DENY", to(hosts("deploykf*")))), want: policy.Deny},
		verdict{name: "denies a host that the owner uses", world: anyHost(), change: create(x("DENY", to(hosts("argo-server."+h)))), want: policy.Deny},
		verdict{name: "denies hosts where only connections count", world: []resource.Object{passthrough}, change: create(x("DENY", to(op{Ports: []string{"443"}, Hosts: []string{"app.example.org"}}))), want: policy.Deny},
		verdict{name: "asks a provider", change: create(x("CUSTOM", to(ports("443")))), want: policy.Deny},
		verdict{name: "asks a provider, as a dry run", change: create(dry(x("CUSTOM", to()))), want: policy.Deny},
		verdict{name: "allows only a port of its own, as the first", change: create(x("ALLOW", to(ports("9443")))), want: policy.Deny, field: "spec.rules"},
		verdict{name: "allows nothing, as the first", change: create(x("ALLOW")), want: policy.Deny},
		verdict{name: "allows somebody, as the first", change: create(x("ALLOW", from())), want: policy.Deny},
		verdict{name: "allows only paths, as the first", change: create(x("ALLOW", to(op{Narrowed: true}))), want: policy.Deny},
		verdict{name: "allows what the owner keeps shut", world: shut, change: create(x("ALLOW", to())), want: policy.Deny},
		verdict{name: "allows the guarded ports, as the first", change: create(x("ALLOW", to(ports("80", "443")))), want: policy.Warn},

		verdict{name: "denies nothing", change: create(x("DENY")), want: silent},
		verdict{name: "denies another port", change: create(x("DENY", to(ports("9443")))), want: silent},
		verdict{name: "denies another host", change: create(x("DENY", to(hosts("app.example.org", "*.example.org", "app*")))), want: silent},
		verdict{name: "denies all but the guarded ports", change: create(x("DENY", to(op{NotPorts: []string{"80", "443"}}))), want: silent},
		verdict{name: "denies all but the guarded hosts", change: create(x("DENY", to(op{NotHosts: []string{h, "*." + h}}))), want: silent},
		verdict{name: "denies a host of its own beside any host", world: anyHost(gw(redirect, "80 HTTP "+h)), change: create(x("DENY", to(hosts("app.example.org", "*.example.org")))), want: silent},
		verdict{name: "denies, as a dry run", change: create(dry(x("DENY", to()))), want: silent},
		verdict{name: "audits", change: create(x("AUDIT", to())), want: silent},
		verdict{name: "allows a port of its own", world: open, change: create(x("ALLOW", to(ports("9443")))), want: silent},
		verdict{name: "allows what is open", world: open, change: create(x("ALLOW", to())), want: silent},
		verdict{name: "allows a port of its own beside one that is shut", world: shut, change: create(x("ALLOW", to(ports("9443")))), want: silent},
		verdict{name: "allows all, as the first", change: create(x("ALLOW", to())), want: silent},
		verdict{name: "allows, as a dry run", change: create(dry(x("ALLOW"))), want: silent},
		verdict{name: "on other pods", change: create(elsewhereSelector), want: silent},
		verdict{name: "in another namespace", change: create(ap("team-a/x", "DENY", to())), want: silent},
		verdict{name: "the owner's", change: create(ap(owners, "ALLOW", to(ports("443")))), want: silent},
	)
}
