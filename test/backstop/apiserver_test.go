package backstop_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	backstops "github.com/gatewarden/gatewarden/pkg/backstop"
	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/test/apiserver"
	"github.com/gatewarden/gatewarden/test/backstop"
	"github.com/gatewarden/gatewarden/test/deploy"
	"github.com/gatewarden/gatewarden/test/scenarios"
)

// patience bounds how long it takes until the API server judges by something new.
const patience = 60 * time.Second

// cluster is an API server with deployKF's objects and the backstop.
type cluster struct {
	*apiserver.Server
	program string
	log     output
	objects []*unstructured.Unstructured // of the component
	base    []*unstructured.Unstructured
}

// output is what the program has written so far.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func start(t *testing.T) *cluster {
	t.Helper()
	s, err := apiserver.Start(t.Context(), apiserver.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Stop()) })
	c := &cluster{Server: s}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(c.log.String())
		}
	})
	files, err := filepath.Glob(baseDir + "/*.yaml")
	require.NoError(t, err)
	c.base, err = apiserver.ReadObjects(files...)
	require.NoError(t, err)
	require.NoError(t, s.Admin.Load(t.Context(), c.base...))
	all, err := deploy.RenderWith(t.Context(), deploy.Base, deploy.Backstop)
	require.NoError(t, err)
	for _, o := range all {
		if o.GetName() == backstops.ConfigMap {
			c.objects = append(c.objects, o)
			a := s.Admin.Create(t.Context(), o)
			require.NoError(t, a.Err, "%s", o.GetKind())
			assert.Empty(t, a.Warnings, "%s", o.GetKind())
		}
	}
	require.Len(t, c.objects, 4)
	c.program, err = apiserver.BuildGuard(t.Context(), t.TempDir())
	require.NoError(t, err)
	return c
}

// guard runs gatewarden, and returns what ends it.
func (c *cluster) guard(t *testing.T) (stop func()) {
	t.Helper()
	p, err := c.StartGuard(t.Context(), c.program, &c.log, "--backstop", "--log-level", "warn")
	require.NoError(t, err, c.log.String())
	ended := false
	stop = func() {
		if !ended {
			ended = true
			assert.NoError(t, p.Stop())
		}
	}
	t.Cleanup(stop)
	return stop
}

// parameters are the data of the ConfigMap.
func (c *cluster) parameters(t require.TestingT) map[string]string {
	m := &corev1.ConfigMap{}
	require.NoError(t, c.Client().Get(context.Background(), client.ObjectKey{Namespace: apiserver.Namespace, Name: backstops.ConfigMap}, m))
	return m.Data
}

// refusal returns the policy's message in an answer, or "" if it is another one.
func refusal(err error) string {
	var status *apierrors.StatusError
	if !errors.As(err, &status) || status.ErrStatus.Reason != metav1.StatusReasonForbidden {
		return ""
	}
	_, message, _ := strings.Cut(status.ErrStatus.Message, "ValidatingAdmissionPolicy 'gatewarden-backstop' with binding 'gatewarden-backstop' denied request: ")
	return message
}

// await waits until the policy refuses an object by a rule, or for "" does not refuse it.
func (c *cluster) await(t *testing.T, o *unstructured.Unstructured, rule string) {
	t.Helper()
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		err := c.Admin.Create(context.Background(), o, client.DryRunAll).Err
		if rule == "" {
			assert.NoError(t, err)
			return
		}
		assert.True(t, strings.HasPrefix(refusal(err), rule), "%v", err)
	}, patience, 50*time.Millisecond)
}

func gateway(name string, hosts ...string) *unstructured.Unstructured {
	list := make([]any, len(hosts))
	for i, h := range hosts {
		list[i] = h
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "Gateway",
		"metadata": map[string]any{"namespace": "default", "name": name},
		"spec": map[string]any{
			"selector": map[string]any{"app": "deploykf-gateway"},
			"servers": []any{map[string]any{
				"port":  map[string]any{"number": int64(443), "name": "https", "protocol": "HTTPS"},
				"hosts": list,
				"tls":   map[string]any{"mode": "SIMPLE", "credentialName": "own"},
			}},
		},
	}}
}

// The chapters are one story: each goes on where the one before it ended.
func TestAPIServer(t *testing.T) {
	c := start(t)
	taken := gateway("taken", deploykf.DefaultHostname)
	c.await(t, taken, "") // without parameters nobody is locked out
	stop := c.guard(t)
	c.await(t, taken, "GWD201")
	stop()

	t.Run("judges as the expressions do alone", c.judgesAlone)
	t.Run("lets deployKF be installed again", c.installsAgain)
	t.Run("can afford large objects", c.affords)
	stop = c.guard(t)
	t.Run("follows the owner", c.follows)
	t.Run("heals", c.heals)
	t.Run("agrees with the webhooks", c.agrees)
	stop()
	assert.NotContains(t, c.log.String(), "cannot be written")
}

