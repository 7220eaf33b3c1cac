package rules

import (
	"testing"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// svc makes a Service before the guarded pods; ports are pairs of port and target.
func svc(key string, ports ...uint32) *resource.Service {
	return &resource.Service{Meta: meta(key), Selector: podLabels, Ports: servicePorts(ports)}
}

// se makes a ServiceEntry of the guarded pods.
func se(key string, ports ...uint32) *resource.ServiceEntry {
	return &resource.ServiceEntry{Meta: meta(key), WorkloadSelector: podLabels, Ports: servicePorts(ports)}
}

func servicePorts(pairs []uint32) (out []resource.ServicePort) {
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, resource.ServicePort{Port: pairs[i], TargetPort: pairs[i+1]})
	}
	return out
}

func TestPortTranslation(t *testing.T) {
	const ns = "deploykf-istio-gateway"
	list := func(o ...resource.Object) []resource.Object { return o }
	untranslated := func(s *resource.Service) *resource.Service {
		return with(s, func(s *resource.Service) {
			s.Labels = map[string]string{"experimental.istio.io/disable-gateway-port-translation": ""}
		})
	}
	by := func(user string, c policy.Change) policy.Change {
		c.Requester.Name = user
		return c
	}
	moves, named := svc(ns+"/aaa", 443, 9443), svc(ns+"/aaa", 443, 0)
	named.Ports[0].TargetName = "web"
	porter := with(pod(ns+"/app-1", podLabels), func(o *resource.Workload) {
		o.Pod.Containers = []resource.Container{{Ports: []resource.ContainerPort{{Name: "web", Port: 9000}}}}
	})
	elsewhere := with(svc(ns+"/aaa", 443, 9443), func(s *resource.Service) { s.Selector = map[string]string{"app": "x"} })
	web := gw("team-a/web", "9443 HTTPS "+h)
	check(t, "GWD604",
		verdict{name: "maps the owner's port elsewhere", change: create(moves), want: policy.Deny, field: "spec.ports[0]"},
		verdict{name: "a ServiceEntry does", change: create(se(ns+"/aaa", 80, 8080)), want: policy.Deny, field: "spec.ports[0]"},
		verdict{name: "by the name of a container port", world: list(porter), change: create(named), want: policy.Deny},
		verdict{name: "comes to select the pods", world: list(elsewhere), change: update(elsewhere, moves), want: policy.Deny},
		verdict{name: "comes to translate", world: list(untranslated(moves)), change: update(untranslated(moves), moves), want: policy.Deny},
		verdict{name: "is changed again", world: list(moves), change: update(moves, svc(ns+"/aaa", 443, 9444)), want: policy.Deny},
		verdict{name: "with a second port", change: create(svc(ns+"/aaa", 9000, 9000, 443, 9443)), want: policy.Deny, field: "spec.ports[1]"},
		verdict{name: "takes the number that a target has", world: list(with(svc(ns+"/deploykf-gateway", 443, 8443), func(*resource.Service) {}), gw(guarded, "8443 HTTPS "+h)),
			change: create(svc(ns+"/aaa", 8443, 9443)), want: policy.Deny},
		verdict{name: "the last translation is deleted", bare: true, world: list(gw(guarded, "443 HTTPS "+h), svc(ns+"/front", 443, 18443)), change: remove(svc(ns+"/front", 443, 18443)), want: policy.Deny, field: "metadata.name"},
		verdict{name: "the last translation is taken out", bare: true, world: list(gw(guarded, "443 HTTPS "+h), svc(ns+"/front", 443, 18443)), change: update(svc(ns+"/front", 443, 18443), svc(ns+"/front", 80, 80)), want: policy.Deny, field: "spec.ports"},
		verdict{name: "brings a Gateway with the same host onto the listener", world: list(web), change: create(svc(ns+"/aaa", 9443, 443)), want: policy.Deny, field: "spec.ports[0]"},
		verdict{name: "takes a tenant's port off its listener", world: list(gw("team-a/web", "7443 HTTPS a.org"), svc(ns+"/aaa", 7443, 9000)), change: update(svc(ns+"/aaa", 7443, 9000), svc(ns+"/aaa", 80, 80)), want: policy.Deny, field: "spec.ports"},
		verdict{name: "leads a tenant's port to another listener", world: list(gw("team-a/web", "7443 HTTPS a.org"), svc(ns+"/aaa", 7443, 9000)), change: update(svc(ns+"/aaa", 7443, 9000), svc(ns+"/aaa", 7443, 9001)), want: policy.Deny, field: "spec.ports[0]"},
		verdict{name: "the Service of a tenant's port is deleted", world: list(gw("team-a/web", "7443 HTTPS a.org"), svc(ns+"/aaa", 7443, 9000)), change: remove(svc(ns+"/aaa", 7443, 9000)), want: policy.Warn},
		verdict{name: "is the first one of a tenant's port", world: list(gw("team-a/web", "7443 HTTPS a.org")), change: create(svc(ns+"/aaa", 7443, 9000)), want: silent},
		verdict{name: "brings another protocol onto the listener", world: list(gw("team-a/web", "9443 TCP *")), change: create(svc(ns+"/aaa", 9443, 443)), want: policy.Deny},
		verdict{name: "brings a Gateway onto a port that is the owner's alone", config: sharing(config.ExclusivePort), world: list(gw("team-a/web", "9443 HTTPS app.example.org")),
			change: create(svc(ns+"/aaa", 9443, 443)), want: policy.Deny},
		verdict{name: "brings it from one listener of the owner's onto the other", world: list(gw("team-a/web", "9443 HTTPS app.example.org"), svc(ns+"/aaa", 9443, 443)),
			change: update(svc(ns+"/aaa", 9443, 443), svc(ns+"/aaa", 9443, 80)), want: policy.Deny, field: "spec.ports[0]"},
		verdict{name: "brings two tenants together who can not share", world: list(gw("team-a/web", "9443 HTTPS app.example.org"), gw("team-b/web", "9080 HTTP b.example.org")),
			change: create(svc(ns+"/aaa", 9080, 9443)), want: policy.Deny, field: "spec.ports[0]"},
		verdict{name: "brings two tenants together who serve one host", world: list(gw("team-a/web", "9443 HTTPS app.example.org"), gw("team-b/web", "9444 HTTPS app.example.org")),
			change: create(svc(ns+"/aaa", 9444, 9443)), want: policy.Deny},
		verdict{name: "brings two tenants together who can share", world: list(gw("team-a/web", "9443 HTTPS app.example.org"), gw("team-b/web", "9444 HTTPS b.example.org")),
			change: create(svc(ns+"/aaa", 9444, 9443)), want: silent},
		verdict{name: "brings two of a team together", world: list(gw("team-a/web", "9443 HTTPS app.example.org"), gw("team-a/api", "9080 HTTP b.example.org")),
			change: create(svc(ns+"/aaa", 9080, 9443)), want: silent},
		verdict{name: "the first Service brings the owner's two together", bare: true, world: list(gw(guarded, "443 HTTPS "+h), gw(redirect, "80 HTTP "+h)),
			change: create(svc(ns+"/aaa", 80, 443)), want: policy.Deny, field: "spec.ports[0]"},
		verdict{name: "the first Service brings the owner onto a tenant's", bare: true, world: list(gw(guarded, "443 HTTPS "+h), gw("team-a/web", "9000 TCP *")),
			change: create(svc(ns+"/aaa", 443, 9000)), want: policy.Deny},
		verdict{name: "the first Service", bare: true, world: list(gw(guarded, "443 HTTPS "+h)), change: create(moves), want: policy.Warn},

		verdict{name: "a port that no Gateway uses", change: create(svc(ns+"/aaa", 9000, 9000)), want: silent},
		verdict{name: "the same mapping", change: create(svc(ns+"/aaa", 443, 443)), want: silent},
		verdict{name: "brings a Gateway with its own hosts onto the listener", world: list(gw("team-a/web", "9443 HTTPS app.example.org")), change: create(svc(ns+"/aaa", 9443, 443)), want: silent},
		verdict{name: "moves a tenant's listener", world: list(web), change: create(svc(ns+"/aaa", 9443, 10443)), want: silent},
		verdict{name: "is passed over", change: create(untranslated(moves)), want: silent},
		verdict{name: "selects other pods", change: create(elsewhere), want: silent},
		verdict{name: "in another namespace", change: create(svc("team-a/aaa", 443, 9443)), want: silent},
		verdict{name: "the owner's", world: list(moves), change: update(svc(ns+"/deploykf-gateway", 443, 443), svc(ns+"/deploykf-gateway", 443, 8443)), want: silent},
		verdict{name: "the owner's ServiceEntry", change: create(se(ns+"/deploykf-istio-gateway", 443, 8443)), want: silent},
		verdict{name: "is mended", world: list(moves), change: update(moves, svc(ns+"/aaa", 443, 443)), want: silent},
		verdict{name: "is taken back", world: list(moves), change: remove(moves), want: silent},
		verdict{name: "the same again", world: list(moves), change: update(moves, moves), want: silent},
		verdict{name: "by the namespace controller", bare: true, world: list(gw(guarded, "443 HTTPS "+h), svc(ns+"/front", 443, 18443)),
			change: by("system:serviceaccount:kube-system:namespace-controller", remove(svc(ns+"/front", 443, 18443))), want: silent},
		verdict{name: "in a namespace that goes", bare: true, world: list(gw(guarded, "443 HTTPS "+h), svc(ns+"/front", 443, 18443),
			with(namespace(ns, nil), func(n *resource.Namespace) { n.Terminating = true })), change: remove(svc(ns+"/front", 443, 18443)), want: silent},
	)
}
