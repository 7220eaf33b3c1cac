package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/spf13/cobra"
	jsondiff "gomodules.xyz/jsonpatch/v2"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/decode"
	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/manifest"
	"github.com/gatewarden/gatewarden/pkg/mutate"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
	"github.com/gatewarden/gatewarden/pkg/report"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
)

type checkOptions struct {
	config    string
	cluster   []string
	requester policy.Requester
	delete    bool
	output    string
}

func newCheckCommand(s streams) *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use:   "check [flags] PATH...",
		Short: "Judge manifests as if they were applied, without a cluster",
		Long: "check judges the objects of files, folders and standard input (-) one after another, as if they\n" +
			"were applied in that order. Each one that is accepted is there for those after it.\n\n" +
			"It exits with 0 when nothing was denied, 1 when something was, 2 when it could not run.",
		Example: "  # A new team's objects, beside what the cluster holds\n" +
			"  gatewarden check --cluster exported/ team/\n\n" +
			"  # What Helm renders\n" +
			"  helm template ./chart | gatewarden check --cluster exported/ -\n\n" +
			"  # Would taking this away hurt?\n" +
			"  gatewarden check --cluster exported/ --delete policy.yaml",
		Args: func(_ *cobra.Command, paths []string) error { return o.validate(paths) },
		RunE: func(_ *cobra.Command, paths []string) error { return runCheck(s, o, paths) },
	}
	f := cmd.Flags()
	f.StringVar(&o.config, "config", "", "configuration `FILE` (default: deployKF's defaults, for the domain "+deploykf.DefaultHostname+")")
	f.StringArrayVar(&o.cluster, "cluster", nil, "file or folder at `PATH` with objects that are there already; repeatable")
	f.StringVar(&o.requester.Name, "user", "", "`NAME` of the user who applies the objects")
	f.StringArrayVar(&o.requester.Groups, "group", nil, "`GROUP` of the user; repeatable")
	f.BoolVar(&o.delete, "delete", false, "judge the deletion of the objects")
	bindOutput(cmd, &o.output)
	return cmd
}

func (o checkOptions) validate(paths []string) error {
	if err := validateOutput(o.output); err != nil {
		return err
	}
	if len(paths) == 0 {
		return errors.New("no PATH given: name files or folders with the objects to judge, or - for standard input")
	}
	n := 0
	for _, p := range append(slices.Clone(o.cluster), paths...) {
		if p == manifest.Stdin {
			n++
		}
	}
	if n > 1 {
		return errors.New("- is given more than once: standard input can be read only once")
	}
	return nil
}

// runCheck judges everything before it writes anything, so that a program never reads half
// an answer.
func runCheck(s streams, o checkOptions, paths []string) error {
	cfg, err := loadConfig(o.config)
	if err != nil {
		return failed(err)
	}
	there, err := readState(s, o.cluster)
	if err != nil {
		return failed(err)
	}
	candidates, err := manifest.Read(paths, s.In)
	if err != nil {
		return failed(err)
	}
	c := newChecker(cfg, o.requester, there)
	c.report.Notes = configurationNotes(cfg)
	far := newProgress(s.Err)
	for i, d := range candidates {
		far.tell("judging objects", i, len(candidates))
		if err := c.judge(d, o.delete); err != nil {
			far.end()
			return failed(fmt.Errorf("%s:%d: %w", d.File, d.Line, err))
		}
	}
	far.end()
	if err := writeReport(s.Out, c.report, o.output); err != nil {
		return failed(fmt.Errorf("standard output: %w", err))
	}
	if c.report.Denied() {
		return exitError{code: exitDenied}
	}
	return nil
}

func readState(s streams, paths []string) ([]manifest.Document, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	return manifest.Read(paths, s.In)
}