// judgesAlone asks about what the stories are about, while no replica runs.
func (c *cluster) judgesAlone(t *testing.T) {
	p := load(t)
	parameters := c.parameters(t)
	refused := 0
	for _, s := range readStories(t) {
		q, o := c.request(t, s)
		if o == nil {
			continue
		}
		q.Parameters = parameters
		want, err := p.Judge(q)
		require.NoError(t, err, s.Name)
		err = c.ask(t, s, q, o)
		if err != nil && refusal(err) == "" {
			assert.True(t, apierrors.IsInvalid(err) || apierrors.IsBadRequest(err), "%s: %v", s.Name, err)
			continue // the schema refuses it
		}
		assert.Equal(t, want, refusal(err), s.Name)
		if want != "" {
			refused++
		}
	}
	assert.Greater(t, refused, 60)
}

// request is what a story is about, as it would be asked of this API server; nil if it is not
// asked of the policy.
func (c *cluster) request(t *testing.T, s *scenarios.Story) (backstop.Request, *unstructured.Unstructured) {
	t.Helper()
	if s.IsAudit() || s.Operation == "DELETE" || !slices.Contains([]string{"Gateway", "VirtualService", "PeerAuthentication"}, s.Request.KindName) ||
		!strings.Contains(s.Request.API.Group, "istio.io") {
		return backstop.Request{}, nil
	}
	o := &unstructured.Unstructured{}
	require.NoError(t, o.UnmarshalJSON(s.Request.Raw), s.Name)
	unstructured.RemoveNestedField(o.Object, "metadata", "creationTimestamp")
	unstructured.RemoveNestedField(o.Object, "metadata", "uid")
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: o.GetNamespace()}}
	require.NoError(t, client.IgnoreAlreadyExists(c.Client().Create(t.Context(), ns)))
	require.NoError(t, c.Client().Get(t.Context(), client.ObjectKeyFromObject(ns), ns))
	q := backstop.Request{
		Kind: s.Request.KindName, Operation: "CREATE", Namespace: o.GetNamespace(), NamespaceLabels: ns.Labels,
		User: s.User, Groups: append([]string{"system:masters", "system:authenticated"}, s.Groups...), DryRun: true,
	}
	var err error
	q.Object, err = backstop.Document(s.Request.Raw)
	require.NoError(t, err)
	stored := &unstructured.Unstructured{}
	stored.SetGroupVersionKind(o.GroupVersionKind())
	if o.GetName() != "" && c.Client().Get(t.Context(), client.ObjectKeyFromObject(o), stored) == nil {
		raw, err := json.Marshal(stored)
		require.NoError(t, err)
		q.Operation = "UPDATE"
		q.OldObject, err = backstop.Document(raw)
		require.NoError(t, err)
	}
	return q, o
}

// ask makes a story's request without effect.
func (c *cluster) ask(t *testing.T, s *scenarios.Story, q backstop.Request, o *unstructured.Unstructured) error {
	t.Helper()
	u, err := c.User(s.User, s.Groups...)
	require.NoError(t, err)
	if q.Operation == "UPDATE" {
		return u.Update(t.Context(), o, client.DryRunAll).Err
	}
	return u.Create(t.Context(), o, client.DryRunAll).Err
}

// installsAgain takes deployKF's objects away and brings them back, twice.
func (c *cluster) installsAgain(t *testing.T) {
	for _, o := range c.base {
		if !strings.Contains(o.GroupVersionKind().Group, "istio.io") {
			continue
		}
		require.NoError(t, c.Admin.Apply(t.Context(), o).Err, "%s %s", o.GetKind(), o.GetName())
		require.NoError(t, c.Admin.Delete(t.Context(), o).Err, "%s %s", o.GetKind(), o.GetName())
		require.NoError(t, c.Admin.Create(t.Context(), o).Err, "%s %s", o.GetKind(), o.GetName())
	}
}

// affords asks about objects with many hosts. What would keep the API server busy is not judged.
func (c *cluster) affords(t *testing.T) {
	c.await(t, gateway("many", many(1000)...), "")
	c.await(t, gateway("many", many(1000, deploykf.DefaultHostname)...), "GWD201")
	c.await(t, gateway("many", many(1000, "new."+deploykf.DefaultHostname)...), "GWD203")
	c.await(t, gateway("many", many(3999, deploykf.DefaultHostname)...), "GWD201")
	c.await(t, gateway("many", many(4000, deploykf.DefaultHostname)...), "")
}

