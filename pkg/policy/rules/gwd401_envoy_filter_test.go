package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
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

// patch makes a patch; edit may narrow it.
func patch(applyTo, context, operation string, edit ...func(*resource.EnvoyPatch)) resource.EnvoyPatch {
	p := resource.EnvoyPatch{ApplyTo: applyTo, Context: context, Operation: operation}
	for _, e := range edit {
		e(&p)
	}
	return p
}

func TestEnvoyFilter(t *testing.T) {
	const gateway = "GATEWAY"
	listener := func(port uint32, name, sni string) func(*resource.EnvoyPatch) {
		return func(p *resource.EnvoyPatch) { p.Listener = resource.ListenerMatch{Port: port, Name: name, SNI: sni} }
	}
	route := func(port uint32, gateway, name string) func(*resource.EnvoyPatch) {
		return func(p *resource.EnvoyPatch) {
			p.Route = resource.RouteConfigurationMatch{Port: port, Gateway: gateway, Name: name}
		}
	}
	cluster := func(service, name string) func(*resource.EnvoyPatch) {
		return func(p *resource.EnvoyPatch) { p.Cluster = resource.ClusterMatch{Service: service, Name: name} }
	}
	one := func(name string, want policy.Effect, p resource.EnvoyPatch) verdict {
		v := verdict{name: name, change: create(ef(gatewayNS+"/x", selected, p)), want: want}
		if want == policy.Deny {
			v.field = "spec.configPatches[0]"
		}
		return v
	}
	insert := patch("HTTP_FILTER", gateway, "INSERT_FIRST")
	check(t, "GWD401",
		one("a filter on every listener", policy.Deny, insert),
		one("of any context", policy.Deny, patch("HTTP_FILTER", "ANY", "INSERT_FIRST")),
		one("of no context", policy.Deny, patch("NETWORK_FILTER", "", "INSERT_FIRST")),
		one("on the guarded port", policy.Deny, patch("HTTP_FILTER", gateway, "REMOVE", listener(443, "", ""))),
		one("on the guarded listener", policy.Deny, patch("LISTENER", gateway, "REMOVE", listener(0, "0.0.0.0_443", ""))),
		one("on the guarded SNI", policy.Deny, patch("FILTER_CHAIN", gateway, "MERGE", listener(443, "", h))),
		one("a chain for another SNI, added", policy.Deny, patch("FILTER_CHAIN", gateway, "ADD", listener(443, "", "app.example.org"))),
		one("a listener filter", policy.Deny, patch("LISTENER_FILTER", gateway, "INSERT_FIRST")),
		one("every route", policy.Deny, patch("HTTP_ROUTE", gateway, "MERGE")),
		one("the owner's routes", policy.Deny, patch("VIRTUAL_HOST", gateway, "MERGE", route(443, guarded, ""))),
		one("the owner's routes by name", policy.Deny, patch("HTTP_ROUTE", gateway, "MERGE", route(0, "", "https.443.https.deploykf-gateway.deploykf-istio-gateway"))),
		one("the shared routes on plain text", policy.Deny, patch("ROUTE_CONFIGURATION", gateway, "MERGE", route(80, "", "http.80"))),
		one("every cluster", policy.Deny, patch("CLUSTER", "", "MERGE")),
		one("the cluster of a protected Service", policy.Deny, patch("CLUSTER", gateway, "REMOVE", cluster("dex.deploykf-auth.svc.cluster.local", ""))),
		one("the bootstrap, whatever the context", policy.Deny, patch("BOOTSTRAP", "SIDECAR_INBOUND", "MERGE")),
		verdict{name: "on all pods of the namespace", change: create(ef(gatewayNS+"/x", resource.Target{}, insert)), want: policy.Deny},
		verdict{name: "on all pods of the mesh", change: create(ef("istio-system/x", resource.Target{}, insert)), want: policy.Deny},
		verdict{name: "a second patch", change: create(ef(gatewayNS+"/x", selected, patch("HTTP_FILTER", "SIDECAR_INBOUND", "ADD"), insert)), want: policy.Deny, field: "spec.configPatches[1]"},
		verdict{name: "one that was there", world: []resource.Object{ef(gatewayNS+"/x", selected, insert)}, change: update(ef(gatewayNS+"/x", selected, insert), ef(gatewayNS+"/x", selected, insert)), want: policy.Warn},

		one("for sidecars", silent, patch("HTTP_FILTER", "SIDECAR_INBOUND", "INSERT_FIRST")),
		one("on another port", silent, patch("HTTP_FILTER", gateway, "INSERT_FIRST", listener(9443, "", ""))),
		one("on another listener", silent, patch("LISTENER", gateway, "REMOVE", listener(0, "0.0.0.0_9443", ""))),
		one("on another SNI", silent, patch("HTTP_FILTER", gateway, "INSERT_FIRST", listener(443, "", "app.example.org"))),
		one("another Gateway's routes", silent, patch("HTTP_ROUTE", gateway, "MERGE", route(443, "team-a/web", ""))),
		one("another port's routes", silent, patch("HTTP_ROUTE", gateway, "MERGE", route(9443, "", ""))),
		one("another Gateway's routes by name", silent, patch("HTTP_ROUTE", gateway, "MERGE", route(0, "", "https.443.https.web.team-a"))),
		one("a tenant's cluster", silent, patch("CLUSTER", gateway, "MERGE", cluster("", "outbound|80||app.team-a.svc.cluster.local"))),
		one("a cluster of its own", silent, patch("CLUSTER", gateway, "ADD")),
		one("a named extension", silent, patch("EXTENSION_CONFIG", gateway, "ADD")),
		verdict{name: "other pods", change: create(ef(gatewayNS+"/x", resource.Target{Selector: dashboard}, insert)), want: silent},
		verdict{name: "in another namespace", change: create(ef("team-a/x", resource.Target{}, insert)), want: silent},
		verdict{name: "with targetRefs", change: create(ef(gatewayNS+"/x", targetRefs("gateway.networking.k8s.io", "Gateway", "x"), insert)), want: silent},
		verdict{name: "the owner's", change: create(ef(gatewayNS+"/deploykf-istio-gateway--ext-authz", selected, insert)), want: silent},
	)
}
