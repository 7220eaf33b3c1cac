package cli

import (
	"fmt"
	"log/slog"

	"k8s.io/client-go/discovery"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"github.com/gatewarden/gatewarden/pkg/backstop/keeper"
	"github.com/gatewarden/gatewarden/pkg/leadership"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/state"
)

// keeper makes what keeps the parameters of the backstop, or returns nil for none.
func (o serveOptions) keeper(client *rest.Config, leader *leadership.Leadership, log *slog.Logger,
	engine func() *policy.Engine, current func() (*state.Snapshot, bool),
) (*keeper.Keeper, error) {
	if !o.backstop {
		return nil, nil
	}
	core, err := corev1.NewForConfig(client)
	if err != nil {
		return nil, fmt.Errorf("the cluster's API server: %w", err)
	}
	kinds, err := discovery.NewDiscoveryClientForConfig(client)
	if err != nil {
		return nil, fmt.Errorf("the cluster's API server: %w", err)
	}
	namespace := o.ownNamespace()
	return keeper.New(keeper.Options{
		Engine: engine, State: current, ConfigMaps: core.ConfigMaps(namespace), Namespace: namespace,
		Discovery: kinds, Leader: leader, Log: log,
	}), nil
}
