package rules

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/manifest"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
	"github.com/gatewarden/gatewarden/test/worlds"
)

// The worlds of this file try to get past the login, or to be somebody else, in every way that
// is known, and beside each way is the honest object that looks like it. What the rules say is
// written "GWD310 deny", those of other families left out.

// neighbours are around deployKF's objects: two profiles and a namespace that is none, each with
// a Gateway of its own on the guarded pods.
const neighbours = `
{apiVersion: v1, kind: Namespace, metadata: {name: kubeflow}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: team-a, labels: {app.kubernetes.io/part-of: kubeflow-profile}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: team-b, labels: {app.kubernetes.io/part-of: kubeflow-profile}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: web, namespace: team-a}, spec: {selector: {istio: deploykf-gateway}, servers: [
  {port: {number: 443, name: https, protocol: HTTPS}, hosts: [a.org], tls: {mode: SIMPLE, credentialName: a}},
  {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ["*"]}]}}
---
{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: web, namespace: shop}, spec: {selector: {istio: deploykf-gateway}, servers: [
  {port: {number: 443, name: https, protocol: HTTPS}, hosts: [shop.org], tls: {mode: SIMPLE, credentialName: a}},
  {port: {number: 443, name: tls, protocol: TLS}, hosts: [tls.shop.org], tls: {mode: PASSTHROUGH}},
  {port: {number: 9001, name: tcp, protocol: TCP}, hosts: ["*"]}]}}
---
{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: elsewhere, namespace: shop}, spec: {selector: {istio: ingressgateway}, servers: [
  {port: {number: 443, name: https, protocol: HTTPS}, hosts: [shop.org], tls: {mode: SIMPLE, credentialName: a}}]}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: api, namespace: deploykf-istio-gateway}, spec: {gatewayClassName: istio,
  addresses: [{type: Hostname, value: deploykf-gateway}], listeners: [
  {name: https, port: 443, protocol: HTTPS, hostname: "*.api.org", tls: {certificateRefs: [{name: a}]}, allowedRoutes: {namespaces: {from: All}}},
  {name: tls, port: 443, protocol: TLS, hostname: "tls.api.net", tls: {mode: Passthrough}, allowedRoutes: {namespaces: {from: All}}}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: ml-pipeline-ui, namespace: kubeflow}, spec: {clusterIP: 10.96.0.5, ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: ml-pipeline-ui-0, namespace: kubeflow}, spec: {}, status: {podIPs: [{ip: 10.0.0.5}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: on-node, namespace: kubeflow}, spec: {hostNetwork: true}, status: {podIPs: [{ip: 192.168.0.1}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: cart, namespace: shop}, spec: {clusterIP: 10.96.0.6, ports: [{port: 80}]}}
`

// object makes a manifest of a kind by a name "namespace/name" and a spec.
func manifestOf(apiVersion, kind, key, spec string) string {
	namespace, name, _ := strings.Cut(key, "/")
	return fmt.Sprintf("{apiVersion: %s, kind: %s, metadata: {name: %s, namespace: %s}, spec: {%s}}", apiVersion, kind, name, namespace, spec)
}

func routes(key, spec string) string {
	return manifestOf("networking.istio.io/v1", "VirtualService", key, spec)
}

// onOwn and onShop are VirtualServices on the own Gateways of team-a and shop, with the given
// entry of spec.http.
func onOwn(http string) string {
	return routes("team-a/web", "hosts: [a.org], gateways: [web], http: [{"+http+"}]")
}

func onShop(http string) string {
	return routes("shop/web", "hosts: [shop.org], gateways: [web], http: [{"+http+"}]")
}

// notebook is a VirtualService as Kubeflow makes one for a Notebook, with more in its route.
func notebook(http string) string {
	return routes("team-a/notebook-team-a-lab", `hosts: ["*"], gateways: [deploykf-istio-gateway/deploykf-gateway], http: [{match: [{uri: {prefix: /notebook/team-a/lab/}}], `+http+"}]")
}

func to(host string) string { return "route: [{destination: {host: " + host + "}}]" }

func plainService(key, spec string) string { return manifestOf("v1", "Service", key, spec) }
func entry(key, spec string) string {
	return manifestOf("networking.istio.io/v1", "ServiceEntry", key, spec)
}
func alias(key, name string) string {
	return plainService(key, "type: ExternalName, externalName: "+name)
}
func workload(key, address string) string {
	return manifestOf("networking.istio.io/v1", "WorkloadEntry", key, "address: "+address+", labels: {app: vm}")
}

func kubernetesRoute(key, spec string) string {
	return manifestOf("gateway.networking.k8s.io/v1", "HTTPRoute", key, spec)
}
func onAPI(rule string) string {
	return kubernetesRoute("shop/web", "parentRefs: [{name: api, namespace: deploykf-istio-gateway}], hostnames: [shop.api.org], rules: [{"+rule+"}]")
}

func objects(t *testing.T, texts ...string) []resource.Object {
	t.Helper()
	var out []resource.Object
	for _, text := range texts {
		documents, err := manifest.Read([]string{"-"}, strings.NewReader(text))
		require.NoError(t, err, text)
		for _, d := range documents {
			require.NotNil(t, d.Object, text)
			out = append(out, d.Object)
		}
	}
	return out
}

// attempt is one way to get past the login, or what looks like it.
type attempt struct {
	name  string
	world []string
	old   string // for an update
	new   string
	want  string // what the rules of the login say
	more  string // a part of the messages, if not empty
	field string // of the first finding, if not empty

	config func(*config.Configuration)
}

func (a *attempt) run(t *testing.T, ids ...string) {
	cfg := deploykf.Default()
	if a.config != nil {
		a.config(cfg)
	}
	change := create(objects(t, a.new)[0])
	world := objects(t, append([]string{neighbours}, a.world...)...)
	if a.old != "" {
		change = update(objects(t, a.old)[0], change.New)
		world = append(world, change.Old)
	}
	d := policy.NewEngine(cfg, All()).Decide(worlds.Snapshot(worlds.Base(), world), change)
	var got, messages []string
	for _, f := range d.Findings {
		if slices.Contains(ids, f.Rule) {
			got, messages = append(got, f.Rule+" "+f.Effect.String()), append(messages, f.String())
			if f.Effect == policy.Warn && !f.Carried {
				assert.Less(t, len(f.String()), 256, f.String())
			}
			if a.field != "" && len(got) == 1 {
				assert.Equal(t, a.field, f.Field)
			}
		}
	}
	assert.Equal(t, a.want, strings.Join(slices.Compact(got), ", "), "%v", d.Findings)
	if a.more != "" {
		assert.Contains(t, strings.Join(messages, "\n"), a.more)
	}
	t.Log(strings.Join(messages, "\n"))
}

func attempts(t *testing.T, ids string, all []attempt) {
	t.Helper()
	for _, a := range all {
		t.Run(a.name, func(t *testing.T) { a.run(t, strings.Fields(ids)...) })
	}
}

const denied, warned, allowed = "GWD310 deny", "GWD310 warn", ""

