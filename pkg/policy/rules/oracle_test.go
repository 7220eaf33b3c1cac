package rules

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
	"github.com/gatewarden/gatewarden/pkg/translate"
	"github.com/gatewarden/gatewarden/test/worlds"
)

// The engine takes short cuts: it keeps the world of the last snapshot, judges most changes
// in the world before them, and looks objects up by index. slow has none of them: it makes
// both whole worlds anew, with the object in the one and its old form in the other.
func slow(cfg *config.Configuration, s *state.Snapshot, c policy.Change) policy.Decision {
	before := s
	if c.Old != nil {
		before = rebuild(s, c.Old, c.Old.Key())
	}
	after := rebuild(s, nil, c.Object().Key())
	if c.New != nil {
		after = rebuild(s, c.New, c.New.Key())
	}
	w := func(s *state.Snapshot) *policy.World { return policy.NewEngine(cfg, nil).World(s) }
	class := slices.Contains(translate.Classes, c.Object().Key().Kind)
	translated := class || slices.Contains(translate.Kinds, c.Object().Key().Kind)
	made := func(w *policy.World, o resource.Object) []resource.Object {
		switch {
		case class:
			var all []resource.Object
			for _, kind := range []resource.Kind{resource.KindIngress, resource.KindKubernetesGateway, resource.KindListenerSet} {
				w.Snapshot.Each(kind, "", func(x resource.Object) bool {
					if ofClass(w.Snapshot, x, c.Object().Key()) {
						all = append(all, w.Snapshot.Translated(x.Key())...)
					}
					return true
				})
			}
			return all
		case !translated:
			return []resource.Object{o}
		}
		out := w.Snapshot.Translated(o.Key())
		w.Snapshot.Each(resource.KindListenerSet, "", func(x resource.Object) bool {
			set := x.(*resource.ListenerSet)
			if o.Key() == (resource.Key{Kind: resource.KindKubernetesGateway, Namespace: set.Parent.Namespace, Name: set.Parent.Name}) {
				out = append(slices.Clone(out), w.Snapshot.Translated(set.Key())...)
			}
			return true
		})
		return out
	}
	var d policy.Decision
	for _, r := range All() {
		if !r.Judges(c.Object().Key().Kind, c.Operation) {
			continue
		}
		was, is := map[string]policy.Fault{}, map[string]policy.Fault{}
		if r.Object != nil && c.New != nil {
			for _, o := range made(w(after), c.New) {
				r.Object(w(after), o, func(f policy.Fault) {
					f.Field = o.GetMeta().Field(f.Field)
					if by := o.Key(); by != c.Object().Key() {
						f = brought(f, by)
					}
					if old, ok := is[f.Place+f.Subject]; !ok || f.Effect > old.Effect {
						is[f.Place+f.Subject] = f
					}
				})
			}
			if c.Old != nil || class {
				for _, o := range made(w(before), c.Old) {
					r.Object(w(before), o, func(f policy.Fault) {
						f.Field = o.GetMeta().Field(f.Field)
						if by := o.Key(); by != c.Object().Key() {
							f = brought(f, by)
						}
						if old, ok := was[f.Place+f.Subject]; !ok || f.Effect > old.Effect {
							was[f.Place+f.Subject] = f
						}
					})
				}
			}
		}
		for subject, f := range is {
			carried := false
			for s, old := range was {
				carried = carried || old.Effect >= f.Effect && (s == subject || r.Eases != nil && r.Eases(old, f))
			}
			if carried {
				f.Effect = min(f.Effect, policy.Warn)
			}
			d.Findings = append(d.Findings, policy.Finding{Rule: r.ID, Effect: f.Effect, Carried: carried, Field: f.Field, Message: f.Message})
		}
		if translated {
			d.Findings = strongest(d.Findings)
		}
		if r.Transition != nil {
			seen := map[string]bool{}
			r.Transition(w(before), w(after), c, func(f policy.Fault) {
				if !seen[f.Subject] {
					seen[f.Subject] = true
					d.Findings = append(d.Findings, policy.Finding{Rule: r.ID, Effect: f.Effect, Field: f.Field, Message: f.Message})
				}
			})
		}
	}
	return d
}

