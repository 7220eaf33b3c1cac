package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"k8s.io/klog/v2"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/gatewarden/gatewarden/pkg/audit"
	"github.com/gatewarden/gatewarden/pkg/backstop"
	"github.com/gatewarden/gatewarden/pkg/backstop/keeper"
	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/leadership"
	"github.com/gatewarden/gatewarden/pkg/ledgerstore"
	"github.com/gatewarden/gatewarden/pkg/metrics"
	"github.com/gatewarden/gatewarden/pkg/servingcert"
	"github.com/gatewarden/gatewarden/pkg/state"
	"github.com/gatewarden/gatewarden/pkg/webhook"
)

const (
	// readyPoll is how often it is looked whether the server is ready, to say so.
	readyPoll = 50 * time.Millisecond
	// metricsTimeout bounds reading the head of a request for metrics.
	metricsTimeout = 10 * time.Second
	// minAuditInterval keeps a mistaken unit from making audits the main thing.
	minAuditInterval = 10 * time.Second
)

type serveOptions struct {
	config        string
	cluster       []string
	kubeconfig    string
	listen        string
	metricsListen string
	certDir       string
	selfSigned    bool
	managed       managedOptions
	callers       callerOptions
	hosts         []string
	caFile        string
	logLevel      string
	logDecisions  string
	drain         time.Duration
	tlsMinVersion string
	printExamples bool
	auditInterval time.Duration
	auditEvents   bool
	auditReports  bool
	backstop      bool
	namespace     string
	ledger        ledgerOptions
}

func newServeCommand(s streams) *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:   "serve [flags]",
		Short: "Serve the admission webhooks",
		Long: "serve answers the API server's admission requests over TLS, at /validate and /mutate, and probes at\n" +
			"/healthz and /readyz. It judges by the state of the cluster that it runs in or that --kubeconfig\n" +
			"names, or, for trying things out, by manifests.\n\n" +
			"The first SIGINT, SIGTERM or SIGHUP ends it when the requests it has are answered; a second one at once.",
		Example: "  # In a cluster\n" +
			"  gatewarden serve --config /etc/gatewarden/config.yaml --cert-dir /var/run/gatewarden/tls\n\n" +
			"  # On a desk, without a cluster\n" +
			"  gatewarden serve --cluster exported/ --self-signed --ca-file ca.crt --listen 127.0.0.1:9443",
		Args: flagsOnly(func() error { return o.validate() }),
		RunE: untilSignal(func(ctx context.Context) error {
			if err := runServe(ctx, s, o); err != nil {
				return failed(err)
			}
			return nil
		}),
	}
	o.bind(cmd)
	return cmd
}

// bind declares the flags.
func (o *serveOptions) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.config, "config", "", "configuration `FILE`, read again when it changes (default: deployKF's defaults, for the domain "+deploykf.DefaultHostname+")")
	f.StringArrayVar(&o.cluster, "cluster", nil, "take the state from the manifests at `PATH`, a file or folder, instead of a cluster; repeatable")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig `FILE` of the cluster to watch (default: the cluster that gatewarden runs in)")
	f.StringVar(&o.listen, "listen", ":9443", "`HOST:PORT` to serve at; port 0 takes a free one")
	f.StringVar(&o.metricsListen, "metrics-listen", ":8080", "`HOST:PORT` to serve /metrics and /statusz at, without TLS; empty for none")
	f.StringVar(&o.certDir, "cert-dir", "", "`DIR` with "+servingcert.CertFile+" and "+servingcert.KeyFile+", read again when they change")
	f.BoolVar(&o.selfSigned, "self-signed", false, "make a certificate and its CA in memory")
	f.StringSliceVar(&o.hosts, "self-signed-host", []string{"localhost", "127.0.0.1"}, "`NAME` or IP address that the self-signed certificate is valid for; repeatable")
	o.managed.bind(cmd)
	o.callers.bind(cmd)
	f.StringVar(&o.caFile, "ca-file", "", "`FILE` to write the CA of the self-signed certificate to")
	f.StringVar(&o.logLevel, "log-level", "info", "lowest `LEVEL` to log: debug, info, warn or error")
	f.StringVar(&o.logDecisions, "log-decisions", string(webhook.LogAll), "`WHICH` decisions to log: all; sampled, which of what is plainly allowed logs some and how many it leaves out; or denied, which logs nothing of that")
	f.DurationVar(&o.drain, "drain", 0, "how long to go on serving after /readyz has turned to 503 at the end")
	f.StringVar(&o.tlsMinVersion, "tls-min-version", "1.3", "lowest TLS `VERSION` to accept: 1.2 or 1.3")
	f.DurationVar(&o.auditInterval, "audit-interval", 10*time.Minute, "audit everything that is there after this time, and when something changes; 0 for never")
	f.BoolVar(&o.auditEvents, "audit-events", false, "write Events about what audits find; of several replicas one does")
	f.BoolVar(&o.auditReports, "audit-reports", false, "keep reports of openreports.io about what audits find, where the cluster serves them; of several replicas one does")
	f.BoolVar(&o.backstop, "backstop", false, "keep the ConfigMap "+backstop.ConfigMap+" by which the API server judges while no replica answers; of several replicas one does")
	f.StringVar(&o.namespace, "namespace", "", "`NAMESPACE` of what gatewarden writes for itself, such as the Lease "+leadership.Lease+" by which the replicas agree who leads (default: the one that gatewarden runs in, else gatewarden)")
	o.ledger.bind(f)
	f.BoolVar(&o.printExamples, "print-examples", false, "when ready, print two requests to paste into a shell")
}

