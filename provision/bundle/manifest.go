package bundle

import (
	"fmt"

	"sigs.k8s.io/yaml"
)

// APIVersion and Kind of every bundle.yaml.
const (
	APIVersion = "slipway.io/v1alpha1"
	Kind       = "Bundle"
)

// manifestName is the file that lists the contents of a bundle.
const manifestName = "bundle.yaml"

// The origins of a bundle.
const (
	// OriginRelease marks a bundle of files and images that their projects publish.
	OriginRelease = "release"
	// OriginSource marks a bundle that is built from source.
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
	// Manifests are the files of addons, as their projects publish them.
	Manifests []AddonFile `json:"manifests,omitempty"`
	// Downloads holds the sha256 of each downloaded file, by its URL at the release server: files, or archives of them.
	// A bundle from source has none.
	Downloads map[string]string `json:"downloads,omitempty"`
}

// File is one file of a bundle.
type File struct {
	// Name does not depend on the architecture: kubelet, cni/bridge.
	Name string `json:"name"`
	// Version is the version of the component that the file belongs to, with its v: v2.3.4.
	Version string `json:"version"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
	// Path is relative to the bundle, with slashes.
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
	// Size is in bytes.
	Size int64 `json:"size"`
	// Roles are the roles of the hosts that need the file. Empty means all hosts.
	Roles []string `json:"roles,omitempty"`
}

// Image is one container image of a bundle, for one architecture.
type Image struct {
	// Name is the full reference of the image in a container runtime: registry.k8s.io/pause:3.10.2.
	Name string `json:"name"`
	Arch string `json:"arch"`
	// Digest is the digest of the image manifest of this architecture: sha256:….
	Digest string `json:"digest"`
	// Size is the size of the manifest, configuration and layers in bytes.
	Size int64 `json:"size"`
	// Roles are the roles of the hosts that need the image. Empty means all hosts.
	Roles []string `json:"roles,omitempty"`
	// Addon is the addon that needs the image. Empty means that every cluster needs it.
	Addon string `json:"addon,omitempty"`
}

// AddonFile is a file of Kubernetes objects of an addon.
type AddonFile struct {
	Addon string `json:"addon"`
	// Name is the file's name in the catalogue: metallb-native.yaml.
	Name string `json:"name"`
	// Version is the addon's version, with its v.
	Version string `json:"version"`
	// Path is relative to the bundle, with slashes.
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
	// Size is in bytes.
	Size int64 `json:"size"`
}

// decode reads bundle.yaml strictly and reports all mistakes.
func decode(data []byte) (Manifest, error) {
	var m Manifest
	if err := yaml.UnmarshalStrict(data, &m); err != nil {
		return Manifest{}, fmt.Errorf("%w; the bundle may come from a newer release of slipway: use that release, or recreate the bundle", err)
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