const pipelines = "ml-pipeline-ui.kubeflow.svc.cluster.local"

func TestProtectedBackends(t *testing.T) {
	attempts(t, "GWD310", []attempt{
		// Destinations by name.
		{name: "a core Service by its full name", new: onShop(to(pipelines)), want: denied,
			field: "spec.http[0].route[0].destination.host", more: "Service kubeflow/ml-pipeline-ui"},
		{name: "a Service that is yet to come", new: onShop(to("later.kubeflow.svc.cluster.local")), want: denied},
		{name: "by a short name that means an own Service", new: onShop(to("ml-pipeline-ui")), want: allowed},
		{name: "a name without the suffix is no Service", new: onShop(to("ml-pipeline-ui.kubeflow")), want: allowed},
		{name: "nor one with half of it", new: onShop(to("ml-pipeline-ui.kubeflow.svc")), want: allowed},
		{name: "nor one in upper case", new: onShop(to("ML-PIPELINE-UI.kubeflow.svc.cluster.local")), want: allowed},
		{name: "in a cluster of another domain", new: onShop(to("ml-pipeline-ui.kubeflow.svc.corp.example")), want: denied},
		{name: "a Service of several clusters", new: onShop(to("ml-pipeline-ui.kubeflow.svc.clusterset.local")), want: denied},
		{name: "a wildcard over a core namespace", new: onShop(to(`"*.kubeflow.svc.cluster.local"`)), want: denied},
		{name: "a wildcard of the outside", new: onShop(to(`"*.wikipedia.org"`)), want: allowed},
		{name: "an own Service", new: onShop(to("cart.shop.svc.cluster.local")), want: allowed},
		{name: "a Service of an unprotected neighbour", new: onShop(to("cart.market.svc.cluster.local")), want: allowed},
		{name: "another tenant's notebook", new: onShop(to("lab.team-b.svc.cluster.local")), want: denied},
		{name: "from profile to profile", new: onOwn(to("lab.team-b.svc.cluster.local")), want: denied},
		{name: "an own notebook on an own Gateway", new: onOwn(to("lab")), want: warned, more: "without deployKF's login"},
		{name: "an own notebook on deployKF's Gateway", new: notebook(to("lab.team-a.svc.cluster.local")), want: allowed},
		{name: "a core Service on a tenant's path", new: notebook(to(pipelines)), want: denied},
		{name: "the gateway's own Service", new: onShop("rewrite: {authority: " + h + "}, " + to("deploykf-gateway.deploykf-istio-gateway.svc.cluster.local")), want: denied},
		{name: "an authority of deployKF's for an own Service", new: onShop("rewrite: {authority: " + h + "}, " + to("cart")), want: allowed},

		// Other places for destinations.
		{name: "the second of two", new: onShop("route: [{destination: {host: cart}, weight: 99}, {destination: {host: " + pipelines + "}, weight: 1}]"), want: denied,
			field: "spec.http[0].route[1].destination.host"},
		{name: "a mirror", new: onShop(to("cart") + ", mirror: {host: " + pipelines + "}"), want: denied, field: "spec.http[0].mirror.host"},
		{name: "one of several mirrors", new: onShop(to("cart") + ", mirrors: [{destination: {host: cart}}, {destination: {host: " + pipelines + "}}]"), want: denied,
			field: "spec.http[0].mirrors[1].destination.host"},
		{name: "TCP", new: routes("shop/web", `hosts: ["*"], gateways: [web], tcp: [{match: [{port: 9001}], `+to("mysql.kubeflow.svc.cluster.local")+"}]"), want: denied,
			field: "spec.tcp[0].route[0].destination.host"},
		{name: "TCP to an own Service", new: routes("shop/web", `hosts: ["*"], gateways: [web], tcp: [{`+to("mysql")+"}]"), want: allowed},
		{name: "TCP of a port that the Gateway has not", new: routes("shop/web", `hosts: ["*"], gateways: [web], tcp: [{match: [{port: 1}], `+to("mysql.kubeflow.svc.cluster.local")+"}]"), want: allowed},
		{name: "TLS that is passed through", new: routes("shop/web", `hosts: [tls.shop.org], gateways: [web], tls: [{match: [{sniHosts: [tls.shop.org]}], `+to(pipelines)+"}]"), want: denied,
			field: "spec.tls[0].route[0].destination.host"},
		{name: "TLS routes count for no server that ends TLS", new: routes("shop/web", `hosts: [shop.org], gateways: [web], tls: [{match: [{sniHosts: [shop.org]}], `+to(pipelines)+"}]"), want: allowed},
		{name: "a redirect", new: onShop("redirect: {authority: " + h + "}"), want: allowed},

		// Where the route is served.
		{name: "in the mesh only", new: routes("shop/web", "hosts: [shop.org], http: [{"+to(pipelines)+"}]"), want: allowed},
		{name: "on other pods", new: routes("shop/web", "hosts: [shop.org], gateways: [elsewhere], http: [{"+to(pipelines)+"}]"), want: allowed},
		{name: "on other pods, but a match of these", new: routes("shop/web", "hosts: [shop.org], gateways: [elsewhere, web], http: [{match: [{gateways: [elsewhere]}], "+to(pipelines)+"}]"), want: allowed},
		{name: "on both", new: routes("shop/web", "hosts: [shop.org], gateways: [elsewhere, web], http: [{match: [{gateways: [elsewhere]}, {gateways: [web]}], "+to(pipelines)+"}]"), want: denied},
		{name: "of a host that no server has", new: routes("shop/web", "hosts: [other.org], gateways: [web], http: [{"+to(pipelines)+"}]"), want: allowed},
		{name: "exported to nobody", new: routes("shop/web", "hosts: [shop.org], gateways: [web], exportTo: [.], http: [{"+to(pipelines)+"}]"), want: allowed},
		{name: "deployKF's own", new: routes("kubeflow/katib-ui", "hosts: ["+h+"], gateways: [deploykf-istio-gateway/deploykf-gateway], http: [{match: [{uri: {prefix: /katib/}}], "+to("lab.team-a.svc.cluster.local")+"}]"), want: allowed},

		// A Gateway brings a route into effect, and a repair does not hurt.
		{name: "a Gateway that it waited for", world: []string{routes("shop/early", "hosts: [early.org], gateways: [early], http: [{"+to(pipelines)+"}]")},
			new:  manifestOf("networking.istio.io/v1", "Gateway", "shop/early", "selector: {istio: deploykf-gateway}, servers: [{port: {number: 443, name: h, protocol: HTTPS}, hosts: [early.org], tls: {mode: SIMPLE, credentialName: a}}]"),
			want: denied, field: "spec.servers", more: "VirtualService shop/early takes effect"},
		{name: "what was there before", old: onShop(to(pipelines)), new: onShop("timeout: 5s, " + to(pipelines)), want: warned},
		{name: "another destination beside it", old: onShop(to(pipelines)), new: onShop("route: [{destination: {host: " + pipelines + "}}, {destination: {host: katib-ui.kubeflow.svc.cluster.local}}]"), want: "GWD310 deny, GWD310 warn"},
		{name: "one less", old: onShop("route: [{destination: {host: " + pipelines + "}}, {destination: {host: katib-ui.kubeflow.svc.cluster.local}}]"), new: onShop(to(pipelines)), want: warned},

		// Parts.
		{name: "a part of an own root", world: []string{routes("shop/root", "hosts: [shop.org], gateways: [web], http: [{delegate: {name: part}}]")},
			new: routes("shop/part", "http: [{name: a, "+to("cart")+"}, {name: b, "+to(pipelines)+"}]"), want: denied, field: "spec.http[1].route[0].destination.host"},
		{name: "a root of such a part", world: []string{routes("shop/part", "http: [{"+to(pipelines)+"}]")},
			new: routes("shop/root", "hosts: [shop.org], gateways: [web], http: [{delegate: {name: part}}]"), want: denied, field: "spec.http[0].delegate"},
		{name: "a short name in a part is of its namespace", world: []string{routes("team-b/part", "http: [{"+to("lab")+"}]")},
			new: routes("shop/root", "hosts: [shop.org], gateways: [web], http: [{delegate: {name: part, namespace: team-b}}]"), want: warned},
		{name: "a part that the root can not see", world: []string{routes("team-b/part", "exportTo: [.], http: [{"+to(pipelines)+"}]")},
			new: routes("shop/root", "hosts: [shop.org], gateways: [web], http: [{delegate: {name: part, namespace: team-b}}]"), want: allowed},
		{name: "a part beside a bad one", world: []string{
			routes("shop/root", "hosts: [shop.org], gateways: [web], http: [{delegate: {name: bad}}, {delegate: {name: part}}]"), routes("shop/bad", "http: [{"+to(pipelines)+"}]"),
		}, new: routes("shop/part", "http: [{"+to("cart")+"}]"), want: allowed},
		{name: "a part that nobody asks for", new: routes("shop/part", "http: [{"+to(pipelines)+"}]"), want: allowed},
		{name: "a part with hosts is none", world: []string{routes("shop/part", "hosts: [x.org], http: [{"+to(pipelines)+"}]")},
			new: routes("shop/root", "hosts: [shop.org], gateways: [web], http: [{delegate: {name: part}}]"), want: allowed},

		// Names that lead to other names.
		{name: "an ExternalName Service", world: []string{alias("shop/alias", pipelines)}, new: onShop(to("alias")), want: denied, more: "by Service shop/alias"},
		{name: "its name ends with a dot, in any letter case", world: []string{alias("shop/alias", "ML-pipeline-ui.Kubeflow.svc.cluster.local.")}, new: onShop(to("alias")), want: denied},
		{name: "an ExternalName of the outside", world: []string{alias("shop/alias", "api.github.com")}, new: onShop(to("alias")), want: allowed},
		{name: "a chain of them", world: []string{alias("shop/one", "two.shop.svc.cluster.local"), alias("shop/two", pipelines)}, new: onShop(to("one")), want: denied},
		{name: "a circle of them", world: []string{alias("shop/one", "two.shop.svc.cluster.local"), alias("shop/two", "one.shop.svc.cluster.local")}, new: onShop(to("one")), want: allowed},
		{name: "an ExternalName under a route that is there", world: []string{onShop(to("alias"))}, new: alias("shop/alias", pipelines), want: denied,
			field: "spec.externalName", more: "VirtualService shop/web"},
		{name: "the end of a chain under a route that is there", world: []string{onShop(to("one")), alias("shop/one", "two.shop.svc.cluster.local")}, new: alias("shop/two", pipelines), want: denied},
		{name: "a Service becomes an ExternalName", world: []string{onShop(to("cart.shop.svc.cluster.local"))}, old: plainService("shop/cart", "ports: [{port: 80}]"), new: alias("shop/cart", pipelines), want: denied},
		{name: "an ExternalName that no route uses", world: []string{onShop(to("cart"))}, new: alias("shop/alias", pipelines), want: allowed},
		{name: "an ordinary Service under a route", world: []string{onShop(to("cart2"))}, new: plainService("shop/cart2", "ports: [{port: 80}]"), want: allowed},
		{name: "a ServiceEntry of a core Service by DNS", world: []string{entry("shop/e", "hosts: [api.shop.org], resolution: DNS, endpoints: [{address: "+pipelines+"}]")}, new: onShop(to("api.shop.org")), want: denied,
			more: "by ServiceEntry shop/e"},
		{name: "by a shorter name that DNS completes", world: []string{entry("shop/e", "hosts: [api.shop.org], resolution: DNS, endpoints: [{address: ml-pipeline-ui.kubeflow}]")}, new: onShop(to("api.shop.org")), want: denied},
		{name: "by a name that the gateway's namespace completes", world: []string{entry("shop/e", "hosts: [api.shop.org], resolution: DNS, endpoints: [{address: deploykf-gateway}]")}, new: onShop(to("api.shop.org")), want: denied},
		{name: "by the name of a pod", world: []string{entry("shop/e", "hosts: [api.shop.org], resolution: DNS, endpoints: [{address: 10-0-0-5.kubeflow.pod.cluster.local}]")}, new: onShop(to("api.shop.org")), want: denied},
		{name: "by the name of a pod of a Service", world: []string{entry("shop/e", "hosts: [api.shop.org], resolution: DNS, endpoints: [{address: mysql-0.mysql.kubeflow.svc.cluster.local}]")}, new: onShop(to("api.shop.org")), want: denied},
		{name: "by its host", world: []string{entry("shop/e", "hosts: [ml-pipeline-ui.kubeflow.svc], resolution: DNS")}, new: onShop(to("ml-pipeline-ui.kubeflow.svc")), want: denied},
		{name: "by the address of a Service", world: []string{entry("shop/e", "hosts: [api.shop.org], resolution: STATIC, endpoints: [{address: 10.96.0.5}]")}, new: onShop(to("api.shop.org")), want: denied,
			more: "Service kubeflow/ml-pipeline-ui"},
		{name: "by the address of a pod", world: []string{entry("shop/e", "hosts: [api.shop.org], resolution: STATIC, endpoints: [{address: 10.0.0.5}]")}, new: onShop(to("api.shop.org")), want: denied},
		{name: "the address of a node", world: []string{entry("shop/e", "hosts: [api.shop.org], resolution: STATIC, endpoints: [{address: 192.168.0.1}]")}, new: onShop(to("api.shop.org")), want: allowed},
		{name: "the address of an own Service", world: []string{entry("shop/e", "hosts: [api.shop.org], resolution: STATIC, endpoints: [{address: 10.96.0.6}]")}, new: onShop(to("api.shop.org")), want: allowed},
		{name: "a ServiceEntry of the outside", world: []string{entry("shop/e", "hosts: [api.github.com], resolution: DNS")}, new: onShop(to("api.github.com")), want: allowed},
		{name: "a ServiceEntry of a profile for the outside", world: []string{entry("team-b/e", "hosts: [api.github.com], resolution: DNS")}, new: onShop(to("api.github.com")), want: allowed},
		{name: "a namespace that is called as a domain", world: []string{"{apiVersion: v1, kind: Namespace, metadata: {name: org, labels: {app.kubernetes.io/part-of: kubeflow-profile}}}", entry("shop/e", "hosts: [shop.org], resolution: DNS")},
			new: onShop(to("shop.org")), want: allowed},
		{name: "a ServiceEntry for pods of a profile", world: []string{entry("team-b/e", "hosts: [b.org], resolution: STATIC, workloadSelector: {labels: {app: lab}}")}, new: onShop(to("b.org")), want: denied},
		{name: "a ServiceEntry that the gateway does not see", world: []string{entry("shop/e", "hosts: [api.shop.org], exportTo: [.], resolution: DNS, endpoints: [{address: "+pipelines+"}]")}, new: onShop(to("api.shop.org")), want: allowed},
		{name: "an ExternalName of a ServiceEntry", world: []string{alias("shop/alias", "api.shop.org"), entry("shop/e", "hosts: [api.shop.org], resolution: STATIC, endpoints: [{address: 10.0.0.5}]")}, new: onShop(to("alias")), want: denied},
		{name: "a WorkloadEntry of a ServiceEntry", world: []string{entry("shop/e", "hosts: [vm.shop.org], resolution: STATIC, workloadSelector: {labels: {app: vm}}"), workload("shop/vm", "10.96.0.5")},
			new: onShop(to("vm.shop.org")), want: denied, more: "by WorkloadEntry shop/vm"},
		{name: "a WorkloadEntry of a Service", world: []string{plainService("shop/vm", "selector: {app: vm}, ports: [{port: 80}]"), workload("shop/vm", "10.0.0.5")}, new: onShop(to("vm")), want: denied},
		{name: "a WorkloadEntry by a name", world: []string{plainService("shop/vm", "selector: {app: vm}, ports: [{port: 80}]"), workload("shop/vm", pipelines)}, new: onShop(to("vm")), want: denied},
		{name: "a WorkloadEntry that nothing selects", world: []string{plainService("shop/vm", "selector: {app: other}, ports: [{port: 80}]"), workload("shop/vm", "10.0.0.5")}, new: onShop(to("vm")), want: allowed},
		{name: "a WorkloadEntry of another namespace", world: []string{plainService("shop/vm", "selector: {app: vm}, ports: [{port: 80}]"), workload("market/vm", "10.0.0.5")}, new: onShop(to("vm")), want: allowed},
		{name: "a machine out of the cluster", world: []string{plainService("shop/vm", "selector: {app: vm}, ports: [{port: 80}]"), workload("shop/vm", "192.0.2.7")}, new: onShop(to("vm")), want: allowed},
		{name: "a WorkloadEntry under a route that is there", world: []string{plainService("shop/vm", "selector: {app: vm}, ports: [{port: 80}]"), onShop(to("vm"))}, new: workload("shop/vm", "10.96.0.5"), want: denied,
			field: "spec.address"},
		{name: "a machine under a route that is there", world: []string{plainService("shop/vm", "selector: {app: vm}, ports: [{port: 80}]"), onShop(to("vm"))}, new: workload("shop/vm", "192.0.2.7"), want: allowed},
		{name: "a WorkloadEntry that moves", world: []string{plainService("shop/vm", "selector: {app: vm}, ports: [{port: 80}]"), onShop(to("vm"))}, old: workload("shop/vm", "192.0.2.7"), new: workload("shop/vm", "10.96.0.5"), want: denied},
		{name: "a WorkloadEntry of a profile for a core Service", world: []string{plainService("team-a/vm", "selector: {app: vm}, ports: [{port: 80}]"), onOwn(to("vm"))}, new: workload("team-a/vm", "10.96.0.5"), want: denied},
		{name: "a ServiceEntry under a route that is there", world: []string{onShop(to("api.shop.org"))}, new: entry("shop/e", "hosts: [api.shop.org], resolution: STATIC, endpoints: [{address: 10.96.0.5}]"), want: denied,
			field: "spec.endpoints"},
		{name: "a harmless ServiceEntry beside a bad one", world: []string{onShop(to("api.shop.org")), entry("shop/bad", "hosts: [api.shop.org], resolution: STATIC, endpoints: [{address: 10.96.0.5}]")},
			new: entry("shop/e", "hosts: [api.shop.org], resolution: STATIC, endpoints: [{address: 10.96.0.6}]"), want: allowed},
		{name: "the outside under a route that is there", world: []string{onShop(to("api.github.com"))}, new: entry("shop/e", "hosts: [api.github.com], resolution: DNS"), want: allowed},
		{name: "an endpoint of an ExternalName that comes later", world: []string{onShop(to("api.shop.org")), entry("shop/e", "hosts: [api.shop.org], resolution: DNS, endpoints: [{address: alias.shop.svc.cluster.local}]")},
			new: alias("shop/alias", pipelines), want: denied},
		{name: "deployKF's own host, which leads to the gateway", world: []string{entry("deploykf-istio-gateway/deploykf-istio-gateway", "hosts: ["+h+"], resolution: STATIC, workloadSelector: {labels: {istio: deploykf-gateway}}")},
			new: onShop(to(h)), want: denied},

		{name: "deployKF's own ServiceEntry under a route that is there", world: []string{onShop(to(h))},
			new: entry("deploykf-istio-gateway/deploykf-istio-gateway", "hosts: ["+h+"], resolution: STATIC, workloadSelector: {labels: {istio: deploykf-gateway}}"), want: allowed},
		{name: "a profile that lets others in by itself", world: []string{onShop(to("b.org"))},
			new: entry("team-b/e", "hosts: [b.org], resolution: STATIC, workloadSelector: {labels: {app: lab}}"), want: allowed},

		// Other kinds.
		{name: "an HTTPRoute", new: onAPI("backendRefs: [{name: ml-pipeline-ui, namespace: kubeflow, port: 80}]"), want: denied, field: "spec.rules[0].backendRefs[0]"},
		{name: "an HTTPRoute to an own Service", new: onAPI("backendRefs: [{name: cart, port: 80}]"), want: allowed},
		{name: "the mirror of an HTTPRoute", new: onAPI("backendRefs: [{name: cart, port: 80}], filters: [{type: RequestMirror, requestMirror: {backendRef: {name: ml-pipeline-ui, namespace: kubeflow, port: 80}}}]"), want: denied,
			field: "spec.rules[0].filters[0].requestMirror.backendRef"},
		{name: "an HTTPRoute to a host of a ServiceEntry", world: []string{entry("shop/e", "hosts: [api.shop.org], resolution: STATIC, endpoints: [{address: 10.96.0.5}]")},
			new: onAPI("backendRefs: [{group: networking.istio.io, kind: Hostname, name: api.shop.org, port: 80}]"), want: denied},
		{name: "an HTTPRoute of a profile", new: kubernetesRoute("team-a/web", "parentRefs: [{name: api, namespace: deploykf-istio-gateway}], hostnames: [a.api.org], rules: [{backendRefs: [{name: lab, port: 80}]}]"), want: warned},
		{name: "a TLSRoute", new: manifestOf("gateway.networking.k8s.io/v1", "TLSRoute", "shop/web", "parentRefs: [{name: api, namespace: deploykf-istio-gateway}], hostnames: [tls.api.net], rules: [{backendRefs: [{name: ml-pipeline-ui, namespace: kubeflow, port: 443}]}]"),
			want: denied, field: "spec.rules[0].backendRefs[0]"},
		{name: "an Ingress by an ExternalName Service", world: []string{alias("shop/alias", pipelines)}, config: ingressToo,
			new: manifestOf("networking.k8s.io/v1", "Ingress", "shop/web", "rules: [{host: ingress.org, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: alias, port: {number: 80}}}}]}}]"), want: denied},
		{name: "an Ingress to an own Service", config: ingressToo,
			new: manifestOf("networking.k8s.io/v1", "Ingress", "shop/web", "rules: [{host: ingress.org, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: cart, port: {number: 80}}}}]}}]"), want: allowed},
	})
}