func (o serveOptions) validate() error {
	switch {
	case len(o.cluster) > 0 && o.kubeconfig != "":
		return errors.New("--cluster and --kubeconfig are both given: the state comes from one of them")
	case o.caFile != "" && !o.selfSigned:
		return errors.New("--ca-file needs --self-signed: only then is the CA known")
	case o.printExamples && o.caFile == "":
		return errors.New("--print-examples needs --self-signed and --ca-file: curl has to trust the certificate")
	case o.drain < 0:
		return fmt.Errorf("--drain %s: use a duration of 0s or more", o.drain)
	case o.auditInterval < 0 || o.auditInterval > 0 && o.auditInterval < minAuditInterval:
		return fmt.Errorf("--audit-interval %s: use a duration of %s or more, or 0s for no audits", o.auditInterval, minAuditInterval)
	case (o.auditEvents || o.auditReports) && o.auditInterval == 0:
		return errors.New("--audit-events and --audit-reports need audits: --audit-interval is 0")
	case (o.auditEvents || o.auditReports) && len(o.cluster) > 0:
		return errors.New("--audit-events and --audit-reports need a cluster to write to: --cluster takes the state from manifests")
	case o.backstop && len(o.cluster) > 0:
		return errors.New("--backstop needs a cluster to write to: --cluster takes the state from manifests")
	}
	if err := errors.Join(o.validateCertificate(), o.callers.validate()); err != nil {
		return err
	}
	if _, _, err := splitAddress("--listen", o.listen); err != nil {
		return err
	}
	if o.metricsListen != "" {
		if _, _, err := splitAddress("--metrics-listen", o.metricsListen); err != nil {
			return err
		}
	}
	if _, err := o.level(); err != nil {
		return err
	}
	if err := o.ledger.validate(len(o.cluster) > 0); err != nil {
		return err
	}
	if _, err := webhook.ParseLogDecisions(o.logDecisions); err != nil {
		return fmt.Errorf("--log-decisions %w", err)
	}
	_, err := o.minVersion()
	return err
}

