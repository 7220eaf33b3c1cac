package policy

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/gatewaypod"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
)

func TestGaps(t *testing.T) {
	w := newWorld(state.NewWriter().Snapshot(), deploykf.Default())
	ports := []resource.Container{{Ports: []resource.ContainerPort{{Port: 8080}, {Port: 9090}}}}
	for name, c := range map[string]struct {
		template resource.PodTemplate
		want     map[string][]uint32
	}{
		"nothing":                      {resource.PodTemplate{}, map[string][]uint32{}},
		"excluded":                     {resource.PodTemplate{Annotations: map[string]string{ExcludeInboundPorts: " 80, 15020,,443"}}, map[string][]uint32{ExcludeInboundPorts: {80, 443}}},
		"what is no port":              {resource.PodTemplate{Annotations: map[string]string{ExcludeInboundPorts: "http,0,70000,-1"}}, map[string][]uint32{}},
		"included, all":                {resource.PodTemplate{Annotations: map[string]string{IncludeInboundPorts: "*", ExcludeInboundPorts: "80"}, Containers: ports}, map[string][]uint32{ExcludeInboundPorts: {80}}},
		"included, some":               {resource.PodTemplate{Annotations: map[string]string{IncludeInboundPorts: "8080", ExcludeInboundPorts: "8080"}, Containers: ports}, map[string][]uint32{IncludeInboundPorts: {9090}}},
		"included, none":               {resource.PodTemplate{Annotations: map[string]string{IncludeInboundPorts: ""}, Containers: ports}, map[string][]uint32{IncludeInboundPorts: nil}},
		"included, containers unknown": {resource.PodTemplate{Annotations: map[string]string{IncludeInboundPorts: "80"}}, map[string][]uint32{IncludeInboundPorts: nil}},
		"by the proxy's configuration": {resource.PodTemplate{Annotations: map[string]string{proxyConfig: "concurrency: 2\ninterceptionMode: NONE\n"}}, map[string][]uint32{proxyConfig: nil}},
		"the annotation counts before": {resource.PodTemplate{Annotations: map[string]string{proxyConfig: "interceptionMode: NONE", InterceptionMode: "REDIRECT"}}, map[string][]uint32{}},
		"the gateway's template":       {resource.PodTemplate{Annotations: map[string]string{gatewaypod.TemplatesAnnotation: "gateway"}}, map[string][]uint32{gatewaypod.TemplatesAnnotation: nil}},
		"sidecar and another template": {resource.PodTemplate{Annotations: map[string]string{gatewaypod.TemplatesAnnotation: "sidecar,spire"}}, map[string][]uint32{}},
		"no interception hides others": {resource.PodTemplate{Annotations: map[string]string{InterceptionMode: "NONE", ExcludeInboundPorts: "80"}}, map[string][]uint32{InterceptionMode: nil}},
		"no sidecar hides others":      {resource.PodTemplate{HostNetwork: true, Annotations: map[string]string{ExcludeInboundPorts: "80"}}, map[string][]uint32{"hostNetwork": nil}},
		"an empty tlsMode":             {resource.PodTemplate{Labels: map[string]string{TLSModeLabel: ""}}, map[string][]uint32{}},
		"another tlsMode":              {resource.PodTemplate{Labels: map[string]string{TLSModeLabel: "custom"}}, map[string][]uint32{TLSModeLabel: nil}},
	} {
		t.Run(name, func(t *testing.T) {
			got := map[string][]uint32{}
			for _, g := range w.Gaps(&resource.Workload{Pod: c.template}) {
				got[g.Subject] = g.Ports
				assert.NotEmpty(t, g.Field)
				assert.NotEmpty(t, g.Reason)
				assert.NotEmpty(t, g.Fix)
			}
			assert.Equal(t, c.want, got)
		})
	}
}

func TestGapOpened(t *testing.T) {
	const strict, permissive = resource.ModeStrict, resource.ModePermissive
	whole, port := Gap{}, Gap{Ports: []uint32{80}}
	assert.True(t, whole.Opened(MTLS{Mode: strict}))
	assert.True(t, whole.Opened(MTLS{Mode: permissive, Ports: map[uint32]resource.MTLSMode{81: strict}}))
	assert.False(t, whole.Opened(MTLS{Mode: permissive}))
	assert.True(t, port.Opened(MTLS{Mode: strict, Ports: map[uint32]resource.MTLSMode{81: permissive}}))
	assert.False(t, port.Opened(MTLS{Mode: strict, Ports: map[uint32]resource.MTLSMode{80: permissive}}))
	assert.False(t, port.Opened(MTLS{Mode: permissive, Ports: map[uint32]resource.MTLSMode{81: strict}}))
}

func TestPortNames(t *testing.T) {
	assert.Equal(t, "port 80", portNames([]uint32{80}))
	assert.Equal(t, "ports 80 and 81", portNames([]uint32{80, 81}))
	assert.Equal(t, "ports 80, 81, 82 and 2 more", portNames([]uint32{80, 81, 82, 83, 84}))
}

func TestDestinationOf(t *testing.T) {
	for host, want := range map[string]struct{ own, other, service bool }{
		"app":                          {own: true, service: true},
		"app.ns.svc.cluster.local":     {own: true, service: true},
		"app.ns.svc.corp":              {own: true, service: true},
		"app.other.svc.cluster.local":  {other: true, service: true},
		"app.ns":                       {},
		"app.ns.svc":                   {},
		"App.ns.svc.cluster.local":     {},
		"a.app.ns.svc.cluster.local":   {},
		"*":                            {own: true, other: true},
		"*.local":                      {own: true, other: true},
		"*.svc.cluster.local":          {own: true, other: true},
		"*.ns.svc.cluster.local":       {own: true},
		"*.example.com":                {},
		"*pp.ns.svc.cluster.local":     {own: true},
		"*-app.ns.svc.cluster.local":   {},
		"app.ns.svc.cluster.local.com": {own: true, service: true},
		"api.example.com":              {},
		"10.1.2.3":                     {},
		"":                             {},
	} {
		d := DestinationOf(&resource.DestinationRule{Meta: resource.Meta{Namespace: "ns"}, Host: host})
		assert.Equal(t, want.own, d.Covers("ns", "app"), host)
		assert.Equal(t, want.other, d.Covers("other", "app"), host)
		_, _, service := d.Service()
		assert.Equal(t, want.service, service, host)
	}
}
