package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	sigsyaml "sigs.k8s.io/yaml"
)

// errFlow reports a list in flow style, in brackets.
var errFlow = errors.New("addons: not a list with one line for each addon: edit the inventory by hand")

// AddAddon appends an addon to the list of an inventory, and preserves comments and
// order.
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

// MarshalAddons writes a list of addons, each with its name first.
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
		name, err := sigsyaml.Marshal(a.Name) // quoted if YAML would read a number
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

// DropAddon deletes an addon from the list of an inventory, and the list with the
// last addon.
func DropAddon(inventory []byte, name string) ([]byte, error) {
	list, err := addonList(inventory)
	if err != nil {
		return nil, err
	}
	if list == nil {
		return nil, fmt.Errorf("addon %q is not in the inventory", name)
	}
	i := slices.IndexFunc(list.Content, func(n *yaml.Node) bool {
		var a struct{ Name string }
		return n.Decode(&a) == nil && a.Name == name
	})
	if i < 0 {
		return nil, fmt.Errorf("addon %q is not in the inventory", name)
	}
	first, last := list.Content[i].Line, lastLine(list.Content[i])
	if len(list.Content) == 1 {
		first = list.Line // the key is on a line before
		for first > 1 && !strings.HasPrefix(splitLines(inventory)[first-1], "addons:") {
			first--
		}
	}
	return []byte(strings.Join(slices.Delete(splitLines(inventory), first-1, last), "\n") + "\n"), nil
}

// addonList returns the node of the list, or nil.
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

// lastLine returns the last line of a node.
func lastLine(n *yaml.Node) int {
	last := n.Line + strings.Count(strings.TrimRight(n.Value, "\n"), "\n")
	if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		last++ // the text begins on the line after | or >
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
