package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/gatewarden/gatewarden/pkg/manifest"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/test/apiserver"
	"github.com/gatewarden/gatewarden/test/module"
	"github.com/gatewarden/gatewarden/test/worlds"
)

// clusterResult is what a real API server says of gatewarden.
type clusterResult struct {
	Objects int `json:"objects"`
	// Requests were made one after another on each side.
	Requests int `json:"requests"`
	// Without gatewarden, with it, and with its ledger in the cluster, as deploy/ has it.
	Without apiserverCost `json:"without"`
	With    apiserverCost `json:"with"`
	Ledger  apiserverCost `json:"ledger"`
	// Asked and Spared are evaluations of a webhook for a request that its rules match: those in
	// which the API server asked, and those in which a matchCondition kept it from asking.
	Asked  uint64 `json:"asked"`
	Spared uint64 `json:"spared"`
	// List is how long a bare list of the same kinds takes, Ready how long gatewarden takes from
	// its start until it is ready, and Resident its memory then.
	List     time.Duration `json:"list"`
	Ready    time.Duration `json:"ready"`
	Resident uint64        `json:"resident"`
}

// apiserverCost is what an API server says of requests.
type apiserverCost struct {
	// Request is how long it took for one, and Webhook how long it waited for gatewarden where it asked.
	Request time.Duration `json:"request"`
	Webhook time.Duration `json:"webhook"`
}

// loaders is how many requests for new objects are on their way at a time.
const loaders = 24

// listers is how many kinds are listed at a time for comparison: what gatewarden does, which begins
// all at once, on the two CPUs that this has at least.
const listers = 32

// cluster is an API server with clients.
type cluster struct {
	*apiserver.Server
	client    dynamic.Interface
	discovery *discovery.DiscoveryClient
	program   string
}

