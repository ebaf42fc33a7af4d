package bundle

import (
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

//go:embed catalogue.yaml
var catalogueYAML []byte

// Catalogue lists the released versions that slipway can install.
type Catalogue struct {
	Components []Component `json:"components"`
	Releases   []Release   `json:"releases"`
	Addons     []Addon     `json:"addons"`
}

// Addon is a pod network or another addon, in the one version that this release of slipway installs.
type Addon struct {
	// Name is the addon's name in an inventory.
	Name string `json:"name"`
	// Version is the project's version, with its v.
	Version string `json:"version"`
	// Manifests are applied as the project publishes them. An addon that slipway renders from its templates has none.
	Manifests []AddonManifest `json:"manifests,omitempty"`
	Images    []ReleaseImage  `json:"images,omitempty"`
}

// AddonManifest is a file of Kubernetes objects that an addon's project publishes.
type AddonManifest struct {
	Name   string `json:"name"`
	URL    string `json:"url"`
	SHA256 string `json:"sha256"`
}

// Component is published as one file for each version and architecture.
type Component struct {
	Name string `json:"name"`
	// URL has the placeholders {version}, without its v, and {arch}.
	URL string `json:"url"`
	// Extract maps files of the archive (key) to their names in a bundle (value). Empty if the file itself is the
	// binary.
	Extract map[string]string `json:"extract,omitempty"`
	Roles   []string          `json:"roles,omitempty"`
	// SHA256 holds the sums by version, with its v, and architecture.
	SHA256 map[string]map[string]string `json:"sha256"`
}

// Release lists the contents of one version of Kubernetes.
type Release struct {
	// Kubernetes is the version with its v.
	Kubernetes string `json:"kubernetes"`
	// Components holds the versions, with their v, by component name.
	Components map[string]string `json:"components"`
	Images     []ReleaseImage    `json:"images"`
}

// ReleaseImage is an image that a release or an addon needs.
type ReleaseImage struct {
	Name  string   `json:"name"`
	Roles []string `json:"roles,omitempty"`
	// Digests holds the digests of the image manifests by architecture. Empty if the image is not pinned.
	Digests map[string]string `json:"digests,omitempty"`
}

// LoadCatalogue reads the catalogue that is built into slipway.
func LoadCatalogue() (Catalogue, error) { return parseCatalogue(catalogueYAML) }

func parseCatalogue(data []byte) (Catalogue, error) {
	var c Catalogue
	if err := yaml.UnmarshalStrict(data, &c); err != nil {
		return Catalogue{}, fmt.Errorf("catalogue: %w", err)
	}
	if err := c.validate(); err != nil {
		return Catalogue{}, fmt.Errorf("catalogue: %w", err)
	}
	return c, nil
}

// versions lists the Kubernetes versions in the catalogue, newest first.
func (c Catalogue) versions() []string {
	var versions []string
	for _, r := range c.Releases {
		versions = append(versions, r.Kubernetes)
	}
	return versions
}

// Release returns the release of a Kubernetes version, with or without its v.
func (c Catalogue) Release(kubernetes string) (Release, error) {
	want := "v" + strings.TrimPrefix(kubernetes, "v")
	for _, r := range c.Releases {
		if r.Kubernetes == want {
			return r, nil
		}
	}
	return Release{}, fmt.Errorf("kubernetes %s is not in the catalogue: choose one of %s", want, strings.Join(c.versions(), ", "))
}

// Component returns the component with this name.
func (c Catalogue) Component(name string) (Component, error) {
	i := slices.IndexFunc(c.Components, func(x Component) bool { return x.Name == name })
	if i < 0 {
		return Component{}, fmt.Errorf("component %q is not in the catalogue", name)
	}
	return c.Components[i], nil
}

// Addon returns the addon with this name.
func (c Catalogue) Addon(name string) (Addon, error) {
	i := slices.IndexFunc(c.Addons, func(x Addon) bool { return x.Name == name })
	if i < 0 {
		var names []string
		for _, a := range c.Addons {
			names = append(names, a.Name)
		}
		return Addon{}, fmt.Errorf("addon %q is not in the catalogue: choose one of %s", name, strings.Join(names, ", "))
	}
	return c.Addons[i], nil
}

// Manifest returns the addon's manifest with this name.
func (a Addon) Manifest(name string) (AddonManifest, error) {
	i := slices.IndexFunc(a.Manifests, func(m AddonManifest) bool { return m.Name == name })
	if i < 0 {
		return AddonManifest{}, fmt.Errorf("manifest %q of addon %s is not in the catalogue", name, a.Name)
	}
	return a.Manifests[i], nil
}

// Files lists the names of the component's files in a bundle, sorted.
func (c Component) Files() []string {
	if len(c.Extract) == 0 {
		return []string{c.Name}
	}
	return slices.Sorted(maps.Values(c.Extract))
}

// BinPath returns the slash-separated path of a binary in a bundle.
func BinPath(system, arch, name string) string { return "bin/" + system + "-" + arch + "/" + name }

// url returns the URL of a version, with its v.
func (c Component) url(version, arch string) string {
	return strings.NewReplacer("{version}", strings.TrimPrefix(version, "v"), "{arch}", arch).Replace(c.URL)
}

// validate reports mistakes that would otherwise surface only when a bundle is created.
func (c Catalogue) validate() error {
	var errs []error
	for _, comp := range c.Components {
		if !strings.HasPrefix(comp.URL, "https://") {
			errs = append(errs, fmt.Errorf("component %s: url %q does not use https", comp.Name, comp.URL))
		}
		for version, sums := range comp.SHA256 {
			for arch, sum := range sums {
				if !versionTag.MatchString(version) || !hexSum.MatchString(sum) {
					errs = append(errs, fmt.Errorf("component %s: invalid sha256 of %s for %s: %q", comp.Name, version, arch, sum))
				}
			}
		}
		for from, to := range comp.Extract {
			if err := errors.Join(checkPath(from), checkPath(to)); err != nil {
				errs = append(errs, fmt.Errorf("component %s: extract %s as %s: %w", comp.Name, from, to, err))
			}
		}
	}
	for _, r := range c.Releases {
		for name, version := range r.Components {
			comp, err := c.Component(name)
			if err != nil || len(comp.SHA256[version]) == 0 {
				errs = append(errs, fmt.Errorf("release %s: no sha256 for %s %s", r.Kubernetes, name, version))
			}
		}
		errs = append(errs, checkImages("release "+r.Kubernetes, r.Images))
	}
	for _, a := range c.Addons {
		if !versionTag.MatchString(a.Version) {
			errs = append(errs, fmt.Errorf("addon %s: invalid version %q", a.Name, a.Version))
		}
		for _, m := range a.Manifests {
			if !strings.HasPrefix(m.URL, "https://") || !hexSum.MatchString(m.SHA256) {
				errs = append(errs, fmt.Errorf("addon %s: %s needs an https URL and a sha256 of 64 hex digits", a.Name, m.Name))
			}
		}
		errs = append(errs, checkImages("addon "+a.Name, a.Images))
	}
	return errors.Join(errs...)
}

func checkImages(of string, images []ReleaseImage) error {
	var errs []error
	for _, image := range images {
		if repository, tag := splitReference(image.Name); tag == "" || !strings.Contains(repository, "/") {
			errs = append(errs, fmt.Errorf("%s: image %q is not a full reference with a tag", of, image.Name))
		}
	}
	return errors.Join(errs...)
}
