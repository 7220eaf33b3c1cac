package servingcert

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	certtls "github.com/cert-manager/cert-manager/pkg/server/tls"
	"github.com/cert-manager/cert-manager/pkg/server/tls/authority"
	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	corev1apply "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
)

// AuthoritySecret is the name of the Secret with the CA that the replicas share. It is not the
// one that certs/issuer.yaml names, so that cert-manager does not renew it too.
const AuthoritySecret = "gatewarden-authority"

// The default durations of a Managed: those of cert-manager's own webhook
// (DynamicAuthority in pkg/server/tls/authority/authority.go).
const (
	DefaultCADuration   = 365 * 24 * time.Hour
	DefaultLeafDuration = 7 * 24 * time.Hour
)

const (
	// minLeafDuration leaves time to renew a leaf, of which the last third is meant for that.
	minLeafDuration = 15 * time.Second
	// leavesInCA is how many times a leaf's duration has to fit in that of the CA. The CA is
	// replaced after two thirds of its duration, and the last leaf that it signed must not end
	// before it would otherwise.
	leavesInCA = 3
	// maxSettle is how long a new leaf waits before it is shown. API servers learn of a CA a
	// moment after each other, and a clock that is behind makes a new leaf not yet valid.
	maxSettle = 5 * time.Second
)

// ManagedOptions are what a Managed works with.
type ManagedOptions struct {
	// Client has the permissions of deploy/overlays/self-managed.
	Client *rest.Config
	// Namespace is where the Secret is.
	Namespace string
	// Configurations is the name of the ValidatingWebhookConfiguration and the
	// MutatingWebhookConfiguration that have to trust the CA. All of their webhooks are
	// gatewarden's.
	Configurations string
	// DNSNames are the names by which the API server calls, at least one.
	DNSNames []string
	// CADuration and LeafDuration are how long a CA and a leaf are valid. Default:
	// DefaultCADuration and DefaultLeafDuration.
	CADuration, LeafDuration time.Duration
	// Leading reports whether this replica is the one that writes webhook configurations.
	Leading func() bool
	// Log is told what is written.
	Log *slog.Logger
}

// Managed is a certificate that gatewarden's replicas make for themselves. They share a CA in a
// Secret, and each signs a leaf of its own in memory; cert-manager's DynamicAuthority and
// DynamicSource make and renew them. Those replace a CA and all leaves at once, while clients that
// trust only the old CA would be lost. So here
//
//   - the leader writes the CA into the webhook configurations beside the ones that it replaced, for
//     as long as leaves of those may be shown, and heals what somebody else writes there, and
//   - a replica shows a new leaf only when all webhooks trust its CA and the API server's clock says
//     that it is valid, and until then the old one. They go by the clock of this machine; so
//     if that is wrong no CA is made, and when it is right again what was made meanwhile is made anew.
type Managed struct {
	o         ManagedOptions
	source    *certtls.DynamicSource
	authority *renewable
	watched   *watched
	bundler   bundler
	clock     serverClock
	// ask has the API server answer, whatever it says.
	ask     func(context.Context)
	secrets corev1client.SecretInterface
	// settle is how long a new leaf waits.
	settle time.Duration
	// placeholder answers probes until there is a leaf. No API server trusts it.
	placeholder *SelfSigned

	// candidate is the newest leaf, and since is from when on all webhooks have trusted it
	// without a break; zero while they do not.
	candidate *tls.Certificate
	since     time.Time
	// told is why the candidate is not used though the one that is shown is good, to be told once.
	told string
	// failed is why a CA could not be discarded, to be told once.
	failed string

	shown  atomic.Pointer[shown]
	bundle atomic.Pointer[[]byte]
}

var _ Source = (*Managed)(nil)

// shown is the certificate that clients get.
type shown struct {
	cert *tls.Certificate
	// problem is why no client accepts it yet, or nil.
	problem error
}

