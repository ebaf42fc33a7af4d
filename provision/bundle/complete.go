package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/util/version"
)

// wanted is what a bundle is to contain.
type wanted struct {
	kubernetes     string
	addons, arches []string
}

// complete returns the catalogue with everything that a bundle needs: the release, the sums of its components, and the
// digests that are pinned. It asks the release server for what neither the catalogue nor the lock file has. sources are
// the sums of further files that this depends on, by URL.
func (c Catalogue) complete(ctx context.Context, f *fetcher, lock *Lock, want wanted) (full Catalogue, release Release, sources map[string]string, err error) {
	sources = map[string]string{}
	release, err = c.Release(want.kubernetes)
	if err != nil {
		if release, err = c.derive(ctx, f, lock, want.kubernetes, sources, err); err != nil {
			return c, release, nil, err
		}
		c.Releases = append(slices.Clone(c.Releases), release)
	}
	var errs []error
	c.Components, err = c.completeSums(ctx, f, lock, release, want.arches)
	errs = append(errs, err)
	release.Images, err = pinned(lock, release.Images, want.arches)
	errs = append(errs, err)
	c.Addons = slices.Clone(c.Addons)
	for i, a := range c.Addons {
		if !slices.Contains(want.addons, a.Name) {
			continue
		}
		for _, m := range a.Manifests {
			_, err := lock.file(m.URL, m.SHA256)
			errs = append(errs, err)
		}
		c.Addons[i].Images, err = pinned(lock, a.Images, want.arches)
		errs = append(errs, err)
	}
	return c, release, sources, errors.Join(errs...)
}

// completeSums returns the components with the sums of a release.
func (c Catalogue) completeSums(ctx context.Context, f *fetcher, lock *Lock, release Release, arches []string) ([]Component, error) {
	components := slices.Clone(c.Components)
	errs := make([]error, len(components))
	var g errgroup.Group
	for i, component := range components {
		v, ok := release.Components[component.Name]
		if !ok {
			continue
		}
		sums := maps.Clone(component.SHA256[v])
		if sums == nil {
			sums = map[string]string{}
		}
		components[i].SHA256 = map[string]map[string]string{v: sums}
		g.Go(func() error {
			for _, arch := range arches {
				sum, err := lock.file(component.url(v, arch), sums[arch])
				if err == nil && sum == "" && component.Checksums != "" {
					sum, err = f.publishedSum(ctx, component, v, arch)
				}
				if err != nil {
					errs[i] = errors.Join(errs[i], err)
				} else if sum != "" { // otherwise plan reports it
					sums[arch] = sum
				}
			}
			return nil
		})
	}
	_ = g.Wait() // the errors are in errs
	return components, errors.Join(errs...)
}

// pinned returns the images with the digests of the lock file.
func pinned(lock *Lock, images []ReleaseImage, arches []string) ([]ReleaseImage, error) {
	images = slices.Clone(images)
	var errs []error
	for i, image := range images {
		digests := maps.Clone(image.Digests)
		for _, arch := range arches {
			digest, err := lock.image(image.Name, arch, digests[arch])
			errs = append(errs, err)
			if digest == "" {
				continue
			}
			if digests == nil {
				digests = map[string]string{}
			}
			digests[arch] = digest
		}
		images[i].Digests = digests
	}
	return images, errors.Join(errs...)
}

// base returns the newest release that is listed for the minor version.
func (c Catalogue) base(kubernetes string) (Release, error) {
	v, err := version.ParseSemantic(kubernetes)
	if err != nil {
		return Release{}, err
	}
	var base Release
	var newest *version.Version
	for _, r := range c.Releases {
		listed, err := version.ParseSemantic(r.Kubernetes)
		if err == nil && listed.Major() == v.Major() && listed.Minor() == v.Minor() && (newest == nil || newest.LessThan(listed)) {
			base, newest = r, listed
		}
	}
	if newest == nil {
		return Release{}, fmt.Errorf("no release of %d.%d is in the catalogue", v.Major(), v.Minor())
	}
	return base, nil
}

// derive creates the release of a version that is not listed, from the newest one of the same minor version: the
// components of Kubernetes and the images that this version of kubeadm needs change, the others stay.
func (c Catalogue) derive(ctx context.Context, f *fetcher, lock *Lock, kubernetes string, sources map[string]string, unlisted error) (Release, error) {
	kubernetes = "v" + strings.TrimPrefix(kubernetes, "v")
	base, err := c.base(kubernetes)
	if err != nil || c.KubeadmConstants == "" {
		return Release{}, unlisted
	}
	url := expand(c.KubeadmConstants, kubernetes, "")
	source, err := f.pinnedText(ctx, lock, "images of kubeadm "+kubernetes, url)
	if err != nil {
		return Release{}, fmt.Errorf("kubernetes %s: %w", kubernetes, err)
	}
	sum := sha256.Sum256(source)
	sources[url] = hex.EncodeToString(sum[:])
	tags, err := kubeadmTags(source, kubernetes)
	if err != nil {
		return Release{}, fmt.Errorf("kubernetes %s: images of kubeadm: %s: %w", kubernetes, url, err)
	}
	r := Release{Kubernetes: kubernetes, Components: map[string]string{}}
	for name, v := range base.Components {
		if v == base.Kubernetes {
			v = kubernetes
		}
		r.Components[name] = v
	}
	for _, image := range base.Images {
		repository, tag := splitReference(image.Name)
		switch another, ok := tags[repository]; {
		case ok:
			tag = another
		case tag == base.Kubernetes:
			tag = kubernetes
		}
		if name := repository + ":" + tag; name != image.Name {
			image.Name, image.Digests = name, nil
		}
		r.Images = append(r.Images, image)
	}
	return r, nil
}

// pinnedText downloads a small file, which must be the one that the lock file pins.
func (f *fetcher) pinnedText(ctx context.Context, lock *Lock, name, url string) ([]byte, error) {
	data, err := f.text(ctx, name, url)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	return data, lock.check(url, hex.EncodeToString(sum[:]))
}

// Key returns a short hash of all that the catalogue says about a bundle: another catalogue makes another bundle.
func (c Catalogue) Key(kubernetes string, addons []string) (string, error) {
	release, err := c.Release(kubernetes)
	if err != nil {
		base, baseErr := c.base(kubernetes)
		if baseErr != nil {
			return "", err
		}
		release = base
	}
	says := struct {
		Constants  string
		Release    Release
		Components []Component
		Addons     []Addon
	}{c.KubeadmConstants, release, nil, nil}
	for _, component := range c.Components {
		if v, ok := release.Components[component.Name]; ok {
			component.SHA256 = map[string]map[string]string{v: component.SHA256[v]}
			says.Components = append(says.Components, component)
		}
	}
	for _, name := range slices.Sorted(slices.Values(addons)) {
		a, err := c.Addon(name)
		if err != nil {
			return "", err
		}
		says.Addons = append(says.Addons, a)
	}
	text, err := json.Marshal(says)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:4]), nil
}
