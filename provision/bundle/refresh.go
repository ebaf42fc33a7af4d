package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"
)

// stableURL says which patch release of a minor version is the newest.
const stableURL = "https://dl.k8s.io/release/stable-%d.%d.txt"

// RefreshOptions say how to refresh a catalogue.
type RefreshOptions struct {
	// Create has the client, the mirrors and the progress; the other fields are ignored.
	Create CreateOptions
	// Replace accepts files that differ from their sum in the catalogue, such as a manifest whose URL was edited.
	Replace bool
	// Changed receives a line for each change.
	Changed func(string)
}

// Refresh asks the release servers and the registries for what a catalogue should list: the newest release of each minor
// version that it has, the sums of all files, and the digests of all images. A file that differs from its sum is an
// error; a tag that was moved is a change. The error joins all problems, and the catalogue has what could be read.
func Refresh(ctx context.Context, c Catalogue, o RefreshOptions) (Catalogue, error) {
	create, err := o.Create.withDefaults()
	if err != nil {
		return c, err
	}
	r := &refresh{RefreshOptions: o, f: newFetcher(create), catalogue: c, digests: map[string]map[string]string{}}
	err = errors.Join(r.releases(ctx), r.components(ctx), r.images(ctx), r.manifests(ctx))
	return r.catalogue, errors.Join(err, r.catalogue.validate())
}

// refresh is one run of Refresh.
type refresh struct {
	RefreshOptions
	f         *fetcher
	catalogue Catalogue
	// digests are those that were read, by image and architecture.
	digests map[string]map[string]string
}

func (r *refresh) changed(format string, args ...any) { r.Changed(fmt.Sprintf(format, args...)) }

// releases adds the newest release of each minor version.
func (r *refresh) releases(ctx context.Context) error {
	var errs []error
	seen := map[string]bool{}
	for _, listed := range r.catalogue.versions() {
		v, err := version.ParseSemantic(listed)
		if err != nil {
			return err
		}
		url := fmt.Sprintf(stableURL, v.Major(), v.Minor())
		if seen[url] {
			continue
		}
		seen[url] = true
		errs = append(errs, r.newest(ctx, url))
	}
	slices.SortStableFunc(r.catalogue.Releases, func(a, b Release) int { return CompareVersions(b.Kubernetes, a.Kubernetes) })
	return errors.Join(errs...)
}

func (r *refresh) newest(ctx context.Context, url string) error {
	text, err := r.f.text(ctx, "newest release", url)
	if err != nil {
		return err
	}
	newest := strings.TrimSpace(string(text))
	if !versionTag.MatchString(newest) {
		return fmt.Errorf("GET %s: %.80q is not a version", url, newest)
	}
	_, unlisted := r.catalogue.Release(newest)
	if unlisted == nil {
		return nil
	}
	nothing, err := OpenLock("")
	if err != nil {
		return err
	}
	release, err := r.catalogue.derive(ctx, r.f, nothing, newest, map[string]string{}, unlisted)
	if err != nil {
		return err
	}
	r.catalogue.Releases = append(r.catalogue.Releases, release)
	r.changed("release %s: added", newest)
	return nil
}

// CompareVersions orders versions with their v.
func CompareVersions(a, b string) int {
	v, err := version.ParseSemantic(a)
	if err != nil {
		return strings.Compare(a, b)
	}
	c, err := v.Compare(b)
	if err != nil {
		return strings.Compare(a, b)
	}
	return c
}

// components reads the sums of all versions that a release has.
func (r *refresh) components(ctx context.Context) error {
	var errs []error
	for i, component := range r.catalogue.Components {
		sums := map[string]map[string]string{}
		for _, release := range r.catalogue.Releases {
			v, ok := release.Components[component.Name]
			if !ok || sums[v] != nil {
				continue
			}
			sums[v] = map[string]string{}
			for _, arch := range Arches() {
				known := component.SHA256[v][arch]
				sum, err := r.f.publishedSum(ctx, component, v, arch)
				if err == nil {
					sum, err = r.sum(component.url(v, arch), known, sum)
				}
				if err != nil {
					errs, sum = append(errs, err), known
				}
				if sum != "" {
					sums[v][arch] = sum
				}
			}
		}
		for _, v := range slices.Sorted(maps.Keys(component.SHA256)) {
			if sums[v] == nil {
				r.changed("%s %s: removed, no release has it", component.Name, v)
			}
		}
		r.catalogue.Components[i].SHA256 = sums
	}
	return errors.Join(errs...)
}

// sum compares the sum of a file with the one in the catalogue.
func (r *refresh) sum(url, known, got string) (string, error) {
	switch {
	case known == got:
	case known == "":
		r.changed("%s: sha256 %s", url, got)
	case r.Replace:
		r.changed("%s: sha256 %s, was %s", url, got, known)
	default:
		return "", fmt.Errorf("%s: the catalogue has sha256 %s, the server %s: find out why before you pass -replace", url, known, got)
	}
	return got, nil
}

// images reads the digests of all images.
func (r *refresh) images(ctx context.Context) error {
	var errs []error
	for _, release := range r.catalogue.Releases {
		errs = append(errs, r.pin(ctx, release.Images))
	}
	for _, addon := range r.catalogue.Addons {
		errs = append(errs, r.pin(ctx, addon.Images))
	}
	return errors.Join(errs...)
}

func (r *refresh) pin(ctx context.Context, images []ReleaseImage) error {
	var errs []error
	for i, image := range images {
		if r.digests[image.Name] == nil {
			digests, err := r.read(ctx, image)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			r.digests[image.Name] = digests
		}
		images[i].Digests = maps.Clone(r.digests[image.Name])
	}
	return errors.Join(errs...)
}

// read asks the registry for the digests of an image.
func (r *refresh) read(ctx context.Context, image ReleaseImage) (map[string]string, error) {
	digests := map[string]string{}
	for _, arch := range Arches() {
		pulled, err := r.f.pull(ctx, image.Name, arch)
		if err != nil {
			return nil, fmt.Errorf("pull %s for %s: %w", image.Name, arch, err)
		}
		digest, err := pulled.Digest()
		if err != nil {
			return nil, fmt.Errorf("pull %s for %s: %w", image.Name, arch, err)
		}
		digests[arch] = digest.String()
		switch known := image.Digests[arch]; {
		case known == digests[arch]:
		case known == "":
			r.changed("%s for %s: %s", image.Name, arch, digests[arch])
		default:
			r.changed("%s for %s: %s, was %s: the tag has moved", image.Name, arch, digests[arch], known)
		}
	}
	return digests, nil
}

// manifests reads the sums of the addons' manifests.
func (r *refresh) manifests(ctx context.Context) error {
	var errs []error
	for _, addon := range r.catalogue.Addons {
		for i, m := range addon.Manifests {
			data, err := r.f.text(ctx, addon.Name+" "+m.Name, m.URL)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			got := sha256.Sum256(data)
			sum, err := r.sum(m.URL, m.SHA256, hex.EncodeToString(got[:]))
			if err != nil {
				errs = append(errs, err)
				continue
			}
			addon.Manifests[i].SHA256 = sum
		}
	}
	return errors.Join(errs...)
}
