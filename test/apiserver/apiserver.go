// Package apiserver runs a real kube-apiserver and etcd with the CustomResourceDefinitions of
// Istio and of the Gateway API and gatewarden's own manifests from deploy/, for the tests and
// the demonstration. Nothing in it is simulated but what a cluster has beside its API
// server: there are no controllers and no nodes, so a Deployment never gets a pod.
package apiserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/test/deploy"
	"github.com/gatewarden/gatewarden/test/module"
)

// AssetsVariable is the environment variable that names the folder of etcd and
// kube-apiserver. It is the one that envtest uses.
const AssetsVariable = "KUBEBUILDER_ASSETS"

// Options configure Start. The zero value is ready for use.
type Options struct {
	// Assets is the folder of the programs etcd and kube-apiserver. Default: the value of
	// KUBEBUILDER_ASSETS, else .cache/controlplane in the repository, where
	// test/controlplane/build.sh leaves them.
	Assets string
	// Kustomization is what is installed. Default: deploy.Base.
	Kustomization string
	// CertManager installs cert-manager's CustomResourceDefinitions too.
	CertManager bool
	// RequestTimeout is kube-apiserver's time limit for requests, and how long it waits for
	// open watches when it is stopped. Default: kube-apiserver's own, which is a minute.
	RequestTimeout time.Duration
	// EtcdProxy puts a Proxy between kube-apiserver and etcd: see Server.Etcd.
	EtcdProxy bool
	// Flags are added to those of kube-apiserver, by their names without dashes.
	Flags map[string]string
	// Output gets what etcd and kube-apiserver write. Default: it is thrown away.
	Output io.Writer
}

// Server is a running API server. Gatewarden's namespace, ServiceAccount, permissions,
// Deployment and Service are in it; its webhook configurations are not until Register.
type Server struct {
	// Config authenticates as an administrator (group system:masters).
	Config *rest.Config
	// Kubeconfig is Config as the content of a kubeconfig file.
	Kubeconfig []byte
	// Admin makes requests as the administrator.
	Admin *User
	// Etcd is what is between kube-apiserver and etcd, or nil.
	Etcd *Proxy

	env       *envtest.Environment
	manifests []*unstructured.Unstructured
}

// Start starts etcd and kube-apiserver on free ports of the loopback interface and installs
// the CustomResourceDefinitions and gatewarden's manifests, without the webhook
// configurations. It takes some seconds. The caller has to Stop the server, after the last
// client with an open watch: the API server waits for those.
func Start(ctx context.Context, o Options) (_ *Server, err error) {
	assets, err := findAssets(ctx, o.Assets)
	if err != nil {
		return nil, err
	}
	crds, err := crdPaths(ctx, o.CertManager)
	if err != nil {
		return nil, err
	}
	manifests, err := deploy.Render(ctx, cmp.Or(o.Kustomization, deploy.Base))
	if err != nil {
		return nil, err
	}

	env := &envtest.Environment{
		// Whatever the environment says: tests write to no cluster but their own.
		UseExistingCluster: ptr.To(false),
		ControlPlane: envtest.ControlPlane{
			APIServer: &envtest.APIServer{Path: filepath.Join(assets, "kube-apiserver"), Out: o.Output, Err: o.Output},
			Etcd:      &envtest.Etcd{Path: filepath.Join(assets, "etcd"), Out: o.Output, Err: o.Output},
		},
		// A machine that compiles at the same time needs more than envtest's 20 seconds.
		ControlPlaneStartTimeout: 90 * time.Second,
		ControlPlaneStopTimeout:  90 * time.Second,
		CRDDirectoryPaths:        crds,
		ErrorIfCRDPathMissing:    true,
		// Only to make a certificate and to choose a port; Register installs the webhooks.
		WebhookInstallOptions: envtest.WebhookInstallOptions{LocalServingHost: "127.0.0.1"},
	}
	var etcd *Proxy
	if o.EtcdProxy {
		if etcd, err = proxyEtcd(env); err != nil {
			return nil, err
		}
	}
	env.ControlPlane.GetAPIServer().Configure().Set("service-cluster-ip-range", serviceRange)
	for flag, value := range o.Flags {
		env.ControlPlane.GetAPIServer().Configure().Set(flag, value)
	}
	if o.RequestTimeout > 0 {
		env.ControlPlane.GetAPIServer().Configure().Set("request-timeout", o.RequestTimeout.String())
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, env.Stop(), etcd.Stop())
		}
	}()
	config, err := env.Start()
	if err != nil {
		return nil, fmt.Errorf("starting etcd and kube-apiserver from %s: %w", assets, err)
	}
	s := &Server{Config: config, Kubeconfig: env.KubeConfig, Etcd: etcd, env: env, manifests: manifests}
	if s.Admin, err = newUser(config); err != nil {
		return nil, err
	}
	for _, m := range manifests {
		if isWebhookConfiguration(m) {
			continue
		}
		if err := s.namespace(ctx, m.GetNamespace()); err != nil {
			return nil, err
		}
		if err := s.Admin.Create(ctx, m.DeepCopy()).Err; err != nil {
			return nil, fmt.Errorf("installing %s: %w", describe(m), err)
		}
	}
	return s, nil
}