// brought is a fault of an object that the change brings into effect, one of each field.
func brought(f policy.Fault, by resource.Key) policy.Fault {
	if f.Field != "spec" {
		f.Subject = f.Field
	}
	f.Message = f.Field + " of " + by.String() + f.Message
	f.Field, f.Subject = "spec", f.Subject+"|"+by.String()
	return f
}

// ofClass reports whether an object is of the class with the key, itself or through its Gateway.
func ofClass(s *state.Snapshot, o resource.Object, class resource.Key) bool {
	switch o := o.(type) {
	case *resource.Ingress:
		return class.Kind == resource.KindIngressClass && o.ClassName != nil && *o.ClassName == class.Name
	case *resource.KubernetesGateway:
		return class.Kind == resource.KindGatewayClass && o.Class == class.Name
	case *resource.ListenerSet:
		parent := s.Get(resource.Key{Kind: resource.KindKubernetesGateway, Namespace: o.Parent.Namespace, Name: o.Parent.Name})
		return parent != nil && ofClass(s, parent, class)
	}
	return false
}

// strongest leaves one finding of each rule and field.
func strongest(findings []policy.Finding) []policy.Finding {
	slices.SortStableFunc(findings, func(a, b policy.Finding) int {
		if a.Rule != b.Rule || a.Field != b.Field {
			return cmp.Or(cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Field, b.Field))
		}
		if a.Effect != b.Effect {
			return int(b.Effect) - int(a.Effect)
		}
		if a.Carried && !b.Carried {
			return 1
		}
		if b.Carried && !a.Carried {
			return -1
		}
		return 0
	})
	return slices.CompactFunc(findings, func(a, b policy.Finding) bool {
		return a.Field != "spec" && a.Rule == b.Rule && a.Field == b.Field
	})
}

// rebuild makes a snapshot of what s holds, with o under the key, or nothing.
func rebuild(s *state.Snapshot, o resource.Object, key resource.Key) *state.Snapshot {
	w := state.NewWriter()
	for _, a := range resource.APIs {
		s.Each(a.Kind, "", func(x resource.Object) bool {
			if x.Key() != key {
				w.Apply(x)
			}
			return true
		})
	}
	if o != nil {
		w.Apply(o)
	}
	w.SetComplete(s.Complete())
	return w.Snapshot()
}

// drawing objects that are neighbours: few names, hosts, ports and labels, so that they meet.

var (
	someHosts = rapid.SampledFrom([]string{h, "*/" + h, "./" + h, "DeployKF.example.com", "argo-server." + h, "new." + h, "*." + h,
		"*.example.com", "*", "*/*", "app.example.org", "APP.example.org", "./app.example.org", "*.example.org", "*-x.example.org"})
	somePaths = rapid.SampledFrom([]string{"prefix /", "prefix /dex/", "prefix /notebook/team-a/", "prefix /notebook/team-b/", "exact /notebook/team-a/x",
		"regex /notebook/team-a/.*", "regex .*", "any", "all"})
	someKeys  = rapid.SampledFrom([]string{"team-a/x", "team-a/y", "team-b/x", "deploykf-istio-gateway/x", guarded, redirect, "deploykf-auth/dex", "deploykf-dashboard/x", "istio-system/x"})
	someLabel = rapid.SampledFrom([]map[string]string{podLabels, {"istio": "deploykf-gateway"}, {"istio": "other"}, nil, dashboard})
	someModes = rapid.SampledFrom([]resource.MTLSMode{resource.ModeUnset, resource.ModeDisable, resource.ModePermissive, resource.ModeStrict})
)

