package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	ctrlclient "sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/gatewarden/gatewarden/pkg/ledgerstore"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/test/apiserver"
)

// contest is a kind of pairs: objects of two teams, of which any one may be stored, but not both. In
// each, N is the number of the pair.
type contest struct {
	name string
	// before is what is there first.
	before []string
	// one and two are created. If they are in before, they are updated.
	one, two string
	update   bool
	// ordered is set if two is denied after one, but not the other way round.
	ordered bool
}

const (
	https = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web-N, namespace: TEAM}
spec:
  selector: {istio: deploykf-gateway}
  servers:
  - port: {number: PORT, name: web, protocol: HTTPS}
    hosts: ["HOST"]
    tls: {mode: SIMPLE, credentialName: cert}
`
	plain = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web-N, namespace: TEAM}
spec:
  selector: {istio: deploykf-gateway}
  servers:
  - port: {number: PORT, name: web, protocol: HTTP}
    hosts: ["HOST"]
`
	route = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web-N, namespace: TEAM}
spec:
  gateways: [GATEWAY]
  hosts: ["HOST"]
  http:
  - match: [{uri: {prefix: PATH}}]
    route: [{destination: {host: app.TEAM.svc.cluster.local}}]
`
	ingress = `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web-N, namespace: TEAM, annotations: {kubernetes.io/ingress.class: istio}}
