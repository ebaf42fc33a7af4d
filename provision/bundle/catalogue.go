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

// Catalogue is what slipway knows of released versions.
type Catalogue struct {
	Components []Component `json:"components"`
	Releases   []Release   `json:"releases"`
	Addons     []Addon     `json:"addons"`
}

// Addon is what belongs to a pod network, or to another addon, in the one version of it that this slipway installs.
type Addon struct {
	// Name is what an inventory calls it.
	Name string `json:"name"`
	// Version is the project's, with its v.
	Version string `json:"version"`
	// Manifests are files that are applied as the project publishes them; an addon of slipway's own templates has none.
	Manifests []AddonManifest `json:"manifests,omitempty"`
	Images    []ReleaseImage  `json:"images,omitempty"`
}

// AddonManifest is a published file of Kubernetes objects.
type AddonManifest struct {
	Name   string `json:"name"`
	URL    string `json:"url"`
	SHA256 string `json:"sha256"`
}

// Component is something that is published as one file for each version and architecture.
type Component struct {
	Name string `json:"name"`
	// URL is where the file is: {version} stands for the version without its v, {arch} for the architecture.
	URL string `json:"url"`
	// Extract says which files of an archive are taken (key) and what they are called (value). Without it the
	// file itself is the binary.
	Extract map[string]string `json:"extract,omitempty"`
	Roles   []string          `json:"roles,omitempty"`
	// SHA256 holds the sums by version (with its v) and architecture.
	SHA256 map[string]map[string]string `json:"sha256"`
}

// Release is what belongs to one version of Kubernetes.
type Release struct {
	// Kubernetes is the version with its v.
	Kubernetes string `json:"kubernetes"`
	// Components are the versions, with their v, by name of the component.
	Components map[string]string `json:"components"`
	Images     []ReleaseImage    `json:"images"`
}

// ReleaseImage is an image that a release needs.
type ReleaseImage struct {
	Name  string   `json:"name"`
	Roles []string `json:"roles,omitempty"`
	// Digests are those of the image manifests by architecture, where they are known.
	Digests map[string]string `json:"digests,omitempty"`
}

// LoadCatalogue reads the catalogue that is part of slipway.
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

// Versions are the Kubernetes versions that the catalogue knows, in its order: newest first.
func (c Catalogue) Versions() []string {
	var versions []string
	for _, r := range c.Releases {
		versions = append(versions, r.Kubernetes)
	}
	return versions
}

// Release is what belongs to this version of Kubernetes, given with or without its v.
func (c Catalogue) Release(kubernetes string) (Release, error) {
	want := "v" + strings.TrimPrefix(kubernetes, "v")
	for _, r := range c.Releases {
		if r.Kubernetes == want {
			return r, nil
		}
	}
	return Release{}, fmt.Errorf("kubernetes %s is not in the catalogue: choose one of %s", want, strings.Join(c.Versions(), ", "))
}

// Component is the component of this name.
func (c Catalogue) Component(name string) (Component, error) {
	i := slices.IndexFunc(c.Components, func(x Component) bool { return x.Name == name })
	if i < 0 {
		return Component{}, fmt.Errorf("component %s is not in the catalogue", name)
	}
	return c.Components[i], nil
}

// Addon is the addon of this name.
func (c Catalogue) Addon(name string) (Addon, error) {
	i := slices.IndexFunc(c.Addons, func(x Addon) bool { return x.Name == name })
	if i < 0 {
		var names []string
		for _, a := range c.Addons {
			names = append(names, a.Name)
		}
		return Addon{}, fmt.Errorf("addon %s is not in the catalogue: choose one of %s", name, strings.Join(names, ", "))
	}
	return c.Addons[i], nil
}

// Manifest is the addon's file of this name.
func (a Addon) Manifest(name string) (AddonManifest, error) {
	i := slices.IndexFunc(a.Manifests, func(m AddonManifest) bool { return m.Name == name })
	if i < 0 {
		return AddonManifest{}, fmt.Errorf("addon %s has no file %s in the catalogue", a.Name, name)
	}
	return a.Manifests[i], nil
}

// Files are the names of the component's files in a bundle, sorted.
func (c Component) Files() []string {
	if len(c.Extract) == 0 {
		return []string{c.Name}
	}
	return slices.Sorted(maps.Values(c.Extract))
}

// BinPath is where a binary is in a bundle, with slashes.
func BinPath(system, arch, name string) string { return "bin/" + system + "-" + arch + "/" + name }

// url is where a version (with its v) of the component is.
func (c Component) url(version, arch string) string {
	return strings.NewReplacer("{version}", strings.TrimPrefix(version, "v"), "{arch}", arch).Replace(c.URL)
}

// validate reports whatever would only be noticed when a bundle is made.
func (c Catalogue) validate() error {
	var errs []error
	for _, comp := range c.Components {
		if !strings.HasPrefix(comp.URL, "https://") {
			errs = append(errs, fmt.Errorf("component %s: url %q is not https", comp.Name, comp.URL))
		}
		for version, sums := range comp.SHA256 {
			for arch, sum := range sums {
				if !versionTag.MatchString(version) || !hexSum.MatchString(sum) {
					errs = append(errs, fmt.Errorf("component %s: sha256 of %s for %s is %q", comp.Name, version, arch, sum))
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
				errs = append(errs, fmt.Errorf("release %s: no sums for %s %s", r.Kubernetes, name, version))
			}
		}
		errs = append(errs, checkImages("release "+r.Kubernetes, r.Images))
	}
	for _, a := range c.Addons {
		if !versionTag.MatchString(a.Version) {
			errs = append(errs, fmt.Errorf("addon %s: version %q is none", a.Name, a.Version))
		}
		for _, m := range a.Manifests {
			if !strings.HasPrefix(m.URL, "https://") || !hexSum.MatchString(m.SHA256) {
				errs = append(errs, fmt.Errorf("addon %s: %s needs an https url and 64 hex digits of sha256", a.Name, m.Name))
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
			errs = append(errs, fmt.Errorf("%s: image %q is no full reference with a tag", of, image.Name))
		}
	}
	return errors.Join(errs...)
}