func drawObject(t *rapid.T) resource.Object {
	key := someKeys.Draw(t, "key")
	switch rapid.IntRange(0, 9).Draw(t, "kind") {
	case 8, 9:
		return drawProtected(t)
	case 6, 7:
		return drawTranslated(t, key)

	case 0, 1:
		servers := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string {
			return fmt.Sprintf("%d %s %s%s", rapid.SampledFrom([]int{80, 443, 8443, 15021}).Draw(t, "port"),
				rapid.SampledFrom([]string{"HTTP", "HTTPS", "TLS", "TCP"}).Draw(t, "protocol"), someHosts.Draw(t, "host"),
				rapid.SampledFrom([]string{"", "", " PASSTHROUGH", " bind=0.0.0.0", " bind=127.0.0.1"}).Draw(t, "more"))
		}), 1, 2).Draw(t, "servers")
		return with(gw(key, servers...), func(g *resource.Gateway) {
			g.Selector = someLabel.Draw(t, "selector")
			if rapid.IntRange(0, 9).Draw(t, "managed") == 0 {
				g.Annotations = map[string]string{resource.GatewaySemantics: "gateway", resource.ServiceAccount: "x"}
			}
		})
	case 2, 3:
		gateways := rapid.SampledFrom([]string{"", "mesh", guarded, redirect, "x", "team-a/x", "deploykf-gateway.deploykf-istio-gateway", "team-a/x," + guarded}).Draw(t, "gateways")
		return with(vs(key, gateways, someHosts.Draw(t, "host"), rapid.SliceOfN(somePaths, 0, 2).Draw(t, "paths")...), func(v *resource.VirtualService) {
			v.ExportTo = rapid.SampledFrom([][]string{nil, nil, {"."}, {"deploykf-istio-gateway"}}).Draw(t, "exportTo")
			drawForwarding(t, v)
		})
	case 4:
		p := pa(key, someModes.Draw(t, "mode"), someLabel.Draw(t, "selector"))
		if port := someModes.Draw(t, "port mode"); port != resource.ModeUnset {
			p.Ports = map[uint32]resource.MTLSMode{8082: port}
		}
		p.Created = time.Unix(rapid.Int64Range(0, 3).Draw(t, "created"), 0)
		return p
	default:
		return drawAroundPods(t, key)
	}
}

// drawAroundPods draws pods, what is before them, and what bends their proxies.
func drawAroundPods(t *rapid.T, key string) resource.Object {
	target := resource.Target{Selector: someLabel.Draw(t, "labels")}
	port := rapid.SampledFrom([]uint32{80, 443, 8443})
	switch rapid.IntRange(0, 6).Draw(t, "around") {
	case 0:
		return pod(key, target.Selector)
	case 1:
		wl := pod(key, target.Selector)
		wl.Kind = resource.KindDeployment
		wl.Pod.ServiceAccount = rapid.SampledFrom([]string{"", "x"}).Draw(t, "account")
		wl.Pod.Containers = []resource.Container{{Name: rapid.SampledFrom([]string{"app", "istio-proxy"}).Draw(t, "container")}}
		return wl
	case 2:
		operation := resource.AuthorizedOperation{Ports: []string{fmt.Sprint(port.Draw(t, "port"))}}
		return &resource.AuthorizationPolicy{
			Meta: meta(key), Target: target, Action: rapid.SampledFrom([]string{"ALLOW", "DENY"}).Draw(t, "action"),
			Rules: []resource.AuthorizationRule{{Conditioned: rapid.Bool().Draw(t, "conditioned"), To: []resource.AuthorizedOperation{operation}}},
		}
	case 3:
		return ef(key, target, resource.EnvoyPatch{
			ApplyTo:   rapid.SampledFrom([]string{"HTTP_FILTER", "FILTER_CHAIN"}).Draw(t, "applied to"),
			Operation: "INSERT_FIRST", Listener: resource.ListenerMatch{Port: port.Draw(t, "port")},
		})
	case 4:
		return &resource.ServiceEntry{
			Meta: meta(key), Hosts: []string{someNames.Draw(t, "host")}, Endpoints: []string{someNames.Draw(t, "endpoint")},
			ExportTo: rapid.SampledFrom([][]string{nil, {"."}}).Draw(t, "exportTo"),
		}
	default:
		return &resource.Service{Meta: meta(key), Selector: target.Selector, Ports: []resource.ServicePort{
			{Port: port.Draw(t, "port"), TargetPort: port.Draw(t, "target")},
		}, ExternalName: rapid.SampledFrom([]string{"", "", someNames.Draw(t, "name")}).Draw(t, "external")}
	}
}

