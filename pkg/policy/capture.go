package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/gatewaypod"
	"github.com/gatewarden/gatewarden/pkg/resource"
)

// The annotations that tell Istio's injection which inbound traffic the sidecar captures
// (files/injection-template.yaml in the chart istio-discovery).
const (
	InterceptionMode    = "sidecar.istio.io/interceptionMode"
	IncludeInboundPorts = "traffic.sidecar.istio.io/includeInboundPorts"
	ExcludeInboundPorts = "traffic.sidecar.istio.io/excludeInboundPorts"
	ExcludeInterfaces   = "traffic.sidecar.istio.io/excludeInterfaces"
)

// CaptureAnnotations are the annotations of a pod that can take traffic away from its
// sidecar.
var CaptureAnnotations = []string{InterceptionMode, IncludeInboundPorts, ExcludeInboundPorts, ExcludeInterfaces}

// TLSModeLabel is the label by which a client's proxy learns that an endpoint speaks mutual
// TLS: the injection of a sidecar sets it to TLSModeIstio, and any other value is plain text
// (GetTLSModeFromEndpointLabels in istio.io/istio pilot/pkg/model/service.go).
const (
	TLSModeLabel = "security.istio.io/tlsMode"
	TLSModeIstio = "istio"
)

// InjectionStatus is the annotation that injection leaves on each pod that it changed
// (applyMetadata in istio.io/istio pkg/kube/inject/webhook.go).
const InjectionStatus = "sidecar.istio.io/status"

// wasInjected reports whether a pod shows that it was injected.
func wasInjected(o *resource.Workload) bool {
	_, ok := o.Pod.Annotations[InjectionStatus]
	return ok && o.Kind == resource.KindPod
}

// AsksForSidecar reports whether the namespace or the template of a workload asks Istio to
// inject its pods, or to take them into ambient mode, whether or not the template refuses it too,
// and whether or not anybody serves it. A namespace that is not known does.
func (w *World) AsksForSidecar(o *resource.Workload) bool {
	ns := w.Namespace(o.Namespace)
	return ns == nil || wasInjected(o) || w.Injectors.Asked(ns, o.Pod.Labels) ||
		gatewaypod.Ambient(ns.Labels, nil) || gatewaypod.Ambient(nil, o.Pod.Labels)
}

// ambient reports whether the proxy of the node is all that could enforce something for the pods
// of a workload: they or their namespace are in ambient mode, and they get no sidecar.
func (w *World) ambient(o *resource.Workload) bool {
	ns := w.Namespace(o.Namespace)
	if ns == nil || wasInjected(o) || !gatewaypod.Ambient(ns.Labels, nil) && !gatewaypod.Ambient(nil, o.Pod.Labels) {
		return false
	}
	return len(gatewaypod.Refusals(&o.Pod)) > 0 || !w.Injectors.Inject(ns, o.Pod.Labels)
}

// unserved returns what the pods of a workload ask for that no webhook of Istio's serves, or
// nil.
func (w *World) unserved(o *resource.Workload) *gatewaypod.Obstacle {
	ns := w.Namespace(o.Namespace)
	if ns == nil || wasInjected(o) {
		return nil
	}
	return w.Injectors.Unserved(ns, o.Pod.Labels)
}

// HasSidecar reports whether the pods of a workload have a sidecar, or get one, as far as can
// be known, or are in the hands of the proxy of their node. Those of a gateway have none: their proxy is no sidecar.
func (w *World) HasSidecar(o *resource.Workload) bool {
	switch {
	case w.RunsGateway(o):
		return false
	case o.Kind == resource.KindPod && o.Pod.Labels[TLSModeLabel] == TLSModeIstio:
		return true
	case wasInjected(o):
		return captureless(&o.Pod) == ""
	case w.ambient(o):
		return len(gatewaypod.AmbientRefusals(&o.Pod)) == 0
	}
	return len(gatewaypod.Refusals(&o.Pod)) == 0 && captureless(&o.Pod) == "" && w.AsksForSidecar(o) && w.unserved(o) == nil
}