// namespace makes sure that a namespace exists: Istio's own is there before gatewarden.
func (s *Server) namespace(ctx context.Context, name string) error {
	if name == "" {
		return nil
	}
	o := &unstructured.Unstructured{}
	o.SetAPIVersion("v1")
	o.SetKind("Namespace")
	o.SetName(name)
	if err := s.Admin.Create(ctx, o).Err; err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("creating the namespace %s: %w", name, err)
	}
	return nil
}

// Stop stops kube-apiserver and etcd and removes their data.
func (s *Server) Stop() error {
	if err := errors.Join(s.env.Stop(), s.Etcd.Stop()); err != nil {
		return fmt.Errorf("stopping etcd and kube-apiserver: %w", err)
	}
	return nil
}

// proxyEtcd has kube-apiserver reach etcd by a Proxy.
func proxyEtcd(env *envtest.Environment) (*Proxy, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	proxy, err := StartProxy("127.0.0.1:0", func() string { return address })
	if err != nil {
		return nil, err
	}
	env.ControlPlane.Etcd.URL = &url.URL{Scheme: "http", Host: address}
	env.ControlPlane.GetAPIServer().Configure().Set("etcd-servers", "http://"+proxy.Address())
	return proxy, nil
}

// freeAddress is a port of the loopback interface on which nobody listens. Somebody else may take it
// before it is used.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("finding a free port: %w", err)
	}
	return listener.Addr().String(), listener.Close()
}

// Address is the host and port at which kube-apiserver serves.
func (s *Server) Address() string {
	serving := s.env.ControlPlane.GetAPIServer().SecureServing
	return net.JoinHostPort(serving.Address, serving.Port)
}

// Client returns a client of the administrator.
func (s *Server) Client() client.Client { return s.Admin.client }

// findAssets returns the folder with the control plane's programs, or an error that says
// how to get them.
func findAssets(ctx context.Context, dir string) (string, error) {
	if dir == "" {
		dir = os.Getenv(AssetsVariable)
	}
	if dir == "" {
		root, err := module.Dir(ctx, module.Gatewarden)
		if err != nil {
			return "", err
		}
		dir = filepath.Join(root, ".cache", "controlplane")
	}
	for _, name := range []string{"etcd", "kube-apiserver"} {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("there is no %s: build it with \"make controlplane\", "+
				"or name the folder of another build in %s", path, AssetsVariable)
		} else if err != nil {
			return "", err
		}
	}
	return dir, nil
}

// crdPaths returns the files and folders with CustomResourceDefinitions, straight from the
// modules that define them.
func crdPaths(ctx context.Context, certManager bool) ([]string, error) {
	istio, err := module.Dir(ctx, module.IstioAPI)
	if err != nil {
		return nil, err
	}
	gatewayAPI, err := module.Dir(ctx, module.GatewayAPI)
	if err != nil {
		return nil, err
	}
	paths := []string{filepath.Join(istio, "kubernetes", "customresourcedefinitions.gen.yaml")}
	for _, plural := range []string{"gatewayclasses", "gateways", "listenersets", "httproutes", "grpcroutes", "tlsroutes", "tcproutes"} {
		paths = append(paths, filepath.Join(gatewayAPI, "config", "crd", "standard", resource.GatewayAPI+"_"+plural+".yaml"))
	}
	if certManager {
		dir, err := module.Dir(ctx, module.CertManager)
		if err != nil {
			return nil, err
		}
		paths = append(paths, filepath.Join(dir, "deploy", "crds"))
	}
	return paths, nil
}

// describe names an object for an error message.
func describe(o *unstructured.Unstructured) string {
	name := o.GetName()
	if name == "" {
		name = o.GetGenerateName() + "…"
	}
	if ns := o.GetNamespace(); ns != "" {
		name = ns + "/" + name
	}
	return o.GetKind() + " " + name
}