// NewManaged checks the options. Nothing is read or written before Start.
func NewManaged(o ManagedOptions) (*Managed, error) {
	if o.CADuration == 0 {
		o.CADuration = DefaultCADuration
	}
	if o.LeafDuration == 0 {
		o.LeafDuration = DefaultLeafDuration
	}
	if err := CheckDurations(o.CADuration, o.LeafDuration); err != nil {
		return nil, err
	}
	for _, n := range o.DNSNames {
		if net.ParseIP(n) != nil { // DynamicSource knows names only
			return nil, fmt.Errorf("host %q is an IP address: a self-managed certificate is for DNS names", n)
		}
	}
	placeholder, err := NewSelfSigned(o.DNSNames, 0)
	if err != nil {
		return nil, err
	}
	m := &Managed{o: o, placeholder: placeholder, settle: min(maxSettle, o.LeafDuration/10)}
	followed := rest.CopyConfig(o.Client)
	followed.Wrap(m.clock.follow)
	guarded := rest.CopyConfig(followed)
	guarded.Wrap(m.clock.guard)
	guarded.Wrap(m.create)
	clients, err := kubernetes.NewForConfig(followed)
	if err != nil {
		return nil, fmt.Errorf("self-managed certificate: %w", err)
	}
	m.ask = func(ctx context.Context) {
		_ = clients.Discovery().RESTClient().Get().AbsPath("/version").Do(ctx).Error()
	}
	m.watched = newWatched(clients, o.Namespace, o.Configurations)
	m.secrets = clients.CoreV1().Secrets(o.Namespace)
	m.authority = &renewable{DynamicAuthority: &authority.DynamicAuthority{
		SecretNamespace: o.Namespace, SecretName: AuthoritySecret,
		RESTConfig: guarded, CommonName: "gatewarden-ca",
		CADuration: o.CADuration, LeafDuration: o.LeafDuration,
	}}
	m.source = &certtls.DynamicSource{DNSNames: o.DNSNames, Authority: m.authority}
	// The last leaf of a CA may be signed a moment after the next CA was made.
	m.bundler = newBundler(o.LeafDuration*4/3, o.Log)
	m.shown.Store(&shown{placeholder.current.Load(), m.waiting()})
	return m, nil
}

// create makes the Secret when DynamicAuthority would create it with a CA: empty, so that it fills
// that of its own accord, and by server-side apply. That is a patch of a name, and so the API
// server asks for the permission to create with that name, which a plain create does not have (patch.go in
// k8s.io/apiserver pkg/endpoints/handlers).
func (m *Managed) create(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.Method != http.MethodPost {
			return next.RoundTrip(r)
		}
		if r.Body != nil {
			_ = r.Body.Close() // as every RoundTripper has to
		}
		empty := corev1apply.Secret(AuthoritySecret, m.o.Namespace).
			WithLabels(map[string]string{"app.kubernetes.io/name": "gatewarden", "app.kubernetes.io/part-of": "gatewarden"})
		if _, err := m.secrets.Apply(r.Context(), empty, metav1.ApplyOptions{FieldManager: fieldManager}); err != nil {
			return nil, err
		}
		// As if another replica had been faster, for which it waits.
		status := apierrors.NewAlreadyExists(corev1.Resource("secrets"), AuthoritySecret).Status()
		body, err := json.Marshal(status)
		if err != nil {
			return nil, err
		}
		return &http.Response{
			StatusCode: int(status.Code), Header: http.Header{"Content-Type": {runtime.ContentTypeJSON}},
			Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: r,
		}, nil
	})
}

// renewable is an authority by which a DynamicSource can be told to make another leaf: by saying that the
// CA has changed.
type renewable struct {
	*authority.DynamicAuthority
	rotated atomic.Pointer[chan<- struct{}]
}

// WatchRotation is told of changes of the CA.
func (r *renewable) WatchRotation(ch chan<- struct{}) {
	r.rotated.Store(&ch)
	r.DynamicAuthority.WatchRotation(ch)
}

// renew has another leaf made.
func (r *renewable) renew() {
	if ch := r.rotated.Load(); ch != nil {
		select {
		case *ch <- struct{}{}:
		default: // it is on its way
		}
	}
}

// CheckDurations returns what is wrong with the durations of a CA and a leaf.
func CheckDurations(ca, leaf time.Duration) error {
	switch {
	case leaf < minLeafDuration:
		return fmt.Errorf("a certificate that is valid for %s can not be renewed in time: use %s or more", leaf, minLeafDuration)
	case ca < leavesInCA*leaf:
		return fmt.Errorf("a CA that is valid for %s is too short for certificates that are valid for %s: use %s or more, %d times as much",
			ca, leaf, leavesInCA*leaf, leavesInCA)
	}
	return nil
}

