package servingcert

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"sync"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// watched is the Secret with the CA and the webhook configurations. Each is watched by its name,
// so that permissions can be for that name alone.
type watched struct {
	clients       kubernetes.Interface
	factories     []informers.SharedInformerFactory
	secret        cache.SharedIndexInformer
	registrations []cache.SharedIndexInformer
	changed       chan struct{}

	mu   sync.Mutex
	errs map[string]error // by what could not be listed or watched
}

// configuration is a webhook configuration.
type configuration struct {
	kind, name, version string
	webhooks            []registered
	patch               func(context.Context, []byte) error
}

func (c configuration) String() string { return c.kind + " " + c.name }

// registered is a webhook and what it trusts.
type registered struct{ name, bundle string }

func newWatched(clients kubernetes.Interface, namespace, configurations string) *watched {
	w := &watched{clients: clients, changed: make(chan struct{}, 1), errs: map[string]error{}}
	factory := func(name string, options ...informers.SharedInformerOption) informers.SharedInformerFactory {
		f := informers.NewSharedInformerFactoryWithOptions(clients, 0, append(options,
			informers.WithTweakListOptions(func(o *metav1.ListOptions) {
				o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
			}))...)
		w.factories = append(w.factories, f)
		return f
	}
	w.secret = factory(AuthoritySecret, informers.WithNamespace(namespace)).Core().V1().Secrets().Informer()
	admission := factory(configurations).Admissionregistration().V1()
	w.registrations = []cache.SharedIndexInformer{
		admission.ValidatingWebhookConfigurations().Informer(), admission.MutatingWebhookConfigurations().Informer(),
	}
	w.follow(w.secret, "Secret "+namespace+"/"+AuthoritySecret)
	w.follow(w.registrations[0], "ValidatingWebhookConfiguration "+configurations)
	w.follow(w.registrations[1], "MutatingWebhookConfiguration "+configurations)
	return w
}

// follow has changes told, and errors kept.
func (w *watched) follow(informer cache.SharedIndexInformer, what string) {
	// Both fail only after the informer was started.
	_, _ = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { w.wake() },
		UpdateFunc: func(_, _ any) { w.wake() },
		DeleteFunc: func(any) { w.wake() },
	})
	_ = informer.SetWatchErrorHandlerWithContext(func(ctx context.Context, r *cache.Reflector, err error) {
		w.mu.Lock()
		w.errs[what] = err
		w.mu.Unlock()
		cache.DefaultWatchErrorHandler(ctx, r, err)
	})
}

func (w *watched) wake() {
	select {
	case w.changed <- struct{}{}:
	default: // it will be looked at in any case
	}
}

func (w *watched) start(ctx context.Context) {
	for _, f := range w.factories {
		f.StartWithContext(ctx)
	}
}

// stop waits for the watches after the context of start has ended.
func (w *watched) stop() {
	for _, f := range w.factories {
		f.Shutdown()
	}
}

// synced reports whether all has been listed.
func (w *watched) synced() bool {
	return w.secret.HasSynced() && w.registrations[0].HasSynced() && w.registrations[1].HasSynced()
}

// problem is why something has not been listed, as far as that is known.
func (w *watched) problem() error {
	if w.synced() {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, what := range slices.Sorted(maps.Keys(w.errs)) {
		return fmt.Errorf("the %s can not be watched: %w", what, w.errs[what])
	}
	return nil
}

// authority returns the CA in the Secret and the Secret's version, or nil while there is none that could
// sign. It asks for what DynamicAuthority does, which replaces any other (caRequiresRegeneration in
// cert-manager's pkg/server/tls/authority/authority.go).
func (w *watched) authority() (ca *x509.Certificate, version string) {
	for _, o := range w.secret.GetStore().List() {
		secret, ok := o.(*corev1.Secret)
		if !ok {
			continue
		}
		pair, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
		if err != nil || !pair.Leaf.IsCA || !bytes.Equal(secret.Data[corev1.TLSCertKey], secret.Data[corev1.ServiceAccountRootCAKey]) {
			continue
		}
		return pair.Leaf, secret.ResourceVersion
	}
	return nil, ""
}

// configurations returns the webhook configurations that there are.
func (w *watched) configurations() []configuration {
	var out []configuration
	client := w.clients.AdmissionregistrationV1()
	for _, o := range slices.Concat(w.registrations[0].GetStore().List(), w.registrations[1].GetStore().List()) {
		var c configuration
		switch o := o.(type) {
		case *admissionregistrationv1.ValidatingWebhookConfiguration:
			c = newConfiguration("ValidatingWebhookConfiguration", o, client.ValidatingWebhookConfigurations())
			for _, hook := range o.Webhooks {
				c.webhooks = append(c.webhooks, registered{hook.Name, string(hook.ClientConfig.CABundle)})
			}
		case *admissionregistrationv1.MutatingWebhookConfiguration:
			c = newConfiguration("MutatingWebhookConfiguration", o, client.MutatingWebhookConfigurations())
			for _, hook := range o.Webhooks {
				c.webhooks = append(c.webhooks, registered{hook.Name, string(hook.ClientConfig.CABundle)})
			}
		}
		out = append(out, c)
	}
	return out
}

// patcher is a client of one kind.
type patcher[T any] interface {
	Patch(context.Context, string, types.PatchType, []byte, metav1.PatchOptions, ...string) (T, error)
}

func newConfiguration[T any](kind string, o metav1.Object, client patcher[T]) configuration {
	return configuration{kind: kind, name: o.GetName(), version: o.GetResourceVersion(), patch: func(ctx context.Context, patch []byte) error {
		_, err := client.Patch(ctx, o.GetName(), types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: fieldManager})
		return err
	}}
}
