package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/gatewarden/gatewarden/pkg/manifest"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
	"github.com/gatewarden/gatewarden/pkg/report"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
	"github.com/gatewarden/gatewarden/pkg/translate"
)

type mapOptions struct {
	onceOptions
	output string
}

func newMapCommand(s streams) *cobra.Command {
	var o mapOptions
	cmd := &cobra.Command{
		Use:   "map [flags]",
		Short: "Show who owns what on the guarded gateways",
		Long: "map shows what the proxies of the guarded gateways are told to serve, in the order in which they look:\n" +
			"listeners, the servers on each, the oldest first, server names and hosts from the most specific, and\n" +
			"the routes of each host, the first to match first. It marks what Istio drops, listeners that the proxy\n" +
			"refuses, and routes that no request reaches as an earlier one takes all of theirs. It judges nothing,\n" +
			"and knows nothing of what EnvoyFilters change.\n\n" +
			"It exits with 0 when it could look, whatever it found, and with 2 when it could not.",
		Example: "  # The cluster that kubectl talks to\n" +
			"  gatewarden map --config gatewarden.yaml\n\n" +
			"  # Manifests\n" +
			"  gatewarden map --cluster exported/\n\n" +
			"  # Whose are the routes of a host?\n" +
			"  gatewarden map -o json |\n" +
			"    jq '.gateways[].listeners[].routeTables[].virtualHosts[] | select(.host == \"app.example.org\").routes'",
		Args: flagsOnly(func() error { return o.validate() }),
		RunE: untilSignal(func(ctx context.Context) error { return runMap(ctx, s, o) }),
	}
	o.bind(cmd)
	cmd.Flags().StringVarP(&o.output, "output", "o", outputText, "`FORMAT` of the output: text or json")
	return cmd
}

func (o mapOptions) validate() error {
	if o.output != outputText && o.output != outputJSON {
		return fmt.Errorf("--output %q: use text or json", o.output)
	}
	return o.onceOptions.validate()
}

// runMap writes nothing before everything was read.
func runMap(ctx context.Context, s streams, o mapOptions) error {
	cfg, err := loadConfig(o.config)
	if err != nil {
		return failed(err)
	}
	var out report.Map
	var snapshot *state.Snapshot
	if len(o.cluster) > 0 {
		there, err := o.manifests(s)
		if err != nil {
			return failed(err)
		}
		if out.Undated = undated(there); len(out.Undated) > 0 {
			out.Notes = []string{"objects without a creationTimestamp count as created in the order in which they were read"}
		}
		snapshot = newChecker(cfg, policy.Requester{}, there).snapshot
	} else {
		var forbidden []resource.API
		if snapshot, forbidden, err = o.read(ctx, s, cfg); err != nil {
			return failed(err)
		}
		for _, api := range forbidden {
			if slices.Contains(policy.MappedKinds, api.Kind) {
				out.Notes = append(out.Notes, fmt.Sprintf("what %s would add is not here: this user may not list %s", api.Kind, api.Resource))
			}
		}
	}
	out.Gateways = policy.NewEngine(cfg, rules.All()).World(snapshot).Maps()
	if o.output == outputJSON {
		err = report.MapJSON(s.Out, out)
	} else {
		err = report.MapText(s.Out, out, report.TextOptions{Color: colorful(s.Out)})
	}
	if err != nil {
		return failed(fmt.Errorf("standard output: %w", err))
	}
	return nil
}

// undated are the objects that do not tell when they were created, although it matters. It is to
// be asked before a checker gives them an age.
func undated(there []manifest.Document) map[resource.Key]bool {
	out := map[resource.Key]bool{}
	for _, d := range there {
		if d.Object == nil || !d.Object.GetMeta().Created.IsZero() {
			continue
		}
		if kind := d.Object.Key().Kind; slices.Contains(translate.Into, kind) || slices.Contains(translate.Kinds, kind) {
			out[d.Object.Key()] = true
		}
	}
	return out
}
