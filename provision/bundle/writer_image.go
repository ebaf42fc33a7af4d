package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// AddImage adds an image of one architecture under its full reference, and sets i.Digest and i.Size. Blobs that the bundle
// already holds are not read.
func (w *Writer) AddImage(ctx context.Context, i Image, image v1.Image) error {
	name := i.Name
	raw, err := image.RawManifest()
	if err != nil {
		return fmt.Errorf("add image %s: %w", name, err)
	}
	m, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		return fmt.Errorf("add image %s: manifest: %w", name, err)
	}
	digest, size, err := v1.SHA256(bytes.NewReader(raw))
	if err != nil {
		return fmt.Errorf("add image %s: %w", name, err)
	}
	self := v1.Descriptor{MediaType: manifestType(m), Digest: digest, Size: size}
	total := self.Size + m.Config.Size
	if err := w.putBlob(ctx, self, openBytes(raw)); err != nil {
		return fmt.Errorf("add image %s: %w", name, err)
	}
	config, err := image.RawConfigFile()
	if err != nil {
		return fmt.Errorf("add image %s: %w", name, err)
	}
	if err := w.putBlob(ctx, m.Config, openBytes(config)); err != nil {
		return fmt.Errorf("add image %s: %w", name, err)
	}
	for _, d := range m.Layers {
		total += d.Size
		err := w.putBlob(ctx, d, func() (io.ReadCloser, error) {
			layer, err := image.LayerByDigest(d.Digest)
			if err != nil {
				return nil, err
			}
			return layer.Compressed()
		})
		if err != nil {
			return fmt.Errorf("add image %s: %w", name, err)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.manifests[digest.String()] = self
	i.Digest, i.Size = digest.String(), total
	w.manifest.Images = append(w.manifest.Images, i)
	return nil
}

func openBytes(data []byte) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
}

// putBlob writes a blob under its digest and verifies it, unless it exists: then the call that created it verifies it.
func (w *Writer) putBlob(ctx context.Context, d v1.Descriptor, open func() (io.ReadCloser, error)) error {
	if d.Digest.Algorithm != "sha256" || !hexSum.MatchString(d.Digest.Hex) {
		return fmt.Errorf("blob %q: the digest is not a sha256", d.Digest)
	}
	p := blobPath(d.Digest.String())
	file := filepath.Join(w.dir, filepath.FromSlash(p))
	if _, err := os.Stat(file); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	r, err := open()
	if err != nil {
		return fmt.Errorf("blob %s: %w", d.Digest, err)
	}
	defer r.Close()
	sum, size, err := w.put(ctx, p, 0o644, r)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("blob %s: %w", d.Digest, err)
	}
	if sum != d.Digest.Hex || size != d.Size {
		return errors.Join(&CorruptError{
			Path: p,
			Want: fmt.Sprintf("%s of %d bytes", d.Digest, d.Size),
			Got:  fmt.Sprintf("sha256:%s of %d bytes", sum, size),
		}, os.Remove(file))
	}
	return nil
}
