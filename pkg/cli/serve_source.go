package cli

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/gatewarden/gatewarden/pkg/cluster"
	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/metrics"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
)

// The rate of requests to the API server. client-go's default of 5 a second makes the first
// lists of all kinds wait for each other.
const (
	clientQPS   = 50
	clientBurst = 100
)

// stateSource is where the state comes from.
type stateSource struct {
	writer   *state.Writer
	recorder *lateRecorder
	cluster  *cluster.Cluster // nil for manifests
	client   *rest.Config     // of the cluster
	after    <-chan struct{}  // closed when the ledger was listed; nil without one
}

// lateRecorder stands for a recorder that is made after those who use it: the metrics show
// the state, and the state is counted in the metrics.
type lateRecorder struct{ metrics.Recorder }

// source reads the manifests, or prepares the watches of a cluster.
func (o serveOptions) source(s streams, cfg *config.Configuration, log *slog.Logger) (*stateSource, error) {
	out := &stateSource{writer: state.NewWriter(), recorder: &lateRecorder{metrics.Discard{}}}
	if len(o.cluster) > 0 {
		there, err := readState(s, o.cluster)
		if err != nil {
			return nil, fmt.Errorf("--cluster: %w", err)
		}
		out.writer.Apply(objects(newChecker(cfg, policy.Requester{}, there).snapshot)...)
		return out, nil
	}
	client, err := o.clientConfig()
	if err != nil {
		return nil, err
	}
	options, err := clusterOptions(client, out.writer, log)
	if err != nil {
		return nil, err
	}
	options.Recorder, options.ConfigMaps = out.recorder, cfg.Mesh.RootNamespace
	out.cluster, out.client = cluster.New(options), client
	return out, nil
}

// clusterOptions makes the clients that a Cluster works with.
func clusterOptions(client *rest.Config, w *state.Writer, log *slog.Logger) (cluster.Options, error) {
	d, err := dynamicClient(client)
	if err != nil {
		return cluster.Options{}, err
	}
	kinds, err := discovery.NewDiscoveryClientForConfig(client)
	if err != nil {
		return cluster.Options{}, fmt.Errorf("the cluster's API server: %w", err)
	}
	return cluster.Options{Dynamic: d, Discovery: kinds, Writer: w, Log: log}, nil
}

func (o serveOptions) clientConfig() (*rest.Config, error) {
	if o.kubeconfig != "" {
		return kubeconfigFile(o.kubeconfig, "")
	}
	client, err := rest.InClusterConfig()
	if errors.Is(err, rest.ErrNotInCluster) {
		return nil, errors.New("no state: gatewarden does not run in a cluster; give --kubeconfig, or --cluster with manifests")
	}
	if err != nil {
		return nil, fmt.Errorf("the cluster that gatewarden runs in: %w", err)
	}
	return client, nil
}

// kubeconfigFile reads a kubeconfig file, for a context of it or, for "", its current one.
func kubeconfigFile(path, context string) (*rest.Config, error) {
	file, err := clientcmd.LoadFromFile(path)
	switch {
	case errors.As(err, new(*fs.PathError)):
		return nil, fmt.Errorf("--kubeconfig: %w", err)
	case err != nil:
		return nil, fmt.Errorf("--kubeconfig %s: this is no kubeconfig file: %w", path, err)
	case len(file.Clusters) == 0:
		return nil, fmt.Errorf("--kubeconfig %s: this is no kubeconfig file: it names no cluster", path)
	}
	client, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		&clientcmd.ClientConfigLoadingRules{ExplicitPath: path}, &clientcmd.ConfigOverrides{CurrentContext: context}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("--kubeconfig %s: %w", path, err)
	}
	return client, nil
}

// objects returns everything that a snapshot holds.
func objects(s *state.Snapshot) []resource.Object {
	var out []resource.Object
	for _, api := range resource.APIs {
		s.Each(api.Kind, "", func(o resource.Object) bool {
			out = append(out, o)
			return true
		})
	}
	return out
}

// run keeps the state current until the context ends.
func (s *stateSource) run(ctx context.Context) {
	if s.cluster == nil {
		<-ctx.Done()
		return
	}
	s.afterLedger(ctx)
	s.cluster.Run(ctx)
}

// synced reports whether the state is complete enough to judge by. Manifests are from the
// start.
func (s *stateSource) synced() bool { return s.cluster == nil || s.cluster.Synced() }