// measureCluster fills an API server with a world of n objects, and makes so many more requests with
// and without gatewarden, in turns.
func measureCluster(ctx context.Context, n, requests, turns int) (out clusterResult, err error) {
	dir, err := os.MkdirTemp("", "gatewarden-bench-")
	if err != nil {
		return out, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	program, err := apiserver.BuildGuard(ctx, dir)
	if err != nil {
		return out, err
	}
	server, err := apiserver.Start(ctx, apiserver.Options{RequestTimeout: 30 * time.Second})
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	config := rest.CopyConfig(server.Config)
	config.QPS = -1 // as fast as it can
	config.WarningHandlerWithContext = rest.NoWarnings{}
	c := &cluster{Server: server, program: program}
	if c.client, err = dynamic.NewForConfig(config); err != nil {
		return out, err
	}
	if c.discovery, err = discovery.NewDiscoveryClientForConfig(config); err != nil {
		return out, err
	}
	out.Objects, out.Requests = n, requests*turns
	return out, c.measure(ctx, &out, worlds.Shape{Objects: n + 3*requests*turns, Seed: seed}, requests, turns)
}

func (c *cluster) measure(ctx context.Context, out *clusterResult, shape worlds.Shape, requests, turns int) error {
	if err := c.prepare(ctx, shape); err != nil {
		return err
	}
	next, stop := iter.Pull(shape.Manifests())
	defer stop()
	if err := c.load(ctx, next, out.Objects, loaders); err != nil {
		return err
	}
	if err := c.measureStart(ctx, out); err != nil {
		return err
	}
	var spent, hooks [3]mean
	before, err := c.metrics(ctx)
	if err != nil {
		return err
	}
	for range turns {
		for side := range spent {
			measured := func() error {
				s, h, err := c.turn(ctx, next, requests)
				spent[side].add(s)
				hooks[side].add(h)
				return err
			}
			switch side {
			case 0:
				err = measured()
			case 1:
				err = c.guarded(ctx, "off", measured)
			default:
				err = c.guarded(ctx, "cluster", measured)
			}
			if err != nil {
				return err
			}
		}
	}
	after, err := c.metrics(ctx)
	if err != nil {
		return err
	}
	for side, cost := range []*apiserverCost{&out.Without, &out.With, &out.Ledger} {
		cost.Request, cost.Webhook = spent[side].time(), hooks[side].time()
	}
	out.Asked = uint64(sum(after, webhookDuration, ours).minus(sum(before, webhookDuration, ours)).count)
	out.Spared = uint64(sum(after, exclusions, ours).minus(sum(before, exclusions, ours)).total)
	return nil
}

// turn makes requests one after another, and tells what the API server says they took in all, and
// how long it waited for webhooks.
func (c *cluster) turn(ctx context.Context, next func() (worlds.Manifest, bool), requests int) (spent, hooks mean, err error) {
	before, err := c.metrics(ctx)
	if err != nil {
		return spent, hooks, err
	}
	if err := c.load(ctx, next, requests, 1); err != nil {
		return spent, hooks, err
	}
	after, err := c.metrics(ctx)
	if err != nil {
		return spent, hooks, err
	}
	return sum(after, requestDuration, creates).minus(sum(before, requestDuration, creates)),
		sum(after, webhookDuration, ours).minus(sum(before, webhookDuration, ours)), nil
}

// guarded calls f while gatewarden judges, with its ledger where it is said.
func (c *cluster) guarded(ctx context.Context, ledger string, f func() error) (err error) {
	p, err := c.StartGuard(ctx, c.program, io.Discard, "--audit-interval", "0", "--ledger", ledger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	if err := c.Register(ctx); err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	if err := c.Uninstall(ctx); err != nil {
		return err
	}
	// The API server notices a moment later, and must not ask who is gone.
	return c.waitUntilUnguarded(ctx)
}

// waitUntilUnguarded waits until nobody is asked any more about what nobody may do.
func (c *cluster) waitUntilUnguarded(ctx context.Context) error {
	o := worlds.Samples()[0]
	for _, m := range worlds.Samples() {
		if m.API.Kind == resource.KindVirtualService {
			o = m
		}
	}
	quiet := 0
	for quiet < 3 {
		before, err := c.metrics(ctx)
		if err != nil {
			return err
		}
		u := unstructuredOf(o)
		u.SetName("probe")
		if _, err := c.resource(o).Create(ctx, u, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
			return err
		}
		after, err := c.metrics(ctx)
		if err != nil {
			return err
		}
		quiet++
		if sum(after, webhookDuration, ours).count > sum(before, webhookDuration, ours).count {
			quiet = 0
		}
		time.Sleep(100 * time.Millisecond)
	}
	return nil
}

// prepare makes the namespaces of a world, and deployKF's own objects.
func (c *cluster) prepare(ctx context.Context, shape worlds.Shape) error {
	root, err := module.Dir(ctx, module.Gatewarden)
	if err != nil {
		return err
	}
	documents, err := manifest.Read([]string{filepath.Join(root, "examples", "deploykf")}, nil)
	if err != nil {
		return err
	}
	for _, first := range []bool{true, false} {
		for _, d := range documents {
			if (d.API.Kind == resource.KindNamespace) != first {
				continue
			}
			u := &unstructured.Unstructured{}
			if err := u.UnmarshalJSON(d.Raw); err != nil {
				return err
			}
			if err := c.Admin.Create(ctx, u).Err; err != nil && !apierrors.IsAlreadyExists(err) {
				return fmt.Errorf("%s:%d: %w", d.File, d.Line, err)
			}
		}
	}
	names := map[string]bool{}
	for m := range shape.Manifests() {
		if namespace, _ := m.Meta(); namespace != "" {
			names[namespace] = true
		}
	}
	var group errgroup.Group
	group.SetLimit(loaders)
	for name := range names {
		group.Go(func() error {
			u := &unstructured.Unstructured{}
			u.SetAPIVersion("v1")
			u.SetKind("Namespace")
			u.SetName(name)
			if strings.HasPrefix(name, "profile-") {
				u.SetLabels(map[string]string{"istio-injection": "enabled", "app.kubernetes.io/part-of": "kubeflow-profile"})
			}
			if err := c.Admin.Create(ctx, u).Err; err != nil && !apierrors.IsAlreadyExists(err) {
				return err
			}
			return nil
		})
	}
	return group.Wait()
}

// load creates the next objects of a world.
func (c *cluster) load(ctx context.Context, next func() (worlds.Manifest, bool), n, atATime int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atATime)
	for range n {
		m, ok := next()
		if !ok {
			return fmt.Errorf("the world has too few objects")
		}
		group.Go(func() error {
			_, err := c.resource(m).Create(ctx, unstructuredOf(m), metav1.CreateOptions{})
			if err != nil && !apierrors.IsAlreadyExists(err) { // a namespace that was needed before
				namespace, name := m.Meta()
				return fmt.Errorf("creating %s %s/%s: %w", m.API.Kind, namespace, name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

func (c *cluster) resource(m worlds.Manifest) dynamic.ResourceInterface {
	all := c.client.Resource(schema.GroupVersionResource{Group: m.API.Group, Version: m.API.Versions[0], Resource: m.API.Resource})
	if namespace, _ := m.Meta(); namespace != "" {
		return all.Namespace(namespace)
	}
	return all
}

// unstructuredOf makes an object to send, without what is for an API server to give.
func unstructuredOf(m worlds.Manifest) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(m.JSON()); err != nil {
		panic(err) // it has an apiVersion and a kind
	}
	unstructured.RemoveNestedField(u.Object, "status")
	unstructured.RemoveNestedField(u.Object, "spec", "clusterIPs")
	if m.API.Kind == resource.KindService {
		// The range of this API server's addresses has room for some hundreds.
		u.Object["spec"].(map[string]any)["clusterIP"] = "None"
	}
	return u
}

// measureStart compares the start of gatewarden with a list of what it reads, in turns.
func (c *cluster) measureStart(ctx context.Context, out *clusterResult) error {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(c.GuardCA())
	var lists, starts []time.Duration
	for range 3 {
		begin := time.Now()
		if err := c.list(ctx); err != nil {
			return err
		}
		lists = append(lists, time.Since(begin))
		ready := &readyAt{begin: time.Now()}
		p, err := c.StartGuard(ctx, c.program, ready, "--audit-interval", "0")
		if err != nil {
			return err
		}
		starts = append(starts, ready.took)
		out.Resident = max(out.Resident, resident(p.PID()))
		if err := p.Stop(); err != nil {
			return err
		}
	}
	out.List, out.Ready = slices.Min(lists), slices.Min(starts)
	return nil
}

// readyAt notes when a program says that its state is known.
type readyAt struct {
	begin time.Time
	took  time.Duration
}

func (r *readyAt) Write(p []byte) (int, error) {
	if r.took == 0 && bytes.Contains(p, []byte(`"synced":true`)) {
		r.took = time.Since(r.begin)
	}
	return len(p), nil
}

// list lists every kind that gatewarden reads and the cluster serves, as plainly as can be.
func (c *cluster) list(ctx context.Context) error {
	var group errgroup.Group
	group.SetLimit(listers)
	for _, api := range resource.APIs {
		group.Go(func() error {
			_, err := c.client.Resource(schema.GroupVersionResource{Group: api.Group, Version: api.Versions[0], Resource: api.Resource}).List(ctx, metav1.ListOptions{})
			if apierrors.IsNotFound(err) {
				return nil
			}
			return err
		})
	}
	return group.Wait()
}

// The metrics of the API server that are read.
const (
	webhookDuration = "apiserver_admission_webhook_admission_duration_seconds"
	requestDuration = "apiserver_request_duration_seconds"
	exclusions      = "apiserver_admission_match_condition_exclusions_total"
)

// ours are the webhooks of gatewarden.
func ours(labels map[string]string) bool { return strings.HasSuffix(labels["name"], ".gatewarden.io") }

// creates are requests that create what a world has.
func creates(labels map[string]string) bool {
	return labels["verb"] == "POST" && labels["subresource"] == "" && labels["dry_run"] == "" &&
		(strings.HasSuffix(labels["group"], "istio.io") || labels["resource"] == "services" || labels["resource"] == "pods" || labels["resource"] == "deployments")
}

// mean adds up what several observations took.
type mean struct {
	total float64 // seconds, or a count
	count float64
}

func (m *mean) add(o mean)       { m.total += o.total; m.count += o.count }
func (m mean) minus(o mean) mean { return mean{m.total - o.total, m.count - o.count} }
func (m mean) time() time.Duration {
	if m.count == 0 {
		return 0
	}
	return time.Duration(m.total / m.count * float64(time.Second))
}

// sum adds up the series of a metric that are wanted.
func sum(families map[string]*dto.MetricFamily, name string, wanted func(map[string]string) bool) mean {
	var out mean
	for _, m := range families[name].GetMetric() {
		labels := map[string]string{}
		for _, l := range m.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		if !wanted(labels) {
			continue
		}
		out.total += m.GetCounter().GetValue() + m.GetHistogram().GetSampleSum()
		out.count += float64(m.GetHistogram().GetSampleCount())
	}
	return out
}

// metrics reads what the API server tells about itself.
func (c *cluster) metrics(ctx context.Context) (map[string]*dto.MetricFamily, error) {
	raw, err := c.discovery.RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(bytes.NewReader(raw))
}
