package policy

import (
	"maps"
	"slices"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

// The listener of a sidecar's inbound traffic (VirtualInboundListenerName in istio.io/istio
// pilot/pkg/model/context.go). All of it goes there, whatever listener is added beside.
const virtualInbound = "virtualInbound"

// enforcers are the filters of a sidecar that decide on access: those of AuthorizationPolicies,
// of RequestAuthentications, and of providers that are asked (pkg/wellknown and
// pilot/pkg/xds/filters in istio.io/istio).
var enforcers = []string{
	"envoy.filters.http.rbac", "envoy.filters.http.jwt_authn", "istio_authn", "envoy.filters.http.ext_authz",
	"envoy.filters.network.rbac", "envoy.filters.network.ext_authz",
}

// beforeAccess are the filters of a sidecar before the last one that decides on access
// (buildHTTPConnectionManager in pilot/pkg/networking/core/listener_builder.go).
var beforeAccess = append([]string{"istio.metadata_exchange", "envoy.filters.network.metadata_exchange"}, enforcers...)

// impartial are Envoy's filters that leave alone whatever access is decided on, by the packages
// of their configuration. They may refuse a request, or answer it.
var impartial = []string{
	"adaptive_concurrency", "admission_control", "bandwidth_limit", "buffer", "compressor", "connection_limit", "cors", "csrf",
	"decompressor", "fault", "grpc_stats", "grpc_web", "health_check", "local_ratelimit", "ratelimit", "rbac", "tap",
}

// Loss is what an object takes away from how the sidecars of other workloads enforce.
type Loss struct {
	// Access is set if it is about who may do what, and not about mutual TLS.
	Access bool
	// Inserted is set if something comes before what decides, which stays as it is.
	Inserted bool
	// Reason says what, as a clause of its own.
	Reason string
}

// Weakens tells what an EnvoyFilter's patch takes away from sidecars that it is for, nil if
// nothing. What only breaks them, so that nothing gets through, takes nothing away.
func Weakens(e *resource.EnvoyPatch) *Loss {
	l := &e.Listener
	inbound := e.Context == "SIDECAR_INBOUND" || (e.Context == "" || e.Context == "ANY") && (l.Name == "" || l.Name == virtualInbound)
	if !inbound || !acts(e) {
		return nil
	}
	for _, name := range e.Value.Routed {
		if slices.Contains(enforcers, name) {
			return &Loss{Access: true, Reason: "it sets up " + name + " otherwise, or switches it off, for some routes"}
		}
	}
	sets := func(names ...string) string {
		for _, n := range names {
			if slices.Contains(e.Value.Fields, n) {
				return n
			}
		}
		return ""
	}
	switch e.ApplyTo {
	case "FILTER_CHAIN":
		return weakensChains(e, sets)
	case "LISTENER":
		if f := sets("filter_chains", "default_filter_chain"); f != "" && merges(e) {
			return &Loss{Reason: "it puts in " + f + ", which take connections without the mesh's mutual TLS"}
		}
	case "NETWORK_FILTER":
		if !adds(e) && (l.Filter == connectionManager || l.Filter == "") {
			if e.Operation == "REPLACE" || sets("typed_config.http_filters") != "" {
				return &Loss{Access: true, Reason: "it puts in other filters than those that decide on access"}
			}
		}
		return weakensFilters(e, l.Filter)
	case "HTTP_FILTER":
		if l.Filter == "" || l.Filter == connectionManager {
			return weakensFilters(e, l.SubFilter)
		}
	}
	return nil
}

func weakensChains(e *resource.EnvoyPatch, sets func(...string) string) *Loss {
	switch {
	case adds(e):
		return &Loss{Reason: "the filter chain that it adds takes connections without the mesh's mutual TLS"}
	case !merges(e):
		return nil
	}
	if f := sets("transport_socket", "filter_chain_match"); f != "" {
		return &Loss{Reason: "it changes the " + f + " of the filter chains that enforce mutual TLS"}
	}
	if sets("filters") != "" {
		return &Loss{Access: true, Reason: "it puts in other filters than those that decide on access"}
	}
	return nil
}

// weakensFilters tells what a patch of filters takes away that matches one by its name; "" is
// every filter, or the place before all of them.
func weakensFilters(e *resource.EnvoyPatch, name string) *Loss {
	if !adds(e) {
		if slices.Contains(enforcers, name) || name == "" && decides(e.Value.Type) {
			what := name
			if what == "" {
				what = e.Value.Type
			}
			return &Loss{Access: true, Reason: e.Operation + " changes " + what + ", which decides on access"}
		}
		return nil
	}
	first := e.Operation == "INSERT_FIRST" || e.Operation == "INSERT_BEFORE" && name == ""
	if first || strings.HasPrefix(e.Operation, "INSERT_") && slices.Contains(beforeAccess, name) {
		if !e.Value.Disabled && !isImpartial(e.Value.Type) {
			return &Loss{Access: true, Inserted: true, Reason: "its filter runs before those that decide on access, and can change what they see"}
		}
	}
	return nil
}

// decides reports whether filters with the type of configuration decide on access.
func decides(typ string) bool {
	return slices.ContainsFunc(enforcers, func(name string) bool {
		return strings.HasPrefix(typ, "envoy.extensions."+strings.TrimPrefix(name, "envoy.")+".")
	})
}

// isImpartial reports whether a filter with the type of configuration leaves alone what access
// is decided on: some of Envoy's, and those by which Istio itself counts.
func isImpartial(typ string) bool {
	for _, of := range []string{"envoy.extensions.filters.http.", "envoy.extensions.filters.network."} {
		if rest, ok := strings.CutPrefix(typ, of); ok {
			name, _, _ := strings.Cut(rest, ".")
			return slices.Contains(impartial, name)
		}
	}
	return strings.HasPrefix(typ, "stats.") || strings.HasPrefix(typ, "io.istio.") || strings.HasPrefix(typ, "istio.")
}

// Precedes tells what a WasmPlugin or TrafficExtension takes away from the sidecars that it is
// for, nil if nothing.
func Precedes(e *resource.ProxyExtension) *Loss {
	if e.Phase != "AUTHN" && e.Phase != "AUTHZ" {
		return nil
	}
	if len(e.Matches) > 0 && !slices.ContainsFunc(e.Matches, func(m resource.TrafficMatch) bool { return m.Mode != "CLIENT" }) {
		return nil
	}
	return &Loss{Access: true, Inserted: true, Reason: "in the phase " + e.Phase + " its code runs before what decides on access, and can change what that sees"}
}

// Enforcement is what the sidecars of some workloads enforce.
type Enforcement struct{ Strict, Access bool }

// EnforcementOf tells what is enforced by any of the workloads of a namespace that a selector
// selects; where none is known, by those that policies name.
func (w *World) EnforcementOf(namespace string, selector map[string]string) Enforcement {
	policies := w.Policies()
	access := w.accessSelectors(namespace)
	selectors := access
	for _, p := range policies.of(namespace).selecting {
		selectors = append(selectors, p.Selector)
	}
	keys := map[string]bool{}
	for _, s := range selectors {
		for k := range s {
			keys[k] = true
		}
	}
	some := w.IsGateway(selector, namespace)
	groups, _ := w.podGroups(namespace, keys, func(pod *resource.Workload) bool {
		selects := resource.Selects(selector, pod.Pod.Labels)
		some = some || selects
		return selects && w.HasSidecar(pod)
	})
	if !some {
		groups = append(groups, PodGroup{Labels: selector})
		for _, s := range selectors {
			if both, ok := joined(selector, s); ok && !w.IsGateway(both, namespace) {
				groups = append(groups, PodGroup{Labels: both})
			}
		}
	}
	var out Enforcement
	for _, g := range groups {
		out.Strict = out.Strict || Gap{}.Opened(policies.Effective(namespace, g.Labels))
		out.Access = out.Access || slices.ContainsFunc(access, func(s map[string]string) bool { return resource.Selects(s, g.Labels) })
	}
	return out
}

// joined returns the labels of pods that two selectors select, and false if there are none.
func joined(a, b map[string]string) (map[string]string, bool) {
	out := maps.Clone(a)
	if out == nil {
		out = map[string]string{}
	}
	for k, v := range b {
		if has, ok := out[k]; ok && has != v {
			return nil, false
		}
		out[k] = v
	}
	return out, true
}

// accessSelectors returns whom the policies that decide on access are for, of those that count
// in a namespace.
func (w *World) accessSelectors(namespace string) []map[string]string {
	var out []map[string]string
	for _, ns := range slices.Compact([]string{namespace, w.Config.Mesh.RootNamespace}) {
		w.Snapshot.Each(resource.KindAuthorizationPolicy, ns, func(o resource.Object) bool {
			if a := o.(*resource.AuthorizationPolicy); a.Action != "AUDIT" && !DryRun(a) && len(a.Refs) == 0 {
				out = append(out, a.Selector)
			}
			return true
		})
		w.Snapshot.Each(resource.KindRequestAuthentication, ns, func(o resource.Object) bool {
			if a := o.(*resource.RequestAuthentication); len(a.Rules) > 0 && len(a.Refs) == 0 {
				out = append(out, a.Selector)
			}
			return true
		})
	}
	return out
}
