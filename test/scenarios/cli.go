package scenarios

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"gomodules.xyz/jsonpatch/v2"

	"github.com/gatewarden/gatewarden/pkg/cli"
	"github.com/gatewarden/gatewarden/pkg/policy"
)

// CLI tells a story to "gatewarden check". The base is a folder.
func CLI(baseDir string, s *Story) (Outcome, error) {
	args := []string{"check", "-o", "json", "--user", s.User}
	for _, g := range s.Groups {
		args = append(args, "--group", g)
	}
	if s.Config != "" {
		args = append(args, "--config", filepath.Join(s.Dir, s.Config))
	}
	if s.Base == BaseDeployKF {
		args = append(args, "--cluster", baseDir)
	}
	if len(s.Cluster) > 0 {
		args = append(args, "--cluster", filepath.Join(s.Dir, clusterDir))
	}
	if s.Operation == policy.Delete {
		args = append(args, "--delete")
	}
	args = append(args, filepath.Join(s.Dir, requestFile))

	var stdout, stderr bytes.Buffer
	code := cli.Main(args, strings.NewReader(""), &stdout, &stderr)
	if stderr.Len() > 0 {
		return Outcome{}, fmt.Errorf("exit code %d: %s", code, stderr.String())
	}
	var report struct {
		Decisions []struct {
			Decision string                `json:"decision"`
			Patch    []jsonpatch.Operation `json:"patch"`
			Findings []struct {
				Rule    string        `json:"rule"`
				Effect  policy.Effect `json:"effect"`
				Field   string        `json:"field"`
				Message string        `json:"message"`
				Related []string      `json:"related"`
			} `json:"findings"`
		} `json:"decisions"`
	}
	if err := json.Unmarshal(stdout.Bytes(), &report); err != nil {
		return Outcome{}, fmt.Errorf("exit code %d: %w in %q", code, err, stdout.String())
	}
	if len(report.Decisions) != 1 {
		return Outcome{}, fmt.Errorf("%d decisions about one object", len(report.Decisions))
	}
	d := report.Decisions[0]
	out := Outcome{Denied: d.Decision == "deny", Notes: true, Related: true, Patched: len(d.Patch) > 0}
	if want := map[bool]int{false: 0, true: 1}[out.Denied]; code != want {
		return out, fmt.Errorf("exit code %d for the decision %q", code, d.Decision)
	}
	for _, f := range d.Findings {
		out.Findings = append(out.Findings, Finding{Rule: f.Rule, Effect: f.Effect, Field: f.Field, Message: f.Message, Related: f.Related})
	}
	var err error
	out.Stored, err = patched(s.Request.Raw, d.Patch)
	return out, err
}
