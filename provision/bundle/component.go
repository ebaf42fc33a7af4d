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

// addComponent downloads one file of the catalogue and adds it, or what is taken out of it.
func addComponent(ctx context.Context, f *fetcher, w *Writer, c Component, version, arch, sum string) error {
	name := fmt.Sprintf("%s %s %s", c.Name, version, arch)
	local, err := f.get(ctx, name, sum, f.download(name, c.url(version, arch)))
	if err != nil {
		return err
	}
	file, err := os.Open(local)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer file.Close()
	add := func(called string, r io.Reader) error {
		return w.AddFile(ctx, File{
			Name: called, Version: version, OS: "linux", Arch: arch, Path: BinPath("linux", arch, called), Roles: c.Roles,
		}, r)
	}
	if len(c.Extract) == 0 {
		return add(c.Name, file)
	}
	if err := extract(file, c.Extract, add); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// extract gives the wanted files (path in the archive: name) of a tar.gz archive to add.
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
			return fmt.Errorf("%s is no regular file in the archive", from)
		}
		if err := add(name, tr); err != nil {
			return err
		}
		delete(missing, from)
	}
	if len(missing) > 0 {
		return fmt.Errorf("the archive has no %s", strings.Join(slices.Sorted(maps.Keys(missing)), ", "))
	}
	return nil
}
