package deploykf

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/util/validation"
)

// sections are the first level of deployKF's values.
var sections = []string{
	"argocd", "kubernetes", "deploykf_dependencies", "deploykf_core", "deploykf_opt", "deploykf_tools",
	"kubeflow_dependencies", "kubeflow_tools",
}

// The places of the values.
const (
	gatewaySection = "deploykf_core.deploykf_istio_gateway"
	istioSection   = "deploykf_dependencies.istio"
)

// File is a file with values of deployKF.
type File struct {
	Name string
	Data []byte
}

// Read reads values of deployKF into an installation of the version. Files are merged in
// their order over the defaults of the version, as Helm merges them: maps by their keys,
// everything else is replaced, and null is as if nothing had been set. The remarks say what
// in them has no effect, or can not be followed. An error names the file and the value.
func Read(v Version, files ...File) (*Installation, []string, error) {
	r := &reader{values: map[string]any{}, from: map[string]string{}}
	for _, f := range files {
		if err := r.add(f); err != nil {
			return nil, nil, err
		}
	}
	i := DefaultInstallation(v)
	r.installation(i)
	if len(r.errs) > 0 {
		return nil, nil, errors.Join(r.errs...)
	}
	return i, r.remarks, nil
}

// reader takes values out of merged files.
type reader struct {
	values  map[string]any
	from    map[string]string // path to the file that set it last
	remarks []string
	errs    []error
}

// add merges a file over what was read.
func (r *reader) add(f File) error {
	var doc any
	d := yaml.NewDecoder(strings.NewReader(string(f.Data)))
	if err := d.Decode(&doc); err != nil {
		return fmt.Errorf("%s: is no values file of deployKF: %s", f.Name, oneLine(err))
	}
	if d.Decode(new(any)) == nil {
		return fmt.Errorf("%s: has more than one YAML document; a values file has one", f.Name)
	}
	values, ok := doc.(map[string]any)
	if !ok || !slices.ContainsFunc(sections, func(s string) bool { _, ok := values[s]; return ok }) {
		return fmt.Errorf("%s: is no values file of deployKF: it has none of its sections %s", f.Name, strings.Join(sections, ", "))
	}
	r.merge(r.values, values, f.Name, "")
	return nil
}

// merge merges values over others, and notes where they are from.
func (r *reader) merge(into, values map[string]any, file, at string) {
	for key, value := range values {
		path := at + key
		r.from[path] = file
		under, isMap := into[key].(map[string]any)
		if more, ok := value.(map[string]any); ok {
			if !isMap {
				under = map[string]any{}
				into[key] = under
			}
			r.merge(under, more, file, path+".")
			continue
		}
		into[key] = value
	}
}

// value returns the value at a path; nil if none is set.
func (r *reader) value(path string) any {
	var at any = r.values
	parts := strings.Split(path, ".")
	for i, part := range parts {
		m, ok := at.(map[string]any)
		if !ok {
			if at != nil {
				r.wrong(strings.Join(parts[:i], "."), "a map")
			}
			return nil
		}
		at = m[part]
	}
	return at
}

// source returns the file that set a value last, or something around it.
func (r *reader) source(path string) string {
	for {
		if f, ok := r.from[path]; ok {
			return f
		}
		i := strings.LastIndex(path, ".")
		if i < 0 {
			return "the values"
		}
		path = path[:i]
	}
}

// wrong notes that a value is not what it has to be.
func (r *reader) wrong(path, want string) {
	err := fmt.Errorf("%s: %s: must be %s", r.source(path), path, want)
	if !slices.ContainsFunc(r.errs, func(e error) bool { return e.Error() == err.Error() }) {
		r.errs = append(r.errs, err)
	}
}

func (r *reader) remark(path, format string, args ...any) {
	r.remarks = append(r.remarks, fmt.Sprintf("%s: %s: %s", r.source(path), path, fmt.Sprintf(format, args...)))
}

func (r *reader) flag(path string, into *bool) {
	switch v := r.value(path).(type) {
	case nil:
	case bool:
		*into = v
	default:
		r.wrong(path, "true or false")
	}
}

