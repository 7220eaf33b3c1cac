package rules

import (
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/gatewarden/gatewarden/pkg/decode"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestTelemetry(t *testing.T) {
	// with returns a Telemetry of the gateway's namespace, by its spec in YAML.
	read := func(key, spec string) *resource.Telemetry {
		raw, err := yaml.YAMLToJSON([]byte("spec: " + spec))
		require.NoError(t, err, spec)
		o, err := decode.Object(resource.ByKind(resource.KindTelemetry), raw)
		require.NoError(t, err, spec)
		return with(o.(*resource.Telemetry), func(o *resource.Telemetry) { o.Meta = meta(key) })
	}
	x := gatewayNS + "/x"
	filter := func(expression string) string {
		return "{accessLogging: [{providers: [{name: envoy}], filter: {expression: \"" + expression + "\"}}]}"
	}
	tag := func(expression string) string {
		return "{metrics: [{overrides: [{tagOverrides: {a: {value: x}, b: {value: \"" + expression + "\"}}}]}]}"
	}
	const (
		inFilter = "spec.accessLogging[0].filter.expression"
		inTag    = "spec.metrics[0].overrides[0].tagOverrides[b].value"
		unknown  = "request.path.lowerAscii() == 'x'"
	)
	labelled := pod(gatewayNS+"/gw-1", map[string]string{"app": "deploykf-gateway", "istio": "deploykf-gateway", "gateway.networking.k8s.io/gateway-name": "edge"})
	one := func(name, spec string, want policy.Effect, field string) verdict {
		return verdict{name: name, change: create(read(x, spec)), want: want, field: field}
	}
	check(t, "GWD406",
		one("a filter that calls what Envoy does not have", filter(unknown), policy.Deny, inFilter),
		one("a filter that calls a function of its own", filter("f(response.code)"), policy.Deny, inFilter),
		one("a filter with a loop", filter("request.headers.exists(h, h == 'x')"), policy.Deny, inFilter),
		one("a filter with a conversion", filter("string(response.code).startsWith('5')"), policy.Deny, inFilter),
		one("a filter that can not be parsed", filter("response.code >="), policy.Deny, inFilter),
		one("a filter that goes too deep", filter("((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((1"), policy.Deny, inFilter),
		one("a tag that calls what Envoy does not have", tag(unknown), policy.Deny, inTag),
		one("a second filter", "{accessLogging: [{}, {match: {mode: CLIENT}, providers: [{name: a}], filter: {expression: 'f()'}}]}", policy.Deny, "spec.accessLogging[1].filter.expression"),
		one("with a selector", "{selector: {matchLabels: {istio: deploykf-gateway}}, metrics: [{overrides: [{tagOverrides: {b: {operation: UPSERT, value: f()}}}]}]}", policy.Deny, inTag),
		verdict{name: "in the root namespace", change: create(read("istio-system/x", filter(unknown))), want: policy.Deny},
		verdict{name: "by the Kubernetes Gateway of the pods", world: []resource.Object{labelled},
			change: create(read(x, "{targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: edge}], metrics: [{overrides: [{tagOverrides: {b: {value: f()}}}]}]}")), want: policy.Deny},
		verdict{name: "one that was there", change: update(read(x, filter(unknown)), read(x, filter(unknown))), want: policy.Warn},
		verdict{name: "one that was there, and now is wrong otherwise", change: update(read(x, filter(unknown)), read(x, filter("f()"))), want: policy.Deny},

		one("a filter", filter("response.code >= 400 && !(request.url_path.contains('health') || has(request.useragent))"), silent, ""),
		one("a filter with functions that Envoy has", filter("timestamp(request.headers['x']).getHours() in [1, size(request.id)] ? true : re.extract(request.path, 'a', 'b').matches('x')"), silent, ""),
		one("a filter on an attribute that there is not", filter("request.nothing > 1"), silent, ""),
		one("a text that looks like a call", filter("request.path == 'f()' // f()"), silent, ""),
		one("a filter without providers, which Istio passes over", "{accessLogging: [{filter: {expression: 'f()'}}]}", silent, ""),
		one("a filter of a log that is off", "{accessLogging: [{disabled: true, providers: [{name: a}], filter: {expression: 'f()'}}]}", silent, ""),
		one("a filter for inbound traffic of sidecars", "{accessLogging: [{match: {mode: SERVER}, providers: [{name: a}], filter: {expression: 'f()'}}]}", silent, ""),
		one("a provider that there is not", "{accessLogging: [{providers: [{name: nobody}]}], tracing: [{providers: [{name: nobody}]}]}", silent, ""),
		one("a tag that can not be parsed, which is passed over", tag("response.code >="), silent, ""),
		one("a tag with a loop and a conversion", tag("request.headers.exists(h, h == 'x') ? string(response.code) : ''"), silent, ""),
		one("a tag that is removed", "{metrics: [{overrides: [{tagOverrides: {b: {operation: REMOVE}}}]}]}", silent, ""),
		one("a tag of a metric that is off", "{metrics: [{overrides: [{disabled: true, tagOverrides: {b: {value: f()}}}]}]}", silent, ""),
		one("a tag of inbound traffic", "{metrics: [{overrides: [{match: {mode: SERVER}, tagOverrides: {b: {value: f()}}}]}]}", silent, ""),
		one("on other pods", "{selector: {matchLabels: {app: dashboard}}, metrics: [{overrides: [{tagOverrides: {b: {value: f()}}}]}]}", silent, ""),
		verdict{name: "in the root namespace with a selector, which is for that only",
			change: create(read("istio-system/x", "{selector: {matchLabels: {istio: deploykf-gateway}}, metrics: [{overrides: [{tagOverrides: {b: {value: f()}}}]}]}")), want: silent},
		verdict{name: "in another namespace", change: create(read("team-a/x", filter(unknown))), want: silent},
	)
}
