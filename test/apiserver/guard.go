package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The names that the manifests in deploy/ give to gatewarden.
const (
	Namespace      = "gatewarden"
	ServiceAccount = "gatewarden"
	serviceName    = "gatewarden"
	deploymentName = "gatewarden"
	// WebhookConfiguration is the name of both webhook configurations.
	WebhookConfiguration = "gatewarden"
)

const (
	pollInterval = 50 * time.Millisecond
	// registerTimeout is how long a registered webhook may take until the API server calls
	// it: its informers notice a configuration within a second or so.
	registerTimeout = 30 * time.Second
	tokenLifetime   = 24 * time.Hour
)

// GuardAddress is the host and port at which the registered webhooks are called.
func (s *Server) GuardAddress() string {
	o := &s.env.WebhookInstallOptions
	return net.JoinHostPort(o.LocalServingHost, strconv.Itoa(o.LocalServingPort))
}

// GuardCertDir is a folder with tls.crt and tls.key, valid for the host of GuardAddress.
func (s *Server) GuardCertDir() string { return s.env.WebhookInstallOptions.LocalServingCertDir }

// GuardCA is what signed the certificate in GuardCertDir, in PEM.
func (s *Server) GuardCA() []byte { return s.env.WebhookInstallOptions.LocalServingCAData }

// GuardConfig authenticates as gatewarden's ServiceAccount, with nothing but the permissions
// that deploy/ gives to it.
func (s *Server) GuardConfig(ctx context.Context) (*rest.Config, error) {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: ServiceAccount}}
	request := &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To(int64(tokenLifetime.Seconds()))},
	}
	if err := s.Client().SubResource("token").Create(ctx, account, request); err != nil {
		return nil, fmt.Errorf("requesting a token for ServiceAccount %s/%s: %w", Namespace, ServiceAccount, err)
	}
	config := rest.AnonymousClientConfig(s.Config)
	config.BearerToken = request.Status.Token
	return config, nil
}

// WriteGuardKubeconfig writes GuardConfig as a kubeconfig file.
func (s *Server) WriteGuardKubeconfig(ctx context.Context, path string) error {
	return s.writeGuardKubeconfig(ctx, path, Replica{})
}

// writeGuardKubeconfig writes GuardConfig, for an API server behind the Proxy of a replica,
// if it has one.
func (s *Server) writeGuardKubeconfig(ctx context.Context, path string, r Replica) error {
	config, err := s.GuardConfig(ctx)
	if err != nil {
		return err
	}
	if r.APIServer != "" {
		config.Host = "https://" + r.APIServer
	}
	if r.APIServerCA != nil {
		config.CAData = r.APIServerCA
	}
	const name = "gatewarden"
	return clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{
			name: {Server: config.Host, CertificateAuthorityData: config.CAData},
		},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{name: {Token: config.BearerToken}},
		Contexts:       map[string]*clientcmdapi.Context{name: {Cluster: name, AuthInfo: name}},
		CurrentContext: name,
	}, path)
}

// Install installs the webhook configurations of deploy/, with the Service in them
// replaced by GuardAddress. It does not wait: see WaitUntilJudged.
func (s *Server) Install(ctx context.Context) error {
	return s.install(ctx, s.GuardCA(), "")
}

// InstallUntrusting is Install for guards that write themselves what is to be trusted. They are
// called by the name localhost.
func (s *Server) InstallUntrusting(ctx context.Context) error {
	return s.install(ctx, nil, "localhost")
}

// install installs the webhook configurations for a CA and, unless it is empty, another name of
// the host of GuardAddress.
func (s *Server) install(ctx context.Context, ca []byte, host string) error {
	o := &s.env.WebhookInstallOptions
	o.ValidatingWebhooks, o.MutatingWebhooks = nil, nil
	for _, m := range s.manifests {
		var err error
		switch m.GetKind() {
		case "ValidatingWebhookConfiguration":
			c := &admissionregistrationv1.ValidatingWebhookConfiguration{}
			err = runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(m.Object, c, true)
			o.ValidatingWebhooks = append(o.ValidatingWebhooks, c)
		case "MutatingWebhookConfiguration":
			c := &admissionregistrationv1.MutatingWebhookConfiguration{}
			err = runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(m.Object, c, true)
			o.MutatingWebhooks = append(o.MutatingWebhooks, c)
		}
		if err != nil {
			return fmt.Errorf("decoding %s: %w", describe(m), err)
		}
	}
	own := o.LocalServingCAData
	o.LocalServingCAData, o.LocalServingHostExternalName = ca, host
	err := o.ModifyWebhookDefinitions()
	o.LocalServingCAData, o.LocalServingHostExternalName = own, ""
	if err != nil {
		return fmt.Errorf("pointing the webhooks to %s: %w", s.GuardAddress(), err)
	}
	if err := o.Install(s.Config); err != nil {
		return fmt.Errorf("installing the webhook configurations: %w", err)
	}
	return ctx.Err()
}

// SetCABundle replaces what the webhook configurations trust.
func (s *Server) SetCABundle(ctx context.Context, bundle []byte) error {
	return s.eachWebhook(ctx, func(c *admissionregistrationv1.WebhookClientConfig) { c.CABundle = bundle })
}

