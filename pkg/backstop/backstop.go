// Package backstop computes what the API server needs to know to refuse the unmistakable by
// itself, while no replica of gatewarden answers: the parameters of the
// ValidatingAdmissionPolicy in deploy/components/backstop.
//
// The policy refuses nothing that the engine would admit. Where CEL can not tell, or a value
// can not be written into a parameter, it is the weaker one; whoever adds a parameter has to
// keep it so. What it says is a finding of a rule with that rule's ID, so a rule that does not
// deny, or an exemption from it, counts here too.
//
// The parameters are the data of one ConfigMap. CEL has no parser, so each is a list of words
// between spaces, or of lines with fields between tabs, and everything that can be worked out
// beforehand is.
package backstop

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
)

// ConfigMap is the name of the ConfigMap that holds the parameters.
const ConfigMap = "gatewarden-backstop"

// The keys of the parameters.
const (
	// FormatKey has the number of the format. The policy judges nothing by another one.
	FormatKey = "format"
	// RulesKey has the IDs of the rules that deny.
	RulesKey = "rules"
	// PassesKey has a line for everybody and everything that is not judged: the IDs of rules,
	// "owner:" and the number of a guarded gateway, or "*"; "user", "group" or "any"; the name
	// of that one; and an expression for the object, as "Kind namespace/name".
	PassesKey = "passes"
	// ListenersKey has a line for each listener that the owner of a guarded gateway has: see
	// listener.
	ListenersKey = "listeners"
	// RoutesKey has a line for each Gateway of an owner: see route.
	RoutesKey = "routes"
	// NamespacesKey and LabelsKey tell which namespaces are protected.
	NamespacesKey = "protectedNamespaces"
	LabelsKey     = "protectedLabels"
	// PodsKey has a line for each protected namespace whose pods are known: its name, and the
	// labels of those that have no sidecar. A policy that selects none of them is heard.
	PodsKey = "podsWithoutSidecar"
	// PermissiveKey has a line for each policy that is meant to be PERMISSIVE: its namespace
	// and name, and the labels that it has to select by.
	PermissiveKey = "permissivePolicies"
	// InjectedKey has the keys of labels that a pod may get when it is injected, so that nobody
	// can tell from its template whether a selector with one of them selects it.
	InjectedKey = "injectedLabels"
	// RootKey has the mesh's root namespace, and MeshKey what hears a policy for the whole mesh:
	// protected namespaces, or "*" if none is known.
	RootKey = "rootNamespace"
	MeshKey = "meshWide"
)

// Format is that of the parameters, for FormatKey. It has to change with the meaning of any
// line, so that a policy of another release does not misread it.
const Format = "1"

// Rules are the IDs of the rules of which the policy tells.
var Rules = []string{"GWD201", "GWD202", "GWD203", "GWD301", "GWD302", "GWD501"}

const (
	// maxPodSets is how many sets of pods with the same listeners are told apart. Pods of a
	// StatefulSet carry their own names as labels, and there are as many as somebody likes.
	maxPodSets = 8
	// maxLabels is how many labels of pods without a sidecar are told of one namespace: Jobs
	// leave pods with a label of their own behind, too.
	maxLabels = 256
	// maxData is what the parameters may take together. A ConfigMap may have 1 MiB of data
	// (MaxSecretSize in k8s.io/kubernetes pkg/apis/core/types.go).
	maxData = 900 << 10
)

// Parameters returns the data of the ConfigMap for what a snapshot holds and for the
// configuration and rules of an engine.
func Parameters(e *policy.Engine, s *state.Snapshot) map[string]string {
	w := e.World(s)
	p := parameters{world: w, config: w.Config}
	data := map[string]string{
		FormatKey:     Format,
		RulesKey:      strings.Join(denying(e), " "),
		PassesKey:     lines(p.passes(e)),
		ListenersKey:  lines(p.listeners()),
		RoutesKey:     lines(p.routes()),
		NamespacesKey: words(p.config.ProtectedNamespaces.Names),
		LabelsKey:     protectedLabels(p.config),
		PodsKey:       lines(p.podsWithoutSidecar()),
		PermissiveKey: lines(p.permissivePolicies()),
		InjectedKey:   words(policy.InjectedLabels()),
		RootKey:       p.config.Mesh.RootNamespace,
		MeshKey:       p.meshWide(),
	}
	shrink(data)
	return data
}

