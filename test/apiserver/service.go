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
// network, so that Publish can listen at them.
const serviceRange = "127.64.0.0/24"

// Publish does for a Service what kube-proxy and a pod do in a cluster: connections to its IP address
// and first port lead to an address at which the pod's program serves. So the API server calls a
// webhook by its Service, as manifests have it. For the port 443 of a webhook this needs root, or
// the sysctl net.ipv4.ip_unprivileged_port_start=0.
func (s *Server) Publish(ctx context.Context, service client.ObjectKey, target string) (*Proxy, error) {
	o := &corev1.Service{}
	err := s.Client().Get(ctx, service, o)
	if err != nil {
		return nil, fmt.Errorf("publishing Service %s: %w", service, err)
	}
	proxy, err := StartProxy(net.JoinHostPort(o.Spec.ClusterIP, strconv.Itoa(int(o.Spec.Ports[0].Port))), func() string { return target })
	if err != nil {
		return nil, fmt.Errorf("publishing Service %s: %w", service, err)
	}
	return proxy, nil
}

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

// LaunchDeployed does for the Deployment what a kubelet does: it starts the program with the arguments
// of its container, and with the ConfigMaps that are its volumes in folders. Only the addresses are
// free ones of the loopback interface, and there is no need to wait for endpoints at the end. The
// Deployment must not mount a Secret.
func (s *Server) LaunchDeployed(ctx context.Context, program string, out io.Writer) (_ *Process, err error) {
	d := &appsv1.Deployment{}
	if err := s.Client().Get(ctx, client.ObjectKey{Namespace: Namespace, Name: deploymentName}, d); err != nil {
		return nil, err
	}
	pod := d.Spec.Template.Spec
	container := pod.Containers[0]
	args := slices.DeleteFunc(slices.Clone(container.Args[1:]), func(a string) bool { // the first is "serve"
		return strings.HasPrefix(a, "--listen=") || strings.HasPrefix(a, "--metrics-listen=") || strings.HasPrefix(a, "--drain=")
	})
	volumes, err := os.MkdirTemp("", "gatewarden-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(volumes))
		}
	}()
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
	p, err := s.Launch(ctx, Replica{Program: program, Output: out, Arguments: args})
	if err != nil {
		return nil, err
	}
	p.volumes = volumes
	return p, nil
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
