package rules

import (
	"testing"
	"time"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

var dashboard = map[string]string{"app.kubernetes.io/name": "central-dashboard"}

func pa(key string, mode resource.MTLSMode, selector map[string]string) *resource.PeerAuthentication {
	return &resource.PeerAuthentication{Meta: meta(key), Mode: mode, Selector: selector}
}

func ported(key string, mode resource.MTLSMode, selector map[string]string) *resource.PeerAuthentication {
	p := pa(key, resource.ModeUnset, selector)
	p.Ports = map[uint32]resource.MTLSMode{8082: mode}
	return p
}

// created sets the creation time, in seconds.
func created[T interface{ GetMeta() *resource.Meta }](o T, second int64) T {
	o.GetMeta().Created = time.Unix(second, 0)
	return o
}

func namespace(name string, labels map[string]string) *resource.Namespace {
	return &resource.Namespace{Meta: resource.Meta{Name: name, Labels: labels}}
}

func TestPermissiveMTLS(t *testing.T) {
	const permissive, disable = resource.ModePermissive, resource.ModeDisable
	minio := map[string]string{"app.kubernetes.io/name": "deploykf-minio", "app.kubernetes.io/component": "minio"}
	strict := pa("deploykf-dashboard/default", resource.ModeStrict, nil)
	check(t, "GWD501",
		verdict{name: "a namespace", change: create(pa("kubeflow/x", permissive, nil)), want: policy.Deny, field: "spec.mtls.mode"},
		verdict{name: "a namespace, disabled", change: create(pa("kubeflow/x", disable, nil)), want: policy.Deny},
		verdict{name: "a workload", change: create(pa("deploykf-dashboard/x", permissive, dashboard)), want: policy.Deny},
		verdict{name: "a port", change: create(ported("deploykf-dashboard/x", disable, dashboard)), want: policy.Deny, field: "spec.portLevelMtls[8082].mode"},
		verdict{name: "the mesh", change: create(pa("istio-system/x", permissive, nil)), want: policy.Deny},
		verdict{name: "the mesh, nothing known", bare: true, change: create(pa("istio-system/x", permissive, nil)), want: policy.Deny},
		verdict{name: "the mesh, under a namespace that is strict", bare: true, world: []resource.Object{strict}, change: create(pa("istio-system/x", permissive, nil)), want: policy.Warn},
		verdict{name: "the mesh, nothing else but gateway pods", bare: true, world: []resource.Object{strict, pod("deploykf-istio-gateway/p", podLabels)}, change: create(pa("istio-system/x", permissive, nil)), want: policy.Warn},
		verdict{name: "a profile's namespace", world: []resource.Object{namespace("team-1", map[string]string{"app.kubernetes.io/part-of": "kubeflow-profile"})}, change: create(pa("team-1/x", permissive, nil)), want: policy.Deny},
		verdict{name: "the gateway's namespace", change: create(pa("deploykf-istio-gateway/x", permissive, nil)), want: policy.Deny},
		verdict{name: "the gateway's policy for other pods", change: create(pa("deploykf-istio-gateway/deploykf-istio-gateway-mtls", permissive, map[string]string{"app": "other"})), want: policy.Deny},
		verdict{name: "the gateway's policy for the namespace", change: create(pa("deploykf-istio-gateway/deploykf-istio-gateway-mtls", permissive, nil)), want: policy.Deny},
		verdict{name: "the gateway's policy, disabled", change: create(pa("deploykf-istio-gateway/deploykf-istio-gateway-mtls", disable, podLabels)), want: policy.Deny},
		verdict{name: "minio's policy under another name", change: create(pa("deploykf-minio/x", permissive, minio)), want: policy.Deny},
		verdict{name: "minio's policy in another namespace", change: create(pa("kubeflow/deploykf-minio-mtls", permissive, minio)), want: policy.Deny},
		verdict{name: "it was there before", change: update(pa("kubeflow/x", permissive, nil), pa("kubeflow/x", permissive, nil)), want: policy.Warn},
		verdict{name: "it was permissive and is disabled", change: update(pa("kubeflow/x", permissive, nil), pa("kubeflow/x", disable, nil)), want: policy.Deny},
		verdict{name: "half of a repair", change: update(pa("kubeflow/x", disable, nil), pa("kubeflow/x", permissive, nil)), want: policy.Warn},
		verdict{name: "for fewer workloads than before", change: update(pa("kubeflow/x", permissive, nil), pa("kubeflow/x", permissive, dashboard)), want: policy.Warn},
		verdict{name: "some of the gateway pods' labels", change: create(pa("deploykf-istio-gateway/x", permissive, map[string]string{"istio": "deploykf-gateway"})), want: policy.Warn},
		verdict{name: "it widens its scope", change: update(pa("kubeflow/x", permissive, dashboard), pa("kubeflow/x", permissive, nil)), want: policy.Deny},

		verdict{name: "for one port of fewer workloads than before", change: update(pa("kubeflow/x", permissive, nil), ported("kubeflow/x", permissive, dashboard)), want: policy.Warn},
		verdict{name: "gateway pods under another name", change: create(pa("deploykf-istio-gateway/x", permissive, podLabels)), want: policy.Warn},
		verdict{name: "pods without a sidecar", world: []resource.Object{
			namespace("kubeflow", map[string]string{"istio-injection": "enabled"}), pod("kubeflow/p", map[string]string{"app": "katib", "sidecar.istio.io/inject": "false"}),
		}, change: create(pa("kubeflow/x", permissive, map[string]string{"app": "katib"})), want: policy.Warn},
		verdict{name: "pods with a sidecar among them", world: []resource.Object{
			namespace("kubeflow", map[string]string{"istio-injection": "enabled"}), pod("kubeflow/p", map[string]string{"app": "katib", "sidecar.istio.io/inject": "false"}),
			pod("kubeflow/q", map[string]string{"app": "katib"}),
		}, change: create(pa("kubeflow/x", permissive, map[string]string{"app": "katib"})), want: policy.Deny},
		verdict{name: "a selector in the root namespace", change: create(pa("istio-system/x", disable, dashboard)), want: policy.Warn},
		verdict{name: "a port without a selector", change: create(ported("kubeflow/x", disable, nil)), want: policy.Warn},

		verdict{name: "the gateway's own policy", change: create(pa("deploykf-istio-gateway/deploykf-istio-gateway-mtls", permissive, podLabels)), want: silent},
		verdict{name: "minio's own policy", change: create(pa("deploykf-minio/deploykf-minio-mtls", permissive, minio)), want: silent},
		verdict{name: "another namespace", change: create(pa("team-a/x", disable, nil)), want: silent},
		verdict{name: "unset", change: create(pa("kubeflow/x", resource.ModeUnset, nil)), want: silent},
		verdict{name: "an unset port", change: create(ported("kubeflow/x", resource.ModeUnset, dashboard)), want: silent},
		verdict{name: "strict", change: create(pa("kubeflow/x", resource.ModeStrict, nil)), want: silent},
	)
}
