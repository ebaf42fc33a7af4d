package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// jsonName returns the name of a field in JSON, or inline for an embedded struct
// whose fields belong to the outer one. Fields that are not in JSON have the name
// "".
func jsonName(f reflect.StructField) (name string, inline bool) {
	name, _, _ = strings.Cut(f.Tag.Get("json"), ",")
	switch {
	case name == "-" || !f.IsExported():
		return "", false
	case name == "" && f.Anonymous && f.Type.Kind() == reflect.Struct:
		return "", true
	}
	return name, false
}

// fieldNamed finds a field by its name in JSON, case-sensitively.
func fieldNamed(v reflect.Value, name string) (reflect.Value, bool) {
	for i := range v.NumField() {
		n, inline := jsonName(v.Type().Field(i))
		if inline {
			if found, ok := fieldNamed(v.Field(i), name); ok {
				return found, true
			}
		} else if n != "" && n == name {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

// fieldNames returns the names of the fields in JSON, in the order of the struct.
func fieldNames(t reflect.Type) []string {
	var names []string
	for f := range t.Fields() {
		name, inline := jsonName(f)
		switch {
		case inline:
			names = append(names, fieldNames(f.Type)...)
		case name != "":
			names = append(names, name)
		}
	}
	return names
}

// unknown reports an unknown field, with the field that was probably meant.
func (d *decoder) unknown(path string, key *yaml.Node, t reflect.Type) {
	names := fieldNames(t)
	remedy := "known fields are " + strings.Join(names, ", ")
	if near := closest(key.Value, names); near != "" {
		remedy = fmt.Sprintf("did you mean %s?", near)
		d.misspelt[child(path, near)] = true
	} else if at := elsewhere(d.root, "", key.Value); len(at) > 0 {
		remedy = "it belongs in " + strings.Join(at, " or ")
	} else if len(names) > 30 {
		remedy = ""
	}
	d.report(child(path, key.Value), key, remedy, "unknown field")
}

// elsewhere returns the paths of the fields with that name.
func elsewhere(t reflect.Type, path, name string) []string {
	switch t.Kind() {
	case reflect.Slice:
		return elsewhere(t.Elem(), path+"[]", name)
	case reflect.Struct:
		var at []string
		for f := range t.Fields() {
			n, _ := jsonName(f)
			if n == "" {
				continue
			}
			if n == name {
				at = append(at, child(path, n))
			}
			at = append(at, elsewhere(f.Type, child(path, n), name)...)
		}
		return at
	}
	return nil
}

// closest returns the most similar name, or "" if none is similar.
func closest(word string, names []string) string {
	if len(word) > 64 {
		return ""
	}
	best, least := "", max(1, len(word)/3)+1
	for _, name := range names {
		if d := distance(strings.ToLower(word), strings.ToLower(name)); d < least {
			best, least = name, d
		}
	}
	return best
}

// distance returns the edit distance of two words: insertions, deletions,
// replacements and swaps of neighbours (optimal string alignment).
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range len(b) + 1 {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replace := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, replace)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}

// oneOf returns "a, b or c".
func oneOf(values []string) string {
	if len(values) < 2 {
		return strings.Join(values, "")
	}
	last := len(values) - 1
	return strings.Join(slices.Clone(values[:last]), ", ") + " or " + values[last]
}
