package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Bundle is a bundle on the local disk. It is safe for concurrent use: nothing changes it after Open.
type Bundle struct {
	dir      string
	manifest Manifest
}

// NotFoundError is a file or an image that a bundle does not hold.
type NotFoundError struct {
	// Bundle is the folder of the bundle.
	Bundle string
	// Name is what was asked for, Arch for which architecture.
	Name, Arch string
}

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("bundle %s has no %s for %s: use a bundle that was made for this architecture and version", e.Bundle, e.Name, e.Arch)
}

// Open reads and checks the bundle.yaml in dir. It hashes nothing: see Verify.
func Open(dir string) (*Bundle, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open bundle: %w", err)
	}
	data, err := os.ReadFile(filepath.Join(abs, ManifestName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open bundle %s: it has no %s; give the folder that \"slipway bundle create\" made: %w", abs, ManifestName, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open bundle: %w", err)
	}
	m, err := decode(data)
	if err != nil {
		return nil, fmt.Errorf("open bundle %s: %s: %w", abs, ManifestName, err)
	}
	return &Bundle{dir: abs, manifest: m}, nil
}

// Dir is the absolute path of the bundle.
func (b *Bundle) Dir() string { return b.dir }

// Manifest is what bundle.yaml says. The caller may change the copy.
func (b *Bundle) Manifest() Manifest {
	m := b.manifest
	m.Files = slices.Clone(m.Files)
	m.Images = slices.Clone(m.Images)
	m.Manifests = slices.Clone(m.Manifests)
	return m
}

// Files are the files that a host of this role and architecture needs, in the order of bundle.yaml. An empty role
// stands for every role.
func (b *Bundle) Files(role, arch string) []File {
	var files []File
	for _, f := range b.manifest.Files {
		if f.Arch == arch && needs(f.Roles, role) {
			files = append(files, f)
		}
	}
	return files
}

// Images are the images that a host of this role and architecture needs in every cluster, in the order of bundle.yaml.
// An empty role stands for every role.
func (b *Bundle) Images(role, arch string) []Image { return b.AddonImages("", role, arch) }

// AddonImages are the images that a host of this role and architecture needs for an addon, in the order of bundle.yaml.
func (b *Bundle) AddonImages(addon, role, arch string) []Image {
	var images []Image
	for _, image := range b.manifest.Images {
		if image.Addon == addon && image.Arch == arch && needs(image.Roles, role) {
			images = append(images, image)
		}
	}
	return images
}

// AddonFile reads a file of an addon, and checks its sum. The error wraps fs.ErrNotExist if the bundle has none of this
// name, and is a *CorruptError if it is another than bundle.yaml says.
func (b *Bundle) AddonFile(addon, name string) ([]byte, error) {
	i := slices.IndexFunc(b.manifest.Manifests, func(f AddonFile) bool { return f.Addon == addon && f.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("bundle %s has no %s of %s: %w", b.dir, name, addon, fs.ErrNotExist)
	}
	f := b.manifest.Manifests[i]
	file, err := b.open(f.Path)
	if err != nil {
		return nil, missing(f.Path, "sha256:"+f.SHA256, err)
	}
	defer file.Close()
	data, err := io.ReadAll(file)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	if got := hex.EncodeToString(sum[:]); got != f.SHA256 {
		return nil, &CorruptError{Path: f.Path, Want: "sha256:" + f.SHA256, Got: "sha256:" + got}
	}
	return data, nil
}

func needs(roles []string, role string) bool {
	return len(roles) == 0 || role == "" || slices.Contains(roles, role)
}

// File is the file of this name and architecture. The error is a *NotFoundError.
func (b *Bundle) File(name, arch string) (File, error) {
	for _, f := range b.manifest.Files {
		if f.Name == name && f.Arch == arch {
			return f, nil
		}
	}
	return File{}, &NotFoundError{Bundle: b.dir, Name: name, Arch: arch}
}

// Version is the version of the file of this name, such as v2.3.4 for containerd; empty if the bundle has none.
func (b *Bundle) Version(component string) string {
	for _, f := range b.manifest.Files {
		if f.Name == component {
			return f.Version
		}
	}
	return ""
}

// Image is the image of this repository, such as registry.k8s.io/pause, with whatever tag the bundle has. A reference
// with a tag asks for exactly that one. The error is a *NotFoundError.
func (b *Bundle) Image(repository, arch string) (Image, error) {
	for _, image := range b.manifest.Images {
		if image.Arch == arch && (image.Name == repository || strings.HasPrefix(image.Name, repository+":")) {
			return image, nil
		}
	}
	return Image{}, &NotFoundError{Bundle: b.dir, Name: repository, Arch: arch}
}

// Path is where the file is on the local disk.
func (b *Bundle) Path(f File) string { return filepath.Join(b.dir, filepath.FromSlash(f.Path)) }
