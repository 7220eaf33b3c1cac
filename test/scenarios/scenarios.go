// Package scenarios tells what gatewarden does as stories, and drives each story through
// every door: the engine, the command line, the webhook over HTTPS, and a real API server.
//
// A story is a folder: scenario.yaml says whose request it is and what it is about,
// cluster/*.yaml is what is there beside the base, request.yaml is the one object that the
// request is about, and want.yaml is the verdict. A story without a request is one of an audit:
// what the rules that only audits judge find in what is there, if that is all there is. The
// doors have nothing in common but the engine, so a story that ends the same way behind all of
// them says that decoding, state, transport and wording agree.
package scenarios

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/manifest"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
)

// The bases that a story can start from.
const (
	// BaseDeployKF is an ordinary deployKF, the objects of examples/deploykf.
	BaseDeployKF = "deploykf"
	// BaseNone is an empty cluster.
	BaseNone = "none"
)

// DefaultUser makes the request of a story that names nobody.
const DefaultUser = "tenant@example.com"

// Scenario is the content of scenario.yaml.
type Scenario struct {
	// Description says in one or two sentences what the story is about.
	Description string `json:"description"`
	// Base is BaseDeployKF or BaseNone.
	Base string `json:"base"`
	// Config is a configuration file in the story's folder. Default: gatewarden's defaults.
	Config string `json:"config,omitempty"`
	// Operation is CREATE, UPDATE or DELETE. Default: UPDATE if the object is there, else
	// CREATE.
	Operation policy.Operation `json:"operation,omitempty"`
	// User makes the request. Default: DefaultUser.
	User string `json:"user,omitempty"`
	// Groups are the user's.
	Groups []string `json:"groups,omitempty"`
	// NearMiss is the ID of a rule that almost fires here, and must not.
	NearMiss string `json:"nearMiss,omitempty"`
	// Doors are the only ones that the story goes through. Default: all.
	Doors []string `json:"doors,omitempty"`
	// Notes say why a story does not go through every door.
	Notes string `json:"notes,omitempty"`
}

// Want is the content of want.yaml.
type Want struct {
	// Decision is "allow" or "deny"; an audit has none.
	Decision string `json:"decision,omitempty"`
	// Findings are all the findings, in any order. Of an audit's notes only those count that
	// are named.
	Findings []WantFinding `json:"findings,omitempty"`
	// Patch tells whether the mutating door changes the object. It belongs to Deployments
	// and DaemonSets that are allowed.
	Patch bool `json:"patch,omitempty"`
	// After are values in the object as it is stored, by JSON Pointer; null is absent.
	After map[string]any `json:"after,omitempty"`
}

// WantFinding is one finding of a Want.
type WantFinding struct {
	Rule   string        `json:"rule"`
	Effect policy.Effect `json:"effect"`
	// Object is what an audit's finding is about, as "Kind namespace/name".
	Object string `json:"object,omitempty"`
	// Field is compared if it is given.
	Field string `json:"field,omitempty"`
	// Related are compared if they are given, as "Kind namespace/name". What a denial
	// clashes with has to be in its message, too.
	Related []string `json:"related,omitempty"`
}

// Story is one story, read and checked.
type Story struct {
	Scenario
	// Name is that of the folder.
	Name string
	// Dir is the path of the folder.
	Dir string
	// Cluster is what is there beside the base.
	Cluster []manifest.Document
	// Request is the object that the request is about; the zero value in a story of an audit.
	Request manifest.Document
	Want    Want
	// Configuration is what Config holds, or the default.
	Configuration *config.Configuration
}

// The files of a story.
const (
	scenarioFile = "scenario.yaml"
	requestFile  = "request.yaml"
	wantFile     = "want.yaml"
	clusterDir   = "cluster"
)

// Load reads every story of a folder, ordered by name. What is wrong with any of them is in
// the error, one line each.
func Load(dir string) ([]*Story, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var stories []*Story
	var errs []error
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		s, err := load(filepath.Join(dir, e.Name()))
		if err != nil {
			errs = append(errs, fmt.Errorf("story %s: %w", e.Name(), err))
			continue
		}
		stories = append(stories, s)
	}
	return stories, errors.Join(errs...)
}

func load(dir string) (*Story, error) {
	s := &Story{Name: filepath.Base(dir), Dir: dir, Configuration: deploykf.Default()}
	if err := readStrict(filepath.Join(dir, scenarioFile), &s.Scenario); err != nil {
		return nil, err
	}
	if err := readStrict(filepath.Join(dir, wantFile), &s.Want); err != nil {
		return nil, err
	}
	if err := s.checkFiles(); err != nil {
		return nil, err
	}
	if s.Config != "" {
		path := filepath.Join(dir, s.Config)
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if s.Configuration, err = rules.Load(data, path); err != nil {
			return nil, err
		}
		s.Configuration = s.Configuration.AsOf(time.Now())
	}
	if s.hasRequest() {
		requests, err := manifest.Read([]string{filepath.Join(dir, requestFile)}, nil)
		if err != nil {
			return nil, err
		}
		if len(requests) != 1 || !requests[0].Known {
			return nil, fmt.Errorf("%s: must hold one object of a kind that gatewarden reads, but holds %d", requestFile, len(requests))
		}
		s.Request = requests[0]
	}
	if _, err := os.Stat(filepath.Join(dir, clusterDir)); err == nil {
		if s.Cluster, err = manifest.Read([]string{filepath.Join(dir, clusterDir)}, nil); err != nil {
			return nil, err
		}
	}
	if s.User == "" {
		s.User = DefaultUser
	}
	return s, errors.Join(s.checkScenario(), s.checkWant())
}

