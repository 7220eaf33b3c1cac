package failure_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gatewarden/gatewarden/test/apiserver"
	"github.com/gatewarden/gatewarden/test/deploy"
	"github.com/gatewarden/gatewarden/test/module"
)

// previousCommit is the commit that testdata/previous.yaml was rendered from.
const previousCommit = "52e03d4"

// previousProgram builds the program of previousCommit. A clone without that commit, as continuous
// integration may make, or without the modules that it needed, has the program of today run as the
// manifests of then say.
func previousProgram(t *testing.T) string {
	t.Helper()
	root, err := module.Dir(t.Context(), module.Gatewarden)
	require.NoError(t, err)
	dir := t.TempDir()
	archive := filepath.Join(dir, "source.tar")
	path := filepath.Join(dir, "gatewarden")
	for _, c := range [][]string{
		{"git", "-C", root, "archive", "--output", archive, previousCommit},
		{"tar", "-x", "-f", archive, "-C", dir},
		{"go", "build", "-C", dir, "-o", path, "./cmd/gatewarden"},
	} {
		command := exec.CommandContext(t.Context(), c[0], c[1:]...)
		command.Env = append(os.Environ(), "GOPROXY=off")
		if out, err := command.CombinedOutput(); err != nil {
			t.Logf("the previous program is today's, because that of %s can not be had: %v: %s", previousCommit, err, out)
			return program
		}
	}
	return path
}

// TestUpgradeAndRollbackLoseNoRequest applies the manifests of today over previous ones and back, and replaces
// the replicas one after the other as a Deployment's controller does. No call fails, and none is
// judged wrongly. Only the previous program did not tell API servers that it ends: of each of its
// replicas the end may cost a call that is just being sent.
func TestUpgradeAndRollbackLoseNoRequest(t *testing.T) {
	s := own(t, apiserver.Options{Kustomization: deploy.SelfManaged})
	today, err := deploy.Render(t.Context(), deploy.SelfManaged)
	require.NoError(t, err)
	previous, err := apiserver.ReadObjects("testdata/previous.yaml")
	require.NoError(t, err)
	for _, o := range today { // so that nothing of today helps what was before
		if o.GetKind() != "Namespace" { // nobody here would make it go
			require.NoError(t, client.IgnoreNotFound(s.Admin.Delete(t.Context(), o).Err))
		}
	}
	apply := func(objects []*unstructured.Unstructured) {
		t.Helper()
		for _, o := range objects {
			a := s.Admin.Apply(t.Context(), o.DeepCopy())
			require.NoError(t, a.Err, "%s %s", o.GetKind(), o.GetName())
		}
	}
	start := func(program string) *replica {
		t.Helper()
		return started(t, program, func(r apiserver.Replica) (*apiserver.Process, error) {
			// Three seconds are enough for one API server to hear of a replica that ends.
			r.Arguments = []string{"--drain=3s"}
			return s.LaunchDeployed(t.Context(), r)
		})
	}
	apply(previous)
	old := previousProgram(t)
	replicas := []*replica{start(old), start(old)}
	balancer, err := s.BalanceService(t.Context(), replicas[0].Address, replicas[1].Address)
	if errors.Is(err, syscall.EACCES) {
		t.Skip("the Service's port can not be listened at: ", err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, balancer.Stop()) })
	ready(t, balancer, 2)
	require.NoError(t, s.WaitUntilJudged(t.Context()))
	requests := stream(t, s)
	forgiven := 0 // of the requests that were not judged
	for _, step := range []struct {
		name      string
		manifests []*unstructured.Unstructured
		program   string
	}{{"upgrade", today, program}, {"rollback", previous, old}} {
		apply(step.manifests)
		judged(t, requests)
		for i, r := range slices.Clone(replicas) {
			replicas[i] = start(step.program)
			require.NoError(t, replicas[i].WaitUntilReady(t.Context(), nil))
			balancer.Add(replicas[i].Address)
			ready(t, balancer, 3)
			before := requests.Tally().Others
			assert.Len(t, before, forgiven, "%s: %s", step.name, before)
			start := time.Now()
			require.NoError(t, r.Stop())
			end := time.Now()
			ready(t, balancer, 2)
			judged(t, requests)
			lost := requests.Tally().Others[len(before):]
			if old != program && step.program == program {
				within(t, lost, start, end)
				assert.LessOrEqual(t, len(lost), 2)
				forgiven += len(lost)
			} else {
				assert.Empty(t, lost, step.name)
			}
		}
		tally := requests.Tally()
		t.Logf("%s: %d admitted, %d denied, %d lost with previous replicas", step.name, tally.Admitted, tally.Denied, forgiven)
	}
	assert.Len(t, requests.Tally().Others, forgiven)
}
