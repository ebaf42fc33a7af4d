package config

import (
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// entry is a key of a mapping with its value.
type entry struct{ key, value *yaml.Node }

// place of the value if it is on the line of the key, else of the key.
func (e entry) place() place {
	if e.value.Kind == yaml.ScalarNode && e.value.Line == e.key.Line {
		return place{e.value.Line, e.value.Column}
	}
	return place{e.key.Line, e.key.Column}
}

// entries of a mapping, with those merged by "<<". Duplicate keys are reported;
// the first value counts.
func (d *decoder) entries(path string, n *yaml.Node) []entry {
	var found, merged []entry
	seen := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		switch {
		case key.ShortTag() == "!!merge":
			merged = append(merged, d.merge(path, value)...)
			continue
		case key.Kind != yaml.ScalarNode || key.ShortTag() == "!!null":
			d.note(path, key, "", "a key must be a string")
			continue
		}
		if first, twice := seen[key.Value]; twice {
			d.note(child(path, key.Value), key, "keep one of them",
				"duplicate key; first defined on line %d", first.Line)
			continue
		}
		seen[key.Value] = key
		found = append(found, entry{key, value})
	}
	for _, e := range merged {
		if seen[e.key.Value] == nil {
			seen[e.key.Value] = e.key
			found = append(found, e)
		}
	}
	return found
}

// merge returns the entries of the mapping, or of the list of mappings, that "<<"
// refers to.
func (d *decoder) merge(path string, n *yaml.Node) []entry {
	if d.tooMuch(n) {
		return nil
	}
	switch n.Kind {
	case yaml.AliasNode:
		if d.following[n.Alias] {
			d.note(path, n, "write the values themselves", "alias *%s contains itself", n.Value)
			return nil
		}
		d.following[n.Alias] = true
		defer delete(d.following, n.Alias)
		return d.merge(path, n.Alias)
	case yaml.MappingNode:
		return d.entries(path, n)
	case yaml.SequenceNode:
		var all []entry
		for _, c := range n.Content {
			all = append(all, d.merge(path, c)...)
		}
		return all
	}
	d.note(path, n, "", "<< must merge a mapping, not %s", describe(n))
	return nil
}

// mismatch reports a value of the wrong type.
func (d *decoder) mismatch(path string, n *yaml.Node, want reflect.Type) {
	remedy := ""
	switch kind := want.Kind(); {
	case kind == reflect.String && n.Kind == yaml.ScalarNode:
		remedy = fmt.Sprintf("quote it: %q", n.Value)
	case kind == reflect.Slice && n.Kind == yaml.ScalarNode && want.Elem().Kind() == reflect.String:
		remedy = fmt.Sprintf("write it as a list: [%s]", n.Value)
	case kind == reflect.Slice && want.Elem().Kind() == reflect.Struct:
		remedy = `start each item with "- "; its fields are ` + strings.Join(fieldNames(want.Elem()), ", ")
	case kind == reflect.Slice:
		remedy = `start each item with "- "`
	case kind == reflect.Struct:
		remedy = "its fields are " + strings.Join(fieldNames(want), ", ")
	case kind == reflect.Bool:
		remedy = "write true or false"
	case n.ShortTag() == "!!str" && (&yaml.Node{Kind: n.Kind, Value: n.Value}).ShortTag() != "!!str":
		remedy = "remove the quotes"
	}
	d.report(path, n, remedy, "must be %s, not %s", wanted(want), describe(n))
}

func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "a boolean"
	case reflect.Slice:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "a mapping (key: value)"
	case reflect.Float32, reflect.Float64:
		return "a number"
	}
	return "a whole number"
}

func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isOldBool(n):
		return fmt.Sprintf("%s, which is a boolean in YAML 1.1", n.Value)
	}
	switch tag := n.ShortTag(); tag {
	case "!!bool":
		return n.Value
	case "!!int", "!!float":
		return "the number " + n.Value
	case "!!str", "!!timestamp", "!!merge":
		return fmt.Sprintf("the string %q", n.Value)
	default:
		return "a value with the tag " + tag
	}
}

// isText returns whether a scalar is a string in YAML 1.1 and 1.2.
func isText(n *yaml.Node) bool {
	switch n.ShortTag() {
	case "!!str", "!!timestamp", "!!merge":
		return !isOldBool(n)
	}
	return false
}

// isOldBool returns whether a scalar is a boolean in YAML 1.1, and so for
// sigs.k8s.io/yaml and kubectl, but a string in YAML 1.2.
func isOldBool(n *yaml.Node) bool {
	if n.Kind != yaml.ScalarNode || n.Style != 0 {
		return false
	}
	switch strings.ToLower(n.Value) {
	case "yes", "no", "on", "off":
		return true
	}
	return false
}
