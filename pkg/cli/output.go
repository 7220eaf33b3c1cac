package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/gatewarden/gatewarden/pkg/policy/rules"
	"github.com/gatewarden/gatewarden/pkg/report"
)

// The values of --output.
const (
	outputText  = "text"
	outputJSON  = "json"
	outputSARIF = "sarif"
	outputJUnit = "junit"
)

func bindOutput(cmd *cobra.Command, format *string) {
	cmd.Flags().StringVarP(format, "output", "o", outputText, "`FORMAT` of the output: text, json, sarif or junit")
}

func validateOutput(format string) error {
	switch format {
	case outputText, outputJSON, outputSARIF, outputJUnit:
		return nil
	}
	return fmt.Errorf("--output %q: use text, json, sarif or junit", format)
}

// tool describes this command in formats that name what made them.
func tool() report.Tool {
	version, _ := buildVersion()
	return report.Tool{Version: version, Rules: rules.All()}
}

func writeReport(w io.Writer, r report.Report, format string) error {
	switch format {
	case outputJSON:
		return report.JSON(w, r)
	case outputSARIF:
		return report.SARIF(w, r, tool())
	case outputJUnit:
		return report.JUnit(w, r)
	}
	return report.Text(w, r, report.TextOptions{Color: colorful(w)})
}

func writeAudit(w io.Writer, a report.Audit, format string) error {
	switch format {
	case outputJSON:
		return report.AuditJSON(w, a)
	case outputSARIF:
		return report.AuditSARIF(w, a, tool())
	case outputJUnit:
		return report.AuditJUnit(w, a, tool())
	}
	return report.AuditText(w, a, report.TextOptions{Color: colorful(w)})
}
