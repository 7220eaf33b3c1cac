// Package deploykf is what is known of deployKF: which values decide what its shared gateway
// is, what they are by default in each of its versions, and which objects it makes of them.
// It turns an installation into the configuration that guards it.
//
// Paths and defaults are those of generator/default_values.yaml in deployKF/deployKF, names
// and hosts those of the templates under generator/templates/manifests, v0.1.3 to v0.1.5.
package deploykf

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// DefaultHostname is the value of deployKF's gateway.hostname as it ships.
const DefaultHostname = "deploykf.example.com"

// Version is a version of deployKF, such as "0.1.5".
type Version string

// The versions that are known.
const (
	V013 Version = "0.1.3"
	V014 Version = "0.1.4"
	V015 Version = "0.1.5"

	// Latest is the version that is assumed where none is named.
	Latest = V015
)

// Versions are all that are known, the oldest first.
var Versions = []Version{V013, V014, V015}

// ParseVersion reads a version, with a "v" before it or not.
func ParseVersion(s string) (Version, error) {
	v := Version(strings.TrimPrefix(s, "v"))
	if !slices.Contains(Versions, v) {
		names := make([]string, len(Versions))
		for i, known := range Versions {
			names[i] = string(known)
		}
		return "", fmt.Errorf("%q is no version of deployKF that gatewarden knows: use %s", s, strings.Join(names, ", "))
	}
	return v, nil
}

// shares reports whether the version can share its gateway's pods. Up to 0.1.3 its filters
// authenticate every route of theirs (templates/gateway/EnvoyFilter-ext-authz-disable.yaml).
func (v Version) shares() bool { return v != V013 }

// Ports are a port of the gateway's Service, and the one that its pods listen on for it.
type Ports struct{ Public, Internal uint32 }

// App is a part of deployKF that may be left out.
type App struct {
	Enabled   bool
	Namespace string
}

// Installation is what is decided about deployKF's gateway, and what is on it. The paths are
// those of its values.
type Installation struct {
	Version Version

	// Mesh states the settings of the mesh: deploykf_dependencies.istio.
	Mesh config.Mesh
	// ManagesIstio and ManagesGateway report whether deployKF installs Istio, and the
	// gateway's Deployment and Service: charts.istioGateway.enabled.
	ManagesIstio, ManagesGateway bool

	// The following are under deploykf_core.deploykf_istio_gateway.

	Namespace      string
	Gateway        string            // gateway.name
	Hostname       string            // gateway.hostname
	SelectorLabels map[string]string // gateway.selectorLabels
	HTTP, HTTPS    Ports             // gatewayService.ports, gateway.ports
	TLS            bool              // gateway.tls.enabled
	MatchSNI       bool              // gateway.tls.matchSNI
	ServiceAccount string            // gatewayDeployment.serviceAccount.name
	Service        string            // gatewayService.name

	AuthNamespace      string // deploykf_core.deploykf_auth.namespace
	DashboardNamespace string // deploykf_core.deploykf_dashboard.namespace
	Minio              App    // deploykf_opt.deploykf_minio
	ArgoWorkflows      App    // kubeflow_dependencies.kubeflow_argo_workflows

	// The following are under kubeflow_tools, as far as they have routes.

	Katib, Notebooks, Pipelines, Tensorboards, Volumes bool
}

const (
	// toolsNamespace is where all tools of Kubeflow are. No value changes that.
	toolsNamespace = "kubeflow"
	// chart is the prefix of the names that the gateway's chart does not take from values.
	chart = "deploykf-istio-gateway"
	// redirectGateway is the Gateway of plain HTTP since 0.1.4, and oldRedirectGateway the
	// one before.
	redirectGateway    = "deploykf-gateway-https-redirect"
	oldRedirectGateway = chart + "-https-redirect"
)

// DefaultInstallation is what a version installs where no value is set.
func DefaultInstallation(v Version) *Installation {
	return &Installation{
		Version:        v,
		Mesh:           config.Mesh{RootNamespace: config.DefaultRootNamespace, DefaultVirtualServiceExportTo: []string{"*"}},
		ManagesIstio:   true,
		ManagesGateway: true,
		Namespace:      "deploykf-istio-gateway",
		Gateway:        "deploykf-gateway",
		Hostname:       DefaultHostname,
		SelectorLabels: map[string]string{"app": "deploykf-gateway", "istio": "deploykf-gateway"},
		HTTP:           Ports{80, 80},
		HTTPS:          Ports{443, 443},
		TLS:            true,
		MatchSNI:       true,
		ServiceAccount: "deploykf-gateway",
		Service:        "deploykf-gateway",

		AuthNamespace:      "deploykf-auth",
		DashboardNamespace: "deploykf-dashboard",
		Minio:              App{Namespace: "deploykf-minio"},
		ArgoWorkflows:      App{Namespace: "kubeflow-argo-workflows"},
	}
}

