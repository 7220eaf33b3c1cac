package main

import (
	"fmt"
	"slices"
	"strings"

	envoylistener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	envoyroute "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	networking "istio.io/api/networking/v1alpha3"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/pkg/networking/core"
	"istio.io/istio/pilot/pkg/serviceregistry"
	"istio.io/istio/pilot/pkg/serviceregistry/aggregate"
	kubeconvert "istio.io/istio/pilot/pkg/serviceregistry/kube"
	memregistry "istio.io/istio/pilot/pkg/serviceregistry/memory"
	"istio.io/istio/pilot/pkg/serviceregistry/provider"
	"istio.io/istio/pkg/cluster"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/config/labels"
	"istio.io/istio/pkg/config/mesh"
	"istio.io/istio/pkg/config/mesh/meshwatcher"
	"istio.io/istio/pkg/config/schema/collection"
	"istio.io/istio/pkg/config/schema/collections"
	"istio.io/istio/pkg/config/schema/gvk"
	"istio.io/istio/pkg/kube/krt"
	"istio.io/istio/pkg/util/sets"
)

const (
	domainSuffix = "cluster.local"
	// podIP is the address of the gateway's one pod.
	podIP = "10.0.0.9"
)

// store holds the objects of one world for Istio's code. Istio's own in-memory store would
// do, but it registers each of its collections with a global handler and so never frees one.
type store struct {
	model.ConfigStoreController
	byKind map[config.GroupVersionKind][]config.Config
	routes krt.Collection[config.Config]
}

func newStore(configs []config.Config, stop <-chan struct{}) *store {
	s := &store{byKind: map[config.GroupVersionKind][]config.Config{}}
	for _, c := range configs {
		s.byKind[c.GroupVersionKind] = append(s.byKind[c.GroupVersionKind], c)
	}
	opts := krt.NewOptionsBuilder(stop, "store", &krt.DebugHandler{})
	s.routes = krt.NewStaticCollection(nil, s.byKind[gvk.VirtualService], opts.WithName("VirtualService")...)
	return s
}

func (s *store) Schemas() collection.Schemas { return collections.Pilot }
func (s *store) HasSynced() bool             { return true }

func (s *store) List(kind config.GroupVersionKind, namespace string) []config.Config {
	if namespace == model.NamespaceAll {
		return slices.Clone(s.byKind[kind])
	}
	return slices.DeleteFunc(slices.Clone(s.byKind[kind]), func(c config.Config) bool { return c.Namespace != namespace })
}

func (s *store) Get(kind config.GroupVersionKind, name, namespace string) *config.Config {
	for _, c := range s.byKind[kind] {
		if c.Name == name && c.Namespace == namespace {
			return &c
		}
	}
	return nil
}

// KrtCollection is asked for VirtualServices, which Istio merges with their delegates.
func (s *store) KrtCollection(kind config.GroupVersionKind) krt.Collection[config.Config] {
	if kind == gvk.VirtualService {
		return s.routes
	}
	return nil
}

// pods are those of the guarded gateway.
type pods struct {
	Namespace string            `json:"namespace"`
	Labels    map[string]string `json:"labels"`
}

// sent is what Istio sends to the proxy of a gateway.
type sent struct {
	listeners []*envoylistener.Listener
	routes    map[string]*envoyroute.RouteConfiguration
	merged    *model.MergedGateway
	push      *model.PushContext
}

// fence is a VirtualService that delegates to another one, for a Gateway that does not exist.
// Istio merges VirtualServices in the background and asks for delegates only where there is
// one: with it, all of that is done as soon as the merged ones are there.
var fence = []config.Config{
	{
		Meta: config.Meta{GroupVersionKind: gvk.VirtualService, Namespace: "fence", Name: "root", CreationTimestamp: epoch},
		Spec: &networking.VirtualService{
			Hosts: []string{"fence.test"}, Gateways: []string{"fence/none"},
			Http: []*networking.HTTPRoute{{Delegate: &networking.Delegate{Namespace: "fence", Name: "delegate"}}},
		},
	},
	{
		Meta: config.Meta{GroupVersionKind: gvk.VirtualService, Namespace: "fence", Name: "delegate", CreationTimestamp: epoch},
		Spec: &networking.VirtualService{Http: []*networking.HTTPRoute{{Redirect: &networking.HTTPRedirect{Uri: "/"}}}},
	},
}

