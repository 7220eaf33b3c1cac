// Command istio asks Istio's own code what it makes of worlds, and compares gatewarden's
// verdicts on changes to them with what is done to others.
//
//	go run . -n 1000 -seed 1        random worlds, the same for each seed
//	go run . -replay DIR            recorded worlds, and what was seen of them
//
// A world is a cluster in small: the owner's Gateways and routes, those of tenants, and the
// Services before the gateway. Istio translates it before the change and after it, for
// several orders of the objects' ages; what Envoy makes of the result is modelled here. A
// change is harmful if a request, a listener or a mode that was somebody else's is no longer,
// and gatewarden has to deny it exactly then. See judge.go for what else it denies on purpose.
//
// It exits with 0 if all agree, with 1 if any disagree, and with 2 if it could not run.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"

	"istio.io/istio/pkg/log"

	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/policy"
)

// shuffles is how many orders of ages are drawn beside the ones that are always tried.
const shuffles = 2

func main() {
	replay := flag.String("replay", "", "folder of recorded worlds, in place of random ones")
	n := flag.Int("n", 1000, "number of random worlds")
	seed := flag.Uint64("seed", 1, "seed of the random worlds")
	flag.Parse()
	quiet()
	run := func(out io.Writer) (bool, error) { return random(out, *seed, *n) }
	if *replay != "" {
		run = func(out io.Writer) (bool, error) { return recordings(out, *replay) }
	}
	agrees, err := run(os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "istio:", err)
		os.Exit(2)
	}
	if !agrees {
		os.Exit(1)
	}
}

// quiet keeps Istio's code from logging what it drops: that is the point here.
func quiet() {
	for _, s := range log.Scopes() {
		s.SetOutputLevel(log.NoneLevel)
	}
}

// comparison is what both say of one world.
type comparison struct {
	world    *world
	decision policy.Decision
	harms    []harm
}

// compare asks both for their verdict.
func compare(w *world) (comparison, error) {
	cfg := deploykf.Default()
	d, err := decide(w, cfg)
	if err != nil {
		return comparison{}, err
	}
	harms, err := newJudge(w, cfg).harms(shuffles)
	return comparison{w, d, harms}, err
}

func (c comparison) agrees() bool { return c.decision.Denied() == (len(c.harms) > 0) }

// write tells all about a comparison, with the world in the format that -replay reads.
func (c comparison) write(out io.Writer) error {
	const most = 4
	data, err := c.world.write()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\n# gatewarden denies: %v; Istio's behaviour asks for it: %v\n", c.decision.Denied(), len(c.harms) > 0)
	for _, f := range c.decision.Findings {
		fmt.Fprintf(out, "# gatewarden: %s %s\n", f.Effect, f)
	}
	for i, h := range c.harms {
		if i == most {
			fmt.Fprintf(out, "# Istio: %d more\n", len(c.harms)-most)
			break
		}
		when := "in another order of ages"
		if h.now {
			when = "now"
		}
		fmt.Fprintf(out, "# Istio, %s: %s\n", when, h.what)
	}
	_, err = out.Write(data)
	return err
}

// tally counts the comparisons of one kind of change.
type tally struct{ denied, allowed, missed, excessive int }

// table writes the tallies and reports whether nothing disagrees.
func table(out io.Writer, tallies map[string]*tally, broken int) (bool, error) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "CHANGE\tBOTH DENY\tBOTH ALLOW\tWRONGLY ALLOWED\tWRONGLY DENIED")
	agrees := true
	for _, k := range sortedKeys(tallies) {
		t := tallies[k]
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\n", k, t.denied, t.allowed, t.missed, t.excessive)
		agrees = agrees && t.missed == 0 && t.excessive == 0
	}
	if broken > 0 {
		fmt.Fprintf(w, "passed over: the proxy refuses a port before the change\t%d\n", broken)
	}
	return agrees, w.Flush()
}

func (t *tally) count(c comparison) {
	switch denied, harmful := c.decision.Denied(), len(c.harms) > 0; {
	case denied && harmful:
		t.denied++
	case denied:
		t.excessive++
	case harmful:
		t.missed++
	default:
		t.allowed++
	}
}

// random compares random worlds and writes those that disagree, made as small as they go.
func random(out io.Writer, seed uint64, n int) (bool, error) {
	tallies := map[string]*tally{}
	skipped := 0
	for i := range n {
		w, err := newGenerator(seed, uint64(i)).world(fmt.Sprintf("seed-%d-%d", seed, i))
		if err != nil {
			return false, fmt.Errorf("world %d: %w", i, err)
		}
		if broken, err := w.broken(); err != nil {
			return false, fmt.Errorf("world %d: %w", i, err)
		} else if broken {
			skipped++
			continue
		}
		c, err := compare(w)
		if err != nil {
			return false, fmt.Errorf("world %d: %w", i, err)
		}
		kind := w.operation() + " " + w.changed().kind
		if tallies[kind] == nil {
			tallies[kind] = &tally{}
		}
		tallies[kind].count(c)
		if c.agrees() {
			continue
		}
		denied := c.decision.Denied()
		smallest := shrink(w, func(w *world) bool {
			broken, err := w.broken()
			if err != nil || broken {
				return false
			}
			c, err := compare(w)
			return err == nil && !c.agrees() && c.decision.Denied() == denied
		})
		if c, err = compare(smallest); err != nil {
			return false, err
		}
		if err := c.write(out); err != nil {
			return false, err
		}
	}
	return table(out, tallies, skipped)
}

// broken reports whether the proxy refuses a listener before the change, in any order of
// ages: there is nothing left to harm then.
func (w *world) broken() (bool, error) {
	for _, o := range w.orders(shuffles) {
		s, err := newSide(o.before, w.pods)
		if err != nil {
			return false, err
		}
		for _, listeners := range s.proxy.listeners {
			for _, l := range listeners {
				if l.refused != "" {
					return true, nil
				}
			}
		}
	}
	return false, nil
}

// recordings replays a folder of recorded worlds. What was recorded about them was seen in
// another version of Istio, by other means: it tells whether this command sees the same.
func recordings(out io.Writer, dir string) (bool, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return false, err
	}
	if len(files) == 0 {
		return false, fmt.Errorf("%s: no *.yaml files; name a folder that holds some", dir)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tRECORDED\tSEEN\tOUTCOME\tGATEWARDEN\t")
	agrees := true
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return false, err
		}
		r, err := readWorld(data)
		if err != nil {
			fmt.Fprintf(w, "%s\t%v\n", filepath.Base(f), err)
			continue
		}
		if !r.changed().judged() {
			fmt.Fprintf(w, "%s\t%s\tnot judged here\n", r.id, r.recorded.effect)
			continue
		}
		c, err := compare(r)
		if err != nil {
			return false, fmt.Errorf("%s: %w", f, err)
		}
		verdict, note := "allow", ""
		if c.decision.Denied() {
			verdict = "deny"
		}
		if !c.agrees() || (r.recorded.outcome == "deny") != (len(c.harms) > 0) {
			agrees, note = false, "DISAGREES"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", r.id, r.recorded.effect, c.effect(), r.recorded.outcome, verdict, note)
	}
	return agrees, w.Flush()
}

// judged reports whether changes of an object are judged here: those that Istio reads as they
// are, or as a Service.
func (o *object) judged() bool { return o.config != nil || o.service != nil }

// effect sums harms up as recordings do.
func (c comparison) effect() string {
	for _, h := range c.harms {
		if h.now {
			return "immediate"
		}
	}
	if len(c.harms) > 0 {
		return "latent"
	}
	return "none"
}
