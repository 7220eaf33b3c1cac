package report

import (
	"fmt"
	"io"
	"net/url"
	"path/filepath"

	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"

	"github.com/gatewarden/gatewarden/pkg/audit"
	"github.com/gatewarden/gatewarden/pkg/policy"
)

const (
	toolName = "gatewarden"
	toolURI  = "https://github.com/gatewarden/gatewarden"
	// fingerprintKey names what a fingerprint is made of: rule, object and subject.
	fingerprintKey = "gatewardenFinding/v1"
	// stdin is the File of an object that was read from standard input.
	stdin = "stdin"
)

// SARIF writes the findings of a report as a SARIF 2.1.0 log.
func SARIF(w io.Writer, r Report, tool Tool) error { return writeSARIF(w, r.results(), nil, tool) }

// AuditSARIF writes the findings of an audit as a SARIF 2.1.0 log. What was not checked is a
// notification of its run.
func AuditSARIF(w io.Writer, a Audit, tool Tool) error {
	return writeSARIF(w, a.results(), a.NotChecked, tool)
}

func writeSARIF(w io.Writer, results []result, gaps []audit.Gap, tool Tool) error {
	run := sarif.NewRunWithInformationURI(toolName, toolURI)
	run.Tool.Driver.WithVersion(tool.Version)
	for _, r := range tool.Rules {
		run.AddRule(r.ID).
			WithName(r.Name).
			WithShortDescription(sarif.NewMultiformatMessageString().WithText(r.Summary)).
			WithHelp(sarif.NewMultiformatMessageString().WithText(r.Page).WithMarkdown(r.Page)).
			WithDefaultConfiguration(sarif.NewReportingConfiguration().WithLevel(level(r.Effect)))
	}
	for _, r := range results {
		out := run.CreateResultForRule(r.Rule).
			WithLevel(level(r.Effect)).
			WithMessage(sarif.NewTextMessage(r.Message)).
			WithPartialFingerprints(map[string]string{fingerprintKey: r.fingerprint()})
		out.AddLocation(location(r.Object, r.Field))
		if r.Carried {
			out.WithBaselineState("unchanged")
		}
		if r.Exempt != "" {
			out.AddSuppression(sarif.NewSuppression().WithKind("external").WithJustification(r.Exempt))
		}
		for i, k := range r.Related {
			out.AddRelatedLocation(location(objectAt(k), "").WithID(i + 1).WithMessage(sarif.NewTextMessage(k.String())))
		}
	}
	invocation := sarif.NewInvocation().WithExecutionSuccessful(true)
	for _, g := range gaps {
		invocation.AddToolExecutionNotification(sarif.NewNotification().WithLevel(sarif.LevelWarning).WithMessage(sarif.NewTextMessage(
			fmt.Sprintf("not checked: %s: the permission to %s is missing; %s on it", g.API.Kind, g.Permission(), dependents(len(g.Rules))))))
	}
	run.AddInvocation(invocation)
	return sarif.NewReport().AddRun(run).PrettyWrite(w)
}

// location tells where an object is, by its name, and by file and line if it was read from a
// file. Standard input has no location that anybody could open.
func location(o Object, field string) *sarif.Location {
	name := o.qualified()
	logical := sarif.NewLogicalLocation().WithKind("object").WithName(o.shown()).WithFullyQualifiedName(name)
	if field != "" {
		logical.WithKind("member").WithName(field).WithFullyQualifiedName(name + ":" + field)
	}
	out := sarif.NewLocation().AddLogicalLocation(logical)
	if o.File != "" && o.File != stdin {
		uri := url.URL{Path: filepath.ToSlash(filepath.Clean(o.File))}
		if filepath.IsAbs(o.File) {
			uri.Scheme = "file"
		}
		out.WithPhysicalLocation(sarif.NewPhysicalLocation().
			WithArtifactLocation(sarif.NewSimpleArtifactLocation(uri.String())).
			WithRegion(sarif.NewSimpleRegion(o.Line, o.Line)))
	}
	return out
}

func level(e policy.Effect) string {
	switch e {
	case policy.Deny:
		return sarif.LevelError
	case policy.Warn:
		return sarif.LevelWarning
	}
	return sarif.LevelNote
}
