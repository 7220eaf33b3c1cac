package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/deploykf"
)

func TestConfigWritesTheBuiltInOne(t *testing.T) {
	r := main(t, "", "config")
	require.Equal(t, exitAllowed, r.code, r.err)
	assert.Empty(t, r.err)
	c, err := config.Load([]byte(r.out), "stdout")
	require.NoError(t, err)
	assert.Equal(t, deploykf.Default(), c)
}

func TestConfigFromValues(t *testing.T) {
	ports := filepath.Join(t.TempDir(), "ports.yaml")
	require.NoError(t, os.WriteFile(ports, []byte("deploykf_core: {deploykf_istio_gateway: {gateway: {ports: {http: 8080, https: 8443}}}}\n"), 0o600))
	r := main(t, "deploykf_core: {deploykf_istio_gateway: {gateway: {hostname: ml.example.org, titel: x}}}\n",
		"config", "--deploykf-values", ports, "--deploykf-values", "-", "--deploykf-version", "v0.1.3")
	require.Equal(t, exitAllowed, r.code, r.err)
	assert.Equal(t, "gatewarden: -: deploykf_core.deploykf_istio_gateway.gateway.titel: deployKF has no such value, and it has no effect\n", r.err)
	c, err := config.Load([]byte(r.out), "stdout")
	require.NoError(t, err)
	g := c.GuardedGateways[0]
	assert.Equal(t, []string{"ml.example.org"}, g.Domains)
	assert.Equal(t, uint32(8443), g.Servers[0].Port)
	assert.Equal(t, config.Dedicated, g.Sharing)
	assert.Contains(t, r.out, "can not be shared")
	assert.Contains(t, r.out, "# Made from the values of deployKF 0.1.3 in "+ports+", -.")
}

// What stands in the way is one line that names the file or flag, and nothing is written.
func TestConfigCannotRun(t *testing.T) {
	const nowhere = `apiVersion: v1
kind: Config
current-context: c
clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}]
contexts: [{name: c, context: {cluster: c}}]
`
	dead := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, os.WriteFile(dead, []byte(nowhere), 0o600))
	for name, tc := range map[string]struct {
		stdin string
		args  []string
		want  []string
	}{
		"no file":          {args: []string{"--deploykf-values", "nowhere.yaml"}, want: []string{"--deploykf-values nowhere.yaml", "no such file"}},
		"other values":     {stdin: "replicas: 3\n", args: []string{"--deploykf-values", "-"}, want: []string{"-: is no values file of deployKF"}},
		"no YAML":          {stdin: "a: [", args: []string{"--deploykf-values", "-"}, want: []string{"-: is no values file of deployKF"}},
		"a wrong value":    {stdin: "deploykf_core: {deploykf_istio_gateway: {gateway: {ports: {https: x}}}}", args: []string{"--deploykf-values", "-"}, want: []string{"-: deploykf_core.deploykf_istio_gateway.gateway.ports.https: must be a port"}},
		"a wrong setting":  {stdin: "deploykf_dependencies: {istio: {meshConfig: {ingressControllerMode: SOME}}}", args: []string{"--deploykf-values", "-"}, want: []string{"mesh.ingressControllerMode"}},
		"version":          {args: []string{"--deploykf-version", "0.2.0"}, want: []string{"--deploykf-version", `"0.2.0"`, "0.1.3, 0.1.4, 0.1.5"}},
		"input read twice": {args: []string{"--deploykf-values", "-", "--deploykf-values", "-"}, want: []string{"more than once"}},
		"no cluster":       {args: []string{"--gateway", "a/b"}, want: []string{"--gateway needs --kubeconfig"}},
		"no gateway":       {args: []string{"--kubeconfig", dead, "--gateway", "b"}, want: []string{`--gateway "b"`, "NAMESPACE/NAME"}},
		"an argument":      {args: []string{"values.yaml"}, want: []string{"takes no arguments"}},
		"no kubeconfig":    {args: []string{"--kubeconfig", "nowhere"}, want: []string{"--kubeconfig", "nowhere"}},
		"none either":      {args: []string{"--kubeconfig", "testdata/shop.yaml"}, want: []string{"--kubeconfig testdata/shop.yaml"}},
		"dead cluster":     {args: []string{"--kubeconfig", dead}, want: []string{"--kubeconfig " + dead, "can not be asked", "refused"}},
	} {
		t.Run(name, func(t *testing.T) {
			cannotRun(t, tc.stdin, append([]string{"config"}, tc.args...), tc.want)
		})
	}
}

// What a configuration says of itself is on check's last lines.
func TestCheckNotesWhatTheConfigurationOpens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(path, []byte(configuration("one.example.com")+
		"exemptions:\n- {groups: [system:authenticated], reason: everything}\n- {users: [ann], reason: a move, expires: 2020-01-01}\n"), 0o600))
	r := main(t, "", "check", "--config", path, "testdata/shop.yaml")
	require.Equal(t, exitAllowed, r.code, r.err)
	assert.Contains(t, r.out, "note: exemptions[0] (everything) exempts every requester")
	assert.Contains(t, r.out, "note: exemptions[1] (a move) expired on 2020-01-01")
	r = main(t, "", "check", "-o", "json", "--config", path, "testdata/shop.yaml")
	assert.Contains(t, r.out, `"notes": [`)
	require.NoError(t, os.WriteFile(path, []byte(configuration("one.example.com")+"rules: {GWD999: off}\n"), 0o600))
	r = main(t, "", "check", "--config", path, "testdata/shop.yaml")
	assert.Equal(t, exitFailed, r.code)
	assert.Contains(t, r.err, "rules[GWD999]")
}
