// Package keeper keeps the parameters of the backstop in the cluster what the state says.
package keeper

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1apply "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/discovery"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/gatewarden/gatewarden/pkg/backstop"
	"github.com/gatewarden/gatewarden/pkg/leadership"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/state"
)

const (
	// lookInterval is how often it is looked whether anything has changed.
	lookInterval = 2 * time.Second
	// idleFactor bounds what looking costs: so much longer than the last look took is waited
	// until the next one.
	idleFactor = 20
	// healInterval is how often the ConfigMap is written though nothing has changed, in case
	// that somebody has. The API server stores nothing then.
	healInterval = 5 * time.Second
	// discoveryInterval is how often an API server that has no such policies is asked again: it
	// may be upgraded.
	discoveryInterval = 10 * time.Minute
	writeTimeout      = 10 * time.Second
)

// manager owns the fields of the ConfigMap.
const manager = "gatewarden"

// served is what the API server has to serve, from version 1.30 on.
const (
	served         = "admissionregistration.k8s.io/v1"
	servedResource = "validatingadmissionpolicies"
)

// Options are what a Keeper works with. All are required.
type Options struct {
	Engine func() *policy.Engine
	// State returns the current snapshot, and whether it is complete enough to judge by.
	State func() (*state.Snapshot, bool)
	// ConfigMaps are those of the namespace that Namespace names.
	ConfigMaps corev1.ConfigMapInterface
	Namespace  string
	Discovery  discovery.ServerResourcesInterface
	Leader     *leadership.Leadership
	Log        *slog.Logger
}

// Keeper writes the ConfigMap while this replica leads.
type Keeper struct {
	Options

	seen    seen
	written map[string]string // nil if nothing was, or this replica did not lead since
	at      time.Time         // of that
	problem string            // why it could not be written, at the last time

	off   bool      // the API server has no such policies
	asked time.Time // when it was asked
}

// seen is what parameters were made of.
type seen struct {
	engine   *policy.Engine
	snapshot *state.Snapshot
}

// New returns a Keeper.
func New(o Options) *Keeper { return &Keeper{Options: o} }

// Run keeps the ConfigMap until the context ends.
func (k *Keeper) Run(ctx context.Context) {
	for {
		began := time.Now()
		k.look(ctx)
		timer := time.NewTimer(max(lookInterval, idleFactor*time.Since(began)))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// look writes the ConfigMap if there is a reason to.
func (k *Keeper) look(ctx context.Context) {
	ctx, end, leading := k.Leader.Of(ctx)
	defer end()
	if !leading {
		// Meanwhile another one writes, and the next time this one can not tell what is there.
		k.written = nil
		return
	}
	snapshot, synced := k.State()
	if !synced || !k.supported() {
		return
	}
	now := seen{k.Engine(), snapshot}
	heal := k.written == nil || time.Since(k.at) >= healInterval
	if now == k.seen && !heal {
		return
	}
	data := backstop.Parameters(now.engine, now.snapshot)
	if heal || !maps.Equal(data, k.written) {
		if err := k.write(ctx, data); err != nil {
			k.complain(ctx, err)
			return
		}
		if k.problem != "" || !maps.Equal(data, k.written) {
			k.Log.Info("the backstop's parameters are written", "configMap", k.Namespace+"/"+backstop.ConfigMap)
		}
		k.problem, k.written, k.at = "", data, time.Now()
	}
	k.seen = now
}

// write makes the data those of the ConfigMap, whoever has changed them.
func (k *Keeper) write(ctx context.Context, data map[string]string) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	_, err := k.ConfigMaps.Apply(ctx, corev1apply.ConfigMap(backstop.ConfigMap, k.Namespace).
		WithLabels(map[string]string{"app.kubernetes.io/managed-by": manager}).WithData(data),
		metav1.ApplyOptions{FieldManager: manager, Force: true})
	return err
}

// complain tells of a problem once.
func (k *Keeper) complain(ctx context.Context, err error) {
	if ctx.Err() != nil || k.problem == err.Error() { // at the end, or of the leadership
		return
	}
	k.problem = err.Error()
	k.Log.Error("the backstop's parameters cannot be written: the API server goes on judging by the last ones",
		"configMap", k.Namespace+"/"+backstop.ConfigMap, "problem", k.problem)
}

// supported reports whether the API server can have the policy. It is not known while it can
// not be asked, and then it counts as one that can: a ConfigMap that nobody reads is no harm.
func (k *Keeper) supported() bool {
	if !k.asked.IsZero() && (!k.off || time.Since(k.asked) < discoveryInterval) {
		return !k.off
	}
	list, err := k.Discovery.ServerResourcesForGroupVersion(served)
	if err != nil && !apierrors.IsNotFound(err) {
		return true
	}
	was := k.off
	k.off, k.asked = true, time.Now()
	if err == nil {
		for i := range list.APIResources {
			k.off = k.off && list.APIResources[i].Name != servedResource
		}
	}
	switch {
	case k.off && !was:
		k.Log.Warn("there is no backstop: the API server has no such policies, which come with Kubernetes 1.30",
			"missing", fmt.Sprintf("%s of %s", servedResource, served))
	case was && !k.off:
		k.Log.Info("the API server has got the policies that the backstop needs")
	}
	return !k.off
}