// What nobody can follow to its end is denied, and what is long but can be followed is followed.
func TestProtectedBackendsFarAway(t *testing.T) {
	chain := func(n int, end string) []string {
		out := []string{onShop(to("a0"))}
		for i := range n {
			out = append(out, alias(fmt.Sprintf("shop/a%d", i), fmt.Sprintf("a%d.shop.svc.cluster.local", i+1)))
		}
		return append(out, alias(fmt.Sprintf("shop/a%d", n), end))
	}
	many := make([]string, 2000)
	for i := range many {
		many[i] = fmt.Sprintf("{address: h%d.example.net}", i)
	}
	spread := "hosts: [api.shop.org], resolution: DNS, endpoints: [" + strings.Join(many, ", ") + "%s]"
	var routed, parts []string
	for i := range 150 {
		routed = append(routed, fmt.Sprintf("{name: a%d, delegate: {name: part}}", i))
		parts = append(parts, fmt.Sprintf("{name: b%d, %s}", i, to("cart")))
	}
	part := routes("shop/part", "http: ["+strings.Join(parts, ", ")+"]")
	root := func(n int) string {
		return routes("shop/root", "hosts: [shop.org], gateways: [web], http: ["+strings.Join(routed[:n], ", ")+"]")
	}
	var leading []string
	for i := range 1100 {
		leading = append(leading, alias(fmt.Sprintf("shop/l%d", i), "busy.shop.svc.cluster.local"))
	}
	attempts(t, "GWD310", []attempt{
		{name: "a long chain", world: chain(200, pipelines)[1:], new: onShop(to("a0")), want: denied, more: "ml-pipeline-ui"},
		{name: "a long chain out of the cluster", world: chain(200, "api.github.com")[1:], new: onShop(to("a0")), want: allowed},
		{name: "a chain without an end in sight", world: chain(1100, "api.github.com")[1:], new: onShop(to("a0")), want: denied, more: "more names than can be followed"},
		{name: "the end of a long chain", world: chain(200, "api.github.com"), old: alias("shop/a200", "api.github.com"), new: alias("shop/a200", pipelines), want: denied},
		{name: "the last of many endpoints", world: []string{entry("shop/e", fmt.Sprintf(spread, ", {address: 10.0.0.5}"))}, new: onShop(to("api.shop.org")), want: denied},
		{name: "many endpoints of the outside", world: []string{entry("shop/e", fmt.Sprintf(spread, ""))}, new: onShop(to("api.shop.org")), want: allowed},
		{name: "many routes that are handed over", world: []string{part}, new: root(100), want: allowed},
		{name: "too many of them", world: []string{part}, new: root(150), want: denied, field: "spec.http", more: "Hand over fewer"},
		{name: "a part of too many", world: []string{root(150)}, new: part, want: denied},
		{name: "a name that too many lead to", world: leading, new: alias("shop/busy", "api.github.com"), want: denied, field: "spec.externalName", more: "more names lead to this"},
	})
}

