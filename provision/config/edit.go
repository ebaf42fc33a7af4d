package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	sigsyaml "sigs.k8s.io/yaml"
)

// errFlow: the list stands in one line, with brackets.
var errFlow = errors.New("addons: is not a list with a line for each: edit the inventory by hand")

// AddAddon writes an addon at the end of the list of an inventory, whose
// comments and order stay.
func AddAddon(inventory []byte, a Addon) ([]byte, error) {
	text, err := MarshalAddons([]Addon{a})
	if err != nil {
		return nil, err
	}
	lines := splitLines(inventory)
	list, err := addonList(inventory)
	switch {
	case err != nil:
		return nil, err
	case list == nil:
		return []byte(strings.Join(append(lines, "", "addons:", indent(text, 2)), "\n")), nil
	case len(list.Content) == 0:
		return nil, errFlow
	}
	at := lastLine(list)
	return []byte(strings.Join(slices.Insert(lines, at, strings.TrimRight(indent(text, list.Column-1), "\n")), "\n") + "\n"), nil
}

// MarshalAddons writes a list of addons as people do, each with its name first.
func MarshalAddons(addons []Addon) ([]byte, error) {
	var out strings.Builder
	for _, a := range addons {
		text, err := sigsyaml.Marshal(a)
		if err != nil {
			return nil, err
		}
		var options map[string]any
		if err := sigsyaml.Unmarshal(text, &options); err != nil {
			return nil, err
		}
		delete(options, "name")
		name, err := sigsyaml.Marshal(a.Name) // in quotes, if it is a number to YAML
		if err != nil {
			return nil, err
		}
		out.WriteString("- name: " + string(name))
		if len(options) == 0 {
			continue
		}
		if text, err = sigsyaml.Marshal(options); err != nil {
			return nil, err
		}
		out.WriteString(indent(text, 2))
	}
	return []byte(out.String()), nil
}

// DropAddon takes an addon out of the list of an inventory, and the list with
// its last one.
func DropAddon(inventory []byte, name string) ([]byte, error) {
	list, err := addonList(inventory)
	if err != nil {
		return nil, err
	}
	if list == nil {
		return nil, fmt.Errorf("the inventory has no addon %s", name)
	}
	i := slices.IndexFunc(list.Content, func(n *yaml.Node) bool {
		var a struct{ Name string }
		return n.Decode(&a) == nil && a.Name == name
	})
	if i < 0 {
		return nil, fmt.Errorf("the inventory has no addon %s", name)
	}
	first, last := list.Content[i].Line, lastLine(list.Content[i])
	if len(list.Content) == 1 {
		first = list.Line // the key stands in the line before
		for first > 1 && !strings.HasPrefix(splitLines(inventory)[first-1], "addons:") {
			first--
		}
	}
	return []byte(strings.Join(slices.Delete(splitLines(inventory), first-1, last), "\n") + "\n"), nil
}

// addonList is the list's node, nil if there is none.
func addonList(inventory []byte) (*yaml.Node, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(inventory, &document); err != nil {
		return nil, err
	}
	if len(document.Content) == 0 {
		return nil, nil
	}
	top := document.Content[0].Content
	for i := 0; i+1 < len(top); i += 2 {
		if top[i].Value != "addons" {
			continue
		}
		if list := top[i+1]; list.Kind == yaml.SequenceNode && list.Style&yaml.FlowStyle == 0 {
			return list, nil
		}
		return nil, errFlow
	}
	return nil, nil
}

// lastLine is the line of the last thing in a node.
func lastLine(n *yaml.Node) int {
	last := n.Line + strings.Count(strings.TrimRight(n.Value, "\n"), "\n")
	if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		last++ // the text begins in the line after its mark
	}
	for _, c := range n.Content {
		last = max(last, lastLine(c))
	}
	return last
}

func splitLines(text []byte) []string {
	return strings.Split(strings.TrimRight(string(text), "\n"), "\n")
}

func indent(text []byte, by int) string {
	var out strings.Builder
	for line := range strings.Lines(string(text)) {
		out.WriteString(strings.Repeat(" ", by) + line)
	}
	return out.String()
}
