package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
)

func newRulesCommand(s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "rules [ID]",
		Short: "List the rules, or explain one",
		Example: "  # All rules\n  gatewarden rules\n\n" +
			"  # What a finding means and how to fix it\n  gatewarden rules " + rules.All()[0].ID,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fmt.Errorf("rules explains one rule at a time, but got %d: %s", len(args), strings.Join(args, ", "))
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			all := rules.All()
			if len(args) == 0 {
				return ruleTable(s.Out, all)
			}
			r, err := findRule(all, args[0])
			if err != nil {
				return failed(err)
			}
			if _, err := fmt.Fprintln(s.Out, strings.TrimSpace(r.Page)); err != nil {
				return failed(fmt.Errorf("standard output: %w", err))
			}
			return nil
		},
	}
}

func ruleTable(out io.Writer, all []*policy.Rule) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tEFFECT\tKINDS\tSUMMARY")
	for _, r := range all {
		kinds := make([]string, 0, len(r.Kinds))
		for _, k := range r.Kinds {
			kinds = append(kinds, string(k))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.ID, r.Name, r.Effect, strings.Join(kinds, ","), r.Summary)
	}
	if err := w.Flush(); err != nil {
		return failed(fmt.Errorf("standard output: %w", err))
	}
	return nil
}

// findRule finds a rule by ID or name, in any letter case.
func findRule(all []*policy.Rule, want string) (*policy.Rule, error) {
	for _, r := range all {
		if strings.EqualFold(r.ID, want) || strings.EqualFold(r.Name, want) {
			return r, nil
		}
	}
	hint := ""
	if like := similarRules(all, want); len(like) > 0 {
		hint = "did you mean " + strings.Join(like, " or ") + "? "
	}
	return nil, fmt.Errorf("no rule %q: %srun %q for the list", want, hint, name+" rules")
}

// similarRules names the rules of the family that an ID belongs to, or those that share a
// word with a name.
func similarRules(all []*policy.Rule, want string) []string {
	const family = len("GWD1")
	words := strings.Split(strings.ToLower(want), "-")
	var out []string
	for _, r := range all {
		if len(want) >= family && strings.HasPrefix(r.ID, strings.ToUpper(want[:family])) {
			out = append(out, r.ID)
			continue
		}
		if slices.ContainsFunc(strings.Split(r.Name, "-"), func(w string) bool { return slices.Contains(words, w) }) {
			out = append(out, r.Name)
		}
	}
	return out
}
