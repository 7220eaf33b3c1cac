package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/gatewarden/gatewarden/test/module"
)

// results are those of one run.
type results struct {
	Commit    string         `json:"commit"`
	Date      string         `json:"date"`
	Machine   machine        `json:"machine"`
	Door      []doorRow      `json:"door,omitempty"`
	Decisions []decisionRow  `json:"decisions,omitempty"`
	Hard      []decisionRow  `json:"hard,omitempty"`
	Events    []eventRow     `json:"events,omitempty"`
	Memory    []memoryRow    `json:"memory,omitempty"`
	Cluster   *clusterResult `json:"cluster,omitempty"`
	Files     []filesRow     `json:"files,omitempty"`
}

// machine is where a run took place.
type machine struct {
	CPU    string `json:"cpu"`
	CPUs   int    `json:"cpus"`
	Memory uint64 `json:"memory"`
	Go     string `json:"go"`
	System string `json:"system"`
}

func thisMachine() machine {
	m := machine{CPU: runtime.GOARCH, CPUs: runtime.NumCPU(), Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH}
	eachLine("/proc/cpuinfo", func(line string) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			m.CPU = strings.TrimSpace(value)
		}
	})
	eachLine("/proc/meminfo", func(line string) {
		var kib uint64
		if n, _ := fmt.Sscanf(line, "MemTotal: %d kB", &kib); n == 1 {
			m.Memory = kib << 10
		}
	})
	return m
}

// eachLine calls f for the lines of a file, if it is there.
func eachLine(path string, f func(string)) {
	data, err := os.ReadFile(path)
	if err != nil {
		return
	}
	for scanner := bufio.NewScanner(bytes.NewReader(data)); scanner.Scan(); {
		f(scanner.Text())
	}
}

// describeCommit names what is measured. A tree with changes is not the commit.
func describeCommit(ctx context.Context, root string) string {
	git := func(args ...string) string {
		cmd := exec.CommandContext(ctx, "git", args...)
		cmd.Dir = root
		out, err := cmd.Output()
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(out))
	}
	commit := git("rev-parse", "--short=12", "HEAD")
	// What is measured is the code; a run writes its own results, and the table of the README.
	if git("status", "--porcelain", "--", "*.go", "go.mod") != "" {
		commit += "-dirty"
	}
	return commit
}

// The files of a run, below test/bench/results, and where the README has its summary.
const (
	jsonFile  = "results.json"
	tableFile = "README.md"
	beginMark = "<!-- make bench: begin -->\n"
	endMark   = "<!-- make bench: end -->\n"
)

func resultsDir(root string) string { return filepath.Join(root, "test", "bench", "results") }

// write writes the results, and brings the tables made of them up to date.
func (r *results) write(ctx context.Context) error {
	root, err := module.Dir(ctx, module.Gatewarden)
	if err != nil {
		return err
	}
	dir := resultsDir(root)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, jsonFile), append(raw, '\n'), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, tableFile), []byte(r.table()), 0o644); err != nil {
		return err
	}
	path := filepath.Join(root, "README.md")
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, _, after, err := cutSummary(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, []byte(before+r.summary()+after), 0o644)
}

// cutSummary takes a README apart around its summary.
func cutSummary(text string) (before, summary, after string, err error) {
	before, rest, ok := strings.Cut(text, beginMark)
	summary, after, ended := strings.Cut(rest, endMark)
	if !ok || !ended {
		return "", "", "", fmt.Errorf("there is no %q with %q behind it", strings.TrimSpace(beginMark), strings.TrimSpace(endMark))
	}
	return before + beginMark, summary, endMark + after, nil
}

