package worlds

import (
	"encoding/json"
	"fmt"
	"iter"
	"math/rand/v2"
	"time"

	"github.com/gatewarden/gatewarden/pkg/decode"
	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// Shape is a world of many tenants around deployKF's gateway, in which nobody breaks a rule. Equal
// shapes are equal worlds.
type Shape struct {
	// Objects is how many there are, from 1 to 100,000 and above.
	Objects int
	Seed    uint64
	// Mix tells the share of each class of objects. Default: Ordinary.
	Mix Mix
}

// Mix is how many objects of each class there are among so many as the sum of all.
type Mix struct {
	Notebooks, Gateways, Routes, Services, Pods, Deployments, Policies, Entries, Namespaces int
}

// Ordinary is the mix of a cluster of data scientists: half of all objects are notebooks' routes on
// the guarded gateway.
var Ordinary = Mix{Notebooks: 50, Gateways: 8, Routes: 12, Services: 11, Pods: 9, Deployments: 3, Policies: 4, Entries: 2, Namespaces: 1}

// RoutesOnly is a mix of ten VirtualServices to each Gateway.
var RoutesOnly = Mix{Notebooks: 50, Gateways: 10, Routes: 50}

// Manifest is an object as somebody writes it.
type Manifest struct {
	API    resource.API
	Object map[string]any
}

// JSON returns the manifest as an API server takes it.
func (m Manifest) JSON() []byte {
	raw, err := json.Marshal(m.Object)
	if err != nil {
		panic(err) // it is made of strings, numbers, lists and maps
	}
	return raw
}

// Meta returns the namespace and the name.
func (m Manifest) Meta() (namespace, name string) {
	meta := m.Object["metadata"].(object)
	namespace, _ = meta["namespace"].(string)
	return namespace, meta["name"].(string)
}

// started is when the first object of a world was created.
var started = time.Date(2025, time.January, 1, 0, 0, 0, 0, time.UTC)

// Stored returns the manifest as the API server gives it back: with what it knows of it by itself,
// and with the fields that the one who wrote it manages, which are as long as the object.
func (m Manifest) Stored(number int) Manifest {
	out := object{}
	for k, v := range m.Object {
		out[k] = v
	}
	meta := object{}
	for k, v := range m.Object["metadata"].(object) {
		meta[k] = v
	}
	created := started.Add(time.Duration(number) * time.Second).Format(time.RFC3339)
	meta["uid"] = fmt.Sprintf("%08x-0000-4000-8000-%012x", number, number)
	meta["creationTimestamp"], meta["generation"] = created, 1
	fields := object{}
	for _, part := range []string{"metadata", "spec"} {
		if o, ok := m.Object[part].(object); ok {
			fields["f:"+part] = managed(o)
		}
	}
	meta["managedFields"] = list{object{
		"apiVersion": m.Object["apiVersion"], "fieldsType": "FieldsV1", "fieldsV1": fields,
		"manager": "kubectl-client-side-apply", "operation": "Update", "time": created,
	}}
	out["metadata"] = meta
	return Manifest{m.API, out}
}

// managed is FieldsV1 of an object: a key for each of its fields, lists as a whole.
func managed(o object) object {
	out := object{}
	for k, v := range o {
		if inner, ok := v.(object); ok {
			out["f:"+k] = managed(inner)
		} else {
			out["f:"+k] = object{}
		}
	}
	return out
}

// Decode returns the manifest as gatewarden reads it from a cluster.
func (m Manifest) Decode(number int) resource.Object {
	stored := m.Stored(number)
	delete(stored.Object["metadata"].(object), "managedFields") // as package cluster does
	o, err := decode.Object(m.API, stored.JSON())
	if err != nil {
		panic(fmt.Sprintf("worlds: %v: %v", m.Object, err))
	}
	return o
}

// Decoded returns all objects of the world as gatewarden reads them from a cluster.
func (s Shape) Decoded() []resource.Object {
	out := make([]resource.Object, 0, s.Objects)
	for m := range s.Manifests() {
		out = append(out, m.Decode(len(out)))
	}
	return out
}

// Manifests returns all objects of the world, in the order in which they were written.
func (s Shape) Manifests() iter.Seq[Manifest] {
	return func(yield func(Manifest) bool) {
		if s.Mix == (Mix{}) {
			s.Mix = Ordinary
		}
		g := &generator{random: rand.New(rand.NewPCG(s.Seed, s.Seed)), mix: s.Mix}
		// Namespaces by the hundred, of which a few have most of the objects.
		g.tenants = min(max(s.Objects/100, 3), 600)
		g.zipf = rand.NewZipf(g.random, 1.2, 8, uint64(g.tenants-1))
		g.pods = deploykf.Default().GuardedGateways[0].PodLabels
		for i := range s.Objects {
			if !yield(g.object(i)) {
				return
			}
		}
	}
}

type (
	object = map[string]any
	list   = []any
)

// generator makes the objects of a world one by one.
type generator struct {
	random  *rand.Rand
	zipf    *rand.Zipf
	mix     Mix
	tenants int
	pods    map[string]string
	served  []served // what the Gateways so far serve, of each tenant's own
}

// served is a Gateway of a tenant, and a host of it that his routes may have.
type served struct {
	tenant  int
	gateway string
	host    string // may be a wildcard
}

// object makes one object. Classes follow each other in a fixed order that spreads them, so that
// the first thousand objects of a world have the mix of the whole.
func (g *generator) object(i int) Manifest {
	m := g.mix
	total := m.Notebooks + m.Gateways + m.Routes + m.Services + m.Pods + m.Deployments + m.Policies + m.Entries + m.Namespaces
	const stride = 37 // has no divisor with 100 or 110 in common
	at := i * stride % total
	for _, class := range []struct {
		share int
		make  func(i, tenant int) Manifest
	}{
		{m.Gateways, g.gateway}, {m.Notebooks, g.notebook}, {m.Routes, g.route}, {m.Services, g.service}, {m.Pods, g.pod},
		{m.Deployments, g.deployment}, {m.Policies, g.policy}, {m.Entries, g.entry}, {m.Namespaces, g.namespace},
	} {
		if at < class.share {
			return class.make(i, int(g.zipf.Uint64()))
		}
		at -= class.share
	}
	panic("worlds: a mix without a class")
}

// Each tenant has a profile, with notebooks and what they run on, and a team's namespace, from which
// he serves hosts of his own.
func profile(tenant int) string { return fmt.Sprintf("profile-%d", tenant) }
func team(tenant int) string    { return fmt.Sprintf("team-%d", tenant) }

// written makes the manifest of an object in a tenant's namespace, as it comes out of a chart.
func (g *generator) written(kind resource.Kind, tenant int, name string, spec object) Manifest {
	namespace := profile(tenant)
	if kind == resource.KindGateway {
		namespace = team(tenant)
	}
	api := resource.ByKind(kind)
	version := api.Versions[0]
	if api.Group != "" {
		version = api.Group + "/" + version
	}
	return Manifest{api, object{
		"apiVersion": version, "kind": string(kind), "spec": spec,
		"metadata": object{
			"namespace": namespace, "name": name,
			"labels": object{
				"app.kubernetes.io/name": name, "app.kubernetes.io/managed-by": "Helm",
				"team": fmt.Sprintf("team-%d", tenant), "cost-centre": fmt.Sprint(1000 + tenant%200),
			},
		},
	}}
}

// notebook makes what Kubeflow's notebook controller makes for a notebook.
func (g *generator) notebook(i, tenant int) Manifest {
	ns, name := profile(tenant), fmt.Sprintf("nb%d", i)
	prefix := "/notebook/" + ns + "/" + name + "/"
	return g.written(resource.KindVirtualService, tenant, "notebook-"+ns+"-"+name, object{
		"hosts": list{"*"}, "gateways": list{"deploykf-istio-gateway/deploykf-gateway"},
		"http": list{object{
			"match":   list{object{"uri": object{"prefix": prefix}}},
			"rewrite": object{"uri": prefix},
			"route":   list{destination(name + "." + ns + ".svc.cluster.local")},
		}},
	})
}

func destination(host string) object {
	return object{"destination": object{"host": host, "port": object{"number": 80}}}
}

// gateway makes one with hosts of the tenant's own: on the guarded pods, or on one of some dozens of
// other gateways. Some have all names below a domain. Domains of many are one of a kind.
func (g *generator) gateway(i, tenant int) Manifest {
	name := fmt.Sprintf("gw%d", i)
	selector := object{}
	switch g.random.IntN(5) {
	case 0, 1:
		for k, v := range g.pods {
			selector[k] = v
		}
	default:
		selector["istio"] = fmt.Sprintf("gateway-%d", g.random.IntN(60))
	}
	domain := fmt.Sprintf("app%d.team-%d.example.org", i, tenant)
	switch g.random.IntN(10) {
	case 0:
		domain = fmt.Sprintf("shop-%d.example.%s", i, []string{"com", "net", "io", "dev"}[g.random.IntN(4)])
	case 1:
		domain = fmt.Sprintf("*.zone%d.team-%d.example.org", i, tenant)
	}
	hosts := list{domain}
	if domain[0] != '*' {
		for more := range g.random.IntN(3) {
			hosts = append(hosts, fmt.Sprintf("%c.%s", 'a'+more, domain))
		}
	}
	g.served = append(g.served, served{tenant, name, domain})
	return g.written(resource.KindGateway, tenant, name, object{
		"selector": selector,
		"servers": list{object{
			"port":  object{"number": 443, "name": "https", "protocol": "HTTPS"},
			"hosts": hosts, "tls": object{"mode": "SIMPLE", "credentialName": name + "-cert"},
		}},
	})
}

// route makes a VirtualService with several routes on a Gateway of the same tenant.
func (g *generator) route(i, tenant int) Manifest {
	on := served{tenant, "deploykf-istio-gateway/none-yet", fmt.Sprintf("early%d.example.org", i)}
	if len(g.served) > 0 {
		on = g.served[g.random.IntN(len(g.served))]
	}
	host := on.host
	if host[0] == '*' {
		host = fmt.Sprintf("r%d%s", i, host[1:])
	}
	ns := team(on.tenant)
	var routes list
	for r := range 1 + g.random.IntN(3) {
		routes = append(routes, object{
			"name":    fmt.Sprintf("r%d", r),
			"match":   list{object{"uri": object{"prefix": fmt.Sprintf("/v%d/%d/", r, i)}}},
			"route":   list{destination(fmt.Sprintf("web-%d.%s.svc.cluster.local", r, ns))},
			"timeout": "30s", "retries": object{"attempts": 3, "perTryTimeout": "2s"},
		})
	}
	m := g.written(resource.KindVirtualService, on.tenant, fmt.Sprintf("web%d", i), object{
		"hosts": list{host}, "gateways": list{on.gateway}, "http": routes,
	})
	m.Object["metadata"].(object)["namespace"] = ns
	return m
}

func address(network, i int) string {
	return fmt.Sprintf("10.%d.%d.%d", network+i>>16, i>>8&255, i&255)
}

func (g *generator) service(i, tenant int) Manifest {
	name := fmt.Sprintf("svc%d", i)
	return g.written(resource.KindService, tenant, name, object{
		"selector": object{"app": name}, "clusterIP": address(96, i), "clusterIPs": list{address(96, i)},
		"ports": list{object{"name": "http", "port": 80, "targetPort": 8888, "protocol": "TCP"}},
	})
}

// template is a pod of an application with the labels.
func template(labels object) object {
	return object{
		"metadata": object{"labels": labels},
		"spec": object{"containers": list{object{
			"name": "app", "image": "registry.example.org/app:1.0", "ports": list{object{"containerPort": 8888, "name": "http"}},
			"resources": object{"requests": object{"cpu": "500m", "memory": "1Gi"}},
		}}},
	}
}

// podLabels are those of an application, of some hundreds of them.
func (g *generator) podLabels(i int) object {
	return object{"app": fmt.Sprintf("app%d", i%300), "version": fmt.Sprintf("v%d", g.random.IntN(9)), "notebook-name": fmt.Sprintf("nb%d", i)}
}

func (g *generator) pod(i, tenant int) Manifest {
	t := template(g.podLabels(i))
	m := g.written(resource.KindPod, tenant, fmt.Sprintf("nb%d-0", i), t["spec"].(object))
	m.Object["metadata"].(object)["labels"] = t["metadata"].(object)["labels"]
	m.Object["status"] = object{"phase": "Running", "podIP": address(16, i), "podIPs": list{object{"ip": address(16, i)}}}
	return m
}

func (g *generator) deployment(i, tenant int) Manifest {
	labels := g.podLabels(i)
	return g.written(resource.KindDeployment, tenant, fmt.Sprintf("app%d", i), object{
		"replicas": 1, "selector": object{"matchLabels": labels}, "template": template(labels),
	})
}

// policy makes what deployKF makes for a profile, and what its owner adds.
func (g *generator) policy(i, tenant int) Manifest {
	name := fmt.Sprintf("policy%d", i)
	if g.random.IntN(2) == 0 {
		return g.written(resource.KindPeerAuthentication, tenant, name, object{
			"selector": object{"matchLabels": object{"app": fmt.Sprintf("app%d", g.random.IntN(300))}}, "mtls": object{"mode": "STRICT"},
		})
	}
	return g.written(resource.KindAuthorizationPolicy, tenant, name, object{
		"action": "ALLOW", "selector": object{"matchLabels": object{"app": fmt.Sprintf("app%d", g.random.IntN(300))}},
		"rules": list{object{"when": list{object{"key": "request.headers[kubeflow-userid]", "values": list{fmt.Sprintf("user%d@example.com", i)}}}}},
	})
}

// entry makes a ServiceEntry or a DestinationRule of something outside of the cluster.
func (g *generator) entry(i, tenant int) Manifest {
	host := fmt.Sprintf("api%d.partner.example.net", i)
	if g.random.IntN(2) == 0 {
		return g.written(resource.KindServiceEntry, tenant, fmt.Sprintf("api%d", i), object{
			"hosts": list{host}, "location": "MESH_EXTERNAL", "resolution": "DNS", "exportTo": list{"."},
			"ports": list{object{"number": 443, "name": "tls", "protocol": "TLS"}},
		})
	}
	return g.written(resource.KindDestinationRule, tenant, fmt.Sprintf("api%d", i), object{
		"host": host, "exportTo": list{"."}, "trafficPolicy": object{"tls": object{"mode": "SIMPLE"}},
	})
}

// namespace makes the namespace of a profile as long as there are profiles without one, and that of
// nobody after that.
func (g *generator) namespace(i, _ int) Manifest {
	name := fmt.Sprintf("other-%d", i)
	labels := object{"kubernetes.io/metadata.name": name}
	if n := i / max(1, 100/g.mix.Namespaces); n < g.tenants {
		name = profile(n)
		labels = object{"kubernetes.io/metadata.name": name, "istio-injection": "enabled", "app.kubernetes.io/part-of": "kubeflow-profile"}
	}
	m := g.written(resource.KindNamespace, 0, name, object{})
	m.Object["metadata"] = object{"name": name, "labels": labels}
	return m
}

// Samples returns the first manifest of each kind of a world that is large enough to have all.
func Samples() []Manifest {
	var out []Manifest
	seen := map[resource.Kind]bool{}
	for m := range (Shape{Objects: 200, Seed: 1}).Manifests() {
		if !seen[m.API.Kind] {
			seen[m.API.Kind] = true
			out = append(out, m)
		}
	}
	return out
}

// Review returns the AdmissionReview that an API server sends before it stores a manifest.
func (m Manifest) Review(operation string, number int) []byte {
	namespace, name := m.Meta()
	group, version := m.API.Group, m.API.Versions[0]
	kind := object{"group": group, "version": version, "kind": m.API.Name()}
	plural := object{"group": group, "version": version, "resource": m.API.Resource}
	stored := m.Stored(number).Object
	q := object{
		"uid": fmt.Sprintf("705ab4f5-6393-11e8-b7cc-%012x", number), "operation": operation, "name": name, "namespace": namespace,
		"kind": kind, "resource": plural, "requestKind": kind, "requestResource": plural, "dryRun": false,
		"userInfo": object{
			"username": "system:serviceaccount:" + namespace + ":default-editor", "uid": "014fbff9-a07f-4c1f-b8a9-2c3d3b1c5f2e",
			"groups": list{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
			"extra":  object{"authentication.kubernetes.io/credential-id": list{"JTI=7ee52be0-9045-4653-aa5e-0da57b8dccdc"}},
		},
		"options": object{"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions", "fieldManager": "kubectl-client-side-apply"},
	}
	q["object"], q["oldObject"] = stored, nil
	switch operation {
	case "UPDATE":
		q["oldObject"] = stored
	case "DELETE":
		q["object"], q["oldObject"] = nil, stored
	}
	return Manifest{m.API, object{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": q}}.JSON()
}
