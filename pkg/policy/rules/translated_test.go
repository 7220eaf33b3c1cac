package rules

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/translate"
	"github.com/gatewarden/gatewarden/test/worlds"
)

// ingress makes an Ingress of Istio's class. A path is "HOST/PATH".
func ingress(key, tls string, paths ...string) *resource.Ingress {
	class := "istio"
	o := &resource.Ingress{Meta: meta(key), ClassAnnotation: &class}
	if tls != "" {
		o.TLS = []resource.IngressTLS{{Hosts: strings.Split(tls, ","), SecretName: "cert"}}
	}
	for _, p := range paths {
		host, path, _ := strings.Cut(p, "/")
		o.Rules = append(o.Rules, resource.IngressRule{
			Host: strings.TrimSuffix(host, "*"), Paths: []resource.IngressPath{{Path: "/" + path, Type: "Prefix", Service: "s"}},
		})
	}
	return o
}

// served lets deployKF's pods serve Ingresses.
func served(c *config.Configuration) { c.Mesh.IngressSelector = podLabels["istio"] }

func drawTranslated(t *rapid.T, key string) resource.Object {
	hosts := rapid.SampledFrom([]string{h, "*", "app.example.org", "*.example.com"})
	switch rapid.IntRange(0, 7).Draw(t, "translated kind") {
	case 7:
		return &resource.GatewayClass{Meta: resource.Meta{Name: rapid.SampledFrom([]string{"istio", "mesh"}).Draw(t, "gateway class")},
			Controller: rapid.SampledFrom([]string{"istio.io/gateway-controller", "istio.io/mesh-controller", "other"}).Draw(t, "controller")}
	case 4:
		o := kgw(rapid.SampledFrom([]string{"deploykf-istio-gateway/k", "team-a/k"}).Draw(t, "gateway"), drawListener(t, hosts.Draw(t, "host")))
		o.AllowedListeners = rapid.SampledFrom([]*resource.NamespaceChoice{nil, {From: "All"}, {From: "Same"}}).Draw(t, "listeners")
		o.Class = rapid.SampledFrom([]string{"istio", "istio", "mesh"}).Draw(t, "class")
		return o
	case 5:
		return &resource.ListenerSet{Meta: meta(key), Listeners: []resource.Listener{drawListener(t, hosts.Draw(t, "host"))},
			Parent: resource.ParentRef{GroupKind: gatewayKind, Namespace: "deploykf-istio-gateway", Name: "k"}}
	case 6:
		return httpRoute(key, hosts.Draw(t, "host"), rapid.SampledFrom([]string{"/", "/dex"}).Draw(t, "path"))
	case 0:
		return &resource.IngressClass{Meta: resource.Meta{Name: "mesh"},
			Controller: rapid.SampledFrom([]string{"istio.io/ingress-controller", "other"}).Draw(t, "controller")}
	default:
		o := ingress(key, rapid.SampledFrom([]string{"", h, "app.example.org," + h, "*.example.org"}).Draw(t, "tls"),
			hosts.Draw(t, "host")+rapid.SampledFrom([]string{"/", "/dex", "/x"}).Draw(t, "path"), hosts.Draw(t, "other host")+"/y")
		if rapid.Bool().Draw(t, "by class") {
			class := "mesh"
			o.ClassAnnotation, o.ClassName = nil, &class
		}
		return o
	}
}

var gatewayKind = resource.GroupKind{Group: resource.GatewayAPI, Kind: "Gateway"}

// kgw makes a Gateway of the Gateway API on deployKF's pods, if it is in their namespace.
func kgw(key string, listeners ...resource.Listener) *resource.KubernetesGateway {
	return &resource.KubernetesGateway{Meta: meta(key), Class: "istio", Listeners: listeners,
		Addresses: []resource.GatewayAddress{{Type: "Hostname", Value: "deploykf-gateway"}}}
}

func listener(port uint32, protocol, host, from string) resource.Listener {
	l := resource.Listener{Name: "l", Port: port, Protocol: protocol, Hostname: strings.TrimPrefix(host, "*/"),
		AllowedRoutes: &resource.NamespaceChoice{From: from}}
	if protocol == "HTTPS" {
		l.TLS = &resource.ListenerTLS{}
	}
	return l
}