// ingressToo makes Istio serve Ingresses without a class by the guarded pods.
func ingressToo(c *config.Configuration) {
	c.Mesh.IngressControllerMode, c.Mesh.IngressSelector = "DEFAULT", "deploykf-gateway"
}

func TestReservedRoutes(t *testing.T) {
	const deny = "GWD309 deny"
	anyGateway := func(c *config.Configuration) {
		for i := range c.GuardedGateways[0].ReservedRoutes {
			c.GuardedGateways[0].ReservedRoutes[i].AnyGateway = true
		}
	}
	root := func(http string) string {
		return routes("team-a/root", `hosts: ["*"], gateways: [deploykf-istio-gateway/deploykf-gateway], http: [{match: [{uri: {prefix: /notebook/team-a/lab/}}], `+http+"}]")
	}
	attempts(t, "GWD309", []attempt{
		{name: "a notebook without login", new: notebook("name: dex-route, " + to("lab")), want: deny, field: "spec.http[0].name", more: "need no login"},
		{name: "a notebook by any other name", new: notebook("name: lab-route, " + to("lab")), want: allowed},
		{name: "without a name", new: notebook(to("lab")), want: allowed},
		{name: "in another letter case", new: notebook("name: Dex-Route, " + to("lab")), want: allowed},
		{name: "as a part of a name", new: notebook("name: dex-route-2, " + to("lab")), want: allowed},
		{name: "for other tokens", new: notebook("name: ml-pipeline-ui-route, " + to("lab")), want: deny, more: "SDK"},
		{name: "a name that only redirects to namespaces", new: notebook("name: ml-pipeline-ui-artifacts-route, " + to("lab")), want: allowed},
		{name: "on a Gateway of its own", new: onShop("name: dex-route, " + to("dex")), want: allowed},
		{name: "on a Gateway of its own, before v0.1.4", new: onShop("name: dex-route, " + to("dex")), config: anyGateway, want: deny},
		{name: "on other pods, before v0.1.4", config: anyGateway, want: allowed,
			new: routes("shop/web", "hosts: [shop.org], gateways: [elsewhere], http: [{name: dex-route, "+to("dex")+"}]")},
		{name: "an HTTPRoute, before v0.1.4", new: onAPI("name: dex-route, backendRefs: [{name: dex, port: 80}]"), config: anyGateway, want: deny, field: "spec.rules[0].name"},
		{name: "an HTTPRoute", new: onAPI("name: dex-route, backendRefs: [{name: dex, port: 80}]"), want: allowed},
		{name: "a Gateway that such a route waited for, before v0.1.4", config: anyGateway, want: deny, field: "spec.servers",
			world: []string{routes("shop/early", "hosts: [early.org], gateways: [early], http: [{name: dex-route, "+to("dex")+"}]")},
			new:   manifestOf("networking.istio.io/v1", "Gateway", "shop/early", "selector: {istio: deploykf-gateway}, servers: [{port: {number: 443, name: h, protocol: HTTPS}, hosts: [early.org], tls: {mode: SIMPLE, credentialName: a}}]")},
		{name: "deployKF's own", new: routes("deploykf-auth/dex", "hosts: ["+h+"], gateways: [deploykf-istio-gateway/deploykf-gateway], http: [{name: dex-route, match: [{uri: {prefix: /dex/}}], "+to("dex")+"}]"), want: allowed},
		{name: "another one of deployKF's", new: routes("kubeflow/katib-ui", "hosts: ["+h+"], gateways: [deploykf-istio-gateway/deploykf-gateway], http: [{name: dex-route, match: [{uri: {prefix: /katib/}}], "+to("katib-ui")+"}]"), want: deny},
		{name: "of the same name in another namespace", new: routes("team-a/dex", `hosts: ["*"], gateways: [deploykf-istio-gateway/deploykf-gateway], http: [{name: dex-route, match: [{uri: {prefix: /notebook/team-a/lab/}}], `+to("lab")+"}]"), want: deny},
		{name: "on a taken path", new: routes("team-a/steal", "hosts: ["+h+"], gateways: [deploykf-istio-gateway/deploykf-gateway], http: [{name: oauth2-proxy-route, match: [{uri: {prefix: /oauth2/}}], "+to("fake")+"}]"), want: deny},
		{name: "given by an update", old: notebook("name: a, " + to("lab")), new: notebook("name: dex-route, " + to("lab")), want: deny},
		{name: "was there before", old: notebook("name: dex-route, " + to("lab")), new: notebook("timeout: 5s, name: dex-route, " + to("lab")), want: "GWD309 warn"},
		{name: "another one than before", old: notebook("name: dex-route, " + to("lab")), new: notebook("name: minio-api-route, " + to("lab")), want: deny},
		{name: "for a match that is of another Gateway", want: allowed, new: routes("shop/web", `hosts: ["*"], gateways: [web, deploykf-istio-gateway/deploykf-gateway], http: [{name: dex-route, match: [{gateways: [web]}], `+to("dex")+"}]")},

		// Names of matches go into the name of the proxy's route.
		{name: "with a named match", new: routes("team-a/nb", `hosts: ["*"], gateways: [deploykf-istio-gateway/deploykf-gateway], http: [{name: dex-route, match: [{name: x, uri: {prefix: /notebook/team-a/lab/}}], `+to("lab")+"}]"), want: allowed},
		{name: "with one named match of two", new: routes("team-a/nb", `hosts: ["*"], gateways: [deploykf-istio-gateway/deploykf-gateway], http: [{name: dex-route, match: [{name: x, uri: {prefix: /notebook/team-a/lab/}}, {uri: {prefix: /notebook/team-a/x/}}], `+to("lab")+"}]"), want: deny},
		{name: "joined with a dot", config: reserve("secret.area"), want: deny,
			new: routes("team-a/nb", `hosts: ["*"], gateways: [deploykf-istio-gateway/deploykf-gateway], http: [{name: secret, match: [{name: area, uri: {prefix: /notebook/team-a/lab/}}], `+to("lab")+"}]")},
		{name: "joined to another name", config: reserve("secret.area"), want: allowed,
			new: routes("team-a/nb", `hosts: ["*"], gateways: [deploykf-istio-gateway/deploykf-gateway], http: [{name: secret, match: [{name: areas, uri: {prefix: /notebook/team-a/lab/}}], `+to("lab")+"}]")},

		// Names of parts are joined with those of their roots.
		{name: "a part with the name", world: []string{root("delegate: {name: part}")}, new: routes("team-a/part", "http: [{name: dex-route, "+to("lab")+"}]"), want: deny, field: "spec.http[0].name"},
		{name: "a part that is joined to the name", world: []string{root("name: dex, delegate: {name: part}")}, new: routes("team-a/part", "http: [{name: route, "+to("lab")+"}]"), want: deny},
		{name: "a root that is joined to the name", world: []string{routes("team-a/part", "http: [{name: route, "+to("lab")+"}]")}, new: root("name: dex, delegate: {name: part}"), want: deny, field: "spec.http[0].name"},
		{name: "a root with the name for a part without", world: []string{routes("team-a/part", "http: [{"+to("lab")+"}]")}, new: root("name: dex-route, delegate: {name: part}"), want: deny},
		{name: "a root with the name for a part with another", world: []string{routes("team-a/part", "http: [{name: x, "+to("lab")+"}]")}, new: root("name: dex-route, delegate: {name: part}"), want: allowed},
		{name: "a part with the name that the root changes", world: []string{root("name: x, delegate: {name: part}")}, new: routes("team-a/part", "http: [{name: dex-route, "+to("lab")+"}]"), want: allowed},
		{name: "a part whose matches have names", world: []string{root("name: dex, delegate: {name: part}")}, new: routes("team-a/part", "http: [{name: route, match: [{name: m}], "+to("lab")+"}]"), want: allowed},
		{name: "a part whose match makes the name with the root's", config: reserve("secret.big-area"), want: deny,
			world: []string{routes("team-a/root", `hosts: ["*"], gateways: [deploykf-istio-gateway/deploykf-gateway], http: [{name: secret, match: [{name: big, uri: {prefix: /notebook/team-a/lab/}}], delegate: {name: part}}]`)},
			new:   routes("team-a/part", "http: [{match: [{name: area}], "+to("lab")+"}]")},
		{name: "a part whose match makes another name", config: reserve("secret.big-area"), want: allowed,
			world: []string{routes("team-a/root", `hosts: ["*"], gateways: [deploykf-istio-gateway/deploykf-gateway], http: [{name: secret, match: [{name: small, uri: {prefix: /notebook/team-a/lab/}}], delegate: {name: part}}]`)},
			new:   routes("team-a/part", "http: [{match: [{name: area}], "+to("lab")+"}]")},
	})
}