// witnesses are VirtualServices that give every TLS and TCP server of Gateways its routes.
// Istio makes no filter chain of a server that passes connections on before it has one, so
// that a clash would show with the route and not with the Gateway; a Gateway is judged as
// what it is there for.
func witnesses(objects []*object) []config.Config {
	var out []config.Config
	for _, o := range objects {
		if o.kind != "Gateway" || o.config == nil {
			continue
		}
		servers := o.config.Spec.(*networking.Gateway).Servers
		for i, s := range servers {
			for j, h := range s.Hosts {
				if leaks(h, i, servers) {
					continue
				}
				namespace := o.namespace
				if before, after, ok := strings.Cut(h, "/"); ok {
					h = after
					if before != "*" && before != "." {
						namespace = before
					}
				}
				to := []*networking.RouteDestination{{Destination: &networking.Destination{Host: witnessHost(o)}}}
				out = append(out, config.Config{
					Meta: config.Meta{
						GroupVersionKind: gvk.VirtualService, Namespace: namespace, Name: fmt.Sprintf("witness-%s-%s-%d-%d", o.namespace, o.name, i, j),
						CreationTimestamp: created(len(objects)),
					},
					Spec: &networking.VirtualService{
						Hosts: []string{h}, Gateways: []string{o.namespace + "/" + o.name},
						Tls: []*networking.TLSRoute{{Match: []*networking.TLSMatchAttributes{{SniHosts: []string{h}, Port: s.Port.Number}}, Route: to}},
						Tcp: []*networking.TCPRoute{{Match: []*networking.L4MatchAttributes{{Port: s.Port.Number}}, Route: []*networking.RouteDestination{{Destination: to[0].Destination}}}},
					},
				})
			}
		}
	}
	return out
}

// leaks reports whether a route for the host of one server would bind to another server of
// the Gateway, too, and so claim there what nobody wrote. Such a server is judged by itself.
func leaks(host string, server int, servers []*networking.Server) bool {
	bare := func(h string) string { return h[strings.IndexByte(h, '/')+1:] }
	for i, s := range servers {
		if s.Port.Number != servers[server].Port.Number {
			continue
		}
		for _, h := range s.Hosts {
			if a, b := bare(host), bare(h); i != server && a != b && (covers(a, b) || covers(b, a) || a == "*" || b == "*") {
				return true
			}
		}
	}
	return false
}

// witnessHost is where the witnesses of a Gateway send connections.
func witnessHost(gateway *object) string {
	return fmt.Sprintf("witness-%s.%s.svc.cluster.local", gateway.name, gateway.namespace)
}

