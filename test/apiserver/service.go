package apiserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// serviceRange is where the API server takes the IP addresses of Services from: the loopback
// network, so that RunDeployed can listen at them.
const serviceRange = "127.64.0.0/24"

// ApplyWebhooks applies the webhook configurations as they are, with their Service and without a CA.
func (s *Server) ApplyWebhooks(ctx context.Context) error {
	for _, m := range s.manifests {
		if !isWebhookConfiguration(m) {
			continue
		}
		if err := s.Admin.Apply(ctx, m.DeepCopy()).Err; err != nil {
			return fmt.Errorf("installing %s: %w", describe(m), err)
		}
	}
	return nil
}

// Deployed is a gatewarden program that runs as its Deployment says, behind its Service.
type Deployed struct {
	*Process
	service *Proxy
	volumes string // the folder of what the program reads
}

// Stop stops the program and what leads to it.
func (d *Deployed) Stop() error {
	return errors.Join(d.service.Stop(), d.Process.Stop(), os.RemoveAll(d.volumes))
}

// RunDeployed does for the Deployment and the Service what a kubelet and kube-proxy do: it starts the
// program with the arguments of its container, and with the ConfigMaps that are its volumes in
// folders, and leads connections to the Service's IP address to it. Only the addresses at which it
// serves are free ones of the loopback interface, and there is no need to wait for endpoints at the
// end. The Deployment must not mount a Secret. It does not wait: see WaitUntilJudged.
//
// To listen on the Service's port takes root, or the sysctl net.ipv4.ip_unprivileged_port_start=0.
// Without them the error is syscall.EACCES, and nothing was started.
func (s *Server) RunDeployed(ctx context.Context, program string, out io.Writer) (_ *Deployed, err error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	deployed := &Deployed{}
	if deployed.service, err = s.publish(ctx, address); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, deployed.service.Stop(), os.RemoveAll(deployed.volumes))
		}
	}()
	if deployed.volumes, err = os.MkdirTemp("", "gatewarden-"); err != nil {
		return nil, err
	}
	d := &appsv1.Deployment{}
	if err := s.Client().Get(ctx, client.ObjectKey{Namespace: Namespace, Name: deploymentName}, d); err != nil {
		return nil, err
	}
	pod := d.Spec.Template.Spec
	container := pod.Containers[0]
	args := slices.DeleteFunc(slices.Clone(container.Args[1:]), func(a string) bool { // the first is "serve"
		return strings.HasPrefix(a, "--listen=") || strings.HasPrefix(a, "--metrics-listen=") || strings.HasPrefix(a, "--drain=")
	})
	for _, m := range container.VolumeMounts {
		i := slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name })
		if i < 0 || pod.Volumes[i].ConfigMap == nil {
			return nil, fmt.Errorf("volume %s of Deployment %s/%s is no ConfigMap", m.Name, Namespace, deploymentName)
		}
		dir := filepath.Join(deployed.volumes, m.Name)
		if err := s.writeConfigMap(ctx, pod.Volumes[i].ConfigMap.Name, dir); err != nil {
			return nil, err
		}
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], m.MountPath, dir)
		}
	}
	deployed.Process, err = s.Launch(ctx, Replica{Program: program, Output: out, Address: address, Arguments: args})
	if err != nil {
		return nil, err
	}
	return deployed, nil
}

// publish leads connections to the IP address and the first port of gatewarden's Service to a target.
func (s *Server) publish(ctx context.Context, target string) (*Proxy, error) {
	o := &corev1.Service{}
	if err := s.Client().Get(ctx, client.ObjectKey{Namespace: Namespace, Name: serviceName}, o); err != nil {
		return nil, err
	}
	proxy, err := StartProxy(net.JoinHostPort(o.Spec.ClusterIP, strconv.Itoa(int(o.Spec.Ports[0].Port))), func() string { return target })
	if err != nil {
		return nil, fmt.Errorf("listening for Service %s/%s: %w", Namespace, serviceName, err)
	}
	return proxy, nil
}

// writeConfigMap writes the files of a ConfigMap to a folder.
func (s *Server) writeConfigMap(ctx context.Context, name, dir string) error {
	o := &corev1.ConfigMap{}
	if err := s.Client().Get(ctx, client.ObjectKey{Namespace: Namespace, Name: name}, o); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	for file, content := range o.Data {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}