func drawListener(t *rapid.T, host string) resource.Listener {
	if host == "*" {
		host = ""
	}
	port, protocol := uint32(80), "HTTP"
	if rapid.Bool().Draw(t, "tls") {
		port, protocol = 443, "HTTPS"
	}
	return listener(port, protocol, host, rapid.SampledFrom([]string{"All", "Same", ""}).Draw(t, "from"))
}

// httpRoute makes an HTTPRoute on the Gateway k in the guarded gateway's namespace.
func httpRoute(key, host, path string) *resource.Route {
	return &resource.Route{
		Meta: meta(key), Kind: resource.KindHTTPRoute, Hostnames: []string{host},
		Parents: []resource.ParentRef{{GroupKind: gatewayKind, Namespace: "deploykf-istio-gateway", Name: "k"}},
		Rules:   []resource.RouteRule{{Matches: []resource.RouteMatch{{PathType: "PathPrefix", Path: path}}}},
	}
}

// What is of a class comes into effect with it.
func TestClassesAreJudgedByWhatTheyBringIntoEffect(t *testing.T) {
	class := func(name, controller string) *resource.GatewayClass {
		return &resource.GatewayClass{Meta: resource.Meta{Name: name}, Controller: controller}
	}
	ingressClass := func(controller string) *resource.IngressClass {
		return &resource.IngressClass{Meta: resource.Meta{Name: "mesh"}, Controller: controller}
	}
	const k, own, ofIngress = "deploykf-istio-gateway/k", "istio.io/gateway-controller", "istio.io/ingress-controller"
	twin := with(kgw(k, listener(443, "HTTPS", h, "All")), func(o *resource.KubernetesGateway) { o.Class = "edge" })
	set := &resource.ListenerSet{Meta: meta("team-a/s"), Listeners: []resource.Listener{listener(443, "HTTPS", h, "Same")},
		Parent: resource.ParentRef{GroupKind: gatewayKind, Namespace: "deploykf-istio-gateway", Name: "k"}}
	shared := with(kgw(k, listener(80, "HTTP", "", "All")), func(o *resource.KubernetesGateway) {
		o.Class, o.AllowedListeners = "edge", &resource.NamespaceChoice{From: "All"}
	})
	byClass := func(tls string) *resource.Ingress {
		return with(ingress("team-a/i", tls, h+"/x"), func(o *resource.Ingress) {
			name := "mesh"
			o.ClassAnnotation, o.ClassName = nil, &name
		})
	}
	list := func(o ...resource.Object) []resource.Object { return o }
	check(t, "GWD201",
		verdict{name: "a class for a Gateway", world: list(twin), change: create(class("edge", own)), want: policy.Deny, field: "spec"},
		verdict{name: "a class for a ListenerSet", world: list(shared, set), change: create(class("edge", own)), want: policy.Deny},
		verdict{name: "a class comes to Istio", world: list(twin, class("edge", "other")), change: update(class("edge", "other"), class("edge", own)), want: policy.Deny},
		verdict{name: "a class for an Ingress", world: list(byClass(h)), config: served, change: create(ingressClass(ofIngress)), want: policy.Deny, field: "spec"},
		verdict{name: "a class of an Ingress comes to Istio", world: list(byClass(h), ingressClass("other")), config: served, change: update(ingressClass("other"), ingressClass(ofIngress)), want: policy.Deny},
		verdict{name: "it was in effect before", world: list(twin, class("edge", own)), change: update(class("edge", own), class("edge", own)), want: policy.Warn},
		verdict{name: "Istio's own class becomes an object", world: list(with(twin, func(o *resource.KubernetesGateway) { o.Class = "istio" })), change: create(class("istio", own)), want: policy.Warn},

		verdict{name: "a class of another controller", world: list(twin), change: create(class("edge", "other")), want: silent},
		verdict{name: "a class leaves Istio", world: list(twin, class("edge", own)), change: update(class("edge", own), class("edge", "other")), want: silent},
		verdict{name: "a class of which nothing is", world: list(twin), change: create(class("web", own)), want: silent},
		verdict{name: "a class for a Gateway that does no harm", world: list(shared), change: create(class("edge", own)), want: silent},
		verdict{name: "a class for an Ingress of another one", world: list(byClass(h)), config: served, change: create(with(ingressClass(ofIngress), func(o *resource.IngressClass) { o.Name = "web" })), want: silent},
	)
	check(t, "GWD301",
		verdict{name: "a class for an Ingress with a route", bare: false, world: list(gw(redirect, "80 HTTP "+h), byClass("")), config: served, change: create(ingressClass(ofIngress)), want: policy.Deny},
	)
}

