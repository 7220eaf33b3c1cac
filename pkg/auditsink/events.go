package auditsink

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	eventsv1client "k8s.io/client-go/kubernetes/typed/events/v1"

	"github.com/gatewarden/gatewarden/pkg/audit"
	"github.com/gatewarden/gatewarden/pkg/leadership"
	"github.com/gatewarden/gatewarden/pkg/policy"
)

// Controller is what Events and reports name as their origin.
const Controller = "gatewarden.io/gatewarden"

const (
	// eventsPerAudit bounds the Events of one audit. The rest is for the next ones.
	eventsPerAudit = 50
	// noteLimit is the API server's for an Event's note, in bytes.
	noteLimit = 1024
	// eventLife is how long an API server keeps an Event, unless its --event-ttl says otherwise.
	eventLife = time.Hour
	// handover is how long somebody else's Events may be missing although he was there: he may
	// have ended between an audit and its Events.
	handover = 2 * leadership.Duration
)

// Events writes an Event on an object when a finding that denies or warns appears on it, and
// another one when that is resolved. While it stays there is none.
//
// Each replica keeps what was told, and only the leader writes. So a new leader knows what the
// last one told; a server that starts alone tells what there is once more. The names of Events
// follow from what they tell, so that nothing is told twice as long as the API server keeps it.
type Events struct {
	client   eventsv1client.EventsV1Interface
	leader   *leadership.Leadership
	instance string
	told     map[audit.ID]telling
	// resolved are the findings that were, and may appear again, with the time and how often.
	resolved map[audit.ID]resolution
	leading  bool // at the last audit
}

// telling is a finding that was told, and when.
type telling struct {
	audit.Finding
	at time.Time
}

type resolution struct {
	times int
	at    time.Time
}

// NewEvents returns a sink that writes in the name of an instance.
func NewEvents(client eventsv1client.EventsV1Interface, leader *leadership.Leadership, instance string) *Events {
	return &Events{client: client, leader: leader, instance: instance, told: map[audit.ID]telling{}, resolved: map[audit.ID]resolution{}}
}

// Name names the sink.
func (*Events) Name() string { return "events" }

// Tell writes Events about what was not told before.
func (e *Events) Tell(ctx context.Context, o audit.Outcome) error {
	ctx, cancel, leading := e.leader.Of(ctx)
	defer cancel()
	if leading && !e.leading {
		maps.DeleteFunc(e.told, func(_ audit.ID, t telling) bool { return o.Ended.Sub(t.at) < handover })
	}
	e.leading = leading
	maps.DeleteFunc(e.resolved, func(_ audit.ID, r resolution) bool { return o.Ended.Sub(r.at) > eventLife })

	telling := slices.DeleteFunc(slices.Clone(o.Findings), func(f audit.Finding) bool { return f.Effect < policy.Warn })
	earlier := slices.SortedFunc(maps.Keys(e.told), func(a, b audit.ID) int {
		return cmp.Or(a.Key.Compare(b.Key), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Subject, b.Subject))
	})
	c := audit.Compare(earlier, telling)
	events := make([]func() error, 0, len(c.New)+len(c.Resolved))
	for _, id := range c.Resolved {
		events = append(events, func() error { return e.resolve(ctx, id, o.Ended) })
	}
	for _, f := range worstFirst(c.New) {
		events = append(events, func() error { return e.find(ctx, f, o.Ended) })
	}
	var errs []error
	for i, event := range events {
		if leading && i == eventsPerAudit {
			errs = append(errs, fmt.Errorf("%d more Events are left for the next audits", len(events)-i))
			break
		}
		errs = append(errs, event())
	}
	return errors.Join(errs...)
}

// find tells that a finding has appeared.
func (e *Events) find(ctx context.Context, f audit.Finding, now time.Time) error {
	if err := e.write(ctx, f, corev1.EventTypeWarning, f.String(), now); err != nil {
		return err
	}
	e.told[f.ID()] = telling{f, now}
	return nil
}

// resolve tells that a finding has disappeared.
func (e *Events) resolve(ctx context.Context, id audit.ID, now time.Time) error {
	f := e.told[id].Finding
	if err := e.write(ctx, f, corev1.EventTypeNormal, "Resolved: "+f.String(), now); err != nil {
		return err
	}
	delete(e.told, id)
	e.resolved[id] = resolution{e.resolved[id].times + 1, now}
	return nil
}

// write writes an Event, if this replica is the one that does.
func (e *Events) write(ctx context.Context, f audit.Finding, kind, note string, now time.Time) error {
	if !e.leading {
		return nil
	}
	event := &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: cmp.Or(f.Key.Namespace, metav1.NamespaceDefault), // where those of cluster-scoped objects are
			Name:      e.eventName(f.ID(), kind),
		},
		EventTime:           metav1.NewMicroTime(now),
		ReportingController: Controller,
		ReportingInstance:   e.instance,
		Action:              "Audit",
		Reason:              camelCase(f.Name),
		Type:                kind,
		Regarding:           subject(f),
		Note:                cut(note, noteLimit),
	}
	if len(f.Related) > 0 {
		related := reference(f.Related[0])
		event.Related = &related
	}
	_, err := e.client.Events(event.Namespace).Create(ctx, event, metav1.CreateOptions{})
	switch {
	case apierrors.IsAlreadyExists(err): // another leader told it
	case apierrors.IsNotFound(err), apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause): // there is no place for it
	case err != nil:
		return fmt.Errorf("the Event on %s: %w", f.Key, err)
	}
	return nil
}

// eventName is the name of the Event with which a finding appears or disappears, for the n-th
// time in the life of an Event.
func (e *Events) eventName(id audit.ID, kind string) string {
	hash := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q %d", id.Rule, id.Key, id.Subject, kind, e.resolved[id].times))
	return "gatewarden." + hex.EncodeToString(hash[:16])
}

// camelCase makes "HostConflict" of "host-conflict".
func camelCase(s string) string {
	var b strings.Builder
	for _, word := range strings.Split(s, "-") {
		if word != "" {
			b.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
	}
	return b.String()
}

// cut cuts a text to a number of bytes.
func cut(s string, limit int) string {
	const ellipsis = "…"
	if len(s) <= limit {
		return s
	}
	end := limit - len(ellipsis)
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + ellipsis
}
