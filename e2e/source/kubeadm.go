package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"slipway.io/slipway/provision/bundle"
)

// checkKubeadm asks the kubeadm that was built which images it wants, and reports what the release does not have.
func checkKubeadm(ctx context.Context, kubeadm string, release bundle.Release) error {
	text, err := output(ctx, kubeadm, "config", "images", "list", "--kubernetes-version", release.Kubernetes)
	if err != nil {
		return err
	}
	return compareImages(strings.Fields(text), release)
}

// compareImages reports every image that kubeadm wants and the release lacks.
func compareImages(wanted []string, release bundle.Release) error {
	if len(wanted) == 0 {
		return errors.New("kubeadm config images list: it printed nothing")
	}
	var errs []error
	for _, name := range wanted {
		if !slices.ContainsFunc(release.Images, func(i bundle.ReleaseImage) bool { return i.Name == name }) {
			errs = append(errs, fmt.Errorf("kubeadm %s wants %s, which the catalogue does not have for it", release.Kubernetes, name))
		}
	}
	return errors.Join(errs...)
}