// Istio puts the rules of all Ingresses for a host on the Gateway of the oldest. That is where
// the tls block is that they are served under, and on port 80 they meet in any age order.
func TestIngressesOfOneHostMeetWhateverTheirAge(t *testing.T) {
	theirs := ingress("team-b/i", "app.example.org", "app.example.org/shop")
	for _, created := range []int64{0, 100} {
		theirs := with(theirs, func(o *resource.Ingress) { o.Created = time.Unix(created, 0) })
		mine := func(path string) *resource.Ingress {
			return with(ingress("team-a/i", "", "app.example.org"+path), func(o *resource.Ingress) { o.Created = time.Unix(50, 0) })
		}
		check(t, "GWD307",
			verdict{name: "a path under theirs", world: []resource.Object{theirs}, config: served, change: create(mine("/shop/cart")), want: policy.Deny},
			verdict{name: "their path", world: []resource.Object{theirs}, config: served, change: create(mine("/shop")), want: policy.Deny},
			verdict{name: "another path", world: []resource.Object{theirs}, config: served, change: create(mine("/blog")), want: silent},
		)
	}
}

func TestGatewayAPIIsJudgedAsWhatIstioMakesOfIt(t *testing.T) {
	const k = "deploykf-istio-gateway/k"
	shared := kgw(k, listener(80, "HTTP", "", "All"))
	shared.AllowedListeners = &resource.NamespaceChoice{From: "All"}
	set := &resource.ListenerSet{Meta: meta("team-a/s"), Listeners: []resource.Listener{listener(443, "HTTPS", h, "Same")},
		Parent: resource.ParentRef{GroupKind: gatewayKind, Namespace: "deploykf-istio-gateway", Name: "k"}}
	check(t, "GWD201",
		verdict{name: "a guarded host for all namespaces", change: create(kgw(k, listener(443, "HTTPS", h, "All"))), want: policy.Deny, field: "spec.listeners[0].hostname"},
		verdict{name: "a guarded host for its own", change: create(kgw(k, listener(443, "HTTPS", h, "Same"))), want: policy.Deny},
		verdict{name: "the second listener", change: create(kgw(k, listener(80, "HTTP", "", "All"), listener(443, "HTTPS", h, "Same"))), want: policy.Deny, field: "spec.listeners[1].hostname"},
		verdict{name: "the Service of another namespace", change: create(kgw("team-a/k", listener(443, "HTTPS", h, "All"))), want: silent},
		verdict{name: "pods of its own", change: create(with(kgw(k, listener(443, "HTTPS", h, "All")), func(o *resource.KubernetesGateway) { o.Addresses = nil })), want: silent},
		verdict{name: "a ListenerSet", world: []resource.Object{shared}, change: create(set), want: policy.Deny, field: "spec.listeners[0].hostname"},
		verdict{name: "the Gateway of a ListenerSet", world: []resource.Object{set}, change: create(shared), want: policy.Deny, field: "spec"},
		verdict{name: "a ListenerSet in the gateway's namespace, of a Gateway in another", world: []resource.Object{with(shared, func(o *resource.KubernetesGateway) {
			o.Namespace, o.Addresses = "team-a", []resource.GatewayAddress{{Type: "Hostname", Value: "deploykf-gateway.deploykf-istio-gateway.svc.cluster.local"}}
		})}, change: create(with(set, func(o *resource.ListenerSet) { o.Namespace, o.Parent.Namespace = "deploykf-istio-gateway", "team-a" })), want: silent},
		verdict{name: "a Gateway that takes no ListenerSet", world: []resource.Object{set}, change: create(with(shared, func(o *resource.KubernetesGateway) { o.AllowedListeners = nil })), want: silent},
	)
	check(t, "GWD301",
		verdict{name: "a route", world: []resource.Object{shared}, change: create(httpRoute("team-a/r", h, "/x")), want: policy.Deny, field: "spec.rules[0].matches[0].path"},
		verdict{name: "a route with the host of nobody", world: []resource.Object{shared}, change: create(httpRoute("team-a/r", "app.example.org", "/x")), want: silent},
		verdict{name: "the Gateway comes second", world: []resource.Object{httpRoute("team-a/r", h, "/x")}, change: create(shared), want: policy.Deny, field: "spec.listeners[0]"},
		verdict{name: "a VirtualService on what Istio makes of the Gateway", world: []resource.Object{shared},
			change: create(vs("team-a/x", k+"-istio-autogenerated-k8s-gateway-l", h, "prefix /x")), want: policy.Deny, field: "spec.http[0].match[0].uri"},
	)
}