// WithAllTools enables everything that may be left out, and returns the installation.
func (i *Installation) WithAllTools() *Installation {
	i.Minio.Enabled, i.ArgoWorkflows.Enabled = true, true
	i.Katib, i.Notebooks, i.Pipelines, i.Tensorboards, i.Volumes = true, true, true, true, true
	return i
}

// Default is the configuration for an unchanged deployKF with all tools. A new value is made
// at each call.
func Default() *config.Configuration {
	return DefaultInstallation(Latest).WithAllTools().Configuration()
}

// redirect is the name of the Gateway of plain HTTP.
func (i *Installation) redirect() string {
	if i.Version == V013 {
		return oldRedirectGateway
	}
	return redirectGateway
}

// Gateways are the names of deployKF's Gateways, the main one first, in any version: during an
// upgrade the old ones are still there, and the new ones come.
func (i *Installation) Gateways() []string {
	return []string{i.Gateway, redirectGateway, oldRedirectGateway}
}

// Configuration is what guards the installation.
func (i *Installation) Configuration() *config.Configuration {
	sharing := config.HostAware
	if !i.Version.shares() {
		sharing = config.Dedicated
	}
	return &config.Configuration{
		APIVersion: config.APIVersion,
		Kind:       config.Kind,
		Mesh:       i.Mesh,
		GuardedGateways: []config.GuardedGateway{{
			Name:           "deployKF",
			Namespace:      i.Namespace,
			Gateways:       i.Gateways(),
			Sharing:        sharing,
			PodLabels:      maps.Clone(i.SelectorLabels),
			ServiceAccount: i.ServiceAccount,
			Servers:        i.servers(),
			Domains:        []string{i.Hostname},
			OwnerObjects:   i.objects(),
			// Set by the filter set_userid_header (templates/gateway/EnvoyFilter-ext-authz.yaml);
			// later versions of Kubeflow's tools than deployKF's also believe in the groups.
			IdentityHeaders: []string{"kubeflow-userid", "kubeflow-groups"},
			ReservedRoutes:  i.reservedRoutes(),
			TenantPaths:     i.tenantPaths(),
			Requires:        requirements(),
		}},
		ProtectedNamespaces: config.ProtectedNamespaces{
			Names: i.namespaces(),
			// Set by Kubeflow's profile-controller on every profile's namespace.
			Labels: map[string]string{"app.kubernetes.io/part-of": "kubeflow-profile"},
		},
		PermissivePolicies: i.permissive(),
	}
}

// requirements are those of deployKF 0.1.3 to 0.1.5 (content/guides/dependencies/istio.md of
// deployKF/website, and the values of its Argo CD application for Istio).
func requirements() config.Requirements {
	return config.Requirements{
		IstioVersions: config.VersionRange{
			Min: config.IstioVersion{Major: 1, Minor: 15}, Max: config.IstioVersion{Major: 1, Minor: 22},
		},
		HoldApplication: true, DNSCapture: true, InjectionOptIn: true,
	}
}

// servers are those of the Gateways (templates/gateway/Gateway.yaml, Gateway-https-redirect.yaml).
func (i *Installation) servers() []config.Server {
	main := config.Server{
		Gateway: i.Gateway, Port: i.HTTPS.Internal, PublicPort: i.HTTPS.public(), Protocol: "HTTPS", TLSMode: "SIMPLE",
		Hosts: i.hosts("*", i.ArgoWorkflows.Namespace, i.Minio.Namespace),
	}
	plain := config.Server{Gateway: i.redirect(), Port: i.HTTP.Internal, PublicPort: i.HTTP.public(), Protocol: "HTTP"}
	switch {
	case !i.TLS:
		plain.Gateway, plain.Hosts = i.Gateway, main.Hosts
		return []config.Server{plain}
	case i.Version == V013:
		plain.Hosts = []string{i.Namespace + "/" + i.Hostname, i.Namespace + "/*." + i.Hostname}
	default:
		plain.Hosts = i.hosts(i.Namespace, i.Namespace, i.Namespace)
	}
	if !i.MatchSNI {
		main.Hosts = []string{"*"}
	}
	return []config.Server{main, plain}
}

// public is the port of the Service if it is another one.
func (p Ports) public() uint32 {
	if p.Public == p.Internal {
		return 0
	}
	return p.Public
}

