package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version and commit are set by the build, see LDFLAGS in the Makefile. Without it, as with
// "go install", the build information that the Go tool embeds stands in.
var version, commit string

func newVersionCommand(s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version, the commit and the Go version of this build",
		Args:  noArguments,
		RunE: func(*cobra.Command, []string) error {
			v, c := buildVersion()
			if _, err := fmt.Fprintf(s.Out, "%s %s\ncommit: %s\ngo: %s %s/%s\n",
				name, v, c, runtime.Version(), runtime.GOOS, runtime.GOARCH); err != nil {
				return failed(fmt.Errorf("standard output: %w", err))
			}
			return nil
		},
	}
}

// buildVersion returns the version and the commit of this build, "unknown" for what nobody
// recorded.
func buildVersion() (v, c string) {
	v, c = version, commit
	if info, ok := debug.ReadBuildInfo(); ok {
		if v == "" {
			v = info.Main.Version // "(devel)" for a build from a checkout
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && c == "" {
				c = s.Value
			}
		}
	}
	if v == "" {
		v = "unknown"
	}
	if c == "" {
		c = "unknown"
	}
	return v, c
}