// Start makes and renews CA and leaf, and keeps the webhook configurations in step while this
// replica leads.
func (m *Managed) Start(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	// What the library tells is of interest for those who debug it; its errors are for all.
	logger := logr.FromSlogHandler(m.o.Log.Handler()).V(-int(slog.LevelDebug))
	group.Go(func() error { return m.source.Start(logr.NewContext(ctx, logger)) })
	m.watched.start(ctx)
	group.Go(func() error {
		m.clock.keep(ctx, m.ask)
		return nil
	})
	group.Go(func() error {
		defer m.watched.stop()
		ticker := time.NewTicker(m.settle / 4)
		defer ticker.Stop()
		for {
			m.step(ctx, m.clock.now())
			select {
			case <-ctx.Done():
				return nil
			case <-m.watched.changed:
			case <-ticker.C:
			}
		}
	})
	if err := group.Wait(); err != nil {
		return fmt.Errorf("self-managed certificate: %w", err)
	}
	return nil
}

// Wake has the webhook configurations looked at now: for a replica that has become the leader.
func (m *Managed) Wake() { m.watched.wake() }

// step does what is to be done now, by the API server's clock.
func (m *Managed) step(ctx context.Context, now time.Time) {
	if !m.watched.synced() {
		m.shown.Store(&shown{m.shown.Load().cert, m.waiting()})
		return
	}
	ca, version := m.watched.authority()
	configurations := m.watched.configurations()
	if ca != nil {
		m.bundler.remember(ca)
		bundle := m.bundler.bundle(ca, configurations, now)
		m.bundle.Store(&bundle)
		if m.o.Leading() {
			m.bundler.write(ctx, bundle, configurations)
			m.discard(ctx, ca, version, now)
		}
	}
	newest, err := m.source.GetCertificate(nil)
	if err != nil {
		m.shown.Store(&shown{m.shown.Load().cert, m.waiting()})
		return
	}
	if valid(newest.Leaf, time.Now()) != nil {
		// Somebody has set the clock of this machine since it was made, and by that one it was made.
		m.authority.renew()
	}
	m.offer(newest, configurations, now)
}

