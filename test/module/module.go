// Package module finds the folders of Go modules: that of gatewarden itself, and those of
// its dependencies in the module cache, from which the tests take files that are no Go code.
package module

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// The modules that the tests take files from.
const (
	Gatewarden  = "github.com/gatewarden/gatewarden"
	IstioAPI    = "istio.io/api"
	CertManager = "github.com/cert-manager/cert-manager"
	GatewayAPI  = "sigs.k8s.io/gateway-api"
	OpenReports = "github.com/openreports/reports-api"
)

// Dir returns the folder of a module at the version that gatewarden's go.mod requires. It
// asks the go command, so it must be called within gatewarden's repository.
func Dir(ctx context.Context, path string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", path)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		if msg := strings.TrimSpace(stderr.String()); msg != "" {
			err = errors.New(msg)
		}
		return "", fmt.Errorf("finding the folder of module %s: %w", path, err)
	}
	dir := strings.TrimSpace(string(out))
	if dir == "" {
		return "", fmt.Errorf("module %s is not in the module cache: run go mod download", path)
	}
	return dir, nil
}
