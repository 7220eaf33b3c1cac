package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/gatewarden/gatewarden/test/apiserver"
	"github.com/gatewarden/gatewarden/test/module"
	"github.com/gatewarden/gatewarden/test/worlds"
)

// filesRow is what a command takes for so many manifests.
type filesRow struct {
	Command   string        `json:"command"`
	Manifests int           `json:"manifests"`
	Time      time.Duration `json:"time"`
	Resident  uint64        `json:"resident"`
}

// measureFiles runs commands over manifests in files, of which each has those of a hundred objects.
func measureFiles(ctx context.Context, sizes []int) ([]filesRow, error) {
	dir, err := os.MkdirTemp("", "gatewarden-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	program, err := apiserver.BuildGuard(ctx, dir)
	if err != nil {
		return nil, err
	}
	root, err := module.Dir(ctx, module.Gatewarden)
	if err != nil {
		return nil, err
	}
	platform := filepath.Join(root, "examples", "deploykf")
	var out []filesRow
	for _, n := range sizes {
		folder := filepath.Join(dir, fmt.Sprint(n))
		if err := writeManifests(folder, n); err != nil {
			return nil, err
		}
		for _, args := range [][]string{
			{"check", "--cluster", platform, folder},
			{"audit", "--cluster", platform, "--cluster", folder},
		} {
			row, err := runCommand(ctx, program, args, n)
			if err != nil {
				return nil, err
			}
			out = append(out, row)
		}
	}
	return out, nil
}

func writeManifests(folder string, n int) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	const each = 100
	var b bytes.Buffer
	i := 0
	flush := func() error {
		defer b.Reset()
		return os.WriteFile(filepath.Join(folder, fmt.Sprintf("%06d.yaml", i)), b.Bytes(), 0o600)
	}
	for m := range (worlds.Shape{Objects: n, Seed: seed}).Manifests() {
		text, err := yaml.Marshal(m.Object)
		if err != nil {
			return err
		}
		b.WriteString("---\n")
		b.Write(text)
		if i++; i%each == 0 {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if b.Len() == 0 {
		return nil
	}
	return flush()
}

// runCommand runs gatewarden, which has to find nothing to deny.
func runCommand(ctx context.Context, program string, args []string, n int) (filesRow, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	row := filesRow{Command: args[0], Manifests: n}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return row, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-look.C:
			// Not by getrusage, which takes over what this program had before it became that one.
			row.Resident = max(row.Resident, status(cmd.Process.Pid, "VmHWM:"))
		case err := <-ended:
			row.Time = time.Since(begin)
			if err != nil {
				return row, fmt.Errorf("gatewarden %s: %w\n%s", args[0], err, complaints.String())
			}
			return row, nil
		}
	}
}
