package main

import (
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"slipway.io/slipway/provision/bundle"
)

//go:embed pins.yaml
var pinsYAML []byte

// pins are the versions that a bundle from source declares. The catalogue of released versions has its own, so that it
// can be refreshed without building anything.
type pins struct {
	Release bundle.Release `json:"release"`
	// Addons are those that can be built.
	Addons []bundle.Addon `json:"addons"`
}

func loadPins() (pins, error) {
	var p pins
	if err := yaml.UnmarshalStrict(pinsYAML, &p); err != nil {
		return pins{}, fmt.Errorf("pins.yaml: %w", err)
	}
	return p, nil
}

// addon returns the pinned addon with this name.
func (p pins) addon(name string) (bundle.Addon, error) {
	i := slices.IndexFunc(p.Addons, func(a bundle.Addon) bool { return a.Name == name })
	if i < 0 {
		return bundle.Addon{}, fmt.Errorf("addon %q is not in pins.yaml: choose one of %s", name, strings.Join(buildable(), ", "))
	}
	return p.Addons[i], nil
}

// builtFrom returns the component that builds a component of the catalogue.
func builtFrom(catalogued string) string {
	switch catalogued {
	case "kubeadm", "kubelet", "kubectl":
		return "kubernetes"
	}
	return catalogued
}

// imageVersions maps images to the component whose version is in their tag.
func imageVersions() map[string]string {
	return map[string]string{
		"registry.k8s.io/kube-apiserver":                "kubernetes",
		"registry.k8s.io/kube-controller-manager":       "kubernetes",
		"registry.k8s.io/kube-scheduler":                "kubernetes",
		"registry.k8s.io/kube-proxy":                    "kubernetes",
		"registry.k8s.io/etcd":                          "etcd",
		"registry.k8s.io/coredns/coredns":               "coredns",
		"ghcr.io/flannel-io/flannel":                    "flannel",
		"docker.io/rancher/local-path-provisioner":      "local-path-provisioner",
		"docker.io/library/traefik":                     "traefik",
		"quay.io/metallb/controller":                    "metallb",
		"quay.io/metallb/speaker":                       "metallb",
		"registry.k8s.io/metrics-server/metrics-server": "metrics-server",
	}
}

// checkPins compares the versions of the modules with those that the bundle declares.
func checkPins(release bundle.Release, addons []bundle.Addon, versions map[string]string) error {
	var errs []error
	for name, want := range release.Components {
		if got := versions[builtFrom(name)]; got != want {
			errs = append(errs, fmt.Errorf("%s is built from %q, but pins.yaml declares %s: change modules/%s/go.mod or pins.yaml",
				name, got, want, builtFrom(name)))
		}
	}
	images := slices.Clone(release.Images)
	for _, addon := range addons {
		images = append(images, addon.Images...)
	}
	for _, image := range images {
		repository, tag, _ := strings.Cut(image.Name, ":")
		component, known := imageVersions()[repository]
		if !known {
			continue
		}
		// A tag may have a suffix after the version: 3.6.8-0 for etcd.
		version := strings.TrimPrefix(versions[component], "v")
		if rest, ok := strings.CutPrefix(strings.TrimPrefix(tag, "v"), version); !ok || (rest != "" && rest[0] != '-') {
			errs = append(errs, fmt.Errorf("%s is built from v%s, but pins.yaml declares the image %s", component, version, image.Name))
		}
	}
	return errors.Join(errs...)
}
