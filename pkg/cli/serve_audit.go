package cli

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/util/uuid"
	eventsv1 "k8s.io/client-go/kubernetes/typed/events/v1"
	"k8s.io/client-go/rest"

	"github.com/gatewarden/gatewarden/pkg/audit"
	"github.com/gatewarden/gatewarden/pkg/auditsink"
	"github.com/gatewarden/gatewarden/pkg/metrics"
)

// namespaceFile is where Kubernetes tells a pod the namespace that it runs in.
const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// audits are the audits of a server, and the leadership that those of their sinks need that
// write to the cluster.
type audits struct {
	runner     *audit.Runner         // nil for no audits
	leadership *auditsink.Leadership // nil if nothing is written
}

// audits completes a Runner, for the cluster of a client unless that is nil.
func (o serveOptions) audits(client *rest.Config, recorder metrics.Recorder, r audit.Runner) (*audits, error) {
	out := &audits{}
	if o.auditInterval == 0 {
		return out, nil
	}
	r.Interval = o.auditInterval
	r.Sinks = []audit.Sink{auditsink.Log{Log: r.Log}, auditsink.Metrics{Recorder: recorder}}
	if o.auditEvents || o.auditReports {
		identity, err := identity()
		if err != nil {
			return nil, err
		}
		out.leadership, err = auditsink.NewLeadership(client, o.leaseNamespace(), identity, r.Log, func() { out.runner.Wake() })
		if err != nil {
			return nil, fmt.Errorf("the cluster's API server: %w", err)
		}
		if o.auditEvents {
			events, err := eventsv1.NewForConfig(client)
			if err != nil {
				return nil, fmt.Errorf("the cluster's API server: %w", err)
			}
			r.Sinks = append(r.Sinks, auditsink.NewEvents(events, out.leadership, identity))
		}
		if o.auditReports {
			reports, err := dynamicClient(client)
			if err != nil {
				return nil, err
			}
			r.Sinks = append(r.Sinks, auditsink.NewReports(reports, out.leadership))
		}
	}
	out.runner = audit.NewRunner(r)
	return out, nil
}

// run audits until the context ends.
func (a *audits) run(ctx context.Context) {
	var group sync.WaitGroup
	if a.leadership != nil {
		group.Go(func() { a.leadership.Run(ctx) })
	}
	if a.runner != nil {
		group.Go(func() { a.runner.Run(ctx) })
	}
	group.Wait()
}

// identity tells this replica from all others.
func identity() (string, error) {
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("the name of this machine: %w", err)
	}
	// As long as an Event's reportingInstance may be, which is 128 bytes.
	return host[:min(len(host), 90)] + "_" + string(uuid.NewUUID()), nil
}

// leaseNamespace is the namespace of the Lease.
func (o serveOptions) leaseNamespace() string {
	if o.leaseIn != "" || o.kubeconfig != "" {
		return cmp.Or(o.leaseIn, name)
	}
	here, err := os.ReadFile(namespaceFile)
	if err != nil { // nobody was told
		return name
	}
	return cmp.Or(strings.TrimSpace(string(here)), name)
}
