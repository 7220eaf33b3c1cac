package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	yamldoc "go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/translate"
)

// Load reads a configuration from YAML or JSON. It is strict: an unknown field, a repeated
// field and a value that can not be meant are errors, one line each, that name source, field
// and fix. Fields that are left out get their defaults.
func Load(data []byte, source string) (*Configuration, error) {
	if more, err := severalDocuments(data); err == nil && more {
		return nil, fmt.Errorf("%s: has more than one YAML document; keep one", source)
	}
	raw, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %s", source, cause(err))
	}
	var c Configuration
	// Case-sensitive, as field names of Kubernetes are.
	strict, err := kjson.UnmarshalStrict(raw, &c, kjson.DisallowUnknownFields, kjson.DisallowDuplicateFields)
	if err != nil {
		return nil, fmt.Errorf("%s: %s", source, cause(err))
	}
	if len(strict) > 0 {
		lines := make([]string, len(strict))
		for i, e := range strict {
			lines[i] = fmt.Sprintf("%s: %s; the README's section Configuration lists the fields", source, e)
		}
		return nil, errors.New(strings.Join(lines, "\n"))
	}
	c.setDefaults()
	if errs := c.validate(); len(errs) > 0 {
		lines := make([]string, len(errs))
		for i, e := range errs {
			lines[i] = source + ": " + e.Error()
		}
		return nil, fmt.Errorf("%s", strings.Join(lines, "\n"))
	}
	return &c, nil
}

// severalDocuments reports whether there is anything behind the first YAML document.
func severalDocuments(data []byte) (bool, error) {
	d := yamldoc.NewDecoder(bytes.NewReader(data))
	for n := 0; ; {
		var node yamldoc.Node
		if err := d.Decode(&node); errors.Is(err, io.EOF) {
			return n > 1, nil
		} else if err != nil {
			return false, err // the parser proper says what is wrong
		}
		if len(node.Content) > 0 && node.Content[0].Tag != "!!null" {
			n++
		}
	}
}

// cause takes the decoder's own wrapping off an error.
func cause(err error) string {
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
		field := wrong.Field
		if field == "" {
			field = "the document"
		}
		return fmt.Sprintf("%s: must not be a JSON %s; the README's section Configuration shows its form", field, wrong.Value)
	}
	s := err.Error()
	for _, prefix := range []string{"error unmarshaling JSON: ", "error converting YAML to JSON: ", "while decoding JSON: ", "json: "} {
		s = strings.TrimPrefix(s, prefix)
	}
	return strings.ReplaceAll(s, "\n", " ")
}

func (c *Configuration) setDefaults() {
	if c.Mesh.RootNamespace == "" {
		c.Mesh.RootNamespace = DefaultRootNamespace
	}
	if len(c.Mesh.DefaultVirtualServiceExportTo) == 0 {
		c.Mesh.DefaultVirtualServiceExportTo = []string{"*"}
	}
	for i := range c.GuardedGateways {
		if c.GuardedGateways[i].Sharing == "" {
			c.GuardedGateways[i].Sharing = HostAware
		}
		for j := range c.GuardedGateways[i].Servers {
			s := &c.GuardedGateways[i].Servers[j]
			if p := strings.ToUpper(s.Protocol); s.TLSMode == "" && (p == "HTTPS" || p == "TLS") {
				s.TLSMode = "SIMPLE"
			}
		}
	}
}