// summary is the table of the README: what was to be reached, and what was.
func (r *results) summary() string {
	var b strings.Builder
	b.WriteString("| | measured | aim |\n| --- | --- | --- |\n")
	row := func(what, measured, aim string) { fmt.Fprintf(&b, "| %s | %s | %s |\n", what, measured, aim) }
	for _, d := range r.Door {
		if d.Objects != largest(r.Door) {
			continue
		}
		what := fmt.Sprintf("request at %s objects, %s", count(d.Objects), connections(d.Connections))
		if d.Events > 0 {
			what += fmt.Sprintf(", %d events/s", d.Events)
		}
		row(what, fmt.Sprintf("p50 %s and p99 %s: %.2f and %.2f times a webhook that only says yes",
			short(d.Gatewarden.P50), short(d.Gatewarden.P99), d.P50Ratio, d.P99Ratio), "1.15, 1.5")
	}
	for _, d := range r.Decisions {
		if d.Change == headline {
			last := d.Costs[len(d.Costs)-1]
			row(fmt.Sprintf("decision about a VirtualService on the guarded gateway at %s objects", count(last.Objects)),
				fmt.Sprintf("%s, %d allocations; %.2f times that at %s", short(last.Time), last.Allocations, d.growth(), count(d.Costs[0].Objects)), "25 µs, 1.3")
		}
	}
	for _, e := range r.Events {
		if e.Objects == r.Events[len(r.Events)-1].Objects {
			row(fmt.Sprintf("watch event at %s objects", count(e.Objects)), fmt.Sprintf("%s, of which %s to publish", short(e.Decoded), short(e.Publish)), "")
		}
	}
	for _, m := range r.Memory {
		aim := ""
		if m.World == routesWorld {
			aim = "250 MiB"
		}
		row(fmt.Sprintf("memory for %s objects (%s)", count(m.Objects), m.World), fmt.Sprintf("%s resident when ready, %s under load; %d bytes for each object", mib(m.First), mib(m.Resident), m.HeapPerObject), aim)
	}
	if c := r.Cluster; c != nil {
		row(fmt.Sprintf("create in a real API server of %s objects", count(c.Objects)),
			fmt.Sprintf("%s, of which %s in the webhook; %s without gatewarden; %s with the ledger in the cluster",
				short(c.With.Request), short(c.With.Webhook), short(c.Without.Request), short(c.Ledger.Request)), "")
		row("requests that matchConditions keep from calling", percent(c.Spared, c.Spared+c.Asked), "")
		row(fmt.Sprintf("start until ready at %s objects", count(c.Objects)),
			fmt.Sprintf("%s, %.2f times a bare list", short(c.Ready), ratio(c.Ready, c.List)), "1.3")
	}
	for _, f := range r.Files {
		if f.Manifests == r.Files[len(r.Files)-1].Manifests {
			row(fmt.Sprintf("`%s` of %s manifests", f.Command, count(f.Manifests)), fmt.Sprintf("%s, %s", short(f.Time), mib(f.Resident)), "seconds")
		}
	}
	fmt.Fprintf(&b, "\n%s, of %s on %d CPUs (%s), %s; everything that is measured is in\n[test/bench/results](test/bench/results/README.md).\n",
		strings.TrimSuffix("Measured at "+r.Commit, " "), r.Date, r.Machine.CPUs, r.Machine.CPU, r.Machine.Go)
	return b.String()
}

// headline is the change of which the README tells, and routesWorld the world.
const (
	headline    = "virtualservice-allow"
	routesWorld = "ten VirtualServices to each Gateway"
)

