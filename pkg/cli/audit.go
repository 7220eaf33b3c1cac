package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/gatewarden/gatewarden/pkg/audit"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
	"github.com/gatewarden/gatewarden/pkg/report"
)

type auditOptions struct {
	onceOptions
	output   string
	baseline string
}

func newAuditCommand(s streams) *cobra.Command {
	var o auditOptions
	cmd := &cobra.Command{
		Use:   "audit [flags]",
		Short: "Judge everything that is there",
		Long: "audit judges every object of a cluster, or of manifests, by the rules that judge changes, and tells\n" +
			"what else is wrong with the installation. It changes nothing, and needs no permission but to list;\n" +
			"what it may not list is told, and not checked.\n\n" +
			"It exits with 0 when it found nothing that would be denied, 1 when it did, 2 when it could not run.",
		Example: "  # The cluster that kubectl talks to\n" +
			"  gatewarden audit --config gatewarden.yaml\n\n" +
			"  # What is new since the last time\n" +
			"  gatewarden audit -o json > baseline.json\n" +
			"  gatewarden audit --baseline baseline.json\n\n" +
			"  # Manifests\n" +
			"  gatewarden audit --cluster exported/",
		Args: flagsOnly(func() error { return o.validate() }),
		RunE: untilSignal(func(ctx context.Context) error { return runAudit(ctx, s, o) }),
	}
	o.bind(cmd)
	bindOutput(cmd, &o.output)
	cmd.Flags().StringVar(&o.baseline, "baseline", "", "report only what is new since the audit whose JSON output is in `FILE`")
	return cmd
}

func (o auditOptions) validate() error {
	if err := validateOutput(o.output); err != nil {
		return err
	}
	return o.onceOptions.validate()
}

// runAudit writes nothing before everything was judged.
func runAudit(ctx context.Context, s streams, o auditOptions) error {
	cfg, err := loadConfig(o.config)
	if err != nil {
		return failed(err)
	}
	var earlier []audit.ID
	if o.baseline != "" {
		if earlier, err = readBaseline(o.baseline); err != nil {
			return failed(err)
		}
	}
	snapshot, forbidden, err := o.read(ctx, s, cfg)
	if err != nil {
		return failed(err)
	}
	engine := policy.NewEngine(cfg, rules.All())
	far := newProgress(s.Err)
	result := audit.RunTelling(engine, snapshot, func(judged, of int) { far.tell("judging objects", judged, of) })
	far.end()
	out := report.Audit{Result: result, Notes: slices.Concat(rules.Openings(cfg), cfg.Expired())}
	for _, api := range forbidden {
		out.NotChecked = append(out.NotChecked, audit.NewGap(api, "list", engine))
	}
	if o.baseline != "" {
		c := audit.Compare(earlier, out.Findings)
		out.Baseline = &c
	}
	if err := writeAudit(s.Out, out, o.output); err != nil {
		return failed(fmt.Errorf("standard output: %w", err))
	}
	if out.Denied() {
		return exitError{code: exitDenied}
	}
	return nil
}

func readBaseline(path string) ([]audit.ID, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("--baseline %s: %w", path, err)
	}
	ids, err := report.ReadBaseline(data)
	if err != nil {
		return nil, fmt.Errorf("--baseline %s: %w", path, err)
	}
	return ids, nil
}
