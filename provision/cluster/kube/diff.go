package kube

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"slipway.io/slipway/provision/diff"
)

// valueWidth bounds a value in a line of a diff, in bytes.
const valueWidth = 120

// diffObjects returns a line for each field that an apply changes. What the server
// maintains itself is left out, and secrets are replaced.
func diffObjects(before, after *unstructured.Unstructured) []string {
	d := differ{secret: before.GetKind() == "Secret"}
	old, current := cleaned(before), cleaned(after)
	d.maps("", old, current)
	if len(d.lines) > 0 && !d.secret {
		d.lines = nil
		old, current = diff.Mask(old, current)
		d.maps("", old, current)
		for i, line := range d.lines {
			d.lines[i] = diff.Unmask(line)
		}
	}
	slices.Sort(d.lines)
	return d.lines
}

func cleaned(object *unstructured.Unstructured) map[string]any {
	object = object.DeepCopy()
	for _, field := range []string{"managedFields", "resourceVersion", "generation"} {
		unstructured.RemoveNestedField(object.Object, "metadata", field)
	}
	// The server counts in it how often a DaemonSet's template has changed.
	unstructured.RemoveNestedField(object.Object, "metadata", "annotations", "deprecated.daemonset.template.generation")
	unstructured.RemoveNestedField(object.Object, "status")
	return object.Object
}

// unifiedDiff returns what an apply changes as a diff of YAML. before is nil if the
// object is created.
func unifiedDiff(before, after *unstructured.Unstructured) (string, error) {
	var objects [2]map[string]any
	for i, object := range []*unstructured.Unstructured{before, after} {
		if object == nil {
			continue
		}
		objects[i] = cleaned(object)
		for _, field := range [][]string{
			{"metadata", "creationTimestamp"},
			{"metadata", "uid"},
			{"metadata", "selfLink"},
			// It repeats the object.
			{"metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration"},
		} {
			unstructured.RemoveNestedField(objects[i], field...)
		}
	}
	return diff.Objects(objects[0], objects[1])
}

type differ struct {
	secret bool
	lines  []string
}

func (d *differ) maps(path string, before, after map[string]any) {
	for key, old := range before {
		d.values(join(path, key), old, after[key])
	}
	for key, value := range after {
		if _, both := before[key]; !both {
			d.values(join(path, key), nil, value)
		}
	}
}

func (d *differ) values(path string, before, after any) {
	if reflect.DeepEqual(before, after) {
		return
	}
	beforeMap, ok1 := before.(map[string]any)
	afterMap, ok2 := after.(map[string]any)
	if ok1 && ok2 {
		d.maps(path, beforeMap, afterMap)
		return
	}
	beforeList, ok1 := before.([]any)
	afterList, ok2 := after.([]any)
	if ok1 && ok2 && len(beforeList) == len(afterList) {
		for i := range beforeList {
			d.values(path+"["+strconv.Itoa(i)+"]", beforeList[i], afterList[i])
		}
		return
	}
	d.lines = append(d.lines, fmt.Sprintf("%s: %s -> %s", path, d.show(path, before), d.show(path, after)))
}

func (d *differ) show(path string, value any) string {
	if value == nil {
		return "(none)"
	}
	if d.secret && (strings.HasPrefix(path, "data") || strings.HasPrefix(path, "stringData")) {
		return "(secret)"
	}
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	if len(text) > valueWidth {
		return strings.ToValidUTF8(string(text[:valueWidth]), "") + "…"
	}
	return string(text)
}

// join appends a key to a field path; a key with dots is quoted.
func join(path, key string) string {
	if strings.ContainsAny(key, "./") {
		return path + "[" + strconv.Quote(key) + "]"
	}
	if path == "" {
		return key
	}
	return path + "." + key
}
