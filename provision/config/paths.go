package config

import "reflect"

// Paths returns the path of each field of an inventory that has a value of its own,
// such as "network.podSubnet" and "hosts[].labels", in the order of the types.
// Mappings with free keys are one field.
func Paths() []string { return paths(reflect.TypeFor[Cluster](), "") }

func paths(t reflect.Type, at string) []string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() == reflect.Slice {
		t, at = t.Elem(), at+"[]"
	}
	if t.Kind() != reflect.Struct {
		return []string{at}
	}
	var all []string
	for f := range t.Fields() {
		name, inline := jsonName(f)
		if name == "" && !inline {
			continue
		}
		if f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() != reflect.Struct {
			all = append(all, child(at, name)) // a list of plain values
			continue
		}
		all = append(all, paths(f.Type, child(at, name))...)
	}
	return all
}
