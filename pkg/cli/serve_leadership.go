package cli

import (
	"cmp"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/rest"

	"github.com/gatewarden/gatewarden/pkg/leadership"
)

// namespaceFile is where Kubernetes tells a pod the namespace that it runs in.
const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// leadership makes a candidate, or nil if this server writes nothing that a leader has to.
func (o serveOptions) leadership(client *rest.Config, identity string, log *slog.Logger) (*leadership.Leadership, error) {
	if !o.auditEvents && !o.auditReports && !o.backstop && !o.managed.on {
		return nil, nil
	}
	leader, err := leadership.New(client, o.ownNamespace(), identity, log)
	if err != nil {
		return nil, fmt.Errorf("the cluster's API server: %w", err)
	}
	return leader, nil
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

// ownNamespace is the namespace of what gatewarden writes for itself.
func (o serveOptions) ownNamespace() string {
	if o.namespace != "" || o.kubeconfig != "" {
		return cmp.Or(o.namespace, name)
	}
	here, err := os.ReadFile(namespaceFile)
	if err != nil { // nobody was told
		return name
	}
	return cmp.Or(strings.TrimSpace(string(here)), name)
}
