package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"slipway.io/slipway/provision/bundle"
)

// otherVersion is a version of Kubernetes that differs from the one in modules/. The directory versions/VERSION has a
// NAME.mod and a NAME.sum for each component that has another version with it; all others are those of modules/.
type otherVersion struct {
	// tags are those of images whose version is in no module, by repository: the pause image as in kubeadm's constants
	// (cmd/kubeadm/app/constants/constants.go), and agnhost as in test/images/agnhost/VERSION.
	tags map[string]string
}

func otherVersions() map[string]otherVersion {
	const pause, agnhost = "registry.k8s.io/pause", "registry.k8s.io/e2e-test-images/agnhost"
	return map[string]otherVersion{
		"v1.35.8": {tags: map[string]string{pause: "3.10.1", agnhost: "2.59"}},
		"v1.37.2": {tags: map[string]string{pause: "3.10.2", agnhost: "2.66.1"}},
	}
}

// sumfile returns the go.sum that belongs to the argument of -modfile.
func sumfile(modfile string) string { return strings.TrimSuffix(modfile, ".mod") + ".sum" }

// forVersion returns the components with the modules of another version of Kubernetes. dir is the directory of this
// program.
func forVersion(all []component, dir, kubernetes string) []component {
	for i, c := range all {
		file := filepath.Join(dir, "versions", kubernetes, c.name+".mod")
		if _, err := os.Stat(file); err == nil {
			all[i].modfile = file
		}
	}
	return all
}

// release returns the release of another version: that of modules/, with the components and images that differ.
func (v otherVersion) release(base bundle.Release, versions map[string]string) (bundle.Release, error) {
	r := bundle.Release{Kubernetes: versions["kubernetes"], Components: maps.Clone(base.Components)}
	for name := range r.Components {
		if builtFrom(name) == "kubernetes" {
			r.Components[name] = r.Kubernetes
		}
	}
	for _, image := range base.Images {
		repository, _, _ := strings.Cut(image.Name, ":")
		tag := v.tags[repository]
		if tag == "" {
			tag = imageTag(imageVersions()[repository], versions)
		}
		if tag == "" {
			return bundle.Release{}, fmt.Errorf("%s: no tag of %s", r.Kubernetes, repository)
		}
		r.Images = append(r.Images, bundle.ReleaseImage{Name: repository + ":" + tag, Roles: image.Roles})
	}
	return r, nil
}

// imageTag returns the tag of the image of a component: kubeadm has the revision 0 of etcd's images.
func imageTag(component string, versions map[string]string) string {
	if component == "etcd" {
		return strings.TrimPrefix(versions[component], "v") + "-0"
	}
	return versions[component]
}

// useVersion replaces the components that another version of Kubernetes has, and the release.
func (b *builder) useVersion(kubernetes string) error {
	own := b.versions["kubernetes"]
	if kubernetes == "" || kubernetes == own {
		return nil
	}
	other, known := otherVersions()[kubernetes]
	if !known {
		choices := append(slices.Sorted(maps.Keys(otherVersions())), own)
		return fmt.Errorf("kubernetes %s cannot be built from source: choose one of %s", kubernetes, strings.Join(choices, ", "))
	}
	b.other = kubernetes
	for _, c := range b.components() {
		if c.modfile == "" {
			continue
		}
		var err error
		if b.versions[c.name], err = requiredVersion(c.modfile, c.module); err != nil {
			return err
		}
		if b.keys[c.name], err = componentKey(c, b.moduleDir(c), b.versions[c.name], b.tc); err != nil {
			return err
		}
	}
	var err error
	b.release, err = other.release(b.release, b.versions)
	return err
}
