package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"runtime"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"slipway.io/slipway/provision/contextio"
)

// Absent is CorruptError.Got of a missing file.
const Absent = "no such file"

// CorruptError reports a file that does not match bundle.yaml, an image manifest or the catalogue.
type CorruptError struct {
	// Path is relative to the bundle, with slashes.
	Path string
	// Want and Got are sums (sha256:…) or sizes. Got is Absent if the file is missing.
	Want, Got string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s is corrupt: want %s, got %s", e.Path, e.Want, e.Got)
}

// checkSum compares a sha256 with the expected one, which is in hex.
func checkSum(path, want string, got []byte) error {
	if got := hex.EncodeToString(got); got != want {
		return corrupt(path, "sha256:"+want, "sha256:"+got)
	}
	return nil
}

// corrupt adds the remedy for a file of a bundle to its CorruptError.
func corrupt(path, want, got string) error {
	return fmt.Errorf("%w; copy or recreate the bundle", &CorruptError{Path: path, Want: want, Got: got})
}

// item is a file with its expected sha256 and size.
type item struct {
	path   string
	sha256 string
	size   int64
}

// Verify hashes every file and every blob of every image. The error joins a *CorruptError for each file that differs or
// is missing.
func (b *Bundle) Verify(ctx context.Context) error { return b.verify(ctx, nil) }

// VerifyChanged is Verify without the files that were verified before and have not been written since, so that a run
// without changes does not hash half a gigabyte.
func (b *Bundle) VerifyChanged(ctx context.Context) error {
	cache := loadVerifyCache(b.dir)
	defer cache.save()
	return b.verify(ctx, cache)
}

// verify hashes the files that are not in the cache, which may be nil.
func (b *Bundle) verify(ctx context.Context, cache *verifyCache) error {
	items, errs := b.contents()
	results := make([]error, len(items))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.NumCPU())
	for i, it := range items {
		g.Go(func() error {
			results[i] = b.check(gctx, it, cache)
			return gctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("verify bundle %s: %w", b.dir, err)
	}
	if err := errors.Join(append(errs, results...)...); err != nil {
		return fmt.Errorf("verify bundle %s: %w", b.dir, err)
	}
	return nil
}

// contents lists the files of the bundle, each blob once, and the errors of image manifests.
func (b *Bundle) contents() ([]item, []error) {
	var items []item
	var errs []error
	for _, f := range b.manifest.Files {
		items = append(items, item{path: f.Path, sha256: f.SHA256, size: f.Size})
	}
	for _, f := range b.manifest.Manifests {
		items = append(items, item{path: f.Path, sha256: f.SHA256, size: f.Size})
	}
	seen := map[string]bool{}
	manifests := map[string]v1.Descriptor{}
	for _, image := range b.manifest.Images {
		blobs, err := b.blobs(image)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		manifests[image.Digest] = blobs[0]
		for _, d := range blobs {
			if p := blobPath(d.Digest.String()); !seen[p] {
				seen[p] = true
				items = append(items, item{path: p, sha256: d.Digest.Hex, size: d.Size})
			}
		}
	}
	if len(errs) == 0 && len(b.manifest.Images) > 0 {
		// The layout's own two files are derived from the images.
		index, err := indexJSON(b.manifest.Images, manifests)
		if err != nil {
			return items, append(errs, err)
		}
		items = append(items,
			textItem(imagesDir+"/"+layoutFile, []byte(layoutText)), textItem(imagesDir+"/"+indexFile, index))
	}
	return items, errs
}

func textItem(path string, text []byte) item {
	sum := sha256.Sum256(text)
	return item{path: path, sha256: hex.EncodeToString(sum[:]), size: int64(len(text))}
}

func (b *Bundle) check(ctx context.Context, it item, cache *verifyCache) error {
	f, info, err := b.openItem(it)
	if err != nil {
		return err
	}
	defer f.Close()
	if cache != nil && cache.has(it, info) {
		return nil
	}
	h := sha256.New()
	if _, err := io.Copy(h, contextio.NewReader(ctx, f)); err != nil {
		return fmt.Errorf("%s: %w", it.path, err)
	}
	if err := checkSum(it.path, it.sha256, h.Sum(nil)); err != nil {
		return err
	}
	if cache != nil {
		cache.add(it, info)
	}
	return nil
}
