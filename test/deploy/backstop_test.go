package deploy_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/gatewarden/gatewarden/pkg/backstop"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/test/deploy"
)

// The component agrees with the base that it is added to, and with the code that fills its
// parameters.
func TestBackstop(t *testing.T) {
	objects, err := deploy.RenderWith(t.Context(), deploy.Base, deploy.Backstop)
	require.NoError(t, err)
	without := base(t)
	assert.Len(t, objects, len(without)+4)
	p := find[admissionregistrationv1.ValidatingAdmissionPolicy](t, objects, "ValidatingAdmissionPolicy")
	b := find[admissionregistrationv1.ValidatingAdmissionPolicyBinding](t, objects, "ValidatingAdmissionPolicyBinding")
	account := find[corev1.ServiceAccount](t, objects, "ServiceAccount")

	assert.Equal(t, p.Name, b.Spec.PolicyName)
	assert.Equal(t, &admissionregistrationv1.ParamKind{APIVersion: "v1", Kind: "ConfigMap"}, p.Spec.ParamKind)
	assert.Equal(t, backstop.ConfigMap, b.Spec.ParamRef.Name)
	assert.Equal(t, account.Namespace, b.Spec.ParamRef.Namespace)
	assert.Equal(t, admissionregistrationv1.AllowAction, *b.Spec.ParamRef.ParameterNotFoundAction)
	assert.Equal(t, admissionregistrationv1.Ignore, *p.Spec.FailurePolicy)
	assert.Equal(t, "true", p.Annotations["admissions.enforcer/disabled"])

	role := find[rbacv1.Role](t, objects, "Role", backstop.ConfigMap)
	assert.Equal(t, account.Namespace, role.Namespace)
	assert.Equal(t, []rbacv1.PolicyRule{{
		APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: []string{backstop.ConfigMap}, Verbs: []string{"create", "patch"},
	}}, role.Rules)
	in := find[rbacv1.RoleBinding](t, objects, "RoleBinding", role.Name)
	assert.Equal(t, role.Namespace, in.Namespace)
	assert.Equal(t, rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name}, in.RoleRef)
	assert.Equal(t, []rbacv1.Subject{{Kind: "ServiceAccount", Name: account.Name, Namespace: account.Namespace}}, in.Subjects)

	args := find[appsv1.Deployment](t, objects, "Deployment").Spec.Template.Spec.Containers[0].Args
	assert.Equal(t, append(slices.Clone(find[appsv1.Deployment](t, without, "Deployment").Spec.Template.Spec.Containers[0].Args), "--backstop"), args)

	// It is asked about nothing that the webhooks are not asked about.
	var ours []admissionregistrationv1.RuleWithOperations
	for _, r := range p.Spec.MatchConstraints.ResourceRules {
		assert.Empty(t, r.ResourceNames)
		ours = append(ours, r.RuleWithOperations)
	}
	webhook := find[admissionregistrationv1.ValidatingWebhookConfiguration](t, objects, "ValidatingWebhookConfiguration").Webhooks[0]
	got := requests(t, ours...)
	assert.Empty(t, got.Difference(requests(t, webhook.Rules...)))
	assert.Equal(t, webhook.NamespaceSelector, p.Spec.MatchConstraints.NamespaceSelector)
	assert.Equal(t, admissionregistrationv1.Equivalent, *p.Spec.MatchConstraints.MatchPolicy)
	for _, kind := range []resource.Kind{resource.KindGateway, resource.KindVirtualService, resource.KindPeerAuthentication} {
		for _, version := range resource.ByKind(kind).Versions {
			for _, op := range []admissionregistrationv1.OperationType{admissionregistrationv1.Create, admissionregistrationv1.Update} {
				assert.Contains(t, got, request{kind, version, op})
			}
		}
	}

	var text strings.Builder
	for _, c := range p.Spec.MatchConditions {
		text.WriteString(c.Expression)
	}
	for _, v := range p.Spec.Variables {
		text.WriteString(v.Expression)
	}
	all := text.String()
	assert.Contains(t, all, backstop.FormatKey+".orValue('') == '"+backstop.Format+"'")
	for _, key := range []string{
		backstop.RulesKey, backstop.PassesKey, backstop.ListenersKey, backstop.RoutesKey, backstop.NamespacesKey, backstop.LabelsKey,
		backstop.PodsKey, backstop.PermissiveKey, backstop.InjectedKey, backstop.RootKey, backstop.MeshKey,
	} {
		assert.Contains(t, all, "params.data.?"+key+".orValue('')", "the parameter %s", key)
	}
	assert.Contains(t, all, "'"+resource.GatewayService+"'")
	for _, id := range backstop.Rules {
		assert.Contains(t, all, id+" "+rules.Find(id).Name)
	}
}
