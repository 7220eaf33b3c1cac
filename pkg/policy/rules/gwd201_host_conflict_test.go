package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

func TestHostConflict(t *testing.T) {
	nosni := []resource.Object{server443("*")}
	check(t, "GWD201",
		verdict{name: "the host", change: create(gw("team-a/x", "443 HTTPS "+h)), want: policy.Deny, field: "spec.servers[0].hosts[0]"},
		verdict{name: "second of its list", change: create(gw("team-a/x", "443 HTTPS a.org,"+h)), want: policy.Deny, field: "spec.servers[0].hosts[1]"},
		verdict{name: "for one namespace", change: create(gw("team-a/x", "443 HTTPS team-a/"+h)), want: policy.Deny},
		verdict{name: "for its own namespace", change: create(gw("team-a/x", "443 HTTPS ./"+h)), want: policy.Deny},
		verdict{name: "for every namespace", change: create(gw("team-a/x", "443 HTTPS */"+h)), want: policy.Deny},
		verdict{name: "in another case", change: create(gw("team-a/x", "443 HTTPS DeployKF.example.COM")), want: policy.Deny},
		verdict{name: "passed through", change: create(gw("team-a/x", "443 TLS "+h+" PASSTHROUGH")), want: policy.Deny},
		verdict{name: "with mutual TLS", change: create(gw("team-a/x", "443 HTTPS "+h+" MUTUAL")), want: policy.Deny},
		verdict{name: "a host that the owner keeps to one namespace", change: create(gw("team-a/x", "443 HTTPS argo-server."+h)), want: policy.Deny},
		verdict{name: "in plain text", change: create(gw("team-a/x", "80 HTTP "+h)), want: policy.Deny},
		verdict{name: "with another bind for the same address", change: create(gw("team-a/x", "443 HTTPS "+h+" bind=0.0.0.0")), want: policy.Deny},
		verdict{name: "any host where the owner has any host", world: nosni, change: create(gw("team-a/x", "443 HTTPS *")), want: policy.Deny},
		verdict{name: "any host in any namespace where the owner has any host", world: nosni, change: create(gw("team-a/x", "443 HTTPS */*")), want: policy.Deny},
		verdict{name: "by a subset of the labels", change: create(with(gw("team-a/x", "443 HTTPS "+h), func(g *resource.Gateway) {
			g.Selector = map[string]string{"istio": "deploykf-gateway"}
		})), want: policy.Deny},
		verdict{name: "by a label that only running pods have", world: []resource.Object{
			pod("deploykf-istio-gateway/p", map[string]string{"app": "deploykf-gateway", "istio": "deploykf-gateway", "pod-template-hash": "5d"}),
		}, change: create(with(gw("team-a/x", "443 HTTPS "+h), func(g *resource.Gateway) {
			g.Selector = map[string]string{"pod-template-hash": "5d"}
		})), want: policy.Deny},
		verdict{name: "by a label that the pods lack", change: create(with(gw("team-a/x", "443 HTTPS "+h), func(g *resource.Gateway) {
			g.Selector = map[string]string{"app": "deploykf-gateway", "tier": "edge"}
		})), want: silent},
		verdict{name: "by the annotation, in the Service's namespace", change: create(with(gw("deploykf-istio-gateway/x", "443 HTTPS "+h), func(g *resource.Gateway) {
			g.Selector = map[string]string{"x": "y"}
			g.Annotations = map[string]string{gatewayServiceAnnotation: "deploykf-gateway.deploykf-istio-gateway.svc.cluster.local"}
		})), want: policy.Deny},
		verdict{name: "by the annotation, in another namespace", change: create(with(gw("team-a/x", "443 HTTPS "+h), func(g *resource.Gateway) {
			g.Annotations = map[string]string{gatewayServiceAnnotation: "deploykf-gateway.deploykf-istio-gateway.svc.cluster.local"}
		})), want: silent},
		verdict{name: "Gateways are scoped to their namespace", config: scoped, change: create(gw("team-a/x", "443 HTTPS "+h)), want: silent},
		verdict{name: "scoped, and in the pods' namespace", config: scoped, change: create(gw("deploykf-istio-gateway/x", "443 HTTPS "+h)), want: policy.Deny},
		verdict{name: "before one of the Gateways exists", bare: true, world: []resource.Object{gw(redirect, "80 HTTP deploykf-istio-gateway/"+h)}, change: create(gw("team-a/x", "443 HTTPS "+h)), want: policy.Deny},
		verdict{name: "while the other Gateway tells another port", bare: true, world: []resource.Object{gw(guarded, "8443 HTTPS */"+h)}, change: create(gw("team-a/x", "443 HTTPS "+h)), want: silent},
		verdict{name: "by a label that injection adds", change: create(with(gw("team-a/x", "443 HTTPS "+h), func(g *resource.Gateway) {
			g.Selector = map[string]string{"istio": "deploykf-gateway", "istio.io/rev": "default"}
		})), want: policy.Deny},
		verdict{name: "by a label that injection would have added", world: []resource.Object{
			pod("deploykf-istio-gateway/p", map[string]string{"app": "deploykf-gateway", "istio": "deploykf-gateway", "istio.io/rev": "blue"}),
		}, change: create(with(gw("team-a/x", "443 HTTPS "+h), func(g *resource.Gateway) {
			g.Selector = map[string]string{"istio": "deploykf-gateway", "istio.io/rev": "green"}
		})), want: silent},
		verdict{name: "another spelling of what was there", change: update(gw("team-a/x", "443 HTTPS "+h), gw("team-a/x", "443 HTTPS team-a/"+h)), want: policy.Deny},
		verdict{name: "on more pods than before", world: []resource.Object{
			pod("deploykf-istio-gateway/p", map[string]string{"app": "deploykf-gateway", "istio": "deploykf-gateway", "v": "canary"}),
		}, change: update(with(gw("team-a/x", "443 HTTPS "+h), func(g *resource.Gateway) { g.Selector = map[string]string{"v": "canary"} }), gw("team-a/x", "443 HTTPS "+h)), want: policy.Deny},
		verdict{name: "another host", change: create(gw("team-a/x", "443 HTTPS app.example.org")), want: silent},
		verdict{name: "another port", change: create(gw("team-a/x", "9443 HTTPS "+h)), want: silent},
		verdict{name: "it was there before", change: update(gw("team-a/x", "443 HTTPS "+h), gw("team-a/x", "443 HTTPS a.org,"+h)), want: policy.Warn},
		verdict{name: "it is added", change: update(gw("team-a/x", "443 HTTPS a.org"), gw("team-a/x", "443 HTTPS a.org,"+h)), want: policy.Deny},
		verdict{name: "one more is added", change: update(gw("team-a/x", "443 HTTPS "+h), gw("team-a/x", "443 HTTPS "+h+",minio-api."+h)), want: policy.Deny},
	)
}
