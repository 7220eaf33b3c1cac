package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os/signal"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"

	"github.com/gatewarden/gatewarden/pkg/ledgerstore"
)

type ledgerCommandOptions struct {
	onceOptions
	namespace string
	lifetime  time.Duration
}

func newLedgerCommand(s streams) *cobra.Command {
	var o ledgerCommandOptions
	cmd := &cobra.Command{
		Use:   "ledger [flags]",
		Short: "Show which changes are on their way",
		Long: "ledger shows the changes that a cluster's gatewarden has admitted or is about to, in their order: what is\n" +
			"changed, by whom, which replica judged it, and until when it is held against others at the latest. It is held\n" +
			"no longer than until it is stored; a change that is refused is gone from the list at once.\n\n" +
			"It exits with 0 when it could look, whatever it found, and with 2 when it could not.",
		Example: "  # Who has the host that I am refused for now?\n" +
			"  gatewarden ledger",
		Args: func(cmd *cobra.Command, args []string) error {
			if err := noArguments(cmd, args); err != nil {
				return err
			}
			return o.validate()
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), endSignals()...)
			defer stop()
			if err := runLedger(ctx, s, o); err != nil {
				return failed(err)
			}
			return nil
		},
	}
	o.bindCluster(cmd)
	f := cmd.Flags()
	f.StringVar(&o.namespace, "namespace", name, "`NAMESPACE` of gatewarden")
	f.DurationVar(&o.lifetime, "ledger-lifetime", ledgerstore.DefaultLifetime, "what \"serve\" was given")
	return cmd
}

func runLedger(ctx context.Context, s streams, o ledgerCommandOptions) error {
	client, err := o.client()
	if err != nil {
		return err
	}
	store, err := ledgerstore.NewConfigMaps(client, o.namespace)
	if err != nil {
		return fmt.Errorf("%s: %w", client.Host, err)
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	entries, err := store.List(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", client.Host, err)
	}
	if err := printLedger(s.Out, entries, o.lifetime); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}

// printLedger prints entries in their order.
func printLedger(out io.Writer, entries []corev1.ConfigMap, lifetime time.Duration) error {
	if len(entries) == 0 {
		_, err := fmt.Fprintln(out, "no changes are on their way")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	lines := []string{"UNTIL\tOPERATION\tOBJECT\tREQUESTER\tREPLICA"}
	type line struct {
		order uint64
		text  string
	}
	var found []line
	for i := range entries {
		r, err := ledgerstore.Decode(&entries[i])
		if err != nil {
			return err
		}
		object := r.Key.String()
		if r.Unreadable != "" {
			object = "cannot be read: " + r.Unreadable
		}
		until := entries[i].CreationTimestamp.Add(lifetime).UTC().Format("15:04:05")
		found = append(found, line{uint64(r.Revision), strings.Join([]string{until, string(r.Operation), object, r.Requester, r.Replica}, "\t")})
	}
	slices.SortFunc(found, func(a, b line) int { return cmp.Compare(a.order, b.order) })
	for _, f := range found {
		lines = append(lines, f.text)
	}
	if _, err := fmt.Fprintln(w, strings.Join(lines, "\n")); err != nil {
		return err
	}
	return w.Flush()
}
