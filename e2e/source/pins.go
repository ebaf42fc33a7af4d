package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"slipway.io/slipway/provision/bundle"
)

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

// checkPins compares the versions of the modules with those of the release and the addons: a bundle from source differs
// from the released one only in its origin.
func checkPins(release bundle.Release, addons []bundle.Addon, versions map[string]string) error {
	var errs []error
	for name, want := range release.Components {
		if got := versions[builtFrom(name)]; got != want {
			errs = append(errs, fmt.Errorf("%s is pinned at %q, but the catalogue lists %[4]s for kubernetes %[3]s: change modules/%[5]s/go.mod or the catalogue",
				name, got, release.Kubernetes, want, builtFrom(name)))
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
			errs = append(errs, fmt.Errorf("%s is pinned at v%s, but the catalogue lists the image %s", component, version, image.Name))
		}
	}
	return errors.Join(errs...)
}
