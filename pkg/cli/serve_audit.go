package cli

import (
	"fmt"

	eventsv1 "k8s.io/client-go/kubernetes/typed/events/v1"
	"k8s.io/client-go/rest"

	"github.com/gatewarden/gatewarden/pkg/audit"
	"github.com/gatewarden/gatewarden/pkg/auditsink"
	"github.com/gatewarden/gatewarden/pkg/leadership"
	"github.com/gatewarden/gatewarden/pkg/metrics"
)

// audits completes a Runner, or returns nil for no audits. What its sinks write is written to the
// cluster of a client by the leader, in the name of an identity.
func (o serveOptions) audits(client *rest.Config, leader *leadership.Leadership, identity string,
	recorder metrics.Recorder, r audit.Runner,
) (*audit.Runner, error) {
	if o.auditInterval == 0 {
		return nil, nil
	}
	r.Interval, r.Done = o.auditInterval, recorder.Audited
	r.Sinks = []audit.Sink{auditsink.Log{Log: r.Log}, auditsink.Metrics{Recorder: recorder}}
	if o.auditEvents {
		events, err := eventsv1.NewForConfig(client)
		if err != nil {
			return nil, fmt.Errorf("the cluster's API server: %w", err)
		}
		r.Sinks = append(r.Sinks, auditsink.NewEvents(events, leader, identity))
	}
	if o.auditReports {
		reports, err := dynamicClient(client)
		if err != nil {
			return nil, err
		}
		r.Sinks = append(r.Sinks, auditsink.NewReports(reports, leader))
	}
	runner := audit.NewRunner(r)
	if leader != nil {
		// So that what was found before is written.
		leader.OnWon(runner.Wake)
	}
	return runner, nil
}
