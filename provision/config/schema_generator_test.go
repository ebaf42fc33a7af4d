package config

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// generator creates the JSON Schema of the types: names and limits from their
// tags, descriptions from doc comments, defaults from SetDefaults.
type generator struct {
	t *testing.T
	// docs maps "Type" and "Type.Field" to comments.
	docs map[string]string
	defs map[string]any
}

type object = map[string]any

func generateSchema(t *testing.T) []byte {
	t.Helper()
	docs := docComments(t, "types.go")
	maps.Copy(docs, docComments(t, "types_addon.go"))
	g := generator{t: t, docs: docs, defs: object{}}
	defaults := Cluster{Hosts: []Host{{}}}
	defaults.SetDefaults()
	s := g.structure(reflect.ValueOf(defaults))
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "slipway inventory"
	s["$defs"] = g.defs
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(out, '\n')
}

// structure describes a struct; the value holds its defaults.
func (g *generator) structure(v reflect.Value) object {
	properties, required := object{}, []string{}
	for f, value := range v.Fields() {
		name, _ := jsonName(f)
		if name == "" {
			continue
		}
		p := g.property(f, value)
		p["description"] = g.doc(v.Type().Name() + "." + f.Name)
		if !strings.Contains(f.Tag.Get("json"), ",omit") {
			required = append(required, name)
		}
		properties[name] = p
	}
	s := object{
		"type": "object", "description": g.doc(v.Type().Name()),
		"properties": properties, "additionalProperties": false,
	}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

func (g *generator) property(f reflect.StructField, v reflect.Value) object {
	switch v.Kind() {
	case reflect.Struct:
		return g.ref(v)
	case reflect.Slice:
		return g.list(f, v)
	case reflect.Map:
		if shape, ok := overrideShapes()[f.Name]; ok {
			return patchOf(shape)
		}
		if v.Type().Elem().Kind() == reflect.String {
			return object{"type": "object", "additionalProperties": object{"type": "string"}}
		}
		return object{"type": "object"}
	}
	p := scalarOf(f, v.Type())
	if !v.IsZero() {
		p["default"] = v.Interface()
	}
	return p
}

func (g *generator) list(f reflect.StructField, v reflect.Value) object {
	p := object{"type": "array"}
	if !strings.Contains(f.Tag.Get("json"), ",omit") {
		p["minItems"] = 1
	}
	if v.Type().Elem().Kind() != reflect.Struct {
		p["items"] = scalarOf(f, v.Type().Elem())
		if v.Len() > 0 {
			p["default"] = v.Interface()
		}
		return p
	}
	element := reflect.Zero(v.Type().Elem())
	if v.Len() > 0 {
		element = v.Index(0)
	}
	p["items"] = g.ref(element)
	return p
}

func (g *generator) ref(v reflect.Value) object {
	name := v.Type().Name()
	if g.defs[name] == nil {
		g.defs[name] = g.structure(v)
	}
	return object{"$ref": "#/$defs/" + name}
}

func (g *generator) doc(name string) string {
	if g.docs[name] == "" {
		g.t.Errorf("%s has no doc comment to describe it", name)
	}
	return g.docs[name]
}

func scalarOf(f reflect.StructField, t reflect.Type) object {
	p := object{"type": "boolean"}
	switch t.Kind() {
	case reflect.String:
		p["type"] = "string"
		if !strings.Contains(f.Tag.Get("json"), ",omit") {
			p["minLength"] = 1
		}
	case reflect.Int:
		p["type"] = "integer"
	}
	if enum := f.Tag.Get("enum"); enum != "" {
		p["enum"] = strings.Split(enum, ",")
	}
	if pattern := f.Tag.Get("pattern"); pattern != "" {
		p["pattern"] = pattern
	}
	for _, key := range []string{"minimum", "maximum"} {
		if n, err := strconv.Atoi(f.Tag.Get(key)); err == nil {
			p[key] = n
		}
	}
	if example := f.Tag.Get("example"); example != "" {
		p["examples"] = []any{example}
		if n, err := strconv.Atoi(example); err == nil && t.Kind() == reflect.Int {
			p["examples"] = []any{n}
		}
	}
	return p
}

// overrideShapes maps the override fields of Kubernetes to their types.
func overrideShapes() map[string]override {
	shapes := map[string]override{}
	for _, o := range (Kubernetes{}).overrides() {
		shapes[strings.ToUpper(o.field[:1])+o.field[1:]] = o
	}
	return shapes
}

// patchOf describes the fields that an override may set.
func patchOf(o override) object {
	s := patch(o.shape)
	properties := s["properties"].(object)
	delete(properties, "apiVersion")
	delete(properties, "kind")
	for path := range o.owned {
		within := properties
		name, rest, more := strings.Cut(path, ".")
		for ; more; name, rest, more = strings.Cut(rest, ".") {
			within = within[name].(object)["properties"].(object)
		}
		delete(within, name)
	}
	return s
}

// patch describes a merge patch for a type: any field may be null.
func patch(t reflect.Type) object {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return object{}
	}
	orNull := func(kind string) object { return object{"type": []string{kind, "null"}} }
	switch t.Kind() {
	case reflect.Struct:
		s := orNull("object")
		properties := object{}
		addProperties(properties, t)
		s["properties"], s["additionalProperties"] = properties, false
		return s
	case reflect.Map:
		s := orNull("object")
		s["additionalProperties"] = patch(t.Elem())
		return s
	case reflect.Slice:
		s := orNull("array")
		s["items"] = patch(t.Elem())
		return s
	case reflect.Bool:
		return orNull("boolean")
	case reflect.String:
		return orNull("string")
	case reflect.Interface:
		return object{}
	case reflect.Float32, reflect.Float64:
		return orNull("number")
	}
	return orNull("integer")
}

func addProperties(properties object, t reflect.Type) {
	for f := range t.Fields() {
		name, inline := jsonName(f)
		switch {
		case inline:
			addProperties(properties, f.Type)
		case name != "":
			properties[name] = patch(f.Type)
		}
	}
}

// docComments returns the comments of a file's types and fields, each on one
// line.
func docComments(t *testing.T, file string) map[string]string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	line := func(c *ast.CommentGroup) string { return strings.Join(strings.Fields(c.Text()), " ") }
	docs := map[string]string{}
	for _, decl := range parsed.Decls {
		types, ok := decl.(*ast.GenDecl)
		if !ok || types.Tok != token.TYPE {
			continue
		}
		spec := types.Specs[0].(*ast.TypeSpec)
		// Only the first paragraph is for users.
		first, _, _ := strings.Cut(types.Doc.Text(), "\n\n")
		docs[spec.Name.Name] = strings.Join(strings.Fields(first), " ")
		fields, ok := spec.Type.(*ast.StructType)
		if !ok {
			continue
		}
		for _, f := range fields.Fields.List {
			for _, name := range f.Names {
				docs[spec.Name.Name+"."+name.Name] = line(f.Doc)
			}
		}
	}
	return docs
}
