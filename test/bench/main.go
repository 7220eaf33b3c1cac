// Program bench measures what gatewarden costs, and how that grows with the cluster: a request
// against one that is only read and allowed, a decision, a watch event, memory, what a real API
// server says, and the commands over manifests. It writes what it found to test/bench/results, and
// the table of the README.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-logr/logr"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/gatewarden/gatewarden/test/module"
	"github.com/gatewarden/gatewarden/test/worlds"
)

// seed is that of all worlds.
const seed = 1

// serverCommand makes this program a server: see serveAlone.
const serverCommand = "server"

// options say how much is measured.
type options struct {
	only      string
	sizes     string
	pace      pace
	slice     time.Duration
	cluster   int
	manifests string
	write     bool
}

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	if len(args) > 0 && args[0] == serverCommand {
		return serveAlone(args[1:])
	}
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&o.only, "only", "door,decision,state,cluster,files", "the `SECTIONS` to measure")
	f.StringVar(&o.sizes, "sizes", "100,1000,10000,100000", "the `NUMBERS` of objects, rising")
	f.IntVar(&o.pace.turns, "turns", 10, "how often each handler is asked")
	f.DurationVar(&o.pace.turn, "turn", 500*time.Millisecond, "how long each handler is asked in its turn")
	f.DurationVar(&o.slice, "slice", 20*time.Millisecond, "how long one decision is repeated in each of its turns")
	f.IntVar(&o.cluster, "cluster-objects", 10_000, "the `NUMBER` of objects in the API server")
	f.StringVar(&o.manifests, "manifests", "1000,2000,5000,10000", "the `NUMBERS` of manifests, rising")
	f.BoolVar(&o.write, "write", false, "write the results, and the table of the README")
	if err := f.Parse(args); err != nil {
		return err
	}
	sizes, err := numbers(o.sizes)
	if err != nil {
		return fmt.Errorf("-sizes: %w", err)
	}
	manifests, err := numbers(o.manifests)
	if err != nil {
		return fmt.Errorf("-manifests: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctrllog.SetLogger(logr.Discard())
	root, err := module.Dir(ctx, module.Gatewarden)
	if err != nil {
		return err
	}
	r := &results{Commit: describeCommit(ctx, root), Date: time.Now().UTC().Format(time.DateOnly), Machine: thisMachine()}
	for _, section := range []struct {
		name    string
		measure func() error
	}{
		{"door", func() (err error) { r.Door, err = measureDoors(ctx, sizes, o.pace); return err }},
		{"decision", func() error {
			r.Decisions, r.Hard = measureDecisions(sizes, o.slice), measureHard(sizes, o.slice)
			return nil
		}},
		{"state", func() (err error) {
			r.Events = measureEvents(sizes, o.slice)
			r.Memory, err = measureMemory(ctx, sizes[len(sizes)-1], o.pace)
			return err
		}},
		{"cluster", func() error {
			c, err := measureCluster(ctx, o.cluster, 500, 3)
			r.Cluster = &c
			return err
		}},
		{"files", func() (err error) { r.Files, err = measureFiles(ctx, manifests); return err }},
	} {
		if !slices.Contains(strings.Split(o.only, ","), section.name) {
			continue
		}
		begin := time.Now()
		if err := section.measure(); err != nil {
			return fmt.Errorf("%s: %w", section.name, err)
		}
		fmt.Fprintf(os.Stderr, "%s: measured in %s\n", section.name, time.Since(begin).Round(time.Second))
	}
	if _, err := io.WriteString(out, r.table()); err != nil {
		return err
	}
	if o.write {
		return r.write(ctx)
	}
	return nil
}

// numbers reads a list of numbers.
func numbers(text string) ([]int, error) {
	var out []int
	for _, t := range strings.Split(text, ",") {
		n, err := strconv.Atoi(t)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q: use numbers with commas between them", text)
		}
		out = append(out, n)
	}
	return out, nil
}

func shapeArgs(s worlds.Shape) []string {
	mix := "ordinary"
	if s.Mix == worlds.RoutesOnly {
		mix = "routes"
	}
	return []string{strconv.Itoa(s.Objects), strconv.FormatUint(s.Seed, 10), mix}
}

func parseShape(args []string) (worlds.Shape, error) {
	var s worlds.Shape
	if len(args) != 3 {
		return s, fmt.Errorf("%s: want OBJECTS SEED MIX", serverCommand)
	}
	var err error
	if s.Objects, err = strconv.Atoi(args[0]); err != nil {
		return s, err
	}
	if s.Seed, err = strconv.ParseUint(args[1], 10, 64); err != nil {
		return s, err
	}
	if args[2] == "routes" {
		s.Mix = worlds.RoutesOnly
	}
	return s, nil
}
