package config

import "github.com/gatewarden/gatewarden/pkg/resource"

// DefaultDomain is the value of deployKF's gateway.hostname as it ships.
const DefaultDomain = "deploykf.example.com"

// Default is the configuration for an unchanged deployKF: what its v0.1.3 to v0.1.5
// charts render with default values, all tools enabled. A new value is made at each call.
func Default() *Configuration {
	const (
		gatewayNamespace = "deploykf-istio-gateway" // deploykf_core.deploykf_istio_gateway.namespace
		gatewayName      = "deploykf-gateway"       // ….gateway.name
		minio            = "deploykf-minio"
		rootNamespace    = "istio-system"
	)
	labels := map[string]string{"app": gatewayName, "istio": gatewayName} // ….gateway.selectorLabels
	const (
		argo         = "argo-server." + DefaultDomain
		minioAPI     = "minio-api." + DefaultDomain
		minioConsole = "minio-console." + DefaultDomain
	)
	owners := func(namespace string, names ...string) []ObjectPattern {
		var out []ObjectPattern
		for _, n := range names {
			out = append(out, ObjectPattern{Kind: resource.KindVirtualService, Namespace: namespace, Name: n})
		}
		return out
	}
	var objects []ObjectPattern
	for _, o := range [][]ObjectPattern{
		owners(gatewayNamespace, "https-redirect", "notebooks-redirect", "tensorboards-redirect"),
		owners("deploykf-auth", "dex", "oauth2-proxy"),
		owners("deploykf-dashboard", "central-dashboard"),
		owners(minio, "deploykf-minio-api", "deploykf-minio-console"),
		owners("kubeflow-argo-workflows", "argo-server"),
		owners("kubeflow", "ml-pipeline-ui", "metadata-grpc", "katib-ui", "jupyter-web-app-jupyter-web-app",
			"tensorboards-web-app-tensorboards-web-app", "volumes-web-app-volumes-web-app"),
	} {
		objects = append(objects, o...)
	}
	// What the gateway's pods are made of, and what deployKF bends their proxies with.
	for _, o := range []ObjectPattern{
		{Kind: resource.KindService, Name: gatewayName}, // ….gatewayService.name
		{Kind: resource.KindServiceEntry, Name: "deploykf-istio-gateway"},
		{Kind: resource.KindDeployment, Name: gatewayName},
		{Kind: resource.KindDaemonSet, Name: gatewayName},
		{Kind: resource.KindEnvoyFilter, Name: "deploykf-istio-gateway--*"},
		{Kind: resource.KindAuthorizationPolicy, Name: "deploykf-istio-gateway--*"},
		// What the gateway reaches itself by, where it does not redirect or match SNI.
		{Kind: resource.KindDestinationRule, Name: "https-redirect"},
		{Kind: resource.KindDestinationRule, Name: "notebooks-redirect"},
		{Kind: resource.KindDestinationRule, Name: "tensorboards-redirect"},
	} {
		o.Namespace = gatewayNamespace
		objects = append(objects, o)
	}
	// Istio's own telemetry, one of each for every version up to 1.21 that is installed
	// (manifests/charts/istio-control/istio-discovery/templates/telemetryv2_*.yaml).
	for _, name := range []string{"stats-filter-*", "tcp-stats-filter-*", "stackdriver-filter-*", "metadata-exchange-*", "tcp-metadata-exchange-*"} {
		objects = append(objects, ObjectPattern{Kind: resource.KindEnvoyFilter, Namespace: rootNamespace, Name: name})
	}
	return &Configuration{
		APIVersion: APIVersion,
		Kind:       Kind,
		Mesh: Mesh{
			RootNamespace:                 rootNamespace,
			DefaultVirtualServiceExportTo: []string{"*"},
		},
		GuardedGateways: []GuardedGateway{{
			Name:      "deployKF",
			Namespace: gatewayNamespace,
			// v0.1.3 and earlier call the redirect Gateway deploykf-istio-gateway-https-redirect.
			Gateways:  []string{gatewayName, "deploykf-gateway-https-redirect", "deploykf-istio-gateway-https-redirect"},
			PodLabels: labels,
			// ….gatewayDeployment.serviceAccount.name
			ServiceAccount: gatewayName,
			Servers: []Server{
				{Gateway: gatewayName, Port: 443, Protocol: "HTTPS", TLSMode: "SIMPLE", Hosts: []string{
					"*/" + DefaultDomain, "kubeflow-argo-workflows/" + argo, minio + "/" + minioAPI, minio + "/" + minioConsole,
				}},
				{Gateway: gatewayName + "-https-redirect", Port: 80, Protocol: "HTTP", Hosts: []string{
					gatewayNamespace + "/" + DefaultDomain, gatewayNamespace + "/" + argo,
					gatewayNamespace + "/" + minioAPI, gatewayNamespace + "/" + minioConsole,
				}},
			},
			Domains:      []string{DefaultDomain},
			OwnerObjects: objects,
			// What Kubeflow's controllers create in a profile's namespace: Notebook, Tensorboard
			// (both part of deployKF), Notebooks 2.0 Workspace and PVCViewer.
			TenantPaths: []string{
				"/notebook/{namespace}/", "/tensorboard/{namespace}/",
				"/workspace/connect/{namespace}/", "/pvcviewers/{namespace}/",
			},
		}},
		ProtectedNamespaces: ProtectedNamespaces{
			Names: []string{
				gatewayNamespace, "deploykf-auth", "deploykf-dashboard", minio, "kubeflow", "kubeflow-argo-workflows",
			},
			// Set by Kubeflow's profile-controller on every profile's namespace.
			Labels: map[string]string{"app.kubernetes.io/part-of": "kubeflow-profile"},
		},
		PermissivePolicies: []PolicyRef{
			// The gateway is reached from outside of the mesh.
			{Namespace: gatewayNamespace, Name: "deploykf-istio-gateway-mtls", Selector: labels},
			// Argo Workflows' pods have no sidecar.
			{Namespace: minio, Name: "deploykf-minio-mtls", Selector: map[string]string{
				"app.kubernetes.io/name": "deploykf-minio", "app.kubernetes.io/component": "minio",
			}},
		},
	}
}
