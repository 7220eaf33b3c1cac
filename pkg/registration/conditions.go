package registration

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/gatewaypod"
	"github.com/gatewarden/gatewarden/pkg/policy"
	"github.com/gatewarden/gatewarden/pkg/resource"
	"github.com/gatewarden/gatewarden/pkg/webhook"
)

// Condition is a match condition: an expression of the Common Expression Language that the API
// server evaluates before it calls a webhook. No call is made unless all of a webhook's hold.
//
// They are what no rule can tell: rules judge whole objects, and these say of which objects no
// rule could find anything. Under failurePolicy Fail an expression that can not be evaluated refuses
// the request, so each asks for a field before it reads it.
type Condition struct {
	Name       string
	Why        string
	Expression string
}

// mapOf is an expression for a map that an object need not have.
func mapOf(object, field string) string {
	return fmt.Sprintf("(has(%[1]s.%[2]s) ? %[1]s.%[2]s : {})", object, field)
}

// differs is an expression for a map that an update changes.
func differs(parent, field string) string {
	return mapOf("object"+parent, field) + " != " + mapOf("oldObject"+parent, field)
}

// notLeaving keeps out what is being deleted and changes in nothing that rules read: whoever takes its
// last finalizer away must not need gatewarden for it, or it could never go while no replica runs.
func notLeaving() Condition {
	return Condition{
		Name: "not-leaving",
		Why:  "What is being deleted loses its last finalizer, and goes, without gatewarden.",
		Expression: lines(
			"request.operation != 'UPDATE' || !has(object.metadata.deletionTimestamp) ||",
			differs("", "spec")+" ||",
			differs(".metadata", "labels")+" ||",
			differs(".metadata", "annotations"),
		),
	}
}

// meantOtherwise holds for updates of the spec or the labels.
func meantOtherwise() Condition {
	return Condition{
		Name: "meant-otherwise",
		Why:  "Load balancers write to the annotations and finalizers of their Services, and nothing hangs on that.",
		Expression: lines(
			"request.operation != 'UPDATE' ||",
			differs("", "spec")+" ||",
			differs(".metadata", "labels"),
		),
	}
}

// notCleaningUp keeps out what policy.World.CleansUp lets pass by its requester.
func notCleaningUp() Condition {
	return Condition{
		Name: "not-cleaning-up",
		Why:  "What they delete is gone already: a namespace must not wait for gatewarden.",
		Expression: lines(
			"!(request.operation == 'DELETE' && request.userInfo.username in",
			quoted(policy.Cleaners)+")",
		),
	}
}

// notSelfTest keeps out what webhook passes over as a test of istiod's own webhook. Whoever writes
// the annotation into an object that is to be stored is asked about.
func notSelfTest() Condition {
	return Condition{
		Name: "not-istiods-self-test",
		Why:  "By this dry run istiod asks whether its own webhook refuses; it is answered by that one alone.",
		Expression: lines(
			"!(request.operation == 'CREATE' && has(request.dryRun) && request.dryRun &&",
			"has(object.metadata.annotations) &&",
			"'"+webhook.SelfTestAnnotation+"' in object.metadata.annotations)",
		),
	}
}

// mayWeaken keeps out PeerAuthentications that only ever make a workload STRICT, wherever they come
// in the order of ages: a new policy takes nothing away but by what it says.
func mayWeaken() Condition {
	return Condition{
		Name: "not-a-new-strict-policy",
		Why:  "A new policy that says nothing but STRICT takes nothing away from anybody.",
		Expression: lines(
			"!(request.kind.kind == 'PeerAuthentication' && request.operation == 'CREATE' &&",
			"has(object.spec) && has(object.spec.mtls) && has(object.spec.mtls.mode) &&",
			"object.spec.mtls.mode == 'STRICT' &&",
			mapOf("object.spec", "portLevelMtls")+".all(p, object.spec.portLevelMtls[p] == {'mode': 'STRICT'}))",
		),
	}
}

// gatewayWorkload holds for the workloads of gatewaypod.IsGateway. Whether a guarded gateway selects
// their pods is known from the state only, so one label in common with its pods is enough here.
func gatewayWorkload(cfg *config.Configuration) Condition {
	return Condition{
		Name:       "gateway-workload",
		Why:        "No call is made for applications, those with a sidecar of their own making included.",
		Expression: isGatewayWorkload(cfg),
	}
}