// pending says why the state is not complete, or nil.
func (s *stateSource) pending() error {
	if s.synced() {
		return nil
	}
	return s.cluster.Pending()
}

// reloadInterval is how often the configuration is read again. A mounted ConfigMap takes up
// to a minute to change anyway.
const reloadInterval = 10 * time.Second

// reloader keeps the engine in step with the configuration file.
type reloader struct {
	path     string // empty: the built-in configuration, which does not change
	log      *slog.Logger
	recorder metrics.Recorder
	engine   atomic.Pointer[policy.Engine]
	now      func() time.Time
	content  string // what was read last, good or bad
	problem  string // why it could not be read at the last look; empty if it could
	wrong    string // what is wrong with what was read last; empty if it is in force
	status   atomic.Pointer[configurationStatus]
}

// configurationStatus is what is known of the configuration in force beyond its content.
type configurationStatus struct {
	sha256  string // of the file that it was read from; empty for the built-in one
	loaded  time.Time
	problem string // why what the file says now is not in force; empty if it is
}

// newReloader reads the configuration for the first time.
func newReloader(path string, log *slog.Logger) (*reloader, error) {
	// A change between this reading and that of loadConfig is found at the next look, and so
	// is an error, which loadConfig tells better.
	content, _ := os.ReadFile(path)
	cfg, err := loadConfig(path)
	if err != nil {
		return nil, err
	}
	r := &reloader{path: path, log: log, recorder: metrics.Discard{}, now: time.Now, content: string(content)}
	r.adopt(cfg)
	r.took()
	return r, nil
}

// took takes note that what was read last is in force.
func (r *reloader) took() {
	status := &configurationStatus{loaded: r.now()}
	if r.path != "" {
		status.sha256 = fmt.Sprintf("%x", sha256.Sum256([]byte(r.content)))
	}
	r.status.Store(status)
}

// noteProblem takes note of why what the file says is not in force, if there is a reason.
func (r *reloader) noteProblem() {
	status := *r.status.Load()
	status.problem = cmp.Or(r.problem, r.wrong)
	r.status.Store(&status)
}

// adopt puts a configuration in force, as it counts now, and says what in it is to be known.
func (r *reloader) adopt(cfg *config.Configuration) {
	cfg = cfg.AsOf(r.now())
	r.engine.Store(policy.NewEngine(cfg, rules.All()))
	for _, problem := range rules.Openings(cfg) {
		r.log.Warn("the configuration lets through what gatewarden is there to refuse", "file", r.path, "problem", problem)
	}
	for _, note := range cfg.Expired() {
		r.log.Warn("an exemption has expired", "file", r.path, "problem", note)
	}
}

// expire puts the configuration in force again without what has expired since.
func (r *reloader) expire() {
	cfg := r.Engine().Config()
	if !slices.Equal(cfg.Expired(), cfg.AsOf(r.now()).Expired()) {
		r.adopt(cfg)
	}
}

// Engine returns the engine of the configuration that was accepted last.
func (r *reloader) Engine() *policy.Engine { return r.engine.Load() }

// run looks at the file until the context ends.
func (r *reloader) run(ctx context.Context) {
	if r.path == "" {
		<-ctx.Done()
		return
	}
	wait.UntilWithContext(ctx, func(context.Context) { r.check() }, reloadInterval)
}

// check takes over a configuration that has changed. One that is wrong, or a file that is
// not there, leaves the old one in force: gatewarden keeps guarding by what was meant last.
func (r *reloader) check() {
	r.expire()
	defer r.noteProblem()
	content, err := os.ReadFile(r.path)
	if err != nil {
		if r.problem != err.Error() {
			r.problem = err.Error()
			r.recorder.Reload(false)
			r.log.Error("the configuration cannot be read: the last one stays in force", "file", r.path, "problem", r.problem)
		}
		return
	}
	if r.problem != "" {
		r.problem = ""
		r.log.Info("the configuration can be read again", "file", r.path)
	}
	if string(content) == r.content {
		return
	}
	r.content = string(content)
	cfg, err := rules.Load(content, r.path)
	r.recorder.Reload(err == nil)
	r.wrong = ""
	if err != nil {
		r.wrong = err.Error()
		r.log.Error("the configuration is wrong: the last one stays in force", "file", r.path, "problem", r.wrong)
		return
	}
	r.log.Info("the configuration was read again", "file", r.path)
	r.adopt(cfg)
	r.took()
}

// lockedWriter lets several write whole lines.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
