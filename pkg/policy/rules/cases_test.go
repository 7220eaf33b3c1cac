package rules

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/test/worlds"
)

// The tests of this package build small worlds around deployKF's gateway, as
// deploykf.Default describes it, and ask for the verdict of one rule.

const (
	h        = deploykf.DefaultHostname
	guarded  = "deploykf-istio-gateway/deploykf-gateway"
	redirect = "deploykf-istio-gateway/deploykf-gateway-https-redirect"
	silent   = policy.Effect(99) // the rule says nothing
)

var podLabels = map[string]string{"app": "deploykf-gateway", "istio": "deploykf-gateway"}

// verdict is what a rule is expected to say.
type verdict struct {
	name   string
	world  []resource.Object // beside the base
	bare   bool              // without the base
	config func(*config.Configuration)
	change policy.Change
	want   policy.Effect
	field  string // of the first finding, if not empty
}

func check(t *testing.T, id string, verdicts ...verdict) {
	t.Helper()
	for _, v := range verdicts {
		t.Run(v.name, func(t *testing.T) {
			base := worlds.Base()
			if v.bare {
				base = nil
			}
			cfg := deploykf.Default()
			if v.config != nil {
				v.config(cfg)
			}
			s := worlds.Snapshot(base, v.world)
			readsWhatItDeclares(t, cfg, Find(id), s, v.change)
			d := policy.NewEngine(cfg, All()).Decide(s, v.change)
			got := slices.DeleteFunc(slices.Clone(d.Findings), func(f policy.Finding) bool { return f.Rule != id })
			if v.want == silent {
				assert.Empty(t, got)
				return
			}
			require.NotEmpty(t, got, "%s says nothing; others: %v", id, d.Findings)
			assert.Equal(t, v.want, got[0].Effect, got[0].String())
			assert.NotEmpty(t, got[0].Message)
			if v.want == policy.Warn && !got[0].Carried {
				// The API server passes on 256 bytes of a warning, and the fix is at its end.
				assert.Less(t, len(got[0].String()), 256, got[0].String())
			}
			if v.field != "" {
				assert.Equal(t, v.field, got[0].Field)
			}
		})
	}
}

func create(o resource.Object) policy.Change {
	return policy.Change{Operation: policy.Create, New: o}
}

func update(old, o resource.Object) policy.Change {
	return policy.Change{Operation: policy.Update, Old: old, New: o}
}

func remove(o resource.Object) policy.Change {
	return policy.Change{Operation: policy.Delete, Old: o}
}

func meta(key string) resource.Meta {
	namespace, name, _ := strings.Cut(key, "/")
	return resource.Meta{Namespace: namespace, Name: name}
}

// gw makes a Gateway on the guarded pods. A server is "PORT PROTOCOL HOST,HOST [MODE] [bind=ADDRESS]"; HTTPS and TLS without a mode are SIMPLE.
func gw(key string, servers ...string) *resource.Gateway {
	g := &resource.Gateway{Meta: meta(key), Selector: podLabels}
	for _, text := range servers {
		f := strings.Fields(text)
		s := resource.Server{Protocol: f[1], Hosts: strings.Split(f[2], ",")}
		if _, err := fmt.Sscan(f[0], &s.Port); err != nil {
			panic(err)
		}
		if p := strings.ToUpper(s.Protocol); p == "HTTPS" || p == "TLS" {
			s.TLS = &resource.ServerTLS{Mode: "SIMPLE"}
		}
		for _, o := range f[3:] {
			if bind, ok := strings.CutPrefix(o, "bind="); ok {
				s.Bind = bind
			} else {
				s.TLS = &resource.ServerTLS{Mode: o}
			}
		}
		g.Servers = append(g.Servers, s)
	}
	return g
}

// vs makes a VirtualService. A match is "prefix /x", "exact /x", "regex /x", "any" (a match without a path) or "all" (no match).
func vs(key, gateways, hosts string, matches ...string) *resource.VirtualService {
	v := &resource.VirtualService{Meta: meta(key), Hosts: strings.Split(hosts, ",")}
	if gateways != "" {
		v.Gateways = strings.Split(gateways, ",")
	}
	for _, text := range matches {
		r := resource.HTTPRoute{}
		if text != "all" {
			r.Matches = []resource.HTTPMatch{match(text)}
		}
		v.HTTP = append(v.HTTP, r)
	}
	return v
}

func match(text string) resource.HTTPMatch {
	kind, value, _ := strings.Cut(text, " ")
	m := resource.HTTPMatch{URI: resource.StringMatch{Value: value}}
	switch kind {
	case "prefix":
		m.URI.Type = resource.MatchPrefix
	case "exact":
		m.URI.Type = resource.MatchExact
	case "regex":
		m.URI.Type = resource.MatchRegex
	default:
		m.Conditioned = true
	}
	return m
}

// with returns a changed copy of an object.
func with[T any](o *T, change func(*T)) *T {
	c := *o
	change(&c)
	return &c
}

// server443 replaces the owner's HTTPS server by one with these hosts.
func server443(hosts string) *resource.Gateway {
	return gw(guarded, "443 HTTPS "+hosts)
}

func pod(key string, labels map[string]string, ips ...string) *resource.Workload {
	return &resource.Workload{Meta: meta(key), Kind: resource.KindPod, Pod: resource.PodTemplate{Labels: labels, PodIPs: ips}}
}

// Every rule has an ID, a name, a sentence and a page of its own, and says which kinds it
// judges; IDs rise.
func TestRulesAreComplete(t *testing.T) {
	seen := map[string]bool{}
	last := ""
	for _, r := range All() {
		assert.Regexp(t, `^GWD[1-79]\d\d$`, r.ID)
		assert.Regexp(t, `^[a-z0-9]+(-[a-z0-9]+)*$`, r.Name)
		assert.Less(t, last, r.ID)
		last = r.ID
		assert.False(t, seen[r.Name], r.Name)
		seen[r.Name] = true
		assert.True(t, strings.HasSuffix(r.Summary, "."), r.Summary)
		assert.True(t, strings.HasPrefix(r.Page, "# "+r.ID+" "+r.Name+"\n"), "page of %s", r.ID)
		assert.Contains(t, r.Page, "\n## How to fix it\n", r.ID)
		assert.Greater(t, len(r.Page), 200, r.ID)
		assert.True(t, r.Object != nil || r.Transition != nil || r.Standing != nil, r.ID)
		assert.Equal(t, r.Object != nil || r.Transition != nil, len(r.Kinds) > 0, "%s: the kinds are those of its objects", r.ID)
		assert.False(t, r.Transition != nil && len(r.Operations) == 0, "%s: an audit sees no transition", r.ID)
		assert.Equal(t, r.ID, Find(strings.ToLower(r.ID)).ID)
		assert.Equal(t, r.ID, Find(r.Name).ID)
	}
	assert.Nil(t, Find("GWD000"))
}

const gatewayServiceAnnotation = "internal.istio.io/gateway-service"

func scoped(c *config.Configuration) { c.Mesh.ScopeGatewayToNamespace = true }