spec:
  tls: [{hosts: [HOST], secretName: cert}]
  rules:
  - host: HOST
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
`
)

// with fills in a manifest.
func with(manifest string, pairs ...string) string {
	return strings.NewReplacer(pairs...).Replace(manifest)
}

// contests are what races.
var contests = []contest{
	{
		name: "same host",
		one:  with(https, "TEAM", "team-a", "PORT", "443", "HOST", "app-N.example.org"),
		two:  with(https, "TEAM", "team-b", "PORT", "443", "HOST", "app-N.example.org"),
	},
	{
		name: "wildcard against exact",
		one:  with(https, "TEAM", "team-a", "PORT", "443", "HOST", "*.w-N.example.org"),
		two:  with(https, "TEAM", "team-b", "PORT", "443", "HOST", "app.w-N.example.org"),
		// Who has a name keeps it when somebody else serves the wildcard.
		ordered: true,
	},
	{
		name: "HTTP against TLS on one port",
		one:  with(https, "TEAM", "team-a", "PORT", "2NUMBER", "HOST", "a-N.example.org"),
		two:  with(plain, "TEAM", "team-b", "PORT", "2NUMBER", "HOST", "b-N.example.org"),
	},
	{
		name:   "same tenant path",
		before: []string{with(https, "TEAM", "team-c", "PORT", "443", "HOST", "path-N.example.org")},
		one:    with(route, "TEAM", "team-a", "GATEWAY", "team-c/web-N", "HOST", "path-N.example.org", "PATH", "/api/"),
		two:    with(route, "TEAM", "team-b", "GATEWAY", "team-c/web-N", "HOST", "path-N.example.org", "PATH", "/api/"),
	},
	{
		name: "VirtualService against Gateway",
		one:  with(route, "TEAM", "team-a", "GATEWAY", "team-c/any", "HOST", "app.vs-N.example.org", "PATH", "/"),
		two:  with(https, "TEAM", "team-b", "PORT", "9443", "HOST", "*.vs-N.example.org"),
		// Who has the wildcard shares it with whoever comes through another Gateway.
		ordered: true,
	},
	{
		name: "VirtualService against Gateway (plain)",
		before: []string{
			with(plain, "TEAM", "team-b", "PORT", "80", "HOST", "vs-N.example.org"),
			with(route, "TEAM", "team-a", "GATEWAY", "own-N", "HOST", "vs-N.example.org", "PATH", "/api/"),
		},
		one: with(route, "TEAM", "team-b", "GATEWAY", "web-N", "HOST", "vs-N.example.org", "PATH", "/"),
		two: with(plain, "web-N", "own-N", "TEAM", "team-a", "PORT", "80", "HOST", "*.example.org"),
		// The other way round it is the owner of the host who adds to his own.
		ordered: true,
	},
	{
		name: "Gateway against Ingress",
		one:  with(https, "TEAM", "team-a", "PORT", "443", "HOST", "ing-N.example.org"),
		two:  with(ingress, "TEAM", "team-b", "HOST", "ing-N.example.org"),
	},
	{
		name: "updates to one host",
		before: []string{
			with(https, "TEAM", "team-a", "PORT", "443", "HOST", "from-a-N.example.org"),
			with(https, "TEAM", "team-b", "PORT", "443", "HOST", "from-b-N.example.org"),
		},
		one:    with(https, "TEAM", "team-a", "PORT", "443", "HOST", "to-N.example.org"),
		two:    with(https, "TEAM", "team-b", "PORT", "443", "HOST", "to-N.example.org"),
		update: true,
	},
	{
		name: "an update and a create for one host",
		before: []string{
			with(https, "TEAM", "team-a", "PORT", "443", "HOST", "before-N.example.org"),
		},
		one:    with(https, "TEAM", "team-a", "PORT", "443", "HOST", "after-N.example.org"),
		two:    with(https, "TEAM", "team-b", "PORT", "443", "HOST", "after-N.example.org"),
		update: true,
	},
}

// object makes an object of a manifest.
func object(manifest string, n int) *unstructured.Unstructured {
	o := &unstructured.Unstructured{}
	// Ports of their own for pairs that run at the same time.
	text := with(manifest, "-N", fmt.Sprint("-", n), "2NUMBER", fmt.Sprint(20000+n%10000))
	if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
		panic(err)
	}
	return o
}

// of returns the client of an object.
func of(client dynamic.Interface, o *unstructured.Unstructured) dynamic.ResourceInterface {
	gvk := o.GroupVersionKind()
	api, known := resource.Lookup(gvk.GroupVersion().String(), gvk.Kind)
	if !known {
		panic("no kind of gatewarden's: " + gvk.String())
	}
	return client.Resource(gvk.GroupVersion().WithResource(api.Resource)).Namespace(o.GetNamespace())
}

// write creates an object, or updates it if it is there.
func write(ctx context.Context, client dynamic.Interface, o *unstructured.Unstructured) error {
	stored, err := of(client, o).Get(ctx, o.GetName(), metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		_, err = of(client, o).Create(ctx, o, metav1.CreateOptions{})
	case err == nil:
		o.SetResourceVersion(stored.GetResourceVersion())
		_, err = of(client, o).Update(ctx, o, metav1.UpdateOptions{})
	}
	return err
}

// answer is what came of a request, in a few words.
func answer(err error) string {
	switch status := apierrors.APIStatus(nil); {
	case err == nil:
		return admitted
	case apierrors.IsForbidden(err):
		return denied
	case apierrors.IsTooManyRequests(err):
		return busy
	case errors.As(err, &status):
		return fmt.Sprint(unjudged, " ", status.Status().Code)
	}
	return unjudged
}

const (
	admitted = "admitted"
	denied   = "denied"
	busy     = "busy"
	unjudged = "not judged"
)

// outcome is what came of a pair.
type outcome struct {
	answers [2]string
	// first is the index of the one that was entered into the ledger first, as far as it tells.
	first int
}

// both reports whether both were admitted though one had to be denied: in a contest in which the order
// matters, the ledger's order is the one that counts.
func (c *contest) both(o outcome) bool {
	return o.answers == [2]string{admitted, admitted} && (!c.ordered || o.first == 0)
}

var configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}

// order returns the index of the object that was entered into the ledger first.
func order(ctx context.Context, client dynamic.Interface, both []*unstructured.Unstructured) (int, error) {
	entries, err := client.Resource(configMaps).Namespace(apiserver.Namespace).
		List(ctx, metav1.ListOptions{LabelSelector: ledgerstore.Label})
	if err != nil {
		return 0, err
	}
	var at [2]uint64
	for _, e := range entries.Items {
		data, _, err := unstructured.NestedStringMap(e.Object, "data")
		if err != nil {
			return 0, err
		}
		for i, o := range both {
			if data["kind"] == o.GetKind() && data["namespace"] == o.GetNamespace() && data["name"] == o.GetName() {
				at[i] = resource.ParseVersion(e.GetResourceVersion())
			}
		}
	}
	if at[1] < at[0] {
		return 1, nil
	}
	return 0, nil
}

// persistently does something until it succeeds or the context ends: an API server may be restarting.
func persistently(ctx context.Context, f func() error) error {
	return wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, 2*time.Minute, true, func(context.Context) (bool, error) { return f() == nil, nil })
}

// wasStored reports whether an object is stored as it was written.
func wasStored(ctx context.Context, client dynamic.Interface, o *unstructured.Unstructured) bool {
	there := false
	_ = persistently(ctx, func() error {
		stored, err := of(client, o).Get(ctx, o.GetName(), metav1.GetOptions{})
		there = err == nil && equality.Semantic.DeepEqual(stored.Object["spec"], o.Object["spec"])
		return ctrlclient.IgnoreNotFound(err)
	})
	return there
}

// race runs a pair.
func (c *contest) race(ctx context.Context, client dynamic.Interface, n int) (result outcome, err error) {
	var cleanup []*unstructured.Unstructured
	defer func() {
		for _, o := range cleanup {
			_ = persistently(ctx, func() error {
				return ctrlclient.IgnoreNotFound(of(client, o).Delete(ctx, o.GetName(), metav1.DeleteOptions{}))
			})
		}
	}()
	for _, manifest := range c.before {
		o := object(manifest, n)
		cleanup = append(cleanup, o)
		if err := write(ctx, client, o); err != nil {
			return result, fmt.Errorf("%s: %w", o.GetName(), err)
		}
	}
	both := []*unstructured.Unstructured{object(c.one, n), object(c.two, n)}
	for _, o := range both {
		cleanup = append(cleanup, o)
		if c.update {
			if stored, err := of(client, o).Get(ctx, o.GetName(), metav1.GetOptions{}); err == nil {
				o.SetResourceVersion(stored.GetResourceVersion())
			}
		}
	}
	start := make(chan struct{})
	var group sync.WaitGroup
	for i, o := range both {
		group.Go(func() {
			<-start
			var err error
			if o.GetResourceVersion() != "" {
				_, err = of(client, o).Update(ctx, o, metav1.UpdateOptions{})
			} else {
				_, err = of(client, o).Create(ctx, o, metav1.CreateOptions{})
			}
			result.answers[i] = answer(err)
			if err != nil && !slices.Contains([]string{denied, busy}, result.answers[i]) && wasStored(ctx, client, o) {
				result.answers[i] = admitted // the answer was lost
			}
		})
	}
	close(start)
	group.Wait()
	if c.ordered && result.answers == [2]string{admitted, admitted} {
		result.first, err = order(ctx, client, both)
	}
	return result, err
}
