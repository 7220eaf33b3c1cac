package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatewarden/gatewarden/pkg/deploykf"
)

// columns returns "id: expected got" for each row of the table, which ends at the first
// empty line.
func columns(t *testing.T, out string) []string {
	t.Helper()
	table, _, _ := strings.Cut(out, "\n\n")
	var got []string
	for _, line := range strings.Split(table, "\n")[1:] {
		fields := strings.FieldsFunc(strings.ReplaceAll(line, "  ", "\t"), func(r rune) bool { return r == '\t' })
		require.GreaterOrEqual(t, len(fields), 3, line)
		got = append(got, strings.TrimSpace(fields[0])+": "+strings.TrimSpace(fields[1])+" "+strings.TrimSpace(fields[2]))
	}
	return got
}

func TestObjectsOfDeployKF(t *testing.T) {
	var out bytes.Buffer
	agrees, err := run("testdata/objects", &out)
	require.NoError(t, err)
	assert.True(t, agrees, out.String())
	assert.Equal(t, []string{
		"context ConfigMap istio-system/istio create: allow not judged",
		"context ConfigMap istio-system/istio re-apply: allow not judged",
		"context Namespace /deploykf-istio-gateway create: allow allow",
		"context Namespace /deploykf-istio-gateway re-apply: allow allow",
		"context installation: allow allow",
		"gwdeploy-complete Deployment deploykf-istio-gateway/front create: allow allow",
		"gwdeploy-complete Deployment deploykf-istio-gateway/front re-apply: allow allow",
		"gwdeploy-complete installation: allow allow",
		"other Gateway deploykf-istio-gateway/deploykf-gateway create: allow allow",
		"other Gateway deploykf-istio-gateway/deploykf-gateway re-apply: allow allow",
		"other installation: allow allow",
		"runtime VirtualService team/notebook-… create: allow allow",
		"runtime VirtualService team/notebook-… re-apply: allow allow",
		"runtime installation: allow allow",
		"std ConfigMap deploykf-istio-gateway/settings: allow not judged",
		"std Gateway deploykf-istio-gateway/deploykf-gateway create: allow allow",
		"std Gateway deploykf-istio-gateway/deploykf-gateway re-apply: allow allow",
		"std installation: allow allow",
	}, columns(t, out.String()))
}

// Whatever is wrong with an object is a disagreement: a denial, or a patch.
func TestObjectsThatDisagree(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/objects")))
	edit := func(file, from, to string) {
		path := filepath.Join(dir, file)
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Contains(t, string(data), from)
		require.NoError(t, os.WriteFile(path, []byte(strings.ReplaceAll(string(data), from, to)), 0o600))
	}
	edit("runtime__virtualservice__team__generated.yaml", "/notebook/team/one/", "/notebook/others/one/")
	edit("gwdeploy-complete__deployment__deploykf-istio-gateway__front.yaml", "ip_unprivileged_port_start", "tcp_syncookies")
	var out bytes.Buffer
	agrees, err := run(dir, &out)
	require.NoError(t, err)
	assert.False(t, agrees)
	lines := strings.Join(columns(t, out.String()), "\n")
	assert.Contains(t, lines, "runtime VirtualService team/notebook-… create: allow deny")
	assert.Contains(t, lines, "runtime VirtualService team/notebook-… re-apply: allow warn", "carried, and so no disagreement")
	assert.Contains(t, lines, "gwdeploy-complete Deployment deploykf-istio-gateway/front create: allow patch")
	assert.Contains(t, out.String(), "2 disagree, 0 differ in a warning")

	edit("context__configmap__istio-system__istio.yaml", "UntilProxyStarts: true", "UntilProxyStarts: false")
	out.Reset()
	_, err = run(dir, &out)
	require.NoError(t, err)
	assert.Contains(t, strings.Join(columns(t, out.String()), "\n"), "std installation: allow warn")
	assert.Contains(t, out.String(), "7 disagree, 0 differ in a warning", "in each of five worlds")
}

func TestWorlds(t *testing.T) {
	var out bytes.Buffer
	agrees, err := run("testdata/worlds", &out)
	require.NoError(t, err)
	assert.True(t, agrees, out.String())
	assert.Equal(t, []string{
		"create-allowed: allow allow",
		"create-denied: deny deny",
		"delete-allowed: allow allow",
		"unjudged: deny not judged",
		"unread: deny not judged",
		"update-denied: deny deny",
	}, columns(t, out.String()))
	assert.Contains(t, out.String(), "4 judged, 2 not judged: 0 disagree, 0 differ in a warning")
}

func TestWorldsThatDisagree(t *testing.T) {
	for _, tc := range []struct{ file, from, to, want string }{
		{"create-denied.yaml", "outcome: deny", "outcome: allow", "1 disagree, 0 differ"},
		{"create-allowed.yaml", "outcome: allow", "outcome: deny", "1 disagree, 0 differ"},
		{"create-allowed.yaml", "outcome: allow", "outcome: warn", "0 disagree, 1 differ"},
	} {
		dir := t.TempDir()
		data, err := os.ReadFile(filepath.Join("testdata/worlds", tc.file))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, tc.file),
			[]byte(strings.Replace(string(data), tc.from, tc.to, 1)), 0o600))
		var out bytes.Buffer
		agrees, err := run(dir, &out)
		require.NoError(t, err)
		assert.Equal(t, strings.HasPrefix(tc.want, "0"), agrees)
		assert.Contains(t, out.String(), tc.want)
		assert.Contains(t, out.String(), "recorded: a world of the tool's own tests")
	}
}

func TestFoldersThatCanNotBeReplayed(t *testing.T) {
	for _, tc := range []struct{ dir, want string }{
		{"testdata/nowhere", "no *.yaml files"},
		{"testdata/mixed", "some files are named"},
	} {
		_, err := run(tc.dir, &bytes.Buffer{})
		assert.ErrorContains(t, err, tc.want)
		assert.ErrorContains(t, err, tc.dir)
	}
	for _, tc := range []struct{ from, to, want string }{
		{"outcome: allow", "outcome: perhaps", "outcome"},
		{"operation: CREATE", "operation: UPDATE", "not among the existing objects"},
		{"why:", "because:", "because"},
		{"gatewayPods:", "podsOfTheGateway:", "podsOfTheGateway"},
	} {
		dir := t.TempDir()
		data, err := os.ReadFile("testdata/worlds/create-allowed.yaml")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "w.yaml"), []byte(strings.Replace(string(data), tc.from, tc.to, 1)), 0o600))
		_, err = run(dir, &bytes.Buffer{})
		assert.ErrorContains(t, err, tc.want)
	}
}

// The whole guard moves with the gateway, so that no part of it protects a namespace in
// which the gateway is not.
func TestGuardMoves(t *testing.T) {
	cfg := deploykf.Default()
	before := cfg.GuardedGateways[0].Namespace
	labels := map[string]string{"app": "moved"}
	guard(cfg, "elsewhere", labels)
	g := cfg.GuardedGateways[0]
	assert.Equal(t, "elsewhere", g.Namespace)
	assert.Equal(t, labels, g.PodLabels)
	for _, s := range g.Servers {
		for _, h := range s.Hosts {
			assert.NotContains(t, h, before+"/")
		}
	}
	for _, o := range g.OwnerObjects {
		assert.NotEqual(t, before, o.Namespace)
	}
	assert.NotContains(t, cfg.ProtectedNamespaces.Names, before)
	assert.Contains(t, cfg.ProtectedNamespaces.Names, "elsewhere")
	for _, p := range cfg.PermissivePolicies {
		assert.NotEqual(t, before, p.Namespace)
	}
}
