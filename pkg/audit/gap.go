package audit

import (
	"fmt"
	"slices"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// Gap is a kind whose objects an audit could not see, for want of a permission.
type Gap struct {
	API  resource.API
	Verb string
	// Namespace is the only one that is asked for, or "" for all.
	Namespace string
	// Rules are the IDs of the rules that judge the kind or depend on it: their silence
	// proves nothing, and what they say may be about an object that is better than it looks.
	Rules []string
}

// NewGap returns the gap that the lack of a permission leaves in an audit.
func NewGap(api resource.API, verb string, e *policy.Engine) Gap {
	g := Gap{API: api, Verb: verb}
	if api.Kind == resource.KindConfigMap {
		g.Namespace = e.Config().Mesh.RootNamespace // where Istio's are: nobody should permit to read them all
	}
	for _, r := range e.Rules() {
		if slices.Contains(r.Kinds, api.Kind) || slices.Contains(r.Reads, api.Kind) {
			g.Rules = append(g.Rules, r.ID)
		}
	}
	return g
}

// Permission is what is missing, as kubectl and a ClusterRole call it: "list gateways in API
// group networking.istio.io".
func (g Gap) Permission() string {
	group := g.API.Group
	if group == "" {
		group = `""`
	}
	out := fmt.Sprintf("%s %s in API group %s", g.Verb, g.API.Resource, group)
	if g.Namespace != "" {
		out += " in namespace " + g.Namespace
	}
	return out
}