func (c *Configuration) validate() field.ErrorList {
	var errs field.ErrorList
	if c.APIVersion != APIVersion {
		errs = append(errs, field.NotSupported(field.NewPath("apiVersion"), c.APIVersion, []string{APIVersion}))
	}
	if c.Kind != Kind {
		errs = append(errs, field.NotSupported(field.NewPath("kind"), c.Kind, []string{Kind}))
	}
	modes := []string{translate.IngressOff, translate.IngressStrict, translate.IngressDefault}
	if mode := c.Mesh.IngressControllerMode; mode != "" && !slices.Contains(modes, mode) {
		errs = append(errs, field.NotSupported(field.NewPath("mesh", "ingressControllerMode"), mode, modes))
	}
	gateways := field.NewPath("guardedGateways")
	if len(c.GuardedGateways) == 0 {
		errs = append(errs, field.Required(gateways, "list the gateways to guard, at least one"))
	}
	for i := range c.GuardedGateways {
		errs = append(errs, c.GuardedGateways[i].validate(gateways.Index(i))...)
		for j := range i {
			if c.GuardedGateways[j].Name == c.GuardedGateways[i].Name {
				errs = append(errs, field.Duplicate(gateways.Index(i).Child("name"), c.GuardedGateways[i].Name))
			}
		}
	}
	for i, n := range c.ProtectedNamespaces.Names {
		errs = append(errs, namespace(field.NewPath("protectedNamespaces", "names").Index(i), n)...)
	}
	errs = append(errs, labels(field.NewPath("protectedNamespaces", "labels"), c.ProtectedNamespaces.Labels)...)
	for i, p := range c.PermissivePolicies {
		path := field.NewPath("permissivePolicies").Index(i)
		errs = append(errs, namespace(path.Child("namespace"), p.Namespace)...)
		if p.Name == "" {
			errs = append(errs, field.Required(path.Child("name"), "name the PeerAuthentication"))
		}
		errs = append(errs, labels(path.Child("selector"), p.Selector)...)
		if len(p.Selector) == 0 {
			errs = append(errs, field.Required(path.Child("selector"), "list the labels that its selector must have: a policy for a whole namespace can not be excepted"))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.Rules)) {
		if !slices.Contains(effects, c.Rules[key]) {
			errs = append(errs, field.NotSupported(field.NewPath("rules").Key(key), c.Rules[key], effects))
		}
	}
	for i := range c.Exemptions {
		errs = append(errs, c.Exemptions[i].validate(field.NewPath("exemptions").Index(i))...)
	}
	return errs
}

func (e *Exemption) validate(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(e.Users)+len(e.Groups)+len(e.Objects) == 0 {
		errs = append(errs, field.Required(path.Child("users"), "name users or groups, or objects"))
	}
	errs = append(errs, names(path.Child("users"), e.Users)...)
	errs = append(errs, names(path.Child("groups"), e.Groups)...)
	errs = append(errs, names(path.Child("rules"), e.Rules)...)
	for i, o := range e.Objects {
		if o == (ObjectPattern{}) {
			errs = append(errs, field.Required(path.Child("objects").Index(i), "give a kind, a namespace or a name"))
		}
		errs = append(errs, kind(path.Child("objects").Index(i).Child("kind"), o.Kind, true)...)
	}
	if e.Reason == "" {
		errs = append(errs, field.Required(path.Child("reason"), "say why they are not judged"))
	}
	if _, err := e.end(); err != nil {
		errs = append(errs, field.Invalid(path.Child("expires"), e.Expires, "must be a day such as 2026-12-31, or a moment such as 2026-12-31T18:00:00Z"))
	}
	return errs
}

// names refuses empty names, which would match what has none.
func names(path *field.Path, list []string) field.ErrorList {
	var errs field.ErrorList
	for i, n := range list {
		if n == "" {
			errs = append(errs, field.Required(path.Index(i), "give a name, or leave the entry out"))
		}
	}
	return errs
}

// kind refuses a kind that gatewarden does not read.
func kind(path *field.Path, k resource.Kind, optional bool) field.ErrorList {
	if optional && k == "" || slices.ContainsFunc(resource.APIs, func(a resource.API) bool { return a.Kind == k }) {
		return nil
	}
	return field.ErrorList{field.NotSupported(path, k, kinds())}
}

