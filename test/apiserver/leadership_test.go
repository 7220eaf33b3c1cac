package apiserver_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gatewarden/gatewarden/pkg/leadership"
	"github.com/gatewarden/gatewarden/test/apiserver"
)

// Of many that make the Lease at the same moment one gets it.
func TestOneLeadsOfThoseThatMakeTheLease(t *testing.T) {
	forget(t)
	config, err := server.GuardConfig(t.Context())
	require.NoError(t, err)
	config = rest.CopyConfig(config)
	config.QPS = -1
	for round := range 10 {
		require.NoError(t, client.IgnoreNotFound(server.Client().Delete(t.Context(), lease(""))))
		ctx, cancel := context.WithCancel(t.Context())
		var candidates []*leadership.Leadership
		var all sync.WaitGroup
		for i := range 12 {
			c, err := leadership.New(config, apiserver.Namespace, fmt.Sprintf("%d-%d", round, i), slog.New(slog.DiscardHandler))
			require.NoError(t, err)
			candidates = append(candidates, c)
			all.Go(func() { c.Run(ctx) })
		}
		leading := func() (n int) {
			for _, c := range candidates {
				if c.Leading() {
					n++
				}
			}
			return n
		}
		require.Eventually(t, func() bool { return leading() > 0 }, patience, poll)
		time.Sleep(500 * time.Millisecond) // less than it takes them to ask again, and to make up for it
		assert.Equal(t, 1, leading())
		cancel()
		all.Wait()
	}
}

// The permissions to create are for the names of what is created.
func TestGuardMayCreateNothingElse(t *testing.T) {
	config, err := server.GuardConfig(t.Context())
	require.NoError(t, err)
	c, err := client.New(config, client.Options{})
	require.NoError(t, err)
	other := lease("somebody")
	other.Name = "other"
	for _, o := range []client.Object{other, lease("somebody"), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: apiserver.Namespace, Name: "other"}}} {
		assert.True(t, apierrors.IsForbidden(c.Create(t.Context(), o, client.DryRunAll)), "%T %s", o, o.GetName())
	}
}