// RunsGateway reports whether the pods of a workload are those of a gateway, guarded or not,
// and of nothing else: an application that asks for the gateway's template is none, it only
// has a proxy beside it that captures nothing.
func (w *World) RunsGateway(o *resource.Workload) bool {
	if w.IsGateway(o.Pod.Labels, o.Namespace) {
		return true
	}
	_, managed := o.Pod.Labels[gatewayName]
	return onlyProxies(&o.Pod) && (managed || gatewaypod.IsGateway(&o.Pod, gatewaypod.Selected(w.Guards, o)))
}

// gatewayName is the label of the pods that Istio itself makes for a Gateway of the Gateway
// API, waypoints among them (GatewayNameLabel in istio.io/api label).
const gatewayName = "gateway.networking.k8s.io/gateway-name"

func onlyProxies(t *resource.PodTemplate) bool {
	return len(t.Containers) > 0 && !slices.ContainsFunc(t.Containers, func(c resource.Container) bool { return c.Name != gatewaypod.ProxyContainer })
}

// captureless returns the first of the templates that the pods are injected by, if all of
// them are Istio's own and none captures traffic: only "sidecar" sets up the interception
// (manifests/charts/istio-control/istio-discovery/files in istio.io/istio). What a template
// of somebody else's does is not known.
func captureless(t *resource.PodTemplate) string {
	names := list(t.Annotations[gatewaypod.TemplatesAnnotation])
	if len(names) == 0 || slices.ContainsFunc(names, func(n string) bool {
		return !slices.Contains([]string{"gateway", "grpc-agent", "grpc-simple", "waypoint"}, n)
	}) {
		return ""
	}
	return names[0]
}

// noInterception finds the mode in the proxy's configuration, which the injection template
// takes for the annotation's default.
var noInterception = regexp.MustCompile(`interceptionMode["']?\s*:\s*["']?NONE\b`)

// proxyConfig is the annotation with a ProxyConfig, in YAML.
const proxyConfig = "proxy.istio.io/config"

// Gap is something in a pod template by which traffic does not meet the sidecar, or meets
// it as plain text.
type Gap struct {
	// Subject names the kind of gap, for telling gaps apart.
	Subject string
	// Field is the path of the field in a workload.
	Field string
	// Reason is the cause, as a clause of its own.
	Reason string
	// Fix says what to do, as a sentence without its full stop.
	Fix string
	// NoSidecar is set if the pods have no sidecar at all.
	NoSidecar bool
	// ClientsOnly is set if the sidecar gets all traffic, but clients send it as plain text.
	ClientsOnly bool
	// Ports are the ports that the gap is for; none is every port.
	Ports []uint32
}

// Gaps returns the gaps of a workload's pods: what keeps them from being injected, or else
// what their sidecars are told to leave alone.
func (w *World) Gaps(o *resource.Workload) []Gap {
	if w.ambient(o) {
		return withoutSidecar(gatewaypod.AmbientRefusals(&o.Pod))
	}
	obstacles := gatewaypod.Refusals(&o.Pod)
	if r := w.unserved(o); r != nil && len(obstacles) == 0 {
		obstacles = append(obstacles, *r)
	}
	if len(obstacles) == 0 {
		return gaps(&o.Pod)
	}
	return withoutSidecar(obstacles)
}

// withoutSidecar makes gaps of what keeps pods out of the mesh.
func withoutSidecar(obstacles []gatewaypod.Obstacle) []Gap {
	var out []Gap
	for _, r := range obstacles {
		out = append(out, Gap{Subject: r.Subject, Field: r.Field, Reason: r.Reason, Fix: r.Fix, NoSidecar: true})
	}
	return out
}

