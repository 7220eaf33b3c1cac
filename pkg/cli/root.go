// Package cli is the gatewarden command: flags, wiring and exit codes. It is the only
// package that sees both where a model comes from and where findings go.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// The exit codes. Scripts tell "something is wrong with my objects" from "nothing was
// judged" by them, so no failure to run may ever look like a verdict.
const (
	exitAllowed = 0 // nothing was denied
	exitDenied  = 1 // something was denied
	exitFailed  = 2 // could not run: usage, unreadable or undecodable input
)

// name is the name of the command in its messages.
const name = "gatewarden"

// streams are what a command reads and writes, so that tests need no process.
type streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// exitError ends the process with a code. Its err is told on standard error; with none,
// the command has said everything itself.
type exitError struct {
	code int
	err  error
}

func (e exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

func (e exitError) Unwrap() error { return e.err }

// failed is the error of a command that could not run for another reason than its usage.
func failed(err error) error { return exitError{exitFailed, err} }

// Main runs the command with args, which do not include the program's name, and returns
// the exit code: 0 when nothing was denied, 1 when something was, 2 when the command could
// not run. Errors go to err, one line each.
func Main(args []string, in io.Reader, out, err io.Writer) int {
	s := streams{in, out, err}
	root := newRootCommand(s)
	root.SetArgs(args)
	if len(args) == 0 {
		root.SetOut(s.Err)
		_ = root.Help() // the exit code says "could not run" already
		return exitFailed
	}
	cmd, e := root.ExecuteC()
	if e == nil {
		return exitAllowed
	}
	if x, ok := asExit(e); ok {
		if x.err != nil {
			complain(s.Err, x.err)
		}
		return x.code
	}
	// Whatever else cobra returns is about the command line.
	if _, _, unknown := root.Find(args); unknown != nil {
		e = unknownCommand(root, args)
	}
	complain(s.Err, e)
	fmt.Fprintf(s.Err, "Run %q for usage.\n", cmd.CommandPath()+" --help")
	return exitFailed
}

// newRootCommand assembles the command. Nothing is registered globally: two commands in
// one process, as in tests, share no state.
func newRootCommand(s streams) *cobra.Command {
	root := &cobra.Command{
		Use:   name,
		Short: "Protects a shared Istio gateway from conflicting objects",
		Long: "gatewarden refuses Istio objects that would take something away from a shared gateway:\n" +
			"a listener, a host, a route, or the mutual TLS of what it serves.",
		SilenceUsage:       true,
		SilenceErrors:      true,
		DisableSuggestions: true, // cobra's take several lines; see unknownCommand
	}
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	root.AddCommand(newServeCommand(s), newCheckCommand(s), newAuditCommand(s), newMapCommand(s), newLedgerCommand(s), newConfigCommand(s), newRulesCommand(s), newWebhooksCommand(s), newVersionCommand(s))
	return root
}

// asExit finds the exitError in an error, whether it was returned by value or by pointer.
func asExit(e error) (exitError, bool) {
	var value exitError
	if errors.As(e, &value) {
		return value, true
	}
	var pointer *exitError
	if errors.As(e, &pointer) {
		return *pointer, true
	}
	return value, false
}

// complain writes one line for each error that e joins. A line that an error brings along
// is folded into one, because people and log collectors read errors by the line.
func complain(w io.Writer, e error) {
	if joined, ok := e.(interface{ Unwrap() []error }); ok {
		var lines []string
		for _, each := range joined.Unwrap() {
			lines = append(lines, each.Error())
		}
		// errors.Join makes lines of them; fmt.Errorf with several %w makes one sentence.
		if e.Error() == strings.Join(lines, "\n") {
			for _, each := range joined.Unwrap() {
				complain(w, each)
			}
			return
		}
	}
	fmt.Fprintf(w, "%s: %s\n", name, strings.Join(strings.Fields(e.Error()), " "))
}

// unknownCommand names the command that does not exist, and the ones it resembles.
func unknownCommand(root *cobra.Command, args []string) error {
	// The root has no flag that takes a value, so the first word is the command.
	i := slices.IndexFunc(args, func(a string) bool { return !strings.HasPrefix(a, "-") })
	if i < 0 {
		return errors.New("no command given")
	}
	root.SuggestionsMinimumDistance = 2
	if like := root.SuggestionsFor(args[i]); len(like) > 0 {
		return fmt.Errorf("unknown command %q: did you mean %s?", args[i], strings.Join(like, " or "))
	}
	return fmt.Errorf("unknown command %q", args[i])
}

// noArguments refuses arguments with a sentence instead of cobra's "unknown command".
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no arguments, but got %q", cmd.Name(), args[0])
	}
	return nil
}

// flagsOnly refuses arguments, and what a command's flags say wrongly.
func flagsOnly(validate func() error) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := noArguments(cmd, args); err != nil {
			return err
		}
		return validate()
	}
}

// untilSignal runs a command until it ends or a signal asks it to. From the first signal on, the
// next one ends the process.
func untilSignal(run func(ctx context.Context) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		ctx, stop := signal.NotifyContext(cmd.Context(), endSignals()...)
		defer stop()
		context.AfterFunc(ctx, stop)
		return run(ctx)
	}
}

// colorful reports whether w is a terminal whose user wants colour: not with a non-empty
// NO_COLOR (https://no-color.org) or on a dumb terminal.
func colorful(w io.Writer) bool { return os.Getenv("NO_COLOR") == "" && terminal(w) }