// someNames are what routes, Services and ServiceEntries lead to.
var someNames = rapid.SampledFrom([]string{
	"x.team-a.svc.cluster.local", "x.team-b.svc.cluster.local", "y.team-a.svc.cluster.local", "x.kubeflow.svc.cluster.local", "a.example.net", h,
})

// drawForwarding draws what the routes of a VirtualService do with requests. One without hosts is
// what others hand over to.
func drawForwarding(t *rapid.T, v *resource.VirtualService) {
	for i := range v.HTTP {
		r := &v.HTTP[i]
		r.Name = rapid.SampledFrom([]string{"", "", "dex-route", "dex", "route"}).Draw(t, "route")
		if rapid.IntRange(0, 3).Draw(t, "delegate") == 0 {
			r.Delegate = rapid.SampledFrom([]string{"team-a/x", "team-b/x", "team-a/y"}).Draw(t, "part")
			continue
		}
		r.Destinations = []resource.Destination{{Host: someNames.Draw(t, "destination")}}
		if rapid.IntRange(0, 3).Draw(t, "header") == 0 {
			r.Headers = []resource.HeaderEdit{{Name: "kubeflow-userid", Destination: resource.EveryDestination}}
		}
	}
	if rapid.IntRange(0, 3).Draw(t, "is part") == 0 {
		v.Hosts, v.Gateways = nil, nil
	}
}

func TestEngineAgreesWithItsSlowDefinition(t *testing.T) { rapid.Check(t, agreesWithSlow) }

// FuzzEngine is the same with a fuzzer that looks for new paths in place of a seed.
func FuzzEngine(f *testing.F) { f.Fuzz(rapid.MakeFuzz(agreesWithSlow)) }

func agreesWithSlow(t *rapid.T) {
	w := drawWorld(t)
	cfg := deploykf.Default()
	cfg.Mesh.IngressSelector = podLabels["istio"]
	cfg.GuardedGateways[0].Sharing = rapid.SampledFrom([]config.Sharing{config.HostAware, config.ExclusivePort, config.Dedicated}).Draw(t, "sharing")
	e := policy.NewEngine(cfg, All())
	for range 3 { // the same engine judges several changes: what it keeps must not matter
		s := w.Snapshot()
		c := drawChange(t, s)
		assert.ElementsMatch(t, brief(slow(e.Config(), s, c)), brief(e.Decide(s, c)))
		if c.New != nil && rapid.Bool().Draw(t, "admit") {
			w.Apply(c.New)
		}
	}
}

// drawWorld draws what is there before a change.
func drawWorld(t *rapid.T) *state.Writer {
	w := state.NewWriter()
	if rapid.Bool().Draw(t, "base") {
		w.Apply(worlds.Base()...)
	}
	if rapid.IntRange(0, 9).Draw(t, "tenants") == 0 {
		w.Apply(worlds.Shape{Objects: 40, Seed: rapid.Uint64Range(0, 99).Draw(t, "seed")}.Decoded()...)
	}
	w.Apply(rapid.SliceOfN(rapid.Custom(drawObject), 0, 6).Draw(t, "world")...)
	w.SetComplete(rapid.Bool().Draw(t, "complete"))
	return w
}

// drawChange draws a change that can happen in a world.
func drawChange(t *rapid.T, s *state.Snapshot) policy.Change {
	o := drawObject(t)
	old := s.Get(o.Key())
	switch {
	case old == nil:
		return create(o)
	case rapid.Bool().Draw(t, "delete"):
		return remove(old)
	}
	return update(old, o)
}

// brief writes what a decision says, without the order in which it says it.
func brief(d policy.Decision) []string {
	worst := map[string]policy.Finding{} // of what is said in one place
	for _, f := range d.Findings {
		key := f.Rule + f.Field + f.Message
		if old, ok := worst[key]; ok {
			f.Effect, f.Carried = max(f.Effect, old.Effect), f.Carried && old.Carried
		}
		worst[key] = f
	}
	var out []string
	for _, f := range worst {
		out = append(out, fmt.Sprintf("%s %s %s carried=%v", f.Rule, f.Field, f.Effect, f.Carried))
	}
	slices.SortFunc(out, cmp.Compare[string])
	return out
}
