package bundle

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
)

// addComponent downloads a component and adds its file, or the files extracted from it.
func addComponent(ctx context.Context, f *fetcher, w *Writer, c Component, version, arch, sum string) error {
	name := fmt.Sprintf("%s %s %s", c.Name, version, arch)
	local, err := f.get(ctx, name, sum, f.download(name, c.url(version, arch)))
	if err != nil {
		return err
	}
	content, err := os.Open(local)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer content.Close()
	w.Downloaded(map[string]string{c.url(version, arch): sum})
	add := func(file string, r io.Reader) error {
		return w.AddFile(ctx, File{
			Name: file, Version: version, OS: "linux", Arch: arch, Path: BinPath("linux", arch, file), Roles: c.Roles,
		}, r)
	}
	if len(c.Extract) == 0 {
		return add(c.Name, content)
	}
	if err := extract(content, c.Extract, add); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// extract calls add for each wanted file (path in the archive: name) of a tar.gz archive.
func extract(r io.Reader, want map[string]string, add func(name string, r io.Reader) error) error {
	gz, err := gzip.NewReader(r)
	if err != nil {
		return fmt.Errorf("not a tar.gz archive: %w", err)
	}
	defer gz.Close()
	missing := maps.Clone(want)
	tr := tar.NewReader(gz)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read archive: %w", err)
		}
		from := path.Clean(h.Name)
		name, wanted := missing[from]
		if !wanted {
			continue
		}
		if h.Typeflag != tar.TypeReg {
			return fmt.Errorf("extract %s: not a regular file", from)
		}
		if err := add(name, tr); err != nil {
			return err
		}
		delete(missing, from)
	}
	if len(missing) > 0 {
		return fmt.Errorf("not in the archive: %s", strings.Join(slices.Sorted(maps.Keys(missing)), ", "))
	}
	return nil
}