// text reads a text that check, which may be nil, has no complaint about.
func (r *reader) text(path string, into *string, check func(string) []string) {
	v := r.value(path)
	if v == nil {
		return
	}
	s, ok := v.(string)
	switch {
	case !ok || s == "":
		r.wrong(path, "a text that is not empty")
	case check != nil && len(check(s)) > 0:
		r.wrong(path, fmt.Sprintf("a name, and %q is none: %s", s, check(s)[0]))
	default:
		*into = s
	}
}

// port reads a port number. deployKF writes into its manifests whatever is there, so that a
// text of digits is one as well.
func (r *reader) port(path string, into *uint32) {
	var n int
	switch v := r.value(path).(type) {
	case nil:
		return
	case int:
		n = v
	case float64:
		if v == math.Trunc(v) && v >= 0 && v <= math.MaxUint16 {
			n = int(v)
		}
	case string:
		n, _ = strconv.Atoi(v)
	}
	if n < 1 || n > 65535 {
		r.wrong(path, "a port from 1 to 65535")
		return
	}
	*into = uint32(n)
}

// labels merges labels over those that are the default. null takes one away.
func (r *reader) labels(path string, into map[string]string) {
	v := r.value(path)
	if v == nil {
		return
	}
	m, ok := v.(map[string]any)
	if !ok {
		r.wrong(path, "a map of labels")
		return
	}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		switch s, ok := m[key].(string); {
		case m[key] == nil:
			delete(into, key)
		case !ok:
			r.wrong(path+"."+key, "a text: put it in quotes")
		case len(validation.IsQualifiedName(key)) > 0 || len(validation.IsValidLabelValue(s)) > 0:
			r.wrong(path+"."+key, "a valid label")
		default:
			into[key] = s
		}
	}
	if len(into) == 0 {
		r.wrong(path, "one label at least: a Gateway without a selector is served by every gateway")
	}
}

func (r *reader) app(path string, into *App) {
	r.flag(path+".enabled", &into.Enabled)
	r.text(path+".namespace", &into.Namespace, validation.IsDNS1123Label)
}

// installation reads everything that decides what the gateway is.
func (r *reader) installation(i *Installation) {
	name := validation.IsDNS1123Subdomain
	at := func(path string) string { return gatewaySection + "." + path }
	r.mesh(i)

	enabled := true
	r.flag(at("enabled"), &enabled)
	if !enabled {
		r.wrong(at("enabled"), "true: without its gateway deployKF has nothing to guard")
	}
	r.text(at("namespace"), &i.Namespace, validation.IsDNS1123Label)
	r.flag(at("charts.istioGateway.enabled"), &i.ManagesGateway)
	r.text(at("gateway.name"), &i.Gateway, name)
	r.text(at("gateway.hostname"), &i.Hostname, name)
	r.labels(at("gateway.selectorLabels"), i.SelectorLabels)
	r.port(at("gateway.ports.http"), &i.HTTP.Internal)
	r.port(at("gateway.ports.https"), &i.HTTPS.Internal)
	r.text(at("gatewayDeployment.serviceAccount.name"), &i.ServiceAccount, name)
	r.text(at("gatewayService.name"), &i.Service, validation.IsDNS1035Label)
	i.HTTP.Public, i.HTTPS.Public = i.HTTP.Internal, i.HTTPS.Internal
	if i.HTTP.Internal == i.HTTPS.Internal {
		r.wrong(at("gateway.ports.https"), "another port than gateway.ports.http")
	}
	r.since014(i, at)

	r.text("deploykf_core.deploykf_auth.namespace", &i.AuthNamespace, validation.IsDNS1123Label)
	r.text("deploykf_core.deploykf_dashboard.namespace", &i.DashboardNamespace, validation.IsDNS1123Label)
	r.app("deploykf_opt.deploykf_minio", &i.Minio)
	r.app("kubeflow_dependencies.kubeflow_argo_workflows", &i.ArgoWorkflows)
	for tool, into := range map[string]*bool{
		"katib": &i.Katib, "notebooks": &i.Notebooks, "pipelines": &i.Pipelines,
		"tensorboards": &i.Tensorboards, "volumes": &i.Volumes,
	} {
		r.flag("kubeflow_tools."+tool+".enabled", into)
	}

	if m, _ := r.value(at("valuesOverrides")).(map[string]any); len(m) > 0 {
		r.remark(at("valuesOverrides"), "is passed to the chart as it is and not followed here: compare the result with the cluster (--kubeconfig)")
	} else if s, _ := r.value(at("valuesOverrides")).(string); s != "" {
		r.remark(at("valuesOverrides"), "is passed to the chart as it is and not followed here: compare the result with the cluster (--kubeconfig)")
	}
	r.unknown(at("gateway"), "name", "hostname", "ports", "tls", "selectorLabels", "enableProxyProtocol", "xffNumTrustedHops", "emailToLowercase")
	r.unknown(at("gateway.ports"), "http", "https")
	r.unknown(at("gateway.tls"), "enabled", "clientsUseHttps", "matchSNI", "redirect")
	r.unknown(at("gatewayService.ports"), "http", "https")
}

