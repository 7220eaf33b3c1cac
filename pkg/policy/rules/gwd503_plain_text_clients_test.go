package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// dr makes a DestinationRule with one mode for the whole host.
func dr(key, host, mode string, exportTo ...string) *resource.DestinationRule {
	return &resource.DestinationRule{Meta: meta(key), Host: host, ExportTo: exportTo, Policy: resource.TrafficPolicy{TLS: mode}}
}

func service(key string, selector map[string]string, ports ...uint32) *resource.Service {
	s := &resource.Service{Meta: meta(key), Selector: selector}
	for _, p := range ports {
		s.Ports = append(s.Ports, resource.ServicePort{Port: p})
	}
	return s
}

func deployment(key string, labels map[string]string, edit ...func(*resource.PodTemplate)) *resource.Workload {
	o := &resource.Workload{Meta: meta(key), Kind: resource.KindDeployment, Pod: resource.PodTemplate{Labels: labels}}
	for _, e := range edit {
		e(&o.Pod)
	}
	return o
}

func TestPlainTextClients(t *testing.T) {
	const (
		top      = "spec.trafficPolicy.tls.mode"
		pipeline = "ml-pipeline.kubeflow.svc.cluster.local"
	)
	app := map[string]string{"app": "ml-pipeline"}
	svc := service("kubeflow/ml-pipeline", app, 8888, 8887)
	known := []resource.Object{svc, deployment("kubeflow/ml-pipeline", app)}
	outside := []resource.Object{svc, deployment("kubeflow/ml-pipeline", app, func(p *resource.PodTemplate) {
		p.Annotations = map[string]string{"sidecar.istio.io/inject": "false"}
	})}
	selected := func(d *resource.DestinationRule, selector map[string]string) *resource.DestinationRule {
		d.WorkloadSelector = selector
		return d
	}
	ported := func(d *resource.DestinationRule, port uint32, mode string) *resource.DestinationRule {
		d.Policy.Ports = append(d.Policy.Ports, resource.PortPolicy{Port: port, TLS: mode})
		return d
	}
	subset := func(d *resource.DestinationRule, mode string) *resource.DestinationRule {
		d.Subsets = append(d.Subsets, resource.Subset{Name: "v1", Policy: resource.TrafficPolicy{TLS: mode}})
		return d
	}
	onlyKubeflow := func(c *config.Configuration) {
		c.ProtectedNamespaces = config.ProtectedNamespaces{Names: []string{"kubeflow"}}
	}
	const all = "*.local"
	check(t, "GWD503",
		verdict{name: "in the Service's namespace", world: known, change: create(dr("kubeflow/x", pipeline, "DISABLE")), want: policy.Deny, field: top},
		verdict{name: "a short name", world: known, change: create(dr("kubeflow/x", "ml-pipeline", "SIMPLE")), want: policy.Deny},
		verdict{name: "MUTUAL with certificates of its own", world: known, change: create(dr("kubeflow/x", pipeline, "MUTUAL")), want: policy.Deny},
		verdict{name: "only for clients of the Service's namespace", world: known, change: create(dr("kubeflow/x", pipeline, "DISABLE", ".")), want: policy.Deny},
		verdict{name: "only for another namespace", world: known, change: create(dr("kubeflow/x", pipeline, "DISABLE", "team-a")), want: policy.Deny},
		verdict{name: "for some clients of the Service's namespace", world: known, change: create(selected(dr("kubeflow/x", pipeline, "DISABLE"), map[string]string{"app": "x"})), want: policy.Deny},
		verdict{name: "a port", world: known, change: create(ported(dr("kubeflow/x", pipeline, ""), 8888, "DISABLE")), want: policy.Deny, field: "spec.trafficPolicy.portLevelSettings[0].tls.mode"},
		verdict{name: "a subset", world: known, change: create(subset(dr("kubeflow/x", pipeline, "ISTIO_MUTUAL"), "DISABLE")), want: policy.Deny, field: "spec.subsets[0].trafficPolicy.tls.mode"},
		verdict{name: "a wildcard", world: known, change: create(dr("kubeflow/x", "*.kubeflow.svc.cluster.local", "DISABLE")), want: policy.Deny},
		verdict{name: "nothing is known of the Service", change: create(dr("kubeflow/x", pipeline, "DISABLE")), want: policy.Deny},
		verdict{name: "another cluster domain", world: known, change: create(dr("kubeflow/x", "ml-pipeline.kubeflow.svc.corp.example", "DISABLE")), want: policy.Deny},
		verdict{name: "an older one says ISTIO_MUTUAL", world: append(known[:2:2], dr("kubeflow/a", pipeline, "ISTIO_MUTUAL")), change: create(dr("kubeflow/x", pipeline, "DISABLE")), want: policy.Deny},
		verdict{name: "the whole mesh", world: known, change: create(dr("istio-system/x", all, "DISABLE")), want: policy.Deny},
		verdict{name: "the whole mesh, nothing known", bare: true, change: create(dr("istio-system/x", all, "DISABLE")), want: policy.Deny},
		verdict{name: "the gateway as client", world: known, change: create(dr("deploykf-istio-gateway/x", pipeline, "DISABLE", ".")), want: policy.Deny},
		verdict{name: "the gateway's pods by selector", world: known, change: create(selected(dr("deploykf-istio-gateway/x", pipeline, "DISABLE"), podLabels)), want: policy.Deny},
		verdict{name: "a profile's Service", world: []resource.Object{namespace("team-1", map[string]string{"app.kubernetes.io/part-of": "kubeflow-profile"})}, change: create(dr("team-1/x", "nb", "DISABLE")), want: policy.Deny},
		verdict{name: "a host of the owner, in the gateway's namespace", change: create(dr("deploykf-istio-gateway/x", h, "SIMPLE")), want: policy.Deny},
		verdict{name: "a host of the owner, for the mesh", change: create(dr("istio-system/x", "*.example.com", "DISABLE")), want: policy.Deny},
		verdict{name: "it gets worse", world: known, change: update(dr("kubeflow/x", pipeline, "ISTIO_MUTUAL"), dr("kubeflow/x", pipeline, "DISABLE")), want: policy.Deny},

		verdict{name: "only its own namespace's clients", world: known, change: create(dr("team-a/x", pipeline, "DISABLE")), want: policy.Warn, field: top},
		verdict{name: "its own clients, a wildcard", world: known, change: create(dr("team-a/x", all, "DISABLE")), want: policy.Warn},
		verdict{name: "clients of the root namespace", world: known, change: create(dr("istio-system/x", pipeline, "DISABLE", ".")), want: policy.Warn},
		verdict{name: "other pods of the gateway's namespace", world: known, change: create(selected(dr("deploykf-istio-gateway/x", pipeline, "DISABLE"), map[string]string{"app": "other"})), want: policy.Warn},
		verdict{name: "for a namespace that can not read it", world: known, change: create(dr("team-a/x", pipeline, "DISABLE", "team-b")), want: policy.Warn},
		verdict{name: "for nobody", world: known, change: create(dr("kubeflow/x", pipeline, "DISABLE", "~")), want: policy.Warn},
		verdict{name: "the mesh's, behind the Service's own", world: append(known[:2:2], dr("kubeflow/a", pipeline, "ISTIO_MUTUAL")), change: create(dr("istio-system/x", pipeline, "DISABLE")), want: policy.Warn},
		verdict{name: "it was there before", world: known, change: update(dr("kubeflow/x", pipeline, "DISABLE"), dr("kubeflow/x", pipeline, "DISABLE")), want: policy.Warn},

		verdict{name: "ISTIO_MUTUAL", world: known, change: create(dr("kubeflow/x", pipeline, "ISTIO_MUTUAL")), want: silent},
		verdict{name: "no tls", world: known, change: create(dr("kubeflow/x", pipeline, "")), want: silent},
		verdict{name: "a port says ISTIO_MUTUAL", world: known, change: create(ported(dr("kubeflow/x", pipeline, ""), 8888, "ISTIO_MUTUAL")), want: silent},
		verdict{name: "a port that the Service has not", world: known, change: create(ported(dr("kubeflow/x", pipeline, ""), 9999, "DISABLE")), want: silent},
		verdict{name: "every port has settings of its own", world: known, change: create(ported(ported(dr("kubeflow/x", pipeline, "DISABLE"), 8888, "ISTIO_MUTUAL"), 8887, "")), want: silent},
		verdict{name: "pods without a sidecar", world: outside, change: create(dr("kubeflow/x", pipeline, "DISABLE")), want: silent},
		verdict{name: "pods of a namespace that is not injected", world: append(known[:2:2], namespace("kubeflow", map[string]string{"istio-injection": "disabled"})), change: create(dr("kubeflow/x", pipeline, "DISABLE")), want: silent},
		verdict{name: "a Service without a selector", world: []resource.Object{service("kubeflow/db", nil, 3306)}, change: create(dr("kubeflow/x", "db", "SIMPLE")), want: silent},
		verdict{name: "the gateway's Service", change: create(dr("deploykf-istio-gateway/x", "deploykf-gateway", "SIMPLE")), want: silent},
		verdict{name: "another namespace's Service", world: known, change: create(dr("team-a/x", "app", "DISABLE")), want: silent},
		verdict{name: "a Service by half its name", world: known, change: create(dr("kubeflow/x", "ml-pipeline.kubeflow", "DISABLE")), want: silent},
		verdict{name: "upper case", world: known, change: create(dr("kubeflow/x", "ML-Pipeline.kubeflow.svc.cluster.local", "DISABLE")), want: silent},
		verdict{name: "a public host", world: known, change: create(dr("kubeflow/x", "api.example.org", "SIMPLE")), want: silent},
		verdict{name: "an address", world: known, change: create(dr("kubeflow/x", "10.0.0.1", "DISABLE")), want: silent},
		verdict{name: "a host of the owner, for its own clients", change: create(dr("team-a/x", h, "SIMPLE")), want: silent},
		verdict{name: "the mesh's, behind a narrower one", config: onlyKubeflow, world: append(known[:2:2], dr("istio-system/a", pipeline, "ISTIO_MUTUAL")), change: create(dr("istio-system/x", all, "DISABLE")), want: silent},
		verdict{name: "the owner's own", change: create(selected(ported(dr("deploykf-istio-gateway/https-redirect", h, ""), 8443, "SIMPLE"), podLabels)), want: silent},
		verdict{name: "no namespace is protected", world: known, config: func(c *config.Configuration) { c.ProtectedNamespaces = config.ProtectedNamespaces{} }, change: create(dr("kubeflow/x", pipeline, "DISABLE")), want: silent},
	)
}
