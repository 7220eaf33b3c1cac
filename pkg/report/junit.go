package report

import (
	"io"
	"slices"
	"strings"

	"github.com/jstemmer/go-junit-report/v2/junit"

	"github.com/gatewarden/gatewarden/pkg/policy"
)

// JUnit writes a report as JUnit XML: a suite for each file, and in it a test for each object,
// which fails if the object was denied. JUnit knows no warnings; they are a test's output.
func JUnit(w io.Writer, r Report) error {
	suites := junit.Testsuites{Name: toolName + " check"}
	var files []string
	byFile := map[string]*junit.Testsuite{}
	for _, d := range r.Decisions {
		suite := byFile[d.Object.File]
		if suite == nil {
			suite = &junit.Testsuite{Name: clean(d.Object.File), File: clean(d.Object.File), ID: len(files)}
			byFile[d.Object.File] = suite
			files = append(files, d.Object.File)
		}
		test := junit.Testcase{Name: title(d.Object) + " " + string(d.Operation), Classname: clean(d.Object.File)}
		var results []result
		for _, f := range d.Findings {
			results = append(results, result{d.Object, f})
		}
		tell(&test, results)
		suite.AddTestcase(test)
	}
	for _, f := range files {
		suites.AddSuite(*byFile[f])
	}
	return suites.WriteXML(w)
}

// AuditJUnit writes an audit as JUnit XML: a suite for each rule, and in it a test for each
// object with a finding, which fails if one of them would be denied. A rule that found nothing
// has one test, which passes, or is skipped if something that the rule depends on was not
// checked: so a suite is never empty, and its history shows when it turned.
func AuditJUnit(w io.Writer, a Audit, tool Tool) error {
	suites := junit.Testsuites{Name: toolName + " audit"}
	results := a.results()
	for i, rule := range tool.Rules {
		class := rule.ID + " " + rule.Name
		suite := junit.Testsuite{Name: class, ID: i}
		var objects []string
		byObject := map[string][]result{}
		for _, r := range results {
			if r.Rule != rule.ID {
				continue
			}
			name := clean(r.Object.qualified())
			if byObject[name] == nil {
				objects = append(objects, name)
			}
			byObject[name] = append(byObject[name], r)
		}
		for _, name := range objects {
			test := junit.Testcase{Name: name, Classname: class}
			tell(&test, byObject[name])
			suite.AddTestcase(test)
		}
		if len(objects) == 0 {
			test := junit.Testcase{Name: rule.Summary, Classname: class}
			if missing := a.missing(rule.ID); len(missing) > 0 {
				test.Skipped = &junit.Result{Message: "permissions are missing: " + strings.Join(missing, "; ")}
			}
			suite.AddTestcase(test)
		}
		suites.AddSuite(suite)
	}
	return suites.WriteXML(w)
}

// missing returns the permissions that a rule lacked.
func (a Audit) missing(rule string) []string {
	var out []string
	for _, g := range a.NotChecked {
		if slices.Contains(g.Rules, rule) {
			out = append(out, g.Permission())
		}
	}
	return out
}

// tell makes findings the outcome of a test: those that deny its failure, the rest its output.
func tell(test *junit.Testcase, results []result) {
	var denials, rest []string
	for _, r := range results {
		line := r.Effect.String() + " " + clean(r.String())
		if r.Object.File != "" {
			line = place(r.Object) + ": " + line
		}
		if r.Effect == policy.Deny {
			denials = append(denials, line)
		} else {
			rest = append(rest, line)
		}
	}
	if len(denials) > 0 {
		test.Failure = &junit.Result{Message: denials[0], Type: policy.Deny.String(), Data: strings.Join(denials, "\n")}
	}
	if len(rest) > 0 {
		test.SystemOut = &junit.Output{Data: strings.Join(rest, "\n")}
	}
}