func TestIngressIsJudgedAsWhatIstioMakesOfIt(t *testing.T) {
	annotated := func(class string) func(*resource.Ingress) {
		return func(o *resource.Ingress) { o.ClassAnnotation = &class }
	}
	taken := ingress("team-a/x", h)
	check(t, "GWD201",
		verdict{name: "a guarded host", config: served, change: create(taken), want: policy.Deny, field: "spec.tls[0].hosts[0]"},
		verdict{name: "a host of its own", config: served, change: create(ingress("team-a/x", "app.example.org")), want: silent},
		verdict{name: "another class", config: served, change: create(with(taken, annotated("nginx"))), want: silent},
		verdict{name: "no Secret", config: served, change: create(with(taken, func(o *resource.Ingress) {
			o.TLS = []resource.IngressTLS{{Hosts: []string{h}}}
		})), want: silent},
		verdict{name: "other pods", change: create(taken), want: silent},
		verdict{name: "Istio reads none", config: func(c *config.Configuration) {
			served(c)
			c.Mesh.IngressControllerMode = translate.IngressOff
		}, change: create(taken), want: silent},
		verdict{name: "the owner's", config: func(c *config.Configuration) {
			served(c)
			c.GuardedGateways[0].OwnerObjects = append(c.GuardedGateways[0].OwnerObjects,
				config.ObjectPattern{Kind: resource.KindIngress, Namespace: "deploykf-*", Name: "*"})
		}, change: create(ingress("deploykf-dashboard/x", h)), want: silent},
		verdict{name: "it was so before", config: served, change: update(taken, with(taken, func(o *resource.Ingress) { o.Name = "x" })), want: policy.Warn},
		verdict{name: "it was of another class before", config: served, change: update(with(taken, annotated("nginx")), taken), want: policy.Deny},
	)
	check(t, "GWD206",
		verdict{name: "the host of another Ingress", config: served, world: []resource.Object{ingress("team-b/x", "app.example.org")},
			change: create(ingress("team-a/x", "app.example.org")), want: policy.Deny, field: "spec.tls[0].hosts[0]"},
		verdict{name: "a Gateway takes the host of an Ingress", config: served, world: []resource.Object{ingress("team-b/x", "app.example.org")},
			change: create(gw("team-a/x", "443 HTTPS app.example.org")), want: policy.Deny, field: "spec.servers[0].hosts[0]"},
	)
	check(t, "GWD301",
		verdict{name: "a path on a guarded host in plain text", config: served, change: create(ingress("team-a/x", "", h+"/x")), want: policy.Deny, field: "spec.rules[0].http.paths[0].path"},
		verdict{name: "a path on a host of its own", config: served, change: create(ingress("team-a/x", "", "app.example.org/x")), want: silent},
	)
}

// What an Ingress is made into is called by the Ingress's name, and a rule that judges it
// says that it reads what decides about it.
func TestRelatedAreTheObjectsThatSomebodyWrote(t *testing.T) {
	cfg := deploykf.Default()
	served(cfg)
	there := ingress("team-b/x", "app.example.org")
	d := policy.NewEngine(cfg, All()).Decide(worlds.Snapshot(worlds.Base(), []resource.Object{there}), create(ingress("team-a/x", "app.example.org")))
	require.True(t, d.Denied())
	assert.Contains(t, d.Findings[0].Related, there.Key())
	assert.Contains(t, d.Findings[0].Message, "Ingress team-b/x")
	assert.NotContains(t, d.Findings[0].Message, "autogenerated")
	for _, r := range All() {
		if slices.Contains(r.Kinds, resource.KindIngress) {
			assert.Contains(t, r.Reads, resource.KindIngressClass, r.ID)
		}
	}
}
