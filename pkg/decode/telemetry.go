package decode

import (
	"fmt"
	"maps"
	"slices"

	"github.com/google/cel-go/common"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/parser"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

// telemetryMatch is what is read of the selectors of telemetry/v1alpha1 in istio.io/api.
type telemetryMatch struct {
	Mode string `json:"mode"`
}

// telemetryDoc is what is read of telemetry/v1alpha1 Telemetry in istio.io/api.
type telemetryDoc struct {
	header
	Spec struct {
		Selector   podSelector `json:"selector"`
		TargetRef  *targetRef  `json:"targetRef"`
		TargetRefs []targetRef `json:"targetRefs"`
		Metrics    []struct {
			Overrides []struct {
				Match        telemetryMatch `json:"match"`
				Disabled     *bool          `json:"disabled"`
				TagOverrides map[string]struct {
					Operation string `json:"operation"`
					Value     string `json:"value"`
				} `json:"tagOverrides"`
			} `json:"overrides"`
		} `json:"metrics"`
		AccessLogging []struct {
			Match     telemetryMatch `json:"match"`
			Disabled  *bool          `json:"disabled"`
			Providers []struct {
				Name string `json:"name"`
			} `json:"providers"`
			Filter struct {
				Expression string `json:"expression"`
			} `json:"filter"`
		} `json:"accessLogging"`
	} `json:"spec"`
}

// telemetry converts a Telemetry, of which only the expressions that reach the listeners of
// gateways are kept: those that are for clients too, since a gateway counts as one
// (workloadMode in istio.io/istio pilot/pkg/model/telemetry.go). A filter without providers is
// passed over (mergeLogs there), as are the tags of metrics that are switched off.
func telemetry(_ resource.Kind, meta resource.Meta, in *telemetryDoc) (resource.Object, *Error) {
	out := &resource.Telemetry{Meta: meta, Target: target(in.Spec.Selector.MatchLabels, in.Spec.TargetRef, in.Spec.TargetRefs)}
	is := func(b *bool) bool { return b != nil && *b }
	for i := range in.Spec.AccessLogging {
		l := &in.Spec.AccessLogging[i]
		if l.Filter.Expression != "" && len(l.Providers) > 0 && !is(l.Disabled) && l.Match.Mode != "SERVER" {
			e := expression(l.Filter.Expression)
			e.Field, e.Filter = fmt.Sprintf("spec.accessLogging[%d].filter.expression", i), true
			out.Expressions = append(out.Expressions, e)
		}
	}
	for i := range in.Spec.Metrics {
		for j := range in.Spec.Metrics[i].Overrides {
			o := &in.Spec.Metrics[i].Overrides[j]
			if is(o.Disabled) || o.Match.Mode == "SERVER" {
				continue
			}
			for _, tag := range slices.Sorted(maps.Keys(o.TagOverrides)) {
				if t := o.TagOverrides[tag]; t.Operation != "REMOVE" && t.Value != "" {
					e := expression(t.Value)
					e.Field = fmt.Sprintf("spec.metrics[%d].overrides[%d].tagOverrides[%s].value", i, j, tag)
					out.Expressions = append(out.Expressions, e)
				}
			}
		}
	}
	return out, nil
}

// mostErrors keeps the parser from gathering more of them than anybody reads.
const mostErrors = 1

// expression reads an expression of the Common Expression Language, its macros as functions.
func expression(text string) resource.Expression {
	p, err := parser.NewParser(parser.ErrorReportingLimit(mostErrors))
	if err != nil {
		panic(err) // the options are no one's but ours
	}
	tree, errs := p.Parse(common.NewTextSource(text))
	if list := errs.GetErrors(); len(list) > 0 {
		return resource.Expression{Wrong: list[0].Message}
	}
	called := map[string]bool{}
	ast.PostOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind {
			return
		}
		call, name := e.AsCall(), e.AsCall().FunctionName()
		if call.IsMemberFunction() && call.Target().Kind() == ast.IdentKind && call.Target().AsIdent() == "re" {
			name = "re." + name // a package of functions, and no value
		}
		called[name] = true
	}))
	return resource.Expression{Functions: slices.Sorted(maps.Keys(called))}
}

// proxyConfigDoc is what is read of networking/v1beta1 ProxyConfig in istio.io/api.
type proxyConfigDoc struct {
	header
	Spec struct {
		Selector             podSelector       `json:"selector"`
		EnvironmentVariables map[string]string `json:"environmentVariables"`
	} `json:"spec"`
}

// unprivilegedPod is the variable by which a proxy says that it can not bind ports below 1024
// (IsUnprivileged in istio.io/istio pilot/pkg/model/context.go).
const unprivilegedPod = "ISTIO_META_UNPRIVILEGED_POD"

// proxyConfig converts a ProxyConfig.
func proxyConfig(_ resource.Kind, meta resource.Meta, in *proxyConfigDoc) (resource.Object, *Error) {
	return &resource.ProxyConfig{
		Meta: meta, Selector: in.Spec.Selector.MatchLabels,
		Unprivileged: in.Spec.EnvironmentVariables[unprivilegedPod],
	}, nil
}
