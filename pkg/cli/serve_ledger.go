package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"

	"github.com/gatewarden/gatewarden/pkg/ledger"
	"github.com/gatewarden/gatewarden/pkg/ledgerstore"
	"github.com/gatewarden/gatewarden/pkg/metrics"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/state"
	"github.com/gatewarden/gatewarden/pkg/webhook"
)

// Where the ledger can be.
const (
	ledgerInCluster = "cluster"
	ledgerInMemory  = "memory"
	ledgerOff       = "off"
)

// firstLedger is how long the state waits to be listed after the ledger, so that it need not be
// listed twice. What does not need the ledger must not wait for one that can not be listed.
const firstLedger = 5 * time.Second

// minLifetime keeps a mistaken unit from ending the guarantee: no request is shorter.
const minLifetime = 5 * time.Second

// ledgerOptions are the flags of the ledger.
type ledgerOptions struct {
	where          string
	wait, lifetime time.Duration
}

func (o *ledgerOptions) bind(f *pflag.FlagSet) {
	f.StringVar(&o.where, "ledger", "", "`WHERE` changes are entered that are on their way, so that no two are admitted that conflict: cluster for all replicas, "+
		"memory for one replica alone, or off (default: off for a cluster, for which it needs permissions; else memory)")
	f.DurationVar(&o.wait, "ledger-wait", ledgerstore.DefaultWait, "how long a change waits for one on its way that it conflicts with, before it is refused for now")
	f.DurationVar(&o.lifetime, "ledger-lifetime", ledgerstore.DefaultLifetime, "how long a change may be on its way; more than the API server's --request-timeout, and the same for all replicas")
}

func (o ledgerOptions) validate(manifests bool) error {
	switch {
	case o.where != "" && o.where != ledgerInCluster && o.where != ledgerInMemory && o.where != ledgerOff:
		return fmt.Errorf("--ledger %q: use cluster, memory or off", o.where)
	case o.where == ledgerInCluster && manifests:
		return errors.New("--ledger=cluster needs a cluster: --cluster takes the state from manifests")
	case o.wait <= 0:
		return fmt.Errorf("--ledger-wait %s: use a duration above 0s", o.wait)
	case o.lifetime < minLifetime:
		return fmt.Errorf("--ledger-lifetime %s: use a duration of %s or more", o.lifetime, minLifetime)
	}
	return nil
}

// place is where the ledger is.
func (o ledgerOptions) place(source *stateSource) string {
	switch {
	case o.where != "":
		return o.where
	case source.cluster == nil:
		return ledgerInMemory
	}
	return ledgerOff
}

// gate makes what lets only changes through that may be stored beside each other, or nil for none.
func (o serveOptions) gate(source *stateSource, current func() (*state.Snapshot, bool), identity string,
	recorder *metrics.Ledger, log *slog.Logger,
) (*ledgerstore.Gate, error) {
	options := ledgerstore.Options{
		Writer: source.writer, State: current, Replica: identity, Recorder: recorder, Log: log,
		Wait: o.ledger.wait, Lifetime: o.ledger.lifetime,
	}
	switch o.ledger.place(source) {
	case ledgerInCluster:
		store, err := ledgerstore.NewConfigMaps(source.client, o.ownNamespace())
		if err != nil {
			return nil, fmt.Errorf("the cluster's API server: %w", err)
		}
		options.Store = store
	case ledgerInMemory:
		options.Store = &ledgerstore.Memory{}
	default:
		return nil, nil
	}
	if source.cluster != nil {
		d, err := dynamicClient(source.client)
		if err != nil {
			return nil, err
		}
		options.Live, options.Relist = live(d, source), source.cluster.Relist
	}
	gate := ledgerstore.NewGate(options)
	source.after = gate.Listed()
	return gate, nil
}

// live reads stored objects: not what an API server has in memory, which a get may be answered with.
func live(d dynamic.Interface, source *stateSource) func(context.Context, resource.Key) (ledger.Live, error) {
	return func(ctx context.Context, key resource.Key) (ledger.Live, error) {
		gvr, served := source.cluster.Resource(key.Kind)
		if !served {
			return ledger.Live{}, fmt.Errorf("it is not known in which version the cluster serves %s", key.Kind)
		}
		list, err := d.Resource(gvr).Namespace(key.Namespace).List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + key.Name})
		if err != nil || len(list.Items) == 0 {
			return ledger.Live{}, err
		}
		o := &list.Items[0]
		return ledger.Live{
			Present: true, UID: string(o.GetUID()), Version: resource.ParseVersion(o.GetResourceVersion()),
			Terminating: o.GetDeletionTimestamp() != nil,
		}, nil
	}
}

// afterLedger waits until what is listed now was stored after the ledger was listed.
func (s *stateSource) afterLedger(ctx context.Context) {
	if s.after == nil {
		return
	}
	timer := time.NewTimer(firstLedger)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-s.after:
	}
}

// door is a gate as the webhook sees it: an interface of a nil pointer would not be nil.
func door(g *ledgerstore.Gate) webhook.Ledger {
	if g == nil {
		return nil
	}
	return g
}
