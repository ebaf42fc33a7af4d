package addon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"slipway.io/slipway/provision/bundle"
	"slipway.io/slipway/provision/cluster/kube"
	"slipway.io/slipway/provision/workflow"
)

// Published returns the objects of an addon's file as its project publishes it:
// from the bundle, otherwise from its URL.
func Published(ctx context.Context, s *workflow.Step, addon, file string) (Objects, error) {
	text, err := read(ctx, s, addon, file)
	if err != nil {
		return nil, err
	}
	objects, err := kube.Decode(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for _, o := range objects {
		defaultReplicas(o)
	}
	return objects, nil
}

// defaultReplicas sets the default number of replicas where a manifest has none:
// otherwise a Deployment that was scaled down is no drift.
func defaultReplicas(o *unstructured.Unstructured) {
	_, given, err := unstructured.NestedFieldNoCopy(o.Object, "spec", "replicas")
	if o.GetKind() == "Deployment" && !given && err == nil {
		_ = unstructured.SetNestedField(o.Object, int64(1), "spec", "replicas") // its spec is a map, as the lookup has shown
	}
}

func read(ctx context.Context, s *workflow.Step, addon, file string) ([]byte, error) {
	data, err := s.Bundle().AddonFile(addon, file)
	if !errors.Is(err, fs.ErrNotExist) {
		return data, err
	}
	known, err := catalogued(s, addon)
	if err != nil {
		return nil, err
	}
	m, err := known.Manifest(file)
	if err != nil {
		return nil, err
	}
	data, err = Fetch(ctx, s, m.URL, m.SHA256)
	return data, workflow.WithHint(err, fmt.Sprintf(
		"the bundle does not contain %s: create one with `slipway bundle create --addons %s`, or add a mirror of %s to artifacts.rewrites",
		addon, addon, m.URL))
}

// Fetch downloads a URL through the inventory's mirrors and the cache on
// localhost.
func Fetch(ctx context.Context, s *workflow.Step, url, sha256 string) ([]byte, error) {
	client, err := s.Credentials().Client(s.Cluster())
	if err != nil {
		return nil, err
	}
	return bundle.Download(ctx, url, url, sha256, bundle.CreateOptions{Rewrites: s.Cluster().Artifacts.Rewrites, Client: client})
}

// catalogued returns the catalogue's entry of an addon.
func catalogued(s *workflow.Step, addon string) (bundle.Addon, error) {
	catalogue, err := bundle.OpenCatalogue(s.Cluster().Artifacts.Catalogue)
	if err != nil {
		return bundle.Addon{}, err
	}
	return catalogue.Addon(addon)
}

// Image returns the full reference of one of an addon's images, given without its
// tag: the one in the bundle, otherwise the catalogue's, which hosts then pull.
func Image(s *workflow.Step, addon, repository string) (string, error) {
	for _, image := range s.Bundle().AddonImages(addon, "", s.Facts().Arch) {
		if strings.HasPrefix(image.Name, repository+":") {
			return image.Name, nil
		}
	}
	known, err := catalogued(s, addon)
	if err != nil {
		return "", err
	}
	for _, image := range known.Images {
		if strings.HasPrefix(image.Name, repository+":") {
			return image.Name, nil
		}
	}
	return "", fmt.Errorf("addon %s has no image %s in the catalogue", addon, repository)
}

// Files returns a path that is a file; if it is a directory, the YAML and JSON files in it,
// sorted.
func Files(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return []string{path}, err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); !e.IsDir() && (ext == ".yaml" || ext == ".yml" || ext == ".json") {
			files = append(files, filepath.Join(path, e.Name()))
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s contains no .yaml, .yml or .json file", path)
	}
	return files, nil
}