// reserve makes one more name a reserved one.
func reserve(name string) func(*config.Configuration) {
	return func(c *config.Configuration) {
		g := &c.GuardedGateways[0]
		g.ReservedRoutes = append(g.ReservedRoutes, config.ReservedRoute{
			Name: name, Reason: "it is secret", Owners: []config.ObjectPattern{{Kind: resource.KindVirtualService, Namespace: "deploykf-auth", Name: "dex"}},
		})
	}
}

func TestIdentityHeaders(t *testing.T) {
	const deny, warn = "GWD311 deny", "GWD311 warn"
	sets := func(name string) string { return "headers: {request: {set: {" + name + `: "owner@example.com"}}}, ` }
	attempts(t, "GWD311", []attempt{
		{name: "a notebook as somebody else", new: notebook(sets("kubeflow-userid") + to("lab")), want: deny, field: "spec.http[0].headers.request.set"},
		{name: "in another letter case", new: notebook(sets("Kubeflow-UserID") + to("lab")), want: deny},
		{name: "added", new: notebook(`headers: {request: {add: {kubeflow-userid: "x"}}}, ` + to("lab")), want: deny, field: "spec.http[0].headers.request.add"},
		{name: "removed", new: notebook(`headers: {request: {remove: [kubeflow-userid]}}, ` + to("lab")), want: warn, field: "spec.http[0].headers.request.remove"},
		{name: "at the destination", new: notebook(`route: [{destination: {host: lab}, headers: {request: {set: {kubeflow-groups: "admins"}}}}]`), want: deny,
			field: "spec.http[0].route[0].headers.request.set"},
		{name: "at another destination", new: notebook(`route: [{destination: {host: lab}}, {destination: {host: cart.shop.svc.cluster.local}, headers: {request: {set: {kubeflow-userid: "x"}}}}]`), want: allowed},
		{name: "for a mirror too", new: notebook(sets("kubeflow-userid") + "route: [{destination: {host: cart.shop.svc.cluster.local}}], mirror: {host: lab}"), want: deny},
		{name: "of a response", new: notebook(`headers: {response: {set: {kubeflow-userid: "x"}}}, ` + to("lab")), want: allowed},
		{name: "as RStudio needs it", new: notebook(sets("X-RStudio-Root-Path") + to("lab")), want: allowed},
		{name: "as a match", new: routes("team-a/nb", `hosts: ["*"], gateways: [deploykf-istio-gateway/deploykf-gateway], http: [{match: [{uri: {prefix: /notebook/team-a/lab/}, headers: {kubeflow-userid: {exact: a}}}], `+to("lab")+"}]"), want: allowed},
		{name: "on an own Gateway to an own notebook", new: onOwn(sets("kubeflow-userid") + to("lab")), want: deny},
		{name: "on an own Gateway to a core Service", new: onShop(sets("kubeflow-userid") + to(pipelines)), want: deny},
		{name: "by an ExternalName Service", world: []string{alias("shop/alias", pipelines)}, new: onShop(sets("kubeflow-userid") + to("alias")), want: deny},
		{name: "an ExternalName Service under such a route", world: []string{onShop(sets("kubeflow-userid") + to("alias"))}, new: alias("shop/alias", pipelines), want: deny, field: "spec.externalName"},
		{name: "to an own Service that nobody protects", new: onShop(sets("kubeflow-userid") + to("cart")), want: allowed},
		{name: "on other pods", new: routes("team-a/web", "hosts: [shop.org], gateways: [shop/elsewhere], http: [{"+sets("kubeflow-userid")+to("lab")+"}]"), want: allowed},
		{name: "in the mesh", new: routes("team-a/web", "hosts: [lab], http: [{"+sets("kubeflow-userid")+to("lab")+"}]"), want: allowed},
		{name: "with a redirect", new: notebook(sets("kubeflow-userid") + "redirect: {uri: /}"), want: allowed},
		{name: "by deployKF itself", new: routes("kubeflow/katib-ui", "hosts: ["+h+"], gateways: [deploykf-istio-gateway/deploykf-gateway], http: [{match: [{uri: {prefix: /katib/}}], "+sets("kubeflow-userid")+to("katib-ui")+"}]"), want: allowed},
		{name: "a header that is configured", config: func(c *config.Configuration) { c.GuardedGateways[0].IdentityHeaders = []string{"x-user"} },
			new: notebook(sets("X-User") + to("lab")), want: deny},
		{name: "a header that is not", config: func(c *config.Configuration) { c.GuardedGateways[0].IdentityHeaders = []string{"x-user"} },
			new: notebook(sets("kubeflow-userid") + to("lab")), want: allowed},
		{name: "an HTTPRoute", want: deny, field: "spec.rules[0].filters[0].requestHeaderModifier.set",
			new: kubernetesRoute("team-a/web", "parentRefs: [{name: api, namespace: deploykf-istio-gateway}], hostnames: [a.api.org], rules: [{backendRefs: [{name: lab, port: 80}], filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: Kubeflow-Userid, value: x}]}}]}]")},
		{name: "a backend of an HTTPRoute", want: deny, field: "spec.rules[0].backendRefs[0].filters[0].requestHeaderModifier.add",
			new: kubernetesRoute("team-a/web", "parentRefs: [{name: api, namespace: deploykf-istio-gateway}], hostnames: [a.api.org], rules: [{backendRefs: [{name: lab, port: 80, filters: [{type: RequestHeaderModifier, requestHeaderModifier: {add: [{name: kubeflow-userid, value: x}]}}]}]}]")},
		{name: "another backend of an HTTPRoute", want: allowed,
			new: kubernetesRoute("team-a/web", "parentRefs: [{name: api, namespace: deploykf-istio-gateway}], hostnames: [a.api.org], rules: [{backendRefs: [{name: lab, port: 80}, {name: cart, namespace: shop, port: 80, filters: [{type: RequestHeaderModifier, requestHeaderModifier: {add: [{name: kubeflow-userid, value: x}]}}]}]}]")},
		{name: "a root for its part", world: []string{routes("team-a/part", "http: [{"+to("lab")+"}]")}, want: deny, field: "spec.http[0].headers.request.set",
			new: routes("team-a/root", "hosts: [a.org], gateways: [web], http: [{"+sets("kubeflow-userid")+"delegate: {name: part}}]")},
		{name: "a part under a root that sets it", world: []string{routes("team-a/root", "hosts: [a.org], gateways: [web], http: [{"+sets("kubeflow-userid")+"delegate: {name: part}}]")}, want: deny, field: "spec.http[0]",
			new: routes("team-a/part", "http: [{"+to("lab")+"}]")},
		{name: "a part", world: []string{routes("team-a/root", "hosts: [a.org], gateways: [web], http: [{delegate: {name: part}}]")}, want: deny, field: "spec.http[0].headers.request.set",
			new: routes("team-a/part", "http: [{"+sets("kubeflow-userid")+to("lab")+"}]")},
		{name: "was there before", old: notebook(sets("kubeflow-userid") + to("lab")), new: notebook("timeout: 5s, " + sets("kubeflow-userid") + to("lab")), want: warn},
		{name: "came by an update", old: notebook(to("lab")), new: notebook(sets("kubeflow-userid") + to("lab")), want: deny},
		{name: "worse than removing it", old: notebook(`headers: {request: {remove: [kubeflow-userid]}}, ` + to("lab")), new: notebook(sets("kubeflow-userid") + to("lab")), want: deny},
	})
}

