package decode

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

// targetRef is PolicyTargetReference of type/v1beta1 in istio.io/api.
type targetRef struct {
	Group     string `json:"group"`
	Kind      string `json:"kind"`
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
}

// podSelector is WorkloadSelector of type/v1beta1 in istio.io/api.
type podSelector struct {
	MatchLabels map[string]string `json:"matchLabels"`
}

// target joins the ways of selecting pods. targetRef counts while targetRefs is empty
// (GetTargetRefs in istio.io/istio pilot/pkg/model/policyattachment.go).
func target(selector map[string]string, ref *targetRef, refs []targetRef) resource.Target {
	if len(refs) == 0 && ref != nil {
		refs = []targetRef{*ref}
	}
	out := resource.Target{Selector: selector}
	for _, r := range refs {
		out.Refs = append(out.Refs, resource.TargetRef(r))
	}
	return out
}

// trafficSelector is TrafficSelector of extensions/v1alpha1 in istio.io/api.
type trafficSelector struct {
	Mode  string `json:"mode"`
	Ports []struct {
		Number uint32 `json:"number"`
	} `json:"ports"`
}

func trafficMatches(in []trafficSelector) []resource.TrafficMatch {
	var out []resource.TrafficMatch
	for _, s := range in {
		m := resource.TrafficMatch{Mode: s.Mode}
		for _, p := range s.Ports {
			m.Ports = append(m.Ports, p.Number)
		}
		out = append(out, m)
	}
	return out
}

// networkPlugin is the type of a filter of connections.
const networkPlugin = "NETWORK"

// wasmPluginDoc is what is read of extensions/v1alpha1 WasmPlugin in istio.io/api.
type wasmPluginDoc struct {
	header
	Spec struct {
		Selector   podSelector       `json:"selector"`
		TargetRef  *targetRef        `json:"targetRef"`
		TargetRefs []targetRef       `json:"targetRefs"`
		Type       string            `json:"type"`
		Phase      string            `json:"phase"`
		Match      []trafficSelector `json:"match"`
	} `json:"spec"`
}

// wasmPlugin converts a WasmPlugin.
func wasmPlugin(kind resource.Kind, meta resource.Meta, in *wasmPluginDoc) (resource.Object, *Error) {
	return &resource.ProxyExtension{
		Meta: meta, Kind: kind,
		Target:  target(in.Spec.Selector.MatchLabels, in.Spec.TargetRef, in.Spec.TargetRefs),
		Network: in.Spec.Type == networkPlugin,
		Phase:   in.Spec.Phase,
		Matches: trafficMatches(in.Spec.Match),
	}, nil
}

// trafficExtensionDoc is what is read of extensions/v1alpha1 TrafficExtension in
// istio.io/api.
type trafficExtensionDoc struct {
	header
	Spec struct {
		Selector   podSelector       `json:"selector"`
		TargetRefs []targetRef       `json:"targetRefs"`
		Match      []trafficSelector `json:"match"`
		Phase      string            `json:"phase"`
		Wasm       struct {
			Type string `json:"type"`
		} `json:"wasm"`
	} `json:"spec"`
}

// trafficExtension converts a TrafficExtension.
func trafficExtension(kind resource.Kind, meta resource.Meta, in *trafficExtensionDoc) (resource.Object, *Error) {
	return &resource.ProxyExtension{
		Meta: meta, Kind: kind,
		Target:  target(in.Spec.Selector.MatchLabels, nil, in.Spec.TargetRefs),
		Network: in.Spec.Wasm.Type == networkPlugin,
		Phase:   in.Spec.Phase,
		Matches: trafficMatches(in.Spec.Match),
	}, nil
}

// authorizationPolicyDoc is what is read of security/v1beta1 AuthorizationPolicy in
// istio.io/api.
type authorizationPolicyDoc struct {
	header
	Spec struct {
		Selector   podSelector `json:"selector"`
		TargetRef  *targetRef  `json:"targetRef"`
		TargetRefs []targetRef `json:"targetRefs"`
		Action     string      `json:"action"`
		Rules      []struct {
			From []struct {
				Source struct {
					Principals      []string `json:"principals"`
					Namespaces      []string `json:"namespaces"`
					ServiceAccounts []string `json:"serviceAccounts"`
					TrustDomains    []string `json:"trustDomains"`
				} `json:"source"`
			} `json:"from"`
			To []struct {
				Operation struct {
					Hosts      []string `json:"hosts"`
					NotHosts   []string `json:"notHosts"`
					Ports      []string `json:"ports"`
					NotPorts   []string `json:"notPorts"`
					Methods    []string `json:"methods"`
					NotMethods []string `json:"notMethods"`
					Paths      []string `json:"paths"`
					NotPaths   []string `json:"notPaths"`
				} `json:"operation"`
			} `json:"to"`
			When []condition `json:"when"`
		} `json:"rules"`
	} `json:"spec"`
}

// authorizationActions are the actions of an AuthorizationPolicy; an absent one is the first.
var authorizationActions = []string{"ALLOW", "DENY", "AUDIT", "CUSTOM"}