func isGatewayWorkload(cfg *config.Configuration) string {
	template := "object.spec.template"
	return lines(
		"(has("+template+".metadata) && has("+template+".metadata.annotations) &&",
		"'"+gatewaypod.TemplatesAnnotation+"' in "+template+".metadata.annotations ?",
		"["+template+".metadata.annotations['"+gatewaypod.TemplatesAnnotation+"'].split(',').map(t, t.trim())] : [[]]).exists(templates,",
		"'"+gatewaypod.GatewayTemplate+"' in templates ||",
		"(!templates.exists(t, t in "+quoted(gatewaypod.OtherTemplates)+") &&",
		template+".spec.containers.exists(c, c.name == '"+gatewaypod.ProxyContainer+"' &&",
		"((size("+template+".spec.containers) == 1 && has(c.image) && c.image == '"+gatewaypod.AutoImage+"') ||",
		"(has("+template+".metadata) && has("+template+".metadata.labels) &&",
		podLabels(cfg)+".exists(g, g.exists(k,",
		"k in "+template+".metadata.labels && "+template+".metadata.labels[k] == g[k])))))))",
	)
}

// noGatewayWorkload is the rest, so that each workload is sent once.
func noGatewayWorkload(cfg *config.Configuration) Condition {
	return Condition{
		Name: "no-gateway-workload",
		Why:  "The others are sent by workloads.gatewarden.io.",
		Expression: lines(
			"request.kind.kind == 'StatefulSet' ||",
			"!("+isGatewayWorkload(cfg)+")",
		),
	}
}

// leadsElsewhere keeps out all Services but those of type ExternalName.
func leadsElsewhere() Condition {
	return Condition{
		Name:       "leads-elsewhere",
		Why:        "Of Services only those that stand for another name.",
		Expression: "request.kind.kind != 'Service' || (has(object.spec.type) && object.spec.type == 'ExternalName')",
	}
}

// bypassedOrRelabelled holds for templates that policy.Gaps may find something in, and for those
// whose labels change, by which policies select them.
func bypassedOrRelabelled() Condition {
	metadata := "object.spec.template.metadata"
	return Condition{
		Name: "bypassed-or-relabelled",
		Why:  "Templates by which traffic may get past the sidecar, and labels by which policies select pods.",
		Expression: lines(
			"(has(object.spec.template.spec.hostNetwork) && object.spec.template.spec.hostNetwork) ||",
			"(has("+metadata+") && has("+metadata+".annotations) &&",
			"("+quoted(append(slices.Clone(policy.CaptureAnnotations),
				policy.ProxyConfigAnnotation, gatewaypod.TemplatesAnnotation, gatewaypod.BypassAnnotation))+".exists(k,",
			"k in "+metadata+".annotations) ||",
			says(metadata+".annotations", gatewaypod.InjectAnnotation, "false")+")) ||",
			"(has("+metadata+") && has("+metadata+".labels) &&",
			"("+quoted([]string{policy.TLSModeLabel, gatewaypod.RevisionLabel, gatewaypod.DataplaneLabel})+".exists(k,",
			"k in "+metadata+".labels) ||",
			says(metadata+".labels", gatewaypod.InjectLabel, "false")+")) ||",
			"(request.operation == 'UPDATE' &&",
			"(has("+metadata+") && has("+metadata+".labels) ?",
			metadata+".labels : {}) !=",
			"(has(oldObject.spec.template.metadata) && has(oldObject.spec.template.metadata.labels) ?",
			"oldObject.spec.template.metadata.labels : {}))",
		),
	}
}

