package config

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

// Load reads a configuration from YAML or JSON. It is strict: an unknown field, a repeated
// field and a value that can not be meant are errors, one line each, that name source, field
// and fix. Fields that are left out get their defaults.
func Load(data []byte, source string) (*Configuration, error) {
	var c Configuration
	if err := yaml.UnmarshalStrict(data, &c); err != nil {
		return nil, fmt.Errorf("%s: %s; see the documented fields of %s %s", source, cause(err), APIVersion, Kind)
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

// cause takes the decoder's own wrapping off an error, which names no field.
func cause(err error) string {
	s := err.Error()
	for _, prefix := range []string{"error unmarshaling JSON: ", "error converting YAML to JSON: ", "while decoding JSON: ", "json: "} {
		s = strings.TrimPrefix(s, prefix)
	}
	return strings.ReplaceAll(s, "\n", " ")
}

func (c *Configuration) setDefaults() {
	d := Default()
	if c.Mesh.RootNamespace == "" {
		c.Mesh.RootNamespace = d.Mesh.RootNamespace
	}
	if len(c.Mesh.DefaultVirtualServiceExportTo) == 0 {
		c.Mesh.DefaultVirtualServiceExportTo = d.Mesh.DefaultVirtualServiceExportTo
	}
	for i := range c.GuardedGateways {
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
	for i, p := range c.PermissivePolicies {
		path := field.NewPath("permissivePolicies").Index(i)
		errs = append(errs, namespace(path.Child("namespace"), p.Namespace)...)
		if p.Name == "" {
			errs = append(errs, field.Required(path.Child("name"), "name the PeerAuthentication"))
		}
		if len(p.Selector) == 0 {
			errs = append(errs, field.Required(path.Child("selector"), "list the labels that its selector must have: a policy for a whole namespace can not be excepted"))
		}
	}
	for i, e := range c.Exemptions {
		path := field.NewPath("exemptions").Index(i)
		if len(e.Users)+len(e.Groups) == 0 {
			errs = append(errs, field.Required(path.Child("users"), "name users or groups"))
		}
		if e.Reason == "" {
			errs = append(errs, field.Required(path.Child("reason"), "say why they are not judged"))
		}
	}
	return errs
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
	if len(g.PodLabels) == 0 {
		errs = append(errs, field.Required(path.Child("podLabels"), "list the labels of the gateway's pods"))
	}
	for i, s := range g.Servers {
		p := path.Child("servers").Index(i)
		if !slices.Contains(g.Gateways, s.Gateway) {
			errs = append(errs, field.NotSupported(p.Child("gateway"), s.Gateway, g.Gateways))
		}
		if s.Port < 1 || s.Port > 65535 {
			errs = append(errs, field.Invalid(p.Child("port"), s.Port, "must be between 1 and 65535"))
		}
		if s.Protocol == "" {
			errs = append(errs, field.Required(p.Child("protocol"), "for example HTTP or HTTPS"))
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
		p := path.Child("ownerObjects").Index(i)
		if !slices.ContainsFunc(resource.APIs, func(a resource.API) bool { return a.Kind == o.Kind }) {
			errs = append(errs, field.NotSupported(p.Child("kind"), o.Kind, kinds()))
		}
		if o.Namespace == "" {
			errs = append(errs, field.Required(p.Child("namespace"), "a name or a pattern"))
		}
		if o.Name == "" {
			errs = append(errs, field.Required(p.Child("name"), "a name or a pattern"))
		}
	}
	for i, t := range g.TenantPaths {
		if !strings.HasPrefix(t, "/") || !strings.HasSuffix(t, "/") || strings.Count(t, "{namespace}") != 1 || !strings.Contains(t, "/{namespace}/") {
			errs = append(errs, field.Invalid(path.Child("tenantPaths").Index(i), t,
				"must be a prefix such as /notebook/{namespace}/, that starts and ends with a slash and has {namespace} as one whole segment"))
		}
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

func kinds() []resource.Kind {
	var out []resource.Kind
	for _, a := range resource.APIs {
		out = append(out, a.Kind)
	}
	return out
}
