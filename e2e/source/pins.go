package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"slipway.io/slipway/provision/bundle"
)

// builtFrom is the component that a component of the catalogue is built from.
func builtFrom(catalogued string) string {
	switch catalogued {
	case "kubeadm", "kubelet", "kubectl":
		return "kubernetes"
	}
	return catalogued
}

// imageVersions says which component's version the tag of an image begins with.
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

// checkPins compares the versions that the modules require with those of the release and the addons, because a bundle from source
// must be told apart from the released one by its origin only.
func checkPins(release bundle.Release, addons []bundle.Addon, versions map[string]string) error {
	var errs []error
	for name, want := range release.Components {
		if got := versions[builtFrom(name)]; got != want {
			errs = append(errs, fmt.Errorf("%s is pinned at %q, kubernetes %s goes with %s in the catalogue: change modules/%s/go.mod or the catalogue",
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
		// A tag may go on after the version, as etcd's 3.6.8-0 does.
		version := strings.TrimPrefix(versions[component], "v")
		if rest, ok := strings.CutPrefix(strings.TrimPrefix(tag, "v"), version); !ok || (rest != "" && rest[0] != '-') {
			errs = append(errs, fmt.Errorf("%s is pinned at v%s, the catalogue has the image %s", component, version, image.Name))
		}
	}
	return errors.Join(errs...)
}
