package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/deploykf"
)

// fields is a part of an object.
type fields = map[string]any

// generator draws worlds in which objects are neighbours: few names, hosts, ports and paths,
// so that they meet.
type generator struct {
	r   *rand.Rand
	cfg *config.Configuration
}

// newGenerator makes the generator of one of the worlds of a seed.
func newGenerator(seed, world uint64) *generator {
	return &generator{r: rand.New(rand.NewPCG(seed, world)), cfg: deploykf.Default()}
}

// pick returns one of the choices.
func pick[T any](g *generator, choices ...T) T { return choices[g.r.IntN(len(choices))] }

// chance reports true once in n times.
func (g *generator) chance(n int) bool { return g.r.IntN(n) == 0 }

const (
	domain           = deploykf.DefaultHostname
	gatewayNamespace = "deploykf-istio-gateway"
	ownGateway       = gatewayNamespace + "/deploykf-gateway"
	ownRedirect      = gatewayNamespace + "/deploykf-gateway-https-redirect"
)

// written makes the object of fields.
func written(apiVersion, kind, namespace, name string, spec fields, meta fields) (*object, error) {
	metadata := fields{"name": name, "namespace": namespace}
	for k, v := range meta {
		metadata[k] = v
	}
	raw, err := json.Marshal(fields{"apiVersion": apiVersion, "kind": kind, "metadata": metadata, "spec": spec})
	if err != nil {
		return nil, err
	}
	return newObject(raw)
}

// labels are those of the gateway's pods.
func (g *generator) labels() map[string]string { return g.cfg.GuardedGateways[0].PodLabels }

// world draws a world with a change.
func (g *generator) world(id string) (*world, error) {
	if g.chance(5) {
		return g.policyWorld(id)
	}
	w := &world{id: id, pods: pods{gatewayNamespace, g.labels()}}
	owners, err := g.owners()
	if err != nil {
		return nil, err
	}
	w.existing = owners
	for range g.r.IntN(5) {
		o := g.valid()
		if slices.ContainsFunc(w.existing, func(e *object) bool { return e.key() == o.key() }) {
			continue
		}
		// What is there was admitted, in most worlds.
		w.new = o
		if d, err := decide(w, g.cfg); err != nil {
			return nil, err
		} else if d.Denied() {
			continue
		}
		at := len(w.existing)
		if g.chance(3) {
			at = g.r.IntN(at + 1)
		}
		w.existing = slices.Insert(w.existing, at, o)
	}
	w.new = g.valid()
	if i := slices.IndexFunc(w.existing, func(e *object) bool { return e.key() == w.new.key() }); i >= 0 {
		w.old = w.existing[i]
	}
	return w, nil
}

// valid draws an object that Istio's validation accepts.
func (g *generator) valid() *object {
	for {
		if o, err := g.object(); err == nil {
			return o
		}
	}
}

func (g *generator) object() (*object, error) {
	switch g.r.IntN(10) {
	case 0, 1, 2, 3:
		return g.gateway()
	case 4:
		return g.service()
	default:
		return g.route()
	}
}

// owners draws the owner's objects, in one of the shapes that deployKF's settings give them.
func (g *generator) owners() ([]*object, error) {
	hosts := []any{"*/" + domain, "kubeflow-argo-workflows/argo-server." + domain, "deploykf-minio/minio-api." + domain}
	switch g.r.IntN(5) {
	case 0:
		hosts = []any{"*"}
	case 1:
		hosts = []any{"*/*." + domain, "*/" + domain}
	}
	http, https := 80, 443
	if g.chance(4) {
		http, https = 8080, 8443
	}
	plain := []any{}
	for _, h := range []string{"", "argo-server.", "minio-api."} {
		plain = append(plain, gatewayNamespace+"/"+h+domain)
	}
	if g.chance(4) {
		plain = []any{gatewayNamespace + "/*." + domain}
	}
	var out []*object
	var failed error
	add := func(o *object, err error) {
		if err != nil {
			failed = err
		}
		out = append(out, o)
	}
	namespace, name := gatewayNamespace, "deploykf-gateway"
	add(written("networking.istio.io/v1", "Gateway", namespace, name, fields{
		"selector": g.labels(),
		"servers": []any{fields{
			"port": fields{"number": https, "name": "https", "protocol": "HTTPS"}, "hosts": hosts,
			"tls": fields{"mode": "SIMPLE", "credentialName": "deploykf-istio-gateway-cert"},
		}},
	}, nil))
	add(written("networking.istio.io/v1", "Gateway", namespace, name+"-https-redirect", fields{
		"selector": g.labels(),
		"servers": []any{fields{
			"port": fields{"number": http, "name": "http", "protocol": "HTTP"}, "hosts": plain,
			"tls": fields{"httpsRedirect": false},
		}},
	}, nil))
	add(written("networking.istio.io/v1", "VirtualService", namespace, "https-redirect", fields{
		"gateways": []any{ownRedirect}, "hosts": []any{domain, "*." + domain},
		"http": []any{fields{
			"match":    []any{fields{"scheme": fields{"exact": "http"}, "port": http}},
			"redirect": fields{"scheme": "https", "port": https, "redirectCode": 307},
		}},
	}, nil))
	to := func(name, namespace string) []any {
		return []any{fields{"destination": fields{"host": name + "." + namespace + ".svc.cluster.local", "port": fields{"number": 80}}}}
	}
	for _, r := range []struct{ namespace, name, host, path string }{
		{"deploykf-dashboard", "central-dashboard", domain, "/"},
		{"deploykf-auth", "dex", domain, "/dex/"},
		{"kubeflow-argo-workflows", "argo-server", "argo-server." + domain, "/"},
	} {
		if g.chance(5) {
			continue
		}
		add(written("networking.istio.io/v1", "VirtualService", r.namespace, r.name, fields{
			"gateways": []any{ownGateway}, "hosts": []any{r.host},
			"http": []any{fields{"match": []any{fields{"uri": fields{"prefix": r.path}}}, "route": to(r.name, r.namespace)}},
		}, nil))
	}
	ports := []any{}
	for i, p := range []int{http, https} {
		public := p
		if g.chance(3) {
			public = []int{80, 443}[i]
		}
		ports = append(ports, fields{"name": fmt.Sprintf("p%d", i), "port": public, "targetPort": p})
	}
	if !g.chance(5) {
		add(written("v1", "Service", namespace, name, fields{"selector": g.labels(), "ports": ports}, nil))
	}
	return out, failed
}