func (g *GuardedGateway) validate(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if g.Name == "" {
		errs = append(errs, field.Required(path.Child("name"), "name the gateway, as messages are to call it"))
	}
	errs = append(errs, namespace(path.Child("namespace"), g.Namespace)...)
	if len(g.Gateways) == 0 {
		errs = append(errs, field.Required(path.Child("gateways"), "name the owner's Gateway objects"))
	}
	if modes := []Sharing{HostAware, ExclusivePort, Dedicated}; !slices.Contains(modes, g.Sharing) {
		errs = append(errs, field.NotSupported(path.Child("sharing"), g.Sharing, modes))
	}
	if len(g.PodLabels) == 0 {
		errs = append(errs, field.Required(path.Child("podLabels"), "list the labels of the gateway's pods"))
	}
	errs = append(errs, labels(path.Child("podLabels"), g.PodLabels)...)
	if g.ServiceAccount != "" {
		for _, msg := range validation.IsDNS1123Subdomain(g.ServiceAccount) {
			errs = append(errs, field.Invalid(path.Child("serviceAccount"), g.ServiceAccount, msg))
		}
	}
	for i, s := range g.Servers {
		p := path.Child("servers").Index(i)
		if !slices.Contains(g.Gateways, s.Gateway) {
			errs = append(errs, field.NotSupported(p.Child("gateway"), s.Gateway, g.Gateways))
		}
		if s.Port < 1 || s.Port > 65535 {
			errs = append(errs, field.Invalid(p.Child("port"), s.Port, "must be between 1 and 65535"))
		}
		if s.PublicPort > 65535 {
			errs = append(errs, field.Invalid(p.Child("publicPort"), s.PublicPort, "must be between 1 and 65535"))
		}
		if !slices.ContainsFunc(protocols, func(k string) bool { return strings.EqualFold(k, s.Protocol) }) {
			errs = append(errs, field.NotSupported(p.Child("protocol"), s.Protocol, protocols))
		}
		if s.TLSMode != "" && !slices.Contains(tlsModes, s.TLSMode) {
			errs = append(errs, field.NotSupported(p.Child("tlsMode"), s.TLSMode, tlsModes))
		}
		for j, h := range s.Hosts {
			if !isServerHost(h) {
				errs = append(errs, field.Invalid(p.Child("hosts").Index(j), h, `must be a host name or a wildcard such as "*.example.org", with a namespace and a slash before it or not`))
			}
		}
		if len(s.Hosts) == 0 {
			errs = append(errs, field.Required(p.Child("hosts"), `list the hosts, "*" for all`))
		}
	}
	for i, d := range g.Domains {
		if msgs := validation.IsDNS1123Subdomain(strings.ToLower(d)); len(msgs) > 0 {
			errs = append(errs, field.Invalid(path.Child("domains").Index(i), d, "must be a domain without a wildcard: its subdomains are dedicated too"))
		}
	}
	for i, o := range g.OwnerObjects {
		errs = append(errs, o.validate(path.Child("ownerObjects").Index(i))...)
	}
	for i, h := range g.IdentityHeaders {
		p := path.Child("identityHeaders").Index(i)
		for _, msg := range validation.IsHTTPHeaderName(h) {
			errs = append(errs, field.Invalid(p, h, msg))
		}
		if slices.ContainsFunc(g.IdentityHeaders[:i], func(o string) bool { return strings.EqualFold(o, h) }) {
			errs = append(errs, field.Duplicate(p, h))
		}
	}
	for i, r := range g.ReservedRoutes {
		errs = append(errs, r.validate(path.Child("reservedRoutes").Index(i))...)
		if slices.ContainsFunc(g.ReservedRoutes[:i], func(o ReservedRoute) bool { return o.Name == r.Name }) {
			errs = append(errs, field.Duplicate(path.Child("reservedRoutes").Index(i).Child("name"), r.Name))
		}
	}
	for i, r := range g.OwnerRequesters {
		p := path.Child("ownerRequesters").Index(i)
		if len(r.Users)+len(r.Groups) == 0 {
			errs = append(errs, field.Required(p.Child("users"), "name users or groups"))
		}
		errs = append(errs, names(p.Child("users"), r.Users)...)
		errs = append(errs, names(p.Child("groups"), r.Groups)...)
		errs = append(errs, names(p.Child("namespaces"), r.Namespaces)...)
		if len(r.Namespaces) == 0 {
			errs = append(errs, field.Required(p.Child("namespaces"), "name the owner's namespaces: who deploys for everybody is the owner only there"))
		}
	}
	errs = append(errs, g.Requires.validate(path.Child("requires"))...)
	for i, t := range g.TenantPaths {
		if !strings.HasPrefix(t, "/") || !strings.HasSuffix(t, "/") || strings.Count(t, "{namespace}") != 1 || !strings.Contains(t, "/{namespace}/") {
			errs = append(errs, field.Invalid(path.Child("tenantPaths").Index(i), t,
				"must be a prefix such as /notebook/{namespace}/, that starts and ends with a slash and has {namespace} as one whole segment"))
		}
	}
	return errs
}