// many returns n free hosts and others.
func many(n int, others ...string) []string {
	out := make([]string, 0, n+len(others))
	for i := range n {
		out = append(out, fmt.Sprintf("app-%d.team-%d.shop.example.org", i, i%7))
	}
	return append(out, others...)
}

// follows changes what the owner serves.
func (c *cluster) follows(t *testing.T) {
	c.await(t, gateway("free", "shop.apps.example.net"), "")
	owners := c.find(t, "Gateway", "deploykf-gateway")
	servers, _, err := unstructured.NestedSlice(owners.Object, "spec", "servers")
	require.NoError(t, err)
	server := servers[0].(map[string]any)
	hosts := append([]any{"*/*.apps.example.net"}, server["hosts"].([]any)...)
	// So many that the parameters are large, too.
	for i := range 100 {
		hosts = append(hosts, fmt.Sprintf("*/*.zone-%d.example.net", i), fmt.Sprintf("*/site-%d.example.net", i))
	}
	server["hosts"] = hosts
	require.NoError(t, unstructured.SetNestedSlice(owners.Object, servers, "spec", "servers"))
	require.NoError(t, c.Admin.Update(t.Context(), owners).Err)
	c.await(t, gateway("free", "shop.apps.example.net"), "GWD202")
	c.await(t, gateway("free", "site-99.example.net"), "GWD201")

	c.await(t, gateway("many", many(1000, "site-99.example.net")...), "GWD201")
	c.await(t, gateway("many", many(1000, "a.zone-99.example.net")...), "GWD202")

	require.NoError(t, c.Admin.Update(t.Context(), c.find(t, "Gateway", "deploykf-gateway")).Err)
	c.await(t, gateway("free", "shop.apps.example.net"), "")
}

// find returns one of deployKF's objects as it is to be.
func (c *cluster) find(t *testing.T, kind, name string) *unstructured.Unstructured {
	t.Helper()
	i := slices.IndexFunc(c.base, func(o *unstructured.Unstructured) bool { return o.GetKind() == kind && o.GetName() == name })
	require.GreaterOrEqual(t, i, 0, "%s %s", kind, name)
	return c.base[i].DeepCopy()
}

// heals has the parameters garbled and taken away while gatewarden runs.
func (c *cluster) heals(t *testing.T) {
	want := c.parameters(t)
	back := func() {
		t.Helper()
		require.EventuallyWithT(t, func(t *assert.CollectT) { assert.Equal(t, want, c.parameters(t)) }, patience, 100*time.Millisecond)
		c.await(t, gateway("taken", deploykf.DefaultHostname), "GWD201")
	}
	m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: apiserver.Namespace, Name: backstops.ConfigMap}}
	require.NoError(t, c.Client().Get(t.Context(), client.ObjectKeyFromObject(m), m))
	for k := range m.Data {
		m.Data[k] = "(\t\n"
	}
	m.Data[backstops.PassesKey] = "*\tany\t\t(" // no expression
	require.NoError(t, c.Client().Update(t.Context(), m))
	back()
	require.NoError(t, c.Client().Delete(t.Context(), m))
	back()
}

// agrees asks the webhooks about what the policy refuses.
func (c *cluster) agrees(t *testing.T) {
	require.NoError(t, c.Register(t.Context()))
	t.Cleanup(func() { assert.NoError(t, c.Uninstall(context.Background())) })
	refused := map[*scenarios.Story]string{}
	for _, s := range readStories(t) {
		if q, o := c.request(t, s); o != nil {
			if message := refusal(c.ask(t, s, q, o)); message != "" {
				refused[s] = backstop.RuleOf(message)
			}
		}
	}
	assert.Greater(t, len(refused), 60)
	for _, o := range c.objects {
		if o.GroupVersionKind().Group == admissionregistrationv1.GroupName {
			require.NoError(t, c.Admin.Delete(t.Context(), o).Err)
		}
	}
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		err := c.Admin.Create(context.Background(), gateway("taken", deploykf.DefaultHostname), client.DryRunAll).Err
		assert.ErrorContains(t, err, "admission webhook")
		assert.Empty(t, refusal(err))
	}, patience, 50*time.Millisecond)
	for s, rule := range refused {
		q, o := c.request(t, s)
		assert.ErrorContains(t, c.ask(t, s, q, o), rule, s.Name)
	}
}
