package cli

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/manifest"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
	"github.com/gatewarden/gatewarden/pkg/report"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/translate"
)

type mapOptions struct {
	config  string
	cluster []string
	output  string
}

func newMapCommand(s streams) *cobra.Command {
	var o mapOptions
	cmd := &cobra.Command{
		Use:   "map [flags] --cluster PATH",
		Short: "Show who owns what on the guarded gateways",
		Long: "map shows what the proxies of the guarded gateways are told to serve, in the order in which they look:\n" +
			"listeners, the servers on each, the oldest first, server names and hosts from the most specific, and\n" +
			"the routes of each host, the first to match first. It marks what Istio drops, listeners that the proxy\n" +
			"refuses, and routes that no request reaches as an earlier one takes all of theirs. It judges nothing,\n" +
			"and knows nothing of what EnvoyFilters change.",
		Example: "  # All that is in a folder\n" +
			"  gatewarden map --cluster exported/\n\n" +
			"  # Whose are the routes of a host?\n" +
			"  gatewarden map --cluster exported/ -o json |\n" +
			"    jq '.gateways[].listeners[].routeTables[].virtualHosts[] | select(.host == \"app.example.org\").routes'",
		Args: func(cmd *cobra.Command, args []string) error {
			if err := noArguments(cmd, args); err != nil {
				return err
			}
			return o.validate()
		},
		RunE: func(*cobra.Command, []string) error { return runMap(s, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.config, "config", "", "configuration `FILE` (default: deployKF's defaults, for the domain "+deploykf.DefaultHostname+")")
	f.StringArrayVar(&o.cluster, "cluster", nil, "file or folder at `PATH` with the objects that are there; repeatable")
	f.StringVarP(&o.output, "output", "o", outputText, "`FORMAT` of the output: text or json")
	return cmd
}

func (o mapOptions) validate() error {
	if o.output != outputText && o.output != outputJSON {
		return fmt.Errorf("--output %q: use text or json", o.output)
	}
	if len(o.cluster) == 0 {
		return errors.New("no --cluster given: name files or folders with the objects that are there")
	}
	return nil
}

func runMap(s streams, o mapOptions) error {
	cfg, err := loadConfig(o.config)
	if err != nil {
		return failed(err)
	}
	there, err := readState(s, o.cluster)
	if err != nil {
		return failed(err)
	}
	out := report.Map{Undated: undated(there)}
	if len(out.Undated) > 0 {
		out.Notes = []string{"objects without a creationTimestamp count as created in the order in which they were read"}
	}
	c := newChecker(cfg, policy.Requester{}, there)
	out.Gateways = policy.NewEngine(cfg, rules.All()).World(c.snapshot).Maps()
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
