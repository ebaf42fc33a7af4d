package bundle

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Bundle is a bundle on the local disk. It does not change after Open and is safe for concurrent use.
type Bundle struct {
	dir      string
	manifest Manifest
}

// NotFoundError reports a file or an image that is not in a bundle.
type NotFoundError struct {
	// Bundle is the directory of the bundle.
	Bundle string
	// Name is the requested file or image, Arch the requested architecture.
	Name, Arch string
}

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("%s for %s is not in bundle %s: create a bundle for this architecture and version", e.Name, e.Arch, e.Bundle)
}

// Open reads and validates dir/bundle.yaml. It does not verify the files: see Verify.
func Open(dir string) (*Bundle, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open bundle: %w", err)
	}
	data, err := os.ReadFile(filepath.Join(abs, manifestName))
	if failed := (*fs.PathError)(nil); errors.As(err, &failed) {
		err = failed.Err // the message has the path already
	}
	if err != nil {
		return nil, fmt.Errorf("open bundle %s: %s: %w; pass a directory created by `slipway bundle create`", abs, manifestName, err)
	}
	m, err := decode(data)
	if err != nil {
		return nil, fmt.Errorf("open bundle %s: %s: %w", abs, manifestName, err)
	}
	return &Bundle{dir: abs, manifest: m}, nil
}

// Dir is the absolute path of the bundle.
func (b *Bundle) Dir() string { return b.dir }

// Manifest is a copy of the content of bundle.yaml.
func (b *Bundle) Manifest() Manifest {
	m := b.manifest
	m.Files = slices.Clone(m.Files)
	m.Images = slices.Clone(m.Images)
	m.Manifests = slices.Clone(m.Manifests)
	m.Downloads = maps.Clone(m.Downloads)
	return m
}

// Arches returns the architectures for which the bundle has Kubernetes, sorted.
func (b *Bundle) Arches() []string {
	var arches []string
	for _, f := range b.manifest.Files {
		if f.Name == "kubelet" {
			arches = append(arches, f.Arch)
		}
	}
	slices.Sort(arches)
	return slices.Compact(arches)
}

// Files returns the files that a host with this role and architecture needs, in the order of bundle.yaml. An empty role
// means all roles.
func (b *Bundle) Files(role, arch string) []File {
	var files []File
	for _, f := range b.manifest.Files {
		if f.Arch == arch && needs(f.Roles, role) {
			files = append(files, f)
		}
	}
	return files
}

// Images returns the images that a host with this role and architecture needs in every cluster, in the order of
// bundle.yaml. An empty role means all roles.
func (b *Bundle) Images(role, arch string) []Image { return b.AddonImages("", role, arch) }

// AddonImages returns the images that a host with this role and architecture needs for an addon, in the order of
// bundle.yaml.
func (b *Bundle) AddonImages(addon, role, arch string) []Image {
	var images []Image
	for _, image := range b.manifest.Images {
		if image.Addon == addon && image.Arch == arch && needs(image.Roles, role) {
			images = append(images, image)
		}
	}
	return images
}

// AddonFile reads a file of an addon and verifies its sha256. The error wraps fs.ErrNotExist if bundle.yaml does not list
// the file, and is a *CorruptError if the file does not match bundle.yaml.
func (b *Bundle) AddonFile(addon, name string) ([]byte, error) {
	i := slices.IndexFunc(b.manifest.Manifests, func(f AddonFile) bool { return f.Addon == addon && f.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("%s of addon %s is not in bundle %s: %w", name, addon, b.dir, fs.ErrNotExist)
	}
	f := b.manifest.Manifests[i]
	return b.readFile(f.Path, f.SHA256, f.Size+1)
}

func needs(roles []string, role string) bool {
	return len(roles) == 0 || role == "" || slices.Contains(roles, role)
}

// File returns the file with this name and architecture. The error is a *NotFoundError.
func (b *Bundle) File(name, arch string) (File, error) {
	for _, f := range b.manifest.Files {
		if f.Name == name && f.Arch == arch {
			return f, nil
		}
	}
	return File{}, &NotFoundError{Bundle: b.dir, Name: name, Arch: arch}
}

// Version returns the version of a component, such as v2.3.4 for containerd; empty if the bundle does not hold it.
func (b *Bundle) Version(component string) string {
	for _, f := range b.manifest.Files {
		if f.Name == component {
			return f.Version
		}
	}
	return ""
}

// Image returns the image of a repository, such as registry.k8s.io/pause, with any tag; or the image of a reference with
// a tag. The error is a *NotFoundError.
func (b *Bundle) Image(repository, arch string) (Image, error) {
	for _, image := range b.manifest.Images {
		if image.Arch == arch && (image.Name == repository || strings.HasPrefix(image.Name, repository+":")) {
			return image, nil
		}
	}
	return Image{}, &NotFoundError{Bundle: b.dir, Name: repository, Arch: arch}
}

// Path returns the local path of the file.
func (b *Bundle) Path(f File) string { return filepath.Join(b.dir, filepath.FromSlash(f.Path)) }
