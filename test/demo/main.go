// Command demo shows gatewarden at work on a real API server: it starts etcd and
// kube-apiserver, installs Istio's CustomResourceDefinitions and gatewarden from deploy/,
// applies deployKF's objects, then good and bad ones, and prints what the API server
// answered to each. It exits with 0 only if every answer was the expected one. With KEEP=1
// in the environment everything keeps running, for kubectl, until it is interrupted.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/gatewarden/gatewarden/test/apiserver"
	"github.com/gatewarden/gatewarden/test/deploy"
	"github.com/gatewarden/gatewarden/test/module"
)

func main() {
	ctrllog.SetLogger(logr.Discard()) // envtest's: what goes wrong comes back as an error
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, os.Getenv("KEEP") == "1"); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		stop()
		os.Exit(1)
	}
}

// run is the whole demonstration. It has stopped everything when it returns.
func run(ctx context.Context, out io.Writer, keep bool) (err error) {
	root, err := module.Dir(ctx, module.Gatewarden)
	if err != nil {
		return err
	}
	steps, err := readSteps(filepath.Join(root, "test", "demo", "objects"))
	if err != nil {
		return err
	}
	world, err := readWorld(filepath.Join(root, "test", "demo", "cluster"), filepath.Join(root, "examples", "deploykf"))
	if err != nil {
		return err
	}
	dir := filepath.Join(root, ".cache", "demo")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}

	fmt.Fprintln(out, "Building gatewarden.")
	program, err := apiserver.BuildGuard(ctx, dir)
	if err != nil {
		return err
	}
	began := time.Now()
	fmt.Fprintln(out, "Starting etcd and kube-apiserver.")
	server, err := apiserver.Start(ctx, apiserver.Options{Kustomization: deploy.SelfManaged})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	fmt.Fprintf(out, "  %s, with Istio's CRDs, ready after %s\n", server.Config.Host, time.Since(began).Round(time.Second/10))

	guardLog, err := os.Create(filepath.Join(dir, "gatewarden.log"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, guardLog.Close()) }()
	fmt.Fprintln(out, "Installing gatewarden as \"kubectl apply -k "+deploy.SelfManaged+"\" does, and running what its Deployment says.")
	stop, err := install(ctx, server, program, guardLog, out)
	if err != nil {
		return fmt.Errorf("%w\nsee gatewarden's log: %s", err, guardLog.Name())
	}
	defer func() { err = errors.Join(err, stop()) }()

	fmt.Fprintln(out, "Applying deployKF's objects. gatewarden judges them too.")
	if err := server.Admin.Load(ctx, world...); err != nil {
		return err
	}
	fmt.Fprintf(out, "  %d objects, none denied\n\n", len(world))

	unexpected := 0
	for i, s := range steps {
		ok, err := s.run(ctx, server, out, i+1)
		if err != nil {
			return err
		}
		if !ok {
			unexpected++
		}
	}
	fmt.Fprintf(out, "%d answers, %d as expected. gatewarden's log: %s\n", len(steps), len(steps)-unexpected, guardLog.Name())
	if keep {
		if err := leaveRunning(ctx, server, out, dir); err != nil {
			return err
		}
	}
	if unexpected > 0 {
		return fmt.Errorf("%d of %d answers were not the expected ones", unexpected, len(steps))
	}
	return nil
}

// install runs what a kubelet would run, behind the Service of the manifests where this machine
// permits that, and waits until the API server asks it.
func install(ctx context.Context, server *apiserver.Server, program string, log, out io.Writer) (stop func() error, err error) {
	guard, err := server.RunDeployed(ctx, program, log)
	switch {
	case err == nil:
		stop = guard.Stop
		if err = server.ApplyWebhooks(ctx); err == nil {
			err = server.WaitUntilJudged(ctx)
		}
	case errors.Is(err, syscall.EACCES):
		fmt.Fprintln(out, "  (Only root may listen on port 443 here, so the webhooks lead to an address in place of the Service.)")
		var process *apiserver.Process
		if process, err = server.StartGuard(ctx, program, log); err != nil {
			return nil, err
		}
		stop = process.Stop
		err = server.Register(ctx)
	default:
		return nil, err
	}
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	return stop, nil
}

// leaveRunning leaves everything running until the context ends.
func leaveRunning(ctx context.Context, server *apiserver.Server, out io.Writer, dir string) (err error) {
	path := filepath.Join(dir, "kubeconfig")
	if err := server.WriteKubeconfig(path); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(path)) }()
	fmt.Fprintf(out, "\nEverything is still running. In another terminal:\n\n"+
		"  export KUBECONFIG=%s\n"+
		"  kubectl get gateways,virtualservices,peerauthentications -A\n"+
		"  kubectl apply -f test/demo/objects/02-gateway-same-host.yaml\n\n"+
		"Press Ctrl-C here to end it.\n", path)
	<-ctx.Done()
	fmt.Fprintln(out, "\nStopping.")
	return nil
}

// readWorld reads all objects in folders, namespaces first: others need them.
func readWorld(dirs ...string) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for _, dir := range dirs {
		files, err := yamlFiles(dir)
		if err != nil {
			return nil, err
		}
		found, err := apiserver.ReadObjects(files...)
		if err != nil {
			return nil, err
		}
		objects = append(objects, found...)
	}
	slices.SortStableFunc(objects, func(a, b *unstructured.Unstructured) int {
		return rank(a) - rank(b)
	})
	return objects, nil
}

func rank(o *unstructured.Unstructured) int {
	if o.GetKind() == "Namespace" {
		return 0
	}
	return 1
}

// yamlFiles lists the YAML files of a folder by name. A folder without any is an error: a
// demonstration that applies nothing must not look like a success.
func yamlFiles(dir string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("there are no *.yaml files in %s", dir)
	}
	return files, nil
}
