package scenarios

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/policy"
)

// The names of the doors.
const (
	DoorEngine    = "engine"
	DoorCLI       = "cli"
	DoorWebhook   = "webhook"
	DoorAPIServer = "apiserver"
)

// DoorNames are the names of all doors.
var DoorNames = []string{DoorEngine, DoorCLI, DoorWebhook, DoorAPIServer}

// auditDoors are those that have all there is to look at.
var auditDoors = []string{DoorEngine, DoorAPIServer}

// Finding is one finding as a door shows it.
type Finding struct {
	Rule    string
	Effect  policy.Effect
	Field   string
	Message string
	// Object is what an audit's finding is about.
	Object string
	// Related are the objects that take part; nil where the door has no place for them.
	Related []string
}

// String is the finding on one line.
func (f Finding) String() string {
	return fmt.Sprintf("%s %s %s %s %v: %s", f.Effect, f.Rule, f.Object, f.Field, f.Related, f.Message)
}

// Outcome is the verdict of one door.
type Outcome struct {
	Denied bool
	// Findings are those that the door shows.
	Findings []Finding
	// Notes tells whether the door shows findings with the effect note.
	Notes bool
	// Related tells whether the door shows the related objects of a finding.
	Related bool
	// Patched tells whether the mutating door changed the object.
	Patched bool
	// Stored is the JSON of the object as it is stored; nil if it is not.
	Stored []byte
}

// Compare returns what is different from what the story wants, one line each.
func (s *Story) Compare(o Outcome) []string {
	var diff []string
	if denied := s.Want.Decision == "deny"; o.Denied != denied {
		diff = append(diff, fmt.Sprintf("decision: want %s, but denied is %v", s.Want.Decision, o.Denied))
	}
	rest := slices.Clone(o.Findings)
	for _, w := range s.Want.Findings {
		if w.Effect == policy.Note && !o.Notes {
			continue
		}
		i := slices.IndexFunc(rest, func(f Finding) bool { return w.matches(f, o.Related) })
		if i < 0 {
			diff = append(diff, fmt.Sprintf("findings: want %s %s %s %s %v", w.Effect, w.Rule, w.Object, w.Field, w.Related))
			continue
		}
		if w.Effect == policy.Deny {
			for _, r := range w.Related {
				if !strings.Contains(rest[i].Message, r) {
					diff = append(diff, fmt.Sprintf("findings: the message of %s does not name %s: %s", w.Rule, r, rest[i].Message))
				}
			}
		}
		rest = slices.Delete(rest, i, i+1)
	}
	for _, f := range rest {
		if s.IsAudit() && f.Effect == policy.Note {
			continue
		}
		diff = append(diff, "findings: unexpected: "+f.String())
	}
	if o.Denied {
		return diff // what a denied object would have become is nobody's concern
	}
	if o.Patched != s.Want.Patch {
		diff = append(diff, fmt.Sprintf("patch: want %v, but got %v", s.Want.Patch, o.Patched))
	}
	for pointer, want := range s.Want.After {
		if got, err := valueAt(o.Stored, pointer); err != nil || !reflect.DeepEqual(want, got) {
			diff = append(diff, fmt.Sprintf("after: %s: want %v, but got %v (%v)", pointer, want, got, err))
		}
	}
	return diff
}

func (w WantFinding) matches(f Finding, related bool) bool {
	if w.Rule != f.Rule || w.Effect != f.Effect || w.Object != f.Object || w.Field != "" && w.Field != f.Field {
		return false
	}
	return !related || w.Related == nil || slices.Equal(w.Related, f.Related)
}

// valueAt returns the value that a JSON Pointer (RFC 6901) leads to, nil if there is none.
func valueAt(raw []byte, pointer string) (any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	for _, token := range strings.Split(pointer, "/")[1:] {
		token = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
		switch at := v.(type) {
		case map[string]any:
			v = at[token]
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(at) {
				return nil, fmt.Errorf("no element %q", token)
			}
			v = at[i]
		default:
			return nil, nil
		}
	}
	return v, nil
}