// namespace draws one of a tenant's, or now and then the gateway's own.
func (g *generator) namespace() string {
	return pick(g, "team-a", "team-a", "team-a", "team-b", "team-b", "team-b", gatewayNamespace)
}

// someHosts are names that overlap, in all spellings.
var someHosts = []string{
	domain, "argo-server." + domain, "new." + domain, "*." + domain, "*.example.com", "*",
	"app.example.org", "app.example.org", "api.example.org", "*.example.org", "*-x.example.org", "APP.example.org",
	"app.example.org", "shop.example.net", "*.example.net",
}

func (g *generator) gateway() (*object, error) {
	servers := []any{}
	for i := range 1 + g.r.IntN(2) {
		servers = append(servers, g.server(i))
	}
	spec := fields{"servers": servers}
	switch g.r.IntN(8) {
	case 0:
		spec["selector"] = fields{"istio": "deploykf-gateway"}
	case 1:
		if g.chance(4) {
			spec["selector"] = fields{"istio": "elsewhere"}
		}
	default:
		spec["selector"] = g.labels()
	}
	return written("networking.istio.io/v1", "Gateway", g.namespace(), pick(g, "web", "edge"), spec, nil)
}

func (g *generator) server(index int) fields {
	number := pick(g, 80, 80, 80, 443, 443, 443, 8443, 8080, 9000)
	if g.chance(40) {
		number = 15021
	}
	protocol := "HTTPS"
	switch number {
	case 80, 8080:
		protocol = "HTTP"
	case 9000:
		protocol = pick(g, "TCP", "TLS", "HTTP", "HTTPS")
	}
	if g.chance(4) {
		protocol = pick(g, "HTTP", "HTTPS", "HTTP2", "GRPC", "TLS", "TCP")
	}
	hosts := []any{}
	for range 1 + g.r.IntN(2) {
		h := pick(g, someHosts...)
		if g.chance(3) {
			h = pick(g, "./", "*/", "team-a/", "team-b/") + h
		}
		hosts = append(hosts, h)
	}
	if slices.Contains(hosts, any("*/*")) {
		hosts = []any{"*/*"}
	}
	s := fields{"port": fields{"number": number, "name": fmt.Sprintf("s%d", index), "protocol": protocol}, "hosts": hosts}
	certificate := fmt.Sprintf("cert-%d", g.r.IntN(1000))
	switch protocol {
	case "HTTPS", "TLS":
		switch g.r.IntN(5) {
		case 0, 1:
			s["tls"] = fields{"mode": "PASSTHROUGH"}
		case 2:
			s["tls"] = fields{"mode": "MUTUAL", "credentialName": certificate}
		default:
			s["tls"] = fields{"mode": "SIMPLE", "credentialName": certificate}
		}
	case "HTTP", "HTTP2", "GRPC":
		if g.chance(4) {
			s["tls"] = fields{"httpsRedirect": g.chance(2)}
		}
	}
	if g.chance(8) {
		s["bind"] = pick(g, "0.0.0.0", "127.0.0.1", podIP, "10.1.2.3")
	}
	return s
}

