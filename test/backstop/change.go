package backstop

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/gatewarden/gatewarden/pkg/backstop"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
)

// Judges reports whether the policy is asked about a change.
func Judges(c policy.Change) bool {
	switch c.Object().(type) {
	case *resource.Gateway, *resource.VirtualService, *resource.PeerAuthentication:
		return c.Operation != policy.Delete && c.Object().GetMeta().Origin == nil
	}
	return false
}

// Change asks the policy about a change, with the parameters that a snapshot leads to.
func (p *Policy) Change(e *policy.Engine, s *state.Snapshot, c policy.Change) (string, error) {
	if !Judges(c) {
		return "", nil
	}
	key := c.Object().Key()
	r := Request{
		Kind: string(key.Kind), Operation: string(c.Operation), Namespace: key.Namespace,
		User: c.Requester.Name, Groups: c.Requester.Groups, DryRun: c.DryRun,
		Parameters: backstop.Parameters(e, s),
	}
	if ns := e.World(s).Namespace(key.Namespace); ns != nil {
		r.NamespaceLabels = ns.Labels
	}
	var err error
	if r.Object, err = document(c.New); err != nil {
		return "", err
	}
	if c.Old != nil {
		if r.OldObject, err = document(c.Old); err != nil {
			return "", err
		}
	}
	return p.Judge(r)
}

// RuleOf returns the ID of the rule that a message begins with.
func RuleOf(message string) string {
	id, _, _ := strings.Cut(message, " ")
	return id
}

// Denied returns the IDs of the rules by which an engine denies a change.
func Denied(e *policy.Engine, s *state.Snapshot, c policy.Change) []string {
	var out []string
	for _, f := range e.Decide(s, c).Of(policy.Deny) {
		out = append(out, f.Rule)
	}
	return out
}

// The documents of the kinds that the policy is asked about: what package decode reads.
type (
	object map[string]any
	array  []any
)

// document writes an object as the API server has it.
func document(o resource.Object) (map[string]any, error) {
	m := o.GetMeta()
	out := object{"metadata": object{"namespace": m.Namespace, "name": m.Name, "annotations": m.Annotations}}
	switch o := o.(type) {
	case *resource.Gateway:
		out["spec"] = gateway(o)
	case *resource.VirtualService:
		out["spec"] = virtualService(o)
	case *resource.PeerAuthentication:
		spec := object{"selector": object{"matchLabels": o.Selector}, "mtls": object{"mode": o.Mode.String()}}
		ports := object{}
		for port, mode := range o.Ports {
			ports[strconv.Itoa(int(port))] = object{"mode": mode.String()}
		}
		spec["portLevelMtls"] = ports
		out["spec"] = spec
	default:
		return nil, fmt.Errorf("%s: the policy is not asked about it", o.Key())
	}
	return plain(out)
}

func gateway(o *resource.Gateway) object {
	var servers array
	for i := range o.Servers {
		s := &o.Servers[i]
		server := object{"name": s.Name, "hosts": s.Hosts, "port": object{"number": s.Port, "name": s.PortName, "protocol": s.Protocol}}
		if s.Bind != "" {
			server["bind"] = s.Bind
		}
		if s.TLS != nil {
			server["tls"] = object{"mode": s.TLS.Mode, "httpsRedirect": s.TLS.HTTPSRedirect, "credentialName": s.TLS.CredentialName}
		}
		servers = append(servers, server)
	}
	out := object{"servers": servers}
	if o.Selector != nil {
		out["selector"] = o.Selector
	}
	return out
}

// virtualService leaves out what a route does with requests: the policy does not look at it.
func virtualService(o *resource.VirtualService) object {
	out := object{"hosts": o.Hosts, "gateways": o.Gateways}
	if o.ExportTo != nil {
		out["exportTo"] = o.ExportTo
	}
	var routes array
	for i := range o.HTTP {
		route := object{"name": o.HTTP[i].Name}
		var matches array
		for j := range o.HTTP[i].Matches {
			m := &o.HTTP[i].Matches[j]
			match := object{"ignoreUriCase": m.IgnoreURICase}
			if kind := map[resource.MatchType]string{resource.MatchExact: "exact", resource.MatchPrefix: "prefix", resource.MatchRegex: "regex"}[m.URI.Type]; kind != "" {
				match["uri"] = object{kind: m.URI.Value}
			}
			if m.Port != 0 {
				match["port"] = m.Port
			}
			if m.Gateways != nil {
				match["gateways"] = m.Gateways
			}
			matches = append(matches, match)
		}
		if matches != nil {
			route["match"] = matches
		}
		routes = append(routes, route)
	}
	if routes != nil {
		out["http"] = routes
	}
	return out
}

// plain makes of a value what JSON makes of it: without the fields that are null, which no API
// server stores, and with whole numbers as such.
func plain(o object) (map[string]any, error) {
	raw, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	return Document(raw)
}

// Document reads JSON as an API server does.
func Document(raw []byte) (map[string]any, error) {
	var out map[string]any
	if err := utiljson.Unmarshal(raw, &out); err != nil {
		return nil, err
	}
	dropNulls(out)
	return out, nil
}

func dropNulls(v any) {
	switch v := v.(type) {
	case map[string]any:
		for k, item := range v {
			if item == nil {
				delete(v, k)
			}
			dropNulls(item)
		}
	case []any:
		for _, item := range v {
			dropNulls(item)
		}
	}
}