func TestTakenNames(t *testing.T) {
	const deny, warn = "GWD312 deny", "GWD312 warn"
	complete := func(spec string) string {
		return entry("shop/e", spec+", resolution: STATIC, endpoints: [{address: 10.9.9.9}]")
	}
	loop := routes("deploykf-istio-gateway/notebooks-redirect", "hosts: ["+h+"], gateways: [deploykf-gateway], http: [{match: [{uri: {prefix: /notebook/}}], "+to("notebooks-redirect."+h)+"}]")
	attempts(t, "GWD312", []attempt{
		{name: "a core Service", new: complete("hosts: [" + pipelines + "]"), want: deny, field: "spec.hosts[0]", more: "Service kubeflow/ml-pipeline-ui"},
		{name: "the second host", new: complete("hosts: [shop.org, " + pipelines + "]"), want: deny, field: "spec.hosts[1]"},
		{name: "exported to the gateway", new: complete("hosts: [" + pipelines + "], exportTo: [deploykf-istio-gateway]"), want: deny},
		{name: "for its own namespace only", new: complete("hosts: [" + pipelines + "], exportTo: [.]"), want: allowed},
		{name: "for its own namespace by name", new: complete("hosts: [" + pipelines + "], exportTo: [shop]"), want: allowed},
		{name: "for nobody", new: complete("hosts: [" + pipelines + `], exportTo: ["~"]`), want: allowed},
		{name: "a Service that manifests may leave out", new: complete("hosts: [oauth2-proxy.deploykf-auth.svc.cluster.local]"), want: deny},
		{name: "a Service of its own", new: entry("team-a/e", "hosts: [db.team-a.svc.cluster.local], resolution: DNS, endpoints: [{address: db.example.com}]"), want: allowed},
		{name: "a Service of an unprotected neighbour", new: complete("hosts: [cart.market.svc.cluster.local]"), want: allowed},
		{name: "a notebook of another tenant", new: complete("hosts: [lab.team-b.svc.cluster.local]"), want: deny},
		{name: "a shorter name", new: complete("hosts: [ml-pipeline-ui.kubeflow]"), want: deny},
		{name: "another shorter name", new: complete("hosts: [ml-pipeline-ui.kubeflow.svc]"), want: deny},
		{name: "a shorter name that is none", new: complete("hosts: [other.kubeflow]"), want: allowed},
		{name: "a domain", new: complete("hosts: [shop.org]"), want: allowed},
		{name: "a wildcard over a core namespace", new: complete(`hosts: ["*.kubeflow.svc.cluster.local"]`), want: warn},
		{name: "a wildcard over all of them", new: complete(`hosts: ["*.svc.cluster.local"]`), want: warn},
		{name: "a wildcard of the outside", new: complete(`hosts: ["*.wikipedia.org"]`), want: allowed},
		{name: "a wildcard over an own namespace", new: complete(`hosts: ["*.shop.svc.cluster.local"]`), want: allowed},
		{name: "deployKF's host", new: complete("hosts: [" + h + "]"), want: warn},
		{name: "a name under deployKF's host", new: complete("hosts: [x." + h + "]"), want: warn},
		{name: "a wildcard over deployKF's hosts", new: complete(`hosts: ["*.` + h + `"]`), want: warn},
		{name: "deployKF's host for itself only", new: complete("hosts: [" + h + "], exportTo: [.]"), want: allowed},
		{name: "a host that looks like deployKF's", new: complete("hosts: [my" + h + "]"), want: allowed},
		{name: "deployKF's own", new: entry("deploykf-istio-gateway/deploykf-istio-gateway", "hosts: ["+h+"], resolution: STATIC, workloadSelector: {labels: {istio: deploykf-gateway}}"), want: allowed},
		{name: "a host that deployKF's gateway sends to", world: []string{loop}, new: complete("hosts: [notebooks-redirect." + h + "]"), want: deny, more: "notebooks-redirect"},
		{name: "one that its gateway does not see", world: []string{loop}, new: complete("hosts: [notebooks-redirect." + h + "], exportTo: [team-b]"), want: warn},
		{name: "one that it does not send to", world: []string{loop}, new: complete("hosts: [other." + h + "]"), want: warn},
		{name: "was there before", old: complete("hosts: [" + pipelines + "]"), new: complete("hosts: [" + pipelines + ", shop.org]"), want: warn},
		{name: "shown to others now", old: complete("hosts: [" + pipelines + "], exportTo: [.]"), new: complete("hosts: [" + pipelines + "]"), want: deny},
	})
}

