package keeper

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"

	"github.com/gatewarden/gatewarden/pkg/backstop"
	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/leadership"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/policy/rules"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
	"github.com/gatewarden/gatewarden/test/worlds"
)

const namespace = "own"

// fixture is a Keeper with a cluster that is not there.
type fixture struct {
	*Keeper
	t      *testing.T
	client *fake.Clientset
	writer *state.Writer
	synced bool
	log    bytes.Buffer
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, client: fake.NewClientset(), writer: state.NewWriter(), synced: true}
	f.client.Resources = []*metav1.APIResourceList{{GroupVersion: served, APIResources: []metav1.APIResource{{Name: servedResource}}}}
	f.writer.Apply(worlds.Base()...)
	engine := policy.NewEngine(deploykf.Default(), rules.All())
	f.Keeper = New(Options{
		Engine: func() *policy.Engine { return engine }, State: func() (*state.Snapshot, bool) { return f.writer.Snapshot(), f.synced },
		ConfigMaps: f.client.CoreV1().ConfigMaps(namespace), Namespace: namespace, Discovery: f.client.Discovery(),
		Leader: &leadership.Leadership{}, Log: slog.New(slog.NewTextHandler(&f.log, nil)),
	})
	return f
}

// data are those of the ConfigMap, or nil if there is none.
func (f *fixture) data() map[string]string {
	f.t.Helper()
	m, err := f.ConfigMaps.Get(f.t.Context(), backstop.ConfigMap, metav1.GetOptions{})
	if err != nil {
		return nil
	}
	return m.Data
}

func (f *fixture) writes() int {
	n := 0
	for _, a := range f.client.Actions() {
		if a.GetVerb() == "patch" {
			n++
		}
	}
	return n
}

func TestOnlyALeaderThatKnowsTheClusterWrites(t *testing.T) {
	f := newFixture(t)
	f.look(t.Context())
	assert.Nil(t, f.data(), "another one leads")

	ctx, end := context.WithCancel(t.Context())
	f.Leader.Lead(ctx)
	f.synced = false
	f.look(t.Context())
	assert.Nil(t, f.data(), "the state is not known")

	f.synced = true
	f.look(t.Context())
	assert.Equal(t, backstop.Parameters(f.Engine(), f.writer.Snapshot()), f.data())
	assert.Equal(t, 1, strings.Count(f.log.String(), "are written"))

	end()
	f.writer.Apply(worlds.HTTPSGateway(resource.Meta{Namespace: "deploykf-istio-gateway", Name: "deploykf-gateway"}, deploykf.Default().GuardedGateways[0].PodLabels, "new.example.org"))
	f.look(t.Context())
	assert.NotContains(t, f.data()[backstop.ListenersKey], "new.example.org")

	f.Leader.Lead(t.Context())
	f.look(t.Context())
	assert.Contains(t, f.data()[backstop.ListenersKey], "new.example.org")
}

func TestItIsWrittenWhenItChangesOrSomebodyMayHaveChangedIt(t *testing.T) {
	f := newFixture(t)
	f.Leader.Lead(t.Context())
	f.look(t.Context())
	f.look(t.Context())
	f.writer.Apply(worlds.HTTPSGateway(resource.Meta{Namespace: "team-a", Name: "own"}, map[string]string{"istio": "other"}, "own.example.org"))
	f.look(t.Context())
	assert.Equal(t, 1, f.writes(), "nothing that matters has changed")

	require.NoError(t, f.ConfigMaps.Delete(t.Context(), backstop.ConfigMap, metav1.DeleteOptions{}))
	f.at = time.Now().Add(-healInterval)
	f.look(t.Context())
	assert.Equal(t, 2, f.writes())
	assert.NotEmpty(t, f.data())
	assert.Equal(t, 1, strings.Count(f.log.String(), "are written"), "it is what it was")
}

func TestWhatCanNotBeWrittenIsToldOnceAndTriedAgain(t *testing.T) {
	f := newFixture(t)
	f.Leader.Lead(t.Context())
	refused := true
	f.client.PrependReactor("patch", "configmaps", func(ktesting.Action) (bool, runtime.Object, error) {
		return refused, nil, errors.New("no")
	})
	f.look(t.Context())
	f.look(t.Context())
	assert.Equal(t, 2, f.writes())
	assert.Equal(t, 1, strings.Count(f.log.String(), "level=ERROR"), f.log.String())
	refused = false
	f.look(t.Context())
	assert.NotEmpty(t, f.data())
	assert.Contains(t, f.log.String(), "are written")
}

func TestAnOlderAPIServerHasNoBackstop(t *testing.T) {
	f := newFixture(t)
	f.Leader.Lead(t.Context())
	policies := f.client.Resources
	for _, older := range [][]*metav1.APIResourceList{
		{{GroupVersion: served, APIResources: []metav1.APIResource{{Name: "validatingwebhookconfigurations"}}}},
		nil,
	} {
		f.client.Resources = older
		f.off, f.asked = false, time.Time{}
		f.look(t.Context())
		f.look(t.Context())
		assert.Nil(t, f.data())
		assert.Equal(t, 1, strings.Count(f.log.String(), "there is no backstop"), f.log.String())
		f.log.Reset()
	}
	f.client.Resources = policies
	f.look(t.Context())
	assert.Nil(t, f.data(), "it is not asked all the time")
	f.asked = time.Now().Add(-discoveryInterval)
	f.look(t.Context())
	assert.NotEmpty(t, f.data())
	assert.Contains(t, f.log.String(), "has got the policies")
}
