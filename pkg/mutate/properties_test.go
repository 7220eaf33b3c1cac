package mutate_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/gatewarden/gatewarden/pkg/policy"
)

// TestPatchProperties draws workloads from the parts that patches are about.
func TestPatchProperties(t *testing.T) {
	worlds := []*policy.World{world(), world(80, 443), world(8080, 8443)}
	rapid.Check(t, func(t *rapid.T) {
		w := worlds[rapid.IntRange(0, len(worlds)-1).Draw(t, "world")]
		raw, err := json.Marshal(drawWorkload(t))
		require.NoError(t, err)

		ops := patch(t, w, raw)
		if ops == nil {
			return
		}
		once := apply(t, raw, ops)
		require.JSONEq(t, string(once), string(apply(t, raw, patch(t, w, raw))), "the same each time")
		require.Nil(t, patch(t, w, once), "twice is once: %s", once)
		require.JSONEq(t, string(strip(t, raw)), string(strip(t, once)), "nothing else changes")
	})
}

// strip takes away the three settings, and the parents that may have been made for them.
func strip(t require.TestingT, raw []byte) []byte {
	var o map[string]any
	require.NoError(t, json.Unmarshal(raw, &o))
	template := o["spec"].(map[string]any)["template"].(map[string]any)
	without := func(parent map[string]any, name string, edit func(map[string]any)) {
		child, _ := parent[name].(map[string]any)
		edit(child)
		if len(child) == 0 {
			delete(parent, name)
		}
	}
	without(template, "metadata", func(m map[string]any) {
		without(m, "labels", func(l map[string]any) { delete(l, "sidecar.istio.io/inject") })
		without(m, "annotations", func(a map[string]any) { delete(a, "inject.istio.io/templates") })
	})
	without(template["spec"].(map[string]any), "securityContext", func(c map[string]any) {
		var kept []any
		list, _ := c["sysctls"].([]any)
		for _, s := range list {
			switch s.(map[string]any)["name"] {
			case "net.ipv4.ip_unprivileged_port_start", "net/ipv4/ip_unprivileged_port_start":
			default:
				kept = append(kept, s)
			}
		}
		if delete(c, "sysctls"); kept != nil {
			c["sysctls"] = kept
		}
	})
	out, err := json.Marshal(o)
	require.NoError(t, err)
	return out
}

func drawWorkload(t *rapid.T) map[string]any {
	// put sets a member to one of the values, where an absent one is drawn as nil twice: to
	// leave the member out, and to write a null.
	put := func(o map[string]any, name string, values ...any) {
		i := rapid.IntRange(-2, len(values)-1).Draw(t, name)
		switch i {
		case -2:
		case -1:
			o[name] = nil
		default:
			o[name] = values[i]
		}
	}
	bools := []any{"true", "false", "yes", ""}
	labels := map[string]any{"app": "deploykf-gateway"}
	if rapid.Bool().Draw(t, "selected") {
		labels["istio"] = "deploykf-gateway"
	}
	annotations := map[string]any{}
	for _, m := range []map[string]any{labels, annotations} {
		if v := rapid.SampledFrom(append(bools, nil)).Draw(t, "inject"); v != nil {
			m["sidecar.istio.io/inject"] = v
		}
	}
	if v := rapid.SampledFrom([]any{"gateway", "sidecar", "a, gateway", nil, nil}).Draw(t, "templates"); v != nil {
		annotations["inject.istio.io/templates"] = v
	}
	if rapid.IntRange(0, 9).Draw(t, "opt-out") == 0 {
		annotations["gatewarden.io/sysctl"] = "disabled"
	}
	metadata := map[string]any{}
	put(metadata, "labels", labels, labels, labels)
	put(metadata, "annotations", annotations, annotations, annotations)

	sysctls := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) any {
		return map[string]any{
			"name": rapid.SampledFrom([]string{
				"net.ipv4.ip_unprivileged_port_start", "net/ipv4/ip_unprivileged_port_start", "net.core.somaxconn",
			}).Draw(t, "sysctl"),
			"value": rapid.SampledFrom([]string{"0", "80", "443", "1024", "x"}).Draw(t, "value"),
		}
	}), 0, 3).Draw(t, "sysctls")
	context := map[string]any{}
	put(context, "runAsUser", 0, 1337)
	put(context, "sysctls", any(sysctls), any(sysctls))

	capabilities := map[string]any{}
	put(capabilities, "add", []any{"NET_BIND_SERVICE"}, []any{"ALL"}, []any{})
	put(capabilities, "drop", []any{"NET_BIND_SERVICE"}, []any{"ALL"}, []any{})
	security := map[string]any{}
	put(security, "runAsUser", 0, 1337)
	put(security, "capabilities", capabilities)
	proxy := map[string]any{"name": "istio-proxy", "image": rapid.SampledFrom([]string{"auto", "proxyv2"}).Draw(t, "image")}
	put(proxy, "securityContext", security)
	containers := []any{proxy}
	if rapid.IntRange(0, 3).Draw(t, "beside") == 0 {
		containers = append(containers, map[string]any{"name": "web", "image": "web"})
	}

	spec := map[string]any{"containers": containers}
	put(spec, "securityContext", context, context)
	put(spec, "hostNetwork", true, false, false)
	template := map[string]any{"spec": spec}
	put(template, "metadata", metadata, metadata, metadata)
	return map[string]any{
		"apiVersion": "apps/v1",
		"kind":       rapid.SampledFrom([]string{"Deployment", "DaemonSet"}).Draw(t, "kind"),
		"metadata":   map[string]any{"name": "edge", "namespace": "deploykf-istio-gateway"},
		"spec": map[string]any{
			"selector": map[string]any{"matchLabels": map[string]any{"app": "deploykf-gateway"}},
			"template": template,
		},
	}
}
