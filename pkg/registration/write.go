package registration

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	jsonyaml "sigs.k8s.io/yaml"
)

// Write writes both configurations in YAML, with the reasons as comments. The head is a comment
// before all.
func (s Set) Write(w io.Writer, head string) error {
	validating, err := document(s.ValidatingConfiguration(), s.Validating)
	if err != nil {
		return err
	}
	mutating, err := document(s.MutatingConfiguration(), s.Mutating)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	out.WriteString(comment(head) + "\n")
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	encoder.CompactSeqIndent()
	for _, d := range []*yaml.Node{validating, mutating} {
		if err := encoder.Encode(d); err != nil {
			return fmt.Errorf("writing webhook configurations: %w", err)
		}
	}
	if err := encoder.Close(); err != nil {
		return fmt.Errorf("writing webhook configurations: %w", err)
	}
	_, err = w.Write(out.Bytes())
	return err
}

// document is a configuration as a commented tree. By way of JSON, because only its tags are on
// the types.
func document(configuration any, webhooks []Webhook) (*yaml.Node, error) {
	text, err := jsonyaml.Marshal(configuration)
	if err != nil {
		return nil, fmt.Errorf("writing webhook configurations: %w", err)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return nil, fmt.Errorf("writing webhook configurations: %w", err)
	}
	object := root.Content[0]
	arrange(object)
	annotate(value(object, "metadata"), "annotations", "The first keeps AKS from adding selectors of its own.")
	for i, item := range value(object, "webhooks").Content {
		w := webhooks[i]
		item.HeadComment = comment(w.Why)
		annotate(item, "failurePolicy", w.Policy)
		annotate(item, "namespaceSelector", w.Selection)
		if conditions := value(item, "matchConditions"); conditions != nil {
			for j, c := range conditions.Content {
				c.HeadComment = comment(w.Conditions[j].Why)
			}
		}
	}
	return object, nil
}

// order is that of keys for people; the others follow as they are.
var order = []string{
	"apiVersion", "kind", "metadata", "name", "admissionReviewVersions", "clientConfig", "failurePolicy", "matchPolicy",
	"reinvocationPolicy", "sideEffects", "timeoutSeconds", "namespaceSelector", "matchConditions",
	"apiGroups", "apiVersions", "resources", "operations",
}

// arrange puts keys into order, lists of words on one line, and longer expressions on several.
func arrange(n *yaml.Node) {
	switch n.Kind {
	case yaml.MappingNode:
		var pairs [][2]*yaml.Node
		for i := 0; i < len(n.Content); i += 2 {
			pairs = append(pairs, [2]*yaml.Node{n.Content[i], n.Content[i+1]})
		}
		rank := func(p [2]*yaml.Node) int {
			if i := slices.Index(order, p[0].Value); i >= 0 {
				return i
			}
			return len(order)
		}
		slices.SortStableFunc(pairs, func(a, b [2]*yaml.Node) int { return rank(a) - rank(b) })
		n.Content = n.Content[:0]
		for _, p := range pairs {
			arrange(p[1])
			n.Content = append(n.Content, p[0], p[1])
		}
	case yaml.SequenceNode:
		n.Style = yaml.FlowStyle
		for _, item := range n.Content {
			arrange(item)
			if item.Kind != yaml.ScalarNode {
				n.Style = 0
			}
		}
	case yaml.ScalarNode:
		if strings.Contains(n.Value, "\n") {
			n.Style = yaml.LiteralStyle
		}
	}
}

// value returns the value of a key, or nil.
func value(mapping *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i+1]
		}
	}
	return nil
}

// annotate puts a comment before a key.
func annotate(mapping *yaml.Node, key, text string) {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			mapping.Content[i].HeadComment = comment(text)
		}
	}
}

// comment makes a comment of lines.
func comment(text string) string { return "# " + strings.ReplaceAll(text, "\n", "\n# ") }
