// Package backstop evaluates the expressions of deploy/components/backstop without an API
// server, so that tests can ask them about thousands of changes.
package backstop

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/ext"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"sigs.k8s.io/yaml"

	"github.com/gatewarden/gatewarden/test/deploy"
	"github.com/gatewarden/gatewarden/test/module"
)

// Policy is the ValidatingAdmissionPolicy, compiled.
type Policy struct {
	conditions, variables, validations []expression
	message                            expression
}

// expression is one that is ready to be evaluated.
type expression struct {
	name    string
	program cel.Program
}

// Read reads the policy's manifest.
func Read(ctx context.Context) (*admissionregistrationv1.ValidatingAdmissionPolicy, error) {
	root, err := module.Dir(ctx, module.Gatewarden)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(deploy.Backstop), "policy.yaml"))
	if err != nil {
		return nil, err
	}
	first, _, _ := strings.Cut(string(data), "\n---\n")
	out := &admissionregistrationv1.ValidatingAdmissionPolicy{}
	return out, yaml.UnmarshalStrict([]byte(first), out)
}

// Load reads and compiles the policy, in the language of the oldest API server that it is for.
func Load(ctx context.Context) (*Policy, error) {
	manifest, err := Read(ctx)
	if err != nil {
		return nil, err
	}
	env, err := environment()
	if err != nil {
		return nil, err
	}
	out := &Policy{}
	compile := func(list *[]expression, name, text string) {
		if err == nil {
			var x expression
			x, err = newExpression(env, name, text)
			*list = append(*list, x)
		}
	}
	for _, c := range manifest.Spec.MatchConditions {
		compile(&out.conditions, c.Name, c.Expression)
	}
	for _, v := range manifest.Spec.Variables {
		compile(&out.variables, v.Name, v.Expression)
	}
	var messages []expression
	for _, v := range manifest.Spec.Validations {
		compile(&out.validations, "validation", v.Expression)
		compile(&messages, "message", v.MessageExpression)
	}
	if err != nil {
		return nil, err
	}
	if len(messages) != 1 {
		return nil, fmt.Errorf("there are %d validations, and this package knows of one", len(messages))
	}
	out.message = messages[0]
	return out, nil
}

// environment is what an API server of version 1.30 knows, which offers what 1.29 did
// (baseOpts in k8s.io/apiserver pkg/cel/environment/base.go). The limit is that of one
// expression (PerCallLimit in k8s.io/apiserver pkg/apis/cel/config.go).
func environment() (*cel.Env, error) {
	return cel.NewEnv(
		cel.HomogeneousAggregateLiterals(), cel.EagerlyValidateDeclarations(true), cel.DefaultUTCTimeZone(true),
		cel.CrossTypeNumericComparisons(true), cel.OptionalTypes(), ext.Strings(ext.StringsVersion(2)),
		cel.ASTValidators(cel.ValidateRegexLiterals(), cel.ValidateHomogeneousAggregateLiterals()),
		cel.Variable("object", cel.DynType), cel.Variable("oldObject", cel.DynType), cel.Variable("params", cel.DynType),
		cel.Variable("request", cel.DynType), cel.Variable("namespaceObject", cel.DynType),
		cel.Variable("variables", cel.MapType(cel.StringType, cel.DynType)),
	)
}

func newExpression(env *cel.Env, name, text string) (expression, error) {
	ast, issues := env.Compile(text)
	if issues.Err() != nil {
		return expression{}, fmt.Errorf("%s: %w", name, issues.Err())
	}
	program, err := env.Program(ast, cel.EvalOptions(cel.OptOptimize, cel.OptTrackCost), cel.CostLimit(1_000_000))
	return expression{name, program}, err
}

// Request is what the policy is asked about.
type Request struct {
	Kind, Operation   string
	Namespace         string
	Object, OldObject map[string]any // as JSON
	NamespaceLabels   map[string]string
	User              string
	Groups            []string
	DryRun            bool
	Parameters        map[string]string // the data of the ConfigMap
}

// Judge returns the message by which a request is refused, or "". An error is what the API
// server ignores.
func (p *Policy) Judge(r Request) (string, error) {
	variables := map[string]any{}
	in := map[string]any{
		"object": r.Object, "oldObject": nil, "variables": variables,
		"params":          map[string]any{"data": anyMap(r.Parameters)},
		"namespaceObject": map[string]any{"metadata": map[string]any{"name": r.Namespace, "labels": anyMap(r.NamespaceLabels)}},
		"request": map[string]any{
			"kind": map[string]any{"kind": r.Kind}, "operation": r.Operation, "namespace": r.Namespace, "dryRun": r.DryRun,
			"userInfo": map[string]any{"username": r.User, "groups": r.Groups},
		},
	}
	if r.OldObject != nil {
		in["oldObject"] = r.OldObject
	}
	for _, c := range p.conditions {
		if matches, err := c.bool(in); err != nil || !matches {
			return "", err
		}
	}
	for _, v := range p.variables {
		value, _, err := v.program.Eval(in)
		if err != nil {
			// As in an API server, it is an error for those who use it.
			value = types.NewErr("variable %s: %v", v.name, err)
		}
		variables[v.name] = value
	}
	for _, v := range p.validations {
		valid, err := v.bool(in)
		if err != nil {
			return "", err
		}
		if !valid {
			message, _, err := p.message.program.Eval(in)
			if err != nil {
				return "", err
			}
			return message.Value().(string), nil
		}
	}
	return "", nil
}

func (x *expression) bool(in map[string]any) (bool, error) {
	out, _, err := x.program.Eval(in)
	if err != nil {
		return false, fmt.Errorf("%s: %w", x.name, err)
	}
	return out == ref.Val(types.True), nil
}

func anyMap(m map[string]string) map[string]any {
	out := map[string]any{}
	for k, v := range m {
		out[k] = v
	}
	return out
}
