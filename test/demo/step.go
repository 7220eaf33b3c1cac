package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gatewarden/gatewarden/pkg/gatewaypod"
	"github.com/gatewarden/gatewarden/test/apiserver"
)

// The verdicts that a step can expect.
const (
	denied  = "denied"  // refused by the named rule
	allowed = "allowed" // stored as it was sent; with the named rule's warning, or without any
	patched = "patched" // stored with what a gateway's pods need added
)

const (
	pollInterval = 50 * time.Millisecond
	// settleTimeout is how long gatewarden may take to hear of an object that was stored.
	settleTimeout = 5 * time.Second
)

// step is one request and the answer that is expected. It is a YAML file with one object,
// whose first lines are comments:
//
//	# expect: denied GWD201            (or: allowed | allowed warning GWD204 | patched)
//	# delete                           (only if the object is to be deleted)
//	# The rest says what the object tries.
type step struct {
	file    string
	verdict string
	rule    string // of the denial or the warning
	delete  bool
	about   []string
	object  *unstructured.Unstructured
}

// readSteps reads the steps of a folder in the order of their file names.
func readSteps(dir string) ([]*step, error) {
	files, err := yamlFiles(dir)
	if err != nil {
		return nil, err
	}
	var steps []*step
	for _, file := range files {
		s, err := readStep(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		steps = append(steps, s)
	}
	return steps, nil
}

func readStep(file string) (*step, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	s := &step{file: filepath.Base(file)}
	for line := range bytes.Lines(content) {
		text, comment := strings.CutPrefix(strings.TrimSpace(string(line)), "#")
		if !comment {
			break
		}
		text = strings.TrimSpace(text)
		expectation, found := strings.CutPrefix(text, "expect:")
		switch {
		case found:
			if err := s.expect(strings.Fields(expectation)); err != nil {
				return nil, err
			}
		case text == "delete":
			s.delete = true
		default:
			s.about = append(s.about, text)
		}
	}
	if s.verdict == "" {
		return nil, errors.New(`no comment "# expect: ..." before the object`)
	}
	objects, err := apiserver.ReadObjects(file)
	if err != nil {
		return nil, err
	}
	if len(objects) != 1 {
		return nil, fmt.Errorf("%d objects in a file that must have one", len(objects))
	}
	s.object = objects[0]
	return s, nil
}

func (s *step) expect(words []string) error {
	switch {
	case len(words) == 2 && words[0] == denied:
		s.verdict, s.rule = denied, words[1]
	case len(words) == 3 && words[0] == allowed && words[1] == "warning":
		s.verdict, s.rule = allowed, words[2]
	case len(words) == 1 && (words[0] == allowed || words[0] == patched):
		s.verdict = words[0]
	default:
		return fmt.Errorf("%q is no expectation: write \"denied RULE\", \"allowed\", \"allowed warning RULE\" or \"patched\"",
			strings.Join(words, " "))
	}
	return nil
}

// run makes the request, prints the answer, and reports whether it was the expected one.
func (s *step) run(ctx context.Context, server *apiserver.Server, out io.Writer, number int) (bool, error) {
	// gatewarden hears of an object through a watch, moments after the API server stored
	// it. A dry run tells when it has heard of all the steps before; what counts is the
	// answer to the request itself.
	err := wait.PollUntilContextTimeout(ctx, pollInterval, settleTimeout, true, func(ctx context.Context) (bool, error) {
		return s.mismatch(s.request(ctx, server.Admin, true)) == "", nil
	})
	if err != nil && ctx.Err() != nil {
		return false, ctx.Err()
	}
	a := s.request(ctx, server.Admin, false)
	mismatch := s.mismatch(a)
	s.print(out, number, a, mismatch)
	return mismatch == "", nil
}

func (s *step) request(ctx context.Context, u *apiserver.User, dryRun bool) apiserver.Answer {
	if s.delete {
		if dryRun {
			return u.Delete(ctx, s.object, client.DryRunAll)
		}
		return u.Delete(ctx, s.object)
	}
	if dryRun {
		return u.Apply(ctx, s.object, client.DryRunAll)
	}
	return u.Apply(ctx, s.object)
}

// mismatch says what is wrong with an answer, or "" if it is the expected one.
func (s *step) mismatch(a apiserver.Answer) string {
	if s.verdict == denied {
		switch {
		case a.Err == nil:
			return "expected a denial by " + s.rule
		case !deniedBy(a.Err, s.rule):
			return "expected a denial by " + s.rule + ", with status 403 and the rule among its causes"
		}
		return ""
	}
	if a.Err != nil {
		return "expected it to be admitted"
	}
	warned := slices.ContainsFunc(a.Warnings, func(w string) bool { return strings.HasPrefix(w, s.rule) })
	switch {
	case s.rule != "" && !warned:
		return "expected a warning of " + s.rule
	case s.rule == "" && slices.ContainsFunc(a.Warnings, func(w string) bool { return strings.HasPrefix(w, "GWD") }):
		return "expected no warning"
	}
	switch added := len(s.added(a)); {
	case s.verdict == patched && added == 0:
		return "expected the pod template to be completed"
	case s.verdict == allowed && added > 0:
		return "expected the pod template to stay as it was sent"
	}
	return ""
}

// deniedBy reports whether an error is the API server's for a denial by a rule.
func deniedBy(err error, rule string) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return false
	}
	s := status.Status()
	return s.Code == http.StatusForbidden && s.Reason == metav1.StatusReasonForbidden && s.Details != nil &&
		slices.ContainsFunc(s.Details.Causes, func(c metav1.StatusCause) bool { return string(c.Type) == rule })
}

