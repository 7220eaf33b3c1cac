package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestLedgerIsPrintedInItsOrder(t *testing.T) {
	entry := func(version, name string, seconds int) corev1.ConfigMap {
		return corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{
				Name: "id-" + version, ResourceVersion: version,
				CreationTimestamp: metav1.Date(2026, time.March, 1, 10, 0, seconds, 0, time.UTC),
			},
			Data: map[string]string{
				"kind": "PeerAuthentication", "namespace": "n", "name": name, "operation": "DELETE", "before": "3",
				"requester": "user of " + name, "replica": "one",
			},
		}
	}
	spoiled := entry("11", "c", 9)
	spoiled.Data["operation"] = "PATCH"
	var out strings.Builder
	require.NoError(t, printLedger(&out, []corev1.ConfigMap{entry("10", "b", 7), entry("9", "a", 5), spoiled}, time.Minute))
	var lines [][]string
	for line := range strings.Lines(out.String()) {
		lines = append(lines, strings.Fields(line))
	}
	require.Len(t, lines, 4)
	assert.Equal(t, []string{"UNTIL", "OPERATION", "OBJECT", "REQUESTER", "REPLICA"}, lines[0])
	assert.Equal(t, []string{"10:01:05", "DELETE", "PeerAuthentication", "n/a", "user", "of", "a", "one"}, lines[1])
	assert.Equal(t, "10:01:07", lines[2][0])
	assert.Contains(t, out.String(), `cannot be read: data.operation: "PATCH"`)

	out.Reset()
	require.NoError(t, printLedger(&out, nil, time.Minute))
	assert.Equal(t, "no changes are on their way\n", out.String())
}

func TestLedgerNeedsACluster(t *testing.T) {
	t.Setenv("KUBECONFIG", "/nowhere")
	r := main(t, "", "ledger")
	assert.Equal(t, 2, r.code)
	assert.Contains(t, r.err, "no cluster is known")
	r = main(t, "", "serve", "--self-signed", "--ledger", "somewhere")
	assert.Equal(t, 2, r.code)
	assert.Contains(t, r.err, `--ledger "somewhere": use cluster, memory or off`)
	r = main(t, "", "serve", "--self-signed", "--cluster", "../../examples/deploykf", "--ledger", "cluster")
	assert.Equal(t, 2, r.code)
	assert.Contains(t, r.err, "--ledger=cluster needs a cluster")
}