// shrink leaves out what is too large, and first what is missed least. Without the passes
// nothing may be refused.
func shrink(data map[string]string) {
	size := func() int {
		n := 0
		for k, v := range data {
			n += len(k) + len(v)
		}
		return n
	}
	for _, key := range []string{PodsKey, RoutesKey, ListenersKey} {
		if size() > maxData {
			data[key] = ""
		}
	}
	if size() > maxData {
		clear(data)
		data[FormatKey] = Format
	}
}

// parameters are made of a world.
type parameters struct {
	world  *policy.World
	config *config.Configuration
}

// denying returns those of Rules that deny what they find.
func denying(e *policy.Engine) []string {
	var out []string
	for _, r := range e.Rules() {
		effect := e.Config().RuleEffect(r.ID, r.Name)
		if slices.Contains(Rules, r.ID) && (effect == "" || effect == config.EffectDeny) {
			out = append(out, r.ID)
		}
	}
	return out
}

// passes are the lines of PassesKey.
func (p *parameters) passes(e *policy.Engine) []string {
	var out []string
	exemptions := p.config.LiveExemptions()
	for i := range exemptions {
		x := &exemptions[i]
		tags := []string{"*"}
		if len(x.Rules) > 0 {
			tags = nil
			for _, r := range e.Rules() {
				if slices.Contains(Rules, r.ID) && slices.ContainsFunc(x.Rules, func(n string) bool {
					return strings.EqualFold(n, r.ID) || strings.EqualFold(n, r.Name)
				}) {
					tags = append(tags, r.ID)
				}
			}
		}
		if len(tags) == 0 {
			continue
		}
		objects := "." // any
		if len(x.Objects) > 0 {
			if objects = expression(x.Objects); objects == "" {
				continue
			}
		}
		tag := strings.Join(tags, " ")
		if len(x.Users)+len(x.Groups) == 0 {
			out = append(out, pass(tag, "any", "", objects))
		}
		out = appendRequesters(out, tag, x.Users, x.Groups, objects)
	}
	for i := range p.config.GuardedGateways {
		g := &p.config.GuardedGateways[i]
		own := slices.Clone(g.OwnerObjects)
		for _, name := range g.Gateways {
			own = append(own, config.ObjectPattern{Kind: resource.KindGateway, Namespace: g.Namespace, Name: name})
		}
		if objects := expression(own); objects != "" {
			out = append(out, pass(owner(i), "any", "", objects))
		}
		for _, r := range g.OwnerRequesters {
			var written []config.ObjectPattern
			for _, n := range r.Namespaces {
				written = append(written, config.ObjectPattern{Namespace: n})
			}
			out = appendRequesters(out, owner(i), r.Users, r.Groups, expression(written))
		}
	}
	return out
}

// owner is the tag of what counts as the owner's of a guarded gateway.
func owner(guard int) string { return fmt.Sprintf("owner:%d", guard) }

func pass(tag, subject, name, objects string) string {
	if strings.ContainsAny(name, "\t\n") {
		subject, name = "any", "" // rather everybody than one who is refused though he is exempt
	}
	return strings.Join([]string{tag, subject, name, objects}, "\t")
}

func appendRequesters(out []string, tag string, users, groups []string, objects string) []string {
	for _, u := range users {
		if u != "" { // of an audit
			out = append(out, pass(tag, "user", u, objects))
		}
	}
	for _, g := range groups {
		out = append(out, pass(tag, "group", g, objects))
	}
	return out
}

// judged are the kinds that the policy is asked about.
var judged = []resource.Kind{resource.KindGateway, resource.KindVirtualService, resource.KindPeerAuthentication}

// expression returns a regular expression that matches "Kind namespace/name" of the judged
// objects that any of the patterns matches, or "" if none can be.
func expression(patterns []config.ObjectPattern) string {
	var out []string
	for _, o := range patterns {
		if o.Kind != "" && !slices.Contains(judged, o.Kind) || !plain(o.Namespace+o.Name) {
			continue // it names nothing that there could be
		}
		out = append(out, cmp.Or(string(o.Kind), "[^ ]*")+" "+glob(o.Namespace)+"/"+glob(o.Name))
	}
	if len(out) == 0 {
		return ""
	}
	slices.Sort(out)
	return "^(" + strings.Join(slices.Compact(out), "|") + ")$"
}