// A name that nobody has claimed only warns where everything is known.
func TestTakenNameWithoutService(t *testing.T) {
	w := state.NewWriter()
	w.Apply(append(worlds.Base(), objects(t, neighbours)...)...)
	w.SetComplete(true)
	change := create(objects(t, entry("shop/e", "hosts: [later.kubeflow.svc.cluster.local], resolution: STATIC, endpoints: [{address: 10.9.9.9}]"))[0])
	d := policy.NewEngine(deploykf.Default(), All()).Decide(w.Snapshot(), change)
	require.Len(t, d.Findings, 1)
	assert.Equal(t, "GWD312", d.Findings[0].Rule)
	assert.Equal(t, policy.Warn, d.Findings[0].Effect)
	assert.Less(t, len(d.Findings[0].String()), 256)
}

// What stands in the way of the login itself is a foreign route, whatever it does with requests.
func TestLoginPaths(t *testing.T) {
	const deny = "GWD301 deny"
	onGuarded := func(http string) string {
		return routes("team-a/x", "hosts: ["+h+"], gateways: [deploykf-istio-gateway/deploykf-gateway], http: [{"+http+"}]")
	}
	attempts(t, "GWD301", []attempt{
		{name: "a redirect of the sign-in", new: onGuarded("match: [{uri: {prefix: /oauth2/}}], redirect: {authority: evil.example.net}"), want: deny},
		{name: "a response in its place", new: onGuarded("match: [{uri: {exact: /oauth2/callback}}], directResponse: {status: 200, body: {string: hello}}"), want: deny},
		{name: "a fault before it", new: onGuarded("match: [{uri: {prefix: /dex/}}], fault: {abort: {httpStatus: 503, percentage: {value: 100}}}, " + to("dex.deploykf-auth.svc.cluster.local")), want: deny},
		{name: "other origins with its cookies", new: onGuarded("match: [{headers: {origin: {regex: .*}}}], corsPolicy: {allowOrigins: [{regex: .*}], allowCredentials: true}, " + to("x")), want: deny},
		{name: "the sign-out", new: onGuarded("match: [{uri: {exact: /logout}}], redirect: {uri: /}"), want: deny},
		{name: "through a part", world: []string{routes("team-a/part", "http: [{redirect: {authority: evil.example.net}}]")}, new: onGuarded("match: [{uri: {prefix: /oauth2/}}], delegate: {name: part}"), want: deny},
		{name: "other origins for a notebook", new: notebook("corsPolicy: {allowOrigins: [{exact: 'https://a.org'}]}, " + to("lab")), want: allowed},
		{name: "a redirect of a notebook", new: notebook("redirect: {uri: /notebook/team-a/lab2/}"), want: allowed},
		{name: "a path of that name on another host", new: onShop("match: [{uri: {prefix: /oauth2/}}], " + to("oauth2-proxy")), want: allowed},
	})
}

// A route that hands over to its own VirtualService leads nowhere: what hands over has hosts, and
// what is handed over to has none. What the object was before is no part of it.
func TestNoPartOfItself(t *testing.T) {
	was := &resource.VirtualService{Meta: meta("team-a/y"), HTTP: []resource.HTTPRoute{{Name: "route"}}}
	is := with(vs("team-a/y", guarded, h, "all"), func(v *resource.VirtualService) {
		v.HTTP[0].Name, v.HTTP[0].Delegate = "dex", "team-a/y"
	})
	check(t, "GWD309", verdict{name: "it was a part before", world: []resource.Object{was}, change: update(was, is), want: silent})
}
