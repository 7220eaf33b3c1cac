package rules

import (
	"fmt"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// dropped tells which of two servers of a port Istio drops, and when: the younger Gateway's
// now, and the other one's as soon as its Gateway is re-created.
func dropped(w *policy.World, e *policy.Encounter, theirs resource.Key) string {
	switch w.SeniorityOf(e.Gateway, theirs) {
	case policy.Younger:
		return "Istio silently drops this server with all of its hosts now, and the other one as soon as its Gateway is re-created"
	case policy.Older:
		if w.Snapshot.Get(theirs) == nil {
			return "Istio silently drops the other one with all of its hosts when it comes"
		}
		return "Istio silently drops the other one with all of its hosts now, because this Gateway is older"
	}
	return "Istio silently drops the server of the younger Gateway with all of its hosts, which turns when one of the two is re-created"
}

// refuses tells what a listener that the proxy refuses means, and for whom.
func refuses(s *policy.Server) string {
	return fmt.Sprintf("the proxy refuses the whole listener %s from now on: running pods keep the last good state, new pods serve nobody there", listeners(s))
}

// listeners writes the names of the listeners that a server may be on, as the proxy and istiod
// log them (getListenerName in istio.io/istio pilot/pkg/networking/core/gateway.go).
func listeners(s *policy.Server) string {
	bind := policy.Address(s.Bind)
	if bind == "" {
		bind = "0.0.0.0"
	}
	l := make([]string, len(s.Ports))
	for i, p := range s.Ports {
		l[i] = fmt.Sprintf("%s_%d", bind, p)
	}
	return strings.Join(l, " or ")
}
