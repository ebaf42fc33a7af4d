package bundle

import (
	"archive/tar"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"slipway.io/slipway/provision/contextio"
)

// WriteImages writes a tar archive of an OCI image layout for "ctr images import -". It holds exactly these images, and
// each blob once. The bytes do not depend on the order of the images. The sha256 of each blob is verified while it is
// written: after a *CorruptError the archive is incomplete, and the caller must abort its reader.
func (b *Bundle) WriteImages(ctx context.Context, w io.Writer, images []Image) error {
	images = slices.Clone(images)
	slices.SortFunc(images, func(x, y Image) int {
		return cmp.Or(strings.Compare(x.Name, y.Name), strings.Compare(x.Arch, y.Arch))
	})
	manifests := map[string]v1.Descriptor{}
	blobs := map[string]int64{}
	for _, image := range images {
		list, err := b.blobs(image)
		if err != nil {
			return fmt.Errorf("write images: %w", err)
		}
		manifests[image.Digest] = list[0]
		for _, d := range list {
			blobs[d.Digest.Hex] = d.Size
		}
	}
	index, err := indexJSON(images, manifests)
	if err != nil {
		return fmt.Errorf("write images: %w", err)
	}
	tw := tar.NewWriter(w)
	for _, text := range []struct{ name, text string }{{layoutFile, layoutText}, {indexFile, string(index)}} {
		if err := writeEntry(tw, text.name, int64(len(text.text)), strings.NewReader(text.text)); err != nil {
			return fmt.Errorf("write images: %w", err)
		}
	}
	for _, sum := range slices.Sorted(maps.Keys(blobs)) {
		if err := b.writeBlob(ctx, tw, sum, blobs[sum]); err != nil {
			return fmt.Errorf("write images: %w", err)
		}
	}
	if err := tw.Close(); err != nil {
		return fmt.Errorf("write images: %w", err)
	}
	return nil
}

func (b *Bundle) writeBlob(ctx context.Context, tw *tar.Writer, sum string, size int64) error {
	blob := item{path: blobPath("sha256:" + sum), sha256: sum, size: size}
	f, _, err := b.openItem(blob)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if err := writeEntry(tw, blobsDir+"/"+sum, size, io.TeeReader(contextio.NewReader(ctx, f), h)); err != nil {
		return fmt.Errorf("%s: %w", blob.path, err)
	}
	return checkSum(blob.path, sum, h.Sum(nil))
}

// writeEntry writes a file whose header has only name, size and mode, so that the archive is reproducible.
func writeEntry(tw *tar.Writer, name string, size int64, r io.Reader) error {
	if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644}); err != nil {
		return err
	}
	_, err := io.Copy(tw, r)
	return err
}
