// Package worlds makes the worlds that tests, fuzzers and benchmarks judge in: deployKF on a shared
// gateway, with tenants around it, shaped like a real cluster and the same for each seed. Worlds in
// which everybody is at odds are drawn by the tests of the rules.
package worlds

import (
	"fmt"

	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
)

// Base returns deployKF's own objects on the gateway: the two Gateways, its routes, the
// Service and the pods, as deploykf.Default describes them.
func Base() []resource.Object {
	g := deploykf.Default().GuardedGateways[0]
	meta := func(namespace, name string) resource.Meta { return resource.Meta{Namespace: namespace, Name: name} }
	objects := []resource.Object{
		&resource.Service{
			Meta: meta(g.Namespace, "deploykf-gateway"), Selector: g.PodLabels,
			Ports: []resource.ServicePort{{Name: "http", Port: 80, TargetPort: 80}, {Name: "https", Port: 443, TargetPort: 443}},
		},
		&resource.Workload{
			Meta: meta(g.Namespace, "deploykf-gateway"), Kind: resource.KindDeployment,
			Pod: resource.PodTemplate{Labels: g.PodLabels, Containers: []resource.Container{{Name: "istio-proxy", Image: "auto"}}},
		},
	}
	for _, s := range g.Servers {
		gw := &resource.Gateway{Meta: meta(g.Namespace, s.Gateway), Selector: g.PodLabels}
		server := resource.Server{Port: s.Port, Protocol: s.Protocol, Hosts: s.Hosts, TLS: &resource.ServerTLS{Mode: "PASSTHROUGH"}}
		if s.TLSMode != "" {
			server.TLS.Mode = s.TLSMode
		}
		gw.Servers = []resource.Server{server}
		objects = append(objects, gw)
	}
	for _, o := range g.OwnerObjects {
		if o.Kind != resource.KindVirtualService {
			continue
		}
		objects = append(objects, &resource.VirtualService{
			Meta: meta(o.Namespace, o.Name), Hosts: []string{deploykf.DefaultHostname},
			Gateways: []string{g.Namespace + "/deploykf-gateway"},
			HTTP:     []resource.HTTPRoute{{Matches: []resource.HTTPMatch{{URI: resource.StringMatch{Type: resource.MatchPrefix, Value: "/" + o.Name + "/"}}}}},
		})
	}
	return objects
}

// Protected returns n pods of a namespace, each with a label of its own besides that of its
// application, and PeerAuthentications that make so many applications STRICT.
func Protected(namespace string, n, policies int) []resource.Object {
	out := make([]resource.Object, 0, n+policies)
	for i := range n {
		out = append(out, &resource.Workload{
			Meta: resource.Meta{Namespace: namespace, Name: fmt.Sprintf("pod%d", i)}, Kind: resource.KindPod,
			Pod: resource.PodTemplate{Labels: map[string]string{"app": fmt.Sprintf("app%d", i%max(policies, 1)), "run": fmt.Sprint(i)}},
		})
	}
	for i := range policies {
		out = append(out, &resource.PeerAuthentication{
			Meta: resource.Meta{Namespace: namespace, Name: fmt.Sprintf("app%d", i)}, Mode: resource.ModeStrict,
			Selector: map[string]string{"app": fmt.Sprintf("app%d", i)},
		})
	}
	return out
}

// HTTPSGateway returns a Gateway with one HTTPS server on port 443.
func HTTPSGateway(meta resource.Meta, selector map[string]string, hosts ...string) *resource.Gateway {
	return &resource.Gateway{Meta: meta, Selector: selector, Servers: []resource.Server{{
		PortName: "https", Port: 443, Protocol: "HTTPS", Hosts: hosts,
		TLS: &resource.ServerTLS{Mode: "SIMPLE", CredentialName: "cert"},
	}}}
}

// Route returns a VirtualService with one route for a path prefix.
func Route(meta resource.Meta, host, gateway, prefix string) *resource.VirtualService {
	return &resource.VirtualService{Meta: meta, Hosts: []string{host}, Gateways: []string{gateway}, HTTP: []resource.HTTPRoute{{
		Matches:      []resource.HTTPMatch{{URI: resource.StringMatch{Type: resource.MatchPrefix, Value: prefix}}},
		Destinations: []resource.Destination{{Host: "app." + meta.Namespace + ".svc.cluster.local"}},
	}}}
}

// Snapshot returns a snapshot of objects.
func Snapshot(objects ...[]resource.Object) *state.Snapshot {
	w := state.NewWriter()
	for _, o := range objects {
		w.Apply(o...)
	}
	return w.Snapshot()
}
