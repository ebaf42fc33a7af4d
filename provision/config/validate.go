package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// CheckEvenEtcd is the check in preflight.ignore that allows an even number of
// members of etcd, as on the way from one control plane to three.
const CheckEvenEtcd = "even-etcd"

// CheckLostHost is the check in preflight.ignore that allows the removal of a lost host
// at whose address something answers.
const CheckLostHost = "lost-host"

// validator collects the mistakes of a Cluster with defaults.
type validator struct {
	c        *Cluster
	problems []Problem
	// broken and misspelt come from the decoder.
	broken, misspelt map[string]bool
}

func (v *validator) report(path, remedy, format string, args ...any) {
	if v.isBroken(path) {
		return
	}
	v.problems = append(v.problems, Problem{Field: path, Message: fmt.Sprintf(format, args...), Remedy: remedy})
}

// isBroken returns whether the decoder rejected the value at the path or a parent.
func (v *validator) isBroken(path string) bool {
	for ; path != ""; path = parent(path) {
		if v.broken[path] {
			return true
		}
	}
	return v.broken[""]
}

func (v *validator) all() {
	v.tags("", reflect.ValueOf(*v.c))
	v.label("metadata.name", v.c.Metadata.Name)
	v.version()
	v.overrides()
	v.kubeletFields()
	v.network()
	v.controlPlane()
	v.etcd()
	for i, m := range v.c.Containerd.Mirrors {
		v.mirror(item("containerd.mirrors", i), i, m)
	}
	v.ssh("ssh", v.c.SSH)
	v.hosts()
	v.ignoredChecks()
	v.expected()
	v.addons()
	v.artifacts()
	v.proxy()
	v.backup()
}

// tags checks the struct tags: required, enum, minimum, maximum.
func (v *validator) tags(path string, s reflect.Value) {
	for f, value := range s.Fields() {
		name, inline := jsonName(f)
		if name == "" && !inline {
			continue
		}
		at := child(path, name)
		optional := strings.Contains(f.Tag.Get("json"), ",omit")
		switch {
		case value.IsZero() && optional:
			continue
		case value.IsZero() || value.Kind() == reflect.Slice && value.Len() == 0 && !optional:
			v.missing(at, f)
			continue
		}
		switch value.Kind() {
		case reflect.Struct:
			v.tags(at, value)
		case reflect.Slice:
			for i := range value.Len() {
				if e := value.Index(i); e.Kind() == reflect.Struct {
					v.tags(item(at, i), e)
				} else {
					v.enum(item(at, i), f, e.String())
				}
			}
		case reflect.String:
			v.enum(at, f, value.String())
		case reflect.Int:
			v.limits(at, f, value.Int())
		}
	}
}

func (v *validator) missing(at string, f reflect.StructField) {
	if v.misspelt[at] {
		return
	}
	name, _ := jsonName(f)
	remedy := ""
	if values := f.Tag.Get("enum"); values != "" {
		first, _, _ := strings.Cut(values, ",")
		remedy = fmt.Sprintf("add %s: %s", name, first)
	} else if example := f.Tag.Get("example"); example != "" {
		if f.Type.Kind() == reflect.Slice {
			example = "[" + example + "]"
		}
		remedy = fmt.Sprintf("add it, for example %s: %s", name, example)
	} else if f.Type.Kind() == reflect.Slice {
		remedy = "list at least one, with " + strings.Join(fieldNames(f.Type.Elem()), ", ")
	}
	v.report(at, remedy, "required field is missing")
}

func (v *validator) enum(at string, f reflect.StructField, value string) {
	tag, ok := f.Tag.Lookup("enum")
	if values := strings.Split(tag, ","); ok && !slices.Contains(values, value) {
		remedy := "use " + oneOf(values)
		if near := closest(value, values); near != "" && len(values) > 1 {
			remedy = fmt.Sprintf("did you mean %s?", near)
		}
		v.report(at, remedy, "unknown value %q", value)
	}
}

func (v *validator) limits(at string, f reflect.StructField, value int64) {
	least, err1 := strconv.ParseInt(f.Tag.Get("minimum"), 10, 64)
	most, err2 := strconv.ParseInt(f.Tag.Get("maximum"), 10, 64)
	if err1 == nil && err2 == nil && (value < least || value > most) {
		v.report(at, fmt.Sprintf("use %d to %d", least, most), "%d is out of range", value)
	}
}

// label checks a DNS label (RFC 1123). tags reports a missing one.
func (v *validator) label(at, value string) {
	if value != "" && len(validation.IsDNS1123Label(value)) > 0 {
		v.report(at, "use at most 63 lower-case letters, digits and '-', beginning and ending with a letter or a digit",
			"%q is not a DNS label", value)
	}
}

func (v *validator) ignoredChecks() {
	seen := map[string]bool{}
	for i, ignored := range v.c.Preflight.Ignore {
		at := item("preflight.ignore", i) + ".check"
		if seen[ignored.Check] && ignored.Check != "" {
			v.report(at, "keep one of them", "duplicate check %s", ignored.Check)
		}
		seen[ignored.Check] = true
		if strings.TrimSpace(ignored.Reason) == "" && ignored.Reason != "" {
			v.report(item("preflight.ignore", i)+".reason", "say why the check may fail", "must not be empty")
		}
	}
}

// Ignores returns whether preflight.ignore lists the check.
func (c *Cluster) Ignores(check string) bool {
	return slices.ContainsFunc(c.Preflight.Ignore, func(i IgnoredCheck) bool { return i.Check == check })
}
