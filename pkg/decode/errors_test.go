package decode_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/decode"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestErrors(t *testing.T) {
	long := strings.Repeat("a", 64)
	server := func(fields string) string {
		return "spec: {servers: [{port: {number: 80}, hosts: [a.b]}, {" + fields + "}]}"
	}
	for _, c := range []struct {
		name, text string
		kind       resource.Kind
		want       string
	}{
		{"list", "[]", resource.KindGateway, `must be an object, not a list`},
		{"null", "null", resource.KindGateway, `must be an object, not null`},
		{"string", "a", resource.KindGateway, `must be an object, not the string "a"`},
		{
			"other kind", "kind: Pod", resource.KindGateway,
			`kind: is "Pod" where a Gateway was announced; send the object under its own kind`,
		},
		{
			"other group", "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway}", resource.KindGateway,
			`apiVersion: "gateway.networking.k8s.io/v1" is not of the API group "networking.istio.io", which serves Gateway; correct the group`,
		},
		{
			"time", "metadata: {creationTimestamp: yesterday}", resource.KindGateway,
			`metadata.creationTimestamp: "yesterday" is no time; write it as 2006-01-02T15:04:05Z, or leave the field out`,
		},
		{
			"label", "metadata: {labels: {app.kubernetes.io/name: true}}", resource.KindPod,
			`metadata.labels["app.kubernetes.io/name"]: must be a string, not true; put it in quotes`,
		},
		{"spec", "spec: [1]", resource.KindGateway, `spec: must be an object, not a list`},
		{"servers", "spec: {servers: {a: 1}}", resource.KindGateway, `spec.servers: must be a list, not an object`},
		{"server", "spec: {servers: [{hosts: [a.b]}, 7]}", resource.KindGateway, `spec.servers[1]: must be an object, not 7`},
		{
			"quoted port", server(`port: {number: "443"}`), resource.KindGateway,
			`spec.servers[1].port.number: must be a port number from 1 to 65535, not the string "443"; remove the quotes`,
		},
		{
			"negative port", server(`port: {number: -1}`), resource.KindGateway,
			`spec.servers[1].port.number: must be a port number from 1 to 65535, not -1`,
		},
		{
			"fraction", server(`port: {number: 1.5}`), resource.KindGateway,
			`spec.servers[1].port.number: must be a port number from 1 to 65535, not 1.5`,
		},
		{
			"no port", server(`hosts: [a.b]`), resource.KindGateway,
			`spec.servers[1].port: is missing; give the server a port with number, name and protocol`,
		},
		{
			"port 0", server(`hosts: [a.b], port: {name: a}`), resource.KindGateway,
			`spec.servers[1].port.number: 0 is no port; use a number from 1 to 65535`,
		},
		{
			"port too high", server(`hosts: [a.b], port: {number: 70000}, bind: "unix:///a"`), resource.KindGateway,
			`spec.servers[1].port.number: 70000 is no port; use a number from 1 to 65535`,
		},
		{
			"no hosts", server(`port: {number: 1}`), resource.KindGateway,
			`spec.servers[1].hosts: is empty; list at least one host name, or "*" for every host`,
		},
		{
			"host is null", server(`port: {number: 1}, hosts: [null]`), resource.KindGateway,
			`spec.servers[1].hosts[0]: host "" has no name; write a host name, or "*" for every host`,
		},
		{
			"host", server(`port: {number: 1}, hosts: [a.b, a_b.c]`), resource.KindGateway,
			`spec.servers[1].hosts[1]: host "a_b.c" is no host name because of "a_b"; use letters, digits and inner hyphens, and "*" only at its start`,
		},
		{
			"bool", server(`tls: {httpsRedirect: "yes"}`), resource.KindGateway,
			`spec.servers[1].tls.httpsRedirect: must be true or false, not the string "yes"`,
		},
		{
			"long string", server(`tls: {httpsRedirect: "` + long + `"}`), resource.KindGateway,
			`spec.servers[1].tls.httpsRedirect: must be true or false, not the string "` + long[1:] + `…`,
		},
		{
			"virtual host", "spec: {hosts: [a, team-a/b.c]}", resource.KindVirtualService,
			`spec.hosts[1]: host "team-a/b.c" has a "/"; a VirtualService names hosts without a namespace, for example "app.example.com"`,
		},
		{
			"match port", "spec: {http: [{match: [{uri: {prefix: /}}, {port: http}]}]}", resource.KindVirtualService,
			`spec.http[0].match[1].port: must be a whole number from 0 to 4294967295, not the string "http"`,
		},
		{
			"header", "spec: {http: [{match: [{headers: {x-user: anna}}]}]}", resource.KindVirtualService,
			`spec.http[0].match[0].headers["x-user"]: must be an object, not the string "anna"`,
		},
		{
			"mode", "spec: {mtls: {mode: strict}}", resource.KindPeerAuthentication,
			`spec.mtls.mode: "strict" is no mode; use UNSET, DISABLE, PERMISSIVE or STRICT`,
		},
		{
			"port mode", `spec: {portLevelMtls: {"80": {mode: ""}}}`, resource.KindPeerAuthentication,
			`spec.portLevelMtls["80"].mode: "" is no mode; use UNSET, DISABLE, PERMISSIVE or STRICT`,
		},
		{
			"port key", `spec: {portLevelMtls: {http: {mode: STRICT}, "65536": {}}}`, resource.KindPeerAuthentication,
			`spec.portLevelMtls["65536"]: "65536" is no port; use the number of a container port, from 1 to 65535`,
		},
		{
			"port key 0", `spec: {portLevelMtls: {"0": {}}}`, resource.KindPeerAuthentication,
			`spec.portLevelMtls["0"]: "0" is no port; use the number of a container port, from 1 to 65535`,
		},
		{
			"entry port", "spec: {ports: [{number: 65536}]}", resource.KindServiceEntry,
			`spec.ports[0].number: 65536 is no port; use a number from 1 to 65535`,
		},
		{
			"entry target port", "spec: {ports: [{number: 1, targetPort: 65536}]}", resource.KindServiceEntry,
			`spec.ports[0].targetPort: 65536 is no port; use a number from 1 to 65535`,
		},
		{
			"container port", "spec: {template: {spec: {containers: [{ports: [{containerPort: 0}, {name: a}]}]}}}", resource.KindDeployment,
			`spec.template.spec.containers[0].ports[1].containerPort: 0 is no port; use a number from 1 to 65535`,
		},
		{
			"user", "spec: {containers: [{securityContext: {runAsUser: root}}]}", resource.KindPod,
			`spec.containers[0].securityContext.runAsUser: must be a whole number, not the string "root"`,
		},
		{
			"service port", "spec: {ports: [{}]}", resource.KindService,
			`spec.ports[0].port: 0 is no port; use a number from 1 to 65535`,
		},
		{
			"target port", "spec: {ports: [{port: 1, targetPort: -5}]}", resource.KindService,
			`spec.ports[0].targetPort: -5 is no port; use a number from 1 to 65535`,
		},
		{
			"target port of no type", "spec: {ports: [{port: 1, targetPort: [5]}]}", resource.KindService,
			`spec.ports[0].targetPort: must be a port number from 1 to 65535 or the name of a container port`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, err := object(t, c.kind, c.text)
			assert.Nil(t, o)
			var wrong *decode.Error
			require.ErrorAs(t, err, &wrong)
			assert.Equal(t, c.want, err.Error())
		})
	}
}

func TestErrorsInJSON(t *testing.T) {
	gateway := resource.ByKind(resource.KindGateway)
	for text, want := range map[string]string{
		"":                        "not valid JSON at byte 0: unexpected end of JSON input; correct the syntax",
		`{"spec":`:                "not valid JSON at byte 8: unexpected end of JSON input; correct the syntax",
		`{"spec":{}} x`:           "not valid JSON at byte 13: invalid character 'x' after top-level value; correct the syntax",
		`{"spec":nil}`:            "not valid JSON at byte 10: invalid character 'i' in literal null (expecting 'u'); correct the syntax",
		` 1e999`:                  "must be an object, not 1e999",
		`{"spec":{"servers":"x"}`: "not valid JSON at byte 23: unexpected end of JSON input; correct the syntax",
	} {
		_, err := decode.Object(gateway, []byte(text))
		assert.EqualError(t, err, want, text)
	}
	_, err := decode.Object(gateway, []byte(strings.Repeat(`{"spec":`, 20000)))
	require.Error(t, err)
	assert.Less(t, len(err.Error()), 200)

	_, err = decode.Object(resource.API{Kind: "Secret"}, []byte("{}"))
	assert.EqualError(t, err, `kind: "Secret" is no kind that gatewarden reads`)
}