func (o serveOptions) level() (slog.Level, error) {
	switch o.logLevel {
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("--log-level %q: use debug, info, warn or error", o.logLevel)
}

func (o serveOptions) minVersion() (uint16, error) {
	switch o.tlsMinVersion {
	case "1.2":
		return tls.VersionTLS12, nil
	case "1.3":
		return tls.VersionTLS13, nil
	}
	return 0, fmt.Errorf("--tls-min-version %q: use 1.2 or 1.3", o.tlsMinVersion)
}

// splitAddress takes an address apart.
func splitAddress(flag, address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err == nil {
		var n uint64
		n, err = strconv.ParseUint(text, 10, 16)
		port = int(n)
	}
	if err != nil {
		return "", 0, fmt.Errorf("%s %q: use HOST:PORT or :PORT, with a port from 0 to 65535", flag, address)
	}
	return host, port, nil
}

// runServe serves until the context ends, and returns nil then.
func runServe(ctx context.Context, s streams, o serveOptions) error {
	s.Err = &lockedWriter{w: s.Err} // shared by the log and the line that says "ready"
	level, err := o.level()
	if err != nil {
		return err
	}
	log := slog.New(slog.NewJSONHandler(s.Err, &slog.HandlerOptions{Level: level}))
	adoptLogs(log)
	if o.printExamples {
		if err := checkExamples(); err != nil {
			return err
		}
	}

	engine, err := newReloader(o.config, log)
	if err != nil {
		return err
	}
	cert, err := o.certificate()
	if err != nil {
		return err
	}
	source, err := o.source(s, engine.Engine().Config(), log)
	if err != nil {
		return err
	}
	identity, err := identity()
	if err != nil {
		return err
	}
	leader, err := o.leadership(source.client, identity, log)
	if err != nil {
		return err
	}
	if o.managed.on {
		if cert, err = o.managedCertificate(source.client, leader, log); err != nil {
			return err
		}
	}
	recorder := metrics.NewPrometheus()
	engine.recorder, source.recorder.Recorder = recorder, recorder

	current := func() (*state.Snapshot, bool) {
		// Else each snapshot would be translated again by what the configuration says.
		source.writer.TranslateBy(engine.Engine().Config().Mesh.Translation())
		// In this order: a snapshot of before it was synced must not pass for one of after.
		synced := source.synced()
		return source.writer.Snapshot(), synced
	}
	callers, err := o.callers.verifier(log)
	if err != nil {
		return err
	}
	gate, err := o.gate(source, current, identity, recorder.Ledger(), log)
	if err != nil {
		return err
	}
	handler := webhook.New(webhook.Options{
		Engine: engine.Engine,
		State:  current,
		NotReady: func() error {
			if err := cert.Healthy(); err != nil {
				return err
			}
			return source.pending()
		},
		Caller:       callers.check(),
		Ledger:       door(gate),
		Recorder:     recorder,
		Log:          log,
		LogDecisions: webhook.LogDecisions(o.logDecisions),
	})
	server, address, err := o.server(handler, cert)
	if err != nil {
		return err
	}
	audits, err := o.audits(source.client, leader, identity, recorder, audit.Runner{Engine: engine.Engine, State: current, Log: log})
	if err != nil {
		return err
	}
	kept, err := o.keeper(source.client, leader, log, engine.Engine, current)
	if err != nil {
		return err
	}
	p := parts{engine, cert, callers, source, recorder, handler, server, address, leader, audits, gate, kept}
	recorder.Show(p.sources())
	return o.run(ctx, s, log, p)
}

// parts are what runs at the same time.
type parts struct {
	engine   *reloader
	cert     servingcert.Source
	callers  *callers
	source   *stateSource
	recorder *metrics.Prometheus
	handler  *webhook.Handler
	server   ctrlwebhook.Server
	address  string
	leader   *leadership.Leadership // nil if nothing is written
	audits   *audit.Runner          // nil for no audits
	gate     *ledgerstore.Gate      // nil for no ledger
	backstop *keeper.Keeper         // nil for none
}

// run runs all parts until the context ends or one of them fails.
func (o serveOptions) run(ctx context.Context, s streams, log *slog.Logger, p parts) error {
	var listener net.Listener
	metricsAddress := "off"
	if o.metricsListen != "" {
		var err error
		if listener, err = net.Listen("tcp", o.metricsListen); err != nil {
			return cannotListen("--metrics-listen", o.metricsListen, err)
		}
		metricsAddress = "http://" + listener.Addr().String() + "/metrics"
	}
	var garbage collector
	garbage.start()
	group, ending := errgroup.WithContext(ctx)
	// What serves goes on while the server drains: the state, too, must stay current.
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group.Go(func() error {
		defer stop()
		<-ending.Done()
		p.handler.Drain()
		if ctx.Err() != nil && o.drain > 0 { // not after a failure
			log.Info("draining", "for", o.drain.String())
			timer := time.NewTimer(o.drain)
			defer timer.Stop()
			<-timer.C
		}
		return nil
	})
	group.Go(func() error { return p.cert.Start(serving) })
	group.Go(func() error { p.callers.run(serving); return nil })
	group.Go(func() error { p.source.run(serving); return nil })
	group.Go(func() error { p.engine.run(serving); return nil })
	group.Go(func() error {
		if err := p.server.Start(serving); err != nil {
			return cannotListen("--listen", o.listen, err)
		}
		return nil
	})
	if p.leader != nil {
		group.Go(func() error { p.leader.Run(serving); return nil })
	}
	if p.gate != nil {
		group.Go(func() error { p.gate.Run(serving); return nil })
	}
	if p.audits != nil {
		group.Go(func() error { p.audits.Run(serving); return nil })
	}
	if p.backstop != nil {
		group.Go(func() error { p.backstop.Run(serving); return nil })
	}
	group.Go(func() error { watchCertificate(serving, p.cert, log); return nil })
	started := p.server.StartedChecker()
	if listener != nil {
		group.Go(func() error { return serveMetrics(serving, listener, p.recorder, p.statusHandler(o)) })
	}
	group.Go(func() error {
		// Not before: an instance that can not listen must not replace the CA of the one that
		// does.
		if !waitFor(ending, func() bool { return started(nil) == nil }) {
			return nil
		}
		if err := o.writeCA(p.cert); err != nil {
			return err
		}
		if !waitFor(ending, func() bool { return p.handler.Ready() == nil }) {
			return nil
		}
		debug.FreeOSMemory() // what the lists of a cluster took
		group.Go(func() error { garbage.run(serving); return nil })
		_, err := fmt.Fprintf(s.Err, "%s is ready: serving at https://%s, metrics: %s\n", name, p.address, metricsAddress)
		if err == nil && o.printExamples {
			err = printExamples(s.Out, o.caFile, p.address)
		}
		return err
	})
	err := group.Wait()
	p.handler.Flush()
	if err == nil {
		log.Info("stopped")
	}
	return err
}

// waitFor waits until a condition holds. It reports false if the context ends first.
func waitFor(ctx context.Context, condition func() bool) bool {
	ticker := time.NewTicker(readyPoll)
	defer ticker.Stop()
	for !condition() {
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
	return true
}

// cannotListen is the error of a listener.
func cannotListen(flag, address string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s %s: %w: does another instance run? If so, choose another %s", flag, address, err, flag)
	}
	return fmt.Errorf("%s %s: %w", flag, address, err)
}

// server makes the TLS server, and tells the address at which a client of this machine
// reaches it.
func (o serveOptions) server(handler http.Handler, cert servingcert.Source) (ctrlwebhook.Server, string, error) {
	host, port, err := splitAddress("--listen", o.listen)
	if err != nil {
		return nil, "", err
	}
	if port == 0 { // controller-runtime takes that for its default port
		if port, err = freePort(host); err != nil {
			return nil, "", fmt.Errorf("--listen %s: %w", o.listen, err)
		}
	}
	minVersion, err := o.minVersion()
	if err != nil {
		return nil, "", err
	}
	mux := http.NewServeMux()
	mux.Handle("/", handler)
	server := ctrlwebhook.NewServer(ctrlwebhook.Options{
		Host: host, Port: port,
		// Not through Register: it counts by metrics of its own, in a registry that is
		// not served.
		WebhookMux: mux,
		TLSOpts: []func(*tls.Config){func(c *tls.Config) {
			c.MinVersion = minVersion
			c.GetCertificate = cert.GetCertificate
			c.ClientAuth = o.callers.ask()
		}},
	})
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return server, net.JoinHostPort(host, strconv.Itoa(port)), nil
}

// freePort finds a port that nobody listens on. Somebody else may take it before it is used,
// which then fails as any port that is in use does.
func freePort(host string) (int, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return 0, err
	}
	address, ok := listener.Addr().(*net.TCPAddr)
	if err := listener.Close(); err != nil {
		return 0, err
	}
	if !ok {
		return 0, fmt.Errorf("%s is no TCP address", listener.Addr())
	}
	return address.Port, nil
}

// serveMetrics serves /metrics and /statusz until the context ends.
func serveMetrics(ctx context.Context, listener net.Listener, recorder *metrics.Prometheus, status http.Handler) error {
	mux := http.NewServeMux()
	mux.Handle("/metrics", recorder.Handler())
	mux.Handle(statusPath, status)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: metricsTimeout}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() { stopped <- server.Shutdown(context.WithoutCancel(ctx)) })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("metrics: %w", err)
	}
	return <-stopped
}

// endSignals are the signals that end serving. A program that was started to survive the end
// of its terminal, as by nohup, ignores SIGHUP, and to ask for the signal would undo that.
func endSignals() []os.Signal {
	signals := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

// adoptLogs sends what libraries log through the log: client-go's klog,
// controller-runtime's logger, and the standard one, to which net/http writes.
func adoptLogs(log *slog.Logger) {
	klog.SetSlogLogger(log)
	ctrllog.SetLogger(logr.FromSlogHandler(log.Handler()))
	slog.SetDefault(log)
}
