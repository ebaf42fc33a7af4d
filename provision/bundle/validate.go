package bundle

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

var (
	hexSum     = regexp.MustCompile(`^[0-9a-f]{64}$`)
	versionTag = regexp.MustCompile(`^v[0-9]+\.[0-9]+\.[0-9]+([-+].+)?$`)
)

const remake = "make the bundle again with \"slipway bundle create\""

// FieldError is a field of bundle.yaml that cannot be used.
type FieldError struct {
	// Field is the path of the field, such as files[3].path.
	Field string
	// Problem says what is wrong and what to do.
	Problem string
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Problem }

// validate reports every field that cannot be used, joined.
func (m Manifest) validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, &FieldError{Field: field, Problem: fmt.Sprintf(format, args...)})
	}
	if m.APIVersion != APIVersion {
		bad("apiVersion", "is %q, this slipway reads %q: use the slipway that made the bundle, or %s", m.APIVersion, APIVersion, remake)
	}
	if m.Kind != Kind {
		bad("kind", "is %q, must be %q: this is not a bundle", m.Kind, Kind)
	}
	if !versionTag.MatchString(m.Kubernetes) {
		bad("kubernetes", "is %q, must be a version such as v1.36.4: %s", m.Kubernetes, remake)
	}
	if m.Origin != OriginRelease && m.Origin != OriginSource {
		bad("origin", "is %q, must be %q or %q: %s", m.Origin, OriginRelease, OriginSource, remake)
	}
	m.validateFiles(bad)
	m.validateImages(bad)
	m.validateManifests(bad)
	return errors.Join(errs...)
}

func (m Manifest) validateFiles(bad func(field, format string, args ...any)) {
	seen, paths := map[string]int{}, map[string]int{}
	for i, f := range m.Files {
		field := func(name string) string { return fmt.Sprintf("files[%d].%s", i, name) }
		for name, value := range map[string]string{"name": f.Name, "version": f.Version, "os": f.OS, "arch": f.Arch} {
			if value == "" {
				bad(field(name), "is empty: %s", remake)
			}
		}
		if err := checkPath(f.Path); err != nil {
			bad(field("path"), "%q %v: do not use this bundle, %s", f.Path, err, remake)
		}
		if !hexSum.MatchString(f.SHA256) {
			bad(field("sha256"), "is %q, must be 64 hex digits: %s", f.SHA256, remake)
		}
		if f.Size < 0 {
			bad(field("size"), "is %d, must not be negative: %s", f.Size, remake)
		}
		key := f.Name + " for " + f.OS + "/" + f.Arch
		if first, dup := seen[key]; dup {
			bad(field("name"), "%s is already files[%d]: remove one of them, or %s", key, first, remake)
		} else {
			seen[key] = i
		}
		if first, dup := paths[f.Path]; dup {
			bad(field("path"), "%q is already that of files[%d]: remove one of them, or %s", f.Path, first, remake)
		} else {
			paths[f.Path] = i
		}
	}
}

func (m Manifest) validateImages(bad func(field, format string, args ...any)) {
	seen := map[string]int{}
	for i, image := range m.Images {
		field := func(name string) string { return fmt.Sprintf("images[%d].%s", i, name) }
		if repository, tag := splitReference(image.Name); repository == "" || tag == "" || !strings.Contains(repository, "/") {
			bad(field("name"), "is %q, must be a full reference with a tag such as registry.k8s.io/pause:3.10.2: %s", image.Name, remake)
		}
		if image.Arch == "" {
			bad(field("arch"), "is empty: %s", remake)
		}
		if sum, ok := strings.CutPrefix(image.Digest, "sha256:"); !ok || !hexSum.MatchString(sum) {
			bad(field("digest"), "is %q, must be sha256: and 64 hex digits: %s", image.Digest, remake)
		}
		if image.Size < 0 {
			bad(field("size"), "is %d, must not be negative: %s", image.Size, remake)
		}
		key := image.Name + " for " + image.Arch
		if first, dup := seen[key]; dup {
			bad(field("name"), "%s is already images[%d]: remove one of them, or %s", key, first, remake)
		} else {
			seen[key] = i
		}
	}
}

func (m Manifest) validateManifests(bad func(field, format string, args ...any)) {
	seen := map[string]int{}
	for i, f := range m.Manifests {
		field := func(name string) string { return fmt.Sprintf("manifests[%d].%s", i, name) }
		for name, value := range map[string]string{"addon": f.Addon, "name": f.Name, "version": f.Version} {
			if value == "" {
				bad(field(name), "is empty: %s", remake)
			}
		}
		if err := checkPath(f.Path); err != nil {
			bad(field("path"), "%q %v: do not use this bundle, %s", f.Path, err, remake)
		}
		if !hexSum.MatchString(f.SHA256) {
			bad(field("sha256"), "is %q, must be 64 hex digits: %s", f.SHA256, remake)
		}
		if first, dup := seen[f.Path]; dup {
			bad(field("path"), "%q is already that of manifests[%d]: remove one of them, or %s", f.Path, first, remake)
		} else {
			seen[f.Path] = i
		}
	}
}

// checkPath refuses whatever could name something outside of the bundle, or the same file in two ways.
func checkPath(p string) error {
	switch {
	case p == "":
		return errors.New("is empty")
	case strings.Contains(p, `\`), !filepath.IsLocal(filepath.FromSlash(p)):
		return errors.New("leaves the bundle")
	case path.Clean(p) != p, p == ".":
		return errors.New("is not a plain relative path")
	}
	return nil
}

// splitReference cuts an image reference before its tag. The tag is empty where there is none.
func splitReference(ref string) (repository, tag string) {
	if strings.Contains(ref, "@") {
		return ref, ""
	}
	i := strings.LastIndex(ref, ":")
	if i < strings.LastIndex(ref, "/") {
		return ref, ""
	}
	if i < 0 {
		return ref, ""
	}
	return ref[:i], ref[i+1:]
}
