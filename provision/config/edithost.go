package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// errByHand reports an inventory whose YAML is too unusual to edit.
var errByHand = errors.New("cannot set the state of the host in the text of the inventory: edit it by hand")

// SetHostState sets the state of a host in an inventory, and preserves comments and
// order.
func SetHostState(inventory []byte, name, state string) ([]byte, error) {
	host, err := hostNode(inventory, name)
	if err != nil {
		return nil, err
	}
	lines := splitLines(inventory)
	_, value := valueOf(host, "state")
	switch {
	case value != nil:
		err = replaceScalar(lines, value, state)
	case host.Style&yaml.FlowStyle != 0:
		_, named := valueOf(host, "name")
		err = replaceScalar(lines, named, source(named)+", state: "+state)
	default:
		key, named := valueOf(host, "name")
		at := lastLine(named)
		lines = slices.Insert(lines, at, strings.Repeat(" ", key.Column-1)+"state: "+state)
	}
	if err != nil {
		return nil, err
	}
	after := []byte(strings.Join(lines, "\n") + "\n")
	return after, verifyState(inventory, after, name, state)
}

// HostNames returns the names of the hosts in the text of an inventory, which may be
// invalid otherwise.
func HostNames(inventory []byte) ([]string, error) {
	var text struct {
		Hosts []struct {
			Name string `yaml:"name"`
		} `yaml:"hosts"`
	}
	if err := yaml.Unmarshal(inventory, &text); err != nil {
		return nil, err
	}
	var names []string
	for _, h := range text.Hosts {
		names = append(names, h.Name)
	}
	return names, nil
}

// hostNode returns the mapping of a host.
func hostNode(inventory []byte, name string) (*yaml.Node, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(inventory, &document); err != nil {
		return nil, err
	}
	if len(document.Content) > 0 {
		if _, list := valueOf(document.Content[0], "hosts"); list != nil {
			for _, host := range list.Content {
				if _, value := valueOf(host, "name"); value != nil && value.Value == name {
					return host, nil
				}
			}
		}
	}
	return nil, fmt.Errorf("host %q is not in the inventory", name)
}

// valueOf returns the nodes of a key and its value in a mapping, or nil.
func valueOf(mapping *yaml.Node, key string) (*yaml.Node, *yaml.Node) {
	if mapping.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i], mapping.Content[i+1]
		}
	}
	return nil, nil
}

// source returns a scalar as the text has it, with its quotes.
func source(scalar *yaml.Node) string {
	switch scalar.Style {
	case yaml.DoubleQuotedStyle:
		return `"` + scalar.Value + `"`
	case yaml.SingleQuotedStyle:
		return "'" + scalar.Value + "'"
	}
	return scalar.Value
}

// replaceScalar replaces a scalar in its line.
func replaceScalar(lines []string, scalar *yaml.Node, by string) error {
	line := []rune(lines[scalar.Line-1])
	old, from := []rune(source(scalar)), scalar.Column-1
	if from+len(old) > len(line) || string(line[from:from+len(old)]) != string(old) {
		return errByHand
	}
	lines[scalar.Line-1] = string(line[:from]) + by + string(line[from+len(old):])
	return nil
}

// verifyState returns an error unless the state of the host is the only difference
// between two inventories.
func verifyState(before, after []byte, name, state string) error {
	var texts [2]map[string]any
	for i, text := range [][]byte{before, after} {
		if err := yaml.Unmarshal(text, &texts[i]); err != nil {
			return errByHand
		}
	}
	hosts, _ := texts[0]["hosts"].([]any)
	for _, item := range hosts {
		if host, ok := item.(map[string]any); ok && host["name"] == name {
			host["state"] = state
		}
	}
	if !reflect.DeepEqual(texts[0], texts[1]) {
		return errByHand
	}
	return nil
}
