package bundle

import (
	"fmt"

	"sigs.k8s.io/yaml"
)

// APIVersion and Kind are what every bundle.yaml says of itself.
const (
	APIVersion = "slipway.io/v1alpha1"
	Kind       = "Bundle"
)

// ManifestName is the file in a bundle that lists what the bundle holds.
const ManifestName = "bundle.yaml"

// Where a bundle's contents come from.
const (
	// OriginRelease marks a bundle of files and images that their projects published.
	OriginRelease = "release"
	// OriginSource marks a bundle that was built from source.
	OriginSource = "source"
)

// Manifest is bundle.yaml.
type Manifest struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Kubernetes is the version that the bundle installs, with its v: v1.36.4.
	Kubernetes string `json:"kubernetes"`
	// Origin is OriginRelease or OriginSource.
	Origin string  `json:"origin"`
	Files  []File  `json:"files,omitempty"`
	Images []Image `json:"images,omitempty"`
	// Manifests are those of addons that are applied as their projects publish them.
	Manifests []AddonFile `json:"manifests,omitempty"`
}

// File is one file of a bundle.
type File struct {
	// Name is what the file is called whatever the architecture: kubelet, cni/bridge.
	Name string `json:"name"`
	// Version is the version of the component that the file belongs to, with its v: v2.3.4.
	Version string `json:"version"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
	// Path is where the file is, relative to the bundle, with slashes.
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
	// Size is in bytes.
	Size int64 `json:"size"`
	// Roles are the roles of the hosts that need the file; none means every host.
	Roles []string `json:"roles,omitempty"`
}

// Image is one container image of a bundle, for one architecture.
type Image struct {
	// Name is the full reference that a container runtime must know the image by: registry.k8s.io/pause:3.10.2.
	Name string `json:"name"`
	Arch string `json:"arch"`
	// Digest is that of the image manifest of this architecture: sha256:….
	Digest string `json:"digest"`
	// Size is what the image takes in the bundle: its manifest, configuration and layers, in bytes.
	Size int64 `json:"size"`
	// Roles are the roles of the hosts that need the image; none means every host.
	Roles []string `json:"roles,omitempty"`
	// Addon is the one that the image belongs to: hosts of a cluster without it do not need the image. Empty means that
	// every cluster does.
	Addon string `json:"addon,omitempty"`
}

// AddonFile is a file of Kubernetes objects that an addon is made of.
type AddonFile struct {
	Addon string `json:"addon"`
	// Name is the file's name in the catalogue: metallb-native.yaml.
	Name string `json:"name"`
	// Version is the addon's, with its v.
	Version string `json:"version"`
	// Path is where the file is, relative to the bundle, with slashes.
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
	// Size is in bytes.
	Size int64 `json:"size"`
}

// decode reads bundle.yaml strictly and reports everything that is wrong with it.
func decode(data []byte) (Manifest, error) {
	var m Manifest
	if err := yaml.UnmarshalStrict(data, &m); err != nil {
		return Manifest{}, fmt.Errorf("%w; a newer slipway may have made this bundle: use that one, or make the bundle again", err)
	}
	if err := m.validate(); err != nil {
		return Manifest{}, err
	}
	return m, nil
}

// encode is the reverse of decode.
func (m Manifest) encode() ([]byte, error) {
	if err := m.validate(); err != nil {
		return nil, err
	}
	return yaml.Marshal(m)
}