// loadConfig reads the configuration at a path, or makes the default one for no path, as it
// counts now.
func loadConfig(path string) (*config.Configuration, error) {
	if path == "" {
		return deploykf.Default().AsOf(time.Now()), nil
	}
	data, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("--config %s: %w; name a readable file, or leave --config out for deployKF's defaults", path, err)
	}
	cfg, err := rules.Load(data, path)
	if err != nil {
		return nil, err
	}
	return cfg.AsOf(time.Now()), nil
}

// configurationNotes are what is to be known of a configuration by which everything is judged.
func configurationNotes(cfg *config.Configuration) []string {
	return slices.Concat(rules.Openings(cfg), cfg.Expired())
}

// readFile reads a file. The error does not repeat the path.
func readFile(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if cause := (*fs.PathError)(nil); errors.As(err, &cause) {
		err = cause.Err
	}
	return data, err
}

// epoch is the age of the first object of a state in which nothing tells its age. Only the
// order of ages has a meaning, and a fixed start keeps runs equal.
var epoch = time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)

// checker judges objects one after another, each in the world that those before it left.
type checker struct {
	engine    *policy.Engine
	requester policy.Requester
	snapshot  *state.Snapshot
	// youngest is the latest creation time seen. Istio settles clashes by age, so an object
	// without a creation time becomes a second younger than everything before it: the order
	// of reading is the order of application.
	youngest time.Time
	// named counts the names that were made up for objects with a generateName.
	named  int
	report report.Report
}

func newChecker(cfg *config.Configuration, requester policy.Requester, there []manifest.Document) *checker {
	c := &checker{engine: policy.NewEngine(cfg, rules.All()), requester: requester, youngest: epoch}
	w := state.NewWriter()
	c.snapshot = w.Snapshot()
	for _, d := range there {
		if d.Object == nil {
			continue
		}
		c.store(d.Object, c.snapshot.Get(d.Object.Key()))
		w.Apply(d.Object)
		c.snapshot = w.Snapshot()
	}
	return c
}

// judge judges one candidate, and lets it take effect if it is not denied.
func (c *checker) judge(d manifest.Document, remove bool) error {
	object := report.Object{
		APIVersion: d.APIVersion, Kind: d.KindName, Namespace: d.Namespace, Name: d.Name, File: d.File, Line: d.Line,
	}
	// A deletion names its object, so one that only has a generateName is not deleted.
	if d.Object == nil || remove && d.Object.GetMeta().Name == "" {
		c.report.PassedOver = append(c.report.PassedOver, object)
		return nil
	}
	object.Display = d.Object.GetMeta().DisplayName()
	verdict := c.apply
	if remove {
		verdict = c.remove
	}
	decision, err := verdict(d)
	if err != nil {
		return err
	}
	decision.Object = object
	c.report.Decisions = append(c.report.Decisions, decision)
	return nil
}

// apply judges a candidate as a create, or as an update of what has its key.
func (c *checker) apply(d manifest.Document) (report.Decision, error) {
	var none report.Decision
	raw, patch, err := c.mutate(d)
	if err != nil {
		return none, err
	}
	// What is judged is the file, so that the report says what it lacks; what joins the
	// state is what the API server would store.
	candidate, err := decode.Object(d.API, d.Raw)
	if err != nil {
		return none, err
	}
	change := policy.Change{Operation: policy.Create, New: candidate}
	if old := c.stored(candidate); old != nil {
		change.Operation, change.Old = policy.Update, old
		// creationTimestamp is immutable (ValidateObjectMetaAccessorUpdate in apimachinery's
		// pkg/api/validation/objectmeta.go).
		candidate.GetMeta().Created = old.GetMeta().Created
	}
	c.classify(candidate, change.Old)
	out := report.Decision{Operation: change.Operation, Patch: patch, Decision: c.decide(change)}
	if out.Denied() {
		return out, nil
	}
	// The engine has seen the candidate, and what it has seen must not change any more.
	joining, err := decode.Object(d.API, raw)
	if err != nil {
		return none, err
	}
	c.classify(joining, change.Old)
	c.store(joining, change.Old)
	c.snapshot = c.snapshot.With(joining)
	return out, nil
}