// since014 reads what 0.1.3 does not know, and what the others do not leave open any more.
func (r *reader) since014(i *Installation, at func(string) string) {
	later := []string{"gateway.tls.matchSNI", "gateway.tls.redirect", "gateway.tls.clientsUseHttps", "gatewayService.ports.http", "gatewayService.ports.https"}
	r.flag(at("gateway.tls.enabled"), &i.TLS)
	if i.Version == V013 {
		for _, path := range later {
			if r.value(at(path)) != nil {
				r.remark(at(path), "deployKF %s has no such value, and it has no effect; it came with %s", i.Version, V014)
			}
		}
		return
	}
	if !i.TLS {
		r.wrong(at("gateway.tls.enabled"), fmt.Sprintf("true: deployKF %s refuses anything else, and only %s could do without", i.Version, V013))
	}
	r.flag(at("gateway.tls.matchSNI"), &i.MatchSNI)
	var ignored bool // whether plain HTTP is redirected or served makes other routes, not other servers
	r.flag(at("gateway.tls.redirect"), &ignored)
	r.port(at("gatewayService.ports.http"), &i.HTTP.Public)
	r.port(at("gatewayService.ports.https"), &i.HTTPS.Public)
}

// mesh reads the settings of the mesh, if deployKF manages it.
func (r *reader) mesh(i *Installation) {
	r.flag(istioSection+".enabled", &i.ManagesIstio)
	r.text(istioSection+".namespace", &i.Mesh.RootNamespace, validation.IsDNS1123Label)
	const settings = istioSection + ".meshConfig"
	r.text(settings+".rootNamespace", &i.Mesh.RootNamespace, validation.IsDNS1123Label)
	r.text(settings+".ingressControllerMode", &i.Mesh.IngressControllerMode, nil)
	r.text(settings+".ingressClass", &i.Mesh.IngressClass, nil)
	r.text(settings+".ingressService", &i.Mesh.IngressService, nil)
	r.text(settings+".ingressSelector", &i.Mesh.IngressSelector, nil)
	switch v := r.value(settings + ".defaultVirtualServiceExportTo").(type) {
	case nil:
	case []any:
		var to []string
		for _, e := range v {
			s, ok := e.(string)
			if !ok {
				r.wrong(settings+".defaultVirtualServiceExportTo", "a list of texts")
				return
			}
			to = append(to, s)
		}
		if len(to) > 0 {
			i.Mesh.DefaultVirtualServiceExportTo = to
		}
	default:
		r.wrong(settings+".defaultVirtualServiceExportTo", "a list of texts")
	}
}

// unknown remarks on keys of a map that deployKF does not have: misspelt ones, most likely.
func (r *reader) unknown(path string, known ...string) {
	m, _ := r.value(path).(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if !slices.Contains(known, key) {
			r.remark(path+"."+key, "deployKF has no such value, and it has no effect")
		}
	}
}

// oneLine writes an error on one line.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