// hosts are the host and its subdomains that are in use, for routes of the namespaces.
func (i *Installation) hosts(base, argo, minio string) []string {
	out := []string{base + "/" + i.Hostname}
	if i.ArgoWorkflows.Enabled {
		out = append(out, argo+"/argo-server."+i.Hostname)
	}
	if i.Minio.Enabled {
		out = append(out, minio+"/minio-api."+i.Hostname, minio+"/minio-console."+i.Hostname)
	}
	return out
}

// objects are deployKF's own objects on the gateway.
func (i *Installation) objects() []config.ObjectPattern {
	var out []config.ObjectPattern
	add := func(kind resource.Kind, namespace string, names ...string) {
		for _, n := range names {
			out = append(out, config.ObjectPattern{Kind: kind, Namespace: namespace, Name: n})
		}
	}
	// What the gateway reaches itself by, where it does not redirect or match SNI.
	loops := []string{"https-redirect"}
	if i.Notebooks {
		loops = append(loops, "notebooks-redirect")
	}
	if i.Tensorboards {
		loops = append(loops, "tensorboards-redirect")
	}
	add(resource.KindVirtualService, i.Namespace, loops...)
	add(resource.KindVirtualService, i.AuthNamespace, "dex", "oauth2-proxy")
	add(resource.KindVirtualService, i.DashboardNamespace, "central-dashboard")
	if i.Minio.Enabled {
		add(resource.KindVirtualService, i.Minio.Namespace, "deploykf-minio-api", "deploykf-minio-console")
	}
	if i.ArgoWorkflows.Enabled {
		add(resource.KindVirtualService, i.ArgoWorkflows.Namespace, "argo-server")
	}
	for _, tool := range []struct {
		enabled bool
		names   []string
	}{
		{i.Pipelines, []string{"ml-pipeline-ui", "metadata-grpc"}},
		{i.Katib, []string{"katib-ui"}},
		{i.Notebooks, []string{"jupyter-web-app-jupyter-web-app"}},
		{i.Tensorboards, []string{"tensorboards-web-app-tensorboards-web-app"}},
		{i.Volumes, []string{"volumes-web-app-volumes-web-app"}},
	} {
		if tool.enabled {
			add(resource.KindVirtualService, toolsNamespace, tool.names...)
		}
	}
	// What the gateway's pods are made of, and what deployKF bends their proxies with.
	if i.ManagesGateway {
		add(resource.KindService, i.Namespace, i.Service)
		// The chart names both after the Service (gateway.name of the dependency).
		add(resource.KindDeployment, i.Namespace, i.Service)
		add(resource.KindDaemonSet, i.Namespace, i.Service)
	}
	add(resource.KindServiceEntry, i.Namespace, chart)
	add(resource.KindEnvoyFilter, i.Namespace, chart+"--*")
	add(resource.KindAuthorizationPolicy, i.Namespace, chart+"--*")
	add(resource.KindDestinationRule, i.Namespace, loops...)
	// Istio's own telemetry, one of each for every version up to 1.21 that is installed
	// (manifests/charts/istio-control/istio-discovery/templates/telemetryv2_*.yaml).
	add(resource.KindEnvoyFilter, i.Mesh.RootNamespace,
		"stats-filter-*", "tcp-stats-filter-*", "stackdriver-filter-*", "metadata-exchange-*", "tcp-metadata-exchange-*")
	return out
}

// reservedRoutes are the names of routes by which the EnvoyFilter of the login tells those that
// it makes an exception of (templates/gateway/EnvoyFilter-ext-authz.yaml). Up to 0.1.3 it finds
// them on every Gateway of the pods, and redirects have one (EnvoyFilter-ext-authz-disable.yaml).
func (i *Installation) reservedRoutes() []config.ReservedRoute {
	var out []config.ReservedRoute
	add := func(enabled bool, name, namespace, owner, reason string) {
		if enabled {
			out = append(out, config.ReservedRoute{
				Name: name, Reason: reason, AnyGateway: !i.Version.shares(),
				Owners: []config.ObjectPattern{{Kind: resource.KindVirtualService, Namespace: namespace, Name: owner}},
			})
		}
	}
	const noLogin = "requests of such a route need no login, and may say to be of any user"
	add(true, "dex-route", i.AuthNamespace, "dex", noLogin)
	add(true, "oauth2-proxy-route", i.AuthNamespace, "oauth2-proxy", noLogin)
	add(i.ArgoWorkflows.Enabled, "argo-server-route", i.ArgoWorkflows.Namespace, "argo-server", noLogin)
	add(i.Minio.Enabled, "minio-api-route", i.Minio.Namespace, "deploykf-minio-api", noLogin)
	add(i.Minio.Enabled, "minio-console-route", i.Minio.Namespace, "deploykf-minio-console", noLogin)
	add(!i.Version.shares() && i.TLS, "https-redirect-route", i.Namespace, "https-redirect", noLogin)
	add(i.Pipelines, "ml-pipeline-ui-route", toolsNamespace, "ml-pipeline-ui", "such a route also accepts tokens that are meant for the pipelines' SDK")
	return out
}

