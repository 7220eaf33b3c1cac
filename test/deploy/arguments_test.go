package deploy_test

import (
	"bytes"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/gatewarden/gatewarden/pkg/cli"
	"github.com/gatewarden/gatewarden/pkg/servingcert"
)

// argument returns the value of --name=value.
func argument(t *testing.T, args []string, name string) string {
	t.Helper()
	for _, a := range args {
		if value, ok := strings.CutPrefix(a, "--"+name+"="); ok {
			return value
		}
	}
	require.Fail(t, "no argument --"+name, "%q", args)
	return ""
}

func TestArgumentsAreFlagsOfServe(t *testing.T) {
	args := find[appsv1.Deployment](t, base(t), "Deployment").Spec.Template.Spec.Containers[0].Args
	var out, errs bytes.Buffer
	code := cli.Main(append(slices.Clone(args), "--help"), strings.NewReader(""), &out, &errs)
	assert.Zero(t, code, "%q: %s", args, errs.String())
}

func TestArgumentsAgreeWithPortsAndVolumes(t *testing.T) {
	pod := find[appsv1.Deployment](t, base(t), "Deployment").Spec.Template.Spec
	container := pod.Containers[0]
	ports := map[string]string{}
	for _, p := range container.Ports {
		ports[p.Name] = strconv.Itoa(int(p.ContainerPort))
	}
	for flag, name := range map[string]string{"listen": "https", "metrics-listen": "http-metrics"} {
		host, port, err := net.SplitHostPort(argument(t, container.Args, flag))
		require.NoError(t, err)
		assert.Empty(t, host, "--%s: a pod is called by its address", flag)
		assert.Equal(t, ports[name], port, "--%s", flag)
	}

	mounts := map[string]corev1.Volume{}
	for _, m := range container.VolumeMounts {
		i := slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name })
		require.GreaterOrEqual(t, i, 0, m.Name)
		assert.True(t, m.ReadOnly)
		mounts[m.MountPath] = pod.Volumes[i]
	}
	certs := mounts[argument(t, container.Args, "cert-dir")]
	require.NotNil(t, certs.Secret, "--cert-dir is where the Secret is")
	assert.Empty(t, certs.Secret.Items, "its keys are the names of the files: %s and %s", servingcert.CertFile, servingcert.KeyFile)
	assert.Equal(t, corev1.TLSCertKey, servingcert.CertFile)
	assert.Equal(t, corev1.TLSPrivateKeyKey, servingcert.KeyFile)

	folder, file := path.Split(argument(t, container.Args, "config"))
	require.NotNil(t, mounts[path.Clean(folder)].ConfigMap, "--config is where the ConfigMap is")
	assert.Contains(t, find[corev1.ConfigMap](t, base(t), "ConfigMap").Data, file)
}