func (s *Story) hasRequest() bool {
	_, err := os.Stat(filepath.Join(s.Dir, requestFile))
	return err == nil
}

// IsAudit reports whether the story is one of an audit.
func (s *Story) IsAudit() bool { return s.Request.Object == nil }

// readStrict reads a file in which every field has to be known.
func readStrict(path string, into any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := yaml.UnmarshalStrict(data, into); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return nil
}

// checkFiles finds files that nobody reads, so that a misspelt name is no silent hole.
func (s *Story) checkFiles() error {
	return filepath.WalkDir(s.Dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || path == s.Dir {
			return err
		}
		name, err := filepath.Rel(s.Dir, path)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		switch {
		case d.IsDir() && name == clusterDir:
			return nil
		case !d.IsDir() && (name == scenarioFile || name == requestFile || name == wantFile || name == s.Config && name != ""):
			return nil
		case !d.IsDir() && filepath.ToSlash(filepath.Dir(name)) == clusterDir && strings.HasSuffix(name, ".yaml"):
			return nil
		}
		return fmt.Errorf("%s: nobody reads it", name)
	})
}

func (s *Story) checkScenario() error {
	var errs []error
	wrong := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s: %s", scenarioFile, field, fmt.Sprintf(format, args...)))
	}
	if s.Description == "" {
		wrong("description", "say what the story is about")
	}
	if s.Base != BaseDeployKF && s.Base != BaseNone {
		wrong("base", "%q is none of %s, %s", s.Base, BaseDeployKF, BaseNone)
	}
	if ops := []policy.Operation{"", policy.Create, policy.Update, policy.Delete}; !slices.Contains(ops, s.Operation) {
		wrong("operation", "%q is none of CREATE, UPDATE, DELETE", s.Operation)
	}
	if s.NearMiss != "" && rules.Find(s.NearMiss) == nil {
		wrong("nearMiss", "no rule %q", s.NearMiss)
	}
	for _, d := range s.Doors {
		if !slices.Contains(DoorNames, d) {
			wrong("doors", "%q is none of %s", d, strings.Join(DoorNames, ", "))
		}
	}
	if s.IsAudit() && (s.Operation != "" || s.User != DefaultUser || len(s.Groups) > 0) {
		wrong("operation", "there is no request that it could be of: %s is missing", requestFile)
	}
	if len(s.Doors) > 0 != (s.Notes != "") {
		wrong("notes", "say why a story does not go through every door, and only then")
	}
	return errors.Join(errs...)
}

func (s *Story) checkWant() error {
	var errs []error
	denied := false
	for i, f := range s.Want.Findings {
		r := rules.Find(f.Rule)
		if r == nil || r.ID != f.Rule {
			errs = append(errs, fmt.Errorf("%s: findings[%d].rule: no rule has the ID %q", wantFile, i, f.Rule))
			continue
		}
		if f.Effect > r.Effect {
			errs = append(errs, fmt.Errorf("%s: findings[%d].effect: %s has no stronger effect than %s", wantFile, i, r.ID, r.Effect))
		}
		if f.Rule == s.NearMiss {
			errs = append(errs, fmt.Errorf("%s: findings[%d].rule: %s is what the story nearly misses", wantFile, i, r.ID))
		}
		if (f.Object != "") != s.IsAudit() {
			errs = append(errs, fmt.Errorf("%s: findings[%d].object: name the object in a story of an audit, and only there", wantFile, i))
		}
		if (len(r.Operations) == 0) != s.IsAudit() {
			errs = append(errs, fmt.Errorf("%s: findings[%d].rule: only rules without operations are told of in a story of an audit", wantFile, i))
		}
		denied = denied || f.Effect == policy.Deny
	}
	want := "allow"
	if denied {
		want = "deny"
	}
	if s.IsAudit() {
		want = ""
	}
	if s.Want.Decision != want {
		errs = append(errs, fmt.Errorf("%s: decision: %q, but the findings say %s", wantFile, s.Want.Decision, want))
	}
	if len(s.Want.After) > 0 && !s.Want.Patch {
		errs = append(errs, fmt.Errorf("%s: after: nothing is patched", wantFile))
	}
	return errors.Join(errs...)
}

// GoesThrough reports whether the story goes through a door.
func (s *Story) GoesThrough(door string) bool {
	if s.IsAudit() && !slices.Contains(auditDoors, door) {
		return false
	}
	return len(s.Doors) == 0 || slices.Contains(s.Doors, door)
}

// Requester is who makes the request.
func (s *Story) Requester() policy.Requester {
	return policy.Requester{Name: s.User, Groups: s.Groups}
}

// isWorkload reports whether the request is about an object that the mutating door looks at.
func (s *Story) isWorkload() bool {
	return s.Request.KindName == "Deployment" || s.Request.KindName == "DaemonSet"
}
