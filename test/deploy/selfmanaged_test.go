package deploy_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/gatewarden/gatewarden/pkg/cli"
	"github.com/gatewarden/gatewarden/pkg/servingcert"
	"github.com/gatewarden/gatewarden/test/deploy"
)

// TestSelfManagedOverlay holds that the overlay differs from the base in what the certificate needs
// and in nothing else.
func TestSelfManagedOverlay(t *testing.T) {
	objects, err := deploy.Render(t.Context(), deploy.SelfManaged)
	require.NoError(t, err)
	own := find[appsv1.Deployment](t, objects, "Deployment")
	pod, before := own.Spec.Template.Spec, find[appsv1.Deployment](t, base(t), "Deployment").Spec.Template.Spec

	want := slices.Clone(before.Containers[0].Args)
	for i, a := range want {
		if strings.HasPrefix(a, "--cert-dir=") {
			want[i] = "--self-managed"
		}
	}
	assert.Equal(t, want, pod.Containers[0].Args)
	var out, errs bytes.Buffer
	assert.Zero(t, cli.Main(append(slices.Clone(want), "--help"), strings.NewReader(""), &out, &errs), errs.String())
	withoutSecrets := slices.DeleteFunc(slices.Clone(before.Volumes), func(v corev1.Volume) bool { return v.Secret != nil })
	assert.Len(t, withoutSecrets, len(before.Volumes)-1)
	assert.Equal(t, withoutSecrets, pod.Volumes)
	assert.Len(t, pod.Containers[0].VolumeMounts, len(before.Containers[0].VolumeMounts)-1)

	// The flags' defaults: --service-name, --webhook-configuration, and the namespace that a pod
	// is told.
	service := find[corev1.Service](t, objects, "Service")
	assert.Equal(t, "gatewarden", service.Name)
	assert.Equal(t, own.Namespace, service.Namespace)
	assert.Equal(t, "gatewarden", find[admissionregistrationv1.ValidatingWebhookConfiguration](t, objects, "ValidatingWebhookConfiguration").Name)
	assert.Equal(t, "gatewarden", find[admissionregistrationv1.MutatingWebhookConfiguration](t, objects, "MutatingWebhookConfiguration").Name)

	const name = "gatewarden-self-managed"
	role := find[rbacv1.Role](t, objects, "Role", name)
	assert.Equal(t, own.Namespace, role.Namespace)
	assert.Equal(t, []rbacv1.PolicyRule{{
		APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{servingcert.AuthoritySecret},
		Verbs: []string{"create", "list", "patch", "update", "watch"},
	}}, role.Rules)
	assert.Equal(t, []rbacv1.PolicyRule{{
		APIGroups: []string{"admissionregistration.k8s.io"}, Resources: []string{"validatingwebhookconfigurations", "mutatingwebhookconfigurations"},
		ResourceNames: []string{"gatewarden"}, Verbs: []string{"list", "watch", "patch"},
	}}, find[rbacv1.ClusterRole](t, objects, "ClusterRole", name).Rules)
	subjects := []rbacv1.Subject{{Kind: "ServiceAccount", Name: pod.ServiceAccountName, Namespace: own.Namespace}}
	assert.Equal(t, subjects, find[rbacv1.RoleBinding](t, objects, "RoleBinding", name).Subjects)
	assert.Equal(t, subjects, find[rbacv1.ClusterRoleBinding](t, objects, "ClusterRoleBinding", name).Subjects)
}