// gaps returns what the sidecars of injected pods are told to leave alone.
func gaps(t *resource.PodTemplate) []Gap {
	var out []Gap
	annotation := func(name, reason string, ports []uint32) {
		out = append(out, Gap{
			Subject: name, Field: "spec.template.metadata.annotations[" + name + "]",
			Reason: reason, Fix: "Remove the annotation", Ports: ports,
		})
	}
	if name := captureless(t); name != "" && !onlyProxies(t) {
		annotation(gatewaypod.TemplatesAnnotation, "the template "+name+" captures nothing", nil)
		out[0].NoSidecar = true
		return out
	}
	// istio-iptables is not even run (injection-template.yaml).
	mode, set := t.Annotations[InterceptionMode]
	if mode == "NONE" {
		annotation(InterceptionMode, "the sidecar intercepts nothing", nil)
		return out
	}
	if !set && noInterception.MatchString(t.Annotations[proxyConfig]) {
		annotation(proxyConfig, "with interceptionMode NONE the sidecar intercepts nothing", nil)
		return out
	}
	// shortCircuitExcludeInterfaces in istio.io/istio tools/istio-iptables/pkg/capture/run.go.
	// Other names are those of additional networks, which are no way to the pod's address.
	if slices.Contains(list(t.Annotations[ExcludeInterfaces]), "eth0") {
		annotation(ExcludeInterfaces, "the sidecar leaves the pod's own interface alone", nil)
	}
	// handleInboundPortsInclude, same file: exclusions count only where everything is included.
	include, narrowed := t.Annotations[IncludeInboundPorts]
	if narrowed && include != "*" {
		if include == "" {
			annotation(IncludeInboundPorts, "the sidecar captures no port", nil)
		} else if declared := containerPorts(t); len(declared) == 0 {
			// Declaring ports is optional, so they may be any.
			annotation(IncludeInboundPorts, "the sidecar captures nothing but "+portNames(ports(include)), nil)
		} else if left := without(declared, append(ports(include), proxyPortsOf(t)...)); len(left) > 0 {
			annotation(IncludeInboundPorts, "the sidecar does not capture "+portNames(left), left)
		}
	} else if excluded := without(ports(t.Annotations[ExcludeInboundPorts]), proxyPortsOf(t)); len(excluded) > 0 {
		annotation(ExcludeInboundPorts, "the sidecar does not capture "+portNames(excluded), excluded)
	}
	// An empty value is replaced by the injection.
	if mode := t.Labels[TLSModeLabel]; mode != "" && mode != TLSModeIstio {
		out = append(out, plainClients("Remove the label"))
	}
	return out
}

func plainClients(fix string) Gap {
	return Gap{
		Subject: TLSModeLabel, Field: "spec.template.metadata.labels[" + TLSModeLabel + "]",
		Reason: "the proxies of clients send plain text", Fix: fix, ClientsOnly: true,
	}
}

// RelabelledGaps returns the gaps that a running pod gets by its new labels. The rest of what
// Gaps tells was settled when its sidecar started, and does not change any more.
func (w *World) RelabelledGaps(older, newer *resource.Workload) []Gap {
	if w.ambient(older) { // Istio follows the labels of these while they run
		if w.HasSidecar(older) && !w.HasSidecar(newer) {
			return w.Gaps(newer)
		}
		return nil
	}
	if older.Pod.Labels[TLSModeLabel] != TLSModeIstio || newer.Pod.Labels[TLSModeLabel] == TLSModeIstio {
		return nil
	}
	return []Gap{plainClients("Keep the label " + TLSModeLabel + ": " + TLSModeIstio)}
}

// WrittenByInjection reports whether the annotations that tell what a pod's sidecar captures
// may have been written by injection, from the settings of the mesh: where the CNI plugin sets
// the interception up it reads them there (injection-template.yaml, with pilot.cni.enabled).
func WrittenByInjection(o *resource.Workload) bool {
	if !wasInjected(o) {
		return false
	}
	for _, name := range []string{InterceptionMode, IncludeInboundPorts, ExcludeInboundPorts} {
		if _, ok := o.Pod.Annotations[name]; !ok {
			return false
		}
	}
	return true
}

