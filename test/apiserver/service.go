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
}

// Stop stops the program and what leads to it.
func (d *Deployed) Stop() error { return errors.Join(d.service.Stop(), d.Process.Stop()) }

// RunDeployed does for the Deployment and the Service what a kubelet and kube-proxy do: LaunchDeployed,
// and it leads connections to the Service's IP address to the program. There is no need to wait for
// endpoints at the end. It does not wait: see WaitUntilJudged.
//
// To listen on the Service's port takes root, or the sysctl net.ipv4.ip_unprivileged_port_start=0.
// Without them the error is syscall.EACCES, and nothing was started.
func (s *Server) RunDeployed(ctx context.Context, program string, out io.Writer) (_ *Deployed, err error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	service, err := s.publish(ctx, func() string { return address })
	if err != nil {
		return nil, err
	}
	p, err := s.LaunchDeployed(ctx, Replica{Program: program, Output: out, Address: address, Arguments: []string{"--drain=0s"}})
	if err != nil {
		return nil, errors.Join(err, service.Stop())
	}
	return &Deployed{p, service}, nil
}

// LaunchDeployed starts a gatewarden program with the arguments of its Deployment's container as it is
// now, to which those of the Replica are added, and with the ConfigMaps that are its volumes in folders.
// Only the addresses at which it serves are free ones of the loopback interface. The Deployment must not
// mount a Secret. It does not wait: see WaitUntilReady.
func (s *Server) LaunchDeployed(ctx context.Context, r Replica) (_ *Process, err error) {
	volumes, err := os.MkdirTemp("", "gatewarden-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(volumes))
		}
	}()
	d := &appsv1.Deployment{}
	if err := s.Client().Get(ctx, client.ObjectKey{Namespace: Namespace, Name: deploymentName}, d); err != nil {
		return nil, err
	}
	pod := d.Spec.Template.Spec
	container := pod.Containers[0]
	args := slices.DeleteFunc(slices.Clone(container.Args[1:]), func(a string) bool { // the first is "serve"
		return strings.HasPrefix(a, "--listen=") || strings.HasPrefix(a, "--metrics-listen=")
	})
	for _, m := range container.VolumeMounts {
		i := slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name })
		if i < 0 || pod.Volumes[i].ConfigMap == nil {
			return nil, fmt.Errorf("volume %s of Deployment %s/%s is no ConfigMap", m.Name, Namespace, deploymentName)
		}
		dir := filepath.Join(volumes, m.Name)
		if err := s.writeConfigMap(ctx, pod.Volumes[i].ConfigMap.Name, dir); err != nil {
			return nil, err
		}
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], m.MountPath, dir)
		}
	}
	r.Arguments = append(args, r.Arguments...)
	p, err := s.Launch(ctx, r)
	if err != nil {
		return nil, err
	}
	p.volumes = volumes
	return p, nil
}

// BalanceService is StartBalancer for the IP address and the first port of gatewarden's Service. It needs
// what RunDeployed needs.
func (s *Server) BalanceService(ctx context.Context, replicas ...string) (*Balancer, error) {
	b := newBalancer(replicas)
	service, err := s.publish(ctx, b.next)
	if err != nil {
		return nil, err
	}
	b.run(service)
	return b, nil
}

// publish leads connections to the IP address and the first port of gatewarden's Service to a target
// that is chosen for each, or nowhere for "".
func (s *Server) publish(ctx context.Context, target func() string) (*Proxy, error) {
	o := &corev1.Service{}
	if err := s.Client().Get(ctx, client.ObjectKey{Namespace: Namespace, Name: serviceName}, o); err != nil {
		return nil, err
	}
	proxy, err := StartProxy(net.JoinHostPort(o.Spec.ClusterIP, strconv.Itoa(int(o.Spec.Ports[0].Port))), target)
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