func (r *ReservedRoute) validate(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if r.Name == "" {
		errs = append(errs, field.Required(path.Child("name"), "name the route, as the owner's filters look for it"))
	}
	if len(r.Owners) == 0 {
		errs = append(errs, field.Required(path.Child("owners"), "name the objects that may have the route"))
	}
	for i, o := range r.Owners {
		errs = append(errs, o.validate(path.Child("owners").Index(i))...)
	}
	if r.Reason == "" {
		errs = append(errs, field.Required(path.Child("reason"), "say what the name does to requests, for messages"))
	}
	return errs
}

// validate asks for all fields of the pattern: one that names owners must not be wider than meant.
func (o ObjectPattern) validate(path *field.Path) field.ErrorList {
	errs := kind(path.Child("kind"), o.Kind, false)
	if o.Namespace == "" {
		errs = append(errs, field.Required(path.Child("namespace"), "a name or a pattern"))
	}
	if o.Name == "" {
		errs = append(errs, field.Required(path.Child("name"), "a name or a pattern"))
	}
	return errs
}

func namespace(path *field.Path, name string) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(path, "name the namespace")}
	}
	if msgs := validation.IsDNS1123Label(name); len(msgs) > 0 {
		return field.ErrorList{field.Invalid(path, name, msgs[0])}
	}
	return nil
}

// protocols and tlsModes are what a Gateway's server can have (Port.protocol and
// ServerTLSSettings.TLSmode in istio.io/api networking/v1alpha3/gateway.proto).
var (
	protocols = []string{"HTTP", "HTTPS", "GRPC", "GRPC-Web", "HTTP2", "HTTP_PROXY", "MONGO", "TCP", "TLS", "REDIS", "MYSQL", "UDP"}
	tlsModes  = []string{"PASSTHROUGH", "SIMPLE", "MUTUAL", "AUTO_PASSTHROUGH", "ISTIO_MUTUAL", "OPTIONAL_MUTUAL"}
)

func isServerHost(h string) bool {
	if ns, host, ok := strings.Cut(h, "/"); ok {
		if ns != "*" && ns != "." && len(validation.IsDNS1123Label(ns)) > 0 {
			return false
		}
		h = host
	}
	h = strings.TrimPrefix(strings.ToLower(h), "*.")
	return h == "*" || len(validation.IsDNS1123Subdomain(h)) == 0
}

func labels(path *field.Path, labels map[string]string) field.ErrorList {
	var errs field.ErrorList
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		for _, msg := range validation.IsQualifiedName(k) {
			errs = append(errs, field.Invalid(path, k, msg))
		}
		for _, msg := range validation.IsValidLabelValue(labels[k]) {
			errs = append(errs, field.Invalid(path.Key(k), labels[k], msg))
		}
	}
	return errs
}

func kinds() []resource.Kind {
	var out []resource.Kind
	for _, a := range resource.APIs {
		out = append(out, a.Kind)
	}
	return out
}
