package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/gatewarden/gatewarden/pkg/cluster"
	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/deploykf"
	"github.com/gatewarden/gatewarden/pkg/manifest"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
)

// onceOptions tell where a command that looks once finds what to look at.
type onceOptions struct {
	config     string
	cluster    []string
	kubeconfig string
	context    string
	timeout    time.Duration
}

// bind declares the flags.
func (o *onceOptions) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.config, "config", "", "configuration `FILE` (default: deployKF's defaults, for the domain "+deploykf.DefaultHostname+")")
	f.StringArrayVar(&o.cluster, "cluster", nil, "look at the manifests at `PATH`, a file or folder or - for standard input, instead of a cluster; repeatable")
	o.bindCluster(cmd)
}

// bindCluster declares the flags that name a cluster.
func (o *onceOptions) bindCluster(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig `FILE` of the cluster (default: kubectl's)")
	f.StringVar(&o.context, "context", "", "`NAME` of the kubeconfig's context (default: the current one)")
	f.DurationVar(&o.timeout, "timeout", time.Minute, "how long to wait for the cluster")
}

func (o onceOptions) validate() error {
	switch {
	case len(o.cluster) > 0 && o.kubeconfig != "":
		return errors.New("--cluster and --kubeconfig are both given: the objects come from one of them")
	case len(o.cluster) > 0 && o.context != "":
		return errors.New("--cluster and --context are both given: manifests have no context")
	case o.timeout <= 0:
		return fmt.Errorf("--timeout %s: use a duration of more than 0s", o.timeout)
	}
	return nil
}

// read returns everything that is there, and the kinds that may not be listed.
func (o onceOptions) read(ctx context.Context, s streams, cfg *config.Configuration) (*state.Snapshot, []resource.API, error) {
	if len(o.cluster) > 0 {
		there, err := o.manifests(s)
		if err != nil {
			return nil, nil, err
		}
		return newChecker(cfg, policy.Requester{}, there).snapshot, nil, nil
	}
	client, err := o.client()
	if err != nil {
		return nil, nil, err
	}
	client.WarningHandler = rest.NoWarnings{} // of deprecated versions, which are asked for last
	w := state.NewWriter()
	w.TranslateBy(cfg.Mesh.Translation())
	options, err := clusterOptions(client, w, slog.New(slog.NewTextHandler(s.Err, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		return nil, nil, err
	}
	options.ConfigMaps = cfg.Mesh.RootNamespace
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	forbidden, err := cluster.List(ctx, options)
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, nil, fmt.Errorf("%s did not answer within %s; choose a longer --timeout if it is only slow: %w", client.Host, o.timeout, err)
	case err != nil:
		return nil, nil, fmt.Errorf("%s: %w", client.Host, err)
	case w.Snapshot().Len() == 0 && len(forbidden) > 0:
		return nil, nil, fmt.Errorf("%s lets this user list nothing that a rule is about; among others not %s", client.Host, forbidden[0].Resource)
	}
	return w.Snapshot(), forbidden, nil
}

// manifests reads what --cluster names.
func (o onceOptions) manifests(s streams) ([]manifest.Document, error) {
	there, err := readState(s, o.cluster)
	if err != nil {
		return nil, fmt.Errorf("--cluster: %w", err)
	}
	return there, nil
}

// client finds the cluster, as kubectl does unless a file is named.
func (o onceOptions) client() (*rest.Config, error) {
	if o.kubeconfig != "" {
		return kubeconfigFile(o.kubeconfig, o.context)
	}
	client, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		clientcmd.NewDefaultClientConfigLoadingRules(), &clientcmd.ConfigOverrides{CurrentContext: o.context}).ClientConfig()
	switch {
	case clientcmd.IsEmptyConfig(err):
		return nil, errors.New("no cluster is known: give --kubeconfig, or --cluster with manifests")
	case err != nil:
		return nil, fmt.Errorf("the kubeconfig that kubectl would use: %w", err)
	}
	return client, nil
}