// authorizationPolicy converts an AuthorizationPolicy.
func authorizationPolicy(_ resource.Kind, meta resource.Meta, in *authorizationPolicyDoc) (resource.Object, *Error) {
	out := &resource.AuthorizationPolicy{
		Meta: meta, Target: target(in.Spec.Selector.MatchLabels, in.Spec.TargetRef, in.Spec.TargetRefs),
		Action: cmp.Or(in.Spec.Action, authorizationActions[0]),
	}
	if !slices.Contains(authorizationActions, out.Action) {
		return nil, &Error{"spec.action", fmt.Sprintf("%q is no action; use %s", out.Action, strings.Join(authorizationActions, ", "))}
	}
	for i := range in.Spec.Rules {
		r := &in.Spec.Rules[i]
		rule := resource.AuthorizationRule{Conditioned: len(r.From) > 0, Identified: len(r.From) > 0}
		for _, f := range r.From {
			s := &f.Source
			rule.Identified = rule.Identified && len(s.Principals)+len(s.Namespaces)+len(s.ServiceAccounts)+len(s.TrustDomains) > 0
		}
		for _, f := range r.From {
			if len(f.Source.Principals) == 0 {
				rule.Principals = nil
				break
			}
			rule.Principals = append(rule.Principals, f.Source.Principals...)
		}
		for j := range r.To {
			o := &r.To[j].Operation
			rule.To = append(rule.To, resource.AuthorizedOperation{
				Hosts: o.Hosts, NotHosts: o.NotHosts, Ports: o.Ports, NotPorts: o.NotPorts,
				Narrowed: len(o.Methods)+len(o.NotMethods)+len(o.Paths)+len(o.NotPaths) > 0,
			})
		}
		for _, c := range r.When {
			c.narrow(&rule)
		}
		out.Rules = append(out.Rules, rule)
	}
	return out, nil
}

// noPort is one that nobody listens on.
const noPort = "0"

// condition is one entry of "when". Values and the others both have to hold.
type condition struct {
	Key       string   `json:"key"`
	Values    []string `json:"values"`
	NotValues []string `json:"notValues"`
}

// narrow adds a condition to a rule. That on the port is one of every operation (New in
// istio.io/istio pilot/pkg/security/authz/model/model.go).
func (c *condition) narrow(rule *resource.AuthorizationRule) {
	switch c.Key {
	case "destination.port":
		if len(rule.To) == 0 {
			rule.To = []resource.AuthorizedOperation{{}}
		}
		for i := range rule.To {
			o := &rule.To[i]
			switch {
			case len(c.Values) == 0:
			case len(o.Ports) == 0:
				o.Ports = c.Values
			default:
				o.Ports = slices.DeleteFunc(slices.Clone(o.Ports), func(p string) bool { return !slices.Contains(c.Values, p) })
				if len(o.Ports) == 0 {
					o.Ports = []string{noPort}
				}
			}
			o.NotPorts = slices.Concat(o.NotPorts, c.NotValues)
		}
		return
	case "connection.sni":
		rule.SNI, rule.NotSNI = c.Values, c.NotValues
	case "source.principal", "source.namespace", "source.serviceAccount", "source.trustDomain":
		rule.Identified = rule.Identified || len(c.Values) > 0
	}
	rule.Conditioned = true
}

// requestAuthenticationDoc is what is read of security/v1beta1 RequestAuthentication in
// istio.io/api.
type requestAuthenticationDoc struct {
	header
	Spec struct {
		Selector   podSelector `json:"selector"`
		TargetRef  *targetRef  `json:"targetRef"`
		TargetRefs []targetRef `json:"targetRefs"`
		JWTRules   []struct {
			Issuer      string `json:"issuer"`
			FromHeaders []struct {
				Name string `json:"name"`
			} `json:"fromHeaders"`
			FromParams            []string `json:"fromParams"`
			FromCookies           []string `json:"fromCookies"`
			OutputPayloadToHeader string   `json:"outputPayloadToHeader"`
			OutputClaimToHeaders  []struct {
				Header string `json:"header"`
			} `json:"outputClaimToHeaders"`
		} `json:"jwtRules"`
	} `json:"spec"`
}

// requestAuthentication converts a RequestAuthentication.
func requestAuthentication(_ resource.Kind, meta resource.Meta, in *requestAuthenticationDoc) (resource.Object, *Error) {
	out := &resource.RequestAuthentication{
		Meta: meta, Target: target(in.Spec.Selector.MatchLabels, in.Spec.TargetRef, in.Spec.TargetRefs),
	}
	for i := range in.Spec.JWTRules {
		r := &in.Spec.JWTRules[i]
		rule := resource.JWTRule{Issuer: r.Issuer, Elsewhere: len(r.FromParams)+len(r.FromCookies) > 0}
		for _, h := range r.FromHeaders {
			rule.Headers = append(rule.Headers, h.Name)
		}
		if r.OutputPayloadToHeader != "" {
			rule.Outputs = append(rule.Outputs, r.OutputPayloadToHeader)
		}
		for _, c := range r.OutputClaimToHeaders {
			rule.Outputs = append(rule.Outputs, c.Header)
		}
		out.Rules = append(out.Rules, rule)
	}
	return out, nil
}