// classify gives an Ingress that names no class the one that the API server gives it: the default
// one to a new Ingress, the youngest if there are several (plugin/pkg/admission/network/
// defaultingressclass in k8s.io/kubernetes), and an apply leaves a stored one the class it has.
func (c *checker) classify(o, old resource.Object) {
	i, ok := o.(*resource.Ingress)
	if !ok || i.ClassName != nil || i.ClassAnnotation != nil {
		return
	}
	if was, ok := old.(*resource.Ingress); ok {
		i.ClassName = was.ClassName
		return
	}
	var class *resource.IngressClass
	c.snapshot.Each(resource.KindIngressClass, "", func(o resource.Object) bool {
		if x := o.(*resource.IngressClass); x.Default && (class == nil || x.Created.After(class.Created)) {
			class = x
		}
		return true
	})
	if class != nil {
		i.ClassName = &class.Name
	}
}

// remove judges the deletion of a candidate. One that the state does not hold is judged as
// it is written: its author says that it exists.
func (c *checker) remove(d manifest.Document) (report.Decision, error) {
	old := c.stored(d.Object)
	if old == nil {
		old = d.Object
	}
	out := report.Decision{Operation: policy.Delete, Decision: c.decide(policy.Change{Operation: policy.Delete, Old: old})}
	if !out.Denied() {
		c.snapshot = c.snapshot.Without(d.Object.Key())
	}
	return out, nil
}

func (c *checker) decide(change policy.Change) policy.Decision {
	change.Requester = c.requester
	return c.engine.Decide(c.snapshot, change)
}

// stored returns what the state holds under the object's key, or nil. An object without a
// name is new each time.
func (c *checker) stored(o resource.Object) resource.Object {
	if o.GetMeta().Name == "" {
		return nil
	}
	return c.snapshot.Get(o.Key())
}

// store gives an object what the API server gives it when it is stored: a name and a
// creation time.
func (c *checker) store(o, old resource.Object) {
	m := o.GetMeta()
	for base := m.GenerateName; m.Name == "" && base != ""; {
		c.named++
		m.Name = fmt.Sprintf("%s%05d", base, c.named)
		if c.snapshot.Get(o.Key()) != nil {
			m.Name = ""
		}
	}
	switch {
	case old != nil:
		m.Created = old.GetMeta().Created
	case m.Created.IsZero():
		c.youngest = c.youngest.Add(time.Second)
		m.Created = c.youngest
	case m.Created.After(c.youngest):
		c.youngest = m.Created
	}
}

// mutate returns the object's JSON as the mutating door leaves it, and the patch, which is
// nil for everything but a gateway workload that lacks something.
func (c *checker) mutate(d manifest.Document) ([]byte, []jsondiff.Operation, error) {
	workload, ok := d.Object.(*resource.Workload)
	if !ok || (workload.Kind != resource.KindDeployment && workload.Kind != resource.KindDaemonSet) {
		return d.Raw, nil, nil
	}
	if c.engine.Config().Exempt(c.requester.Name, c.requester.Groups, workload.Key()) != "" {
		return d.Raw, nil, nil
	}
	operations, err := mutate.Patch(c.engine.World(c.snapshot), workload, d.Raw)
	if err != nil || len(operations) == 0 {
		return d.Raw, nil, err
	}
	raw, err := patched(d.Raw, operations)
	return raw, operations, err
}

// patched applies a patch the way the API server does, from its JSON form, so that a patch
// that can not be encoded or applied is found here too.
func patched(raw []byte, operations []jsondiff.Operation) ([]byte, error) {
	encoded, err := json.Marshal(operations)
	if err != nil {
		return nil, fmt.Errorf("patch: %w", err)
	}
	patch, err := jsonpatch.DecodePatch(encoded)
	if err != nil {
		return nil, fmt.Errorf("patch: %w", err)
	}
	out, err := patch.Apply(raw)
	if err != nil {
		return nil, fmt.Errorf("patch: %w", err)
	}
	return out, nil
}
