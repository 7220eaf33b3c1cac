package report

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// Tool describes gatewarden in formats that want to know what a result came from.
type Tool struct {
	Version string
	// Rules are all rules, whether they found something or not.
	Rules []*policy.Rule
}

// result is a finding about an object, wherever it comes from.
type result struct {
	Object Object
	policy.Finding
}

// results returns the findings of a report.
func (r Report) results() []result {
	var out []result
	for _, d := range r.Decisions {
		for _, f := range d.Findings {
			out = append(out, result{d.Object, f})
		}
	}
	return out
}

// results returns the findings that an audit reports.
func (a Audit) results() []result {
	var out []result
	for _, f := range a.reported() {
		out = append(out, result{objectOf(f), f.Finding})
	}
	return out
}

// qualified is the name of an object with its kind as kubectl takes it, which no two objects
// share: "Gateway.networking.istio.io shop/front".
func (o Object) qualified() string {
	kind := o.Kind
	if group, _, found := strings.Cut(o.APIVersion, "/"); found {
		kind += "." + group
	}
	return resource.Key{Kind: resource.Kind(kind), Namespace: o.Namespace, Name: o.shown()}.String()
}

// shown is the name to show to people.
func (o Object) shown() string {
	if o.Name == "" {
		return o.Display
	}
	return o.Name
}

// fingerprint is the identity of a finding as one word.
func (r result) fingerprint() string {
	sum := sha256.Sum256([]byte(r.Rule + "\x00" + r.Object.qualified() + "\x00" + r.Subject))
	return hex.EncodeToString(sum[:])
}
