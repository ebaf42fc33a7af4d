package bundle

import (
	"context"
	"fmt"
	"os"
)

// tasks download the addon's files and images.
func (a Addon) tasks(arches []string) []task {
	var tasks []task
	for _, m := range a.Manifests {
		tasks = append(tasks, func(ctx context.Context, f *fetcher, w *Writer) error {
			local, err := f.manifest(ctx, a, m)
			if err != nil {
				return err
			}
			file, err := os.Open(local)
			if err != nil {
				return err
			}
			defer file.Close()
			w.Downloaded(map[string]string{m.URL: m.SHA256})
			return w.AddManifest(ctx, AddonFile{Addon: a.Name, Name: m.Name, Version: a.Version}, file)
		})
	}
	for _, image := range a.Images {
		for _, arch := range arches {
			tasks = append(tasks, func(ctx context.Context, f *fetcher, w *Writer) error {
				return addReleaseImage(ctx, f, w, image, a.Name, arch)
			})
		}
	}
	return tasks
}

// manifest returns the local path of the addon's file, and downloads the file unless it is cached.
func (f *fetcher) manifest(ctx context.Context, a Addon, m AddonManifest) (string, error) {
	name := fmt.Sprintf("%s %s %s", a.Name, a.Version, m.Name)
	return f.get(ctx, name, m.SHA256, f.download(name, m.URL))
}

// Download returns the content of a file with a known sha256, and downloads the file unless it is cached. It uses only
// the options Cache, Client, Rewrites and Progress.
func Download(ctx context.Context, name, url, sha256 string, o CreateOptions) ([]byte, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	f := newFetcher(o)
	local, err := f.get(ctx, name, sha256, f.download(name, url))
	if err != nil {
		return nil, err
	}
	return os.ReadFile(local)
}
