package bundle

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Run it with access to the release servers and the registries: it adds the newest releases, and asks for the sums and
// digests that are missing.
//
//go:generate go run ./refresh

//go:embed catalogue.yaml
var catalogueYAML []byte

// Catalogue lists the released versions that slipway can install, and where it downloads them. Fields of the YAML file
// have lower-case names, as the tags say.
type Catalogue struct {
	// KubeadmConstants is the URL of kubeadm's source file constants.go, with the placeholder {version}. It names the
	// images of releases that are not listed; without it, only the listed releases can be installed.
	KubeadmConstants string `json:"kubeadmConstants,omitempty" yaml:"kubeadmConstants"`

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
	// Checksums is the URL of the sha256 that the project publishes, or of a list with one for each file. It has the
	// same placeholders. It is asked for the versions that SHA256 does not hold.
	Checksums string   `json:"checksums,omitempty"`
	Roles     []string `json:"roles,omitempty"`
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

// reference returns the image by its digest if it is pinned, since a tag can move.
func (i ReleaseImage) reference(arch string) string {
	repository, _ := splitReference(i.Name)
	if digest := i.Digests[arch]; digest != "" {
		return repository + "@" + digest
	}
	return i.Name
}

// LoadCatalogue reads the catalogue that is built into slipway.
func LoadCatalogue() (Catalogue, error) {
	c, err := parseCatalogue(catalogueYAML)
	if err != nil {
		return Catalogue{}, fmt.Errorf("catalogue: %w", err)
	}
	return c, nil
}

// BuiltInCatalogue is the text of the catalogue that is built into slipway.
func BuiltInCatalogue() []byte { return bytes.Clone(catalogueYAML) }

// OpenCatalogue reads a catalogue file; the one that is built into slipway if the path is empty.
func OpenCatalogue(path string) (Catalogue, error) {
	if path == "" {
		return LoadCatalogue()
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return Catalogue{}, fmt.Errorf("catalogue: %w", err)
	}
	c, err := parseCatalogue(data)
	if err != nil {
		return Catalogue{}, fmt.Errorf("catalogue %s: %w; `slipway bundle catalogue` prints one that is valid", path, err)
	}
	return c, nil
}

// parseCatalogue decodes strictly: the errors of the decoder name lines.
func parseCatalogue(data []byte) (Catalogue, error) {
	var c Catalogue
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil {
		return Catalogue{}, err
	}
	return c, c.validate()
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
func (c Component) url(version, arch string) string { return expand(c.URL, version, arch) }

// expand replaces the placeholders of a URL.
func expand(url, version, arch string) string {
	return strings.NewReplacer("{version}", strings.TrimPrefix(version, "v"), "{arch}", arch).Replace(url)
}

// validate reports mistakes that would otherwise surface only when a bundle is created.
func (c Catalogue) validate() error {
	var bad mistakes
	seen := map[string]string{}
	if len(c.Releases) == 0 {
		bad.add("releases", "must not be empty")
	}
	if c.KubeadmConstants != "" {
		bad.https("kubeadmConstants", c.KubeadmConstants)
	}
	for i, comp := range c.Components {
		at := fmt.Sprintf("components[%d]", i)
		bad.required(at, map[string]string{"name": comp.Name})
		bad.unique(seen, at+".name", "component "+comp.Name)
		bad.https(at+".url", comp.URL)
		if comp.Checksums != "" {
			bad.https(at+".checksums", comp.Checksums)
		}
		for _, version := range slices.Sorted(maps.Keys(comp.SHA256)) {
			for arch, sum := range comp.SHA256[version] {
				if !versionTag.MatchString(version) || !hexSum.MatchString(sum) {
					bad.add(at+".sha256", "%s: invalid sha256 of %s for %s: %q", comp.Name, version, arch, sum)
				}
			}
		}
		for from, to := range comp.Extract {
			if err := errors.Join(checkPath(from), checkPath(to)); err != nil {
				bad.add(at+".extract", "%s: %s as %s: %w", comp.Name, from, to, err)
			}
		}
	}
	for i, r := range c.Releases {
		at := fmt.Sprintf("releases[%d]", i)
		bad.unique(seen, at+".kubernetes", "release "+r.Kubernetes)
		if !versionTag.MatchString(r.Kubernetes) {
			bad.add(at+".kubernetes", "is %q, must be a version such as v1.36.4", r.Kubernetes)
		}
		for _, name := range slices.Sorted(maps.Keys(r.Components)) {
			version := r.Components[name]
			comp, err := c.Component(name)
			if err != nil || len(comp.SHA256[version]) == 0 && comp.Checksums == "" {
				bad.add(at+".components", "no sha256 for %s %s", name, version)
			}
		}
		bad.images(at, r.Images)
	}
	for i, a := range c.Addons {
		at := fmt.Sprintf("addons[%d]", i)
		bad.required(at, map[string]string{"name": a.Name})
		bad.unique(seen, at+".name", "addon "+a.Name)
		if !versionTag.MatchString(a.Version) {
			bad.add(at+".version", "%s: is %q, must be a version such as v1.2.3", a.Name, a.Version)
		}
		for j, m := range a.Manifests {
			at := fmt.Sprintf("%s.manifests[%d]", at, j)
			bad.https(at+".url", m.URL)
			if !hexSum.MatchString(m.SHA256) {
				bad.add(at+".sha256", "%s: is %q, must be 64 hex digits", m.Name, m.SHA256)
			}
		}
		bad.images(at, a.Images)
	}
	return errors.Join(bad...)
}

func (m *mistakes) https(field, url string) {
	if !strings.HasPrefix(url, "https://") {
		m.add(field, "%q does not use https", url)
	}
}

func (m *mistakes) images(at string, images []ReleaseImage) {
	for i, image := range images {
		at := fmt.Sprintf("%s.images[%d]", at, i)
		if repository, tag := splitReference(image.Name); tag == "" || !strings.Contains(repository, "/") {
			m.add(at+".name", "%q is not a full reference with a tag", image.Name)
		}
		for arch, digest := range image.Digests {
			if sum, ok := strings.CutPrefix(digest, "sha256:"); !ok || !hexSum.MatchString(sum) {
				m.add(at+".digests", "%s for %s: is %q, must be sha256: and 64 hex digits", image.Name, arch, digest)
			}
		}
	}
}