// tenantPaths are what Kubeflow's controllers create in a profile's namespace for a Notebook
// and a Tensorboard, and, in later versions of Kubeflow than deployKF's, for a Workspace and a
// PVCViewer.
func (i *Installation) tenantPaths() []string {
	var out []string
	if i.Notebooks {
		out = append(out, "/notebook/{namespace}/")
	}
	if i.Tensorboards {
		out = append(out, "/tensorboard/{namespace}/")
	}
	if i.Notebooks {
		out = append(out, "/workspace/connect/{namespace}/")
	}
	if i.Volumes {
		out = append(out, "/pvcviewers/{namespace}/")
	}
	return out
}

// namespaces are those of deployKF's own workloads.
func (i *Installation) namespaces() []string {
	out := []string{i.Namespace, i.AuthNamespace, i.DashboardNamespace}
	if i.Minio.Enabled {
		out = append(out, i.Minio.Namespace)
	}
	out = append(out, toolsNamespace)
	if i.ArgoWorkflows.Enabled {
		out = append(out, i.ArgoWorkflows.Namespace)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// permissive are the policies that are meant to be PERMISSIVE.
func (i *Installation) permissive() []config.PolicyRef {
	// The gateway is reached from outside of the mesh.
	out := []config.PolicyRef{{Namespace: i.Namespace, Name: chart + "-mtls", Selector: maps.Clone(i.SelectorLabels)}}
	if i.Minio.Enabled {
		// Argo Workflows' pods have no sidecar.
		out = append(out, config.PolicyRef{Namespace: i.Minio.Namespace, Name: "deploykf-minio-mtls", Selector: map[string]string{
			"app.kubernetes.io/name": "deploykf-minio", "app.kubernetes.io/component": "minio",
		}})
	}
	return out
}

// Comments tell by the fields of the configuration what is worth knowing of them.
func (i *Installation) Comments() map[string]string {
	const gateway = "guardedGateways[0]."
	out := map[string]string{
		gateway + "namespace": gatewaySection + ".namespace",
		gateway + "podLabels": gatewaySection + ".gateway.selectorLabels",
		gateway + "domains":   gatewaySection + ".gateway.hostname",
	}
	for n, o := range i.objects() {
		if o.Kind == resource.KindEnvoyFilter && o.Namespace == i.Mesh.RootNamespace {
			out[fmt.Sprintf("%sownerObjects[%d]", gateway, n)] = "Istio's own telemetry, one of each for every version up to 1.21 that is installed."
			break
		}
	}
	if !i.Version.shares() {
		out[gateway+"sharing"] = fmt.Sprintf("deployKF %s authenticates every route of the pods, so that they can not be shared.", i.Version)
	}
	if !i.TLS {
		out[gateway+"servers"] = "gateway.tls.enabled is false: there is plain HTTP only."
	}
	if !i.MatchSNI {
		out[gateway+"servers"] = "gateway.tls.matchSNI is false: the HTTPS server takes every host."
	}
	if !i.ManagesGateway {
		out[gateway+"ownerObjects"] = "charts.istioGateway.enabled is false: the gateway's Deployment and Service are not deployKF's."
	}
	if !i.ManagesIstio {
		out["mesh"] = "deploykf_dependencies.istio.enabled is false: compare these with the ConfigMap istio of Istio's namespace."
	}
	return out
}

// Doubts tells what in the names of the Gateways of a cluster speaks against the version.
func (i *Installation) Doubts(gateways []string) []string {
	has := func(name string) bool { return slices.Contains(gateways, name) }
	switch {
	case i.Version == V013 && has(redirectGateway):
		return []string{fmt.Sprintf("Gateway %s is that of deployKF %s and later, which can share its gateway: is the version right?", redirectGateway, V014)}
	case i.Version != V013 && has(oldRedirectGateway) && !has(redirectGateway):
		return []string{fmt.Sprintf("Gateway %s is that of deployKF %s and earlier, which can not share its gateway: give --deploykf-version %s if that is installed", oldRedirectGateway, V013, V013)}
	}
	return nil
}
