package decode

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
	kjson "sigs.k8s.io/json"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

// documents are the private forms of all kinds.
var documents = map[resource.Kind]any{
	resource.KindGateway: gatewayDoc{}, resource.KindVirtualService: virtualServiceDoc{}, resource.KindPeerAuthentication: peerAuthenticationDoc{},
	resource.KindServiceEntry: serviceEntryDoc{}, resource.KindWorkloadEntry: workloadEntryDoc{}, resource.KindDestinationRule: destinationRuleDoc{},
	resource.KindSidecar: sidecarDoc{}, resource.KindDeployment: templatedDoc{}, resource.KindDaemonSet: templatedDoc{},
	resource.KindStatefulSet: templatedDoc{}, resource.KindPod: podDoc{}, resource.KindService: serviceDoc{}, resource.KindNamespace: namespaceDoc{},
	resource.KindConfigMap: configMapDoc{}, resource.KindNode: nodeDoc{}, resource.KindCertificate: certificateDoc{}, resource.KindInjectors: injectorsDoc{},
	resource.KindEnvoyFilter: envoyFilterDoc{}, resource.KindWasmPlugin: wasmPluginDoc{}, resource.KindTrafficExtension: trafficExtensionDoc{},
	resource.KindAuthorizationPolicy: authorizationPolicyDoc{}, resource.KindRequestAuthentication: requestAuthenticationDoc{},
	resource.KindTelemetry: telemetryDoc{}, resource.KindProxyConfig: proxyConfigDoc{}, resource.KindIngress: ingressDoc{},
	resource.KindIngressClass: ingressClassDoc{}, resource.KindKubernetesGateway: kubernetesGatewayDoc{}, resource.KindGatewayClass: gatewayClassDoc{},
	resource.KindListenerSet: listenerSetDoc{}, resource.KindHTTPRoute: routeDoc[httpRule]{}, resource.KindGRPCRoute: routeDoc[grpcRule]{},
	resource.KindTLSRoute: routeDoc[l4Rule]{}, resource.KindTCPRoute: tcpRouteDoc{},
}

// Where any JSON value may stand, sigs.k8s.io/json makes whole numbers of numbers, and quick does not.
func TestNumbered(t *testing.T) {
	require.Len(t, documents, len(resource.APIs))
	var any func(reflect.Type) bool
	any = func(typ reflect.Type) bool {
		switch typ.Kind() {
		case reflect.Interface:
			return true
		case reflect.Pointer, reflect.Slice, reflect.Map:
			return any(typ.Elem())
		case reflect.Struct:
			for i := range typ.NumField() {
				if any(typ.Field(i).Type) {
					return true
				}
			}
		}
		return false
	}
	for kind, d := range documents {
		_, marked := reflect.New(reflect.TypeOf(d)).Interface().(numbered)
		assert.Equal(t, any(reflect.TypeOf(d)), marked, kind)
	}
}

// What quick reads is what sigs.k8s.io/json reads, whatever else it leaves to that.
func TestQuick(t *testing.T) { rapid.Check(t, quickAgrees) }

// FuzzQuick is the same with a fuzzer that looks for new paths in place of a seed.
func FuzzQuick(f *testing.F) { f.Fuzz(rapid.MakeFuzz(quickAgrees)) }

func quickAgrees(t *rapid.T) {
	api := rapid.SampledFrom(resource.APIs).Draw(t, "kind")
	typ := reflect.TypeOf(documents[api.Kind])
	raw := []byte(drawObject(t, typ))
	ours, theirs := reflect.New(typ).Interface(), reflect.New(typ).Interface()
	err := kjson.UnmarshalCaseSensitivePreserveInts(raw, theirs)
	if quick(raw, ours) {
		require.NoError(t, err, "%s", raw)
		require.Equal(t, theirs, ours, "%s", raw)
		return
	}
	require.Equal(t, reflect.New(typ).Interface(), ours, "%s", raw)
}

// somewhere are values that are right in one place or another, and some that are right nowhere.
var somewhere = rapid.SampledFrom([]string{
	"null", "0", "1", "-1", "8080", "1.0", "1e3", "1e999", "99999999999999999999", "true", "false", `""`, `"x"`, `"1"`, "[]", "{}", `[null]`,
	`{"a":1}`, "\"\xff\"", `"\ud800"`, `"\u00e9\n"`, "[", "", "nul", `{"a":1,"a":2}`, " 1 ", "\"a\tb\"",
})

var someText = rapid.SampledFrom([]string{`"x"`, `"app.example.org"`, `"STRICT"`, `""`, `"\u0041\/"`, "\"\xff\"", "null", `"2025-01-01T00:00:00Z"`})

func drawValue(t *rapid.T, typ reflect.Type) string {
	if rapid.IntRange(0, 29).Draw(t, "odd") == 0 {
		return somewhere.Draw(t, "value")
	}
	switch typ.Kind() {
	case reflect.Pointer:
		return drawValue(t, typ.Elem())
	case reflect.Struct:
		return drawObject(t, typ)
	case reflect.Slice:
		var list []string
		for range rapid.IntRange(0, 2).Draw(t, "length") {
			list = append(list, drawValue(t, typ.Elem()))
		}
		return "[" + strings.Join(list, ",") + "]"
	case reflect.Map:
		var list []string
		for range rapid.IntRange(0, 3).Draw(t, "length") {
			list = append(list, rapid.SampledFrom([]string{`"a"`, `"b"`, `"istio.io/x"`, `"\u0061"`, "\"\xff\""}).Draw(t, "key")+":"+drawValue(t, typ.Elem()))
		}
		return "{" + strings.Join(list, ", ") + "}"
	case reflect.String:
		return someText.Draw(t, "text")
	case reflect.Bool:
		return rapid.SampledFrom([]string{"true", "false", "null"}).Draw(t, "bool")
	case reflect.Interface:
		return somewhere.Draw(t, "value")
	}
	return rapid.SampledFrom([]string{"0", "1", "443", "null", "70000"}).Draw(t, "number")
}

// drawObject draws an object with some members of a struct, some of them twice, and some that it
// does not have.
func drawObject(t *rapid.T, typ reflect.Type) string {
	var list []string
	var members func(reflect.Type)
	members = func(typ reflect.Type) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			if f.Anonymous {
				members(f.Type)
				continue
			}
			times := rapid.SampledFrom([]int{0, 0, 1, 1, 1, 1, 1, 1, 1, 2}).Draw(t, "times")
			if rapid.IntRange(0, 3).Draw(t, "rarely twice") > 0 {
				times = min(times, 1)
			}
			for range times {
				name := f.Tag.Get("json")
				if rapid.IntRange(0, 29).Draw(t, "case") == 0 {
					name = strings.ToUpper(name)
				}
				list = append(list, `"`+name+`":`+drawValue(t, f.Type))
			}
		}
	}
	members(typ)
	if rapid.IntRange(0, 4).Draw(t, "unknown") == 0 {
		list = append(list, `"unknown":`+somewhere.Draw(t, "value"))
	}
	return "{" + strings.Join(rapid.Permutation(list).Draw(t, "order"), ",") + "}"
}

// What nearly everybody sends is read quickly.
func TestQuickIsUsed(t *testing.T) {
	raw, err := json.Marshal(map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "Gateway", "metadata": map[string]any{"name": "x", "creationTimestamp": nil},
		"spec": map[string]any{"servers": []any{map[string]any{"hosts": []string{"a.b"}, "port": map[string]any{"number": 443}}}},
	})
	require.NoError(t, err)
	assert.True(t, quick(raw, &gatewayDoc{}))
}