// table is everything.
func (r *results) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Results of `make bench`\n\nCommit %s, %s, on %d CPUs (%s), %s memory, %s, %s.\n",
		r.Commit, r.Date, r.Machine.CPUs, r.Machine.CPU, mib(r.Machine.Memory), r.Machine.Go, r.Machine.System)
	section := func(title, text string, columns ...string) {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| %s |\n|%s\n", title, text, strings.Join(columns, " | "), strings.Repeat(" --- |", len(columns)))
	}
	row := func(cells ...any) {
		for _, c := range cells {
			fmt.Fprintf(&b, "| %v ", c)
		}
		b.WriteString("|\n")
	}
	if len(r.Door) > 0 {
		section("The door", "AdmissionReviews over HTTPS to a server in a process of its own, in turns with a handler on the same server\n"+
			"that decodes the review with encoding/json and says yes (the floor). Client and server share the CPUs; the\n"+
			"ledger is off, as it is unless it is asked for: see the cluster for what it costs.\n"+
			"Ratios are medians over the turns. With events, so many objects a second are decoded and published meanwhile.",
			"objects", "connections", "events/s", "handler", "requests/s", "p50", "p99", "p99.9", "p50 ratio", "p99 ratio")
		for _, d := range r.Door {
			row(count(d.Objects), d.Connections, d.Events, "floor", fmt.Sprintf("%.0f", d.Floor.PerSecond), short(d.Floor.P50), short(d.Floor.P99), short(d.Floor.P999), "", "")
			row(count(d.Objects), d.Connections, d.Events, "gatewarden", fmt.Sprintf("%.0f", d.Gatewarden.PerSecond), short(d.Gatewarden.P50), short(d.Gatewarden.P99), short(d.Gatewarden.P999),
				fmt.Sprintf("%.2f", d.P50Ratio), fmt.Sprintf("%.2f", d.P99Ratio))
		}
	}
	decisions := func(title, text string, rows []decisionRow) {
		if len(rows) == 0 {
			return
		}
		columns := []string{"change", "kind", "verdict"}
		for _, c := range rows[0].Costs {
			columns = append(columns, count(c.Objects))
		}
		section(title, text, append(columns, "allocations", "growth")...)
		for _, d := range rows {
			cells := []any{d.Change, d.Kind, d.Verdict}
			for _, c := range d.Costs {
				cells = append(cells, short(c.Time))
			}
			last := d.Costs[len(d.Costs)-1]
			row(append(cells, fmt.Sprintf("%d (%d bytes)", last.Allocations, last.Bytes), fmt.Sprintf("%.2f", d.growth()))...)
		}
	}
	decisions("The decision", "One change judged by all rules, at so many objects, half of which are routes on the guarded gateway.", r.Decisions)
	decisions("The worst honest decisions", "Worlds in which all objects are what the change is about.", r.Hard)
	if len(r.Events) > 0 {
		section("Watch events", "An object that is there already comes again: its new snapshot is published, and decoded before.",
			"objects", "decoded and published", "published", "allocations")
		for _, e := range r.Events {
			row(count(e.Objects), short(e.Decoded), short(e.Publish), e.Allocations)
		}
	}
	if len(r.Memory) > 0 {
		section("Memory", "Of a server of its own that has answered requests while events came in.",
			"world", "objects", "resident at first", "resident", "heap", "heap per object", "longest pause", "collections")
		for _, m := range r.Memory {
			row(m.World, count(m.Objects), mib(m.First), mib(m.Resident), mib(m.Heap), fmt.Sprintf("%d bytes", m.HeapPerObject), short(m.LongestPause), m.Collections)
		}
	}
	if c := r.Cluster; c != nil {
		section("The cluster", "By the metrics of a real API server, for objects of all kinds created one after another: how long a request\n"+
			"takes, and how long it waits for gatewarden where that is asked. With its ledger in the cluster, as deploy/ has\n"+
			"it, gatewarden writes to the same API server before it admits what could be in another one's way.",
			"objects", "requests", "side", "request", "webhook")
		for _, side := range []struct {
			name string
			cost apiserverCost
		}{{"without gatewarden", c.Without}, {"with gatewarden", c.With}, {"with its ledger, too", c.Ledger}} {
			row(count(c.Objects), count(c.Requests), side.name, short(side.cost.Request), short(side.cost.Webhook))
		}
		fmt.Fprintf(&b, "\nOf %d times that a webhook's rules matched a request, a matchCondition kept the API server from asking %d times (%s).\n"+
			"A bare list of all kinds takes %s, and gatewarden %s from its start until it is ready, with %s resident.\n",
			c.Asked+c.Spared, c.Spared, percent(c.Spared, c.Asked+c.Spared), short(c.List), short(c.Ready), mib(c.Resident))
	}
	if len(r.Files) > 0 {
		section("Manifests", "The command from its start to its end, over YAML files of a hundred objects each.", "command", "manifests", "time", "time per manifest", "resident")
		for _, f := range r.Files {
			row("`"+f.Command+"`", count(f.Manifests), short(f.Time), short(f.Time/time.Duration(f.Manifests)), mib(f.Resident))
		}
	}
	return b.String()
}

func largest(rows []doorRow) int {
	n := 0
	for _, d := range rows {
		n = max(n, d.Objects)
	}
	return n
}

// count writes a number with commas.
func count(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func connections(n int) string {
	if n == 1 {
		return "1 connection"
	}
	return fmt.Sprintf("%d connections", n)
}

// short writes a duration with three digits.
func short(d time.Duration) string {
	switch {
	case d < 10*time.Microsecond:
		return fmt.Sprintf("%.2f µs", d.Seconds()*1e6)
	case d < 100*time.Microsecond:
		return fmt.Sprintf("%.1f µs", d.Seconds()*1e6)
	case d < time.Millisecond:
		return fmt.Sprintf("%.0f µs", d.Seconds()*1e6)
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.2f ms", d.Seconds()*1e3)
	case d < 100*time.Millisecond:
		return fmt.Sprintf("%.1f ms", d.Seconds()*1e3)
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", d.Seconds()*1e3)
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

func mib(bytes uint64) string { return fmt.Sprintf("%d MiB", (bytes+1<<19)>>20) }

func percent(part, of uint64) string {
	if of == 0 {
		return "none of 0"
	}
	return fmt.Sprintf("%.0f%% of %d", 100*float64(part)/float64(of), of)
}