// translate lets Istio make the configuration of the gateway's proxy out of objects, of which
// each is younger than the one before it.
func translate(objects []*object, p pods) (*sent, error) {
	var configs []config.Config
	var services []*model.Service
	var targets []model.ServiceTarget
	for i, o := range objects {
		switch {
		case o.service != nil:
			svc := o.service.DeepCopy()
			svc.CreationTimestamp.Time = created(i)
			s := kubeconvert.ConvertService(*svc, nil, domainSuffix, cluster.ID(provider.Mock), mesh.DefaultMeshConfig().TrustDomain)
			services = append(services, s)
			if svc.Namespace == p.Namespace && len(svc.Spec.Selector) > 0 && labels.Instance(svc.Spec.Selector).SubsetOf(p.Labels) {
				for j, port := range s.Ports {
					target := port.Port
					if number := svc.Spec.Ports[j].TargetPort.IntValue(); number != 0 {
						target = number
					}
					targets = append(targets, model.ServiceTarget{Service: s, Port: model.ServiceInstancePort{ServicePort: port, TargetPort: uint32(target)}})
				}
			}
		case o.config != nil:
			c := o.config.DeepCopy()
			c.CreationTimestamp = created(i)
			configs = append(configs, c)
			if entry, ok := c.Spec.(*networking.ServiceEntry); ok {
				targets = append(targets, entryTargets(c, entry, p)...)
			}
		}
	}

	configs = slices.Concat(configs, fence, witnesses(objects))
	stop := make(chan struct{})
	defer close(stop)
	env := model.NewEnvironment()
	env.Watcher = meshwatcher.NewTestWatcher(mesh.DefaultMeshConfig())
	env.NetworksWatcher = meshwatcher.NewFixedNetworksWatcher(nil)
	s := newStore(configs, stop)
	env.ConfigStore = s
	registry := memregistry.NewServiceDiscovery(services...)
	registry.WantGetProxyServiceTargets = targets
	if len(targets) == 0 {
		registry.WantGetProxyServiceTargets = []model.ServiceTarget{}
	}
	discovery := aggregate.NewController(aggregate.Options{})
	discovery.AddRegistry(serviceregistry.Simple{ClusterID: cluster.ID(provider.Mock), ProviderID: provider.Mock, DiscoveryController: registry})
	env.ServiceDiscovery = discovery
	merging := model.NewVirtualServiceController(s, model.VSControllerOptions{KrtDebugger: &krt.DebugHandler{}}, env.Watcher)
	go merging.Run(stop)
	if !merging.Collection().WaitUntilSynced(stop) {
		return nil, fmt.Errorf("VirtualServices were not merged")
	}
	env.VirtualServiceController = merging
	env.Init()
	push := env.PushContext()
	push.InitContext(env, nil, nil)

	proxy := &model.Proxy{
		Type: model.Router, ID: "gateway." + p.Namespace, DNSDomain: p.Namespace + ".svc." + domainSuffix,
		ConfigNamespace: p.Namespace, Labels: p.Labels, IPAddresses: []string{podIP},
		Metadata:     &model.NodeMetadata{Namespace: p.Namespace, Labels: p.Labels, IstioVersion: "1.31.0"},
		IstioVersion: model.ParseIstioVersion("1.31.0"),
	}
	proxy.SetSidecarScope(push)
	proxy.SetServiceTargets(env.ServiceDiscovery)
	proxy.SetGatewaysForProxy(push)
	proxy.DiscoverIPMode()

	generator := core.NewConfigGenerator(&model.DisabledCache{})
	out := &sent{routes: map[string]*envoyroute.RouteConfiguration{}, merged: proxy.MergedGateway, push: push}
	out.listeners = generator.BuildListeners(proxy, push)
	names := sets.SortedList(sets.New(core.ExtractRoutesFromListeners(out.listeners)...))
	built, _ := generator.BuildHTTPRoutes(proxy, &model.PushRequest{Push: push}, names)
	for _, r := range built {
		c := &envoyroute.RouteConfiguration{}
		if err := r.Resource.UnmarshalTo(c); err != nil {
			return nil, err
		}
		out.routes[c.Name] = c
	}
	return out, nil
}

// entryTargets returns what a ServiceEntry adds to the ports before the pods: for Istio it is
// a Service like any other (convertServices in istio.io/istio
// pilot/pkg/serviceregistry/serviceentry/conversion.go).
func entryTargets(c config.Config, entry *networking.ServiceEntry, p pods) []model.ServiceTarget {
	selector := entry.GetWorkloadSelector().GetLabels()
	if c.Namespace != p.Namespace || len(selector) == 0 || !labels.Instance(selector).SubsetOf(p.Labels) {
		return nil
	}
	s := &model.Service{
		CreationTime: c.CreationTimestamp,
		Attributes:   model.ServiceAttributes{Namespace: c.Namespace, Name: c.Name, Labels: c.Labels},
	}
	var out []model.ServiceTarget
	for _, port := range entry.Ports {
		target := port.TargetPort
		if target == 0 {
			target = port.Number
		}
		out = append(out, model.ServiceTarget{Service: s, Port: model.ServiceInstancePort{
			ServicePort: &model.Port{Name: port.Name, Port: int(port.Number)}, TargetPort: target,
		}})
	}
	return out
}
