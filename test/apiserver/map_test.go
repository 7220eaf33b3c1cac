package apiserver_test

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/cli"
)

// A map of the API server has what is there, with the ages that the API server gave.
func TestMap(t *testing.T) {
	plant(t, onTheGateway("thief", "deploykf.example.com"))
	admin := filepath.Join(t.TempDir(), "admin")
	require.NoError(t, server.WriteKubeconfig(admin))
	mapped := func(kubeconfig string, args ...string) (string, string, int) {
		var out, err bytes.Buffer
		code := cli.Main(append([]string{"map", "--kubeconfig", kubeconfig}, args...), strings.NewReader(""), &out, &err)
		return out.String(), err.String(), code
	}
	out, told, code := mapped(admin, "-o", "json")
	require.Zero(t, code, told)
	assert.Empty(t, told)
	var doc struct {
		Gateways []struct {
			Listeners []struct {
				Name    string
				Servers []struct{ Owner, Namespace, Name, Created, Dropped string }
			}
		}
		Notes []string
	}
	require.NoError(t, json.Unmarshal([]byte(out), &doc))
	assert.Empty(t, doc.Notes)
	found := false
	for _, g := range doc.Gateways {
		for _, l := range g.Listeners {
			for _, s := range l.Servers {
				assert.NotEmpty(t, s.Created)
				found = found || s.Namespace == "default" && s.Name == "thief" && s.Owner == "default"
			}
		}
	}
	assert.True(t, found, out)

	out, told, code = mapped(kubeconfigOf(t, "nobody"))
	assert.Equal(t, 2, code)
	assert.Empty(t, out)
	assert.Contains(t, told, "lets this user list nothing")
}