// relabelledOrNewAndBypassed is bypassedOrRelabelled for pods, which were injected already when
// this is asked: what injection writes to all of them is told from what matters by its value.
func relabelledOrNewAndBypassed(cfg *config.Configuration) Condition {
	annotations, labels := "object.metadata.annotations", "object.metadata.labels"
	ports := []string{""}
	for _, p := range policy.ProxyPorts {
		ports = append(ports, fmt.Sprint(p))
	}
	return Condition{
		Name: "relabelled-or-new-and-bypassed",
		Why: "A new pod was injected already when this is asked. Where the CNI plugin sets the interception\n" +
			"up, every injected pod has annotations that tell of it, so their values count.",
		Expression: lines(
			"request.operation == 'UPDATE' ?",
			"!has(object.metadata.deletionTimestamp) &&",
			differs(".metadata", "labels")+" :",
			"request.namespace in "+quoted(gatewayNamespaces(cfg))+" ||",
			"(has(object.spec.hostNetwork) && object.spec.hostNetwork) ||",
			"(has("+annotations+") &&",
			"("+quoted([]string{policy.ExcludeInterfaces, gatewaypod.TemplatesAnnotation, gatewaypod.BypassAnnotation})+".exists(k,",
			"k in "+annotations+") ||",
			says(annotations, gatewaypod.InjectAnnotation, "false")+" ||",
			says(annotations, policy.InterceptionMode, "NONE")+" ||",
			"('"+policy.ProxyConfigAnnotation+"' in "+annotations+" &&",
			annotations+"['"+policy.ProxyConfigAnnotation+"'].contains('interceptionMode')) ||",
			otherThan(annotations, policy.IncludeInboundPorts, "*")+" ||",
			"('"+policy.ExcludeInboundPorts+"' in "+annotations+" &&",
			annotations+"['"+policy.ExcludeInboundPorts+"'].split(',').exists(p,",
			"!(p.trim() in "+quoted(ports)+"))))) ||",
			"(has("+labels+") &&",
			"("+otherThan(labels, policy.TLSModeLabel, policy.TLSModeIstio)+" ||",
			says(labels, gatewaypod.InjectLabel, "false")+" ||",
			"'"+gatewaypod.DataplaneLabel+"' in "+labels+" ||",
			"('"+gatewaypod.RevisionLabel+"' in "+labels+" && !(has("+annotations+") &&",
			"'"+policy.InjectionStatus+"' in "+annotations+")) ||",
			podLabels(cfg)+".exists(g, g.all(k, k in "+labels+" && "+labels+"[k] == g[k]))))",
		),
	}
}

// relabelled holds for namespaces whose labels change, unless they are about to go.
func relabelled() Condition {
	return Condition{
		Name: "relabelled",
		Why:  "A namespace that goes may lose whatever it has.",
		Expression: lines(
			"!has(object.metadata.deletionTimestamp) &&",
			differs(".metadata", "labels"),
		),
	}
}

// says is an expression for an entry that has one value, and otherThan for one that has another.
func says(entries, key, value string) string {
	return fmt.Sprintf("('%[2]s' in %[1]s && %[1]s['%[2]s'] == '%[3]s')", entries, key, value)
}

func otherThan(entries, key, value string) string {
	return fmt.Sprintf("('%[2]s' in %[1]s && %[1]s['%[2]s'] != '%[3]s')", entries, key, value)
}

// quoted writes a list of strings as the expression language does. None of them holds a quote.
func quoted(l []string) string { return "[" + strings.Join(quotedItems(l), ", ") + "]" }

func quotedItems(l []string) []string {
	out := make([]string, 0, len(l))
	for _, s := range l {
		out = append(out, "'"+s+"'")
	}
	return out
}

// podLabels writes the labels of the guarded gateways' pods, a map for each gateway. No label
// holds a quote.
func podLabels(cfg *config.Configuration) string {
	sets := make([]map[string]string, 0, len(cfg.GuardedGateways))
	for _, g := range cfg.GuardedGateways {
		sets = append(sets, g.PodLabels)
	}
	out, err := json.Marshal(sets)
	if err != nil {
		panic(err) // maps of strings
	}
	return strings.ReplaceAll(string(out), `"`, "'")
}

// gatewayNamespaces are the namespaces of the guarded gateways, each once.
func gatewayNamespaces(cfg *config.Configuration) []string {
	var out []string
	for _, g := range cfg.GuardedGateways {
		if !slices.Contains(out, g.Namespace) {
			out = append(out, g.Namespace)
		}
	}
	return out
}

// proxyNamespaces are those of which an object applies to a guarded gateway's proxies.
func proxyNamespaces(cfg *config.Configuration) []string {
	out := gatewayNamespaces(cfg)
	root := cfg.Mesh.RootNamespace
	if root == "" {
		root = config.DefaultRootNamespace
	}
	if !slices.Contains(out, root) {
		out = append(out, root)
	}
	return out
}

func lines(l ...string) string { return strings.Join(l, "\n") }

// workloadKinds are those that gatewaypod completes.
func workloadKinds() []resource.Kind {
	var out []resource.Kind
	for _, api := range resource.APIs {
		if gatewaypod.Handles(api.Kind) {
			out = append(out, api.Kind)
		}
	}
	return out
}
