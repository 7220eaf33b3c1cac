package ledgerstore

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/gatewarden/gatewarden/pkg/decode"
	"github.com/gatewarden/gatewarden/pkg/ledger"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// entry is a change of a Gateway with some hosts, and what is kept of it.
func entry(t *testing.T, operation policy.Operation, hosts ...string) (ledger.Change, []byte) {
	t.Helper()
	raw, err := decode.Prune(resource.ByKind(resource.KindGateway), []byte(`{"apiVersion": "networking.istio.io/v1", "kind": "Gateway",
		"metadata": {"generateName": "g-", "uid": "u"}, "spec": {"servers": [{"port": {"number": 443, "protocol": "HTTPS"}, "hosts": ["`+strings.Join(hosts, `","`)+`"]}]}}`))
	require.NoError(t, err)
	return ledger.Change{
		Key:       resource.Key{Kind: resource.KindGateway, Namespace: "n", Name: "g-1"},
		Operation: operation, UID: "u", Before: 7, Request: "r", Requester: "somebody", Replica: "one",
	}, raw
}

// many are more hosts than are kept as they are.
var many = func() []string {
	out := make([]string, 0, 2000)
	for i := range cap(out) {
		out = append(out, fmt.Sprintf("host-%d.example.org", i))
	}
	return out
}()

// What is no text can not be data of a ConfigMap.
func TestEntriesWithoutTextArePacked(t *testing.T) {
	c, _ := entry(t, policy.Create, "a.example.org")
	m, err := encode("id", c, []byte("\xff"))
	require.NoError(t, err)
	assert.NotContains(t, m.Data, keyObject)
	assert.NotEmpty(t, m.BinaryData[keyObject])
}

func TestEntriesAreReadAsTheyWereWritten(t *testing.T) {
	for _, test := range []struct {
		operation policy.Operation
		hosts     []string
		packed    bool
	}{
		{policy.Create, []string{"a.example.org"}, false},
		{policy.Update, []string{"a.example.org"}, false},
		{policy.Update, many, true},
		{policy.Delete, []string{"a.example.org"}, false},
	} {
		operation := test.operation
		c, raw := entry(t, operation, test.hosts...)
		m, err := encode("id", c, raw)
		require.NoError(t, err)
		assert.Equal(t, test.packed, m.BinaryData != nil)
		m.ResourceVersion = "12"
		r, err := Decode(m)
		require.NoError(t, err)
		require.Empty(t, r.Unreadable)
		assert.Equal(t, "id", r.ID)
		assert.EqualValues(t, 12, r.Revision)
		if operation != policy.Delete {
			g, ok := r.Object.(*resource.Gateway)
			require.True(t, ok)
			assert.Equal(t, c.Key, g.Key(), "the name that the API server made up is not in the object")
			assert.Equal(t, test.hosts, g.Servers[0].Hosts)
			c.Object = g
		}
		assert.Equal(t, c, r.Change)
	}
}

func TestEntriesThatCannotBeReadSayWhy(t *testing.T) {
	for want, spoil := range map[string]func(*corev1.ConfigMap){
		`data.kind: "Secret" is no kind`:     func(m *corev1.ConfigMap) { m.Data[keyKind] = "Secret" },
		`data.operation: "PATCH" is none of`: func(m *corev1.ConfigMap) { m.Data[keyOperation] = "PATCH" },
		`data.before: "" is no version`:      func(m *corev1.ConfigMap) { delete(m.Data, keyBefore) },
		"binaryData.object: EOF":             func(m *corev1.ConfigMap) { m.BinaryData = nil },
		"data.object: not valid JSON":        func(m *corev1.ConfigMap) { m.Data[keyObject] = "{" },
		"binaryData.object: gzip: invalid":   func(m *corev1.ConfigMap) { m.BinaryData[keyObject] = []byte("not packed, and long enough") },
		"binaryData.object: unexpected EOF":  func(m *corev1.ConfigMap) { b := m.BinaryData[keyObject]; m.BinaryData[keyObject] = b[:len(b)/2] },
	} {
		c, raw := entry(t, policy.Create, many...)
		m, err := encode("id", c, raw)
		require.NoError(t, err)
		m.ResourceVersion = "12"
		spoil(m)
		r, err := Decode(m)
		require.NoError(t, err)
		assert.True(t, strings.HasPrefix(r.Unreadable, want), "%q instead of %q", r.Unreadable, want)
	}
	_, err := Decode(&corev1.ConfigMap{})
	assert.Error(t, err, "no API server sends one without a version")
}

func TestEntriesAreNotLargerThanAConfigMap(t *testing.T) {
	c, _ := entry(t, policy.Create, "a.example.org")
	_, err := encode("id", c, make([]byte, maxObject+1))
	assert.ErrorIs(t, err, ErrTooLarge)
	_, err = encode("id", c, make([]byte, maxObject))
	assert.NoError(t, err, "zeros pack well")
	large := make([]byte, 2<<20)
	for i, x := 0, uint32(1); i < len(large); i++ {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		large[i] = byte(x)
	}
	_, err = encode("id", c, large)
	assert.ErrorIs(t, err, ErrTooLarge)
}