// discard has a CA made anew that is not valid for long: all clocks were ahead when it was made.
// DynamicAuthority looks only for its end, and fills a Secret that has nothing in it.
func (m *Managed) discard(ctx context.Context, ca *x509.Certificate, version string, now time.Time) {
	if m.clock.skew() != 0 || !now.Add(maxSkew).Before(ca.NotBefore) {
		return
	}
	writing, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	patch := fmt.Appendf(nil, `{"metadata":{"resourceVersion":%q},"data":null}`, version)
	_, err := m.secrets.Patch(writing, AuthoritySecret, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
	switch from := ca.NotBefore.UTC().Format(time.RFC3339); {
	case err == nil:
		m.o.Log.Warn("the CA is not valid yet: another one is made", "from", from)
	case apierrors.IsConflict(err), ctx.Err() != nil:
		// It has changed. The watch tells soon.
	case err.Error() != m.failed:
		m.failed = err.Error()
		m.o.Log.Error("the CA is not valid yet, and another one can not be made", "from", from, "problem", m.failed)
	}
}

// offer shows a leaf, now or when the time has come.
func (m *Managed) offer(newest *tls.Certificate, configurations []configuration, now time.Time) {
	old := m.shown.Load()
	if newest != m.candidate {
		m.candidate, m.since = newest, time.Time{}
	}
	if newest == old.cert && old.problem == nil {
		return
	}
	untrusted, from := untrusting(configurations, newest.Leaf)
	if untrusted != "" {
		m.since = time.Time{}
	} else if m.since.IsZero() || m.since.After(now) { // the clock was set back
		m.since = now
	}
	// Not valid for longer than the replicas' clocks may differ: one of them is wrong.
	wrong := !now.Before(newest.Leaf.NotAfter) || now.Add(m.settle).Before(from)
	var problem error
	switch wait := m.settle - min(now.Sub(m.since), now.Sub(from)); {
	case wrong: // its CA need not be known then: it may not have been valid at any time at which the leaf is
		problem = fmt.Errorf("the serving certificate is not in use: it is valid from %s to %s: %s",
			from.UTC().Format(time.RFC3339), newest.Leaf.NotAfter.UTC().Format(time.RFC3339), m.clocks())
	case untrusted != "":
		problem = fmt.Errorf("the serving certificate is not in use yet: the caBundle of %s does not have its CA, which the replica that leads writes there", untrusted)
	case wait > 0:
		problem = fmt.Errorf("the serving certificate is not in use yet: it will be in %s, when all API servers know its CA", wait.Round(time.Second/10))
	}
	good := old.problem == nil && valid(old.cert.Leaf, now) == nil
	switch {
	case problem == nil:
		m.shown.Store(&shown{cert: newest})
	case good && untrusted == "" && !wrong && takenAway(configurations, old.cert.Leaf):
		// The new one is trusted, if only since a moment ago.
		m.shown.Store(&shown{cert: newest})
	case good && wrong:
		if m.told != problem.Error() {
			m.told = problem.Error()
			m.o.Log.Error("a new serving certificate is not used while the old one is valid", "problem", m.told, "until", old.cert.Leaf.NotAfter.UTC().Format(time.RFC3339))
		}
	case !good:
		m.shown.Store(&shown{newest, problem})
	}
}

// takenAway reports whether somebody has taken the CA of a leaf away.
func takenAway(configurations []configuration, leaf *x509.Certificate) bool {
	untrusted, _ := untrusting(configurations, leaf)
	return untrusted != ""
}

// clocks says which clock is wrong, as far as it can be known.
func (m *Managed) clocks() string {
	if skew := m.clock.skew(); skew != 0 {
		return apart(skew)
	}
	return "check the clocks"
}

// waiting is the problem while there is no leaf.
func (m *Managed) waiting() error {
	if err := m.watched.problem(); err != nil {
		return fmt.Errorf("%w (yet): %w", errNone, err)
	}
	return fmt.Errorf("%w (yet): it is made when the Secret %s/%s is there, which gatewarden makes", errNone, m.o.Namespace, AuthoritySecret)
}

// untrusting names a webhook that does not accept the leaf, or is empty; and it returns from when on
// all accept it, for which its CA has to be valid, too.
func untrusting(configurations []configuration, leaf *x509.Certificate) (name string, from time.Time) {
	from = leaf.NotBefore
	seen := map[string]bool{}
	for _, c := range configurations {
		for _, w := range c.webhooks {
			if seen[w.bundle] {
				continue
			}
			seen[w.bundle] = true
			pool := x509.NewCertPool()
			pool.AppendCertsFromPEM([]byte(w.bundle))
			// At a time at which both are valid, whichever clock is behind: that is no matter of trust.
			chains, err := leaf.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: leaf.NotAfter})
			if err != nil {
				return fmt.Sprintf("webhook %s of %s", w.name, c), from
			}
			for _, ca := range chains[0][1:] {
				if ca.NotBefore.After(from) {
					from = ca.NotBefore
				}
			}
		}
	}
	return "", from
}

// GetCertificate returns the certificate that all webhooks trust. Before there is one it returns
// another one, so that probes are answered, which do not look at it.
func (m *Managed) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return m.shown.Load().cert, nil
}

// Healthy returns an error until the webhook configurations trust the certificate, and while it
// is expired by the API server's clock.
func (m *Managed) Healthy() error {
	s := m.shown.Load()
	if s.problem != nil {
		return s.problem
	}
	return valid(s.cert.Leaf, m.clock.now())
}

// NotAfter is the end of the certificate's validity, or zero before there is one.
func (m *Managed) NotAfter() time.Time {
	s := m.shown.Load()
	if s.problem != nil {
		return time.Time{}
	}
	return s.cert.Leaf.NotAfter
}

// CABundle is what the webhook configurations have to trust, or nil before it is known.
func (m *Managed) CABundle() []byte {
	if b := m.bundle.Load(); b != nil {
		return *b
	}
	return nil
}
