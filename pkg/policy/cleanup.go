package policy

import "slices"

// Cleaners delete what belongs to something that is gone already; refusing them would keep
// a namespace or an owner from ever being deleted. They are the ServiceAccounts of the
// namespace controller and of the garbage collector in kube-controller-manager.
var Cleaners = []string{
	"system:serviceaccount:kube-system:namespace-controller",
	"system:serviceaccount:kube-system:generic-garbage-collector",
}

// CleansUp reports whether a change deletes what goes anyway: by the namespace controller
// or the garbage collector, or in a namespace that is being deleted. Nothing that it takes
// away can be kept, so rules let it pass.
func (w *World) CleansUp(c Change) bool {
	return c.Operation == Delete &&
		(slices.Contains(Cleaners, c.Requester.Name) || w.Terminating(c.Object().Key().Namespace))
}
