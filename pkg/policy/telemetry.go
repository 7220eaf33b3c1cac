package policy

import (
	"slices"
	"strconv"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

// What Envoy knows of the Common Expression Language: RegisterBuiltinFunctions in
// google/cel-cpp eval/public/builtin_func_registrar.cc, and RegisterRegexFunctions in
// extensions/regex_functions.h. The operators are those that every parser knows.
var (
	functions = []string{
		"bool", "bytes", "contains", "double", "duration", "dyn", "endsWith", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear",
		"getFullYear", "getHours", "getMilliseconds", "getMinutes", "getMonth", "getSeconds", "has", "int", "matches", "re.capture",
		"re.captureN", "re.extract", "size", "startsWith", "timestamp", "type", "uint",
	}
	// unsafe are those that Envoy leaves out where it filters access logs (createBuilder in
	// envoyproxy/envoy source/extensions/filters/common/expr/evaluator.cc): string conversion,
	// and the macros that are loops.
	unsafe = []string{"all", "exists", "exists_one", "filter", "map", "string"}
)

// Refused says why a proxy refuses an expression, "" if it does not. An access log's filter is
// parsed and built with its listener, and either can fail (createFilter in envoyproxy/envoy
// source/extensions/access_loggers/filters/cel/config.cc); a metric's tag that can not be
// parsed is passed over (getOrCreateExpression in istio/proxy
// source/extensions/filters/http/istio_stats/istio_stats.cc). Istio itself only parses the
// filters (validateTelemetryFilter in istio.io/istio pkg/config/validation/validation_istiod.go).
func Refused(e *resource.Expression) string {
	if e.Wrong != "" {
		if e.Filter {
			return "can not be parsed (" + e.Wrong + ")"
		}
		return ""
	}
	for _, f := range e.Functions {
		if operator(f) || slices.Contains(functions, f) {
			continue
		}
		if !slices.Contains(unsafe, f) {
			return "calls " + f + ", which is no function that the proxy has"
		}
		if e.Filter {
			return "calls " + f + ", which the proxy does not have for access logs"
		}
	}
	return ""
}

// operator reports whether the name of a function is that of an operator: "_+_", "!_", "@in".
func operator(name string) bool {
	return name == "" || (name[0] < 'a' || name[0] > 'z') && (name[0] < 'A' || name[0] > 'Z')
}

// TelemetryFor reports whether a Telemetry counts for these pods. Those of the root namespace
// count without a selector only, except for pods of that namespace (applicableTelemetries in
// istio.io/istio pilot/pkg/model/telemetry.go).
func (p *PodSet) TelemetryFor(o *resource.Telemetry, root string) bool {
	if o.Namespace != p.Namespace && len(o.Selector)+len(o.Refs) > 0 {
		return false
	}
	return p.SelectedBy(o.Namespace, &o.Target, root)
}

// LosesPort reports whether a ProxyConfig takes the server's listener from these pods, once they
// are injected again: Istio makes no listeners below 1024 for a pod that says that it can not
// bind them (buildGatewayListeners in istio.io/istio pilot/pkg/networking/core/gateway.go).
// Those of the root namespace count without a selector only (EffectiveProxyConfig in
// pilot/pkg/model/proxy_config.go).
func (p *PodSet) LosesPort(s *Server, o *resource.ProxyConfig, root string) bool {
	if u, err := strconv.ParseBool(o.Unprivileged); err != nil || !u {
		return false
	}
	if o.Namespace != p.Namespace && (o.Namespace != root || len(o.Selector) > 0) || !resource.Selects(o.Selector, p.Labels) {
		return false
	}
	const firstUnprivileged = 1024
	return slices.ContainsFunc(s.Ports, func(port uint32) bool { return port < firstUnprivileged })
}
