package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxNodes limits the values in a document, aliases expanded, so that a small
// file cannot use up all memory.
const maxNodes = 50_000

// maxDepth limits the nesting, which aliases can make infinite.
const maxDepth = 100

// decoder decodes a tree of YAML nodes into Go values by their json tags. It
// collects all mistakes, and the place of each field in the file.
// encoding/json and sigs.k8s.io/yaml stop at the first type error and know no
// lines.
type decoder struct {
	places   map[string]place
	problems []Problem
	// broken are the paths with an invalid value, below which nothing more is
	// reported. misspelt are the paths whose key is probably misspelt, which
	// are not reported as missing.
	broken, misspelt map[string]bool
	// root is the type of the document, in which misplaced fields are looked
	// up.
	root reflect.Type
	// following are the aliased nodes being decoded.
	following map[*yaml.Node]bool
	// nodes and depth are counted against their limits.
	nodes, depth int
}

func newDecoder(root reflect.Type) *decoder {
	return &decoder{
		places: map[string]place{}, broken: map[string]bool{}, misspelt: map[string]bool{},
		root: root, following: map[*yaml.Node]bool{},
	}
}

// report adds a problem with the value at the path, and marks it as broken.
func (d *decoder) report(path string, n *yaml.Node, remedy, format string, args ...any) {
	d.broken[path] = true
	d.note(path, n, remedy, format, args...)
}

// note adds a problem with a path whose value is still validated.
func (d *decoder) note(path string, n *yaml.Node, remedy, format string, args ...any) {
	d.problems = append(d.problems, Problem{
		Field: path, Line: n.Line, Column: n.Column,
		Message: fmt.Sprintf(format, args...), Remedy: remedy,
	})
}

// value decodes n into the settable value. null leaves the zero value, as in
// JSON.
func (d *decoder) value(path string, n *yaml.Node, into reflect.Value) {
	if d.tooMuch(n) {
		return
	}
	d.depth++
	defer func() { d.depth-- }()
	if n.Kind == yaml.AliasNode {
		if d.following[n.Alias] {
			d.report(path, n, "write the value itself", "alias *%s contains itself", n.Value)
			return
		}
		d.following[n.Alias] = true
		d.value(path, n.Alias, into)
		delete(d.following, n.Alias)
		return
	}
	if n.ShortTag() == "!!null" {
		return
	}
	if u, ok := into.Addr().Interface().(json.Unmarshaler); ok {
		d.self(path, n, u)
		return
	}
	switch into.Kind() {
	case reflect.Pointer:
		into.Set(reflect.New(into.Type().Elem()))
		d.value(path, n, into.Elem())
	case reflect.Struct:
		d.structure(path, n, into)
	case reflect.Map:
		d.mapping(path, n, into)
	case reflect.Slice:
		d.list(path, n, into)
	case reflect.Interface:
		if v := d.free(path, n); v != nil {
			into.Set(reflect.ValueOf(v))
		}
	default:
		d.scalar(path, n, into)
	}
}

// tooMuch counts n and returns whether a limit is reached. It reports the first
// time.
func (d *decoder) tooMuch(n *yaml.Node) bool {
	if d.nodes > maxNodes {
		return true
	}
	d.nodes++
	if d.nodes <= maxNodes && d.depth < maxDepth {
		return false
	}
	d.nodes = maxNodes + 1
	d.report("", n, "write it without aliases", "too large: nests deeper than %d, or has more than %d values", maxDepth, maxNodes)
	return true
}

// self decodes a type with its own JSON form, such as a duration.
func (d *decoder) self(path string, n *yaml.Node, u json.Unmarshaler) {
	value := d.free(path, n)
	data, err := json.Marshal(value)
	if err == nil {
		err = u.UnmarshalJSON(data)
	}
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
		d.report(path, n, "", "must be a %s, not a %s", wrong.Type, wrong.Value)
	} else if err != nil && !d.broken[path] {
		d.report(path, n, "", "invalid value %v: %s", value, err)
	}
}