func (g *generator) route() (*object, error) {
	namespace, name := g.namespace(), pick(g, "x", "y")
	hosts := []any{}
	for range 1 + g.r.IntN(2) {
		if h := any(pick(g, someHosts...)); !slices.Contains(hosts, h) {
			hosts = append(hosts, h)
		}
	}
	to := []any{fields{"destination": fields{"host": name + "." + namespace + ".svc.cluster.local", "port": fields{"number": 80}}}}
	gateways := []any{}
	for range 1 + g.r.IntN(2) {
		gateways = append(gateways, g.gatewayName(namespace))
	}
	spec := fields{"hosts": hosts, "gateways": gateways}
	if g.chance(6) {
		spec["exportTo"] = pick(g, []any{"."}, []any{gatewayNamespace}, []any{"*"}, []any{"team-a", "team-b"})
	}
	http := []any{}
	for range 1 + g.r.IntN(2) {
		http = append(http, g.httpRoute(namespace, to))
	}
	spec["http"] = http
	if g.chance(4) {
		match := fields{"sniHosts": []any{hosts[0]}}
		if g.chance(3) {
			match["port"] = pick(g, 443, 9000)
		}
		spec["tls"] = []any{fields{"match": []any{match}, "route": to}}
	}
	if g.chance(5) {
		spec["tcp"] = []any{fields{"route": to}}
		if g.chance(2) {
			spec["tcp"].([]any)[0].(fields)["match"] = []any{fields{"port": pick(g, 9000, 443)}}
		}
	}
	return written("networking.istio.io/v1", "VirtualService", namespace, name, spec, nil)
}

// gatewayName draws a name by which a VirtualService in the namespace names a Gateway.
func (g *generator) gatewayName(namespace string) string {
	switch g.r.IntN(10) {
	case 0, 1, 2:
		return ownGateway
	case 3:
		return ownRedirect
	case 4:
		return pick(g, "mesh", "deploykf-gateway."+gatewayNamespace, "deploykf-gateway."+gatewayNamespace+".svc.cluster.local")
	case 5:
		return pick(g, "team-a/", "team-b/") + pick(g, "web", "edge")
	case 6:
		return pick(g, "web", "edge") + "." + namespace
	}
	return pick(g, "web", "edge")
}

func (g *generator) httpRoute(namespace string, to []any) fields {
	out := fields{}
	switch {
	case g.chance(5):
		out["redirect"] = fields{"uri": "/elsewhere/" + namespace}
	default:
		out["route"] = to
	}
	matches := []any{}
	for range g.r.IntN(3) {
		m := fields{}
		switch g.r.IntN(8) {
		case 0:
		case 1:
			m["uri"] = fields{"regex": pick(g, ".*", "/notebook/"+namespace+"/.*", "/.+", "/notebook/(team-a|team-b)/.*", "/dex/.*")}
		case 2:
			m["uri"] = fields{"exact": pick(g, "/", "/logout", "/notebook/"+namespace+"/x", "/a")}
		default:
			m["uri"] = fields{"prefix": pick(g, "/", "/a", "/a/", "/dex/", "/notebook/team-a/", "/notebook/team-b/", "/notebook/"+namespace+"/x/", "/notebook/", "/notebook/team-a")}
			if g.chance(8) {
				m["ignoreUriCase"] = true
			}
		}
		if g.chance(6) {
			m["headers"] = fields{"x-team": fields{"exact": namespace}}
		}
		if g.chance(8) {
			m["queryParams"] = fields{"v": fields{"exact": "1"}}
		}
		if g.chance(8) {
			m["port"] = pick(g, 80, 443, 8443)
		}
		if g.chance(8) {
			m["gateways"] = []any{g.gatewayName(namespace)}
		}
		if len(m) > 0 {
			matches = append(matches, m)
		}
	}
	if len(matches) > 0 {
		out["match"] = matches
	}
	return out
}

// service draws a Service or ServiceEntry before the gateway's pods that is not the owner's.
func (g *generator) service() (*object, error) {
	port, target := pick(g, 80, 443, 8443, 9000), pick(g, 80, 443, 8443, 9000)
	if g.chance(4) {
		return written("networking.istio.io/v1", "ServiceEntry", gatewayNamespace, "entry", fields{
			"hosts": []any{"entry.example.net"}, "location": "MESH_INTERNAL", "resolution": "STATIC",
			"workloadSelector": fields{"labels": g.labels()},
			"ports":            []any{fields{"number": port, "name": "p", "protocol": "TCP", "targetPort": target}},
		}, nil)
	}
	var meta fields
	if g.chance(5) {
		meta = fields{"labels": fields{"experimental.istio.io/disable-gateway-port-translation": "true"}}
	}
	return written("v1", "Service", gatewayNamespace, pick(g, "public", "internal"), fields{
		"selector": g.labels(), "ports": []any{fields{"name": "p", "port": port, "targetPort": target}},
	}, meta)
}