// statusPort is the annotation with the port that the proxy of a pod answers probes on.
const statusPort = "status.sidecar.istio.io/port"

// ProxyPorts are those of the proxy itself, which Istio always leaves alone: 15020 and 15021
// for health, 15090 for telemetry (injection-template.yaml).
var ProxyPorts = []uint32{15020, 15021, 15090}

// proxyPortsOf returns the ports of the proxy in a pod.
func proxyPortsOf(t *resource.PodTemplate) []uint32 {
	return append(ports(t.Annotations[statusPort]), ProxyPorts...)
}

func list(s string) []string {
	var out []string
	for _, f := range strings.Split(s, ",") {
		if f = strings.TrimSpace(f); f != "" {
			out = append(out, f)
		}
	}
	return out
}

// ports reads a list of ports. What is none is passed over: Istio refuses to inject the pod
// (ValidateExcludeInboundPorts in istio.io/istio pkg/kube/inject/validate.go).
func ports(s string) []uint32 {
	var out []uint32
	for _, f := range list(s) {
		if n, err := strconv.ParseUint(f, 10, 16); err == nil && n > 0 {
			out = append(out, uint32(n))
		}
	}
	return out
}

// containerPorts returns the ports that the containers say they listen on, that of the proxy
// left out, which injection adds.
func containerPorts(t *resource.PodTemplate) []uint32 {
	var out []uint32
	for _, c := range t.Containers {
		if c.Name == gatewaypod.ProxyContainer {
			continue
		}
		for _, p := range c.Ports {
			out = append(out, p.Port)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func without(all, some []uint32) []uint32 {
	return slices.DeleteFunc(slices.Clone(all), func(p uint32) bool { return slices.Contains(some, p) })
}

// portNames writes ports for people, and no more of them than anybody reads.
func portNames(l []uint32) string {
	const most = 3
	var out []string
	for i, p := range l {
		if i == most {
			out = append(out, fmt.Sprintf("%d more", len(l)-most))
			break
		}
		out = append(out, fmt.Sprint(p))
	}
	if len(out) == 1 {
		return "port " + out[0]
	}
	return "ports " + strings.Join(out[:len(out)-1], ", ") + " and " + out[len(out)-1]
}

// Opened reports whether the gap lies where the mode is STRICT.
func (g Gap) Opened(m MTLS) bool {
	if len(g.Ports) > 0 {
		return slices.ContainsFunc(g.Ports, func(p uint32) bool { return m.At(p) == resource.ModeStrict })
	}
	if m.Mode == resource.ModeStrict {
		return true
	}
	for _, mode := range m.Ports {
		if mode == resource.ModeStrict {
			return true
		}
	}
	return false
}

// Policies returns the PeerAuthentications of the world as they are.
func (w *World) Policies() *Policies { return w.PoliciesWith(resource.Key{}, nil, AsStored) }

// Selected computes what the policy with a selector that counts for pods with the labels
// says by itself: unset where it inherits, or where there is none.
func (p *Policies) Selected(namespace string, labels map[string]string) MTLS {
	if namespace == p.cfg.Mesh.RootNamespace {
		return MTLS{}
	}
	o := p.of(namespace).first(labels)
	if o == nil {
		return MTLS{}
	}
	out := MTLS{Mode: o.Mode, Ports: map[uint32]resource.MTLSMode{}}
	for port, mode := range o.Ports {
		if mode != resource.ModeUnset {
			out.Ports[port] = mode
		}
	}
	return out
}

// EachWorkload calls f for every workload and pod of a namespace, until f returns false.
func (w *World) EachWorkload(namespace string, f func(*resource.Workload) bool) {
	more := true
	for _, kind := range podKinds {
		w.Snapshot.Each(kind, namespace, func(o resource.Object) bool {
			more = f(o.(*resource.Workload))
			return more
		})
		if !more {
			return
		}
	}
}