func (d *decoder) structure(path string, n *yaml.Node, into reflect.Value) {
	if n.Kind != yaml.MappingNode {
		d.mismatch(path, n, into.Type())
		return
	}
	for _, e := range d.entries(path, n) {
		at := child(path, e.key.Value)
		d.places[at] = e.place()
		field, ok := fieldNamed(into, e.key.Value)
		if !ok {
			d.unknown(path, e.key, into.Type())
			continue
		}
		d.value(at, e.value, field)
	}
}

func (d *decoder) mapping(path string, n *yaml.Node, into reflect.Value) {
	if n.Kind != yaml.MappingNode {
		d.mismatch(path, n, into.Type())
		return
	}
	into.Set(reflect.MakeMap(into.Type()))
	for _, e := range d.entries(path, n) {
		at := child(path, e.key.Value)
		d.places[at] = e.place()
		v := reflect.New(into.Type().Elem()).Elem()
		d.value(at, e.value, v)
		into.SetMapIndex(reflect.ValueOf(e.key.Value).Convert(into.Type().Key()), v)
	}
}

func (d *decoder) list(path string, n *yaml.Node, into reflect.Value) {
	if n.Kind != yaml.SequenceNode {
		d.mismatch(path, n, into.Type())
		return
	}
	into.Set(reflect.MakeSlice(into.Type(), len(n.Content), len(n.Content)))
	for i, c := range n.Content {
		at := item(path, i)
		d.places[at] = place{c.Line, c.Column}
		d.value(at, c, into.Index(i))
	}
}

func (d *decoder) scalar(path string, n *yaml.Node, into reflect.Value) {
	if n.Kind != yaml.ScalarNode {
		d.mismatch(path, n, into.Type())
		return
	}
	text, tag := strings.ReplaceAll(n.Value, "_", ""), n.ShortTag()
	var err error
	switch kind := into.Kind(); {
	case kind == reflect.String && isText(n):
		into.SetString(n.Value)
	case kind == reflect.Bool && tag == "!!bool":
		into.SetBool(strings.EqualFold(n.Value, "true"))
	case into.CanInt() && tag == "!!int":
		var i int64
		if i, err = strconv.ParseInt(text, 0, into.Type().Bits()); err == nil {
			into.SetInt(i)
		}
	case into.CanUint() && tag == "!!int":
		var u uint64
		if u, err = strconv.ParseUint(text, 0, into.Type().Bits()); err == nil {
			into.SetUint(u)
		}
	case into.CanFloat() && (tag == "!!int" || tag == "!!float"):
		var f float64
		if f, err = strconv.ParseFloat(text, into.Type().Bits()); err == nil {
			into.SetFloat(f)
		}
	default:
		d.mismatch(path, n, into.Type())
	}
	if err != nil {
		d.report(path, n, "", "number %s is out of range", n.Value)
	}
}

// free decodes n where any value is allowed: maps have string keys, whole
// numbers are int64, others float64. It returns nil for a null or after a
// report.
func (d *decoder) free(path string, n *yaml.Node) any {
	switch n.Kind {
	case yaml.AliasNode, yaml.MappingNode, yaml.SequenceNode:
		return d.freeTree(path, n)
	}
	switch tag := n.ShortTag(); {
	case tag == "!!null":
		return nil
	case isOldBool(n):
		d.report(path, n, "write true or false, or quote it",
			"%s is a boolean in YAML 1.1 and a string in YAML 1.2", n.Value)
		return nil
	case tag == "!!bool":
		return strings.EqualFold(n.Value, "true")
	case tag == "!!int":
		var i int64
		d.scalar(path, n, reflect.ValueOf(&i).Elem())
		return i
	case tag == "!!float":
		var f float64
		if err := n.Decode(&f); err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			d.report(path, n, "", "%s is not a number", n.Value)
		}
		return f
	}
	var s string
	d.scalar(path, n, reflect.ValueOf(&s).Elem())
	return s
}

func (d *decoder) freeTree(path string, n *yaml.Node) any {
	switch n.Kind {
	case yaml.MappingNode:
		var m map[string]any
		d.value(path, n, reflect.ValueOf(&m).Elem())
		return m
	case yaml.SequenceNode:
		var l []any
		d.value(path, n, reflect.ValueOf(&l).Elem())
		return l
	}
	var v any
	d.value(path, n, reflect.ValueOf(&v).Elem())
	return v
}
