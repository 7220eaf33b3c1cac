package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestIstioVersion(t *testing.T) {
	world := func(o ...resource.Object) []resource.Object { return o }
	running := func(version, revision string) *resource.Workload {
		return proxy(resource.KindPod, gatewayNS, "deploykf-gateway-x", func(o *resource.Workload) {
			o.Pod.Labels = map[string]string{"app": "deploykf-gateway", "istio": "deploykf-gateway", "istio.io/rev": revision}
			o.Pod.Containers[0].Image = "docker.io/istio/proxyv2:" + version
		})
	}
	chart := func(version string) *resource.Workload {
		return proxy(resource.KindDeployment, gatewayNS, "deploykf-gateway", func(o *resource.Workload) {
			o.Labels = map[string]string{"helm.sh/chart": "gateway-" + version}
		})
	}
	fixed := proxy(resource.KindDeployment, gatewayNS, "deploykf-gateway", func(o *resource.Workload) {
		o.Pod.Containers[0].Image = "registry.example.com:5000/istio/proxyv2:1.16.7-distroless"
	})
	any := func(c *config.Configuration) { c.GuardedGateways[0].Requires.IstioVersions = config.VersionRange{} }
	const image = "spec.template.spec.containers[discovery].image"
	checkInstalled(t, "GWD705",
		installed{name: "too new", world: world(istiod("1.23.0", "")), want: policy.Warn, on: "Deployment istio-system/istiod", field: image, says: "1.15 to 1.22"},
		installed{name: "too old", world: world(istiod("1.14.6", "")), want: policy.Warn},
		installed{name: "another major version", world: world(istiod("2.17.0", "")), want: policy.Warn},
		installed{name: "a pod of another version", world: world(istiod("1.20.8", ""), running("1.17.8", "default")), want: policy.Warn, on: theDeployment.String(), says: "1.17"},
		installed{name: "a pod alone", gone: []resource.Key{theDeployment}, world: world(istiod("1.20.8", ""), running("1.17.8", "default")), want: policy.Warn, on: "Pod deploykf-istio-gateway/deploykf-gateway-x"},
		installed{name: "a fixed image", world: world(istiod("1.17.8", ""), fixed), want: policy.Warn, on: theDeployment.String(), says: "1.16"},
		installed{name: "a pod of another revision than it has", world: world(istiod("1.20.8", ""), istiod("1.17.8", "-old"), running("1.20.8", "old")), want: policy.Warn},
		installed{name: "another chart", world: world(istiod("1.20.8", ""), chart("1.17.8")), want: policy.Note, field: "metadata.labels[helm.sh/chart]"},
		installed{name: "a digest", world: world(istiod("x@sha256:0123", "")), want: policy.Note, says: "not checked"},
		installed{name: "no istiod", want: policy.Note, says: "not checked"},

		installed{name: "the oldest", world: world(istiod("1.15.7", "")), want: silent},
		installed{name: "the newest", world: world(istiod("1.22.8-distroless", "")), want: silent},
		installed{name: "any", world: world(istiod("1.30.0", "")), config: any, want: silent},
		installed{name: "of one minor version", world: world(istiod("1.17.8", ""), running("1.17.3", "default"), chart("1.17.1")), want: silent},
		installed{name: "of its revision", world: world(istiod("1.20.8", ""), istiod("1.17.8", "-old"), running("1.17.8", "old")), want: silent},
		installed{name: "not known which", world: world(istiod("1.20.8", ""), istiod("1.17.8", "-old"), fixed), want: silent},
	)
}

func TestVersions(t *testing.T) {
	for image, want := range map[string]string{
		"docker.io/istio/pilot:1.22.3":                         "1.22",
		"istio/proxyv2:1.9.0-distroless":                       "1.9",
		"registry:5000/istio/pilot:1.31-alpha.0":               "1.31",
		"gcr.io/istio/pilot:v1.20":                             "1.20",
		"istio/pilot:1.22.3@sha256:0123456789abcdef0123456789": "1.22",
		"registry:5000/istio/pilot":                            "",
		"registry:5000/1.22/pilot":                             "",
		"istio/pilot:latest":                                   "",
		"auto":                                                 "",
	} {
		v, ok := policy.ImageVersion(image)
		if want == "" {
			if ok {
				t.Errorf("%s is taken for %s", image, v)
			}
		} else if !ok || v.String() != want {
			t.Errorf("%s is taken for %s, and not for %s", image, v, want)
		}
	}
}
