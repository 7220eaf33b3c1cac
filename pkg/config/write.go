package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	yamldoc "go.yaml.in/yaml/v3"
)

// meanings are the comments before fields that everybody needs who edits a configuration.
var meanings = map[string]string{
	"mesh":                                "The settings of the mesh (meshConfig) that matter here.",
	"guardedGateways":                     "The shared gateways to guard.",
	"guardedGateways[0].gateways":         "The owner's Gateways. Ports, hosts and TLS are read from those that exist.",
	"guardedGateways[0].sharing":          "What others may do on the gateway's pods: HostAware, ExclusivePort or Dedicated.",
	"guardedGateways[0].podLabels":        "Used until the cluster tells: the labels of the gateway's pods, and its servers below.",
	"guardedGateways[0].serviceAccount":   "The ServiceAccount of the gateway's pods, by which the owner's backends know them.",
	"guardedGateways[0].servers[0].hosts": "As in a Gateway: before the slash is the namespace whose VirtualServices may use it.",
	"guardedGateways[0].domains":          "Domains that belong to the owner, with all of their subdomains.",
	"guardedGateways[0].ownerObjects":     "The owner's own objects on the gateway; \"*\" stands for any run of characters.",
	"guardedGateways[0].ownerRequesters":  "Who writes for the owner, and in which namespaces.",
	"guardedGateways[0].identityHeaders":  "The request headers by which the owner's backends know who asks.",
	"guardedGateways[0].reservedRoutes":   "Names of routes by which the owner's filters make exceptions, and who may have them.",
	"guardedGateways[0].tenantPaths":      "What a tenant may serve on the owner's hosts; {namespace} is that of his object.",
	"guardedGateways[0].requires":         "What the owner's applications need of Istio. Audits judge it: GWD701, GWD704 and GWD705.",
	"protectedNamespaces":                 "Namespaces whose workloads must keep their mutual TLS, by name or by labels.",
	"permissivePolicies":                  "PeerAuthentications that are meant to be PERMISSIVE.",
	"rules":                               "Effects of rules: deny, warn, note or off.",
	"exemptions":                          "Who and what is not judged.",
}

// Marshal writes a configuration as YAML with a comment at its head, and comments before
// fields, by their paths. Load reads it back as what it was.
func Marshal(c *Configuration, head string, comments map[string]string) ([]byte, error) {
	raw, err := json.Marshal(c) // which keeps the order of the fields
	if err != nil {
		return nil, err
	}
	var doc yamldoc.Node
	if err := yamldoc.Unmarshal(raw, &doc); err != nil {
		return nil, err
	}
	root := doc.Content[0]
	format(root, "", comments)
	root.HeadComment = comment(head)
	var out bytes.Buffer
	e := yamldoc.NewEncoder(&out)
	e.SetIndent(2)
	e.CompactSeqIndent()
	if err := e.Encode(root); err != nil {
		return nil, err
	}
	return out.Bytes(), e.Close()
}

// format turns JSON's style into that of a file for people, and puts comments in place.
func format(n *yamldoc.Node, at string, comments map[string]string) {
	n.Style = 0
	for i := 0; n.Kind == yamldoc.MappingNode && i < len(n.Content); i += 2 {
		key := n.Content[i]
		key.Style = 0
		path := strings.TrimPrefix(at+"."+key.Value, ".")
		key.HeadComment = comment(strings.Trim(meanings[path]+"\n"+comments[path], "\n"))
		format(n.Content[i+1], path, comments)
	}
	for i := 0; n.Kind == yamldoc.SequenceNode && i < len(n.Content); i++ {
		each, path := n.Content[i], fmt.Sprintf("%s[%d]", at, i)
		format(each, path, comments)
		if strings.HasSuffix(at, "ownerObjects") || strings.HasSuffix(at, ".owners") {
			each.Style = yamldoc.FlowStyle
		}
		if text := comments[path]; text != "" {
			each.HeadComment = comment(text)
		}
	}
}

// comment makes each line of a text a comment.
func comment(text string) string {
	if text == "" {
		return ""
	}
	return "# " + strings.ReplaceAll(text, "\n", "\n# ")
}