// The settings of a pod template that gatewarden completes, by the names that they are
// printed with.
var settings = []struct {
	name string
	path []string
}{
	{"label " + gatewaypod.InjectLabel, []string{"metadata", "labels", gatewaypod.InjectLabel}},
	{"annotation " + gatewaypod.TemplatesAnnotation, []string{"metadata", "annotations", gatewaypod.TemplatesAnnotation}},
	{"sysctls", []string{"spec", "securityContext", "sysctls"}},
}

// added lists the settings that the stored object has and the sent one has not, with their
// values.
func (s *step) added(a apiserver.Answer) []string {
	if a.Object == nil {
		return nil
	}
	var added []string
	for _, setting := range settings {
		path := append([]string{"spec", "template"}, setting.path...)
		_, before, _ := unstructured.NestedFieldNoCopy(s.object.Object, path...)
		value, after, _ := unstructured.NestedFieldNoCopy(a.Object.Object, path...)
		if after && !before {
			text, err := json.Marshal(value)
			if err != nil {
				text = fmt.Append(nil, value)
			}
			added = append(added, setting.name+": "+string(text))
		}
	}
	return added
}

func (s *step) print(out io.Writer, number int, a apiserver.Answer, mismatch string) {
	verb := "apply"
	if s.delete {
		verb = "delete"
	}
	fmt.Fprintf(out, "%2d. %s %s %s/%s\n", number, verb, s.object.GetKind(), s.object.GetNamespace(), s.object.GetName())
	for _, line := range s.about {
		fmt.Fprintf(out, "      # %s\n", line)
	}
	if a.Err != nil {
		fmt.Fprintf(out, "    refused: %s\n", strings.ReplaceAll(a.Err.Error(), "\n", "\n      "))
	} else {
		fmt.Fprintln(out, "    admitted")
	}
	for _, w := range a.Warnings {
		fmt.Fprintf(out, "    warning: %s\n", w)
	}
	for _, text := range s.added(a) {
		fmt.Fprintf(out, "    added: %s\n", text)
	}
	if mismatch != "" {
		fmt.Fprintf(out, "    UNEXPECTED (%s): %s\n", s.file, mismatch)
	}
	fmt.Fprintln(out)
}
