package apiserver_test

import (
	"errors"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/gatewarden/gatewarden/test/apiserver"
	"github.com/gatewarden/gatewarden/test/deploy"
)

// TestTheDefaultInstallationGuards applies the default installation as it is shipped, and does what
// kubelet and kube-proxy would. All else is as in a cluster: the API server calls the Service by its
// name, and trusts the CA that gatewarden has made for itself.
func TestTheDefaultInstallationGuards(t *testing.T) {
	s, err := apiserver.Start(t.Context(), apiserver.Options{Kustomization: deploy.SelfManaged})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Stop()) })
	require.NoError(t, s.ApplyWebhooks(t.Context()))
	closed(t, s)

	program, err := apiserver.BuildGuard(t.Context(), t.TempDir())
	require.NoError(t, err)
	log := &logs{}
	guard, err := s.RunDeployed(t.Context(), program, log)
	if errors.Is(err, syscall.EACCES) {
		t.Skip("only root may listen on port 443 here: sysctl net.ipv4.ip_unprivileged_port_start=0 permits it to all")
	}
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, guard.Stop())
		if t.Failed() {
			t.Log(log.String())
		}
	})
	require.NoError(t, s.WaitUntilJudged(t.Context()), log.String())

	require.NoError(t, s.Admin.Create(t.Context(), onTheGateway("mine", "shop.example.org")).Err)
	refused := s.Admin.Create(t.Context(), onTheGateway("thief", "deploykf.example.com")).Err
	require.True(t, apierrors.IsForbidden(refused), "%v", refused)
	assert.ErrorContains(t, refused, "GWD201")
}