// CABundles returns what each webhook of the configurations trusts, by its name and kind.
func (s *Server) CABundles(ctx context.Context) (map[string]string, error) {
	validating, mutating, err := s.configurations(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, w := range validating.Webhooks {
		out["validating "+w.Name] = string(w.ClientConfig.CABundle)
	}
	for _, w := range mutating.Webhooks {
		out["mutating "+w.Name] = string(w.ClientConfig.CABundle)
	}
	return out, nil
}

// configurations reads the webhook configurations.
func (s *Server) configurations(ctx context.Context) (
	validating *admissionregistrationv1.ValidatingWebhookConfiguration, mutating *admissionregistrationv1.MutatingWebhookConfiguration, err error,
) {
	validating, mutating = &admissionregistrationv1.ValidatingWebhookConfiguration{}, &admissionregistrationv1.MutatingWebhookConfiguration{}
	return validating, mutating, errors.Join(
		s.Client().Get(ctx, client.ObjectKey{Name: WebhookConfiguration}, validating),
		s.Client().Get(ctx, client.ObjectKey{Name: WebhookConfiguration}, mutating))
}

// eachWebhook changes how the webhooks are called, whatever others write meanwhile.
func (s *Server) eachWebhook(ctx context.Context, change func(*admissionregistrationv1.WebhookClientConfig)) error {
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		validating, mutating, err := s.configurations(ctx)
		if err != nil {
			return err
		}
		for i := range validating.Webhooks {
			change(&validating.Webhooks[i].ClientConfig)
		}
		for i := range mutating.Webhooks {
			change(&mutating.Webhooks[i].ClientConfig)
		}
		if err := s.Client().Update(ctx, validating); err != nil {
			return err
		}
		return s.Client().Update(ctx, mutating)
	})
}

// Uninstall removes the webhook configurations. The API server may call the webhooks for a
// moment longer.
func (s *Server) Uninstall(ctx context.Context) error {
	for _, m := range s.manifests {
		if !isWebhookConfiguration(m) {
			continue
		}
		if err := s.Admin.Delete(ctx, m).Err; client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("removing %s: %w", describe(m), err)
		}
	}
	return nil
}

// Register installs the webhook configurations and waits until the API server's answers are
// the guard's. Something has to serve at GuardAddress already.
func (s *Server) Register(ctx context.Context) error {
	if err := s.Install(ctx); err != nil {
		return err
	}
	return s.WaitUntilJudged(ctx)
}

// WaitUntilJudged waits until the API server asks the guard before it stores anything: a
// dry run of what no configuration allows is denied, and a dry run of an incomplete gateway
// comes back completed. The guard must guard deployKF's default gateway.
func (s *Server) WaitUntilJudged(ctx context.Context) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, pollInterval, registerTimeout, true, func(ctx context.Context) (bool, error) {
		last = errors.Join(s.probeValidate(ctx), s.probeMutate(ctx))
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("the API server does not ask the guard at %s: %w", s.GuardAddress(), errors.Join(last, err))
	}
	return nil
}

// probeValidate asks for a listener on one of the proxy's own ports.
func (s *Server) probeValidate(ctx context.Context) error {
	err := s.Admin.Create(ctx, probe("networking.istio.io/v1", "Gateway", map[string]any{
		"selector": map[string]any{"app": "deploykf-gateway", "istio": "deploykf-gateway"},
		"servers": []any{map[string]any{
			"port":  map[string]any{"number": int64(15021), "name": "http", "protocol": "HTTP"},
			"hosts": []any{"probe.example.org"},
		}},
	}), client.DryRunAll).Err
	switch {
	case err == nil:
		return errors.New("a Gateway on port 15021 was admitted")
	case !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "GWD102"):
		return fmt.Errorf("a Gateway on port 15021 was not denied by rule GWD102, but: %w", err)
	}
	return nil
}

// probeMutate asks for a gateway that lacks all that Istio needs to inject it.
func (s *Server) probeMutate(ctx context.Context) error {
	labels := map[string]any{"app": "gatewarden-probe"}
	a := s.Admin.Create(ctx, probe("apps/v1", "Deployment", map[string]any{
		"selector": map[string]any{"matchLabels": labels},
		"template": map[string]any{
			"metadata": map[string]any{"labels": labels},
			"spec": map[string]any{
				"containers": []any{map[string]any{"name": "istio-proxy", "image": "auto"}},
			},
		},
	}), client.DryRunAll)
	if a.Err != nil {
		return fmt.Errorf("the Deployment of a gateway was refused: %w", a.Err)
	}
	const template = "inject.istio.io/templates"
	got, _, err := unstructured.NestedString(a.Object.Object, "spec", "template", "metadata", "annotations", template)
	if err != nil || got != "gateway" {
		return fmt.Errorf("the Deployment of a gateway did not get the annotation %s", template)
	}
	return nil
}

// probe is an object that is never stored.
func probe(apiVersion, kind string, spec map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": apiVersion,
		"kind":       kind,
		"metadata":   map[string]any{"namespace": "default", "generateName": "gatewarden-probe-"},
		"spec":       spec,
	}}
}

// isWebhookConfiguration reports whether the manifest is what Install installs.
func isWebhookConfiguration(o *unstructured.Unstructured) bool {
	return o.GroupVersionKind().Group == admissionregistrationv1.GroupName
}

// WriteKubeconfig writes the administrator's kubeconfig file, readable only by its owner.
func (s *Server) WriteKubeconfig(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, s.Kubeconfig, 0o600)
}
