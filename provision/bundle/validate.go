package bundle

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

var (
	hexSum     = regexp.MustCompile(`^[0-9a-f]{64}$`)
	versionTag = regexp.MustCompile(`^v[0-9]+\.[0-9]+\.[0-9]+([-+].+)?$`)
)

const recreate = "recreate the bundle with \"slipway bundle create\""

// validate reports every invalid field by its path, such as files[3].path.
func (m Manifest) validate() error {
	var bad mistakes
	if m.APIVersion != APIVersion {
		bad.add("apiVersion", "is %q, must be %q: use the release of slipway that created the bundle, or %s", m.APIVersion, APIVersion, recreate)
	}
	if m.Kind != Kind {
		bad.add("kind", "is %q, must be %q: this is not a bundle", m.Kind, Kind)
	}
	if !versionTag.MatchString(m.Kubernetes) {
		bad.add("kubernetes", "is %q, must be a version such as v1.36.4: %s", m.Kubernetes, recreate)
	}
	if m.Origin != OriginRelease && m.Origin != OriginSource {
		bad.add("origin", "is %q, must be %q or %q: %s", m.Origin, OriginRelease, OriginSource, recreate)
	}
	seen := map[string]string{}
	for i, f := range m.Files {
		at := fmt.Sprintf("files[%d]", i)
		bad.required(at, map[string]string{"name": f.Name, "version": f.Version, "os": f.OS, "arch": f.Arch})
		bad.content(at, f.Path, f.SHA256, f.Size)
		bad.unique(seen, at+".name", "file "+f.Name+" for "+f.OS+"/"+f.Arch)
		bad.unique(seen, at+".path", "path "+f.Path)
	}
	for i, image := range m.Images {
		at := fmt.Sprintf("images[%d]", i)
		bad.required(at, map[string]string{"arch": image.Arch})
		bad.size(at, image.Size)
		if repository, tag := splitReference(image.Name); tag == "" || !strings.Contains(repository, "/") {
			bad.add(at+".name", "is %q, must be a full reference with a tag such as registry.k8s.io/pause:3.10.2: %s", image.Name, recreate)
		}
		if sum, ok := strings.CutPrefix(image.Digest, "sha256:"); !ok || !hexSum.MatchString(sum) {
			bad.add(at+".digest", "is %q, must be sha256: and 64 hex digits: %s", image.Digest, recreate)
		}
		bad.unique(seen, at+".name", "image "+image.Name+" for "+image.Arch)
	}
	for i, f := range m.Manifests {
		at := fmt.Sprintf("manifests[%d]", i)
		bad.required(at, map[string]string{"addon": f.Addon, "name": f.Name, "version": f.Version})
		bad.content(at, f.Path, f.SHA256, f.Size)
		bad.unique(seen, at+".path", "path "+f.Path)
	}
	return errors.Join(bad...)
}

// mistakes are the errors of a bundle.yaml.
type mistakes []error

func (m *mistakes) add(field, format string, args ...any) {
	*m = append(*m, fmt.Errorf("%s: "+format, append([]any{field}, args...)...))
}

func (m *mistakes) required(at string, fields map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if fields[name] == "" {
			m.add(at+"."+name, "must not be empty")
		}
	}
}

// content checks where a file is and what it holds.
func (m *mistakes) content(at, path, sum string, size int64) {
	if err := checkPath(path); err != nil {
		m.add(at+".path", "%q %v: do not use this bundle, %s", path, err, recreate)
	}
	if !hexSum.MatchString(sum) {
		m.add(at+".sha256", "is %q, must be 64 hex digits: %s", sum, recreate)
	}
	m.size(at, size)
}

func (m *mistakes) size(at string, size int64) {
	if size < 0 {
		m.add(at+".size", "is %d, must not be negative: %s", size, recreate)
	}
}

// unique reports a value that another field has; seen maps values to fields.
func (m *mistakes) unique(seen map[string]string, field, value string) {
	if first, found := seen[value]; found {
		m.add(field, "duplicate %s; first defined in %s: remove one of them", value, first)
		return
	}
	seen[value] = field
}

// checkPath rejects paths that lead out of the bundle or are not in canonical form.
func checkPath(p string) error {
	switch {
	case p == "":
		return errors.New("must not be empty")
	case strings.Contains(p, `\`), !filepath.IsLocal(filepath.FromSlash(p)):
		return errors.New("leads out of the bundle")
	case path.Clean(p) != p, p == ".":
		return errors.New("is not a canonical relative path")
	}
	return nil
}

// splitReference separates the tag, which may be empty, from an image reference.
func splitReference(ref string) (repository, tag string) {
	if strings.Contains(ref, "@") {
		return ref, ""
	}
	i := strings.LastIndex(ref, ":")
	if i <= strings.LastIndex(ref, "/") {
		return ref, ""
	}
	return ref[:i], ref[i+1:]
}
