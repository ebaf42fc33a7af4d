package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"slipway.io/slipway/provision/bundle"
)

// checkKubeadm reports images that the built kubeadm needs but that are not in the release. A kubeadm for another
// architecture does not run here; it has the same list.
func (b *builder) checkKubeadm(ctx context.Context, kubeadm string) error {
	release := b.release
	if b.tc.arch != runtime.GOARCH {
		return nil
	}
	text, err := output(ctx, kubeadm, "config", "images", "list", "--kubernetes-version", release.Kubernetes)
	if err != nil {
		return err
	}
	return compareImages(strings.Fields(text), release)
}

// compareImages reports needed images that are not in the release.
func compareImages(wanted []string, release bundle.Release) error {
	if len(wanted) == 0 {
		return errors.New("kubeadm config images list: no output")
	}
	var errs []error
	for _, name := range wanted {
		if !slices.ContainsFunc(release.Images, func(i bundle.ReleaseImage) bool { return i.Name == name }) {
			errs = append(errs, fmt.Errorf("kubeadm %s needs %s, which is not in pins.yaml", release.Kubernetes, name))
		}
	}
	return errors.Join(errs...)
}
